//! A span for each fetch from a vault, named by OpenTelemetry's semantic conventions. Attributes that these don't have
//! begin with `kong_vault.`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::redact;
use crate::resolver::document_cache::ValueChange;
use crate::resolver::fetch_report::FetchReport;
use crate::resolver::node_protocol::fetches::Next;
use crate::resolver::singleflight::Purpose;
use crate::resolver::state::Resolver;
use crate::spans::{Attribute, Span, TraceContext};

/// How many characters of a secret's name a span shows.
const SHOWN: usize = 200;

impl Resolver {
    /// Whether fetches get spans. Then a call waits to be started until `start_traced`.
    pub fn has_spans(&self) -> bool {
        self.spans().is_some()
    }

    /// Starts a created call for a request. `header`: where the request stands in its trace, if anywhere.
    pub fn start_traced(self: &Arc<Self>, ticket: u64, header: &[u8]) -> Next {
        self.note_request(ticket, header);
        self.start_shared(ticket, None)
    }

    /// Notes a request that waits for a call.
    pub fn note_request(&self, ticket: u64, header: &[u8]) {
        self.calls().note_request(ticket, TraceContext::parse(header));
    }

    /// Has the span of a fetch exported, if it gets one.
    pub(super) fn export_span(&self, report: &FetchReport<'_>) {
        let (Some(exporter), Some(trace)) = (self.spans(), report.trace) else { return };
        let backend = report.key.descriptor.name;
        let Some(mut span) = Span::ended(format!("fetch {backend}"), report.took, &trace.requests) else { return };
        let (vault, name) = (&report.key.instance.vault, report.key.secret_id.resource.as_bytes());
        span.set("kong_vault.backend", text(backend));
        span.set("kong_vault.vault", text(vault.to_string()));
        span.set("kong_vault.secret", text(redact::quote(name, SHOWN)));
        span.set("kong_vault.purpose", text(purpose(report.purpose)));
        if let Some((host, port)) = &trace.asked.server {
            span.set("server.address", text(redact::host(host)));
            span.set("server.port", Attribute::Number((*port).into()));
            span.set("kong_vault.requests", Attribute::Number(trace.asked.requests.into()));
        }
        if let Some(status) = trace.asked.status {
            span.set("http.response.status_code", Attribute::Number(status.into()));
        }
        span.is_local = report.key.descriptor.files;
        match report.outcome {
            Ok(_) => span.set("kong_vault.changed", Attribute::Boolean(report.change != ValueChange::Same)),
            Err(error) => {
                span.set("error.type", text(error.kind().name()));
                span.failure = Some(error.text().to_owned());
            }
        }
        exporter.export(span);
    }
}

fn text(text: impl Into<Cow<'static, str>>) -> Attribute {
    Attribute::Text(text.into())
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Miss => "miss",
        Purpose::Newer(_) => "renewal",
        Purpose::Probe(_) => "probe",
    }
}
