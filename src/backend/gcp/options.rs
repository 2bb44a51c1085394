//! The options of the `gcp` backend.

use url::Url;

use crate::backend::{Requirement, When};
use crate::http::options::{CLIENT_CERT, CLIENT_KEY, NO_PROXY, PROXY, TLS_MIN_VERSION};
use crate::identity::gcp::{EMAIL, PROJECT};
use crate::options::{Holds, Opt, Type};

/// The pattern of a server's address.
const URL: &str = r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#@\\]*)?";

/// The pattern of a location, which becomes a part of a host's name and of a path.
pub const LOCATION: &str = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?";

/// The pattern of a version, which becomes a part of a path.
pub const VERSION: &str = r"[1-9][0-9]{0,17}|[a-zA-Z][a-zA-Z0-9_-]{0,62}";

/// Whether an entity may have the operator's token sent to an address: to Google's own. On this machine, anybody may listen.
fn is_googles(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let own = url.domain().and_then(|name| name.strip_suffix(".googleapis.com"));
    url.scheme() == "https" && own.is_some_and(|own| !own.is_empty())
}

pub const REQUIREMENTS: &[Requirement] =
    &[Requirement { when: When::Set("impersonate_delegates"), all: &["impersonate_service_account"], any: &[] }];

pub const OPTIONS: &[Opt] = &[
    Opt::new(
        "project_id",
        Type::Text,
        "id or number of the project that has the secrets; not set: `GOOGLE_CLOUD_PROJECT`, `GCLOUD_PROJECT`, the \
         credentials' own project, then the machine's",
    )
    .pattern(PROJECT, "a project's id or number, such as my-project")
    .overridable(),
    Opt::new(
        "location",
        Type::Text,
        "location of regional secrets, such as `europe-west3`; not set: secrets without a location",
    )
    .pattern(LOCATION, "a location's name, such as europe-west3")
    .overridable(),
    Opt::new(
        "version",
        Type::Text,
        "version that a reference without `#n` means: a number, an alias, or `latest`, the one created last",
    )
    .default("latest")
    .pattern(VERSION, "a number, latest, or an alias of letters, digits, _ and -")
    .overridable(),
    Opt::new(
        "endpoint_url",
        Type::Text,
        "address of Secret Manager, such as that of Private Service Connect; not set: \
         `CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER`, then Google's own, by `location`",
    )
    .holds(Holds::Url)
    .pattern(URL, "a URL such as https://host or http://host:port, without user, query and fragment")
    .confined("https and below googleapis.com, or the operator's own endpoint_url", is_googles),
    Opt::new(
        "impersonate_service_account",
        Type::Text,
        "address of a service account to impersonate with the credentials found; kong-vault reads secrets as that account",
    )
    .pattern(EMAIL, "a service account's address, such as gateway@my-project.iam.gserviceaccount.com"),
    Opt::new(
        "impersonate_delegates",
        Type::List,
        "service accounts between the credentials and `impersonate_service_account`, in their order, each allowed to \
         impersonate the next",
    ),
    Opt::new(
        "quota_project_id",
        Type::Text,
        "project whose quota and billing requests use; not set: `GOOGLE_CLOUD_QUOTA_PROJECT`, then the credentials' own",
    )
    .pattern(PROJECT, "a project's id or number, such as my-project"),
    Opt::new(
        "token_exchange",
        Type::Boolean,
        "exchange a service account's key for an access token at its `token_uri`, instead of sending what it signs; \
         kong-vault also does so once Google refuses that",
    )
    .default("false"),
    Opt::new("ssl_verify", Type::Boolean, "verify the server's certificate")
        .default("true")
        .unverified(false)
        .aliases(&["tls_verify"]),
    Opt::new("ca_cert", Type::Text, "CA bundle instead of the system's: a file's path, or PEM text")
        .holds(Holds::Pem)
        .guards()
        .aliases(&["ca_bundle"]),
    CLIENT_CERT,
    CLIENT_KEY,
    TLS_MIN_VERSION,
    PROXY.operators(),
    NO_PROXY.operators(),
];
