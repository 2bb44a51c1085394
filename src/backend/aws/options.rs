//! The options of the `aws` backend.

use crate::backend::{Requirement, When};
use crate::http::options::{CLIENT_CERT, CLIENT_KEY, NO_PROXY, PROXY, TLS_MIN_VERSION};
use crate::identity::aws::{REGION, SESSION};
use crate::options::{Holds, Opt, Type};

/// The pattern of a server's address.
const URL: &str = r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#@\\]*)?";
const URL_MEANS: &str = "a URL such as https://host or http://host:port, without user, query and fragment";

pub const REQUIREMENTS: &[Requirement] =
    &[Requirement { when: When::Set("external_id"), all: &["assume_role_arn"], any: &[] }];

pub const OPTIONS: &[Opt] = &[
    Opt::new(
        "region",
        Type::Text,
        "AWS region, such as `us-east-1`; not set: `AWS_REGION`, `AWS_DEFAULT_REGION`, then the profile's",
    )
    .pattern(REGION, "a region's name, such as us-east-1")
    .overridable(),
    Opt::new(
        "endpoint_url",
        Type::Text,
        "address of Secrets Manager, such as a VPC endpoint; not set: `AWS_ENDPOINT_URL_SECRETS_MANAGER`, \
         `AWS_ENDPOINT_URL`, the profile's `services` and `endpoint_url`, then the region's public endpoint",
    )
    .holds(Holds::Url)
    .pattern(URL, URL_MEANS),
    Opt::new(
        "assume_role_arn",
        Type::Text,
        "ARN of a role to assume with the credentials found; kong-vault reads secrets as that role",
    )
    .pattern(
        r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[[:word:]+=,.@/-]{1,512}",
        "a role's ARN, such as arn:aws:iam::123456789012:role/gateway",
    ),
    Opt::new("role_session_name", Type::Text, "session name in `assume_role_arn`, which AWS's logs show")
        .default(SESSION)
        .pattern(r"[[:word:]+=,.@-]{2,64}", "2 to 64 letters, digits and _+=,.@-"),
    Opt::new("external_id", Type::Text, "external id that the trust policy of `assume_role_arn` asks for")
        .pattern(r"[[:word:]+=,.@:/-]{2,1224}", "2 to 1224 letters, digits and _+=,.@:/-"),
    Opt::new(
        "sts_endpoint_url",
        Type::Text,
        "address of STS, which issues roles' credentials; not set: `AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL`, the \
         profile's `services` and `endpoint_url`, then the region's public endpoint",
    )
    .holds(Holds::Url)
    .pattern(URL, URL_MEANS),
    Opt::new(
        "use_fips",
        Type::Boolean,
        "use AWS's FIPS endpoints; not set: `AWS_USE_FIPS_ENDPOINT`, then the profile's `use_fips_endpoint`",
    ),
    Opt::new(
        "use_dualstack",
        Type::Boolean,
        "use AWS's endpoints that have IPv6 and IPv4; not set: `AWS_USE_DUALSTACK_ENDPOINT`, then the profile's \
         `use_dualstack_endpoint`",
    ),
    Opt::new(
        "metadata_v1",
        Type::Boolean,
        "ask EC2's metadata service without a session (IMDSv1) if it offers none; not set: only if \
         `AWS_EC2_METADATA_V1_DISABLED` is `false`",
    ),
    Opt::new("ssl_verify", Type::Boolean, "verify the server's certificate")
        .default("true")
        .unverified(false)
        .aliases(&["tls_verify"]),
    Opt::new(
        "ca_cert",
        Type::Text,
        "CA bundle instead of the system's: a file's path, or PEM text; not set: `AWS_CA_BUNDLE`, then the system's",
    )
    .holds(Holds::Pem)
    .guards()
    .aliases(&["ca_bundle"]),
    CLIENT_CERT,
    CLIENT_KEY,
    TLS_MIN_VERSION,
    PROXY,
    NO_PROXY,
];
