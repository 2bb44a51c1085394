//! Signed requests to AWS's services, and the names of profiles in errors.

use std::borrow::Cow;
use std::time::SystemTime;

use http::Request;

use super::service_error::ServiceError;
use crate::error::Result;
use crate::http::{Client, HttpResponse};
use crate::identity::clock::Clock;
use crate::redact;

/// Sends the request that `sign` makes for the present time. Where the server refuses that time, it is sent once more,
/// with the server's.
pub async fn send_in_time(
    client: &Client,
    clock: &Clock,
    sign: impl Fn(SystemTime) -> Result<Request<Vec<u8>>>,
) -> Result<HttpResponse> {
    let answer = client.send(sign(clock.now())?).await?;
    if answer.status < 400 || !ServiceError::from_response(&answer).is_of_time() || !clock.learn(&answer.headers) {
        return Ok(answer);
    }
    client.send(sign(clock.now())?).await
}

/// A name for an error: bounded, on one line. A text that sets something is not shown: it is no name, but a file's next
/// line that became a part of it by mistake, and may hold a key.
pub fn shown(name: &str) -> Cow<'_, str> {
    let sets_key = |word: &str| word.ends_with(':') || word.starts_with("aws_");
    if name.contains('=') || name.split_whitespace().any(sets_key) || redact::is_secret(name.as_bytes()) {
        return Cow::Owned(format!("({})", redact::length(name)));
    }
    if name.len() <= 128 && !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(crate::error::quote(name.as_bytes(), 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_holds_an_assignment_is_not_shown() {
        for name in [
            "base aws_secret_access_key = hunter2",
            "base aws_secret_access_key=hunter2",
            "a=hunter2",
            "base aws_secret_access_key: hunter2",
            "base key : hunter2",
            "base aws_secret_access_key hunter2",
        ] {
            assert_eq!(shown(name), format!("(a value of {} characters)", name.len()));
        }
        for name in ["base", "123456789012_AdministratorAccess", "arn:aws:iam::123456789012:role/a"] {
            assert_eq!(shown(name), name);
        }
        assert_eq!(shown("a\nb").lines().count(), 1);
    }
}
