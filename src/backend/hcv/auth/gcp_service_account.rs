//! A Google Cloud service account's key from its JSON file, and JWTs signed with it (RS256).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

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
    private_key: String,
}

impl ServiceAccount {
    /// Parses a key. The error is a clause that shows nothing of the key.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let written: ServiceAccountFile = serde_json::from_slice(json)
            .map_err(|_| "is no service account's key in JSON, with client_email and private_key".to_owned())?;
        let pem = Zeroizing::new(written.private_key);
        if written.kind != "service_account" {
            return Err("is no service account's key: its type is another".to_owned());
        }
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok();
        let key = key.and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        let key = key.ok_or("holds no usable private_key: make a new key".to_owned())?;
        Ok(Self { email: written.client_email, id: written.private_key_id, key })
    }
}

pub fn sign(account: &ServiceAccount, claims: &str) -> Result<Secret, &'static str> {
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": account.id }).to_string();
    let mut jwt = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; account.key.public().modulus_len()];
    account
        .key
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), jwt.as_bytes(), &mut signature)
        .map_err(|_| "the service account's key can't sign: the machine has no random numbers")?;
    jwt.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
    Ok(Secret::new(jwt))
}
