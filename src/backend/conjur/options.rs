//! The options of the `conjur` backend.

use crate::http::options::{CLIENT_CERT, CLIENT_KEY, NO_PROXY, PROXY, TLS_MIN_VERSION};
use crate::identity::aws::SESSION;
use crate::options::{Holds, Opt, Type};

/// The ways to log in.
const API_KEY: &str = "api_key";
pub const JWT: &str = "jwt";
pub const IAM: &str = "iam";
pub const AZURE: &str = "azure";
pub const GCP: &str = "gcp";
pub const TOKEN_FILE: &str = "token_file";

/// The pattern of a server's address.
const URL: &str = r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#@\\]*)?";

/// The pattern of a part of an address: encoded, it stays one part.
const PART: &str = r"[^[:cntrl:]]{1,512}";

pub const OPTIONS: &[Opt] = &[
    Opt::new(
        "endpoint_url",
        Type::Text,
        "address of Conjur, such as `https://conjur.example`, with the path before `/authn` and `/secrets`, if there is one; \
         not set: `CONJUR_APPLIANCE_URL`",
    )
    .holds(Holds::Url)
    .pattern(URL, "a URL such as https://host or https://host/api, without user, query and fragment"),
    Opt::new("auth_method", Type::Text, "how kong-vault logs in")
        .default(API_KEY)
        .one_of(&[API_KEY, JWT, IAM, AZURE, GCP, TOKEN_FILE]),
    Opt::new("account", Type::Text, "account of the organization; not set: `CONJUR_ACCOUNT`")
        .pattern(PART, "an account's name"),
    Opt::new(
        "login",
        Type::Text,
        "host or user that logs in, such as `host/BotApp/myDemoApp` or `Dave@BotApp`; not set: `CONJUR_AUTHN_LOGIN`",
    )
    .pattern(PART, "a login such as host/BotApp/myDemoApp or Dave@BotApp"),
    Opt::new("api_key", Type::Text, "API key of `login`; not set: `CONJUR_AUTHN_API_KEY`").sensitive(),
    Opt::new(
        "service_id",
        Type::Text,
        "service id of the authenticator, such as `prod` of `authn-jwt/prod`, for `jwt`, `iam` and `azure`; not set: \
         `CONJUR_AUTHN_JWT_SERVICE_ID` for `jwt`, then `CONJUR_SERVICE_ID`",
    )
    .pattern(PART, "a service id, such as prod of authn-jwt/prod"),
    Opt::new("jwt", Type::Text, "JWT to log in with, for `jwt`; not set: `jwt_file`").sensitive(),
    Opt::new(
        "jwt_file",
        Type::Text,
        "file with the JWT, such as a projected token of Kubernetes; read for each login; not set: `CONJUR_AUTHN_JWT_TOKEN` \
         (the JWT itself), `JWT_TOKEN_PATH`, then `/var/run/secrets/kubernetes.io/serviceaccount/token`",
    )
    .holds(Holds::File),
    Opt::new(
        "token_file",
        Type::Text,
        "file with an access token that another program renews, for `token_file`; not set: `CONJUR_AUTHN_TOKEN_FILE`",
    )
    .holds(Holds::File),
    Opt::new(
        "aws_region",
        Type::Text,
        "region of the STS that Conjur asks, for `iam`; not set: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, then \
         `us-east-1`",
    )
    .pattern(r"[a-z]{2}(-gov)?-[a-z]+-[0-9]", "a region's name, such as us-east-1"),
    Opt::new("aws_assume_role_arn", Type::Text, "ARN of a role to assume before logging in, for `iam`")
        .pattern(
            r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[[:word:]+=,.@/-]{1,512}",
            "a role's ARN, such as arn:aws:iam::123456789012:role/gateway",
        ),
    Opt::new("aws_role_session_name", Type::Text, "session name in `aws_assume_role_arn`, which AWS's logs show")
        .default(SESSION)
        .pattern(r"[[:word:]+=,.@-]{2,64}", "2 to 64 letters, digits and +=,.@-_"),
    Opt::new(
        "azure_client_id",
        Type::Text,
        "client id of the managed identity, if the machine has several, for `azure`; not set: \
         `CONJUR_AUTHN_AZURE_CLIENT_ID`, then `AZURE_CLIENT_ID`",
    )
    .pattern(r"[0-9A-Za-z._-]{1,255}", "a client id, which is a GUID"),
    Opt::new("azure_resource", Type::Text, "resource of the identity's token, as the authenticator expects it, for `azure`")
        .default("https://management.azure.com/"),
    Opt::new(
        "azure_endpoints",
        Type::List,
        "addresses of Conjur that may get a token of Azure, for `azure`, beside `CONJUR_APPLIANCE_URL`: such a token opens \
         more than Conjur",
    )
    .operators(),
    Opt::new("ssl_verify", Type::Boolean, "verify Conjur's certificate")
        .default("true")
        .unverified(false)
        .aliases(&["tls_verify"]),
    Opt::new(
        "ca_cert",
        Type::Text,
        "CA bundle instead of the system's: a file's path, or PEM text; not set: `CONJUR_CERT_FILE`, \
         `CONJUR_SSL_CERTIFICATE` (PEM text), then the system's",
    )
    .holds(Holds::Pem)
    .guards()
    .aliases(&["ca_bundle"]),
    Opt::new("tls_server_name", Type::Text, "name in Conjur's certificate, if it is not the host of `endpoint_url`")
        .pattern(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "a host name, without a port"),
    CLIENT_CERT,
    CLIENT_KEY,
    TLS_MIN_VERSION,
    PROXY.operators(),
    NO_PROXY.operators(),
];
