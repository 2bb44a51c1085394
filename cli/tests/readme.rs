//! The documents' tables of options are those of the option tables.

use std::process::Command;

const BEGIN: &str = "<!-- options:begin -->";
const END: &str = "<!-- options:end -->";

/// Compares what stands between the markers of a document with what `kong-vault vaults` prints.
fn holds(document: &str, flag: &str) {
    let Ok(text) = std::fs::read_to_string(format!("{}/../{document}", env!("CARGO_MANIFEST_DIR"))) else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_kong-vault")).args(["vaults", flag]).output().unwrap();
    let tables = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{document} lacks {BEGIN}"));
    let (between, rest) = rest.split_once(END).unwrap_or_else(|| panic!("{document} lacks {END}"));
    assert!(!rest.contains(BEGIN), "{document} holds {BEGIN} twice");
    assert_eq!(
        between.trim(),
        tables.trim(),
        "between {BEGIN} and {END} of {document} has to stand what `kong-vault vaults {flag}` prints"
    );
}

#[test]
fn the_page_of_options_holds_the_tables() {
    holds("docs/options.md", "--markdown");
}

/// The table of `--policy` says the same of each option as the tables of the page.
#[test]
fn the_policy_says_what_the_page_says() {
    let run = |flag| {
        let output = Command::new(env!("CARGO_BIN_EXE_kong-vault")).args(["vaults", flag]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let cells = |line: &str| -> Vec<String> {
        line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect()
    };
    let page = run("--markdown");
    let tables = page.lines().filter(|line| line.starts_with("| `"));
    let policy = run("--policy");
    let rows: Vec<&str> = policy.lines().skip(2).collect();
    assert_eq!(tables.clone().count(), rows.len());
    for (line, row) in tables.zip(rows) {
        let (option, row) = (cells(line), cells(row));
        let credential = if option[1].ends_with(", secret") { "yes" } else { "no" };
        assert_eq!(
            [&option[0], "yes", &option[4], &option[5], credential],
            *row[1..].iter().map(String::as_str).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_page_of_check_holds_the_rules() {
    let Ok(text) = std::fs::read_to_string(format!("{}/../docs/check.md", env!("CARGO_MANIFEST_DIR"))) else { return };
    let table = kong_vault_cli::check::rule::markdown();
    let between = text.split_once("<!-- rules:begin -->").and_then(|(_, rest)| rest.split_once("<!-- rules:end -->"));
    assert_eq!(between.expect("markers").0.trim(), table.trim(), "docs/check.md has to hold this table:\n{table}");
}
