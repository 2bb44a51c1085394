//! What a diagnosis finds, step by step: for who asks why a vault gives nothing.

use std::fmt::Display;

use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It works, and is worth a look.
    Doubtful,
    /// It keeps values from coming.
    Bad,
}

/// One step of the way to a value. The text holds no secret, and says what to do where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub step: &'static str,
    pub verdict: Verdict,
    pub text: String,
}

/// The steps that were gone, in their order. After a bad one there may be more, if it doesn't stand in their way.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn good(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Good, text);
    }

    pub fn doubtful(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Doubtful, text);
    }

    pub fn bad(&mut self, step: &'static str, text: impl Display) {
        self.add(step, Verdict::Bad, text);
    }

    /// Notes a failure; gives back what was had otherwise.
    pub fn or_bad<T>(&mut self, step: &'static str, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.bad(step, error)).ok()
    }

    fn add(&mut self, step: &'static str, verdict: Verdict, text: impl Display) {
        self.0.push(Finding { step, verdict, text: text.to_string() });
    }
}
