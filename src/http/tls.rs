//! TLS with vaults: rustls with ring, the trusted roots, the client certificate, and files that change while nginx
//! runs.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error as TlsError, RootCertStore, SupportedProtocolVersion};

use super::crypto::provider;
use super::pem::Pem;
use super::pem::{PemSource, broken};
use super::transport::Transport;
use super::trust_store::{self, Locations};
use super::verifier::{Anyone, Pinned, Thumbprint};
use crate::error::{Error, Kind, Result};
use crate::file::FileStamp;
use crate::file::{self, FileFlaw};
use crate::notice::Notice;
use crate::sync::lock;

/// The shortest time between two checks of the files.
const GLANCE: Duration = Duration::from_secs(1);

const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

/// Which servers to trust.
enum Trust {
    Bundle(PemSource),
    System(Locations),
    /// One certificate, by its SHA-1.
    Thumbprint([u8; 20]),
    Anyone,
}

/// The client certificate. Its key may be in the same file.
struct Identity {
    certificate: PemSource,
    key: PemSource,
}

/// The source of TLS configurations, and the last one that was made.
pub(super) struct Tls {
    label: String,
    /// The limit of a whole fetch.
    timeout: Duration,
    trust: Trust,
    identity: Option<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    /// The protocols to agree on, the best first.
    protocols: &'static [&'static [u8]],
    made: Mutex<Option<CachedConfig>>,
}

/// A configuration and its verifier, which rustls does not return from it.
pub(super) struct Configured {
    pub config: ClientConfig,
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// Whether it was made from files, and another may replace it.
    pub is_of_files: bool,
}

impl Configured {
    /// For connections over which HTTP/1.1 alone is spoken.
    pub fn http_1(&self) -> ClientConfig {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

struct CachedConfig {
    config: Arc<Configured>,
    of: Vec<Option<FileStamp>>,
    looked: Instant,
    /// Why the files' present content can't be used.
    flaw: Option<String>,
    /// Why the files can't be read at the moment.
    hang: Option<String>,
    /// Which of these was last reported.
    told: Option<String>,
}

impl Tls {
    /// For the vault itself. It refuses at once what can't be used; the system's roots are read when a connection first
    /// needs them. It blocks where options name files.
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let identity = identity(transport).map_err(|reason| refusal(&transport.label, reason))?;
        let tls = Self::with(transport, identity, &[b"h2", b"http/1.1"]);
        if !matches!(tls.trust, Trust::System(_)) {
            tls.renew()?;
        } else if let Some(identity) = &tls.identity {
            builder(tls.versions)
                .and_then(|builder| identity.present(builder.with_root_certificates(RootCertStore::empty())))
                .map_err(|reason| refusal(&tls.label, reason))?;
        }
        Ok(tls)
    }

    /// For a proxy: the same trusted roots, and no client certificate.
    pub fn to_proxy(transport: &Transport<'_>) -> Self {
        Self::with(transport, None, &[b"http/1.1"])
    }

    fn with(transport: &Transport<'_>, identity: Option<Identity>, protocols: &'static [&'static [u8]]) -> Self {
        let trust = match transport.ca_cert.filter(|text| !text.is_empty()) {
            _ if transport.thumbprint.is_some() => Trust::Thumbprint(transport.thumbprint.unwrap_or_default()),
            _ if !transport.verify => Trust::Anyone,
            Some(value) => Trust::Bundle(PemSource::new(Pem { option: "ca_cert", value })),
            None => Trust::System(Locations::from(transport.environment)),
        };
        Self {
            label: transport.label.clone(),
            timeout: transport.timeout,
            trust,
            identity,
            versions: if transport.tls_1_3 { NEWEST } else { rustls::DEFAULT_VERSIONS },
            protocols,
            made: Mutex::new(None),
        }
    }

    /// Whether a client certificate is set.
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Why a server is accepted as the vault.
    pub fn verdict(&self) -> &'static str {
        match self.trust {
            Trust::Bundle(_) => "a certificate that `ca_cert` vouches for",
            Trust::System(_) => "a certificate that the system's roots vouch for",
            Trust::Thumbprint(_) => "the certificate with the thumbprint that is set",
            Trust::Anyone => "a certificate that is not checked (set `ssl_verify = on`)",
        }
    }

    /// The configuration for a new connection.
    pub async fn current(self: Arc<Self>) -> Result<Arc<Configured>> {
        if let Some(config) = self.recent() {
            return Ok(config);
        }
        let before = self.made().as_ref().map(|made| made.config.clone());
        let patience = if before.is_some() { file::patience_for_renewal(self.timeout) } else { file::PATIENCE };
        let this = Arc::clone(&self);
        match (file::on_a_thread(&self.places(), patience, move || this.renew()).await, before) {
            (Ok(made), _) => made,
            // While files don't answer, the previous configuration stays in use.
            (Err(flaw), Some(config)) => {
                self.note_hang(flaw);
                Ok(config)
            }
            (Err(flaw), None) => Err(refusal(&self.label, format!("a file with certificates {flaw}"))),
        }
    }

    fn note_hang(&self, flaw: FileFlaw) {
        let mut options: Vec<_> =
            self.sources().filter(|source| source.path().is_some()).map(PemSource::option).collect();
        options.dedup();
        let what = match options.as_slice() {
            [] => "the system's roots".to_owned(),
            [option] => format!("the file of `{option}`"),
            several => format!("one of the files of `{}`", several.join("`, `")),
        };
        if let Some(made) = self.made().as_mut() {
            // The first reason is kept: later attempts are refused because of it.
            made.hang.get_or_insert_with(|| format!("{what} {flaw}"));
        }
    }

    /// The files' paths, as one key for the pool.
    fn places(&self) -> Vec<u8> {
        match self.sources().filter_map(PemSource::path).collect::<Vec<_>>() {
            none if none.is_empty() => b"the system's roots".to_vec(),
            paths => paths.join(OsStr::new("\0")).into_encoded_bytes(),
        }
    }

    fn recent(&self) -> Option<Arc<Configured>> {
        let made = self.made();
        let made = made.as_ref()?;
        let is_recent = made.of.is_empty() || made.looked.elapsed() < GLANCE;
        is_recent.then(|| made.config.clone())
    }

    /// Makes a new configuration if a file changed. While the new files can't be used, the previous configuration stays
    /// in use.
    fn renew(&self) -> Result<Arc<Configured>> {
        // Taken before the files are read, so that a change in between is noticed the next time.
        let stamps = self.stamps();
        if let Some(made) = self.made().as_mut()
            && made.of == stamps
        {
            (made.looked, made.hang) = (Instant::now(), None);
            return Ok(made.config.clone());
        }
        let config = self.make();
        let mut made = self.made();
        let before = made.as_ref();
        let (config, flaw) = match (config, before) {
            (Ok(config), _) => (Arc::new(config), None),
            (Err(reason), Some(made)) => (made.config.clone(), Some(reason)),
            (Err(reason), None) => return Err(refusal(&self.label, reason)),
        };
        let told = made.as_mut().and_then(|before| before.told.take());
        *made =
            Some(CachedConfig { config: config.clone(), of: stamps, looked: Instant::now(), flaw, hang: None, told });
        Ok(config)
    }

    /// What is new since the last call, if anything is.
    pub fn notice(&self) -> Option<Notice> {
        let mut made = self.made();
        let made = made.as_mut()?;
        let trouble = made.hang.as_ref().or(made.flaw.as_ref());
        if made.told.as_ref() == trouble {
            return None;
        }
        let label = &self.label;
        made.told = trouble.cloned();
        Some(match &made.told {
            Some(flaw) => Notice {
                is_over: false,
                text: format!("{label}: {flaw} (new connections use the previous certificates)"),
            },
            None => Notice { is_over: true, text: format!("{label}: the changed certificates are in use") },
        })
    }

    fn stamps(&self) -> Vec<Option<FileStamp>> {
        self.sources().filter(|source| source.path().is_some()).map(PemSource::stamp).collect()
    }

    fn sources(&self) -> impl Iterator<Item = &PemSource> {
        let bundle = match &self.trust {
            Trust::Bundle(source) => Some(source),
            _ => None,
        };
        let ours = self.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        bundle.into_iter().chain(ours)
    }

    fn make(&self) -> std::result::Result<Configured, String> {
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trust {
            Trust::System(locations) => {
                WebPkiServerVerifier::builder_with_provider(trust_store::system(locations)?, provider())
                    .build()
                    .map_err(|_| "the system's roots can't be used: set `ca_cert`".to_owned())?
            }
            Trust::Bundle(source) => {
                Arc::new(Pinned::verifier(&source.certificates("CA")?).ok_or_else(|| broken(&source.origin("CA")))?)
            }
            Trust::Thumbprint(thumbprint) => Arc::new(Thumbprint { thumbprint: *thumbprint, provider: provider() }),
            Trust::Anyone => Arc::new(Anyone(provider())),
        };
        let builder = builder(self.versions)?.dangerous().with_custom_certificate_verifier(verifier.clone());
        let mut config = match &self.identity {
            Some(identity) => identity.present(builder)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Configured { config, verifier, is_of_files: self.sources().any(|source| source.path().is_some()) })
    }

    fn made(&self) -> MutexGuard<'_, Option<CachedConfig>> {
        lock(&self.made)
    }
}

impl Identity {
    fn present(
        &self,
        builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    ) -> std::result::Result<ClientConfig, String> {
        let (certificates, key) = (self.certificate.certificates("certificate")?, self.key.key()?);
        builder.with_client_auth_cert(certificates, key).map_err(|error| {
            let (certificate, key) = (self.certificate.origin("certificate"), self.key.private_origin());
            match error {
                TlsError::InconsistentKeys(_) => format!("{key} is not the key of {certificate}: give the pair"),
                TlsError::InvalidCertificate(_) => broken(&certificate),
                _ => format!("{key} is of no supported kind: use RSA, ECDSA (P-256 or P-384) or Ed25519"),
            }
        })
    }
}

fn is_set(pem: &Pem<'_>) -> bool {
    !pem.value.is_empty()
}

fn identity(transport: &Transport<'_>) -> std::result::Result<Option<Identity>, String> {
    match (transport.client_cert.filter(is_set), transport.client_key.filter(is_set)) {
        (None, None) => Ok(None),
        (Some(certificate), key) => {
            let key = PemSource::new(key.unwrap_or(certificate));
            Ok(Some(Identity { certificate: PemSource::new(certificate), key }))
        }
        (None, Some(key)) => Err(format!("`{}` is set without its certificate: set both", key.option)),
    }
}

/// A configuration that trusts no server.
pub(super) fn trusting_nobody() -> Option<ClientConfig> {
    let builder = builder(rustls::DEFAULT_VERSIONS).ok()?;
    Some(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> std::result::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|_| "the TLS library refuses its own defaults".to_owned())
}

fn refusal(label: &str, reason: String) -> Error {
    Error::new(Kind::Config, format!("{label}: {reason}"))
}
