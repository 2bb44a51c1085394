//! TLS with a vault through a proxy. The HTTP library has one configuration for both. This module tells which of the
//! two a handshake is with, so that the proxy doesn't see the client certificate and isn't taken for the vault.
//!
//! A proxy's handshake is over before the vault's begins. So the first server that a connection verifies is the proxy.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::tls::Configured;
use super::verifier::{CertificatePolicy, PolicyVerifier, Presented, Verified};

tokio::task_local! {
    /// Whether the proxy of the connection that the task makes was verified.
    static PROXY_IS_VERIFIED: Cell<bool>;
}

/// Makes one connection, which may go through a proxy.
pub(super) async fn one_connection<F: Future>(connecting: F) -> F::Output {
    PROXY_IS_VERIFIED.scope(Cell::new(false), connecting).await
}

/// Outside of `one_connection` this is not known, so it may be the proxy.
fn may_be_the_proxy() -> bool {
    !PROXY_IS_VERIFIED.try_with(Cell::get).unwrap_or(false)
}

/// A configuration for connections through a proxy. `name` is the name in the vault's certificate, where it isn't the
/// host. It is checked but not sent, as the proxy must be told the host.
pub(super) fn configuration(
    usual: &Configured,
    name: Option<&ServerName<'static>>,
    proxy_has_tls: bool,
) -> ClientConfig {
    let mut config = usual.config.clone();
    config.dangerous().set_certificate_verifier(Arc::new(PolicyVerifier {
        usual: usual.verifier.clone(),
        policy: ByProxy { name: name.cloned(), proxy_has_tls },
    }));
    if proxy_has_tls {
        config.client_auth_cert_resolver = Arc::new(NotForProxies(config.client_auth_cert_resolver.clone()));
        // A resumed session would skip the verification that tells the two apart.
        config.resumption = Resumption::disabled();
    }
    config
}

/// For connections through a proxy, which may have TLS of its own.
#[derive(Debug)]
struct ByProxy {
    name: Option<ServerName<'static>>,
    proxy_has_tls: bool,
}

impl CertificatePolicy for ByProxy {
    fn check(&self, presented: &Presented<'_>, usual: &dyn ServerCertVerifier) -> Verified {
        let is_proxy = self.proxy_has_tls && may_be_the_proxy();
        let name = self.name.as_ref().filter(|_| !is_proxy).unwrap_or(presented.server_name);
        let verdict = presented.verified_as(name, usual)?;
        if is_proxy {
            let _ = PROXY_IS_VERIFIED.try_with(|verified| verified.set(true));
        }
        Ok(verdict)
    }
}

/// The client certificate, for the vault alone.
#[derive(Debug)]
struct NotForProxies(Arc<dyn ResolvesClientCert>);

impl ResolvesClientCert for NotForProxies {
    fn resolve(&self, root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if may_be_the_proxy() { None } else { self.0.resolve(root_hints, schemes) }
    }

    fn has_certs(&self) -> bool {
        self.0.has_certs()
    }
}
