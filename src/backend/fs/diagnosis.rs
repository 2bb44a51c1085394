//! Finds out why a directory gives no values, by trying each step of a fetch.

use rustix::fs::{FileType, Mode, StatVfsMountFlags, fstat, fstatvfs};

use super::beneath::Dir;
use super::content::FileTrouble;
use super::{Fs, name};
use crate::backend::SecretId;
use crate::diagnosis::Findings;

/// What `doctor` reports about the directory.
struct DirectoryState {
    /// Whether every user can put files into it.
    is_open_to_all: bool,
    /// Whether it is laid out as a volume of Kubernetes.
    is_volume: bool,
    is_root: bool,
}

impl Fs {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        self.steps(secret_id, &mut findings).await;
        findings
    }

    async fn steps(&self, secret_id: Option<&SecretId>, findings: &mut Findings) -> Option<()> {
        let prefix = self.prefix.clone();
        let looked = self.on_a_thread(move || look(&prefix)).await;
        let looked = findings.or_bad("directory", looked)?;
        let state = findings.or_bad("directory", looked.map_err(|trouble| self.context.of_prefix(trouble)))?;
        let kind = if state.is_volume { ", a volume as Kubernetes keeps them" } else { "" };
        findings.good("directory", format!("{} is there{kind}", self.context.prefix));
        if state.is_open_to_all {
            let text = "every user of this machine can put files into it: take that right away (chmod o-w)";
            findings.doubtful("directory", text);
        }
        if state.is_root {
            let text = "references can read all files of this machine that nginx's workers can: name a directory that \
                        holds only secrets";
            findings.doubtful("directory", text);
        }
        let secret_id = secret_id?;
        let read = findings.or_bad("read", self.read(secret_id, &[], false).await)?;
        let document = &read.first.document;
        let shown = name::shown(&secret_id.resource);
        findings.good("read", format!("{shown} has {} bytes", document.len()));
        match document.as_bytes() {
            [] => findings.doubtful("read", "the value is empty"),
            // PEM ends with a line break.
            [.., b'\n'] if !document.as_bytes().starts_with(b"-----BEGIN") => {
                let text = "the value ends with a line break, which is a part of it: write it without one (printf %s), \
                            unless it belongs there";
                findings.doubtful("read", text);
            }
            _ => {}
        }
        Some(())
    }
}

fn look(prefix: &std::path::Path) -> Result<DirectoryState, FileTrouble> {
    let directory = Dir::open(prefix)?;
    let stat = fstat(&directory)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let is_read_only = fstatvfs(&directory).is_ok_and(|volume| volume.f_flag.contains(StatVfsMountFlags::RDONLY));
    Ok(DirectoryState {
        is_open_to_all: FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && mode.contains(Mode::WOTH)
            && !is_read_only,
        is_volume: directory.has_link("..data"),
        is_root: prefix.parent().is_none(),
    })
}
