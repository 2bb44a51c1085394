//! What is reported, and how a line of it looks: docs/audit.md describes each field.

use std::collections::HashMap;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Serialize;
use serde_json::Value;

use crate::audit::queue::{Batch, Form, Record};
use crate::redact;
use crate::reference;

/// How much of a part is shown, in characters.
const SHOWN: usize = 256;

/// The longest line for syslog: its receivers cut longer ones.
const LONGEST_MESSAGE: usize = 8 << 10;

/// How many references, and how many other texts, a process remembers as they may be shown.
const REMEMBERED: usize = 4096;

/// A look-up, with what Lua knows of whoever made it; what is empty is not known.
#[derive(Debug, Default, Clone, Copy)]
pub struct Read<'a> {
    pub reference: &'a [u8],
    pub served: bool,
    pub phase: &'a [u8],
    pub plugin: &'a [u8],
    pub plugin_id: &'a [u8],
    pub route: &'a [u8],
    pub service: &'a [u8],
    pub server: &'a [u8],
    pub location: &'a [u8],
    pub request_id: &'a [u8],
}

impl<'a> Read<'a> {
    pub(super) fn parts(&self) -> [&'a [u8]; 9] {
        [
            self.reference,
            self.phase,
            self.plugin,
            self.plugin_id,
            self.route,
            self.service,
            self.server,
            self.location,
            self.request_id,
        ]
    }
}

/// What became of a fetch.
#[derive(Debug, Serialize)]
pub struct Fetch<'a> {
    pub event: &'static str,
    pub vault: &'a str,
    pub backend: &'static str,
    pub secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub purpose: &'static str,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

impl Fetch<'_> {
    /// A secret's name as it may be shown.
    pub fn secret(name: &str) -> String {
        redact::quote(name.as_bytes(), SHOWN)
    }
}

/// A vault that is down, or up again.
#[derive(Debug, Serialize)]
pub struct Health<'a> {
    pub event: &'static str,
    pub vault: &'a str,
    pub backend: &'static str,
    pub text: &'a str,
}

/// Who sent a request to the Admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The token's name; none where no token is asked for.
    pub token: Option<String>,
    /// The client's address. Where nginx took it from a header, `connection` is that of the connection.
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
}

impl Who {
    /// `peers`: all client addresses of the connection, the client's first.
    pub fn at(token: Option<String>, peers: &[&[u8]]) -> Self {
        let mut peers = peers.iter().map(|peer| redact::quote(peer, SHOWN));
        let address = peers.next();
        let connection = peers.next().filter(|connection| Some(connection) != address.as_ref());
        Self { token, address, connection }
    }
}

/// A change of a vault entity. What it was before and is now must be masked already.
#[derive(Debug, Serialize)]
pub struct Change<'a> {
    pub event: &'static str,
    pub who: &'a Who,
    pub action: &'static str,
    pub entity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a Value>,
    /// Whether `before` and `after` are left out, as they are too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A check of a vault by the Admin API: it sends the vault's credentials to where its options say.
#[derive(Debug, Serialize)]
pub struct Check<'a> {
    pub event: &'static str,
    pub who: &'a Who,
    pub vault: &'a str,
    /// The secret that was to be read, if any.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub secret: &'a str,
}

/// A request that the Admin API refused.
#[derive(Debug, Serialize)]
pub struct Refusal<'a> {
    pub event: &'static str,
    pub who: &'a Who,
    pub status: u16,
    /// How many more were refused since the last line about one.
    pub more: u64,
}

#[derive(Serialize)]
struct Dropped {
    event: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct ReadLine<'a> {
    event: &'static str,
    reference: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    vault: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    served: bool,
    phase: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    plugin: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    plugin_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    route: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    location: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
}

/// A reference as it may be shown.
struct Shown {
    reference: String,
    vault: String,
    version: Option<u32>,
}

/// Makes lines of records.
pub struct Renderer {
    pub worker: Option<u32>,
    is_syslog: bool,
    /// The second of the last line, and its text.
    second: (u64, String),
    references: HashMap<Box<[u8]>, Shown>,
    texts: Texts,
}

/// Parts of lines as they may be shown: most lines have the same.
#[derive(Default)]
struct Texts(HashMap<Box<[u8]>, String>);

impl Texts {
    fn shown(&mut self, part: &[u8]) -> String {
        if part.is_empty() {
            return String::new();
        }
        if let Some(shown) = self.0.get(part) {
            return shown.clone();
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let shown = redact::quote(part, SHOWN);
        self.0.insert(part.into(), shown.clone());
        shown
    }
}

impl Renderer {
    pub fn new(worker: Option<u32>, is_syslog: bool) -> Self {
        Self {
            worker,
            is_syslog,
            second: (u64::MAX, String::new()),
            references: HashMap::new(),
            texts: Texts::default(),
        }
    }

    /// Appends the lines of a batch to `lines`. Returns where each ends: each end follows a line break.
    pub fn render(&mut self, batch: &Batch, lines: &mut Vec<u8>) -> Vec<usize> {
        let mut ends = Vec::with_capacity(batch.lines as usize + 1);
        let mut last = 0;
        for record in batch.records() {
            last = record.at;
            self.render_record(record, lines);
            ends.push(lines.len());
        }
        if batch.dropped > 0 {
            self.render_dropped(batch.dropped, last, lines);
            ends.push(lines.len());
        }
        ends
    }

    pub fn render_dropped(&mut self, count: u64, at: u64, lines: &mut Vec<u8>) {
        self.begin(at, lines);
        end(&Dropped { event: "dropped", count }, lines);
    }

    fn render_record(&mut self, mut record: Record<'_>, lines: &mut Vec<u8>) {
        self.begin(record.at, lines);
        if record.form == Form::Object {
            let (whole, short) = (record.next_part(), record.next_part());
            let is_long = self.is_syslog && whole.len() > LONGEST_MESSAGE && !short.is_empty();
            lines.extend_from_slice(if is_long { short } else { whole }.get(1..).unwrap_or_default());
            lines.push(b'\n');
            return;
        }
        if self.references.len() >= REMEMBERED {
            self.references.clear();
        }
        let text = record.next_part();
        if !self.references.contains_key(text) {
            self.references.insert(text.into(), Shown::new(text));
        }
        let Some(shown) = self.references.get(text) else { return };
        let served = record.form == Form::Served;
        let mut next = || self.texts.shown(record.next_part());
        let line = ReadLine {
            event: "read",
            reference: &shown.reference,
            vault: &shown.vault,
            version: shown.version,
            served,
            phase: next(),
            plugin: next(),
            plugin_id: next(),
            route: next(),
            service: next(),
            server: next(),
            location: next(),
            request_id: next(),
        };
        end(&line, lines);
    }

    /// Begins a line with what all have: the time, and the process.
    fn begin(&mut self, at: u64, lines: &mut Vec<u8>) {
        let (second, millisecond) = (at / 1000, at % 1000);
        if self.second.0 != second {
            let text = DateTime::from_secs(second as i64).fmt(Format::DateTime).unwrap_or_default();
            self.second = (second, text.trim_end_matches('Z').to_owned());
        }
        let worker = self.worker.map_or_else(String::new, |worker| format!("\"worker\":{worker},"));
        let (second, pid) = (&self.second.1, std::process::id());
        let head = format!("{{\"time\":\"{second}.{millisecond:03}Z\",\"pid\":{pid},{worker}");
        lines.extend_from_slice(head.as_bytes());
    }
}

impl Shown {
    fn new(text: &[u8]) -> Self {
        let parsed = reference::parse(text).ok();
        Self {
            reference: reference::name(text),
            vault: parsed.as_ref().map(|parsed| redact::vault(&parsed.name, SHOWN)).unwrap_or_default(),
            version: parsed.and_then(|parsed| parsed.version),
        }
    }
}

/// Ends a line that has begun with an object's fields.
fn end(fields: &impl Serialize, lines: &mut Vec<u8>) {
    let begun = lines.len();
    // Writing to memory can't fail, nor have these types keys that are no texts.
    let _ = serde_json::to_writer(&mut *lines, fields);
    if begun < lines.len() {
        lines.remove(begun);
    }
    lines.push(b'\n');
}
