//! A certificate of Key Vault's as a document of fields: what nginx and Kong take for TLS, each by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use zeroize::Zeroizing;

use super::answer::Found;
use crate::identity::x509;
use crate::secret::Secret;

/// What a certificate's secret is where it is not converted.
const PKCS12: &str = "application/x-pkcs12";

/// The fields. Kong's certificates have `cert` and `key`.
#[derive(Serialize)]
struct Fields<'a> {
    /// The certificate with its chain, its own first.
    cert: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// All in one, the key first.
    pem: &'a str,
}

/// What became of a certificate's secret.
pub struct Made {
    pub document: Secret,
    pub has_key: bool,
}

/// The document; or a clause that says what is wrong, and shows nothing of it.
pub fn document(found: &Found) -> Result<Made, &'static str> {
    let text = found.value.as_str();
    if !text.contains("-----BEGIN") {
        return Err(match found.content_type.as_deref() {
            Some(PKCS12) => {
                "it was answered as PKCS#12, not as PEM: raise `api_version` to 2025-07-01 or later, or give the \
                 certificate's policy the content type application/x-pem-file"
            }
            _ => "it is no certificate: read it by an `azure` vault",
        });
    }
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| "its PEM is broken: import the certificate anew")?;
    let key_pem = key_of(text);
    let key = key_pem.as_ref().and_then(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok());
    if key_pem.is_some() && key.is_none() {
        return Err("its key is encrypted or broken: import the certificate anew, without a password");
    }
    // A key of a kind that is unknown here may be known to OpenSSL.
    let known = key.as_ref().filter(|key| x509::public_key(key).is_some());
    let chain = x509::chain(certificates, known).ok_or(if key.is_some() {
        "its key belongs to none of its certificates: import the pair anew"
    } else {
        "it holds no certificate: import it anew"
    })?;
    let mut cert = String::new();
    chain.iter().for_each(|certificate| append(&mut cert, certificate));
    let pem = Zeroizing::new(format!("{}{cert}", key_pem.as_deref().map_or("", String::as_str)));
    let fields = Fields { cert: &cert, key: key_pem.as_deref().map(String::as_str), pem: &pem };
    // With room for all, it is not moved while it is written, which would leave copies of the key behind.
    let mut json = Zeroizing::new(Vec::with_capacity(4 * pem.len() + 256));
    serde_json::to_writer(&mut *json, &fields).map_err(|_| "it can't be written as fields")?;
    Ok(Made { document: Secret::new(std::mem::take(&mut *json)), has_key: key_pem.is_some() })
}

/// A certificate in PEM.
fn append(pem: &mut String, certificate: &CertificateDer<'_>) {
    let base64 = STANDARD.encode(certificate);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
}

/// The first private key of a PEM text, as it stands there.
fn key_of(text: &str) -> Option<Zeroizing<String>> {
    let mut at = 0;
    while let Some(start) = text[at..].find("-----BEGIN ").map(|found| at + found) {
        let label = text[start + "-----BEGIN ".len()..].split("-----").next()?;
        let end = format!("-----END {label}-----");
        let stop = text[start..].find(&end).map(|found| start + found + end.len())?;
        if label.ends_with("PRIVATE KEY") {
            let lines = text[start..stop].lines().map(str::trim_end);
            let mut key = Zeroizing::new(String::with_capacity(stop - start + 2));
            lines.for_each(|line| {
                key.push_str(line);
                key.push('\n');
            });
            return Some(key);
        }
        at = stop;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(value: &str, content_type: Option<&str>) -> &'static str {
        let found = Found {
            value: Zeroizing::new(value.to_owned()),
            content_type: content_type.map(str::to_owned),
            attributes: super::super::answer::Attributes::default(),
        };
        document(&found).err().expect("a clause")
    }

    #[test]
    fn what_is_no_certificate_is_told_apart() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        for (value, content_type, part) in [
            ("MIIKZgIBAzCC".to_owned(), Some("application/x-pkcs12"), "raise `api_version`"),
            ("hunter2".to_owned(), Some("text/plain"), "read it by an `azure` vault"),
            ("hunter2".to_owned(), None, "read it by an `azure` vault"),
            (block("PRIVATE KEY"), None, "belongs to none"),
            (block("ENCRYPTED PRIVATE KEY"), None, "encrypted or broken"),
            (block("PUBLIC KEY"), None, "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n***\n-----END CERTIFICATE-----".to_owned(), None, "is broken"),
            ("-----BEGIN CERTIFICATE-----\nMAA=".to_owned(), None, "is broken"),
        ] {
            let clause = refused(&value, content_type);
            assert!(clause.contains(part), "{value}: {clause}");
        }
    }

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let other = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for text in [key.to_owned(), format!("{other}{key}"), format!("Bag Attributes\n{key}{other}")] {
            assert_eq!(key_of(&text).unwrap().as_str(), key);
        }
        assert_eq!(key_of(&key.replace('\n', "\r\n")).unwrap().as_str(), key);
        assert!(key_of(other).is_none());
        assert!(key_of("-----BEGIN PRIVATE KEY-----\nAAAA").is_none());
    }
}
