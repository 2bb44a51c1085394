//! Completions for shells, from the definition of the command line. They read nothing: neither a file nor a vault.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueEnum, ValueHint};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use kong_vault::backend::registry::ALL;

const NAME: &str = "kong-vault";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Wraps what is generated for bash: where a value is wanted, options are offered only after a dash. `FILES` are the
/// commands whose values are files, which bash offers where nothing else is.
const BASH: &str = r#"
_kong_vault() {
    local entry values=()
    _kong__vault "$@"
    [[ $2 == -* ]] && return 0
    for entry in "${COMPREPLY[@]}"; do
        [[ $entry == [-\<\[]* ]] || values+=("$entry")
    done
    case ${COMP_WORDS[1]} in
        FILES) COMPREPLY=("${values[@]}") ;;
        *) [[ ${#values[@]} -eq 0 ]] || COMPREPLY=("${values[@]}") ;;
    esac
    # The name of a secret follows.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _kong_vault -o bashdefault -o default kong-vault
"#;

/// Returns the script for a shell. `command`: the whole command line.
pub fn script(command: Command, shell: Shell) -> String {
    let (names, beginnings) = (names(""), names("/"));
    let values = |values: &[String]| PossibleValuesParser::new(values.iter().map(|value| value.clone().leak() as &str));
    let mut command = command
        .mut_subcommand("get", |get| get.mut_arg("reference", |it| it.value_parser(values(&beginnings))))
        .mut_subcommand("doctor", |doctor| doctor.mut_arg("vault", |it| it.value_parser(values(&names))));
    let is_file = |hint| matches!(hint, ValueHint::FilePath | ValueHint::CommandWithArguments);
    let takes_files = |it: &&Command| it.get_positionals().any(|value| is_file(value.get_value_hint()));
    let files: Vec<_> = command.get_subcommands().filter(takes_files).map(|it| it.get_name().to_owned()).collect();
    let mut out = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, NAME, &mut out),
        Shell::Zsh => generate(Zsh, &mut command, NAME, &mut out),
        Shell::Fish => generate(Fish, &mut command, NAME, &mut out),
    }
    let script = String::from_utf8_lossy(&out).into_owned();
    match shell {
        // clap_complete's names for the commands of a program with a dash in its name differ: it looks for the first.
        Shell::Bash => {
            let script = script.replace("kong__subcmd__vault", "kong__vault");
            format!("{script}{}", BASH.replace("FILES", &files.join("|")))
        }
        // Without a space behind it, as the name of a secret follows.
        Shell::Zsh => {
            let list = beginnings.join(" ");
            script.replace(&format!(":({list})'"), &format!(":{{compadd -S \"\" -- {list}}}'"))
        }
        Shell::Fish => format!("{script}{}", fish(&command)),
    }
}

/// The values of arguments without a dash, which clap_complete leaves out for fish.
fn fish(command: &Command) -> String {
    let line = |subcommand: &Command| {
        let values = subcommand.get_positionals().flat_map(Arg::get_possible_values);
        let values: Vec<_> = values.map(|value| value.get_name().to_owned()).collect();
        let name = subcommand.get_name();
        let using = format!("complete -c kong-vault -n \"__fish_kong_vault_using_subcommand {name}\"");
        (!values.is_empty()).then(|| format!("{using} -f -a \"{}\"\n", values.join(" ")))
    };
    command.get_subcommands().filter(|it| it.get_name() != "help").filter_map(line).collect()
}

/// The backends' names: the vaults that exist without a configuration.
fn names(end: &str) -> Vec<String> {
    ALL.iter().map(|backend| format!("{}{end}", backend.name)).collect()
}
