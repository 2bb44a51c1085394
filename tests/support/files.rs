//! Directories with secrets, as Kubernetes and others keep them, and a worker that reads them.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::error::Result;
use kong_vault::resolver::singleflight::{JoinOutcome, Joiner, Purpose};
use kong_vault::resolver::{Lookup, Resolver};
use kong_vault::runtime::engine::Engine;
use kong_vault::runtime::notifier::Event;
use tempfile::TempDir;

/// Bounds each wait for something in the background; it is no part of any result.
const PATIENCE: Duration = Duration::from_secs(20);

/// A volume as the kubelet's AtomicWriter keeps it.
pub struct Volume {
    path: PathBuf,
    version: AtomicU32,
}

impl Volume {
    pub fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let known = std::fs::read_link(path.join("..data")).ok();
        let version = known.and_then(|data| data.to_str()?.rsplit('.').next()?.parse::<u32>().ok());
        Self { path: path.to_owned(), version: AtomicU32::new(version.map_or(0, |version| version + 1)) }
    }

    /// Puts all keys in the place of those that are there, in one step.
    pub fn publish(&self, keys: &[(&str, &str)]) {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let old = std::fs::read_link(self.path.join("..data")).ok();
        let data = format!("..2026_11_26_12_00_00.{version:09}");
        std::fs::create_dir(self.path.join(&data)).unwrap();
        for (key, value) in keys {
            let file = self.path.join(&data).join(key);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, value).unwrap();
        }
        symlink(&data, self.path.join("..data_tmp")).unwrap();
        std::fs::rename(self.path.join("..data_tmp"), self.path.join("..data")).unwrap();
        for (key, _) in keys {
            let first = key.split('/').next().unwrap();
            // It may be there from before.
            let _ = symlink(Path::new("..data").join(first), self.path.join(first));
        }
        if let Some(old) = old {
            std::fs::remove_dir_all(self.path.join(old)).unwrap();
        }
    }
}

/// Who takes the engine's events.
pub struct Listener {
    stream: UnixStream,
    resolver: Arc<Resolver>,
}

impl Listener {
    pub fn next(&mut self) -> Event {
        loop {
            if let Some((event, _)) = self.resolver.notifier().next() {
                return event;
            }
            assert!(self.stream.read(&mut [0; 64]).unwrap() > 0, "the engine is there");
        }
    }
}

/// One worker with an `fs` vault.
pub struct Worker {
    pub folder: TempDir,
    pub prefix: PathBuf,
    pub resolver: Arc<Resolver>,
}

impl Worker {
    /// With a directory of its own, in which everything is that `make` puts there.
    pub fn new(options: &[(&str, &str)], make: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("prefix");
        std::fs::create_dir(&prefix).unwrap();
        make(&prefix);
        let mut conf = BTreeMap::from([("vault_fs_prefix".to_owned(), prefix.to_str().unwrap().to_owned())]);
        conf.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let environment = Environment::default();
        let config = Config::load(&conf, &environment).unwrap();
        config.check().unwrap();
        let resolver = Arc::new(Resolver::new(config, environment, Arc::new(AtomicU32::new(1))));
        Self { folder, prefix, resolver }
    }

    pub fn write(&self, path: &str, value: &str) {
        std::fs::write(self.prefix.join(path), value).unwrap();
    }

    /// Writes as one should: another file that takes the place of the old one.
    pub fn replace(&self, path: &str, value: &str) {
        let other = self.prefix.join(format!("{path}.new"));
        std::fs::write(&other, value).unwrap();
        std::fs::rename(other, self.prefix.join(path)).unwrap();
    }

    /// As a request would get it: joins or starts a call, waits for it, takes what it brought.
    pub fn bytes(&self, reference: &str) -> Result<Vec<u8>> {
        let resolved = match self.resolver.lookup(reference.as_bytes())? {
            Lookup::Value(value) => return Ok(value.secret.as_bytes().to_vec()),
            Lookup::Miss(resolved) => resolved,
        };
        let ticket = match self.resolver.join_or_create(&resolved.key, Purpose::Miss, Joiner::WAITER)? {
            JoinOutcome::Joined(ticket) => ticket,
            JoinOutcome::Created(ticket) => {
                self.resolver.start_shared(ticket, None);
                ticket
            }
        };
        self.resolver.wait(ticket);
        let value = self.resolver.collect(ticket, reference.as_bytes())?.expect("a completed call");
        Ok(value.secret.as_bytes().to_vec())
    }

    /// The value below the vault's directory.
    pub fn get(&self, path: &str) -> Result<String> {
        self.bytes(&format!("{{vault://fs/{path}}}")).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Gets it until what it comes to is as wanted. The watch of the directory may have begun a fetch before the last
    /// change, which a call then shares.
    pub fn eventually(&self, path: &str, is_wanted: impl Fn(&Result<String>) -> bool) {
        let start = Instant::now();
        loop {
            let found = self.get(path);
            if is_wanted(&found) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{path}: {found:?}");
        }
    }

    pub fn error(&self, path: &str) -> String {
        self.get(path).expect_err(path).to_string()
    }

    /// What is cached.
    pub fn cached(&self, path: &str) -> Option<String> {
        let reference = format!("{{vault://fs/{path}}}");
        match self.resolver.lookup(reference.as_bytes()) {
            Ok(Lookup::Value(value)) => value.secret.as_str().map(str::to_owned),
            _ => None,
        }
    }

    /// Listens to the engine from now on, as the worker's Lua side does.
    pub fn listen(&self) -> Listener {
        let engine = Engine::of_this_process(&Environment::default()).unwrap();
        let mut stream = UnixStream::connect(engine.address().strip_prefix("unix:").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&self.resolver.notifier().number().to_le_bytes()).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        Listener { stream, resolver: Arc::clone(&self.resolver) }
    }

    /// Waits until the cached value is that one. Returns for how long.
    pub fn until(&self, path: &str, value: &str) -> Duration {
        let start = Instant::now();
        while self.cached(path).as_deref() != Some(value) {
            assert!(start.elapsed() < PATIENCE, "{path} is {:?}, not {value}", self.cached(path));
            std::thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    }
}
