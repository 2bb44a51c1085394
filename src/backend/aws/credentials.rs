//! Who we are to AWS: the chain of sources, in the order of AWS's own clients. This is where a further source goes: after
//! the environment and the profile, each is asked in turn and says in a clause of its own why it has nothing.

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;

use super::endpoint::set;
use super::profile::{Profile, Profiles};
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};

/// How error texts call the first source.
pub const ENVIRONMENT: &str = "the environment";

/// An identity to sign with, and where it came from, for error texts.
#[derive(Clone, Debug)]
pub struct Login {
    pub identity: Identity,
    pub origin: String,
}

/// Why there is no login: a clause for a sentence.
pub type Absence = String;

/// The sources of one vault.
pub struct Chain {
    environment: std::result::Result<Login, Absence>,
    profiles: Profiles,
}

impl Chain {
    /// Reads the environment; files are not touched before they are needed.
    pub fn new(label: &str, environment: &Environment) -> Result<Self> {
        let static_login = match from_environment(environment) {
            Ok(Some(login)) => Ok(login),
            Ok(None) => Err(absent_from(environment)),
            Err(broken) => return Err(Error::new(Kind::Config, format!("{label}: {broken}"))),
        };
        Ok(Self { environment: static_login, profiles: Profiles::new(environment) })
    }

    /// The first login that there is. Neither of the sources says when its credentials expire; AWS does, and a profile's
    /// files are looked at each time.
    pub async fn login(&self, label: &str) -> Result<Login> {
        let not_in_environment = match &self.environment {
            Ok(login) => return Ok(login.clone()),
            Err(absence) => absence,
        };
        let profile = self.profiles.current().await;
        profile.login.clone().map_err(|not_in_profile| {
            Error::new(
                Kind::Config,
                format!(
                    "{label}: no AWS credentials: {not_in_environment}; {not_in_profile}: set both variables before nginx \
                     starts, or give the profile keys that nginx's workers may read"
                ),
            )
        })
    }

    /// The profile, for its region.
    pub async fn profile(&self) -> std::sync::Arc<Profile> {
        self.profiles.current().await
    }
}

fn from_environment(environment: &Environment) -> std::result::Result<Option<Login>, Absence> {
    let (Some(id), Some(key)) = (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY"))
    else {
        return Ok(None);
    };
    login(ENVIRONMENT.to_owned(), id, key, set(environment, "AWS_SESSION_TOKEN")).map(Some)
}

fn absent_from(environment: &Environment) -> Absence {
    let missing = match (set(environment, "AWS_ACCESS_KEY_ID"), set(environment, "AWS_SECRET_ACCESS_KEY")) {
        (Some(_), None) => "AWS_SECRET_ACCESS_KEY is not set, though AWS_ACCESS_KEY_ID is",
        (None, Some(_)) => "AWS_ACCESS_KEY_ID is not set, though AWS_SECRET_ACCESS_KEY is",
        _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set",
    };
    missing.to_owned()
}

/// Credentials that can be signed with. The signer takes for granted what this checks: key and token become headers.
pub fn login(origin: String, id: &str, key: &str, token: Option<&str>) -> std::result::Result<Login, Absence> {
    let sendable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable(id) || !token.is_none_or(sendable) {
        return Err(format!(
            "access key or session token from {origin} hold a character that cannot be sent: copy them without spaces \
             and line breaks"
        ));
    }
    let credentials = Credentials::new(id, key, token.map(str::to_owned), None, "kong-vault");
    Ok(Login { identity: Identity::from(credentials), origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(variables: &[(&str, &str)]) -> Result<Chain> {
        Chain::new("aws vault (mine)", &Environment::of(variables.iter().copied()))
    }

    fn keys(login: &Login) -> (String, String, Option<String>) {
        let keys = login.identity.data::<Credentials>().unwrap();
        let token = keys.session_token().map(str::to_owned);
        (keys.access_key_id().to_owned(), keys.secret_access_key().to_owned(), token)
    }

    #[tokio::test]
    async fn the_environment_is_enough_and_loses_its_line_breaks() {
        let chain = chain(&[
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n"),
            ("AWS_SECRET_ACCESS_KEY", " wJalr/+\n"),
            ("AWS_SESSION_TOKEN", "token=="),
            ("HOME", "/nonexistent"),
        ])
        .unwrap();
        let login = chain.login("aws vault (mine)").await.unwrap();
        assert_eq!(keys(&login), ("AKIDEXAMPLE".into(), "wJalr/+".into(), Some("token==".into())));
        assert_eq!(login.origin, "the environment");
    }

    #[tokio::test]
    async fn an_empty_token_is_none() {
        let variables = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "")];
        let login = chain(&variables).unwrap().login("").await.unwrap();
        assert_eq!(keys(&login).2, None);
        assert!(!format!("{login:?}").contains("hunter2"), "{login:?}");
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_without_being_shown() {
        for (id, token) in [("AKI\u{7}D", "t"), ("AKID", "hunter2\r\nX: y"), ("AKID", "hunter2 é")] {
            let variables =
                [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", "s3cr3t"), ("AWS_SESSION_TOKEN", token)];
            let error = chain(&variables).err().unwrap();
            assert_eq!(error.kind(), Kind::Config);
            let text = error.to_string();
            assert!(text.starts_with("aws vault (mine): access key or session token from the environment"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("s3cr3t") && !text.contains("AKI"), "{text}");
        }
    }

    #[tokio::test]
    async fn without_credentials_the_error_names_every_place_looked_at() {
        let error = chain(&[("AWS_ACCESS_KEY_ID", "A"), ("HOME", "/nonexistent"), ("AWS_PROFILE", "prod")])
            .unwrap()
            .login("aws vault (mine)")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        for part in [
            "aws vault (mine): no AWS credentials",
            "AWS_SECRET_ACCESS_KEY is not set, though AWS_ACCESS_KEY_ID is",
            "profile prod",
            "/nonexistent/.aws/credentials does not exist",
            "/nonexistent/.aws/config does not exist",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}
