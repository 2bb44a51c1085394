//! The requests that wait for one fetch: which of them its span is a child of, and which it is linked with.

use super::context::TraceContext;
use crate::http::Asked;

/// How many requests are noted. A span has one parent, and links with the others.
const MOST: usize = 9;

/// What is known of the requests that wait for a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Those whose traces are recorded, in the order in which they came.
    recorded: Vec<TraceContext>,
    /// Whether one came whose trace is not recorded, and whether one came without a trace.
    declined: bool,
    untraced: bool,
}

/// What is known of a fetch that gets a span.
#[derive(Debug, Clone, Default)]
pub struct FetchTrace {
    pub requests: Requests,
    pub asked: Asked,
}

impl Requests {
    pub fn add(&mut self, request: Option<TraceContext>) {
        match request {
            None => self.untraced = true,
            Some(request) if !request.sampled => self.declined = true,
            Some(request) if self.recorded.len() < MOST && !self.recorded.contains(&request) => {
                self.recorded.push(request);
            }
            Some(_) => {}
        }
    }

    /// Whether the fetch gets a span: not where all who wait for it said that their traces are not recorded.
    pub fn wants_span(&self) -> bool {
        !self.recorded.is_empty() || self.untraced || !self.declined
    }

    /// The request that the span is a child of; `None`: it begins a trace.
    pub fn parent(&self) -> Option<&TraceContext> {
        self.recorded.first()
    }

    /// The requests that it is linked with.
    pub fn links(&self) -> &[TraceContext] {
        self.recorded.get(1..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u8, sampled: bool) -> TraceContext {
        TraceContext { trace_id: [number; 16], span_id: [number; 8], sampled }
    }

    fn of(requests: impl IntoIterator<Item = Option<TraceContext>>) -> Requests {
        let mut all = Requests::default();
        requests.into_iter().for_each(|request| all.add(request));
        all
    }

    #[test]
    fn the_first_recorded_request_is_the_parent_and_so_many_others_are_linked() {
        let all = of((1..=20).map(|number| Some(request(number, number > 1))));
        assert_eq!(all.parent(), Some(&request(2, true)));
        assert_eq!(all.links().len(), MOST - 1);
        assert_eq!(all.links()[0], request(3, true));
        let twice = of([Some(request(1, true)), Some(request(1, true))]);
        assert!(twice.links().is_empty(), "one request may look a secret up twice");
    }

    #[test]
    fn there_is_no_span_where_nobody_records_its_trace() {
        assert!(!of([Some(request(1, false)), Some(request(2, false))]).wants_span());
        assert!(of([]).wants_span(), "nobody waits, as for a renewal");
        assert!(of([Some(request(1, false)), None]).wants_span());
        assert!(of([Some(request(1, false)), Some(request(2, true))]).wants_span());
    }
}
