//! The engine: one thread per process that runs all fetches of its Lua VMs.
//!
//! It is started on first need, in the worker: no thread may live when nginx forks. A fork gets an engine of its own.
//! It lives as long as its process; what runs on it never calls Lua or nginx.

#![expect(clippy::disallowed_types, reason = "the engine is a thread with a runtime")]

use std::future::Future;
use std::sync::{Mutex, mpsc};

use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;

use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::pool::signals::AllBlocked;
use crate::runtime::notifier::NotifierSocket;
use crate::sync::lock;

/// The running engine of this process.
pub struct Engine {
    runtime: Handle,
    address: String,
}

impl Engine {
    /// The engine of this process, started if it isn't there yet.
    pub fn of_this_process(environment: &Environment) -> Result<&'static Engine> {
        static RUNNING: Mutex<Option<(u32, &'static Engine)>> = Mutex::new(None);
        let pid = std::process::id();
        let mut running = lock(&RUNNING);
        match *running {
            Some((owner, engine)) if owner == pid => Ok(engine),
            _ => {
                // Leaked on purpose: one per process, needed until its end.
                let engine: &'static Engine = Box::leak(Box::new(Engine::start(environment)?));
                *running = Some((pid, engine));
                Ok(engine)
            }
        }
    }

    fn start(environment: &Environment) -> Result<Engine> {
        let environment = environment.clone();
        let (ready, started) = mpsc::sync_channel(1);
        let masked = AllBlocked::new();
        let spawned = std::thread::Builder::new().name("kong-vault".into()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(err) => return drop(ready.send(Err(err))),
            };
            runtime.block_on(async {
                match NotifierSocket::open(&environment) {
                    Err(err) => drop(ready.send(Err(err))),
                    Ok(socket) => {
                        let handle = Handle::current();
                        let engine = Engine { runtime: handle, address: socket.address() };
                        drop(ready.send(Ok(engine)));
                        socket.serve().await;
                    }
                }
            });
        });
        drop(masked);
        let failed = |err: std::io::Error| {
            Error::new(
                Kind::Internal,
                format!(
                    "the fetch engine of kong-vault can't start ({err}): it needs a thread and a writable directory: \
                     $TMPDIR, /tmp, /dev/shm, /var/tmp or /run"
                ),
            )
        };
        spawned.map_err(failed)?;
        match started.recv() {
            Ok(started) => started.map_err(failed),
            Err(_) => Err(Error::new(Kind::Internal, "the fetch engine of kong-vault ended while it started")),
        }
    }

    /// Where a cosocket of this process connects to, to be notified (see `notifier`).
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(task).abort_handle()
    }

    /// Calls a function on this thread, inside the engine's runtime.
    pub fn within<T>(&self, call: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        call()
    }
}
