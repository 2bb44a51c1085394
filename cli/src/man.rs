//! The manual page, from the definition of the command line and the tables of options.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

use kong_vault::backend::registry::ALL;
use kong_vault::options::own::OWN;
use kong_vault::options::{COMMON, Opt, variable};

const EXIT: [(&str, &str); 3] = [
    ("0", "Success. `get` wrote a value; `check` and `doctor` found nothing wrong, though there may be warnings."),
    ("1", "`get`: there is no value. `check`, `doctor`: something is wrong. Others: the output cannot be written."),
    ("2", "Misuse: a wrong command line, a file that cannot be read, or a `--conf` that is not a kong.conf."),
];

/// Variables that are no options.
const VARIABLES: [(&str, &str); 6] = [
    ("KONG_DECLARATIVE_CONFIG", "Kong's own declarative file. Its vault entities count, too."),
    (
        "GITHUB_WORKSPACE",
        "In `check --format github` and `sarif`, paths of files below this directory are relative to it.",
    ),
    ("NO_COLOR", "Set to any text, it turns colours off. Only `--color` takes precedence over it."),
    ("CLICOLOR_FORCE", "Set to any text but `0`, it turns colours on everywhere, whatever `CLICOLOR` and `TERM` are."),
    ("CLICOLOR", "With `0`, there are no colours."),
    ("TERM", "With `dumb`, or not set, there are no colours."),
];

const FILES: [(&str, &str); 4] = [
    ("kong.conf", "The file of `--conf`. The environment takes precedence over it."),
    ("vault_declarative_config", "The file that this option names: vault entities in Kong's format, YAML or JSON."),
    ("declarative_config", "Kong's own declarative file. It is read for vault entities only."),
    ("vault_data_dir", "The directory that this option names. In it, vaults.json has the entities of the Admin API."),
];

const EXAMPLES: [(&str, &str); 4] = [
    ("kong-vault get env/api-token", "Print the value of the variable API_TOKEN."),
    ("kong-vault get --conf /etc/kong/kong.conf aws/db/password", "Read a field of a secret as Kong is configured."),
    ("kong-vault check --format github kong.yml", "Annotate mistakes in a workflow of GitHub Actions."),
    ("kong-vault doctor production/db/password", "Find out why a secret cannot be read."),
];

/// `command`: the whole command line.
pub fn page(mut command: Command) -> String {
    command.build();
    let version = command.get_version().unwrap_or_default().to_owned();
    let source = format!("kong-vault {version}");
    let mut page = Roff::new();
    page.control("TH", ["KONG-VAULT", "1", "", source.as_str(), "User Commands"]);
    page.control("SH", ["NAME"]);
    page.text([roman("kong-vault - resolve and check secret references of OpenResty, nginx and Kong")]);
    page.control("SH", ["SYNOPSIS"]);
    let subcommands: Vec<Command> = command.get_subcommands().filter(|it| it.get_name() != "help").cloned().collect();
    for (index, subcommand) in subcommands.iter().enumerate() {
        if index > 0 {
            page.control("br", []);
        }
        synopsis(&mut page, subcommand);
    }
    page.control("SH", ["DESCRIPTION"]);
    page.text(inlines(&format!("{}.", text(command.get_about()))));
    page.control("PP", []);
    page.text(inlines(
        "Options come from the environment (KONG_VAULT_…), then from the file of `--conf`. Values go to standard output, \
         messages to standard error; no message has a value in it.",
    ));
    page.control("SH", ["COMMANDS"]);
    for subcommand in &subcommands {
        page.control("SS", [format!("kong-vault {}", subcommand.get_name()).as_str()]);
        let about = text(subcommand.get_long_about().or(subcommand.get_about()));
        for (index, paragraph) in about.split("\n\n").enumerate() {
            if index > 0 {
                page.control("PP", []);
            }
            page.text(inlines(&format!("{}.", paragraph.trim_end_matches('.'))));
        }
        let arguments = subcommand.get_arguments().filter(|it| !it.is_global_set() && it.get_id() != "help");
        arguments.for_each(|it| argument(&mut page, it));
    }
    page.control("SH", ["OPTIONS"]);
    page.text([roman("Every command takes these.")]);
    command.get_arguments().for_each(|it| argument(&mut page, it));
    list(&mut page, "EXIT STATUS", &EXIT);
    list(&mut page, "ENVIRONMENT", &VARIABLES);
    options(&mut page, "Options of kong-vault itself", OWN, |opt| variable(opt.name));
    options(&mut page, "Options of every vault", COMMON, |opt| opt.variable("<VAULT>"));
    for backend in ALL {
        let title = format!("Options of {}: {}", backend.name, backend.title);
        options(&mut page, &title, backend.options, |opt| opt.variable(backend.name));
    }
    list(&mut page, "FILES", &FILES);
    list(&mut page, "EXAMPLES", &EXAMPLES);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("nginx"), roman("(8), "), bold("vault"), roman("(1)")]);
    // A page without a date is the same whenever it is made. roff leaves an empty argument out.
    page.to_roff().replacen(".TH KONG-VAULT 1  ", ".TH KONG-VAULT 1 \"\" ", 1)
}

fn synopsis(page: &mut Roff, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let rest = usage.trim_start_matches("Usage: kong-vault ").to_owned();
    let (name, rest) = rest.split_once(' ').map_or((rest.as_str(), ""), |(name, rest)| (name, rest));
    page.text([bold(format!("kong-vault {name}")), roman(format!(" {rest}"))]);
}

fn argument(page: &mut Roff, argument: &Arg) {
    let mut names = Vec::new();
    let mut name = |text: String| {
        if !names.is_empty() {
            names.push(roman(", "));
        }
        names.push(bold(text));
    };
    argument.get_short().into_iter().for_each(|short| name(format!("-{short}")));
    argument.get_long().into_iter().for_each(|long| name(format!("--{long}")));
    if argument.get_action().takes_values() {
        let value = argument.get_value_names().map_or(String::new(), |values| values[0].to_string());
        let before = if names.is_empty() { "" } else { " " };
        names.extend([roman(before), italic(value)]);
    }
    page.control("TP", []);
    page.text(names);
    let help = text(argument.get_long_help().or(argument.get_help()));
    page.text(inlines(&format!("{}.", help.trim_end_matches('.'))));
    let values: Vec<_> =
        argument.get_possible_values().into_iter().filter(|_| argument.get_action().takes_values()).collect();
    for value in values {
        let meaning = value.get_help().map_or(String::new(), |help| format!(": {help}"));
        page.control("br", []);
        page.text([vec![bold(value.get_name())], inlines(&meaning)].concat());
    }
    let default: Vec<_> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
    if !default.is_empty() && argument.get_action().takes_values() {
        page.control("br", []);
        page.text([roman(format!("The default is {}.", default.join(" ")))]);
    }
}

fn list(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (name, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*name)]);
        page.text(inlines(meaning));
    }
}

fn options(page: &mut Roff, title: &str, options: &[Opt], variable: impl Fn(&Opt) -> String) {
    page.control("SS", [title]);
    for opt in options {
        page.control("TP", []);
        page.text([bold(variable(opt))]);
        page.text(inlines(&format!("{}: {}.", opt.help, opt.accepts())));
    }
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

/// A text in which what stands between backquotes is bold. A line break of the source is a space.
fn inlines(text: &str) -> Vec<Inline> {
    let part = |(index, part): (usize, &str)| if index % 2 == 1 { bold(part) } else { roman(part) };
    text.replace('\n', " ").split('`').enumerate().map(part).collect()
}
