//! The command `kong-vault`, run as a program.

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Fake, answer};

/// What a run came to.
#[derive(Debug)]
struct Run {
    status: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

/// Runs the command with nothing in its environment but `environment`.
fn run<A: AsRef<OsStr>, V: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, V)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-vault"));
    let output = command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value.as_ref())))
        .output()
        .expect("the program");
    let stderr = String::from_utf8(output.stderr).expect("text");
    Run { status: output.status.code(), stdout: output.stdout, stderr }
}

fn get(reference: &str, environment: &[(&str, &str)]) -> Run {
    run(&["get", reference], environment)
}

#[track_caller]
fn prints(run: &Run, value: &[u8]) {
    assert_eq!(run.stdout, value, "{run:?}");
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
}

#[track_caller]
fn fails(run: &Run, status: i32, text: &str) {
    assert_eq!(run.status, Some(status), "{run:?}");
    assert!(run.stderr.contains(text) && run.stdout.is_empty() && !run.stderr.contains("hunter2"), "{text:?}: {run:?}");
}

#[test]
fn a_value_and_a_line_break_are_all_that_is_printed() {
    let environment = [
        ("TEST", "hello"),
        ("TEST_PREVIOUS", "before"),
        ("EMPTY", ""),
        ("CAFé_X", "of an accent"),
        ("J", r#"{"a":"aGk="}"#),
    ];
    for (reference, value) in [
        ("env/test", "hello\n"),
        ("{vault://env/test}", "hello\n"),
        ("env/test#2", "before\n"),
        ("env/st?prefix=te", "hello\n"),
        ("env/empty", "\n"),
        ("env/caf%C3%A9-x", "of an accent\n"),
        ("env/j/a", "aGk=\n"),
        ("{vault://env/j/a?base64_decode=true}", "hi\n"),
    ] {
        prints(&get(reference, &environment), value.as_bytes());
    }
    let bytes = OsStr::from_bytes(b"\xff\x01\n");
    prints(&run(&["get", "env/bytes"], &[("BYTES", bytes)]), b"\xff\x01\n\n");
}

#[test]
fn no_value_is_status_1_and_says_why_on_standard_error() {
    let wrapped = "Error: could not get value from external vault (no value found (";
    fails(&get("env/test", &[]), 1, wrapped);
    fails(&get("env/test", &[]), 1, "no environment variable TEST");
    fails(&get("env/test/a", &[("TEST", "hunter2")]), 1, "unable to json decode value");
    fails(&get("none/test", &[]), 1, "Error: could not find vault (none)\n");
    fails(&get("env/test", &[("KONG_VAULTS", "off"), ("TEST", "hunter2")]), 1, "could not find vault (env)");
    fails(&get("env/test?ttl=soon", &[("TEST", "hunter2")]), 1, "option ttl of the env vault, set by the reference");
    fails(&get("{vault://env/}", &[]), 1, "Error: reference url has empty path [{vault://env/}]\n");
    fails(&get("{vault://env/test", &[]), 1, "Error: not a reference [{vault://env/test]; write it");
    fails(&get("", &[]), 1, "reference url is missing host [{vault://}]");
    fails(&get("hcv/a/b", &[("KONG_VAULT_HCV_TOKN", "hunter2")]), 1, "KONG_VAULT_HCV_TOKN (did you mean token?)");
    fails(&get("env/test", &[("KONG_VAULT_CACHE_SIZE", "no")]), 1, "Error: value \"no\" of option vault_cache_size");
    let reference = OsStr::from_bytes(b"env/\xff");
    fails(&run(&[OsStr::new("get"), reference], &[("A", "a")]), 1, "utf-8");
}

#[test]
fn the_braces_of_a_reference_are_put_or_asked_for() {
    let get = |reference: &str| run(&["get", reference], &[("TEST", "value"), ("TEST_JSON", r#"{"a":"value"}"#)]);
    for reference in
        ["env/test", "vault://env/test", "{vault://env/test}", "vault://env/test?prefix=", "vault://env/test-json/a"]
    {
        prints(&get(reference), b"value\n");
    }
    for reference in ["{vault://env/test", "vault://env/test}", "{env/test}", "{vault:/env/test}", "env/test}"] {
        let failed = get(reference);
        fails(&failed, 1, "not a reference");
        fails(&failed, 1, "write it in both braces, as {vault://env/name}, or without any");
    }
    for (reference, why) in [
        ("vault://", "reference url is missing host [{vault://}]"),
        ("/a", "reference url is missing host [{vault:///a}]"),
        ("vault://env", "reference url is missing path [{vault://env}]"),
    ] {
        fails(&get(reference), 1, why);
    }
    // What was taken for a field may be a part of the name.
    for reference in ["env/prod/db-password", "env/test/db-password", "env/test-json/db-password"] {
        fails(&get(reference), 1, "for the whole secret, end it with a slash");
    }
    let absent = get("env/absent");
    fails(&absent, 1, "no environment variable ABSENT");
    assert!(!absent.stderr.contains("slash"), "{absent:?}");
    let doctor = run(&["doctor", "vault://env/prod/db-password"], &[("TEST", "value")]);
    let text = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status == Some(1) && text.contains("for the whole secret, end it with a slash"), "{text}");
}

#[test]
fn misuse_is_status_2() {
    let misused = |arguments: &[&str]| run(arguments, &[("TEST", "hunter2")]);
    fails(&misused(&["get"]), 2, "the 'get' command needs a <reference> argument");
    for arguments in
        [&["get", "env/test", "env/test"][..], &["get", "env/test", "--tiemout", "1"], &["put", "env/test"]]
    {
        fails(&misused(arguments), 2, "error: ");
    }
    fails(&misused(&[]), 2, "Usage: kong-vault <COMMAND>");
    for timeout in ["", "soon", "0", "-1", "inf"] {
        let run = misused(&["get", "env/test", &format!("--timeout={timeout}")]);
        fails(&run, 2, "--timeout must be seconds from 0.001");
    }
    fails(
        &misused(&["get", "env/test", "--conf", "/no/such/kong.conf"]),
        2,
        "--conf /no/such/kong.conf: can't be read",
    );
    fails(&misused(&["get", "env/test", "--conf", "/"]), 2, "--conf /: can't be read");
}

#[test]
fn help_and_version_are_for_standard_output() {
    let version = run(&["--version"], &[("A", "a")]);
    prints(&version, format!("kong-vault {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    for arguments in [&["--help"][..], &["get", "--help"], &["help", "get"]] {
        let help = run(arguments, &[("A", "a")]);
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status == Some(0) && help.stderr.is_empty() && text.contains("Usage: kong-vault"), "{text}");
    }
}

#[test]
fn a_kong_conf_configures_and_the_environment_is_stronger() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let entities = path("kong.yml", "vaults: [{prefix: mine, name: env, config: {prefix: ENT_}}]");
    let conf = path(
        "kong.conf",
        &format!(
            "# of Kong's\ndatabase = off\npg_password = hunter2\n\nvaults = bundled # all\nvault_env_prefix = CONF_\n\
             vault_declarative_config = {entities}\n"
        ),
    );
    let environment = [("CONF_TEST", "of the file"), ("ENV_TEST", "of the environment"), ("ENT_TEST", "of an entity")];
    let with = |reference: &str, more: &[(&str, &str)]| {
        run(&["get", "--conf", &conf, reference], &[&environment[..], more].concat())
    };
    prints(&with("env/test", &[]), b"of the file\n");
    prints(&with("env/test", &[("KONG_VAULT_ENV_PREFIX", "ENV_")]), b"of the environment\n");
    prints(&with("mine/test", &[]), b"of an entity\n");
    fails(&with("env/test", &[("KONG_VAULTS", "hcv")]), 1, "could not find vault (env)");

    let conf = path("bad.conf", "vault_env_prefix = CONF_\nvault_hcv_tokn = hunter2\nvault_cache_size = 1\n");
    let run = |reference: &str, conf: &str| run(&["get", reference, "-c", conf], &environment);
    let warned = run("env/test", &conf);
    assert_eq!((warned.status, warned.stdout.as_slice()), (Some(0), &b"of the file\n"[..]), "{warned:?}");
    let source = format!("set by key vault_hcv_tokn in {conf} (did you mean token?)");
    assert!(warned.stderr.starts_with("Warning: unknown option tokn") && warned.stderr.contains(&source), "{warned:?}");
    let failed = run("hcv/a/b", &conf);
    fails(&failed, 1, &source);
    assert_eq!(failed.stderr.lines().count(), 1, "said once: {failed:?}");
    fails(
        &run("env/test", &path("own.conf", "vault_fetch_timeout = 0\n")),
        1,
        "Error: value \"0\" of option vault_fetch",
    );
    fails(&run("env/test", &path("none.conf", "hunter2\n")), 2, "none.conf: no line is `key = value`");
    fails(
        &run("env/test", &path("fatal.conf", "a = b\n[\n")),
        2,
        "fatal.conf: line 2 begins with `[` and names no section",
    );
}

#[test]
fn a_kong_conf_is_read_as_by_kong_and_what_surprises_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kong.conf");
    let get = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let environment = [("Q_TEST", "plain"), ("\"Q_\"TEST", "quoted"), ("7TEST", "seven"), ("Q7TEST", "continued")];
        run(&["get", "env/test", "--conf", path.to_str().unwrap()], &environment)
    };
    for (text, value, warning) in [
        ("vault_env_prefix = Q_\n", "plain", ""),
        ("hunter2\nvault_env_prefix = Q_\n", "plain", "line 1 has no `=`"),
        ("vault_env_prefix = \"Q_\"\n", "quoted", "line 1: vault_env_prefix has quotes"),
        ("vault_env_prefix = 007\n", "seven", "line 1: vault_env_prefix is a number"),
        ("vault_env_prefix = Q\\\n7\n", "continued", ""),
        ("vault.env.prefix = Q_ # comment\r\n", "plain", ""),
        ("vault_env_prefix = Q_\n[hunter2]\nvault_env_prefix = hunter2\n", "plain", "line 2 begins a section"),
        ("vault_env_prefix = Q_\nvault_hcv_port =\nvault_cache_size =\n", "plain", ""),
    ] {
        let got = get(text);
        assert_eq!((got.status, &got.stdout[..]), (Some(0), format!("{value}\n").as_bytes()), "{text:?}: {got:?}");
        assert!(got.stderr.contains(warning) && got.stderr.is_empty() == warning.is_empty(), "{text:?}: {got:?}");
        assert!(!got.stderr.contains("hunter2"), "{got:?}");
    }
}

#[tokio::test]
async fn a_vault_is_asked_over_http_within_the_time_given() {
    let vault = Fake::start(|head| {
        let known = head.to_ascii_lowercase().contains("x-vault-token: hunter2\r\n");
        if known { answer("200 OK", "", r#"{"data":{"foo":"bar"}}"#) } else { answer("403 Forbidden", "", "{}") }
    })
    .await;
    let silent = Fake::silent().await;
    let ask = async |port: u16, token: &'static str, more: &'static [&'static str]| {
        let port = port.to_string();
        let task = tokio::task::spawn_blocking(move || {
            let environment = [
                ("KONG_VAULT_HCV_PORT", port.as_str()),
                ("KONG_VAULT_HCV_TOKEN", token),
                ("KONG_VAULT_FETCH_TIMEOUT", "60"),
            ];
            run(&[&["get", "hcv/hello/foo"], more].concat(), &environment)
        });
        task.await.expect("a run")
    };
    prints(&ask(vault.port(), "hunter2", &[]).await, b"bar\n");
    fails(&ask(vault.port(), "other", &[]).await, 1, "permission denied");

    let start = Instant::now();
    let run = ask(silent.port(), "hunter2", &["--timeout", "0.2"]).await;
    fails(&run, 1, "within 0.2 s");
    assert!(start.elapsed() < Duration::from_secs(30), "the environment's 60 s don't count");
}

#[test]
fn vaults_lists_every_option() {
    let list = |arguments: &[&str]| String::from_utf8(run(arguments, &[("A", "a")]).stdout).unwrap();
    let (text, markdown) = (list(&["vaults"]), list(&["vaults", "--markdown"]));
    for backend in kong_vault::backend::registry::ALL {
        for opt in backend.options {
            let variable = opt.variable(backend.name);
            assert!(text.contains(&format!("  {} ({variable})\n", opt.name)), "{variable}");
            assert!(markdown.contains(&format!("| `{variable}` |")), "{variable}");
        }
    }
    assert!(markdown.contains("| `base64_decode` |") && markdown.contains("(also called `decode_base64`)"));
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(markdown.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 9));
}

#[test]
fn entities_of_the_admin_api_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let entities = r#"{"vaults":[{"prefix":"mine","name":"env","config":{"prefix":"SECRET_"}}]}"#;
    std::fs::write(folder.path().join("vaults.json"), entities).unwrap();
    let environment = [("KONG_VAULT_DATA_DIR", path), ("SECRET_NAME", "a secret")];
    prints(&get("mine/name", &environment), b"a secret\n");
    // A folder that can't be read keeps nobody from what is elsewhere.
    let missing = format!("{path}/missing");
    let run = get("env/secret-name", &[("KONG_VAULT_DATA_DIR", &missing), ("SECRET_NAME", "a secret")]);
    assert_eq!((run.status, run.stdout.as_slice()), (Some(0), &b"a secret\n"[..]));
    assert!(run.stderr.contains("vault_data_dir"), "{run:?}");
}

/// `kong.conf` in a folder with other files; in `{dir}` the folder's path is put.
fn with_conf(conf: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, text) in files {
        std::fs::write(path(name), text).unwrap();
    }
    std::fs::write(path("kong.conf"), conf.replace("{dir}", folder.path().to_str().unwrap())).unwrap();
    let conf = path("kong.conf");
    (folder, conf)
}

#[test]
fn entities_of_kongs_own_declarative_file_are_found() {
    let kongs = "_format_version: '3.0'\nvaults:\n- {prefix: team, name: env, config: {prefix: T_}}\n- {prefix: both, name: env}\n\
                 - {prefix: theirs, name: custom}\nservices: [{name: a, url: http://a}]\n";
    let ours = "vaults:\n- {prefix: both, name: env, config: {prefix: OURS_}}\n- {prefix: bad, name: nope}\n";
    let files = [("kong.yml", kongs), ("ours.yml", ours)];
    let environment = [("T_A", "1"), ("A", "2"), ("OURS_A", "3")];
    let (_folder, conf) =
        with_conf("database = off\nvaults = bundled,custom\ndeclarative_config = {dir}/kong.yml\n", &files);
    let asked = |conf: &str, reference: &str| run(&["get", reference, "--conf", conf], &environment);
    prints(&asked(&conf, "team/a"), b"1\n");
    prints(&asked(&conf, "both/a"), b"2\n");
    fails(
        &asked(&conf, "theirs/a"),
        1,
        "could not find vault (theirs): kong-vault does not provide its strategy custom",
    );
    let doctor = run(&["doctor", "team", "--conf", &conf], &environment);
    assert_eq!(doctor.status, Some(0), "{doctor:?}");
    // The environment is stronger, and is heard without a file as well.
    let (other, _) = with_conf("", &[("other.yml", "vaults: [{prefix: other, name: env}]")]);
    let other = other.path().join("other.yml");
    let environment = [("A", "2"), ("KONG_DECLARATIVE_CONFIG", other.to_str().unwrap())];
    prints(&run(&["get", "other/a", "--conf", &conf], &environment), b"2\n");
    prints(&run(&["get", "other/a"], &environment), b"2\n");
    fails(&run(&["get", "team/a", "--conf", &conf], &environment), 1, "could not find vault (team)");
    // Of what both files hold, ours counts.
    let both = "declarative_config = {dir}/kong.yml\nvault_declarative_config = {dir}/ours.yml\n";
    let (_folder, conf) = with_conf(both, &files);
    let run = asked(&conf, "both/a");
    assert_eq!((run.stdout.as_slice(), run.status), (&b"3\n"[..], Some(0)), "{run:?}");
    assert!(run.stderr.contains("Warning: vault_declarative_config") && run.stderr.contains("\"nope\""), "{run:?}");
    assert_eq!(asked(&conf, "team/a").stdout, b"1\n");
    // A file that is gone keeps no other vault from answering.
    let (_folder, conf) = with_conf("declarative_config = {dir}/gone.yml\n", &files);
    let run = asked(&conf, "env/a");
    assert_eq!((run.stdout.as_slice(), run.status), (&b"2\n"[..], Some(0)), "{run:?}");
    assert!(run.stderr.contains("Warning: declarative_config") && run.stderr.contains("can't be read"), "{run:?}");
}

#[test]
fn vaults_of_others_keep_ours_from_nothing() {
    let yaml = "vaults:\n- {prefix: mine, name: my-own, config: {url: x}}\n- {prefix: ee, name: env}\n";
    let conf = "vaults = bundled,aws,hcv,my-own\nvault_my_own_url = x\nvault_declarative_config = {dir}/v.yml\n";
    let (_folder, conf) = with_conf(conf, &[("v.yml", yaml)]);
    let asked = |reference: &str| run(&["get", reference, "--conf", &conf], &[("A", "1")]);
    prints(&asked("env/a"), b"1\n");
    prints(&asked("ee/a"), b"1\n");
    fails(
        &asked("mine/a"),
        1,
        "could not find vault (mine): kong-vault does not provide its strategy my-own, which is left to Kong",
    );
    fails(&asked("my-own/a"), 1, "could not find vault (my-own)");
    prints(&run(&["get", "env/a"], &[("A", "1"), ("KONG_VAULTS", "env,my-own"), ("KONG_VAULT_MY_OWN_X", "y")]), b"1\n");
    fails(&run(&["get", "env/a"], &[("A", "1"), ("KONG_VAULTS", "env,hvc")]), 1, "did you mean hcv?");
}

#[test]
fn advice_is_for_the_command_line() {
    let run = get("env/nope", &[]);
    fails(&run, 1, "has no environment variable NOPE: export it");
    assert!(!run.stderr.contains("nginx") && !run.stderr.contains("init_by_lua"), "{run:?}");
}
