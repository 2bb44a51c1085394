//! Certificates of Key Vault, as nginx and Kong take them.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kong_vault::error::Kind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use support::azure::Azure;
use support::azure::key_vault::{Stored, stored};
use support::azure::vault::{fails, reads};
use support::certs::{Ca, VALID};

/// A certificate of a CA's, stored as PKCS#12 would be; and the certificates, its own first.
fn store(azure: &Azure, name: &str, text: &str) {
    let pfx = STANDARD.encode(b"\x30\x82 no real one");
    let stored = Stored { pem: Some(text.to_owned()), ..stored('a', &pfx, 1) };
    azure.state().secrets.insert(name.to_owned(), vec![stored]);
}

fn fields(text: &str) -> Value {
    serde_json::from_str(text).expect("fields")
}

#[tokio::test]
async fn a_certificate_has_its_key_and_its_chain_in_order() {
    let Some(azure) = Azure::start().await else { return };
    let ca = Ca::new(azure.directory.path(), "issuer");
    let leaf = ca.issue("site", "DNS:site.test", VALID);
    let key = std::fs::read_to_string(&leaf.key).unwrap();
    let (own, issuer) = (leaf.pem(), ca.pair.pem());
    let vault = azure.certificates(&[]);
    for text in [
        format!("{key}{own}{issuer}"),
        format!("{issuer}{own}{key}"),
        format!("{own}{key}{issuer}").replace('\n', "\r\n"),
    ] {
        store(&azure, "site", &text);
        let fields = fields(&reads(&vault, "site").await);
        let cert = fields["cert"].as_str().unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap).collect();
        let wanted = [&own, &issuer].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
        assert_eq!(chain, wanted);
        let served = PrivateKeyDer::from_pem_slice(fields["key"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(served, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap());
        let pem = fields["pem"].as_str().unwrap();
        assert!(pem.contains("PRIVATE KEY-----") && pem.ends_with(cert), "{pem}");
    }
    assert!(vault.notice().is_none());
}

#[tokio::test]
async fn what_is_no_pair_is_not_served() {
    let Some(azure) = Azure::start().await else { return };
    let ca = Ca::new(azure.directory.path(), "issuer");
    let (one, other) = (ca.issue("one", "DNS:one.test", VALID), ca.issue("other", "DNS:other.test", VALID));
    let key = |pair: &support::certs::Pair| std::fs::read_to_string(&pair.key).unwrap();
    let vault = azure.certificates(&[]);
    store(&azure, "mixed", &format!("{}{}", key(&one), other.pem()));
    fails(&vault, "mixed", Kind::Invalid, &["the certificate mixed", "belongs to none of its certificates"]).await;
    store(&azure, "broken", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n");
    fails(&vault, "broken", Kind::Invalid, &["its PEM is broken"]).await;
    fails(&vault, "plain", Kind::Invalid, &["is no certificate: read it by an `azure` vault"]).await;
    fails(&vault, "none", Kind::NotFound, &["there is no certificate none"]).await;
    store(&azure, "one", &format!("{}{}", key(&one), one.pem()));
    let old = azure.certificates(&[("KONG_VAULT_AZURE_CERTS_API_VERSION", "7.4")]);
    fails(&old, "one", Kind::Invalid, &["answered as PKCS#12", "raise `api_version`"]).await;
    // A key that never leaves Key Vault.
    store(&azure, "keyless", &one.pem());
    let fields = fields(&reads(&vault, "keyless").await);
    assert!(fields["cert"].is_string() && fields["key"].is_null());
    assert!(vault.notice().unwrap().text.contains("so there is no field `key`"));
    reads(&vault, "keyless").await;
    assert!(vault.notice().is_none(), "it was told");
}
