//! Checks before the HTTP library makes a connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::proxied_tls;
use super::tls::{Configured, Tls};
use crate::file::{self, FileFlaw};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The files of the TLS configuration have changed: a new client must be made.
#[derive(Debug)]
pub(super) struct Outdated;

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificates have changed")
    }
}

impl std::error::Error for Outdated {}

/// Checks before each new connection of a client.
#[derive(Clone)]
pub(super) struct Checks {
    /// The source of TLS configurations, and the configuration that the client was made with.
    pub tls: Option<(Arc<Tls>, Arc<Configured>)>,
    pub socket: Option<Arc<Path>>,
}

impl Checks {
    async fn pass(&self) -> Result<(), BoxError> {
        if let Some(path) = &self.socket {
            // Its file system may hang. So its status is read first, on a thread of the pool: connecting would block
            // this one.
            if let Err(flaw @ (FileFlaw::Hangs | FileFlaw::Busy(_))) = file::status(path, file::PATIENCE).await {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the socket {flaw}")).into());
            }
        }
        match &self.tls {
            Some((tls, ours)) if !Arc::ptr_eq(ours, &tls.clone().current().await?) => Err(Outdated.into()),
            _ => Ok(()),
        }
    }
}

impl<S> Layer<S> for Checks {
    type Service = CheckedConnector<S>;

    fn layer(&self, connector: S) -> CheckedConnector<S> {
        CheckedConnector { checks: self.clone(), connector }
    }
}

/// A connector with checks before it.
#[derive(Clone)]
pub(super) struct CheckedConnector<S> {
    checks: Checks,
    connector: S,
}

impl<S, R> Service<R> for CheckedConnector<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let another = self.connector.clone();
        let mut ready = mem::replace(&mut self.connector, another);
        let checks = self.checks.clone();
        Box::pin(async move {
            checks.pass().await?;
            proxied_tls::one_connection(ready.call(destination)).await
        })
    }
}
