//! Writes batches of lines where they belong. It runs on a thread of the pool for audit logs, which may hang.

use std::io;

use crate::audit::destination::Destination;
use crate::audit::event::Renderer;
use crate::audit::log_file::LogFile;
use crate::audit::queue::Batch;
use crate::audit::syslog::Syslog;
use crate::redact;

/// What is open, and what lines are made with.
pub struct Writer {
    sink: Option<Sink>,
    renderer: Renderer,
    lines: Vec<u8>,
    /// How many lines were lost since the last line about lost ones.
    lost: u64,
}

enum Sink {
    File(LogFile),
    Syslog(Syslog),
}

/// What became of a batch.
pub struct Written {
    pub written: u64,
    pub lost: u64,
    /// Why lines were lost, or the file can't be opened anew.
    pub problem: Option<String>,
}

impl Writer {
    pub fn new(destination: &Destination, worker: Option<u32>) -> Self {
        let is_syslog = matches!(destination, Destination::Syslog { .. });
        Self { sink: None, renderer: Renderer::new(worker, is_syslog), lines: Vec::new(), lost: 0 }
    }

    /// A writer for a process that was forked: it takes over a file that is open.
    pub fn forked(&self, destination: &Destination, worker: Option<u32>) -> Self {
        let sink = match &self.sink {
            Some(Sink::File(file)) => file.share().ok().map(Sink::File),
            _ => None,
        };
        Self { sink, ..Self::new(destination, worker) }
    }

    /// Opens what is not open, and looks whether the file was moved away.
    pub fn open(&mut self, destination: &Destination) -> Result<(), String> {
        let opened = match (destination, &mut self.sink) {
            (Destination::File(path), Some(Sink::File(file))) => file.follow(path),
            (Destination::File(path), sink) => LogFile::open(path).map(|file| *sink = Some(Sink::File(file))),
            (_, Some(_)) => Ok(()),
            (Destination::Syslog { server, priority, tag }, sink) => {
                Syslog::connect(server, *priority, tag).map(|syslog| *sink = Some(Sink::Syslog(syslog)))
            }
        };
        opened.map_err(|err| problem(destination, "opened", &err))
    }

    pub fn write(&mut self, destination: &Destination, batch: &Batch) -> Written {
        let opened = self.open(destination);
        self.lines.clear();
        let mut lines = std::mem::take(&mut self.lines);
        let ends = self.renderer.render(batch, self.lost, &mut lines);
        let extra = u64::from(self.lost > 0);
        let (done, outcome) = match &mut self.sink {
            Some(Sink::File(file)) => file.write(&lines, &ends),
            Some(Sink::Syslog(syslog)) => syslog.write(&lines, &ends),
            None => (0, Ok(())),
        };
        self.lines = lines;
        if outcome.is_err() && matches!(self.sink, Some(Sink::Syslog(_))) {
            // It is connected anew for the next batch: the server may have been restarted.
            self.sink = None;
        }
        if done > 0 {
            self.lost = 0;
        }
        let lines = batch.lines + u64::from(batch.dropped > 0);
        let written = (done as u64).saturating_sub(extra);
        let lost = batch.lines.saturating_sub(written);
        self.lost += lost + if written < lines { batch.dropped } else { 0 };
        let problem = outcome.err().map(|err| problem(destination, "written", &err)).or(opened.err());
        Written { written: written.min(batch.lines), lost, problem }
    }
}

fn problem(destination: &Destination, what: &str, err: &io::Error) -> String {
    let (place, advice) = match destination {
        Destination::File(path) => (
            redact::known_path(path),
            "give the workers' user the right to write to it and to its directory, and the disk room",
        ),
        Destination::Syslog { .. } => ("syslog".to_owned(), "start the syslog server, or correct its address"),
    };
    format!(
        "the audit log of vault_audit_log ({place}) can't be {what} ({err}): {advice}; until then lines are dropped and counted"
    )
}
