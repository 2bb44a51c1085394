//! Options of every backend that uses the network, for the backends' tables. A reference may set none of them: they
//! decide where a vault is, which servers are trusted, and which credentials they get.

use crate::options::{Holds, Opt, Type};

pub const CLIENT_CERT: Opt = Opt::new(
    "client_cert",
    Type::Text,
    "client certificate with its chain, for servers that ask for one: a file's path, or PEM text",
)
.holds(Holds::Pem)
.aliases(&["tls_client_cert"]);

pub const CLIENT_KEY: Opt = Opt::new(
    "client_key",
    Type::Text,
    "key of `client_cert`: a file's path, or PEM text; not set: the key is in `client_cert`",
)
.sensitive()
.aliases(&["tls_client_key"]);

pub const TLS_MIN_VERSION: Opt =
    Opt::new("tls_min_version", Type::Text, "oldest accepted version of TLS").default("1.2").one_of(&["1.2", "1.3"]);

pub const PROXY: Opt = Opt::new(
    "proxy",
    Type::Text,
    "HTTP proxy, such as `http://user:password@host:3128`; `off`: no proxy; not set: `HTTPS_PROXY` or `HTTP_PROXY`, \
     by the protocol",
)
.pattern(
    r"off|(https?://)?[^[:space:]/?#\\]+/?",
    "off, or a URL such as http://host:3128 or https://user:password@host",
)
.sensitive()
.leads();

pub const NO_PROXY: Opt = Opt::new(
    "no_proxy",
    Type::List,
    "hosts to connect to without a proxy: names, with all below them, `host:port`, addresses, networks such as \
     `10.0.0.0/8`, or `*`; not set: `NO_PROXY`",
);
