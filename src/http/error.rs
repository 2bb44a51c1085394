//! The error texts of failed exchanges: where, what, and what to do. They are made from the chain of causes, never from
//! what was sent or received.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::body::RefusedBody;
use super::connect_check::Outdated;
use super::dialer::{AtProxy, Trouble};
use super::dns::Unresolved;
use super::transport::BODY_LIMIT;
use crate::error::{Error, Kind};

/// The two ends of an exchange, for error texts.
pub(super) struct ErrorContext<'a> {
    pub label: &'a str,
    /// `host:port`, or a socket.
    pub address: String,
    /// Whether the server is reached by https.
    pub is_secure: bool,
    /// The proxy's `host:port`, if there is one.
    pub proxy: Option<&'a str>,
    pub timeout: Duration,
    /// Whether a client certificate is set.
    pub has_identity: bool,
}

impl ErrorContext<'_> {
    pub fn error(&self, kind: Kind, reason: impl std::fmt::Display) -> Error {
        let proxy = self.proxy.map_or(String::new(), |proxy| format!(" by the proxy {proxy}"));
        Error::new(kind, format!("{} at {}{proxy}: {reason}", self.label, self.address))
    }
}

/// The timeout passed before an answer began.
pub(super) fn unanswered(context: &ErrorContext<'_>) -> Error {
    late(context, "no answer")
}

/// The timeout passed while the answer's body was read.
pub(super) fn incomplete(context: &ErrorContext<'_>) -> Error {
    context
        .error(Kind::Timeout, format!("the answer was not complete within {} seconds", context.timeout.as_secs_f64()))
}

fn late(context: &ErrorContext<'_>, what: &str) -> Error {
    context.error(Kind::Timeout, lateness(context, what))
}

fn lateness(context: &ErrorContext<'_>, what: &str) -> String {
    format!("{what} within {} seconds: check that the server runs and is reachable", context.timeout.as_secs_f64())
}

pub(super) fn of_request(context: &ErrorContext<'_>, error: &reqwest::Error) -> Error {
    if let Some(own) = of_own(context, error) {
        return own;
    }
    let connecting = error.is_connect();
    if error.is_timeout() {
        return late(context, if connecting { "no connection" } else { "no answer" });
    }
    if let Some(proxy) = context.proxy {
        match tunnel_error(error) {
            Some(AUTHENTICATION) => return of_proxy(context, StatusCode::PROXY_AUTHENTICATION_REQUIRED),
            // With http, the connection itself goes to the proxy.
            None if context.is_secure || !connecting => {}
            _ => return of_broken_proxy(context, proxy, error),
        }
    }
    match of_causes(context, error, connecting) {
        Some((kind, reason)) => context.error(kind, reason),
        None if connecting => {
            context.error(Kind::Unavailable, "cannot connect: check that the server runs and is reachable")
        }
        None => of_exchange(context, error),
    }
}

/// The HTTP library's texts about a tunnel. These errors have no public type, only fixed texts.
const TUNNEL: &str = "tunnel error: ";
const REFUSED: &str = "unsuccessful";
const AUTHENTICATION: &str = "proxy authorization required";

fn tunnel_error(error: &reqwest::Error) -> Option<&'static str> {
    let text = chain(error).map(ToString::to_string).find_map(|text| Some(text.strip_prefix(TUNNEL)?.to_owned()))?;
    Some([REFUSED, AUTHENTICATION].into_iter().find(|known| *known == text).unwrap_or("broken"))
}

/// Whether a proxy refused a tunnel without a known reason.
pub(super) fn is_refused_tunnel(error: &reqwest::Error) -> bool {
    tunnel_error(error) == Some(REFUSED)
}

/// Whether no connection was tried, as certificates have changed.
pub(super) fn is_outdated(error: &reqwest::Error) -> bool {
    cause::<Outdated>(error).is_some()
}

/// The error of a connection over which no request was to be sent.
pub(super) fn of_connecting(context: &ErrorContext<'_>, error: &(dyn StdError + Send + Sync + 'static)) -> Error {
    let error: &(dyn StdError + 'static) = error;
    of_own(context, error).unwrap_or_else(|| match of_causes(context, error, true) {
        Some((kind, reason)) => context.error(kind, reason),
        None => context.error(Kind::Unavailable, "cannot connect: check that the server runs and is reachable"),
    })
}

/// The timeout passed before there was a connection.
pub(super) fn unconnected(context: &ErrorContext<'_>) -> Error {
    late(context, "no connection")
}

/// The error where this crate's own part of a connection failed: the TLS configuration, or the proxy.
fn of_own(context: &ErrorContext<'_>, error: &(dyn StdError + 'static)) -> Option<Error> {
    // An error of the TLS configuration has its full text already.
    if let Some(own) = cause::<Error>(error) {
        return Some(own.clone());
    }
    let AtProxy { trouble, address } = cause::<AtProxy>(error)?;
    Some(match trouble {
        Trouble::Refused(status) => of_proxy(context, *status),
        Trouble::Broken(cause) => of_broken_proxy(context, address, &**cause),
    })
}

/// The error of a proxy that can't be reached, or does not behave like one. The vault's certificate plays no part.
fn of_broken_proxy(context: &ErrorContext<'_>, proxy: &str, cause: &(dyn StdError + 'static)) -> Error {
    let (kind, reason) = of_causes(context, cause, true).unwrap_or_else(|| {
        (Kind::Unavailable, "the answer is not from an HTTP proxy: check the proxy's address".to_owned())
    });
    Error::new(kind, format!("{} at {}: the proxy {proxy}: {reason}", context.label, context.address))
}

/// The error for a proxy's own answer.
pub(super) fn of_proxy(context: &ErrorContext<'_>, status: StatusCode) -> Error {
    let reason = match status.as_u16() {
        407 => "the proxy requires credentials: set or correct user and password in its URL",
        403 | 405 => {
            "the proxy refuses the connection: allow this host and port in the proxy, or add the host to `no_proxy`"
        }
        500.. => "the proxy cannot reach it: check that the proxy knows this host, or add the host to `no_proxy`",
        _ => "the proxy refuses to connect: check its address and its rules",
    };
    context.error(Kind::Unavailable, format!("{reason} (status {})", status.as_u16()))
}

fn of_causes(context: &ErrorContext<'_>, error: &(dyn StdError + 'static), connecting: bool) -> Option<(Kind, String)> {
    if let Some(tls) = cause::<TlsError>(error) {
        return Some(of_tls(context, tls));
    }
    if let Some(unresolved) = cause::<Unresolved>(error) {
        return Some((Kind::Unavailable, format!("cannot resolve the host name: {unresolved}")));
    }
    if is_timeout(error) {
        return Some((Kind::Timeout, lateness(context, if connecting { "no connection" } else { "no answer" })));
    }
    let io = cause::<io::Error>(error)?;
    // A worker that has no file descriptors left says nothing about the vault.
    let kind = if is_out_of_files(io) { Kind::Config } else { Kind::Unavailable };
    Some((kind, of_io(io, connecting)?))
}

pub(super) fn of_body(context: &ErrorContext<'_>, refused: &RefusedBody) -> Error {
    match refused {
        RefusedBody::TooLarge => context.error(
            Kind::Invalid,
            format!("answer is larger than {BODY_LIMIT} bytes: check that the path is a secret's and the address the vault's"),
        ),
        RefusedBody::Broken(error) if is_timeout(error) => incomplete(context),
        RefusedBody::Broken(error) => match cause::<TlsError>(error) {
            Some(tls) => {
                let (kind, reason) = of_tls(context, tls);
                context.error(kind, reason)
            }
            None => context.error(Kind::Unavailable, "the connection was closed before the answer was complete"),
        },
    }
}

/// The HTTP library's own errors have no public type, only fixed texts.
fn of_exchange(context: &ErrorContext<'_>, error: &reqwest::Error) -> Error {
    let causes = chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if causes.contains("head is too large") || causes.contains("header list") {
        context.error(Kind::Invalid, "the answer's headers are too large: check that the address is the vault's")
    } else if causes.contains("invalid") || causes.contains("parsed") || causes.contains("frame") {
        context.error(Kind::Invalid, "the answer is no valid HTTP: check the protocol (http or https) and the port")
    } else {
        context.error(Kind::Unavailable, "the connection was closed before an answer came")
    }
}

fn of_io(error: &io::Error, connecting: bool) -> Option<String> {
    use io::ErrorKind as Io;
    Some(match error.kind() {
        Io::ConnectionRefused => "connection refused: check that the server runs and listens there".to_owned(),
        Io::HostUnreachable | Io::NetworkUnreachable => {
            "no route to the host: check the address and the network".to_owned()
        }
        Io::UnexpectedEof if connecting => {
            "the connection was closed during the TLS handshake: check that the server speaks https".to_owned()
        }
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
            "the connection was closed before an answer came".to_owned()
        }
        Io::NotFound if connecting => {
            "there is no such socket: check that the server runs and listens there".to_owned()
        }
        Io::PermissionDenied => {
            "the system does not permit the connection: check firewall, sandbox and the permissions of the socket"
                .to_owned()
        }
        _ if connecting => match error.raw_os_error() {
            Some(_) if is_out_of_files(error) => {
                "cannot connect: too many files are open: raise worker_rlimit_nofile".to_owned()
            }
            Some(_) => format!("cannot connect: {}", error.kind()),
            None => return None,
        },
        _ => return None,
    })
}

/// Whether a connection timed out: by a limit of this library while it was made, or by the system.
fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A wrong certificate or protocol stays wrong however often it is tried: `Tls`, not `Unavailable`.
fn of_tls(context: &ErrorContext<'_>, error: &TlsError) -> (Kind, String) {
    let reason = match error {
        TlsError::InvalidCertificate(certificate) => of_certificate(certificate).to_owned(),
        TlsError::NoCertificatesPresented => "the server presented no certificate".to_owned(),
        TlsError::InvalidMessage(_) => {
            "the server does not speak TLS there: set the protocol to http, or correct the port".to_owned()
        }
        TlsError::AlertReceived(alert) if is_about_us(*alert) => {
            if context.has_identity {
                format!(
                    "the server refuses the client certificate (alert {alert:?}): set `client_cert` to a valid \
                     certificate of a CA that the server trusts"
                )
            } else {
                "the server asks for a client certificate: set `client_cert` and `client_key`".to_owned()
            }
        }
        TlsError::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server has no certificate for this name: set `tls_server_name`".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server supports no accepted TLS version: lower `tls_min_version`, or enable TLS 1.3 on the server"
                .to_owned()
        }
        TlsError::AlertReceived(alert) => format!("the server refused the TLS handshake (alert {alert:?})"),
        TlsError::PeerIncompatible(_) => "the server offers neither TLS 1.2 nor TLS 1.3 with a known cipher".to_owned(),
        _ => return (Kind::Unavailable, "the TLS handshake failed".to_owned()),
    };
    (Kind::Tls, reason)
}

/// Whether a server's alert says that it asked for a client certificate and got none, or none that it accepts.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Certificate;
    match error {
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "the server's certificate is from a CA that is not trusted: set `ca_cert` or SSL_CERT_FILE to that CA \
             (`ssl_verify = off` is for tests only)"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or correct this machine's clock"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check both clocks"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the server's certificate is for another name: set `host` to a name in its subjectAltName, or \
             `tls_server_name` to the certificate's name"
        }
        Certificate::ApplicationVerificationFailure => {
            "the server's certificate is not the one with the thumbprint that is set: correct the thumbprint"
        }
        Certificate::Revoked => "the server's certificate has been revoked: replace it",
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: add serverAuth to its extendedKeyUsage"
        }
        Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server's certificate is a CA's (CA:TRUE): set `ca_cert` to this certificate, or give the server one \
             that is not a CA's"
        }
        _ => "the server's certificate is not valid: replace it",
    }
}

/// An error and its causes. `source` of an `io::Error` skips the error that it wraps, so `get_ref` is used for it.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &'a (dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The innermost cause of a type: an `io::Error` may wrap another that knows more.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).filter_map(|cause| cause.downcast_ref::<T>()).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_out_of_descriptors_says_so() {
        for code in [libc::EMFILE, libc::ENFILE] {
            let reason = of_io(&io::Error::from_raw_os_error(code), true);
            assert!(reason.is_some_and(|reason| reason.contains("worker_rlimit_nofile")), "{code}");
        }
    }
}
