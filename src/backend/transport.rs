//! How a vault is reached, by its options.

use super::Setup;
use crate::http::{Pem, Transport, options};
use crate::secret::Secret;

/// The transport that a vault's settings describe, by the options in `http::options`.
pub fn of_vault<'a>(setup: &'a Setup<'_>, label: String) -> Transport<'a> {
    let settings = setup.settings;
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let certificate = text(options::CLIENT_CERT.name);
    let secret = |name| settings.secret(name).and_then(Secret::as_str).filter(|text| !text.is_empty());
    Transport {
        ca_cert: text("ca_cert"),
        verify: settings.boolean("ssl_verify") && !settings.boolean("tls_skip_verify"),
        server_name: text("tls_server_name"),
        client_cert: certificate.map(|value| Pem { option: options::CLIENT_CERT.name, value }),
        client_key: secret(options::CLIENT_KEY.name).map(|value| Pem { option: options::CLIENT_KEY.name, value }),
        tls_1_3: text(options::TLS_MIN_VERSION.name) == Some("1.3"),
        proxy: secret(options::PROXY.name),
        no_proxy: settings.list(options::NO_PROXY.name),
        ..Transport::new(label, setup.environment, setup.timeout)
    }
}
