//! The `azure` vault: secrets of Azure Key Vault; and `azure-certs`: its certificates, with key and chain, as fields.
//!
//! Official clients ask once without a token, and take from the refusal where tokens are from. Here options, variables and the
//! key vault's own domain say so: no answer leads a credential anywhere.

mod answer;
mod certificate;
mod challenge;
mod diagnosis;
mod error;
mod name;
mod notices;
mod options;
mod place;
mod proxy;
mod validity;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::{ACCEPT, AUTHORIZATION};
use ::http::{HeaderValue, Method, Request};
use url::Url;

use self::answer::{Found, Listed};
use self::error::Asked;
use self::name::Version;
use self::notices::Notices;
use self::place::Place;
use self::validity::Validity;
use crate::backend::transport;
use crate::backend::{Backend, Descriptor, Diagnosing, Fetched, Fetching, Notice, SecretId, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Client, HttpResponse};
use crate::identity::access_token::AccessToken;
use crate::identity::azure::{Identity, UserAssigned, Wanted};
use crate::redact;
use crate::secret::Secret;

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "azure",
    title: "Azure Key Vault",
    options: options::OF_SECRETS,
    requirements: &[],
    immediate: false,
    files: false,
    batch: 1,
    build: |setup| build(setup, Reads::Secrets),
};

pub const CERTIFICATES: Descriptor = Descriptor {
    name: "azure-certs",
    title: "certificates of Azure Key Vault",
    options: options::OF_CERTIFICATES,
    requirements: &[],
    immediate: false,
    files: false,
    batch: 1,
    build: |setup| build(setup, Reads::Certificates),
};

/// For how long a machine's metadata service is asked again that is not ready, beside the fetches that wait.
const RETRIES: Duration = Duration::from_secs(50);

/// How many pages of a secret's versions are read, of 25 each.
const PAGES: usize = 40;
const PAGE: &str = "25";

/// What is read of a key vault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Secrets,
    Certificates,
}

struct KeyVault {
    label: String,
    reads: Reads,
    place: Place,
    api_version: String,
    enforces_validity: bool,
    identity: Identity,
    client: Client,
    notices: Notices,
}

fn build(setup: &Setup<'_>, reads: Reads) -> Result<Arc<dyn Backend>> {
    let settings = setup.settings;
    let kind = if reads == Reads::Secrets { DESCRIPTOR.name } else { CERTIFICATES.name };
    let label = format!("{kind} vault ({})", setup.vault);
    let mut transport = transport::of_vault(setup, label.clone());
    let place = Place::of(setup, &transport)?;
    let proxies = proxy::of_variables(setup.environment, place.url.scheme());
    proxies.apply(&mut transport);
    let text = |name| settings.text(name).filter(|text| !text.is_empty());
    let secret = |name| settings.secret(name).and_then(Secret::as_str).filter(|text| !text.is_empty());
    let user_assigned = match (text("identity_object_id"), text("identity_resource_id")) {
        (Some(_), Some(_)) => {
            let text = "`identity_object_id` and `identity_resource_id` are both set: set the one that is meant";
            return Err(Error::new(Kind::Config, format!("{label}: {text}")));
        }
        (Some(id), None) => Some(UserAssigned::Object(id.to_owned())),
        (None, Some(id)) => Some(UserAssigned::Resource(id.to_owned())),
        (None, None) => None,
    };
    let wanted = Wanted {
        transport: &transport,
        cloud: place.cloud,
        method: text("auth_method").unwrap_or_default(),
        prefix: text("credentials_prefix").unwrap_or("AZURE"),
        tenant: text("tenant_id"),
        client: text("client_id"),
        client_secret: secret("client_secret"),
        certificate: secret("client_certificate"),
        sends_chain: settings.boolean("send_certificate_chain"),
        user_assigned,
        retries: RETRIES,
    };
    Ok(Arc::new(KeyVault {
        identity: Identity::new(&wanted, &place.resource)?,
        client: Client::new(&transport)?,
        api_version: text("api_version").unwrap_or_default().to_owned(),
        enforces_validity: settings.boolean("enforce_validity"),
        notices: Notices::default(),
        label,
        reads,
        place,
    }))
}

impl Backend for KeyVault {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(self.read(secret_id))
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }

    fn notice(&self) -> Option<Notice> {
        self.client.notice().or_else(|| self.notices.next())
    }
}

impl KeyVault {
    async fn read(&self, secret_id: &SecretId) -> Result<Fetched> {
        let (name, version) = name::of(secret_id).map_err(|clause| self.misnamed(secret_id, clause))?;
        let previous;
        let version = match version {
            Version::Current => None,
            Version::Named(version) => Some(version),
            Version::Previous => {
                previous = self.previous(name).await?;
                Some(previous.as_str())
            }
        };
        let found = self.secret(name, version).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let lease = validity::lease(&found.attributes, now);
        // Another version may be out of its time where this one isn't.
        let what = self.what_version(name, version);
        self.check_validity(&what, validity::at(&found.attributes, now))?;
        let document = match self.reads {
            Reads::Secrets => Secret::new(found.value.as_bytes()),
            Reads::Certificates => self.certificate(&what, &found)?,
        };
        Ok(Fetched { lease, ends: validity::ends(&found.attributes), ..Fetched::new(document) })
    }

    fn misnamed(&self, secret_id: &SecretId, clause: &str) -> Error {
        let shown = redact::quote(secret_id.resource.as_bytes(), 128);
        Error::new(Kind::Reference, format!("{}: {shown} {clause}", self.label))
    }

    async fn secret(&self, name: &str, version: Option<&str>) -> Result<Found> {
        let mut url = self.url(&["secrets", name].into_iter().chain(version).collect::<Vec<_>>());
        // Older versions of the API have numbers with a dot, and convert nothing.
        if self.reads == Reads::Certificates && !self.api_version.contains('.') {
            url.query_pairs_mut().append_pair("outContentType", "application/x-pem-file");
        }
        let (token, answer) = self.ask(&url).await?;
        let asked = Asked { what: self.what_version(name, version), ..self.asked(name, &token, "get") };
        if answer.status != 200 {
            return Err(error::of(&asked, &answer));
        }
        answer::secret(answer.body.as_bytes()).map_err(|reason| asked.error(Kind::Invalid, reason))
    }

    /// The version before the current one. Key Vault lists versions in no order.
    async fn previous(&self, name: &str) -> Result<String> {
        let mut versions: Vec<Listed> = Vec::new();
        let mut url = self.url(&["secrets", name, "versions"]);
        url.query_pairs_mut().append_pair("maxresults", PAGE);
        for _ in 0..PAGES {
            let (token, answer) = self.ask(&url).await?;
            let asked = self.asked(name, &token, "list");
            if answer.status != 200 {
                return Err(error::of(&asked, &answer));
            }
            let page = answer::page(answer.body.as_bytes()).map_err(|reason| asked.error(Kind::Invalid, reason))?;
            versions.extend(page.versions);
            match page.next {
                Some(query) => url.set_query(Some(&query)),
                None => {
                    versions.sort_by_key(|listed| std::cmp::Reverse(listed.created));
                    return before_current(versions).map_err(|reason| asked.error(Kind::NotFound, reason));
                }
            }
        }
        let text = format!("{}: {} has too many versions for #2: name the version", self.label, self.what(name));
        Err(Error::new(Kind::Invalid, text))
    }

    /// Asks with a token, and once more with another one where that has ended before its time.
    async fn ask(&self, url: &Url) -> Result<(AccessToken, HttpResponse)> {
        let mut token = self.identity.token().await?;
        let mut answer = self.send(url, Some(&token)).await?;
        if answer.status == 401
            && let Some(other) = self.identity.instead_of(&token).await?
        {
            answer = self.send(url, Some(&other)).await?;
            token = other;
        }
        Ok((token, answer))
    }

    async fn send(&self, url: &Url, token: Option<&AccessToken>) -> Result<HttpResponse> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(url.as_str())
            .body(Vec::new())
            .map_err(|_| Error::new(Kind::Invalid, format!("{}: no request can be made", self.label)))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header.clone());
        }
        self.client.send(request).await
    }

    /// An address below the key vault's own.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.place.url.clone();
        url.set_path(&path.join("/"));
        url.query_pairs_mut().append_pair("api-version", &self.api_version);
        url
    }

    fn asked<'a>(&self, name: &str, token: &'a AccessToken, right: &'static str) -> Asked<'a> {
        Asked { place: self.told_place(), what: self.what(name), origin: &token.origin, right }
    }

    /// What is read, for people. A name is letters, digits and dashes.
    fn what(&self, name: &str) -> String {
        let kind = if self.reads == Reads::Secrets { "secret" } else { "certificate" };
        format!("the {kind} {}", redact::quote(name.as_bytes(), 128))
    }

    fn what_version(&self, name: &str, version: Option<&str>) -> String {
        match version {
            None => self.what(name),
            Some(version) => format!("{} in its version {version}", self.what(name)),
        }
    }

    fn told_place(&self) -> String {
        let url = &self.place.url;
        let port = url.port_or_known_default().unwrap_or_default();
        format!("{} at {}", self.label, self.client.address(url.host_str().unwrap_or_default(), port))
    }

    /// Whether a secret may be served that is out of its time; that it is, is told.
    fn check_validity(&self, what: &str, validity: Validity) -> Result<()> {
        let (state, clause) = match validity {
            Validity::Valid => {
                self.notices.note(&self.label, what, None);
                return Ok(());
            }
            Validity::Expired(since) => ("expired", format!("expired {} ago", validity::lasting(since))),
            Validity::Early(left) => ("early", format!("is not valid before {} have passed", validity::lasting(left))),
        };
        if self.enforces_validity {
            let place = self.told_place();
            let text = format!("{place}: {what} {clause}: make a new version of it, or change its times");
            return Err(Error::new(Kind::NotFound, text));
        }
        let text = format!("{clause}, and is served all the same (`enforce_validity` refuses it)");
        self.notices.note(&self.label, what, Some((state, text)));
        Ok(())
    }

    fn certificate(&self, what: &str, found: &Found) -> Result<Secret> {
        let wrong = |reason| Error::new(Kind::Invalid, format!("{}: {what}: {reason}", self.told_place()));
        let made = certificate::document(found).map_err(wrong)?;
        let stays = "stays in Key Vault, as the policy says, so there is no field `key`: make it exportable";
        let flaw = (!made.has_key).then(|| ("keyless", stays.to_owned()));
        self.notices.note(&self.label, &format!("the key of {what}"), flaw);
        Ok(made.document)
    }
}

/// The second one of versions, the newest first; or a clause.
fn before_current(versions: Vec<Listed>) -> std::result::Result<String, &'static str> {
    let created = |at: usize| versions.get(at).map(|listed| listed.created);
    match (created(0), created(1), created(2)) {
        (_, None, _) => Err("the secret has no version before the current one: ask for it without #2"),
        // They stand in no order, and which one is current can't be seen.
        (first, second, third) if first == second || second == third => Err(
            "several versions of the secret were made in the same second, so which is the one before cannot be told: \
                 name it as NAME/VERSION/",
        ),
        _ => Ok(versions.into_iter().nth(1).map(|listed| listed.version).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_before_is_the_second_newest_where_that_can_be_told() {
        let listed =
            |times: &[i64]| times.iter().map(|time| Listed { version: time.to_string(), created: *time }).collect();
        assert_eq!(before_current(listed(&[9, 7, 5])).unwrap(), "7");
        assert_eq!(before_current(listed(&[9, 7])).unwrap(), "7");
        for (times, part) in [
            (&[][..], "no version before"),
            (&[9], "no version before"),
            (&[9, 9, 5], "same second"),
            (&[9, 7, 7], "same second"),
        ] {
            assert!(before_current(listed(times)).unwrap_err().contains(part), "{times:?}");
        }
    }
}
