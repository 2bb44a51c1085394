//! Programs that print credentials.
//!
//! nginx reaps every child of its process in its handler of SIGCHLD, so this never waits for the program. The end of
//! its output is its end, and a shell around it prints its status after that output. The shell also ends the program
//! when this process is gone: it reads a pipe that closes with it.

#![expect(clippy::disallowed_types, reason = "the one kind of program that is started: what an operator's file names")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::error::Kind;

/// Far above the JSON of credentials.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// The pause and the number of attempts to reap it, once its output has ended. nginx reaps what is left.
const REAPING: (Duration, u32) = (Duration::from_millis(2), 100);

/// Input: the pipe that closes. Output: the program's output, a line break, and its status. A program that does not end
/// on SIGTERM is killed.
const AROUND: &str = r#"
exec 3<&0 </dev/null 2>/dev/null
trap 'exit 1' TERM
{ trap '' TERM; read -r _ <&3; kill -TERM 0; sleep 1; kill -KILL 0; } >/dev/null &
leash=$!
"$@" 3<&-
status=$?
kill -KILL $leash
wait $leash
printf '\n%d' $status
"#;

/// A program with its arguments, and variables beside those of the captured environment.
pub struct Program<'a> {
    pub arguments: &'a [&'a OsStr],
    pub environment: &'a Environment,
    pub variables: &'a [(&'a str, OsString)],
    /// It may take longer than a fetch: then the next fetch uses its credentials.
    pub limit: Duration,
}

/// A program's output and status.
pub struct ProgramOutput {
    output: Zeroizing<Vec<u8>>,
    json: usize,
    pub status: u8,
}

impl ProgramOutput {
    pub fn json(&self) -> &[u8] {
        &self.output[..self.json]
    }
}

impl Program<'_> {
    /// Runs it to its end, or until its limit. Its output is never shown. The error is a kind and a clause.
    pub async fn run(&self) -> Result<ProgramOutput, (Kind, String)> {
        let (running, output) =
            self.start().map_err(|error| (Kind::Config, format!("the program cannot be started: {}", error.kind())))?;
        let output = match tokio::time::timeout(self.limit, read(output)).await {
            Ok(output) => output.map_err(|reason| (Kind::Invalid, reason.to_owned()))?,
            Err(_) => {
                let seconds = self.limit.as_secs_f64();
                let reason = format!("the program did not end within {seconds} seconds, and was ended");
                return Err((Kind::Timeout, reason));
            }
        };
        running.ended().await;
        let text = std::str::from_utf8(&output).map_err(|_| (Kind::Invalid, "its output is not UTF-8".to_owned()))?;
        let (json, status) = text.rsplit_once('\n').unwrap_or(("", ""));
        match status {
            "" => Err((Kind::Unavailable, "the program was ended by a signal".to_owned())),
            "126" | "127" => {
                Err((Kind::Config, format!("the program is not found or may not be run (status {status})")))
            }
            status => {
                let (status, json) = (status.parse().unwrap_or(255), json.len());
                Ok(ProgramOutput { output, json, status })
            }
        }
    }

    fn start(&self) -> std::io::Result<(Running, Receiver)> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", AROUND, "kong-vault"])
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, OsStr::from_bytes(value.as_bytes()))))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take();
        let running = Running(child);
        let output = output.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok((running, Receiver::from_owned_fd(output.into())?))
    }
}

async fn read(mut output: Receiver) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut written = Zeroizing::new(Vec::with_capacity(OUTPUT_LIMIT));
    loop {
        match output.read_buf(&mut *written).await {
            Ok(0) => return Ok(written),
            Ok(_) if written.len() < OUTPUT_LIMIT => {}
            Ok(_) => return Err("its output is too long for credentials"),
            Err(_) => return Err("its output cannot be read"),
        }
    }
}

/// A running program. It and its children end when this is dropped, as the pipe to the shell around it closes.
struct Running(Child);

impl Running {
    /// Reaps the program, whose output has ended, unless nginx has done that.
    async fn ended(mut self) {
        for _ in 0..REAPING.1 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(REAPING.0).await;
        }
    }
}
