//! The hand-over between engine and worker in all orders in which the two may come to it: `src/runtime/notifier/queue.rs` itself, with
//! loom's threads and locks, between models of the engine (which completes calls) and of `listener.lua` (which reads the
//! notifier's socket). A wake-up that is lost leaves a thread that waits for ever, which loom reports as a deadlock. The same for
//! `src/resolver/wakeup.rs`, by which whoever keeps a value knows whether the refresher will look after it in time.
//!
//! That it finds one was tried by defects in `Queue`: to look how many events wait before the lock is taken or after it is
//! given back, to notify one subscriber only, or before the event is there, to subscribe one after its first byte, to drop
//! events where a subscriber is left, or starts where none is; and in `Wakeup`: not to be stopped while the refresher looks
//! around, or to be taken for set where it is stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::sync::Condvar;
use loom::thread;

use queue::{Queue, Subscriber};
use wakeup::Wakeup;

/// What both lock with.
mod sync {
    pub use loom::sync::Mutex;
    use loom::sync::MutexGuard;

    /// loom finds by itself what waits for ever, so ranks say nothing here.
    pub enum Rank {
        Events,
        Wakeup,
    }

    pub struct Ranked<T>(Mutex<T>);

    impl<T> Ranked<T> {
        pub fn new(_: Rank, data: T) -> Self {
            Self(Mutex::new(data))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

#[allow(dead_code, clippy::new_without_default)]
#[path = "../src/runtime/notifier/queue.rs"]
mod queue;

#[allow(clippy::new_without_default)]
#[path = "../src/resolver/wakeup.rs"]
mod wakeup;

use sync::Mutex;

/// A connection with the smallest buffer there is: one unread byte.
#[derive(Default)]
struct Wire {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Subscriber for Wire {
    fn notify(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_one();
    }
}

impl Wire {
    /// Waits for a byte; false where the connection was ended.
    fn read(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        loop {
            if std::mem::take(&mut state.0) {
                return true;
            }
            if state.1 {
                return false;
            }
            state = self.changed.wait(state).unwrap();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Completed(usize),
    Start,
}

fn can_be_missed(event: &Event) -> bool {
    matches!(event, Event::Completed(_))
}

/// Engine and worker of one VM, with two calls.
struct Model {
    queue: Queue<Event, Wire>,
    /// Which calls are completed, as the engine knows it.
    calls: Mutex<[bool; 2]>,
    /// The same as the worker's Lua side knows it. Its lock stands for the one thread that all Lua runs on: between two
    /// reads nobody interrupts it.
    records: Mutex<[bool; 2]>,
    started: Mutex<bool>,
}

impl Model {
    fn new() -> Arc<Self> {
        let (calls, records, started) = (Mutex::new([false; 2]), Mutex::new([false; 2]), Mutex::new(false));
        Arc::new(Self { queue: Queue::new(), calls, records, started })
    }

    /// As `Resolver::complete`.
    fn complete(&self, call: usize) {
        self.calls.lock().unwrap()[call] = true;
        self.queue.push(Event::Completed(call));
    }

    /// As `Resolver::fetch_in_background`: the worker starts it, or who asks for it does.
    fn fetch_in_background(&self) {
        if !self.queue.push(Event::Start) {
            *self.started.lock().unwrap() = true;
        }
    }

    /// As `serve` in listener.lua, until `is_done`; false where the connection was ended.
    fn serve(&self, wire: &Wire, is_done: impl Fn(&[bool; 2]) -> bool) -> bool {
        let mut notify = wire.read();
        if notify {
            *self.records.lock().unwrap() = *self.calls.lock().unwrap();
        }
        while notify {
            let mut records = self.records.lock().unwrap();
            while let Some((event, are_more)) = self.queue.next() {
                match event {
                    Event::Completed(call) => records[call] = true,
                    Event::Start => *self.started.lock().unwrap() = true,
                }
                if !are_more {
                    break;
                }
            }
            if is_done(&records) {
                return true;
            }
            drop(records);
            notify = wire.read();
        }
        false
    }

    /// Somebody who has a connection of his own until a call is completed.
    fn wait(&self, call: usize) {
        let wire = Arc::new(Wire::default());
        self.queue.subscribe(&wire);
        assert!(self.serve(&wire, |records| records[call]));
        self.queue.unsubscribe(&wire, can_be_missed);
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // More switches than that find no more, but take for ever.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_listener_hears_of_each_completion() {
    explore(|| {
        let model = Model::new();
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.complete(0);
                model.complete(1);
            })
        };
        // The connection's task: the engine's thread as well, but that is no reason for the order to matter.
        let wire = Arc::new(Wire::default());
        let subscriber = {
            let (model, wire) = (Arc::clone(&model), Arc::clone(&wire));
            thread::spawn(move || model.queue.subscribe(&wire))
        };
        assert!(model.serve(&wire, |records| *records == [true; 2]));
        engine.join().unwrap();
        subscriber.join().unwrap();
    });
}

#[test]
fn who_waits_on_a_connection_of_his_own_hears_of_what_another_took() {
    explore(|| {
        let model = Model::new();
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.complete(0);
                model.complete(1);
            })
        };
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wait(1))
        };
        model.wait(0);
        engine.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn two_who_leave_events_at_once_have_both_heard() {
    explore(|| {
        let model = Model::new();
        let completions: Vec<_> = (0..2)
            .map(|call| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.complete(call))
            })
            .collect();
        let wire = Arc::new(Wire::default());
        model.queue.subscribe(&wire);
        assert!(model.serve(&wire, |records| *records == [true; 2]));
        for completion in completions {
            completion.join().unwrap();
        }
    });
}

#[test]
fn nothing_is_lost_where_the_listener_ends_and_another_subscriber_takes_its_place() {
    explore(|| {
        let model = Model::new();
        let listener = Arc::new(Wire::default());
        model.queue.subscribe(&listener);
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.complete(0);
                model.fetch_in_background();
            })
        };
        // The engine's task of the listener's connection.
        let subscriber = {
            let (model, listener) = (Arc::clone(&model), Arc::clone(&listener));
            thread::spawn(move || model.queue.unsubscribe(&listener, can_be_missed))
        };
        model.queue.close();
        let wire = Arc::new(Wire::default());
        model.queue.subscribe(&wire);
        assert!(model.serve(&wire, |records| records[0]));
        engine.join().unwrap();
        subscriber.join().unwrap();
        while let Some((event, _)) = model.queue.next() {
            *model.started.lock().unwrap() |= event == Event::Start;
        }
        assert!(*model.started.lock().unwrap(), "the call waits to be started, and nobody does");
    });
}

#[test]
fn the_rotation_wakes_up_in_time_for_whatever_was_kept() {
    let start = Instant::now();
    let at = move |seconds| start + Duration::from_secs(seconds);
    explore(move || {
        // What is due next in the cache; the wakeup; the refresher's signal, which remembers one call.
        let shared = Arc::new((Mutex::new(Some(at(4))), Wakeup::new(), Wire::default()));
        // It woke up just now.
        shared.1.sleep_until(Some(at(1)));
        let storers: Vec<_> = [2, 3]
            .map(|due| {
                let shared = Arc::clone(&shared);
                // As `Resolver::keep_value` and `Schedule::expect`.
                thread::spawn(move || {
                    let (cache, wakeup, notifier) = &*shared;
                    let next = {
                        let mut cache = cache.lock().unwrap();
                        *cache = (*cache).min(Some(at(due)));
                        *cache
                    };
                    if wakeup.is_too_late_for(next.unwrap()) {
                        notifier.notify();
                    }
                })
            })
            .into();
        let (cache, wakeup, notifier) = &*shared;
        // As `run`; time stands still, so it sleeps until it is woken.
        loop {
            wakeup.begin_scan();
            let next = *cache.lock().unwrap();
            wakeup.sleep_until(next);
            if next == Some(at(2)) {
                break;
            }
            assert!(notifier.read());
        }
        for storer in storers {
            storer.join().unwrap();
        }
    });
}
