//! Decides who may use the Admin API. With a token, anyone who sends it may. Without one, programs on this machine
//! may, and the API's own page; no other page, on whose behalf a browser would send requests as well. A proxy on this
//! machine is a program, too: for whom it asks can't be known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::tokens::Tokens;

/// What a request says about its sender.
#[derive(Debug, Default)]
pub struct Requester<'a> {
    pub token: Option<&'a [u8]>,
    /// All client addresses of the connection: its own, and the one that nginx took from a header, if any.
    pub peers: Vec<&'a [u8]>,
    /// All hosts that it names: in its headers `Host`, and in its first line.
    pub hosts: Vec<&'a [u8]>,
    /// All of its headers, with their values.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// Whether it asks for the page, which holds nothing that others may not see.
    pub wants_page: bool,
}

/// Whether a request is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Granted,
    /// The token is missing or wrong.
    Unauthorized,
    /// It is refused, for this reason.
    Refused(&'static str),
}

const BROWSER: &str = "without vault_admin_token the Admin API refuses browsers (this request has the header Origin, or one \
                       of Sec-Fetch-…), but for its own page: open /vaults itself, set vault_admin_token, or ask with a \
                       command-line client";

const OTHER_PAGE: &str = "this request has the header Origin, or one of Sec-Fetch-…, of a page that is not kong-vault's own: open \
                          the page itself, or ask with a command-line client";

const PEER: &str = "without vault_admin_token the Admin API accepts only programs on this machine (this connection comes from \
                    another one): set vault_admin_token, or ask over a loopback address or a Unix-domain socket";

const HOST: &str = "without vault_admin_token the Admin API accepts only requests for this machine: send one header Host \
                    with localhost, 127.0.0.1 or [::1], or set vault_admin_token";

/// Decides about a request.
pub fn check_access(tokens: &Tokens<'_>, requester: &Requester<'_>) -> Access {
    match (!tokens.is_empty()).then(|| tokens.name_of(requester.token)) {
        // A browser can't send a token before the page has asked for it.
        Some(None) if requester.wants_page => Access::Granted,
        Some(None) => Access::Unauthorized,
        Some(Some(_)) => Access::Granted,
        None if requester.peers.is_empty() || !requester.peers.iter().all(|peer| is_on_this_machine(peer)) => {
            Access::Refused(PEER)
        }
        None if requester.is_of_other_page() => Access::Refused(BROWSER),
        // Any name may resolve to this machine: for a browser, a page of that name would have the same origin.
        None if requester.hosts.is_empty() || !requester.hosts.iter().all(|host| is_loopback(host)) => {
            Access::Refused(HOST)
        }
        None => Access::Granted,
    }
}

/// Why a request is refused that a browser sent on behalf of another page than the API's own, if it is one; for
/// Kong's Admin API, which decides itself who else may ask. That API may have any name and no TLS, and to such an
/// address browsers send no Sec-Fetch-… (Fetch Metadata Request Headers, section 3): there, `Origin` alone tells.
pub fn refuses_browser(requester: &Requester<'_>) -> Option<&'static str> {
    let is_of_own_origin = || !requester.has_fetch_metadata() && requester.has_own_origin();
    (requester.is_of_other_page() && !is_of_own_origin()).then_some(OTHER_PAGE)
}

impl Requester<'_> {
    /// Whether a browser sent the request on behalf of another page than the API's own. What Sec-Fetch-… say no
    /// script can set (Fetch Metadata Request Headers, section 2); of another server on this machine they say
    /// `same-site`. A browser that doesn't say them is refused.
    fn is_of_other_page(&self) -> bool {
        if !self.headers.iter().any(|(name, _)| is_of_browser(name)) {
            return false;
        }
        let is_own = self.says("sec-fetch-site", b"same-origin") && self.has_own_origin();
        // Not into a frame: whoever clicks there may not know what.
        let opens = || self.says("sec-fetch-mode", b"navigate") && self.says("sec-fetch-dest", b"document");
        !(is_own || self.wants_page && opens())
    }

    fn all(&self, wanted: &str) -> impl Iterator<Item = &[u8]> {
        let is_wanted = move |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        self.headers.iter().filter(move |(name, _)| is_wanted(name)).map(|(_, value)| *value)
    }

    /// Whether a header stands once, with this value.
    fn says(&self, name: &str, value: &[u8]) -> bool {
        self.all(name).eq([value])
    }

    /// Whether no header `Origin` names another server than the one that is asked.
    fn has_own_origin(&self) -> bool {
        let is_own = |origin: &[u8]| {
            let host = [&b"http://"[..], b"https://"].iter().find_map(|scheme| origin.strip_prefix(*scheme));
            host.is_some_and(|host| self.all("host").any(|own| own.eq_ignore_ascii_case(host)))
        };
        self.all("origin").all(is_own)
    }

    fn has_fetch_metadata(&self) -> bool {
        self.headers.iter().any(|(name, _)| is_fetch_metadata(name))
    }
}

fn is_of_browser(header: &[u8]) -> bool {
    header.eq_ignore_ascii_case(b"origin") || is_fetch_metadata(header)
}

/// Fetch Metadata Request Headers, section 2.
fn is_fetch_metadata(header: &[u8]) -> bool {
    header.to_ascii_lowercase().starts_with(b"sec-fetch-")
}

/// Whether a client address, as nginx writes it, is of this machine: a loopback address without a port, or `unix:`.
fn is_on_this_machine(peer: &[u8]) -> bool {
    let address = std::str::from_utf8(peer).ok().and_then(|peer| peer.parse().ok());
    peer == b"unix:" || address.is_some_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether a host, with or without a port, is `localhost` or a loopback address. No name is looked up. Browsers don't
/// count `[::ffff:127.0.0.1]` as this machine's: to it, they send no Sec-Fetch-….
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, rest) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse().ok().map(|it: Ipv6Addr| it.is_loopback()), rest),
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            let is_local = || name.trim_end_matches('.').eq_ignore_ascii_case("localhost") && !name.ends_with("..");
            (Some(name.parse().map_or_else(|_| is_local(), |it: Ipv4Addr| it.is_loopback())), rest)
        }
    };
    let is_port = || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    name == Some(true) && (rest.is_empty() || is_port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn asking(hosts: &[&'static str], headers: &[&'static str]) -> Access {
        let headers: Vec<_> = headers.iter().map(|name| (*name, "any")).collect();
        asking_for(false, hosts, &headers)
    }

    fn asking_for(wants_page: bool, hosts: &[&'static str], headers: &[(&'static str, &'static str)]) -> Access {
        let requester = Requester {
            token: Some(b"any"),
            peers: vec![b"127.0.0.1"],
            hosts: hosts.iter().map(|host| host.as_bytes()).collect(),
            headers: headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(),
            wants_page,
        };
        check_access(&Tokens::default(), &requester)
    }

    #[test]
    fn without_a_token_only_connections_from_this_machine_are_heard() {
        let from = |peers: &[&'static str]| {
            let peers = peers.iter().map(|peer| peer.as_bytes()).collect();
            check_access(&Tokens::default(), &Requester { peers, hosts: vec![b"localhost"], ..Requester::default() })
        };
        for peer in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", "unix:"] {
            assert_eq!(from(&[peer]), Access::Granted, "{peer}");
            assert_eq!(from(&[peer, "127.0.0.1"]), Access::Granted, "{peer}");
            assert_eq!(from(&[peer, "192.0.2.7"]), Access::Refused(PEER), "{peer}");
            assert_eq!(from(&["192.0.2.7", peer]), Access::Refused(PEER), "{peer}");
        }
        for peer in [
            "",
            "192.0.2.7",
            "10.0.0.1",
            "0.0.0.0",
            "128.0.0.1",
            "126.255.255.255",
            "::",
            "::2",
            "fe80::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1, 192.0.2.7",
            "127.0.0.1 ",
            "[::1]",
            "127.1",
            "localhost",
            "unix",
            "unix:/run/a.sock",
            "unixes:",
        ] {
            assert_eq!(from(&[peer]), Access::Refused(PEER), "{peer:?}");
        }
        assert_eq!(from(&[]), Access::Refused(PEER), "nobody knows from where");
        let wanted = Secret::new("hunter2");
        let shown = Requester { token: Some(b"hunter2"), peers: vec![b"192.0.2.7"], ..Requester::default() };
        assert_eq!(check_access(&Tokens { sole: Some(&wanted), named: None }, &shown), Access::Granted);
    }

    #[test]
    fn a_token_is_asked_for_where_there_is_one() {
        let wanted = Secret::new("hunter2");
        let shows = |token| {
            let tokens = Tokens { sole: Some(&wanted), named: None };
            check_access(&tokens, &Requester { token, hosts: vec![b"vault.example"], ..Requester::default() })
        };
        assert_eq!(shows(Some(b"hunter2")), Access::Granted);
        for shown in [None, Some(&b""[..]), Some(b"hunter"), Some(b"hunter22")] {
            assert_eq!(shows(shown), Access::Unauthorized);
        }
        let named = Secret::new("alice=hunter3");
        let listed = Tokens { sole: None, named: Some(&named) };
        let local = Requester { peers: vec![b"127.0.0.1"], hosts: vec![b"localhost"], ..Requester::default() };
        assert_eq!(check_access(&listed, &local), Access::Unauthorized, "a list alone asks for a token, too");
    }

    #[test]
    fn without_a_token_only_this_machine_is_heard() {
        for host in [
            "localhost",
            "LocalHost:8001",
            "localhost.",
            "localhost:",
            "127.0.0.1",
            "127.8.9.10:80",
            "[::1]",
            "[::1]:8001",
            "[0:0:0:0:0:0:0:1]",
        ] {
            assert_eq!(asking(&[host], &["host", "accept"]), Access::Granted, "{host}");
        }
        for host in [
            "",
            ":",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "evil.example:127",
            "127.0.0.1.evil.example",
            "127.evil.example",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "0",
            "10.0.0.1",
            "[::]",
            "[::2]:80",
            "[::ffff:127.0.0.1]:1",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[fe80::1%25lo]",
            "localhost:x",
            "localhost..",
            "localhost@evil.example",
            "user@localhost",
            "127.0.0.1, evil.example",
            "localhost evil",
            "xlocalhost",
            "0177.0.0.1",
        ] {
            assert_eq!(asking(&[host], &["host"]), Access::Refused(HOST), "{host}");
        }
        assert_eq!(asking(&[], &[]), Access::Refused(HOST), "HTTP/1.0 needs no Host");
        assert_eq!(asking(&["localhost", "evil.example"], &[]), Access::Refused(HOST));
        assert_eq!(asking(&["localhost", "127.0.0.1"], &[]), Access::Granted);
    }

    #[test]
    fn without_a_token_no_browser_is_heard() {
        for header in ["origin", "Origin", "sec-fetch-site", "Sec-Fetch-Mode", "sec-fetch-dest"] {
            assert_eq!(asking(&["localhost"], &["host", header]), Access::Refused(BROWSER), "{header}");
        }
        for header in ["originator", "x-origin", "sec-ch-ua", "referer"] {
            assert_eq!(asking(&["localhost"], &["host", header]), Access::Granted, "{header}");
        }
    }

    #[test]
    fn without_a_token_a_browser_is_heard_for_the_own_page_alone() {
        const HERE: (&str, &str) = ("Host", "localhost:8001");
        let asking = |headers: &[(&'static str, &'static str)]| asking_for(false, &["localhost:8001"], headers);
        let own = ("Sec-Fetch-Site", "same-origin");
        for headers in [
            &[HERE, own, ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")][..],
            &[HERE, own, ("Origin", "http://localhost:8001")],
            &[HERE, own, ("Origin", "https://LOCALHOST:8001")],
        ] {
            assert_eq!(asking(headers), Access::Granted, "{headers:?}");
        }
        for headers in [
            &[HERE, ("Sec-Fetch-Site", "same-site")][..],
            &[HERE, ("Sec-Fetch-Site", "cross-site")],
            &[HERE, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")],
            &[HERE, ("Sec-Fetch-Site", "")],
            &[HERE, ("Sec-Fetch-Site", "same-origin, cross-site")],
            &[HERE, own, ("Sec-Fetch-Site", "cross-site")],
            &[HERE, own, own],
            &[HERE, own, ("Origin", "http://localhost:3000")],
            &[HERE, own, ("Origin", "null")],
            &[HERE, own, ("Origin", "")],
            &[HERE, own, ("Origin", "file://localhost:8001")],
            &[HERE, own, ("Origin", "http://localhost:8001"), ("Origin", "http://evil.example")],
            &[HERE, ("Origin", "http://localhost:8001")],
        ] {
            assert_eq!(asking(headers), Access::Refused(BROWSER), "{headers:?}");
        }
        let elsewhere = &[("Host", "evil.example"), own, ("Origin", "http://evil.example")];
        assert_eq!(asking_for(false, &["evil.example"], elsewhere), Access::Refused(HOST));
    }

    #[test]
    fn in_kong_the_own_origin_tells_where_a_browser_says_no_more() {
        let is_refused = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            refuses_browser(&Requester { headers, ..Requester::default() }).is_some()
        };
        let (here, own) = (("Host", "gateway.internal:8001"), ("Origin", "http://gateway.internal:8001"));
        for headers in [&[here][..], &[here, own], &[here, own, ("Sec-Fetch-Site", "same-origin")]] {
            assert!(!is_refused(headers), "{headers:?}");
        }
        for headers in [
            &[here, ("Origin", "http://gateway.internal")][..],
            &[here, ("Origin", "null")],
            &[here, own, ("Origin", "http://evil.example")],
            &[here, own, ("Sec-Fetch-Site", "same-site")],
            &[here, own, ("Sec-Fetch-Mode", "cors")],
            &[here, ("Sec-Fetch-Site", "none")],
        ] {
            assert!(is_refused(headers), "{headers:?}");
        }
    }

    #[test]
    fn the_page_opens_as_a_document_of_its_own() {
        let opening = |hosts: &[&'static str], site, dest| {
            let headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", dest)];
            asking_for(true, hosts, &headers)
        };
        for site in ["none", "same-origin", "cross-site"] {
            assert_eq!(opening(&["localhost"], site, "document"), Access::Granted, "{site}");
        }
        for dest in ["iframe", "frame", "object", "embed", "empty", ""] {
            assert_eq!(opening(&["localhost"], "cross-site", dest), Access::Refused(BROWSER), "{dest}");
        }
        assert_eq!(opening(&["evil.example"], "none", "document"), Access::Refused(HOST));
        assert_eq!(asking_for(true, &["localhost"], &[]), Access::Granted, "a program");
        assert_eq!(asking_for(true, &["localhost"], &[("Origin", "http://a")]), Access::Refused(BROWSER));
        let token = Secret::new("a token");
        let tokens = Tokens { sole: Some(&token), named: None };
        let from_afar = Requester { peers: vec![b"192.0.2.7"], wants_page: true, ..Requester::default() };
        assert_eq!(check_access(&tokens, &from_afar), Access::Granted, "it asks for the token itself");
        let from_afar = Requester { wants_page: false, ..from_afar };
        assert_eq!(check_access(&tokens, &from_afar), Access::Unauthorized);
    }
}
