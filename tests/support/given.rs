//! Each option of each vault, given by itself with what it needs.

use std::collections::BTreeMap;

use kong_vault::backend::{Descriptor, registry::ALL};
use kong_vault::config::options_of;
use kong_vault::options::Opt;

/// The options of all backends, with them.
pub fn all_options() -> impl Iterator<Item = (&'static Descriptor, &'static Opt)> {
    ALL.iter().flat_map(|backend| options_of(backend).map(move |opt| (*backend, opt)))
}

/// What keeps an option from being judged by itself.
fn needed(opt: &Opt) -> BTreeMap<&'static str, &'static str> {
    let method = match opt.name {
        name if name.starts_with("cert_auth") => "cert",
        name if name.starts_with("oauth2") || name.starts_with("jwt") => "jwt",
        name if name.starts_with("approle") => "approle",
        name if name.starts_with("kube") => "kubernetes",
        name if name.starts_with("gcp") => "gcp_iam",
        name if name.starts_with("azure") => "azure",
        name if name.starts_with("aws_") => "aws_ec2",
        _ => "token",
    };
    let mut all = BTreeMap::from([("auth_method", method)]);
    if method == "jwt" {
        all.extend([("oauth2_client_id", "a"), ("oauth2_client_secret", "b"), ("oauth2_token_endpoint", "http://a/b")]);
    }
    all.extend([("kube_role", "a"), ("approle_role_id", "a"), ("approle_secret_id_file", "/dev/null")]);
    all.extend([("aws_auth_role", "a"), ("aws_auth_nonce", "a"), ("gcp_auth_role", "a")]);
    if opt.name == "jwt_file" {
        all.retain(|name, _| !name.starts_with("oauth2"));
    }
    all
}

/// A vault's options as an entity's: this one, and those that it needs.
pub fn config_of(backend: &Descriptor, opt: &Opt, value: &str) -> BTreeMap<String, String> {
    let mut config: BTreeMap<_, _> = BTreeMap::new();
    if backend.name == "hcv" {
        config.extend(needed(opt).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    } else if backend.name == "aws" {
        config.insert("region".to_owned(), "eu-west-1".to_owned());
    }
    config.insert(opt.name.to_owned(), value.to_owned());
    config
}
