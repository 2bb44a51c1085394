//! The options of the `azure` and `azure-certs` vaults.

use crate::http::options::{NO_PROXY, PROXY, TLS_MIN_VERSION};
use crate::identity::azure::METHODS;
use crate::options::{Holds, Opt, Type};

/// What says where a server is.
const URL: &str = r"https?://[^[:space:]/?#@\\]+/?";

const VAULT_URI: Opt = Opt::new(
    "vault_uri",
    Type::Text,
    "address of the key vault, such as `https://NAME.vault.azure.net`; not set: `AZURE_DEFAULTS_KEYVAULT_URI`",
)
.holds(Holds::Url)
.pattern(URL, "a URL such as https://name.vault.azure.net, without user, path, query and fragment");

const CLIENT_ID: Opt = Opt::new(
    "client_id",
    Type::Text,
    "client id of the application, or of the managed identity where a machine has several; not set: `AZURE_CLIENT_ID`",
)
.pattern(r"[0-9A-Za-z._-]{1,255}", "a client id, which is a GUID");

const TENANT_ID: Opt = Opt::new(
    "tenant_id",
    Type::Text,
    "tenant of the application: its id (a GUID), or one of its domains; not set: `AZURE_TENANT_ID`",
)
.pattern(r"[0-9A-Za-z][0-9A-Za-z.-]{0,254}", "a GUID, or a domain such as example.onmicrosoft.com");

const CREDENTIALS_PREFIX: Opt = Opt::new(
    "credentials_prefix",
    Type::Text,
    "what stands before `_CLIENT_SECRET`, `_CLIENT_ID`, `_TENANT_ID`, `_CLIENT_CERTIFICATE_PATH` and \
     `_FEDERATED_TOKEN_FILE` in the names of variables",
)
.default("AZURE")
.begins(&["_CLIENT_SECRET", "_CLIENT_CERTIFICATE_PASSWORD", "_CLIENT_CERTIFICATE_PATH"])
.pattern(r"[A-Za-z_][0-9A-Za-z_]{0,127}", "the beginning of a variable's name, such as AZURE");

const AUTH_METHOD: Opt = Opt::new(
    "auth_method",
    Type::Text,
    "how kong-vault logs in; `auto`: by the first of these that is set up, in this order",
)
.default("auto")
.one_of(METHODS);

const CLIENT_SECRET: Opt = Opt::new(
    "client_secret",
    Type::Text,
    "secret of the application; not set: the variable `AZURE_CLIENT_SECRET`, by `credentials_prefix`",
)
.sensitive();

const CLIENT_CERTIFICATE: Opt = Opt::new(
    "client_certificate",
    Type::Text,
    "certificate and RSA key of the application: a PEM file's path, read for each login, or PEM text; not set: the \
     variable `AZURE_CLIENT_CERTIFICATE_PATH`, by `credentials_prefix`",
)
.sensitive()
.aliases(&["client_certificate_path"]);

const SEND_CERTIFICATE_CHAIN: Opt = Opt::new(
    "send_certificate_chain",
    Type::Boolean,
    "send the certificate's chain with each login, for an application that trusts subject and issuer",
)
.default("false");

const IDENTITY_OBJECT_ID: Opt =
    Opt::new("identity_object_id", Type::Text, "object id of the managed identity, instead of `client_id`")
        .pattern(r"[0-9A-Za-z-]{1,64}", "an object id, which is a GUID");

const IDENTITY_RESOURCE_ID: Opt =
    Opt::new("identity_resource_id", Type::Text, "resource id of the managed identity, instead of `client_id`")
        .pattern(r"/[0-9A-Za-z/._()-]{1,1023}", "a resource id such as /subscriptions/…/userAssignedIdentities/name");

const RESOURCE: Opt = Opt::new(
    "resource",
    Type::Text,
    "whom tokens are for; the host of `vault_uri` must be below it; not set: Key Vault's own in the cloud of `vault_uri`",
)
.holds(Holds::Url)
.pattern(URL, "a URL such as https://vault.azure.net")
.operators();

const VERIFY_CHALLENGE_RESOURCE: Opt = Opt::new(
    "verify_challenge_resource",
    Type::Boolean,
    "refuse a `vault_uri` whose host is not below the host of `resource`: a token reads every key vault of the identity",
)
.default("true")
.operators();

const ENFORCE_VALIDITY: Opt = Opt::new(
    "enforce_validity",
    Type::Boolean,
    "refuse secrets that have expired or are not valid yet; otherwise they are served, and the log says so",
)
.default("false");

const SSL_VERIFY: Opt =
    Opt::new("ssl_verify", Type::Boolean, "verify the certificates of the key vault and of Entra ID")
        .default("true")
        .unverified(false)
        .aliases(&["tls_verify"]);

const CA_CERT: Opt = Opt::new(
    "ca_cert",
    Type::Text,
    "CA bundle for the key vault and Entra ID instead of the system's: a file's path, or PEM text",
)
.holds(Holds::Pem)
.guards()
.aliases(&["ca_bundle"]);

const fn api_version(default: &'static str) -> Opt {
    Opt::new("api_version", Type::Text, "version of Key Vault's API").default(default).pattern(
        r"[0-9]{1,4}(\.[0-9]{1,2}|-[0-9]{2}-[0-9]{2})(-preview(\.[0-9]+)?)?",
        "a version of the API, such as 7.4 or 2025-07-01",
    )
}

pub const OF_SECRETS: &[Opt] = &[
    VAULT_URI,
    CLIENT_ID,
    TENANT_ID,
    Opt::new("location", Type::Text, "the key vault's region; accepted because Kong has it, and not used"),
    Opt::new("type", Type::Text, "what is read of the key vault").default("secrets").one_of(&["secrets"]),
    CREDENTIALS_PREFIX,
    AUTH_METHOD,
    CLIENT_SECRET,
    CLIENT_CERTIFICATE,
    SEND_CERTIFICATE_CHAIN,
    IDENTITY_OBJECT_ID,
    IDENTITY_RESOURCE_ID,
    RESOURCE,
    VERIFY_CHALLENGE_RESOURCE,
    ENFORCE_VALIDITY,
    api_version("7.4"),
    SSL_VERIFY,
    CA_CERT,
    TLS_MIN_VERSION,
    PROXY.operators(),
    NO_PROXY.operators(),
];

pub const OF_CERTIFICATES: &[Opt] = &[
    VAULT_URI,
    CLIENT_ID,
    TENANT_ID,
    CREDENTIALS_PREFIX,
    AUTH_METHOD,
    CLIENT_SECRET,
    CLIENT_CERTIFICATE,
    SEND_CERTIFICATE_CHAIN,
    IDENTITY_OBJECT_ID,
    IDENTITY_RESOURCE_ID,
    RESOURCE,
    VERIFY_CHALLENGE_RESOURCE,
    ENFORCE_VALIDITY,
    // The first one that converts PKCS#12.
    api_version("2025-07-01"),
    Opt::new(
        "ttl",
        Type::Seconds { min: 0.0 },
        "seconds that a certificate is fresh; 0: until it is flushed or evicted",
    )
    .default("3600")
    .overridable(),
    SSL_VERIFY,
    CA_CERT,
    TLS_MIN_VERSION,
    PROXY.operators(),
    NO_PROXY.operators(),
];
