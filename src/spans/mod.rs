//! Spans of fetches for OpenTelemetry: where a fetch stands in a request's trace, and the export of spans to a collector
//! by OTLP over HTTP, in protobuf.
//!
//! It uses `http/`. It must never know what is fetched, and nothing that it does may hold up a fetch.

mod collector;
mod context;
mod export;
mod message;
mod queue;
mod requests;
mod span;

pub use collector::Collector;
pub use context::TraceContext;
pub use export::{Counters, Exporter, Tell};
pub use requests::{FetchTrace, Requests};
pub use span::{Attribute, Span};
