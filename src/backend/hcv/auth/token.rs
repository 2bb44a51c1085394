//! `token`: a configured token, or one in a file that an agent rewrites.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use tokio::sync::Mutex;

use super::files;
use super::method::AuthToken;
use crate::backend::hcv::api::sensitive;
use crate::error::{Error, Kind, Result};
use crate::file::{self, FileStamp};
use crate::options::settings::Settings;
use crate::redact;

/// A token as configured, or none.
pub struct FixedToken(Option<HeaderValue>);

impl FixedToken {
    pub fn new(settings: &Settings, label: &str) -> Result<Self> {
        let Some(token) = settings.secret("token").filter(|token| !token.is_empty()) else { return Ok(Self(None)) };
        match sensitive(token.as_bytes()) {
            None => {
                let text = "`token` must be printable ASCII without spaces: remove a line break at its end";
                Err(Error::new(Kind::Config, format!("{label}: {text}")))
            }
            header => Ok(Self(header)),
        }
    }

    pub fn auth_token(&self) -> AuthToken {
        AuthToken { token: self.0.clone(), number: 0 }
    }
}

/// A file to which Vault Agent, or another program, writes tokens.
pub struct TokenFile {
    label: String,
    path: PathBuf,
    /// How long to wait for the file where its last token can be used instead.
    patience: Duration,
    known: Mutex<KnownToken>,
}

#[derive(Default)]
struct KnownToken {
    token: Option<HeaderValue>,
    stamp: Option<FileStamp>,
    /// When the file's status was last read.
    looked: Option<Instant>,
    number: u64,
}

impl TokenFile {
    /// `timeout` is the limit of a whole fetch.
    pub fn new(label: &str, path: &str, timeout: Duration) -> Self {
        let patience = file::patience_for_renewal(timeout);
        Self { label: label.to_owned(), path: PathBuf::from(path), patience, known: Mutex::default() }
    }

    /// The token in the file. The file's status is read each time, and its content after a change. While the file does
    /// not answer, its last token stays in use.
    pub async fn auth_token(&self) -> Result<AuthToken> {
        let asked = Instant::now();
        let mut known = self.known.lock().await;
        if known.token.is_none() {
            self.read_file(&mut known).await?;
        } else if known.looked.is_none_or(|looked| looked < asked) {
            // Callers that waited for this one need not look again.
            known.looked = Some(Instant::now());
            match files::stamp(&self.path, self.patience).await {
                Ok(stamp) if stamp != known.stamp => self.read_file(&mut known).await?,
                _ => {}
            }
        }
        Ok(AuthToken { token: known.token.clone(), number: known.number })
    }

    /// The token in the file, if it differs from the one that was sent.
    pub async fn replace(&self, auth_token: &AuthToken) -> Result<Option<AuthToken>> {
        let mut known = self.known.lock().await;
        if known.number == auth_token.number {
            self.read_file(&mut known).await?;
        }
        let newer = known.number != auth_token.number;
        Ok(newer.then(|| AuthToken { token: known.token.clone(), number: known.number }))
    }

    async fn read_file(&self, known: &mut KnownToken) -> Result<()> {
        let patience = if known.token.is_some() { self.patience } else { file::PATIENCE };
        let read = files::read_within(&self.path, patience).await.and_then(|(text, stamp)| {
            let token = sensitive(text.as_bytes());
            let what = "holds no token, which is printable ASCII without spaces: have the agent write it as it is";
            token.map(|token| (token, stamp)).ok_or_else(|| format!("{} {what}", redact::known_path(&self.path)))
        });
        match read {
            Ok((token, stamp)) => {
                if known.token.as_ref() != Some(&token) {
                    known.number += 1;
                }
                (known.token, known.stamp) = (Some(token), Some(stamp));
                Ok(())
            }
            // The file may be being rewritten, so its last token stays in use.
            Err(_) if known.token.is_some() => Ok(()),
            Err(clause) => Err(Error::new(Kind::Config, format!("{}: no token: `token_file` {clause}", self.label))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::value::Value;
    use crate::pool;
    use crate::secret::Secret;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn fixed(token: &str) -> Result<FixedToken> {
        let mut settings = Settings::default();
        settings.set("token", Value::Secret(Secret::new(token)));
        FixedToken::new(&settings, "hcv vault (mine)")
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_and_an_empty_one_is_none() {
        let error = fixed("hvs.s3cret\n").err().expect("a refusal").to_string();
        assert!(error.contains("`token`") && !error.contains("s3cr"), "{error}");
        assert_eq!(fixed("").unwrap().auth_token().token, None);
        assert_eq!(fixed("hvs.a").unwrap().auth_token().token, sensitive(b"hvs.a"));
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes_and_its_old_token_serves_while_it_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sink");
        let token_file = TokenFile::new("hcv vault (mine)", path.to_str().unwrap(), TIMEOUT);
        assert!(token_file.auth_token().await.unwrap_err().to_string().contains("`token_file` "));
        std::fs::write(&path, "hvs.one\n").unwrap();
        let one = token_file.auth_token().await.unwrap();
        assert_eq!(one.token, sensitive(b"hvs.one"));
        assert!(token_file.replace(&one).await.unwrap().is_none(), "there is no other");
        std::fs::write(&path, "").unwrap();
        assert_eq!(token_file.auth_token().await.unwrap().token, one.token);
        std::fs::write(&path, "hvs.second").unwrap();
        assert_eq!(token_file.replace(&one).await.unwrap().unwrap().token, sensitive(b"hvs.second"));
        assert_eq!(token_file.auth_token().await.unwrap().token, sensitive(b"hvs.second"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token_file.auth_token().await.unwrap().token, sensitive(b"hvs.second"));
    }

    #[tokio::test]
    async fn the_last_token_serves_while_its_file_hangs_and_others_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("sink"), directory.path().join("other"));
        let key = path.as_os_str().as_encoded_bytes();
        let token_file = TokenFile::new("hcv vault (mine)", path.to_str().unwrap(), TIMEOUT);
        std::fs::write(&path, "hvs.one").unwrap();
        assert_eq!(token_file.auth_token().await.unwrap().token, sensitive(b"hvs.one"));
        // This stands for a file system that hangs, and a caller that gave up.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let hanging = pool::files().run(key, move || ended.recv().is_ok());
        assert!(tokio::time::timeout(Duration::from_millis(100), hanging).await.is_err());
        std::fs::write(&path, "hvs.second").unwrap();
        std::fs::write(&other, "hvs.other").unwrap();
        for _ in 0..40 {
            assert_eq!(token_file.auth_token().await.unwrap().token, sensitive(b"hvs.one"));
            let token_file = TokenFile::new("hcv vault (other)", other.to_str().unwrap(), TIMEOUT);
            assert_eq!(token_file.auth_token().await.unwrap().token, sensitive(b"hvs.other"));
        }
        let unread =
            TokenFile::new("hcv vault (third)", path.to_str().unwrap(), TIMEOUT).auth_token().await.unwrap_err();
        assert!(unread.to_string().contains("the file system does not answer"), "{unread}");
        drop(end);
        while token_file.auth_token().await.unwrap().token != sensitive(b"hvs.second") {
            tokio::task::yield_now().await;
        }
    }
}
