//! Runs the program as a child, hands signals on, and acts when a value rotates.

#![expect(clippy::disallowed_methods, reason = "a thread that waits for signals")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use super::on_rotation::OnRotation;
use super::prepared::{Files, Prepared};
use super::program::Program;
use super::text::Values;
use crate::outcome::Outcome;
use crate::session::warn;
use kong_vault::redact;
use kong_vault::resolver::Resolver;
use kong_vault::resolver::breaker::BreakerState;
use kong_vault::secret::Secret;

/// How often it looks whether a value has rotated. The refresher has renewed it by then.
const LOOK: Duration = Duration::from_secs(1);

/// What is handed on. Those that stop and continue are not: a terminal sends them to both, as it does those of its keys.
const HANDED_ON: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH];

pub struct Supervisor<'a> {
    pub program: Program<'a>,
    pub prepared: Prepared,
    pub files: Files,
    pub values: Values,
    pub resolver: Arc<Resolver>,
    pub on_rotation: OnRotation,
    /// How long the program has to end when it is restarted.
    pub kill_after: Duration,
}

/// What is being waited for.
enum State {
    Running,
    /// It was told to end so that it can be started again; it is killed at that time.
    Restarting(Instant),
    /// It was told to end by somebody else: it is not started again.
    Leaving,
}

impl Supervisor<'_> {
    /// Runs the program to its end, and returns its status.
    pub fn run(mut self) -> Outcome {
        let signals = match signals() {
            Ok(signals) => signals,
            Err(error) => return Outcome::NoValue(format!("cannot wait for signals ({error})")),
        };
        if let Err(error) = self.resolver.start() {
            return Outcome::NoValue(error.for_users());
        }
        let (mut child, mut state) = match self.spawn() {
            Ok(child) => (child, State::Running),
            Err(outcome) => return outcome,
        };
        let (mut look_at, mut is_settling) = (Instant::now() + LOOK, false);
        let (mut told, mut away) = (HashMap::new(), BTreeSet::new());
        loop {
            let wake_at = if let State::Restarting(kill_at) = state { look_at.min(kill_at) } else { look_at };
            match signals.recv_timeout(wake_at.saturating_duration_since(Instant::now())) {
                Ok(origin) => {
                    if hand_on(&origin, &child) && matches!(origin.signal, SIGINT | SIGQUIT | SIGTERM) {
                        state = State::Leaving;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Outcome::NoValue("lost its signals".to_owned()),
            }
            match (reap(&child), &state) {
                (Ok(Some(_)), State::Restarting(_)) => {
                    child = match self.spawn() {
                        Ok(child) => child,
                        Err(outcome) => return outcome,
                    };
                    state = State::Running;
                }
                (Ok(Some(status)), _) => return Outcome::Ended(status),
                (Ok(None), State::Restarting(kill_at)) if Instant::now() >= *kill_at => {
                    // It may have ended meanwhile.
                    let _ = child.kill();
                }
                (Ok(None), _) => {}
                (Err(error), _) => return Outcome::NoValue(format!("cannot wait for the program ({error})")),
            }
            if Instant::now() < look_at {
                continue;
            }
            look_at = Instant::now() + LOOK;
            self.report_outages(&mut away);
            let has_changed = self.values.follow(&self.resolver, |reference, error| {
                let text = error.for_users();
                if told.get(reference) != Some(&text) {
                    warn(format!("{}: {text}; the last value stays", redact::quote(reference, 256)));
                    told.insert(reference.to_vec(), text);
                }
            });
            // Values that belong together may be renewed one after the other.
            if has_changed {
                is_settling = true;
            } else if is_settling && matches!(state, State::Running) {
                is_settling = false;
                state = self.rotate(&child);
            }
        }
    }

    fn spawn(&self) -> Result<Child, Outcome> {
        let variables = self.prepared.filled(&self.values, &self.files).map_err(Outcome::NoValue)?;
        self.program.spawn(&variables)
    }

    /// Warns once of each vault that fails: its values serve from the cache meanwhile, without an error.
    fn report_outages(&self, away: &mut BTreeSet<String>) {
        for (vault, state) in self.resolver.levels(0).breakers {
            if state == BreakerState::Closed {
                if away.remove(&vault) {
                    warn(format!("vault {vault} answers again"));
                }
            } else if away.insert(vault.clone()) {
                warn(format!("vault {vault} fails: the program keeps the last values"));
            }
        }
    }

    /// Acts on values that have changed.
    fn rotate(&mut self, child: &Child) -> State {
        let replaced = self.prepared.replace(&mut self.files, &self.values);
        let fits: Result<BTreeMap<OsString, Secret>, String> = self.prepared.filled(&self.values, &self.files);
        if let Err(why) = replaced.and(fits.map(drop)) {
            warn(format!("a secret has rotated, but the program runs on with the last value: {why}"));
            return State::Running;
        }
        match self.on_rotation {
            OnRotation::Signal(signal) => {
                send(child, signal);
                State::Running
            }
            OnRotation::Restart => {
                send(child, Signal::TERM);
                State::Restarting(Instant::now() + self.kill_after)
            }
        }
    }
}

/// Has all signals that concern the program, or its end, come one by one.
fn signals() -> std::io::Result<Receiver<Origin>> {
    let mut signals = SignalsInfo::<WithOrigin>::new(HANDED_ON.iter().chain(&[SIGCHLD]))?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || signals.forever().try_for_each(|origin| sender.send(origin)));
    Ok(receiver)
}

/// Hands a signal on, unless its sender has told the program as well. Returns whether the program has it.
fn hand_on(origin: &Origin, child: &Child) -> bool {
    if origin.signal == SIGCHLD {
        return false;
    }
    // A terminal signals all processes in its foreground.
    if origin.cause != Cause::Kernel
        && let Some(signal) = Signal::from_named_raw(origin.signal)
    {
        send(child, signal);
    }
    true
}

fn send(child: &Child, signal: Signal) {
    // It may have ended meanwhile; until it is waited for, nobody else has its id.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Reaps all processes that have ended: as the first process of a container, this one has the orphans of others. Returns
/// the program's status, as a shell gives it, if it is one of them.
fn reap(child: &Child) -> std::io::Result<Option<u8>> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()).ok() == Some(child.id()) => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                ended = code.map(|code| u8::try_from(code).unwrap_or(u8::MAX));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(ended),
            Err(_) if ended.is_some() => return Ok(ended),
            Err(error) => return Err(error.into()),
        }
    }
}
