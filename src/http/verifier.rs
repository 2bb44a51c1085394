//! Verifies that a server is the vault: by webpki, with exceptions that users can ask for.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, SignatureScheme};

use super::crypto::provider;
use super::trust_store;

/// What a server presents in a handshake.
pub(super) struct Presented<'a> {
    pub end_entity: &'a CertificateDer<'a>,
    pub intermediates: &'a [CertificateDer<'a>],
    pub server_name: &'a ServerName<'a>,
    ocsp_response: &'a [u8],
    now: UnixTime,
}

impl Presented<'_> {
    /// The usual verifier's verdict, for the name that the certificate must have.
    pub fn verified_as(&self, name: &ServerName<'_>, usual: &dyn ServerCertVerifier) -> Verified {
        usual.verify_server_cert(self.end_entity, self.intermediates, name, self.ocsp_response, self.now)
    }
}

pub(super) type Verified = Result<ServerCertVerified, TlsError>;

/// A policy for certificates that differs from the usual one.
pub(super) trait CertificatePolicy: fmt::Debug + Send + Sync {
    fn check(&self, presented: &Presented<'_>, usual: &dyn ServerCertVerifier) -> Verified;
}

/// A verifier with a policy of its own for certificates; the rest of a handshake is verified as usual.
#[derive(Debug)]
pub(super) struct PolicyVerifier<P> {
    pub usual: Arc<dyn ServerCertVerifier>,
    pub policy: P,
}

impl<P: CertificatePolicy> ServerCertVerifier for PolicyVerifier<P> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Verified {
        let presented = Presented { end_entity, intermediates, server_name, ocsp_response, now };
        self.policy.check(&presented, &*self.usual)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Trusts a given bundle, which may contain the server's certificate itself. Many vaults have a self-signed certificate
/// with the CA flag, as `openssl req -x509` makes it, and webpki alone never accepts that.
#[derive(Debug)]
pub(super) struct Pinned(Vec<CertificateDer<'static>>);

impl Pinned {
    pub fn verifier(certificates: &[CertificateDer<'static>]) -> Option<PolicyVerifier<Self>> {
        let store = trust_store::store(certificates).ok()?;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build().ok()?;
        Some(PolicyVerifier { usual, policy: Self(certificates.to_vec()) })
    }
}

impl CertificatePolicy for Pinned {
    fn check(&self, presented: &Presented<'_>, usual: &dyn ServerCertVerifier) -> Verified {
        match presented.verified_as(presented.server_name, usual) {
            Err(error) if is_only_a_ca(&error) && self.0.iter().any(|known| known == presented.end_entity) => {
                let certificate = ParsedCertificate::try_from(presented.end_entity)?;
                rustls::client::verify_server_name(&certificate, presented.server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }
}

/// Whether the CA flag is the only problem of a certificate. webpki checks validity before this flag.
fn is_only_a_ca(error: &TlsError) -> bool {
    matches!(error, TlsError::InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains("CaUsedAsEndEntity"))
}

/// Trust in one certificate, whoever issued it and however long ago: its key has to be the server's.
#[derive(Debug)]
pub(super) struct Thumbprint {
    pub thumbprint: [u8; 20],
    pub provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Thumbprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Verified {
        let found = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, end_entity);
        if found.as_ref() == self.thumbprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `ssl_verify = off`: any server is accepted.
#[derive(Debug)]
pub(super) struct Anyone(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Verified {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
