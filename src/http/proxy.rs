//! Which proxy a request goes through, if any: the vault's options, or the variables that curl and Go know.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HeaderValue;
use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

use super::transport::Transport;
use crate::environment::Environment;

/// Hosts that are never reached through a proxy: this machine, and metadata services, which answer each machine
/// differently.
const LOCAL: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32,metadata.google.internal";

/// The value of the option `proxy` for no proxy, whatever the environment says.
const OFF: &str = "off";

/// A proxy, and how to connect to it.
pub(super) struct Proxy {
    pub uri: Uri,
    pub authorization: Option<HeaderValue>,
    /// `host:port`, for error texts.
    pub address: String,
}

/// A proxy, or what is wrong with its URL. The error is reported only for requests that need the proxy.
type Choice = Option<Result<Arc<Proxy>, String>>;

/// The proxies of one vault.
pub(super) struct Proxies {
    http: Choice,
    https: Choice,
    /// The rules of `no_proxy`, as a matcher with a placeholder for its proxy. Hosts that it does not intercept are
    /// connected to directly.
    rules: Matcher,
    /// The same for entries with a port.
    of_ports: Vec<(u16, Matcher)>,
}

impl Proxies {
    pub fn new(transport: &Transport<'_>) -> Self {
        let environment = transport.environment;
        let (http, https) = match transport.proxy.filter(|text| !text.is_empty()) {
            Some(OFF) => (None, None),
            Some(text) => {
                let choice = Some(parse("`proxy`", text));
                (choice.clone(), choice)
            }
            None => {
                let http = of_environment(environment, http_variables(environment));
                let (in_http, in_https) = ("HTTP_PROXY_AUTHORIZATION", "HTTPS_PROXY_AUTHORIZATION");
                let in_http = if is_cgi(environment) { None } else { first(environment, &[in_http]) };
                let https = of_environment(environment, HTTPS);
                (authorized(http, in_http), authorized(https, first(environment, &[in_https])))
            }
        };
        let listed = match transport.no_proxy {
            [] => first(environment, &["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, list)| list.to_owned()),
            list => list.join(","),
        };
        let (mut whole, mut of_ports) = (LOCAL.to_owned(), Vec::new());
        for entry in listed.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty()) {
            match with_port(entry) {
                Some((host, port)) => of_ports.push((port, rules(&host))),
                None => {
                    whole.push(',');
                    // The matcher's `*` matches only names.
                    match entry {
                        "*" => whole.push_str("*,0.0.0.0/0,::/0"),
                        entry => whole.push_str(&host(entry)),
                    }
                }
            }
        }
        Self { http, https, rules: rules(&whole), of_ports }
    }

    /// The proxy for a destination, or what is wrong with the proxy's URL.
    pub fn for_destination(&self, destination: &Uri) -> Result<Option<&Arc<Proxy>>, &str> {
        let is_secure = destination.scheme() == Some(&Scheme::HTTPS);
        let choice = if is_secure { &self.https } else { &self.http };
        let Some(choice) = choice else { return Ok(None) };
        let port = destination.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let destination = &without_dots(destination);
        let is_direct = self.rules.intercept(destination).is_none()
            || self.of_ports.iter().any(|(own, rules)| *own == port && rules.intercept(destination).is_none());
        if is_direct {
            return Ok(None);
        }
        choice.as_ref().map(Some).map_err(String::as_str)
    }

    /// Whether one of them is reached by https.
    pub fn want_tls(&self) -> bool {
        [&self.http, &self.https]
            .into_iter()
            .any(|choice| matches!(choice, Some(Ok(proxy)) if proxy.uri.scheme() == Some(&Scheme::HTTPS)))
    }
}

fn rules(list: &str) -> Matcher {
    Matcher::builder().all("http://any").no(list).build()
}

/// A destination without the dots at the end of its name, which only mark it as absolute.
fn without_dots(destination: &Uri) -> Uri {
    let Some(name) = destination.host().filter(|host| host.ends_with('.')) else { return destination.clone() };
    let mut parts = destination.clone().into_parts();
    parts.authority = name.trim_end_matches('.').parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| destination.clone())
}

/// An entry in the matcher's form: `.example.com` for `*.example.com`, addresses without brackets, names in ASCII and
/// without dots at their end.
fn host(entry: &str) -> Cow<'_, str> {
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let entry = entry.trim_end_matches('.');
    if let Some(address) = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')) {
        return address.into();
    }
    let name = entry.trim_start_matches('.');
    match Host::parse(name) {
        Ok(Host::Domain(ascii)) if !name.is_ascii() => (entry[..entry.len() - name.len()].to_owned() + &ascii).into(),
        _ => entry.into(),
    }
}

/// `host:port`, as Go reads it. Any other entry with a colon is an IPv6 address.
fn with_port(entry: &str) -> Option<(Cow<'_, str>, u16)> {
    let (name, port) = entry.rsplit_once(':')?;
    let is_whole = !name.contains(':') || (name.starts_with('[') && name.ends_with(']'));
    Some((host(name), port.parse().ok().filter(|_| is_whole)?))
}

const HTTPS: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// In a CGI program, variables that begin with `HTTP_` are headers that a client sent.
fn is_cgi(environment: &Environment) -> bool {
    environment.text("REQUEST_METHOD").is_some()
}

fn http_variables(environment: &Environment) -> &'static [&'static str] {
    let all = &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    if is_cgi(environment) { &all[1..] } else { all }
}

/// Adds the variable by which Kong's client of AWS has the whole header `Proxy-Authorization`. A user in the proxy's URL
/// comes before it.
fn authorized(choice: Choice, variable: Option<(&'static str, &str)>) -> Choice {
    let (Some(Ok(proxy)), Some((name, text))) = (&choice, variable) else { return choice };
    if proxy.authorization.is_some() {
        return choice;
    }
    let Ok(mut header) = HeaderValue::from_str(text) else {
        return Some(Err(format!("{name} is no value of a header: give it as `Basic …`, in one line")));
    };
    header.set_sensitive(true);
    let (uri, address) = (proxy.uri.clone(), proxy.address.clone());
    Some(Ok(Arc::new(Proxy { uri, authorization: Some(header), address })))
}

fn of_environment(environment: &Environment, names: &[&'static str]) -> Choice {
    let (name, text) = first(environment, names)?;
    Some(parse(name, text))
}

fn first<'a>(environment: &'a Environment, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    // An empty variable counts as not set, so that the next one is used.
    names.iter().find_map(|name| Some((*name, environment.text(name)?.trim())).filter(|(_, text)| !text.is_empty()))
}

/// Never quotes what it reads: it may hold a password.
fn parse(origin: &str, text: &str) -> Result<Arc<Proxy>, String> {
    let wrong = || {
        format!(
            "{origin} is no proxy's URL: give it as `http://host:port` or `https://host:port`, with a user if need be"
        )
    };
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|_| wrong())?;
    if url.scheme().starts_with("socks") {
        return Err(format!("{origin} names a SOCKS proxy, which is not supported: set an HTTP proxy"));
    }
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_bare {
        return Err(wrong());
    }
    let found = Matcher::builder().all(text).build().intercept(&Uri::from_static("http://any/")).ok_or_else(wrong)?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Err(wrong()) };
    Ok(Arc::new(Proxy {
        uri: found.uri().clone(),
        authorization: found.basic_auth().cloned(),
        address: format!("{host}:{port}"),
    }))
}

#[cfg(test)]
mod tests;
