//! The options of the `aws` vault.

use crate::backend::http::options::{CLIENT_CERT, CLIENT_KEY};
use crate::options::{Opt, Type};

/// What a region's name looks like. It becomes part of a host name, so nothing else may pass.
pub const REGION: &str = "^[a-z]{2,16}(-[a-z]{1,16}){1,3}-[0-9]{1,2}$";

pub const OPTIONS: &[Opt] = &[
    Opt::new(
        "region",
        Type::Text,
        "the AWS region, such as `us-east-1`; none: `AWS_REGION`, `AWS_DEFAULT_REGION`, then the profile's",
    )
    .pattern(REGION, "a region's name, such as us-east-1")
    .overridable(),
    Opt::new(
        "endpoint_url",
        Type::Text,
        "where Secrets Manager is, such as a VPC endpoint; none: `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL`, \
         then the region's public endpoint",
    )
    .pattern(
        r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?",
        "a URL such as https://host or http://host:port, without user, query and fragment",
    ),
    Opt::new("ssl_verify", Type::Boolean, "check the server's certificate").default("true").aliases(&["tls_verify"]),
    Opt::new(
        "ca_cert",
        Type::Text,
        "a CA bundle in place of the system's: a file's path, or PEM text; none: `AWS_CA_BUNDLE`, then the system's",
    )
    .aliases(&["ca_bundle"]),
    CLIENT_CERT,
    CLIENT_KEY,
];
