//! The key of a Google service account, from its JSON file, and JWTs that it signs (RS256).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::login::SCOPE;
use crate::secret::Secret;
use crate::secret::WipedText;

/// The lifetime of a JWT for Google, the longest that Google accepts.
pub const LIFE: Duration = Duration::from_secs(3600);

/// By how much Google's clock may be behind this machine's.
const BACK: Duration = Duration::from_secs(10);

/// The audience of an assertion, wherever it is sent.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";

pub struct ServiceAccount {
    pub email: String,
    id: String,
    key: RsaKeyPair,
}

#[derive(Deserialize)]
struct ServiceAccountFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: WipedText,
}

/// The types of other Google credentials.
const OTHERS: [&str; 4] =
    ["external_account", "external_account_authorized_user", "impersonated_service_account", "authorized_user"];

impl ServiceAccount {
    /// Whether the JSON holds Google credentials of another type.
    pub fn is_another(json: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
        }
        serde_json::from_slice::<Kind>(json).is_ok_and(|written| OTHERS.contains(&written.kind.as_str()))
    }

    /// Reads a key. The error is a clause that shows nothing of it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let written: ServiceAccountFile = serde_json::from_slice(json).map_err(|_| {
            "is no service account's key in JSON, with client_email, private_key_id and private_key".to_owned()
        })?;
        if written.kind != "service_account" {
            return Err("is no service account's key: its type is another".to_owned());
        }
        let key = PrivatePkcs8KeyDer::from_pem_slice(written.private_key.0.as_bytes()).ok();
        let key = key.and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        let key = key.ok_or("holds no usable private_key: make a new key".to_owned())?;
        Ok(Self { email: written.client_email, id: written.private_key_id, key })
    }

    /// A JWT with these claims.
    pub fn sign(&self, claims: &str) -> Result<Secret, &'static str> {
        let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": self.id }).to_string();
        let mut jwt = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), jwt.as_bytes(), &mut signature)
            .map_err(|_| "the service account's key can't sign: the machine has no random numbers")?;
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(Secret::new(jwt))
    }

    /// A JWT that Google's services accept instead of an access token (AIP-4111), and when its lifetime begins.
    pub fn bearer(&self, now: SystemTime) -> Result<(Secret, SystemTime), &'static str> {
        let (issued, ends) = span(now);
        let claims = serde_json::json!({
            "iss": self.email, "sub": self.email, "scope": SCOPE, "iat": issued, "exp": ends,
        });
        Ok((self.sign(&claims.to_string())?, now - BACK))
    }

    /// A JWT that the token endpoint exchanges for an access token.
    pub fn assertion(&self, now: SystemTime) -> Result<Secret, &'static str> {
        let (issued, ends) = span(now);
        let claims = serde_json::json!({
            "iss": self.email, "scope": SCOPE, "aud": AUDIENCE, "iat": issued, "exp": ends,
        });
        self.sign(&claims.to_string())
    }
}

/// Begin and end of a JWT's lifetime, in seconds since 1970.
fn span(now: SystemTime) -> (u64, u64) {
    let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(BACK).as_secs();
    (issued, issued + LIFE.as_secs())
}
