//! The certificates that TLS trusts: the CA bundle that an option names, or the system's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::environment::Environment;
use crate::error::{Error, Kind, Result};

/// The certificates of a bundle, given as PEM text or as a file's path. The errors name the label and the path.
pub(super) fn bundle(label: &str, ca_cert: &str) -> Result<Vec<CertificateDer<'static>>> {
    let refuse = |what: String| Error::new(Kind::Config, format!("{label}: {what}"));
    let (pem, origin) = if ca_cert.contains("-----BEGIN") {
        // Where a value can't have lines, as in kong.conf, they are written as `\n`.
        (ca_cert.replace("\\n", "\n").into_bytes(), "`ca_cert`".to_owned())
    } else {
        let pem = std::fs::read(ca_cert).map_err(|error| {
            refuse(format!(
                "cannot read the CA file {ca_cert}: {}: `ca_cert` takes a readable file's path or PEM text",
                reason(&error)
            ))
        })?;
        (pem, format!("the CA file {ca_cert}"))
    };
    let broken = || refuse(format!("{origin} holds a broken PEM certificate: check that it was copied whole"));
    let certificates =
        CertificateDer::pem_slice_iter(&pem).collect::<std::result::Result<Vec<_>, _>>().map_err(|_| broken())?;
    if certificates.is_empty() {
        return Err(refuse(format!("{origin} holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)")));
    }
    store(&certificates).map_err(|_| broken())?;
    Ok(certificates)
}

/// A store of just these certificates; fails where one of them is none.
pub(super) fn store(certificates: &[CertificateDer<'static>]) -> std::result::Result<RootCertStore, rustls::Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone())?;
    }
    Ok(store)
}

/// Where the captured environment says that the system's roots are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Locations {
    file: Option<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Locations {
    pub fn from(environment: &Environment) -> Self {
        let text = |name| environment.text(name).filter(|text| !text.is_empty());
        Self {
            file: text("SSL_CERT_FILE").map(PathBuf::from),
            directories: text("SSL_CERT_DIR")
                .map(|list| list.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect())
                .unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.file.is_none() && self.directories.is_empty()
    }
}

/// The system's roots, parsed once a process: hundreds of certificates are not read for every vault.
pub(super) fn system(label: &str, locations: &Locations) -> Result<Arc<RootCertStore>> {
    static KNOWN: Mutex<Vec<(Locations, Arc<RootCertStore>)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, store)) = known.iter().find(|(place, _)| place == locations) {
        return Ok(store.clone());
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(load(locations));
    if store.is_empty() {
        let place = if locations.is_empty() {
            "in the system's places: install the package ca-certificates"
        } else {
            "where SSL_CERT_FILE and SSL_CERT_DIR point: correct them"
        };
        return Err(Error::new(Kind::Config, format!("{label}: no CA certificate found {place}, or set `ca_cert`")));
    }
    let store = Arc::new(store);
    known.push((locations.clone(), store.clone()));
    Ok(store)
}

fn load(locations: &Locations) -> Vec<CertificateDer<'static>> {
    if locations.is_empty() {
        return rustls_native_certs::load_native_certs().certs;
    }
    let paths = std::iter::once((locations.file.as_deref(), None::<&Path>))
        .chain(locations.directories.iter().map(|directory| (None, Some(directory.as_path()))));
    paths.flat_map(|(file, directory)| rustls_native_certs::load_certs_from_paths(file, directory).certs).collect()
}

/// An operating system's reason, as a piece of a sentence.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        other => other.to_string(),
    }
}
