//! The keys of a kong.conf: which of them are kong-vault's, and whose option they set.

use super::verification::OPTION as VERIFY;
use crate::backend::Descriptor;
use crate::options::in_keys;
use crate::options::own::OWN;

/// Keys of Kong's own that begin as those of kong-vault do. In a configuration that Kong shares, they are no mistake.
const KONGS_OWN: [&str; 1] = ["vault_rotation_interval"];

/// The option by which Kong's plugins get their secrets with their first request.
pub const LAZY: &str = "vaults_lazy_load_secrets";

/// Options that not every Kong has, with a warning for those who set them in a kong.conf. Kong drops keys that it does not
/// know from there, unless they begin with `vault_`, as another spelling does.
const NEWER: [(&str, &str); 2] = [
    (
        VERIFY,
        "is dropped by Kong before 3.13, so that kong-vault does not see it there: write vault_tls_certificate_verify, \
         or set KONG_TLS_CERTIFICATE_VERIFY in the environment",
    ),
    (
        LAZY,
        "is dropped by Kong before 3.11, so that kong-vault does not see it there: write vault_secrets_lazy_load, or \
         set KONG_VAULTS_LAZY_LOAD_SECRETS in the environment",
    ),
];

/// Kong's own key for its declarative file. In a kong.conf, it adds the vault entities of that file.
pub const KONGS_FILE: &str = "declarative_config";

/// Whether a key is that of an option of kong-vault itself.
pub fn is_own(key: &str) -> bool {
    OWN.iter().any(|opt| opt.is_called(key))
}

/// Whether a key is one of `KONGS_OWN`.
pub fn is_kongs_own(key: &str) -> bool {
    KONGS_OWN.iter().any(|known| key.starts_with(known))
}

/// Whether a key is that of an option that not every Kong has.
pub fn is_newer(key: &str) -> bool {
    NEWER.iter().any(|(name, _)| OWN.iter().any(|opt| opt.name == *name && opt.is_called(key)))
}

/// The warning about a key of a kong.conf that most Kongs drop.
pub fn dropped(key: &str) -> Option<&'static str> {
    NEWER.iter().find(|(name, _)| *name == key).map(|(_, warning)| *warning)
}

/// Splits `vault_<backend>_<option>`.
pub fn of_backend<'a>(key: &'a str, backends: &[&'static Descriptor]) -> Option<(&'static str, &'a str)> {
    let rest = key.strip_prefix("vault_")?;
    let options = backends.iter().filter_map(|backend| {
        Some((backend.name, rest.strip_prefix(in_keys(backend.name).as_str())?.strip_prefix('_')?))
    });
    // A backend's name may begin with another's.
    options.min_by_key(|(_, option)| option.len())
}

/// Kubernetes gives every container variables about every service of its namespace; one may be called `kong-vault`.
pub fn is_service_link(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("vault_") else { return false };
    let numbered = || rest.strip_prefix("port_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    rest == "service_host"
        || rest == "service_port"
        || rest.starts_with("service_port_")
        || rest == "port"
        || numbered()
}
