//! TLS as vaults need it: rustls with ring, roots of our choice, who we are, and files that change while we run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, Error as TlsError, RootCertStore, SupportedProtocolVersion};

use super::pem::{Source, Stamp, broken};
use super::roots::{self, Locations};
use super::verify::{Anyone, Pinned};
use super::{Pem, Transport};
use crate::error::{Error, Kind, Result};

/// How often new connections may have the files looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// Whom to trust.
enum Trust {
    Bundle(Source),
    System(Locations),
    Anyone,
}

/// Who we are, to servers that ask. The key may stand in the certificate's file.
struct Identity {
    certificate: Source,
    key: Source,
}

/// What TLS is configured from, and the configuration that was made of it.
pub(super) struct Tls {
    label: String,
    trust: Trust,
    identity: Option<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    /// See `Setup::threads`.
    threads: bool,
    made: Mutex<Option<Made>>,
}

struct Made {
    config: Arc<ClientConfig>,
    of: Vec<Option<Stamp>>,
    looked: Instant,
}

impl Tls {
    /// Refuses at once what can't be used. The system's roots are read when a connection first needs them.
    pub fn new(transport: &Transport<'_>) -> Result<Self> {
        let trust = match transport.ca_cert.filter(|text| !text.is_empty()) {
            _ if !transport.verify => Trust::Anyone,
            Some(value) => Trust::Bundle(Source::new(Pem { option: "ca_cert", value })),
            None => Trust::System(Locations::from(transport.environment)),
        };
        let tls = Self {
            label: transport.label.clone(),
            trust,
            identity: identity(transport).map_err(|reason| refusal(&transport.label, reason))?,
            versions: rustls::DEFAULT_VERSIONS,
            threads: transport.threads,
            made: Mutex::new(None),
        };
        if !matches!(tls.trust, Trust::System(_)) {
            tls.renew()?;
        } else if let Some(identity) = &tls.identity {
            builder(tls.versions)
                .and_then(|builder| identity.present(builder.with_root_certificates(RootCertStore::empty())))
                .map_err(|reason| refusal(&tls.label, reason))?;
        }
        Ok(tls)
    }

    /// Whether servers can learn who we are.
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The configuration for a new connection.
    pub async fn current(self: Arc<Self>) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.recent() {
            return Ok(config);
        }
        if !self.threads {
            return self.renew();
        }
        let failed = Error::new(Kind::Internal, format!("{}: the thread that reads certificates failed", self.label));
        tokio::task::spawn_blocking(move || self.renew()).await.unwrap_or(Err(failed))
    }

    fn recent(&self) -> Option<Arc<ClientConfig>> {
        let made = self.made();
        let made = made.as_ref()?;
        let is_recent = made.of.is_empty() || made.looked.elapsed() < GLANCE;
        is_recent.then(|| made.config.clone())
    }

    /// Makes the configuration anew if a file changed. While what is there now can't be used, that of before is.
    fn renew(&self) -> Result<Arc<ClientConfig>> {
        // Before they are read: what changes meanwhile is seen the next time.
        let stamps = self.stamps();
        if let Some(made) = self.made().as_mut()
            && made.of == stamps
        {
            made.looked = Instant::now();
            return Ok(made.config.clone());
        }
        let config = self.make();
        let mut made = self.made();
        let config = match (config, made.as_ref()) {
            (Ok(config), _) => Arc::new(config),
            (Err(_), Some(made)) => made.config.clone(),
            (Err(reason), None) => return Err(refusal(&self.label, reason)),
        };
        *made = Some(Made { config: config.clone(), of: stamps, looked: Instant::now() });
        Ok(config)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let bundle = match &self.trust {
            Trust::Bundle(source) => Some(source),
            _ => None,
        };
        let ours = self.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        bundle.into_iter().chain(ours).filter(|source| source.is_file()).map(Source::stamp).collect()
    }

    fn make(&self) -> std::result::Result<ClientConfig, String> {
        let builder = builder(self.versions)?;
        let builder = match &self.trust {
            Trust::System(locations) => builder.with_root_certificates(roots::system(locations)?),
            Trust::Bundle(source) => {
                let verifier = Pinned::new(&source.certificates("CA")?).ok_or_else(|| broken(&source.origin("CA")))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider()))),
        };
        let mut config = match &self.identity {
            Some(identity) => identity.present(builder)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A panic while it is held leaves data that is still whole: each critical section is one assignment.
    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
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
            let key = Source::new(key.unwrap_or(certificate));
            Ok(Some(Identity { certificate: Source::new(certificate), key }))
        }
        (None, Some(key)) => Err(format!("`{}` is set without its certificate: set both", key.option)),
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
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
