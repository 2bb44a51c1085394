//! `kong-vault exec`: the program that it runs, its environment, its files, signals, and rotated values.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const COMMAND: &str = env!("CARGO_BIN_EXE_kong-vault");
const VALUE: &str = "hunter2 is the value";

/// No test takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// `kong-vault exec` with nothing in its environment but a path, a secret of the vault `env`, and `variables`. Who runs these
/// tests in the background may ignore INT and QUIT, and so would the programs.
fn exec(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP,INT,QUIT,TERM,USR1", COMMAND, "exec"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("SECRET", VALUE);
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Files in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_owned()
    }

    /// Writes a file, and returns its path.
    fn add(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the command");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A program that runs, with its lines one by one. It is killed when dropped, and when it hangs.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    _ends: Sender<()>,
}

fn signal(process: u32, name: &str) -> bool {
    Command::new("kill").args(["-s", name, &process.to_string()]).status().expect("kill").success()
}

impl Running {
    fn new(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let ((ends, ended), process) = (channel(), child.id());
        std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                signal(process, "KILL");
            }
        });
        Self { child, lines, _ends: ends }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name));
    }

    /// Its status, and what it wrote to standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("a status");
        let mut text = String::new();
        self.child.stderr.take().expect("its errors").read_to_string(&mut text).expect("text");
        (status.code(), text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments of all processes of this machine.
fn arguments_of_all() -> Vec<Vec<u8>> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).collect()
}

/// Waits for what another process does; its deadline is only met by a failure.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_gets_values_in_its_environment() {
    let files = Files::new();
    let list = files.add("list.env", "# comment\nexport FIRST={vault://env/secret}\nSECOND='a b'\n\n");
    let environment = [
        ("WHOLE", "{vault://env/secret}"),
        ("INSIDE", "postgres://app:{vault://env/secret}@{vault://env/host}/db"),
        ("PLAIN", "{not a reference}"),
        ("HOST", "db.example"),
        ("KONG_VAULT_HCV_TOKEN", "{vault://env/hcv-token}"),
        ("HCV_TOKEN", "s.own"),
    ];
    let arguments = ["--env-file", list.as_str(), "--env", "GIVEN=x{vault://env/host}", "--", "env"];
    let (status, text, errors) = output(&mut exec(&arguments, &environment));
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for line in [
        &format!("WHOLE={VALUE}"),
        &format!("INSIDE=postgres://app:{VALUE}@db.example/db"),
        &format!("FIRST={VALUE}"),
        "SECOND=a b",
        "PLAIN={not a reference}",
        "GIVEN=xdb.example",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("s.own") && !text.contains("vault://"), "{text}");
    let (_, text, _) = output(&mut exec(&["--keep-options", "--", "env"], &environment));
    assert!(
        text.contains("KONG_VAULT_HCV_TOKEN={vault://env/hcv-token}") && text.contains("HCV_TOKEN=s.own"),
        "{text}"
    );
}

#[test]
fn its_status_is_the_programs() {
    for arguments in [&["--"][..], &["--on-rotation", "restart", "--"]] {
        let status = |program: &[&str]| output(&mut exec(&[arguments, program].concat(), &[])).0;
        assert_eq!(status(&["true"]), Some(0));
        assert_eq!(status(&["sh", "-c", "exit 7"]), Some(7));
        assert_eq!(status(&["kong-vault-no-such-program"]), Some(127));
        assert_eq!(status(&["/etc/passwd"]), Some(126));
    }
    // In the place of kong-vault, a signal ends it as it would end the program.
    let (status, ..) = output(&mut exec(&["--on-rotation", "restart", "--", "sh", "-c", "kill -s KILL $$"], &[]));
    assert_eq!(status, Some(128 + 9));
}

#[test]
fn what_cannot_be_done_is_said_and_runs_nothing() {
    let none = [("A", "{vault://env/missing}")];
    let broken = [("A", "x{vault://env/secret")];
    for (arguments, variables, status, text) in [
        (&["--", "echo", "ran"][..], &none[..], 1, "A: "),
        (&["--", "echo", "ran"], &broken, 2, "the variable A: a reference in it does not end: add a \"}\""),
        (&["--", "echo", "{vault://env/secret}"], &[], 2, "an argument of the program holds a reference"),
        (&["--on-rotation", "HUP", "--", "echo"], &[], 2, "--on-rotation with a signal needs --file"),
        (&["--on-rotation", "STOP", "--", "echo"], &[], 2, "must be restart, or one of the signals"),
        (&["--env", "=x", "--", "echo"], &[], 2, "--env has no name"),
        (&["--file", "A=/missing", "--", "echo"], &[], 2, "--file"),
        (&["--env-file", "/missing", "--", "echo"], &[], 2, "--env-file"),
        (&["echo"], &[], 2, "--"),
    ] {
        let (found, out, errors) = output(&mut exec(arguments, variables));
        assert_eq!((found, out.as_str()), (Some(status), ""), "{arguments:?}: {errors}");
        assert!(errors.contains(text) && !errors.contains(VALUE), "{text}: {errors}");
    }
}

#[test]
fn a_file_has_values_and_stays_nowhere() {
    let files = Files::new();
    let template = files.add("app.conf", "user = app\npassword = {vault://env/secret}\n");
    for more in [&[][..], &["--on-rotation", "HUP"]] {
        let script = "cat \"$CONF\"; stat -Lc %a \"$CONF\"; echo \"$CONF\"; sh -c 'cat \"$CONF\"' >/dev/null; echo done; exec sleep 600";
        let file = format!("CONF={template}");
        let arguments = [&["--file", &file], more, &["--", "sh", "-c", script]].concat();
        let mut running = Running::new(&mut exec(&arguments, &[]));
        assert_eq!([running.line(), running.line()], ["user = app".to_owned(), format!("password = {VALUE}")]);
        assert_eq!(running.line(), "400");
        let path = running.line();
        assert_eq!(running.line(), "done");
        assert!(path.starts_with("/proc/") && Path::new(&path).exists(), "{path}");
        assert!(!arguments_of_all().iter().any(|all| all.windows(VALUE.len()).any(|part| part == VALUE.as_bytes())));
        running.signal("KILL");
        running.end();
        eventually("the file went with its process", || !Path::new(&path).exists());
    }
}

#[test]
fn signals_reach_the_program() {
    for more in [&[][..], &["--on-rotation", "restart"]] {
        for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10)] {
            let script = format!("trap 'echo {name}; exit {number}' {name}; echo ready; while :; do sleep 0.05; done");
            let mut running = Running::new(&mut exec(&[more, &["--", "sh", "-c", &script]].concat(), &[]));
            assert_eq!(running.line(), "ready");
            running.signal(name);
            assert_eq!(running.line(), name);
            assert_eq!(running.end(), (Some(number), String::new()));
        }
    }
}

#[test]
fn no_program_outlives_a_kill() {
    let mut running = Running::new(&mut exec(
        &["--on-rotation", "restart", "--", "sh", "-c", "trap '' TERM; echo $$; exec sleep 600"],
        &[],
    ));
    let program = format!("/proc/{}/cmdline", running.line());
    let runs = || std::fs::read(&program).is_ok_and(|arguments| arguments.starts_with(b"sleep"));
    eventually("the program runs", runs);
    running.signal("KILL");
    running.end();
    eventually("the program ends too", || !runs());
}

/// A folder of secrets, as the vault `fs` reads them, whose values last half a second.
fn secrets(files: &Files) -> [(&'static str, String); 2] {
    files.add("secrets/password", "first");
    [("KONG_VAULT_FS_PREFIX", files.path("secrets")), ("KONG_VAULT_FS_TTL", "0.5".to_owned())]
}

fn rotate(files: &Files, value: &str) {
    files.add("secrets/next", value);
    std::fs::rename(files.path("secrets/next"), files.path("secrets/password")).expect("renamed");
}

#[test]
fn a_rotated_value_restarts_the_program() {
    let files = Files::new();
    let secrets = secrets(&files);
    let script = "trap 'echo ends; exit 3' TERM; echo \"$PASSWORD\"; while :; do sleep 0.05; done";
    let mut command = exec(&["--on-rotation", "restart", "--", "sh", "-c", script], &[]);
    let mut running = Running::new(command.envs(secrets).env("PASSWORD", "{vault://fs/password}"));
    assert_eq!(running.line(), "first");
    rotate(&files, "second");
    assert_eq!([running.line(), running.line()], ["ends", "second"]);
    // A vault that fails ends nothing.
    std::fs::remove_file(files.path("secrets/password")).expect("removed");
    running.signal("TERM");
    assert_eq!(running.line(), "ends");
    assert_eq!(running.end().0, Some(3));
}

#[test]
fn a_program_that_does_not_end_is_killed_before_it_is_started_again() {
    let files = Files::new();
    let secrets = secrets(&files);
    let script = "trap '' TERM; echo \"$PASSWORD\"; while :; do sleep 0.05; done";
    let arguments = ["--on-rotation", "restart", "--kill-after", "0", "--", "sh", "-c", script];
    let mut command = exec(&arguments, &[]);
    let mut running = Running::new(command.envs(secrets).env("PASSWORD", "{vault://fs/password}"));
    assert_eq!(running.line(), "first");
    rotate(&files, "second");
    assert_eq!(running.line(), "second");
}

#[test]
fn a_rotated_value_is_in_the_file_before_the_signal_comes() {
    let files = Files::new();
    let secrets = secrets(&files);
    let template = files.add("app.conf", "password = {vault://fs/password}\n");
    let script = "trap 'cat \"$CONF\"' HUP; cat \"$CONF\"; while :; do sleep 0.05; done";
    let file = format!("CONF={template}");
    let arguments = ["--on-rotation", "HUP", "--file", &file, "--", "sh", "-c", script];
    let mut running = Running::new(exec(&arguments, &[]).envs(secrets));
    assert_eq!(running.line(), "password = first");
    for value in ["second", "third"] {
        rotate(&files, value);
        assert_eq!(running.line(), format!("password = {value}"));
    }
}
