//! PEM from an option, which holds the text itself or the path of a file. Files are read again when they change:
//! certificates are replaced while nginx runs.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool, where clients are made")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::file::{self, FileFlaw, FileStamp};
use crate::redact;

/// Far above any bundle of certificates.
const LIMIT: u64 = 1024 * 1024;

/// An option's value, PEM text or a file's path, and the option's name for error texts.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    pub option: &'static str,
    pub value: &'a str,
}

/// The same, owned.
pub(super) struct PemSource {
    option: &'static str,
    holder: PemHolder,
}

enum PemHolder {
    Text(Zeroizing<String>),
    File(PathBuf),
}

type Reason = String;

impl PemSource {
    pub fn new(pem: Pem<'_>) -> Self {
        let holder = match redact::pem::text(pem.value) {
            Some(text) => PemHolder::Text(text),
            None => PemHolder::File(PathBuf::from(pem.value)),
        };
        Self { option: pem.option, holder }
    }

    /// Where certificates were read from: the option, or the file.
    pub fn origin(&self, what: &str) -> String {
        match &self.holder {
            PemHolder::Text(_) => format!("`{}`", self.option),
            PemHolder::File(path) => format!("the {what} file {}", redact::known_path(path)),
        }
    }

    /// Where a key was read from. Its path is not shown, as it may be a key that lacks its first line.
    pub fn private_origin(&self) -> String {
        match &self.holder {
            PemHolder::Text(_) => format!("`{}`", self.option),
            PemHolder::File(_) => format!("the key file of `{}`", self.option),
        }
    }

    /// `None` where there is no file, or its status can't be read.
    pub fn stamp(&self) -> Option<FileStamp> {
        let PemHolder::File(path) = &self.holder else { return None };
        std::fs::metadata(path).ok().as_ref().map(FileStamp::from)
    }

    pub fn option(&self) -> &'static str {
        self.option
    }

    pub fn path(&self) -> Option<&OsStr> {
        match &self.holder {
            PemHolder::Text(_) => None,
            PemHolder::File(path) => Some(path.as_os_str()),
        }
    }

    /// `what` names the certificates in errors, as in "the CA file".
    pub fn certificates(&self, what: &str) -> Result<Vec<CertificateDer<'static>>, Reason> {
        let pem = self.read_pem(what, file::told)?;
        let origin = self.origin(what);
        let parsed = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        match parsed {
            Err(_) => Err(broken(&origin)),
            Ok(none) if none.is_empty() => {
                Err(format!("{origin} holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)"))
            }
            Ok(certificates) => Ok(certificates),
        }
    }

    pub fn key(&self) -> Result<PrivateKeyDer<'static>, Reason> {
        let origin = self.private_origin();
        let pem = self.read_pem("key", |_, _| None)?;
        if is_encrypted(&pem) {
            return Err(format!("{origin} is encrypted, which is not supported: give the key without a passphrase"));
        }
        PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| format!("{origin} holds no whole PEM key (`-----BEGIN PRIVATE KEY-----`)"))
    }

    /// `shown` returns the path if it may be shown: where there is no file, it may be a key that lacks its first line.
    fn read_pem(&self, what: &str, shown: fn(&Path, FileFlaw) -> Option<String>) -> Result<Zeroizing<Vec<u8>>, Reason> {
        let path = match &self.holder {
            PemHolder::Text(pem) => return Ok(Zeroizing::new(pem.as_bytes().to_vec())),
            PemHolder::File(path) => path,
        };
        file::read_bounded(path, LIMIT).map(|(pem, _)| pem).map_err(|flaw| {
            let (option, why) = (self.option, reason(flaw));
            let shown = shown(path, flaw).unwrap_or_else(|| format!("of `{option}` ({})", redact::length(&path.to_string_lossy())));
            format!("cannot read the {what} file {shown}: {why}: `{option}` takes a readable file's path, PEM text, or base64 of it")
        })
    }
}

/// The reason for certificates that can't be parsed.
pub(super) fn broken(origin: &str) -> Reason {
    format!("{origin} holds a broken PEM certificate: check that it was copied whole")
}

fn is_encrypted(pem: &[u8]) -> bool {
    let holds = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED")
}

/// Why a file can't be read, as a piece of a sentence.
fn reason(flaw: FileFlaw) -> String {
    match flaw {
        FileFlaw::Missing => "no such file".to_owned(),
        FileFlaw::Forbidden => "permission denied".to_owned(),
        other => format!("it {other}"),
    }
}
