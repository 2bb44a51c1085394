//! What is reported, and how a line of it looks: docs/audit.md describes each field.

use std::collections::HashMap;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Serialize;
use serde_json::Value;

use crate::audit::queue::{Batch, Form, Record};
use crate::redact;
use crate::reference;

/// How much of a part a line shows, in characters.
pub const SHOWN: usize = 256;

/// The longest line for syslog: its receivers cut longer ones.
const LONGEST_MESSAGE: usize = 8 << 10;

/// How many references, and how many other texts, a process remembers as lines have them; and how long they may be: a path
/// is as long as its client likes.
const REMEMBERED: usize = 4096;
const LONGEST_REMEMBERED: usize = 1 << 10;

/// The fields of a look-up between `served` and `request_id`, in the order of `Read::parts`.
const FIELDS: [&str; 7] = [
    ",\"phase\":",
    ",\"plugin\":",
    ",\"plugin_id\":",
    ",\"route\":",
    ",\"service\":",
    ",\"server\":",
    ",\"location\":",
];

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
    /// The reference to the secret that was to be read, if any, as errors show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'a str>,
    /// The stored entity whose credentials masks stood for, if there were any: its prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_of: Option<&'a str>,
    /// The entity, if it is one that need not be stored. It must be masked already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<&'a Value>,
    /// Whether `entity` is left out, as it is too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
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

/// What a line says of a reference.
#[derive(Serialize)]
struct Shown {
    event: &'static str,
    reference: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    vault: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
}

/// Makes lines of records.
pub struct Renderer {
    worker: Option<u32>,
    is_syslog: bool,
    references: Remembered,
    texts: Remembered,
}

/// Pieces of lines, by the parts that they are made of: most lines have the same.
#[derive(Default)]
struct Remembered(HashMap<Box<[u8]>, Box<[u8]>>);

/// What each line begins with: the time, and the process.
struct Head {
    at: Option<u64>,
    text: String,
    process: String,
}

impl Renderer {
    pub fn new(worker: Option<u32>, is_syslog: bool) -> Self {
        Self { worker, is_syslog, references: Remembered::default(), texts: Remembered::default() }
    }

    /// Appends the lines of a batch to `lines`, after one about `lost` lines, if there are any. Returns where each ends:
    /// each end follows a line break.
    pub fn render(&mut self, batch: &Batch, lost: u64, lines: &mut Vec<u8>) -> Vec<usize> {
        let mut ends = Vec::with_capacity(batch.lines as usize + 2);
        let mut head = Head::new(self.worker);
        let mut records = batch.records().peekable();
        let mut last = records.peek().map_or(0, |record| record.at);
        if lost > 0 {
            head.begin(last, lines);
            dropped(lost, lines);
            ends.push(lines.len());
        }
        for record in records {
            last = record.at;
            head.begin(last, lines);
            match record.form {
                Form::Object => self.render_object(record, lines),
                _ => self.render_read(record, lines),
            }
            ends.push(lines.len());
        }
        if batch.dropped > 0 {
            head.begin(last, lines);
            dropped(batch.dropped, lines);
            ends.push(lines.len());
        }
        ends
    }

    fn render_object(&self, mut record: Record<'_>, lines: &mut Vec<u8>) {
        let (whole, short) = (record.next_part(), record.next_part());
        let is_long = self.is_syslog && whole.len() > LONGEST_MESSAGE && !short.is_empty();
        lines.extend_from_slice(if is_long { short } else { whole }.get(1..).unwrap_or_default());
        lines.push(b'\n');
    }

    fn render_read(&mut self, mut record: Record<'_>, lines: &mut Vec<u8>) {
        self.references.append(record.next_part(), |reference| fields(&Shown::new(reference)), lines);
        let served = record.form == Form::Served;
        lines.extend_from_slice(if served { b",\"served\":true" } else { b",\"served\":false" });
        for field in FIELDS {
            let part = record.next_part();
            if !part.is_empty() {
                lines.extend_from_slice(field.as_bytes());
                self.texts.append(part, text, lines);
            }
        }
        // Each request has another id.
        let id = record.next_part();
        if !id.is_empty() {
            lines.extend_from_slice(b",\"request_id\":");
            lines.extend_from_slice(&text(id));
        }
        lines.extend_from_slice(b"}\n");
    }
}

impl Remembered {
    /// Appends the piece that `make` makes of a part.
    fn append(&mut self, part: &[u8], make: impl FnOnce(&[u8]) -> Vec<u8>, lines: &mut Vec<u8>) {
        if let Some(piece) = self.0.get(part) {
            lines.extend_from_slice(piece);
            return;
        }
        let piece = make(part);
        lines.extend_from_slice(&piece);
        if part.len() <= LONGEST_REMEMBERED {
            if self.0.len() >= REMEMBERED {
                self.0.clear();
            }
            self.0.insert(part.into(), piece.into());
        }
    }
}

impl Head {
    fn new(worker: Option<u32>) -> Self {
        let worker = worker.map_or_else(String::new, |worker| format!("\"worker\":{worker},"));
        Self { at: None, text: String::new(), process: format!("\"pid\":{},{worker}", std::process::id()) }
    }

    /// Begins a line. Many lines are of the same millisecond.
    fn begin(&mut self, at: u64, lines: &mut Vec<u8>) {
        if self.at != Some(at) {
            let second = DateTime::from_secs((at / 1000) as i64).fmt(Format::DateTime).unwrap_or_default();
            let (second, process) = (second.trim_end_matches('Z'), &self.process);
            self.text = format!("{{\"time\":\"{second}.{:03}Z\",{process}", at % 1000);
            self.at = Some(at);
        }
        lines.extend_from_slice(self.text.as_bytes());
    }
}

impl Shown {
    fn new(text: &[u8]) -> Self {
        let parsed = reference::parse(text).ok();
        Self {
            event: "read",
            reference: reference::name(text),
            vault: parsed.as_ref().map(|parsed| redact::vault(&parsed.name, SHOWN)).unwrap_or_default(),
            version: parsed.and_then(|parsed| parsed.version),
        }
    }
}

pub fn as_json(event: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(event).unwrap_or_default()
}

/// A part as it may be shown, in JSON.
fn text(part: &[u8]) -> Vec<u8> {
    as_json(&redact::quote(part, SHOWN))
}

/// An object's fields in JSON, without its braces.
fn fields(object: &impl Serialize) -> Vec<u8> {
    let json = as_json(object);
    json.strip_prefix(b"{").and_then(|json| json.strip_suffix(b"}")).unwrap_or_default().to_vec()
}

/// Ends a line about lines that were dropped.
fn dropped(count: u64, lines: &mut Vec<u8>) {
    lines.extend_from_slice(format!("\"event\":\"dropped\",\"count\":{count}}}\n").as_bytes());
}
