//! The time for signatures and expiries: this machine's, corrected by AWS's answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::HeaderMap;
use http::header::DATE;

/// The smallest change of the correction, in milliseconds, for which a request is tried again. AWS accepts a difference
/// of five minutes.
const WORTH_IT: i64 = 60_000;

/// Clones share the correction.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds that this machine is behind.
    behind: Arc<AtomicI64>,
}

impl Clock {
    pub fn now(&self) -> SystemTime {
        let behind = self.behind.load(Ordering::Relaxed);
        let shift = Duration::from_millis(behind.unsigned_abs());
        let now = SystemTime::now();
        if behind < 0 { now.checked_sub(shift) } else { now.checked_add(shift) }.unwrap_or(now)
    }

    /// Takes over the time of an answer that refuses this machine's. Returns whether that changes enough to try again.
    pub fn learn(&self, headers: &HeaderMap) -> bool {
        let Some(behind) = date(headers).and_then(|theirs| difference(theirs, SystemTime::now())) else {
            return false;
        };
        let before = self.behind.swap(behind, Ordering::Relaxed);
        behind.abs_diff(before) > WORTH_IT.unsigned_abs()
    }

    /// What is wrong with this machine's clock, as far as it is known: ` (it is 3600 seconds behind)`.
    pub fn flaw(&self) -> String {
        match self.behind.load(Ordering::Relaxed) {
            near if near.abs() < WORTH_IT => String::new(),
            ahead if ahead < 0 => format!(" (it is {} seconds ahead)", -ahead / 1000),
            behind => format!(" (it is {} seconds behind)", behind / 1000),
        }
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let text = headers.get(DATE)?.to_str().ok()?;
    SystemTime::try_from(DateTime::from_str(text, Format::HttpDate).ok()?).ok()
}

/// How much later the one is, in milliseconds.
fn difference(one: SystemTime, other: SystemTime) -> Option<i64> {
    match one.duration_since(other) {
        Ok(later) => i64::try_from(later.as_millis()).ok(),
        Err(error) => i64::try_from(error.duration().as_millis()).ok().map(|earlier| -earlier),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn says(time: SystemTime) -> HeaderMap {
        let text = DateTime::from(time).fmt(Format::HttpDate).unwrap();
        HeaderMap::from_iter([(DATE, HeaderValue::from_str(&text).unwrap())])
    }

    #[test]
    fn a_wrong_clock_is_corrected_once_in_either_direction() {
        let hour = Duration::from_secs(3600);
        for (theirs, flaw) in [(SystemTime::now() + hour, "behind"), (SystemTime::now() - hour, "ahead")] {
            let clock = Clock::default();
            assert!(clock.learn(&says(theirs)));
            assert!(difference(clock.now(), theirs).unwrap().abs() < 5_000);
            assert!(clock.flaw().contains(flaw) && clock.flaw().contains("(it is 3"), "{}", clock.flaw());
            assert!(!clock.learn(&says(theirs)), "it knows already");
            assert!(clock.clone().learn(&says(SystemTime::now())), "and a clock that was set is believed again");
            assert_eq!(clock.flaw(), "");
        }
    }

    #[test]
    fn what_is_no_date_changes_nothing() {
        let clock = Clock::default();
        assert!(!clock.learn(&HeaderMap::new()));
        assert!(!clock.learn(&HeaderMap::from_iter([(DATE, HeaderValue::from_static("yesterday"))])));
        assert!(!clock.learn(&says(SystemTime::now() + Duration::from_secs(30))), "nobody refuses half a minute");
        assert_eq!(clock.flaw(), "");
    }
}
