//! A marked secret in every option of a file: neither the loader nor `kong-vault check` shows it.

mod support;

use kong_vault_cli::check::format::Format;
use kong_vault_cli::check::look_at_as;
use serde_json::json;
use support::check::Files;
use support::config::File;
use support::given::all_options;
use support::marked::{all_ways, entity_of};

#[test]
fn what_a_file_holds_is_told_by_no_row_and_no_error() {
    for given in all_ways() {
        let entities: Vec<_> = all_options().map(|(backend, opt)| entity_of(backend, opt, &given.value)).collect();
        let text = json!({"_format_version": "3.0", "vaults": entities}).to_string();
        let file = File::new("kong.yml", &text);
        given.is_hidden_in(&format!("{:?}", file.load(&[])), "the loader");
        let conf = all_options().map(|(backend, opt)| {
            format!("vault_{}_{} = {}\n", backend.name, opt.name, given.value.replace('\n', "\\n").replace('#', "\\#"))
        });
        let files = Files::of(&[("kong.yml", &text), ("kong.conf", &conf.collect::<String>())]);
        let run = files.check(&["kong.yml", "--conf", "kong.conf"], &[]);
        given.is_hidden_in(&format!("{}{}", run.stdout, run.stderr), "check");
        for format in [Format::Json, Format::Github, Format::Sarif] {
            let (shown, _) = look_at_as("kong.yml", text.clone().into_bytes(), format);
            given.is_hidden_in(&shown, &format!("check as {format:?}"));
        }
    }
}
