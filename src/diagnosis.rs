//! The findings of `kong-vault doctor`, step by step: why a vault returns no secret.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It works, but should be looked at.
    Doubtful,
    /// It prevents secrets from being read.
    Bad,
}

impl Verdict {
    /// As JSON has it.
    fn severity(self) -> &'static str {
        match self {
            Verdict::Good => "ok",
            Verdict::Doubtful => "warning",
            Verdict::Bad => "error",
        }
    }
}

/// One step of the way to a value. The text holds no secret, and says what to do where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub step: &'static str,
    pub verdict: Verdict,
    pub text: String,
}

/// The findings in the order of the steps. After a bad one, the steps that don't depend on it may follow.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn good(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Good, text);
    }

    pub fn doubtful(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Doubtful, text);
    }

    pub fn bad(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Bad, text);
    }

    /// Returns the value, or notes the failure as bad and returns `None`.
    pub fn or_bad<T>(&mut self, step: &'static str, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.bad(step, error)).ok()
    }

    fn add(&mut self, step: &'static str, verdict: Verdict, text: impl Display) {
        self.0.push(Finding { step, verdict, text: text.to_string() });
    }
}

/// The findings as JSON, and how many there are of each kind: docs/cli.md describes it.
pub fn report(backend: Option<&str>, vault: &str, findings: &[Finding]) -> Map<String, Value> {
    let step = |finding: &Finding| json!({ "step": finding.step, "severity": finding.verdict.severity(), "message": finding.text });
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let fields = [
        ("backend", json!(backend)),
        ("vault", json!(vault)),
        ("steps", findings.iter().map(step).collect()),
        (
            "summary",
            json!({
                "ok": count(Verdict::Good),
                "warnings": count(Verdict::Doubtful),
                "errors": count(Verdict::Bad),
            }),
        ),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}
