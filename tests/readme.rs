//! The README's tables of options are those of the option tables.

use std::process::Command;

const BEGIN: &str = "<!-- options:begin -->";
const END: &str = "<!-- options:end -->";

#[test]
fn the_readme_holds_the_option_tables() {
    let Ok(readme) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")) else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_kong-vault")).args(["vaults", "--markdown"]).output().unwrap();
    let tables = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = readme.split_once(BEGIN).unwrap_or_else(|| panic!("README.md lacks {BEGIN}"));
    let (between, rest) = rest.split_once(END).unwrap_or_else(|| panic!("README.md lacks {END}"));
    assert!(!rest.contains(BEGIN), "README.md holds {BEGIN} twice");
    assert_eq!(
        between.trim(),
        tables.trim(),
        "between {BEGIN} and {END} of README.md has to stand what `kong-vault vaults --markdown` prints"
    );
}
