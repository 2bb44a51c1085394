//! `kong-vault doctor`: checks each step to a vault, reports what fails and suggests a fix.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::colour::{self, Painted};
use crate::outcome::Outcome;
use crate::session;
use kong_vault::config::{Config, Vault};
use kong_vault::diagnosis::{self, Finding, Findings, Verdict};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind};
use kong_vault::reference::{self, Reference};
use kong_vault::resolver::blocking;
use kong_vault::resolver::diagnose::{Diagnosis, without_secret};
use kong_vault::secret::Secret;

/// The width of a line's first two columns.
const VERDICT: usize = 8;
const STEP: usize = 13;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Text,
    /// One JSON object: docs/cli.md describes it
    Json,
}

/// The vault that is asked. `backend` is not known where its configuration has a mistake.
struct Subject {
    backend: Option<&'static str>,
    name: String,
}

pub fn run(vault: &OsStr, timeout: Option<&str>, conf: Option<&Path>, format: Format) -> Outcome {
    let opened = match session::open(timeout, conf) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    opened.surprises.iter().for_each(session::warn);
    let config = opened.resolver.config();
    let asked = match asked(vault.as_bytes()) {
        Ok(asked) => asked,
        Err(error) => return Outcome::Misuse(error.to_string()),
    };
    let vault = match config.vault(&asked.name) {
        Ok(vault) => vault,
        Err(error) if error.kind() == Kind::UnknownVault => return Outcome::Misuse(error.to_string()),
        Err(error) => {
            let subject = Subject { backend: None, name: kong_vault::redact::vault(&asked.name, 64) };
            return report(&subject, &[wrong(&error)], format);
        }
    };
    let findings = diagnose(config, &vault, &asked).unwrap_or_else(|error| Findings(vec![wrong(&error)])).0;
    report(&Subject { backend: Some(vault.backend.name), name: vault.name.clone() }, &findings, format)
}

/// Parses the argument: a vault's name, alone or with a secret's name, or a whole reference.
fn asked(text: &[u8]) -> Result<Reference, Error> {
    if reference::is_reference(text) || text.contains(&b'/') {
        let whole = session::whole(text);
        return reference::parse(&whole).map_err(|error| session::explain(&whole, error));
    }
    without_secret(text)
}

fn diagnose(config: &Config, vault: &Vault, asked: &Reference) -> Result<Findings, Error> {
    blocking::run(Diagnosis::prepare(config, vault, asked, Environment::captured())?.run())
}

fn wrong(error: &Error) -> Finding {
    Finding { step: "options", verdict: Verdict::Bad, text: error.to_string() }
}

fn report(subject: &Subject, findings: &[Finding], format: Format) -> Outcome {
    let text = match format {
        Format::Text => table(subject, findings, colour::of_stdout()),
        Format::Json => object(subject, findings),
    };
    match count(findings, Verdict::Bad) {
        0 => Outcome::Done(Secret::new(text)),
        _ => Outcome::Wrong { text, why: "check failed: see the lines marked WRONG".to_owned() },
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

fn table(subject: &Subject, findings: &[Finding], colour: bool) -> String {
    let before = subject.backend.map_or(String::new(), |backend| format!("{backend} "));
    let mut text = format!("{before}vault ({})\n\n", subject.name);
    for finding in findings {
        let (verdict, style) = match finding.verdict {
            Verdict::Good => ("ok", colour::GOOD),
            Verdict::Doubtful => ("look at", colour::WARNING),
            Verdict::Bad => ("WRONG", colour::ERROR),
        };
        let padded = format!("{verdict:VERDICT$}");
        let verdict = Painted::new(&padded, style, colour);
        let _ = writeln!(text, "{verdict} {:STEP$} {}", finding.step, finding.text);
    }
    text
}

/// docs/cli.md describes it.
fn object(subject: &Subject, findings: &[Finding]) -> String {
    let mut object = diagnosis::report(subject.backend, &subject.name, findings);
    object.insert("version".to_owned(), json!(1));
    object.insert("tool".to_owned(), json!({ "name": "kong-vault", "version": env!("CARGO_PKG_VERSION") }));
    format!("{:#}\n", Value::Object(object))
}
