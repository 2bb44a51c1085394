//! What a shell and a terminal make of the command: completions, the manual page, colours.

mod support;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use kong_vault::backend::registry::ALL;
use kong_vault::options::own::OWN;
use kong_vault::options::variable;
use support::check::Files;
use support::skip;

const COMMAND: &str = env!("CARGO_BIN_EXE_kong-vault");

/// Runs a program in a directory, with nothing in its environment but `environment`.
fn run(directory: &Path, program: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(program[0])
        .args(&program[1..])
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(environment.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program[0]));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Whether these programs are there. If not, the test says so and ends.
fn are_there(programs: &[&str]) -> bool {
    let is_there = |program: &&str| {
        ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|directory| Path::new(directory).join(program).exists())
    };
    let missing = programs.iter().find(|program| !is_there(program));
    missing.inspect(|program| skip(&format!("{program} is not installed"))).is_none()
}

/// The manual page and the completions, as packages have them.
fn extras() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cli-extras");
    let (status, _, error) = run(directory.path(), &[script, "extras", COMMAND], &[]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    directory
}

const EXTRAS: [&str; 4] = [
    "share/man/man1/kong-vault.1",
    "share/bash-completion/completions/kong-vault",
    "share/zsh/site-functions/_kong-vault",
    "share/fish/vendor_completions.d/kong-vault.fish",
];

#[test]
fn packages_have_a_manual_page_and_completions_that_are_the_same_each_time() {
    let (one, other) = (extras(), extras());
    for file in EXTRAS {
        let read = |directory: &tempfile::TempDir| std::fs::read(directory.path().join("extras").join(file)).unwrap();
        assert!(!read(&one).is_empty() && read(&one) == read(&other), "{file}");
    }
}

#[test]
fn zsh_reads_its_completions() {
    if are_there(&["zsh"]) {
        is_read_by("zsh", EXTRAS[2]);
    }
}

#[test]
fn fish_reads_its_completions() {
    if are_there(&["fish"]) {
        is_read_by("fish", EXTRAS[3]);
    }
}

#[track_caller]
fn is_read_by(shell: &str, file: &str) {
    let extras = extras();
    let (status, _, error) = run(&extras.path().join("extras"), &[shell, "-n", file], &[("HOME", "/nonexistent")]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{file}");
}

#[test]
fn bash_completes_commands_options_vaults_and_leaves_files_to_itself() {
    let extras = extras();
    let complete = |words: &[&str]| {
        let (current, previous) = (words[words.len() - 1], words[words.len() - 2]);
        let script = format!(
            ". extras/{}; COMP_WORDS=(\"${{@:3}}\"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _kong_vault kong-vault \"$1\" \"$2\"; complete -p kong-vault >&2; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            EXTRAS[1]
        );
        let line = [&["bash", "--norc", "-c", &script, "bash", current, previous], words].concat();
        let (status, out, how) = run(extras.path(), &line, &[]);
        assert_eq!(status, Some(0), "{how}");
        assert_eq!(how, "complete -o bashdefault -o default -F _kong_vault kong-vault\n");
        out.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let backends: Vec<_> = ALL.iter().map(|backend| backend.name.to_owned()).collect();
    let beginnings: Vec<_> = backends.iter().map(|name| format!("{name}/")).collect();
    let commands = ["check", "completions", "doctor", "exec", "get", "help", "man", "vaults"];
    let mut offered = complete(&["kong-vault", ""]);
    offered.sort();
    assert_eq!(offered, commands);
    assert_eq!(complete(&["kong-vault", "do"]), ["doctor"]);
    assert_eq!(complete(&["kong-vault", "get", ""]), beginnings);
    assert_eq!(complete(&["kong-vault", "get", "hc"]), ["hcv/"]);
    assert_eq!(complete(&["kong-vault", "doctor", ""]), backends);
    assert_eq!(complete(&["kong-vault", "check", "--fo"]), ["--format"]);
    assert_eq!(complete(&["kong-vault", "check", "--format", ""]), ["text", "json", "github", "sarif"]);
    assert_eq!(complete(&["kong-vault", "completions", ""]), ["bash", "zsh", "fish"]);
    // Nothing, so that bash offers files.
    assert!(complete(&["kong-vault", "check", ""]).is_empty());
    assert!(complete(&["kong-vault", "check", "--resolve", ""]).is_empty());
    assert!(complete(&["kong-vault", "exec", "--", ""]).is_empty());
}

#[test]
fn completions_know_every_command_and_read_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let broken = [("KONG_VAULT_DECLARATIVE_CONFIG", "/gone.yml"), ("KONG_VAULTS", "nope")];
        let (status, text, error) = run(directory.path(), &[COMMAND, "completions", shell], &broken);
        assert_eq!((status, error.as_str()), (Some(0), ""), "{shell}");
        for word in ["get", "check", "doctor", "vaults", "man", "resolve", "format", "hcv/", "azure-certs"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_manual_page_names_everything() {
    let extras = extras();
    let page = std::fs::read_to_string(extras.path().join("extras").join(EXTRAS[0])).unwrap().replace("\\-", "-");
    let statuses = [".SH \"EXIT STATUS\"", "\\fB0\\fR", "\\fB1\\fR", "\\fB2\\fR"];
    let commands = ["get", "check", "doctor", "vaults", "completions", "man"].map(|name| format!("kong-vault {name}"));
    let options =
        ["--timeout", "--conf", "--resolve", "--format", "--markdown", "--policy", "--color", "--help", "--version"];
    let files = ["kong.conf", "vault_declarative_config", "vault_data_dir", ".SH FILES", "NO_COLOR", "TERM"];
    let variables: Vec<_> = OWN.iter().map(|opt| variable(opt.name)).collect();
    let of_backends = ALL.iter().flat_map(|it| it.options.iter().map(|opt| opt.variable(it.name)));
    let variables = variables.into_iter().chain(of_backends);
    let all = statuses.iter().chain(&options).chain(&files).map(|it| (*it).to_owned()).chain(commands).chain(variables);
    for name in all {
        assert!(page.contains(&name), "{name}");
    }
}

#[test]
fn the_manual_page_has_no_fault() {
    if are_there(&["man", "groff"]) {
        let (extras, file) = (extras(), format!("extras/{}", EXTRAS[0]));
        let environment = [("LC_ALL", "C.UTF-8"), ("MANROFFSEQ", ""), ("MANWIDTH", "80")];
        let (status, shown, faults) = run(extras.path(), &["man", "--warnings", "-l", &file], &environment);
        assert_eq!((status, faults.as_str()), (Some(0), ""));
        assert!(shown.contains("KONG-VAULT(1)") && shown.contains("EXIT STATUS"), "{shown}");
    }
}

#[test]
fn a_terminal_has_colours_and_nothing_else_has() {
    let files = Files::of(&[("kong.yml", "a: \"{vault://nope/a}\"\nb: \"{vault://env/a}\"\n")]);
    let terminal = |command: &str, environment: &[(&str, &str)]| {
        let command = command.replace("kong-vault", COMMAND);
        let (_, shown, _) = run(files.0.path(), &["script", "-qec", &command, "/dev/null"], environment);
        shown
    };
    let term = ("TERM", "xterm");
    let (red, green) = ("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: could not", "\u{1b}[32mok\u{1b}[0m");
    let check = "kong-vault check kong.yml";
    for environment in [&[term][..], &[term, ("NO_COLOR", "")]] {
        let shown = terminal(check, environment);
        assert!(shown.contains(red) && shown.contains(green) && shown.contains("\u{1b}[31mError:"), "{shown:?}");
    }
    for (command, environment) in [
        (check, &[term, ("NO_COLOR", "1")][..]),
        (check, &[("TERM", "dumb")]),
        (check, &[("TERM", "dumb"), ("CLICOLOR", "1"), ("CI", "true")]),
        (check, &[]),
        ("kong-vault check kong.yml --color never", &[term]),
        ("kong-vault nope", &[term, ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]),
        ("kong-vault nope", &[("TERM", "dumb"), ("CLICOLOR", "1"), ("CI", "true")]),
        ("kong-vault nope --color never", &[term]),
        ("kong-vault --color=never check kong.yml --formt json", &[term, ("CLICOLOR_FORCE", "1")]),
        ("kong-vault get --help --color never", &[term]),
        ("kong-vault check kong.yml 2>&1 | cat", &[term]),
        ("kong-vault check kong.yml --format github", &[term, ("NO_COLOR", "1")]),
        ("kong-vault get env/a", &[term, ("A", "value")]),
        ("kong-vault --help | cat", &[term]),
    ] {
        let shown = terminal(command, environment);
        assert!(!shown.is_empty() && !shown.contains('\u{1b}'), "{command} {environment:?}: {shown:?}");
    }
    // Each stream is judged by itself.
    let shown = terminal("kong-vault check kong.yml > table", &[term]);
    let table = std::fs::read_to_string(files.0.path().join("table")).unwrap();
    assert!(shown.contains("\u{1b}[31mError:") && !table.contains('\u{1b}') && table.contains("error: "), "{shown:?}");
    let shown = terminal("kong-vault check kong.yml 2> errors", &[term]);
    let errors = std::fs::read_to_string(files.0.path().join("errors")).unwrap();
    assert!(shown.contains(red) && errors == "Error: there is a mistake\n", "{errors:?}");
    // And what is asked for counts.
    let (_, piped, _) = run(files.0.path(), &[COMMAND, "check", "kong.yml", "--color", "always"], &[]);
    assert!(piped.contains(red), "{piped:?}");
    for format in ["json", "sarif", "github"] {
        let asked = [COMMAND, "check", "kong.yml", "--color", "always", "--format", format];
        assert!(!run(files.0.path(), &asked, &[]).1.contains('\u{1b}'), "{format}");
    }
    let (_, value, _) = run(files.0.path(), &[COMMAND, "get", "env/a", "--color", "always"], &[("A", "value")]);
    assert_eq!(value, "value\n");
    // The same goes for what is said of a wrong command line, and for help.
    let terminal_shows = |command: &str| terminal(command, &[term]).contains('\u{1b}');
    assert!(terminal_shows("kong-vault nope") && terminal_shows("kong-vault --help"));
    for (arguments, environment) in
        [(&["nope", "--color", "always"][..], &[][..]), (&["nope"], &[("CLICOLOR_FORCE", "1")])]
    {
        let (status, _, error) = run(files.0.path(), &[&[COMMAND], arguments].concat(), environment);
        assert!(status == Some(2) && error.contains('\u{1b}') && error.contains("nope"), "{error:?}");
    }
    let (status, _, error) = run(files.0.path(), &[COMMAND, "nope"], &[("CLICOLOR_FORCE", "0")]);
    assert!(status == Some(2) && !error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_message_is_written_at_once() {
    for arguments in [&["get", "env/absent"][..], &["get", "env/absent", "--color", "always"], &["nope"]] {
        // Each write is a datagram of its own.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let status = Command::new(COMMAND).args(arguments).env_clear().stderr(OwnedFd::from(theirs)).status().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let length = ours.recv(&mut message).unwrap();
        assert!(!status.success() && message[..length].ends_with(b"\n"), "{arguments:?}");
        assert!(ours.recv(&mut message).is_err(), "{arguments:?}");
    }
}

#[test]
fn doctor_tells_its_steps_to_programs_too() {
    let directory = tempfile::tempdir().unwrap();
    let doctor = |vault: &str, environment: &[(&str, &str)]| {
        let (status, out, _) = run(directory.path(), &[COMMAND, "doctor", vault, "--format", "json"], environment);
        (status, serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|error| panic!("{error}: {out}")))
    };
    let (status, report) = doctor("env/a", &[("A", "hunter2")]);
    assert_eq!((status, &report["vault"], &report["backend"]), (Some(0), &"env".into(), &"env".into()), "{report}");
    assert_eq!((&report["version"], &report["summary"]["errors"]), (&1.into(), &0.into()), "{report}");
    assert!(
        report["steps"].as_array().is_some_and(|steps| !steps.is_empty()) && !report.to_string().contains("hunter2")
    );
    let (status, report) = doctor("env/a", &[("B", "hunter2")]);
    assert_eq!(status, Some(1));
    let last = report["steps"].as_array().unwrap().iter().find(|step| step["severity"] == "error").unwrap();
    assert!(last["step"].is_string() && last["message"].as_str().is_some_and(|text| !text.is_empty()), "{report}");
}
