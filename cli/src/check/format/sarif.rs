//! SARIF 2.1.0, which code scanning services read.

use std::collections::HashMap;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::finding::Finding;
use super::location::{Location, Locations};
use crate::check::input::STDIN;
use crate::check::rule::Rule;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const HOME: &str = "https://github.com/kong-vault/kong-vault";

/// The characters that a URI's path holds as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `first`: the file to which findings about the environment are attached, as services want one for each finding.
pub fn render(findings: &[Finding<'_>], locations: &Locations<'_>, first: &str) -> String {
    let mut alike = HashMap::new();
    let results: Vec<_> = findings.iter().map(|it| result(it, locations, first, &mut alike)).collect();
    let report = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kong-vault",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": HOME,
                "rules": Rule::ALL.iter().map(|it| rule(*it)).collect::<Vec<_>>(),
            } },
            "invocations": [{ "executionSuccessful": true }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{report:#}\n")
}

fn rule(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": { "text": rule.summary() },
        "help": { "text": rule.fix() },
        "helpUri": format!("{HOME}/blob/main/docs/check.md#rules"),
        "defaultConfiguration": { "level": rule.severity().name() },
    })
}

/// `alike`: how many findings there were with the same rule, file and subject.
fn result(it: &Finding<'_>, locations: &Locations<'_>, first: &str, alike: &mut HashMap<String, usize>) -> Value {
    let mut place = json!({ "artifactLocation": artifact(it.file.unwrap_or(first), locations) });
    // Without the line, which changes with whatever is written above it.
    let file = it.file.map_or("environment".to_owned(), |file| uri(file, locations));
    let fingerprint = format!("{} {file} {}", it.rule.id(), it.what);
    let number = alike.entry(fingerprint.clone()).or_default();
    *number += 1;
    if it.line > 0 {
        place["region"] = match it.region {
            Some(region) => json!({
                "startLine": it.line, "startColumn": region.column, "endLine": it.line, "endColumn": region.end,
            }),
            None => json!({ "startLine": it.line }),
        };
    }
    json!({
        "ruleId": it.rule.id(),
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == it.rule),
        "level": it.rule.severity().name(),
        "message": { "text": format!("{}: {}", it.what, it.why) },
        "locations": [{ "physicalLocation": place, "logicalLocations": [{ "fullyQualifiedName": it.what }] }],
        "partialFingerprints": { "kongVault/v1": format!("{fingerprint} {number}") },
    })
}

/// Where a file is: relative to the root of the sources, if it is below it.
fn artifact(file: &str, locations: &Locations<'_>) -> Value {
    let mut artifact = json!({ "uri": uri(file, locations) });
    if file != STDIN && matches!(locations.get(file), Some(Location::Below(_))) {
        artifact["uriBaseId"] = "%SRCROOT%".into();
    }
    artifact
}

fn uri(file: &str, locations: &Locations<'_>) -> String {
    match locations.get(file) {
        _ if file == STDIN => "stdin".to_owned(),
        Some(Location::Below(path)) => encoded(path),
        Some(Location::Elsewhere(path)) => format!("file://{}", encoded(path)),
        None => encoded(Path::new(file)),
    }
}

fn encoded(path: &Path) -> String {
    percent_encode(path.as_os_str().as_encoded_bytes(), PATH).to_string()
}
