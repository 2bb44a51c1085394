//! The request that reads a version of a secret.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request, Uri};

use crate::error::quote;
use crate::identity::gcp::GoogleLogin;

const USER_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// The longest part of a name that is shown, in characters.
const SHOWN: usize = 128;

/// Google's limit for names.
const NAME_LIMIT: usize = 255;

/// The requested version of a secret. All parts are checked: each is one part of a path.
pub struct AccessRequest<'a> {
    pub project: &'a str,
    pub location: Option<&'a str>,
    pub secret: &'a str,
    pub version: &'a str,
}

impl AccessRequest<'_> {
    pub fn shown(&self) -> Cow<'_, str> {
        Cow::Owned(quote(self.secret.as_bytes(), SHOWN))
    }

    /// The project and the location, for errors.
    pub fn where_is(&self) -> String {
        match self.location {
            Some(location) => format!("project {}, location {location}", self.project),
            None => format!("project {}", self.project),
        }
    }

    /// The URL. `endpoint` replaces Google's own address.
    pub fn url(&self, endpoint: Option<&str>, universe: &str) -> String {
        let Self { project, location, secret, version } = self;
        let base = match (endpoint, location) {
            (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
            (None, Some(location)) => format!("https://secretmanager.{location}.rep.{universe}"),
            (None, None) => format!("https://secretmanager.{universe}"),
        };
        let below = location.map(|location| format!("locations/{location}/")).unwrap_or_default();
        format!("{base}/v1/projects/{project}/{below}secrets/{secret}/versions/{version}:access")
    }

    pub fn request(&self, url: Uri, login: &GoogleLogin) -> Request<Vec<u8>> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, login.token.header.clone());
        if let Some(project) = login.quota_project.as_deref().and_then(|project| HeaderValue::from_str(project).ok()) {
            headers.insert(USER_PROJECT, project);
        }
        request
    }
}

/// What is wrong with a secret's name, if anything. A valid name is one part of a path.
pub fn name_flaw(name: &str) -> Option<&'static str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > NAME_LIMIT {
        Some("must have 1 to 255 characters")
    } else if name.contains('/') {
        Some("cannot have a slash: give the secret's own name, and its project as ?project_id=")
    } else if !name.bytes().all(is_part) {
        Some("can only have letters, digits, _ and -")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_asked_for_where_it_is() {
        let global = AccessRequest { project: "my-project", location: None, secret: "db", version: "latest" };
        let regional = AccessRequest { location: Some("europe-west3"), version: "2", ..global };
        for (question, endpoint, universe, url) in [
            (
                &global,
                None,
                "googleapis.com",
                "https://secretmanager.googleapis.com/v1/projects/my-project/secrets/db/versions/latest:access",
            ),
            (
                &regional,
                None,
                "googleapis.com",
                "https://secretmanager.europe-west3.rep.googleapis.com/v1/projects/my-project/locations/europe-west3/secrets/db/versions/2:access",
            ),
            (
                &global,
                None,
                "s3nsapis.fr",
                "https://secretmanager.s3nsapis.fr/v1/projects/my-project/secrets/db/versions/latest:access",
            ),
            (
                &regional,
                Some("http://127.0.0.1:8080/base/"),
                "googleapis.com",
                "http://127.0.0.1:8080/base/v1/projects/my-project/locations/europe-west3/secrets/db/versions/2:access",
            ),
        ] {
            assert_eq!(question.url(endpoint, universe), url);
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        for good in ["db", "A_b-9", &"x".repeat(255)] {
            assert_eq!(name_flaw(good), None);
        }
        for bad in ["", "a/b", "a.b", "..", "a b", "a%2Fb", "a:access", "é", "a\n", "a?b", "a#b", &"x".repeat(256)] {
            assert!(name_flaw(bad).is_some(), "{bad:?}");
        }
    }
}
