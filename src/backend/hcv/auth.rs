//! Who we are to the vault. One way in: whatever the method, a fetch asks for a token and gets one.

use ::http::HeaderValue;

use crate::error::Result;
use crate::secret::Secret;
use crate::settings::Settings;

/// The configured method with what it needs.
pub(super) enum Auth {
    /// A token as configured, or none: an agent in front of the vault may add its own.
    Token(Option<Secret>),
}

impl Auth {
    pub fn new(settings: &Settings) -> std::result::Result<Self, String> {
        let token = settings.secret("token").filter(|token| !token.is_empty());
        if token.is_some_and(|token| header(token).is_none()) {
            return Err("`token` has to be printable ASCII without spaces: look for a line break at its end".to_owned());
        }
        Ok(Auth::Token(token.cloned()))
    }

    /// The token of the next request. A method that logs in does so here, and may wait for it.
    pub async fn token(&self) -> Result<Option<HeaderValue>> {
        match self {
            Auth::Token(token) => Ok(token.as_ref().and_then(header)),
        }
    }
}

/// A token as a header that no log of a library shows; `None` where it could end the header.
fn header(token: &Secret) -> Option<HeaderValue> {
    if !token.as_bytes().iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut value = HeaderValue::from_bytes(token.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    fn auth(token: &str) -> std::result::Result<Auth, String> {
        let mut settings = Settings::default();
        settings.set("token", Value::Secret(Secret::new(token)));
        Auth::new(&settings)
    }

    #[test]
    fn a_token_cannot_break_out_of_its_header_and_is_not_shown() {
        for token in ["hvs.s3cret\n", "hvs.s3cret\r\nx-vault-namespace: a", "hvs s3cret", "s3cret\0", "s3crét"] {
            let error = auth(token).err().expect("a refusal");
            assert!(error.contains("`token`") && !error.contains("s3cr"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_is_sensitive_and_an_empty_one_is_none() {
        let token = auth("hvs.s3cret").unwrap().token().await.unwrap().expect("a token");
        assert!(token.is_sensitive() && !format!("{token:?}").contains("s3cret"));
        assert_eq!(auth("").unwrap().token().await.unwrap(), None);
    }
}
