//! The system's CA certificates, and stores of given ones.

#![expect(clippy::disallowed_methods, reason = "on threads of a pool, where clients are made")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::environment::Environment;
use crate::sync::lock;

/// A store of only these certificates; fails where one can't be used.
pub(super) fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
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

/// The system's roots. They are parsed once in a process, as they are hundreds of certificates. It blocks.
pub(super) fn system(locations: &Locations) -> Result<Arc<RootCertStore>, String> {
    if let Some((_, store)) = known().iter().find(|(place, _)| place == locations) {
        return Ok(store.clone());
    }
    // The lock is not held meanwhile: the files may hang.
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(load(locations));
    if store.is_empty() {
        let place = if locations.is_empty() {
            "in the system's places: install the package ca-certificates"
        } else {
            "where SSL_CERT_FILE and SSL_CERT_DIR point: correct them"
        };
        return Err(format!("no CA certificate found {place}, or set `ca_cert`"));
    }
    let store = Arc::new(store);
    let mut known = known();
    if let Some((_, theirs)) = known.iter().find(|(place, _)| place == locations) {
        return Ok(theirs.clone());
    }
    known.push((locations.clone(), store.clone()));
    Ok(store)
}

type KnownRoots = Vec<(Locations, Arc<RootCertStore>)>;

fn known() -> MutexGuard<'static, KnownRoots> {
    static KNOWN: Mutex<KnownRoots> = Mutex::new(Vec::new());
    lock(&KNOWN)
}

fn load(locations: &Locations) -> Vec<CertificateDer<'static>> {
    if locations.is_empty() {
        return rustls_native_certs::load_native_certs().certs;
    }
    let paths = std::iter::once((locations.file.as_deref(), None::<&Path>))
        .chain(locations.directories.iter().map(|directory| (None, Some(directory.as_path()))));
    paths.flat_map(|(file, directory)| rustls_native_certs::load_certs_from_paths(file, directory).certs).collect()
}
