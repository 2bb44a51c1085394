//! Where audit lines go, as `vault_audit_log` says it: nginx's notation for `error_log`.

use std::path::PathBuf;

/// The names of syslog's facilities, in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The default of nginx.
const FACILITY: usize = 23;
const PORT: u16 = 514;

/// The severity of each message.
const INFO: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    File(PathBuf),
    Syslog { server: Server, priority: usize, tag: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    Unix(PathBuf),
    /// A host, and a UDP port.
    Udp(String, u16),
}

impl Destination {
    /// Reads the option; `None` where the log is off, or the text none that the option accepts.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix("syslog:server=") else {
            return text.starts_with('/').then(|| Destination::File(text.into()));
        };
        let mut parts = rest.split(',');
        let server = Server::parse(parts.next()?)?;
        let (mut facility, mut tag) = (FACILITY, "kong_vault".to_owned());
        for part in parts {
            match part.split_once('=')? {
                ("facility", name) => facility = FACILITIES.iter().position(|known| *known == name)?,
                ("tag", name) => tag = name.to_owned(),
                _ => return None,
            }
        }
        Some(Destination::Syslog { server, priority: facility * 8 + INFO, tag })
    }
}

impl Server {
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Server::Unix(path.into()));
        }
        let is_bare = text.ends_with(']') || !text.contains(':');
        let (host, port) = if is_bare { (text, PORT) } else { text.rsplit_once(':').map(numbered)? };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty() && port > 0).then(|| Server::Udp(host.to_owned(), port))
    }
}

/// A port that is none becomes 0.
fn numbered<'a>((host, port): (&'a str, &str)) -> (&'a str, u16) {
    (host, port.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_nginxs_notation() {
        let syslog = |server, priority, tag: &str| Some(Destination::Syslog { server, priority, tag: tag.to_owned() });
        let udp = |host: &str, port| Server::Udp(host.to_owned(), port);
        for (text, read) in [
            ("off", None),
            ("/var/log/nginx/vault.json", Some(Destination::File("/var/log/nginx/vault.json".into()))),
            ("syslog:server=unix:/dev/log", syslog(Server::Unix("/dev/log".into()), 190, "kong_vault")),
            ("syslog:server=10.0.0.1", syslog(udp("10.0.0.1", 514), 190, "kong_vault")),
            ("syslog:server=[::1]:12345,facility=authpriv,tag=a_1", syslog(udp("::1", 12345), 86, "a_1")),
            ("syslog:server=[::1]", syslog(udp("::1", 514), 190, "kong_vault")),
            ("syslog:server=logs.example:601", syslog(udp("logs.example", 601), 190, "kong_vault")),
            ("syslog:server=logs.example:0", None),
            ("syslog:server=logs.example:port", None),
            ("syslog:server=unix:dev/log", None),
            ("syslog:server=a,facility=nobody", None),
            ("relative.json", None),
        ] {
            assert_eq!(Destination::parse(text), read, "{text}");
        }
    }
}
