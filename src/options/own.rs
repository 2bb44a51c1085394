//! The options of kong-vault itself, which hold for all vaults.

use crate::options::{Holds, Opt, Type};

/// kong-vault's own options, by their names in kong.conf.
pub const OWN: &[Opt] = &[
    Opt::new("vaults", Type::List, "enabled backends: `bundled` (all), `off`, or a list of names").default("bundled"),
    Opt::new("vault_cache_size", Type::Integer { min: 1, max: 10_000_000 }, "secrets cached per worker")
        .default("1000"),
    Opt::new(
        "vault_fetch_timeout",
        Type::Seconds { min: 0.001 },
        "fetch timeout in seconds, for look-up of the host, connection, TLS, redirects and answer together",
    )
    .default("5"),
    Opt::new(
        "vault_idle_ttl",
        Type::Seconds { min: 0.001 },
        "seconds after which a value that nobody asked for is dropped instead of renewed",
    )
    .default("1800"),
    Opt::new(
        "vault_breaker_interval",
        Type::Seconds { min: 0.001 },
        "seconds between two probes of a vault whose circuit breaker is open",
    )
    .default("5"),
    Opt::new(
        "vault_metrics_references",
        Type::Text,
        "metrics of each reference: `off`, `hashed` (its name's SHA-256, 16 digits) or `named`",
    )
    .default("off")
    .one_of(&["off", "hashed", "named"]),
    Opt::new(
        "vault_metrics_references_max",
        Type::Integer { min: 1, max: 10_000 },
        "secrets of the whole node that are known by name, in its status and in its metrics",
    )
    .default("1000"),
    Opt::new("vault_declarative_config", Type::Text, "YAML or JSON file with `vaults:` entities in Kong's format")
        .holds(Holds::File),
    Opt::new(
        "vault_data_dir",
        Type::Text,
        "directory that nginx's workers own, in which the standalone Admin API keeps its entities",
    )
    .holds(Holds::File),
    Opt::new(
        "vault_admin_token",
        Type::Text,
        "token that requests to the standalone Admin API must carry; not set: only programs on this machine may use \
         it, and its own page",
    )
    .pattern(r"[\x21-\x7e]+", "printable ASCII without spaces")
    .sensitive()
    .guards(),
    Opt::new(
        "vault_admin_tokens",
        Type::Text,
        "further such tokens, each with the name that the audit log shows: `alice=…,bob=…`",
    )
    .pattern(
        r"[A-Za-z0-9._-]{1,64}=[\x21-\x2b\x2d-\x7e]+( *, *[A-Za-z0-9._-]{1,64}=[\x21-\x2b\x2d-\x7e]+)*",
        "a list of name=token; a token is printable ASCII without spaces and commas",
    )
    .sensitive()
    .guards(),
    Opt::new(
        "vault_audit_log",
        Type::Text,
        "where to log reads, fetches and changes as JSON lines: `off`, a file's absolute path, or \
         `syslog:server=…[,facility=…][,tag=…]`",
    )
    .default("off")
    .pattern(
        r"off|/[^\x00-\x1f]+|syslog:server=[\x21-\x2b\x2d-\x7e]+(,(facility=[a-z0-7]+|tag=[A-Za-z0-9_]{1,32}))*",
        "off, a file's absolute path, or syslog:server=ADDRESS[:PORT]|unix:PATH[,facility=NAME][,tag=NAME]",
    )
    .holds(Holds::File),
    Opt::new(
        "vault_audit_reads",
        Type::Text,
        "which look-ups the audit log has: none, those that a worker's Lua table does not answer, or all",
    )
    .default("fetched")
    .one_of(&["off", "fetched", "all"]),
    Opt::new(
        "vault_allow_env_credentials",
        Type::List,
        "environment variables with credentials of kong-vault's own that references may read all the same",
    ),
    Opt::new(
        "vault_strict_compatibility",
        Type::Boolean,
        "let references set every option, as in Kong: they can then send a vault's token to any host",
    )
    .default("false"),
    Opt::new(
        "tls_certificate_verify",
        Type::Boolean,
        "refuse every vault that does not verify certificates (`ssl_verify = off`)",
    )
    .default("false")
    .aliases(&["vault_tls_certificate_verify"]),
    Opt::new(
        "vaults_lazy_load_secrets",
        Type::Boolean,
        "in Kong, fetch the secrets of a plugin's fields at the first request that needs them, not at the start",
    )
    .default("false")
    .aliases(&["vault_secrets_lazy_load"]),
    Opt::new(
        "vault_references",
        Type::Text,
        "in Kong, which fields of plugins may hold references: those that Kong's schemas name, or all texts, with \
         references inside them as well",
    )
    .one_of(&["schema", "everywhere"])
    .default("schema"),
    Opt::new(
        "vault_otlp_endpoint",
        Type::Text,
        "URL of an OpenTelemetry collector that takes OTLP over HTTP; `/v1/traces` is added where it doesn't end with \
         that; not set: no spans",
    )
    .pattern(
        r"https?://[^[:space:]/?#@\\]+(/[^[:space:]?#\\]*)?",
        "an http or https URL without a user or a query, such as http://127.0.0.1:4318",
    )
    .holds(Holds::Url),
    Opt::new(
        "vault_otlp_headers",
        Type::Text,
        "headers for the collector, such as `authorization=Bearer%20TOKEN`: pairs separated by commas, values \
         percent-encoded",
    )
    .pattern(
        r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ *=[\x20-\x2b\x2d-\x7e]*(, *[!#$%&'*+.^_`|~0-9A-Za-z-]+ *=[\x20-\x2b\x2d-\x7e]*)*",
        "pairs such as name=value, separated by commas",
    )
    .sensitive(),
    Opt::new("vault_otlp_service_name", Type::Text, "`service.name` of the spans").default("kong-vault"),
];
