//! Options that every vault behind a network has, for the tables of the backends. None may be set by a reference: they
//! say where a vault is, whom we trust and who we are.

use crate::options::{Opt, Type};

pub const CLIENT_CERT: Opt = Opt::new(
    "client_cert",
    Type::Text,
    "our certificate, with its chain, for servers that ask for one: a file's path, or PEM text",
)
.aliases(&["tls_client_cert"]);

pub const CLIENT_KEY: Opt =
    Opt::new("client_key", Type::Text, "its key: a file's path, or PEM text; none: it stands in `client_cert`")
        .sensitive()
        .aliases(&["tls_client_key"]);
