//! What an operator should know of secrets though they are served: told once, and once more when it is over.

use std::collections::{HashMap, VecDeque};

use crate::notice::Notice;
use crate::sync::{Mutex, lock};

/// How many secrets are kept in mind; of more, nothing is told.
const MOST: usize = 1000;

#[derive(Default)]
pub struct Notices(Mutex<State>);

#[derive(Default)]
struct State {
    /// What was told of each secret, or certificate, that something is to be said of.
    told: HashMap<String, &'static str>,
    waiting: VecDeque<Notice>,
}

impl Notices {
    /// Notes how it is with `what`, such as `the secret db`: `flaw` tells one state from the next, and says it.
    pub fn note(&self, label: &str, what: &str, flaw: Option<(&'static str, String)>) {
        let mut state = lock(&self.0);
        match flaw {
            None => {
                if state.told.remove(what).is_some() {
                    let text = format!("{label}: {what} is as it should be again");
                    state.waiting.push_back(Notice { is_over: true, text });
                }
            }
            Some((state_now, _)) if state.told.get(what) == Some(&state_now) => {}
            Some(_) if state.told.len() >= MOST => {}
            Some((state_now, text)) => {
                state.told.insert(what.to_owned(), state_now);
                state.waiting.push_back(Notice { is_over: false, text: format!("{label}: {what} {text}") });
            }
        }
    }

    /// The next one that was not told yet.
    pub fn next(&self) -> Option<Notice> {
        lock(&self.0).waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_once() {
        let notices = Notices::default();
        let expired = || Some(("expired", "has expired".to_owned()));
        notices.note("v", "db", expired());
        notices.note("v", "db", expired());
        notices.note("v", "other", None);
        let told = notices.next().unwrap();
        assert_eq!((told.is_over, told.text.as_str()), (false, "v: db has expired"));
        assert!(notices.next().is_none());
        notices.note("v", "db", None);
        notices.note("v", "db", expired());
        assert!(notices.next().unwrap().is_over && !notices.next().unwrap().is_over && notices.next().is_none());
    }

    #[test]
    fn there_is_a_bound() {
        let notices = Notices::default();
        for number in 0..2 * MOST {
            notices.note("v", &number.to_string(), Some(("expired", String::new())));
        }
        assert_eq!(std::iter::from_fn(|| notices.next()).count(), MOST);
    }
}
