//! Access tokens: the header that is sent, and the expiry.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::credentials_cache::Credential;

/// The longest accepted lifetime: it must not overflow a time.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// An access token. Clones are cheap.
#[derive(Clone)]
pub struct AccessToken {
    /// The value of `Authorization`.
    pub header: HeaderValue,
    /// Its source, for errors.
    pub origin: Arc<str>,
    pub expiry: Option<SystemTime>,
}

impl AccessToken {
    /// A bearer token with a lifetime from `asked` on, the time of the request by the cache's clock. The error is a clause.
    pub fn bearer(
        token: &str,
        origin: impl Into<Arc<str>>,
        asked: SystemTime,
        life: Option<Duration>,
    ) -> Result<Self, &'static str> {
        let expiry = life.map(|life| asked + life.min(LONGEST_LIFE));
        Self::new("Bearer ", token, "", origin, expiry)
    }

    /// A token of any scheme, with the text that the scheme has before and after it.
    pub fn new(
        before: &str,
        token: &str,
        behind: &str,
        origin: impl Into<Arc<str>>,
        expiry: Option<SystemTime>,
    ) -> Result<Self, &'static str> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the answer holds a token that cannot be sent");
        }
        let text = zeroize::Zeroizing::new([before, token, behind].concat());
        let mut header = HeaderValue::from_str(&text).map_err(|_| "the answer holds a token that cannot be sent")?;
        header.set_sensitive(true);
        Ok(Self { header, origin: origin.into(), expiry })
    }
}

impl Credential for AccessToken {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    fn is_same(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(from {}, until {:?})", self.origin, self.expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_a_header_and_is_never_shown() {
        let asked = SystemTime::UNIX_EPOCH;
        let token = AccessToken::bearer("hunter2", "a test", asked, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(token.header.to_str().unwrap(), "Bearer hunter2");
        assert_eq!(token.expiry, Some(asked + Duration::from_secs(5)));
        assert!(!format!("{token:?} {:?}", token.header).contains("hunter2"));
        for bad in ["", "hunter2\r\nx: y", "hunter 2", "hünter2"] {
            assert!(AccessToken::bearer(bad, "a test", asked, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_life_out_of_range_is_cut() {
        let now = SystemTime::now();
        let token = AccessToken::bearer("t", "a test", now, Some(Duration::MAX)).unwrap();
        assert_eq!(token.expiry, Some(now + LONGEST_LIFE));
    }
}
