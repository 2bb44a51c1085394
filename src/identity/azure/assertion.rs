//! A JWT that an application signs with the key of its certificate, in place of a secret.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use zeroize::Zeroizing;

use crate::file;
use crate::identity::x509;
use crate::redact;

/// Far above any certificate with its chain and key.
const LIMIT: u64 = 1024 * 1024;

/// How long an assertion is good for; Entra takes ten minutes. It may begin a little before, for clocks that differ.
const LIFE: Duration = Duration::from_secs(600);
const BEFORE: Duration = Duration::from_secs(10);

/// A JWT that is wiped.
pub type Assertion = Zeroizing<String>;

/// A certificate and its key: PEM, or a file, which is read for each login, as certificates are replaced.
pub struct Certificate {
    holder: Holder,
    sends_chain: bool,
}

enum Holder {
    Text(Zeroizing<String>),
    File(PathBuf),
}

impl Certificate {
    pub fn new(value: &str, sends_chain: bool) -> Self {
        let holder = match redact::pem::text(value) {
            Some(text) => Holder::Text(text),
            None => Holder::File(PathBuf::from(value)),
        };
        Self { holder, sends_chain }
    }

    /// An assertion for a token endpoint; or a clause that says what is wrong, and shows nothing of the key.
    pub async fn sign(&self, client: &str, endpoint: &str, now: SystemTime) -> Result<Assertion, String> {
        let pem = self.read().await?;
        sign(&pem, client, endpoint, now, self.sends_chain)
    }

    async fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.holder {
            Holder::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            Holder::File(path) => {
                let read = file::read_soon(path, LIMIT, file::PATIENCE).await;
                read.map(|(bytes, _)| bytes).map_err(|flaw| file::clause(path, flaw))
            }
        }
    }
}

fn sign(pem: &[u8], client: &str, endpoint: &str, now: SystemTime, sends_chain: bool) -> Result<Assertion, String> {
    let (chain, key) = parse(pem)?;
    let leaf = chain.first().ok_or("it holds no certificate")?;
    let signer = any_supported_type(&key).ok().and_then(|key| key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]));
    let signer = signer.ok_or("its key is no RSA key, and Entra ID takes no other: make a certificate with RSA")?;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, leaf));
    let mut header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    if sends_chain {
        header["x5c"] = chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    }
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let begins = now - BEFORE;
    let claims = json!({
        "aud": endpoint, "iss": client, "sub": client, "jti": random_id()?,
        "iat": seconds(begins), "nbf": seconds(begins), "exp": seconds(begins + LIFE),
    });
    let mut jwt = Zeroizing::new(String::with_capacity(8192));
    for part in [&header, &claims] {
        URL_SAFE_NO_PAD.encode_string(part.to_string(), &mut jwt);
        jwt.push('.');
    }
    let signed = &jwt[..jwt.len() - 1];
    let signature = signer.sign(signed.as_bytes()).map_err(|_| "its key can't sign: make a new one")?;
    URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
    Ok(jwt)
}

/// Certificates, the key's own first, and the key.
fn parse(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let holds = |text: &str| pem.windows(text.len()).any(|window| window == text.as_bytes());
    if !holds("-----BEGIN") {
        return Err(
            "it is no PEM: convert a PKCS#12 file with `openssl pkcs12 -nodes -in app.pfx -out app.pem`".to_owned()
        );
    }
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        return Err("its key is encrypted, which is not supported: give the key without a passphrase".to_owned());
    }
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| "it holds a broken certificate: check that it was copied whole")?;
    if certificates.is_empty() {
        return Err(
            "it holds no certificate (`-----BEGIN CERTIFICATE-----`): give certificate and key together".to_owned()
        );
    }
    let key = PrivateKeyDer::from_pem_slice(pem);
    let key =
        key.map_err(|_| "it holds no whole key (`-----BEGIN PRIVATE KEY-----`): give certificate and key together")?;
    let chain = x509::chain(certificates, Some(&key));
    Ok((chain.ok_or("its key belongs to none of its certificates: give the pair")?, key))
}

/// A random UUID, which tells assertions apart.
fn random_id() -> Result<String, String> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the machine has no random numbers")?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
