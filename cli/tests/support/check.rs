//! Runs `kong-vault check` on files, and reads its table.

use std::process::Command;

pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Files in a directory of their own, in which the command runs.
pub struct Files(pub tempfile::TempDir);

impl Files {
    pub fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    #[track_caller]
    pub fn check(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_kong-vault"))
            .arg("check")
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .expect("the program");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let run = Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{}{}", run.stdout, run.stderr);
        run
    }
}

impl Run {
    /// Whether these are all rows that are not good: place, what, and how what is said of it goes on.
    #[track_caller]
    pub fn finds(&self, expected: &[(&str, &str, &str)]) {
        let squeezed = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
        let rows: Vec<_> = self.stdout.lines().map(squeezed).collect();
        let (last, rows) = rows.split_last().expect("a summary");
        let bad: Vec<_> = rows.iter().filter(|row| !row.ends_with(" ok")).collect();
        for (index, (place, what, verdict)) in expected.iter().enumerate() {
            let found = bad.get(index).map_or("nothing", |row| row.as_str());
            assert!(
                found.starts_with(&squeezed(&format!("{place} {what} {verdict}"))),
                "{place} {what} {verdict}:\n{found}"
            );
        }
        assert_eq!(bad.len(), expected.len(), "{bad:#?}");
        let wrong = expected.iter().filter(|(_, _, verdict)| verdict.starts_with("error")).count();
        assert!(last.contains(&format!(" {wrong} wrong, ")), "{last}");
        assert_eq!(self.status, Some(if wrong > 0 { 1 } else { 0 }), "{}", self.stderr);
        assert_eq!(self.stderr.is_empty(), wrong == 0, "{}", self.stderr);
    }

    #[track_caller]
    pub fn holds(&self, row: &str) {
        let squeezed = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(self.stdout.lines().any(|line| squeezed(line) == row), "{row}:\n{}", self.stdout);
    }
}
