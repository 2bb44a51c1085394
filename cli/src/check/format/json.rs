//! One JSON object for programs. docs/check.md describes it.

use serde_json::{Value, json};

use super::finding::{Finding, count};
use crate::check::rule::Severity;

/// It grows where a field is removed or means something else; new fields leave it as it is.
const VERSION: u32 = 1;

pub fn render(findings: &[Finding<'_>], checked: usize) -> String {
    let of = |severity| count(findings.iter().map(|it| it.rule.severity()), severity);
    let report = json!({
        "version": VERSION,
        "tool": { "name": "kong-vault", "version": env!("CARGO_PKG_VERSION") },
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "summary": {
            "checked": checked,
            "errors": of(Severity::Error),
            "warnings": of(Severity::Warning),
            "notes": of(Severity::Note),
        },
    });
    format!("{report:#}\n")
}

fn finding(it: &Finding<'_>) -> Value {
    let line = (it.line > 0).then_some(it.line);
    json!({
        "severity": it.rule.severity().name(),
        "rule": it.rule.id(),
        "file": it.file,
        "line": line,
        "column": it.region.map(|region| region.column),
        "end_line": line,
        "end_column": it.region.map(|region| region.end),
        "subject": it.what,
        "message": it.why,
        "fix": it.rule.fix(),
    })
}
