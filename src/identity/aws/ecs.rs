//! Credentials of a container's task role, from the agent of ECS or of EKS Pod Identity.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::credentials::{Login, NoCredentials};
use super::parse;
use super::region::set;
use crate::environment::Environment;
use crate::error::Kind;
use crate::identity::client::{CloudClient, address};
use crate::identity::files;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The address of ECS's agent, and the addresses at which the agents may be asked without TLS.
const ECS: &str = "http://169.254.170.2";
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The longest that a request to the agent may take.
const LIMIT: Duration = Duration::from_secs(4);

/// The agent, as the environment describes it.
pub enum Container {
    Absent,
    /// What is wrong, as a clause.
    Broken(String),
    At {
        url: String,
        variable: &'static str,
        token: ContainerToken,
    },
}

pub enum ContainerToken {
    None,
    Text(Zeroizing<String>),
    /// Read again for each load, as it is rotated.
    File(PathBuf),
}

impl Container {
    pub fn from_environment(environment: &Environment) -> Self {
        let (url, variable) = match (set(environment, RELATIVE), set(environment, FULL)) {
            (Some(path), _) if path.starts_with('/') => (format!("{ECS}{path}"), RELATIVE),
            (Some(_), _) => return Self::Broken(format!("{RELATIVE} is no path that begins with a slash")),
            (None, Some(url)) => (url.to_owned(), FULL),
            (None, None) => return Self::Absent,
        };
        let Some(parsed) = Url::parse(&url).ok().filter(|url| url.username().is_empty() && url.password().is_none())
        else {
            return Self::Broken(format!("{variable} is no URL of a server"));
        };
        if !is_allowed(&parsed) {
            return Self::Broken(format!(
                "{variable} names a host without TLS that is neither this machine nor an agent of ECS or EKS: use https"
            ));
        }
        let token = match (set(environment, TOKEN_FILE), set(environment, TOKEN)) {
            (Some(path), _) => ContainerToken::File(PathBuf::from(path)),
            (None, Some(token)) => ContainerToken::Text(Zeroizing::new(token.to_owned())),
            (None, None) => ContainerToken::None,
        };
        Self::At { url: parsed.into(), variable, token }
    }

    pub async fn login(&self, client: &CloudClient) -> Result<Login, NoCredentials> {
        let (url, variable, token) = match self {
            Self::Absent => return Err(NoCredentials::Absent(format!("neither {RELATIVE} nor {FULL} is set"))),
            Self::Broken(reason) => return Err(client.error(Kind::Config, reason).into()),
            Self::At { url, variable, token } => (url, variable, token),
        };
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = url.parse().map_err(|_| client.error(Kind::Config, format!("{variable} is no URL")))?;
        if let Some(token) = token.header(client).await? {
            let mut header = HeaderValue::from_str(&token).map_err(|_| {
                let reason = format!("the token of {TOKEN} or {TOKEN_FILE} cannot be sent: it holds a line break");
                client.error(Kind::Config, reason)
            })?;
            header.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let place = address(request.uri());
        let answer = client.send_local(request, LIMIT).await?;
        let status = answer.status;
        let refuse = |kind, reason: String| NoCredentials::from(client.error_at(&place, kind, reason));
        match status {
            200 => {}
            401 | 403 => {
                return Err(refuse(
                    Kind::Denied,
                    format!(
                        "the container's agent refuses its authorization token: check {TOKEN_FILE} (status {status})"
                    ),
                ));
            }
            429 | 500.. => {
                return Err(refuse(
                    Kind::Unavailable,
                    format!("the container's agent has no credentials at the moment: try again (status {status})"),
                ));
            }
            _ => {
                return Err(refuse(
                    Kind::Denied,
                    format!(
                        "the container's agent gives no credentials: check the task's or pod's role and {variable} \
                         (status {status})"
                    ),
                ));
            }
        }
        let keys = parse::keys(answer.body.as_bytes()).map_err(|reason| refuse(Kind::Invalid, reason.to_owned()))?;
        Login::new("the container's agent", &keys).map_err(|reason| refuse(Kind::Invalid, reason))
    }
}

impl ContainerToken {
    async fn header(&self, client: &CloudClient) -> Result<Option<Zeroizing<String>>, NoCredentials> {
        match self {
            Self::None => Ok(None),
            Self::Text(token) => Ok(Some(token.clone())),
            Self::File(path) => match files::token(path).await {
                Ok(token) => Ok(Some(token)),
                Err(reason) => Err(client.error(Kind::Config, format!("{TOKEN_FILE}: {reason}")).into()),
            },
        }
    }
}

/// Whether a URL may be asked. Without TLS, only hosts that nobody else can impersonate. Names other than `localhost`
/// are refused, as their addresses may change.
fn is_allowed(url: &Url) -> bool {
    let is_agent = |ip: IpAddr| ip.is_loopback() || AGENTS.iter().any(|agent| agent.parse() == Ok(ip));
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(ip))) => is_agent(ip.into()),
        ("http", Some(Host::Ipv6(ip))) => is_agent(ip.into()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Container {
        Container::from_environment(&Environment::from_variables(variables.iter().copied()))
    }

    #[test]
    fn a_relative_uri_is_of_ecs_and_wins() {
        let Container::At { url, token, .. } = of(&[(RELATIVE, "/v2/credentials/x?a=b"), (FULL, "https://x/")]) else {
            panic!("no address");
        };
        assert_eq!(url, "http://169.254.170.2/v2/credentials/x?a=b");
        assert!(matches!(token, ContainerToken::None));
        assert!(matches!(of(&[]), Container::Absent));
        for path in ["@evil.example/", "evil.example", ".evil.example/x"] {
            assert!(matches!(of(&[(RELATIVE, path)]), Container::Broken(_)), "{path}");
        }
    }

    #[test]
    fn without_tls_only_this_machine_and_the_agents_are_asked() {
        for url in [
            "http://127.0.0.1:1/a",
            "http://127.9.9.9/",
            "http://localhost:80/",
            "http://[::1]/",
            "http://169.254.170.2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "https://elsewhere.example/x",
        ] {
            assert!(matches!(of(&[(FULL, url)]), Container::At { .. }), "{url}");
        }
        for url in [
            "http://169.254.170.3/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://elsewhere.example/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://user:pw@127.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "ftp://127.0.0.1/",
            "127.0.0.1",
        ] {
            assert!(matches!(of(&[(FULL, url)]), Container::Broken(_)), "{url}");
        }
    }

    #[test]
    fn the_file_of_a_token_wins_over_its_text() {
        let both = [(FULL, "http://127.0.0.1/"), (TOKEN, "text"), (TOKEN_FILE, "/run/token")];
        assert!(
            matches!(of(&both), Container::At { token: ContainerToken::File(path), .. } if path.ends_with("token"))
        );
        assert!(matches!(of(&both[..2]), Container::At { token: ContainerToken::Text(_), .. }));
    }
}
