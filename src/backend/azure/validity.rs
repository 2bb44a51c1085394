//! From when to when a secret is valid. Key Vault answers with it all the same, so what becomes of one that has expired is
//! decided here: pure arithmetic over times that are handed in.

use std::time::Duration;

use super::answer::Attributes;

/// How soon a secret is looked at again that is out of its time: a new version may be there.
const AGAIN: Duration = Duration::from_secs(300);
/// The shortest lease: shortly before a secret's end there would be ever more fetches.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Valid,
    /// Since so long.
    Expired(Duration),
    /// In so long it begins.
    Early(Duration),
}

/// How it is with a secret at `now`, in seconds since 1970.
pub fn at(attributes: &Attributes, now: i64) -> Validity {
    let apart = |one: i64, other: i64| Duration::from_secs(one.saturating_sub(other).try_into().unwrap_or(0));
    match *attributes {
        Attributes { exp: Some(end), .. } if end <= now => Validity::Expired(apart(now, end)),
        Attributes { nbf: Some(begin), .. } if begin > now => Validity::Early(apart(begin, now)),
        _ => Validity::Valid,
    }
}

/// How long its value is good for, where its times say so.
pub fn lease(attributes: &Attributes, now: i64) -> Option<Duration> {
    match at(attributes, now) {
        Validity::Expired(_) => Some(AGAIN),
        Validity::Early(left) => Some(left.clamp(SHORTEST, AGAIN)),
        Validity::Valid => {
            let left = attributes.exp?.saturating_sub(now);
            Some(Duration::from_secs(left.try_into().unwrap_or(0)).max(SHORTEST))
        }
    }
}

/// When it ends, in seconds since 1970.
pub fn ends(attributes: &Attributes) -> Option<u64> {
    attributes.exp?.try_into().ok()
}

/// ` 3 days`, as people say it.
pub fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn times(nbf: Option<i64>, exp: Option<i64>) -> Attributes {
        Attributes { nbf, exp, created: None }
    }

    #[test]
    fn a_secrets_end_shortens_its_lease() {
        let seconds = Duration::from_secs;
        for (nbf, exp, validity, lease) in [
            (None, None, Validity::Valid, None),
            (Some(NOW), None, Validity::Valid, None),
            (None, Some(NOW + 60), Validity::Valid, Some(seconds(60))),
            (None, Some(NOW + 1), Validity::Valid, Some(seconds(1))),
            (None, Some(NOW), Validity::Expired(seconds(0)), Some(AGAIN)),
            (None, Some(NOW - 90_000), Validity::Expired(seconds(90_000)), Some(AGAIN)),
            (Some(NOW + 10), None, Validity::Early(seconds(10)), Some(seconds(10))),
            (Some(NOW + 9000), Some(NOW + 9999), Validity::Early(seconds(9000)), Some(AGAIN)),
            (Some(i64::MAX), None, Validity::Early(seconds((i64::MAX - NOW) as u64)), Some(AGAIN)),
            (None, Some(i64::MIN), Validity::Expired(seconds(i64::MAX as u64)), Some(AGAIN)),
        ] {
            assert_eq!(at(&times(nbf, exp), NOW), validity, "{nbf:?} {exp:?}");
            assert_eq!(super::lease(&times(nbf, exp), NOW), lease, "{nbf:?} {exp:?}");
        }
    }
}
