//! The hand-over between engine and worker in all orders in which the two may come to it: `src/wake/queue.rs` itself, with
//! loom's threads and locks, between models of the engine (which lands flights) and of `listener.lua` (which reads the
//! doorbell). A wake-up that is lost leaves a thread that waits for ever, which loom reports as a deadlock. The same for
//! `src/rotation/alarm.rs`, by which whoever keeps a value knows whether the rotation will look after it in time.
//!
//! That it finds one was tried by defects in `Queue`: to look how many events wait before the lock is taken or after it is
//! given back, to ring one line only, to ring before the event is there, to attach a line after its first ring, to drop
//! events where a line is left, or departures where none is; and in `Alarm`: not to be stopped while the rotation looks
//! around, or to be taken for set where it is stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::sync::Condvar;
use loom::thread;

use alarm::Alarm;
use queue::{Line, Queue};

/// What both lock with.
mod sync {
    pub use loom::sync::{Mutex, MutexGuard};
}

#[allow(dead_code, clippy::new_without_default)]
#[path = "../src/wake/queue.rs"]
mod queue;

#[allow(clippy::new_without_default)]
#[path = "../src/rotation/alarm.rs"]
mod alarm;

use sync::Mutex;

/// A connection with the smallest buffer there is: one unread ring.
#[derive(Default)]
struct Wire {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Line for Wire {
    fn ring(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_one();
    }

    fn hang_up(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_one();
    }
}

impl Wire {
    /// Waits for a ring; false where the line was ended.
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
    Landed(usize),
    Boarding,
}

fn can_be_missed(event: &Event) -> bool {
    matches!(event, Event::Landed(_))
}

/// Engine and worker of one VM, with two flights.
struct Model {
    queue: Queue<Event, Wire>,
    /// Which flights have landed, as the engine knows it.
    flights: Mutex<[bool; 2]>,
    /// The same as the worker's Lua side knows it. Its lock stands for the one thread that all Lua runs on: between two
    /// reads nobody interrupts it.
    records: Mutex<[bool; 2]>,
    seen_off: Mutex<bool>,
}

impl Model {
    fn new() -> Arc<Self> {
        let (flights, records, seen_off) = (Mutex::new([false; 2]), Mutex::new([false; 2]), Mutex::new(false));
        Arc::new(Self { queue: Queue::new(), flights, records, seen_off })
    }

    /// As `Resolver::land`.
    fn land(&self, flight: usize) {
        self.flights.lock().unwrap()[flight] = true;
        self.queue.push(Event::Landed(flight));
    }

    /// As `Resolver::send`: the worker sees it off, or who sends it does.
    fn send(&self) {
        if !self.queue.push(Event::Boarding) {
            *self.seen_off.lock().unwrap() = true;
        }
    }

    /// As `serve` in listener.lua, until `is_done`; false where the line was ended.
    fn serve(&self, wire: &Wire, is_done: impl Fn(&[bool; 2]) -> bool) -> bool {
        let mut ring = wire.read();
        if ring {
            *self.records.lock().unwrap() = *self.flights.lock().unwrap();
        }
        while ring {
            let mut records = self.records.lock().unwrap();
            while let Some(event) = self.queue.next() {
                match event {
                    Event::Landed(flight) => records[flight] = true,
                    Event::Boarding => *self.seen_off.lock().unwrap() = true,
                }
            }
            if is_done(&records) {
                return true;
            }
            drop(records);
            ring = wire.read();
        }
        false
    }

    /// Somebody who has a line of his own until a flight has landed.
    fn wait(&self, flight: usize) {
        let wire = Arc::new(Wire::default());
        self.queue.attach(&wire);
        assert!(self.serve(&wire, |records| records[flight]));
        self.queue.detach(&wire, can_be_missed);
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // More switches than that find no more, but take for ever.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_courier_hears_of_each_landing() {
    explore(|| {
        let model = Model::new();
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.land(0);
                model.land(1);
            })
        };
        // The connection's task: the engine's thread as well, but that is no reason for the order to matter.
        let wire = Arc::new(Wire::default());
        let line = {
            let (model, wire) = (Arc::clone(&model), Arc::clone(&wire));
            thread::spawn(move || model.queue.attach(&wire))
        };
        assert!(model.serve(&wire, |records| *records == [true; 2]));
        engine.join().unwrap();
        line.join().unwrap();
    });
}

#[test]
fn who_waits_on_a_line_of_his_own_hears_of_what_another_took() {
    explore(|| {
        let model = Model::new();
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.land(0);
                model.land(1);
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
        let landings: Vec<_> = (0..2)
            .map(|flight| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.land(flight))
            })
            .collect();
        let wire = Arc::new(Wire::default());
        model.queue.attach(&wire);
        assert!(model.serve(&wire, |records| *records == [true; 2]));
        for landing in landings {
            landing.join().unwrap();
        }
    });
}

#[test]
fn nothing_is_lost_where_the_courier_ends_and_another_line_takes_its_place() {
    explore(|| {
        let model = Model::new();
        let courier = Arc::new(Wire::default());
        model.queue.attach(&courier);
        let engine = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.land(0);
                model.send();
            })
        };
        // The engine's task of the courier's line.
        let line = {
            let (model, courier) = (Arc::clone(&model), Arc::clone(&courier));
            thread::spawn(move || model.queue.detach(&courier, can_be_missed))
        };
        model.queue.hang_up();
        let wire = Arc::new(Wire::default());
        model.queue.attach(&wire);
        assert!(model.serve(&wire, |records| records[0]));
        engine.join().unwrap();
        line.join().unwrap();
        while let Some(event) = model.queue.next() {
            *model.seen_off.lock().unwrap() |= event == Event::Boarding;
        }
        assert!(*model.seen_off.lock().unwrap(), "the flight waits for a departure that nobody sees to");
    });
}

#[test]
fn the_rotation_wakes_up_in_time_for_whatever_was_kept() {
    let start = Instant::now();
    let at = move |seconds| start + Duration::from_secs(seconds);
    explore(move || {
        // What is due next in the cache; the alarm; the rotation's bell, which remembers one ring.
        let shared = Arc::new((Mutex::new(Some(at(4))), Alarm::new(), Wire::default()));
        // It rang just now.
        shared.1.set(Some(at(1)));
        let keepers: Vec<_> = [2, 3]
            .map(|due| {
                let shared = Arc::clone(&shared);
                // As `Resolver::keep_value` and `Rotation::expect`.
                thread::spawn(move || {
                    let (cache, alarm, bell) = &*shared;
                    let next = {
                        let mut cache = cache.lock().unwrap();
                        *cache = (*cache).min(Some(at(due)));
                        *cache
                    };
                    if alarm.is_too_late_for(next.unwrap()) {
                        bell.ring();
                    }
                })
            })
            .into();
        let (cache, alarm, bell) = &*shared;
        // As `run`; time stands still, so it sleeps until it is rung.
        loop {
            alarm.stop();
            let next = *cache.lock().unwrap();
            alarm.set(next);
            if next == Some(at(2)) {
                break;
            }
            assert!(bell.read());
        }
        for keeper in keepers {
            keeper.join().unwrap();
        }
    });
}
