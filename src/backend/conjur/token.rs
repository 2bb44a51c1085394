//! Conjur's access tokens: JSON with a signature, which is sent as base64.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::identity::json::Text;

/// The life of a token that does not say it, as that of old servers.
const USUAL_LIFE: Duration = Duration::from_secs(480);

/// The longest accepted life: Conjur's own limit is five hours.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

/// A token and when it was issued and ends, by Conjur's clock, as far as it says so.
pub struct ConjurToken {
    /// As it is sent.
    pub encoded: Zeroizing<String>,
    issued: Option<SystemTime>,
    ends: Option<SystemTime>,
}

/// The forms of a token: that of today, and the oldest one.
#[derive(Deserialize)]
struct WrittenToken<'a> {
    #[serde(borrow)]
    protected: Option<Text<'a>>,
    #[serde(borrow)]
    payload: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Claims {
    iat: Option<f64>,
    exp: Option<f64>,
}

impl ConjurToken {
    /// Reads a token: JSON, or base64 of it. The parser's error is dropped, as it may quote the token.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = text.trim_ascii();
        let decoded = match text.first() {
            Some(b'{') | None => None,
            Some(_) => STANDARD.decode(text).ok().map(Zeroizing::new),
        };
        let json = decoded.as_deref().map_or(text, |json| json.trim_ascii());
        let written: WrittenToken<'_> = serde_json::from_slice(json).map_err(|_| "not a token of Conjur")?;
        if written.signature.is_none() || (written.protected.is_none() && written.key.is_none()) {
            return Err("not a token of Conjur");
        }
        let claims = written.payload.and_then(|payload| claims(&payload));
        let (issued, ends) = claims.map_or((None, None), |claims| (time(claims.iat), time(claims.exp)));
        Ok(Self { encoded: Zeroizing::new(STANDARD.encode(json)), issued, ends })
    }

    /// How long a token lives from the beginning on. The clocks need not agree.
    pub fn life(&self) -> Duration {
        let life = self.issued.zip(self.ends).map(|(issued, ends)| ends.duration_since(issued).unwrap_or_default());
        life.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE)
    }

    /// The end of a token that was issued at an unknown time.
    pub fn end(&self) -> Option<SystemTime> {
        self.ends.or_else(|| self.issued?.checked_add(USUAL_LIFE))
    }
}

/// The claims, from base64 of either alphabet, with or without padding.
fn claims(payload: &str) -> Option<Claims> {
    let plain: Zeroizing<String> = Zeroizing::new(payload.trim_end_matches('=').replace('+', "-").replace('/', "_"));
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(plain.as_bytes()).ok()?);
    serde_json::from_slice(&json).ok()
}

fn time(seconds: Option<f64>) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let payload = base64::engine::general_purpose::URL_SAFE.encode(claims);
        format!(r#"{{"protected":"e30=","payload":"{payload}","signature":"hunter2"}}"#)
    }

    #[test]
    fn a_token_is_sent_as_it_came_and_says_how_long_it_lives() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (claims, life, end) in [
            (r#"{"sub":"x","iat":1000,"exp":1005}"#, 5, at(1005)),
            (r#"{"iat":1000,"exp":990}"#, 0, at(990)),
            (r#"{"iat":1000,"exp":1000000000}"#, 86_400, at(1_000_000_000)),
            (r#"{"iat":1000}"#, 480, at(1480)),
            (r#"{"sub":"x"}"#, 480, None),
            (r#"{"iat":-1,"exp":1e300}"#, 480, None),
            ("hunter2", 480, None),
        ] {
            let json = token(claims);
            let read = ConjurToken::parse(format!(" {json}\n").as_bytes()).unwrap();
            assert_eq!((read.life().as_secs(), read.end()), (life, end), "{claims}");
            assert_eq!(STANDARD.decode(&*read.encoded).unwrap(), json.as_bytes());
            let again = ConjurToken::parse(read.encoded.as_bytes()).unwrap();
            assert_eq!(again.encoded, read.encoded);
        }
        let oldest = r#"{"data":"x","timestamp":"2010-01-01 00:00:00 UTC","signature":"s","key":"k"}"#;
        assert_eq!(ConjurToken::parse(oldest.as_bytes()).unwrap().life(), USUAL_LIFE);
    }

    #[test]
    fn what_is_no_token_is_told_without_its_text() {
        for text in ["", "hunter2", "<html>hunter2", "{}", r#"{"payload":"hunter2"}"#, "[]", "aHVudGVyMg==", "{\"a\":"]
        {
            assert!(!ConjurToken::parse(text.as_bytes()).err().unwrap().contains("hunter2"), "{text}");
        }
    }
}
