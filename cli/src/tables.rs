//! The vaults and their options, from the tables that declare them.

use std::fmt::Write;

use kong_vault::backend::registry::ALL;
use kong_vault::options::own::OWN;
use kong_vault::options::{COMMON, Opt, variable};

/// For a terminal.
pub fn text() -> String {
    let mut out = String::new();
    for backend in ALL {
        let _ = writeln!(out, "{}: {}\n", backend.name, backend.title);
        backend.options.iter().for_each(|opt| entry(&mut out, opt, &opt.variable(backend.name)));
    }
    out.push_str("Options of every vault:\n\n");
    COMMON.iter().for_each(|opt| entry(&mut out, opt, &opt.variable("<VAULT>")));
    out.push_str("Options of kong-vault itself:\n\n");
    OWN.iter().for_each(|opt| entry(&mut out, opt, &variable(opt.name)));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn entry(out: &mut String, opt: &Opt, variable: &str) {
    let default = opt.default.map_or(String::new(), |value| format!("; default \"{value}\""));
    let more = [(opt.required, "; required"), (opt.overridable, "; a reference may set it")];
    let more: String = more.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect();
    let _ = writeln!(out, "  {} ({variable})", opt.name);
    let _ = writeln!(out, "      {}", help(opt));
    let _ = writeln!(out, "      {}{default}{more}\n", opt.accepts());
}

/// For docs/options.md.
pub fn markdown() -> String {
    let mut out = String::new();
    for backend in ALL {
        let _ = writeln!(out, "### `{}`: {}\n", backend.name, backend.title);
        table(&mut out, backend.options, |opt| opt.variable(backend.name), |opt| !opt.operators);
    }
    out.push_str("### Options of every vault\n\n");
    table(&mut out, COMMON, |opt| opt.variable("<VAULT>"), |_| true);
    out.push_str("### Options of kong-vault itself\n\n");
    table(&mut out, OWN, |opt| variable(opt.name), |_| false);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Which option may be set from where, as one table without the rest.
pub fn policy() -> String {
    let mut out = String::from(
        "| vault | option | kong.conf, `configure`, environment | vault entity | reference | a credential |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut row = |vault: &str, opt: &Opt, entity: bool| {
        let yes = |holds| if holds { "yes" } else { "no" };
        let (entity, reference, credential) = (yes(entity), yes(opt.overridable), yes(opt.sensitive));
        let _ = writeln!(out, "| {vault} | `{}` | yes | {entity} | {reference} | {credential} |", opt.name);
    };
    for backend in ALL {
        backend.options.iter().for_each(|opt| row(&format!("`{}`", backend.name), opt, !opt.operators));
    }
    COMMON.iter().for_each(|opt| row("every", opt, true));
    OWN.iter().for_each(|opt| row("kong-vault itself", opt, false));
    out
}

fn table(out: &mut String, options: &[Opt], variable: impl Fn(&Opt) -> String, in_an_entity: impl Fn(&Opt) -> bool) {
    out.push_str(
        "| option | type | default | accepted | in a vault entity | in a reference | environment variable | meaning |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let yes = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
    for opt in options {
        let kind = if opt.sensitive { format!("{}, secret", opt.kind.name()) } else { opt.kind.name().to_owned() };
        let default = match (opt.default, opt.required) {
            (Some(""), _) => "empty".to_owned(),
            (Some(value), _) => format!("`{value}`"),
            (None, true) => "required".to_owned(),
            (None, false) => "none".to_owned(),
        };
        let cells = [
            format!("`{}`", opt.name),
            kind,
            default,
            opt.accepts(),
            yes(in_an_entity(opt)),
            yes(opt.overridable),
            format!("`{}`", variable(opt)),
            help(opt),
        ];
        let _ = writeln!(out, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    out.push('\n');
}

fn help(opt: &Opt) -> String {
    match opt.aliases {
        [] => opt.help.to_owned(),
        aliases => format!(
            "{} (also called {})",
            opt.help,
            aliases.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}
