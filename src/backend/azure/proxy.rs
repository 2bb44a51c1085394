//! The variables by which Kong's own client of Azure is told of proxies. They come before those that all programs know.

use crate::environment::Environment;
use crate::http::Transport;
use crate::identity::azure::variable;

/// What the variables say.
pub struct Proxies {
    proxy: Option<String>,
    direct: Vec<String>,
}

/// The proxy for a scheme, with its user, and who is connected to without one.
pub fn of_variables(environment: &Environment, scheme: &str) -> Proxies {
    let name = if scheme == "https" { "AZURE_HTTPS_PROXY" } else { "AZURE_HTTP_PROXY" };
    let proxy = variable(environment, name).map(|text| with_user(text, environment));
    let listed = variable(environment, "AZURE_NO_PROXY").unwrap_or_default();
    let direct = listed.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    Proxies { proxy, direct: direct.map(str::to_owned).collect() }
}

/// A proxy's address with user and password, where variables of their own hold these.
fn with_user(text: &str, environment: &Environment) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let user = variable(environment, "AZURE_AUTH_USERNAME").filter(|_| !rest.contains('@'));
    let Some(user) = user else { return text.to_owned() };
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let password = variable(environment, "AZURE_AUTH_PASSWORD").unwrap_or_default();
    format!("{scheme}://{}:{}@{rest}", encoded(user), encoded(password))
}

impl Proxies {
    /// Options come before variables.
    pub fn apply<'a>(&'a self, transport: &mut Transport<'a>) {
        if transport.proxy.is_none_or(str::is_empty) {
            transport.proxy = self.proxy.as_deref();
        }
        if transport.no_proxy.is_empty() {
            transport.no_proxy = &self.direct;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn kongs_variables_name_a_proxy_where_no_option_does() {
        let variables = [
            ("AZURE_HTTPS_PROXY", "http://proxy.example:3128"),
            ("AZURE_NO_PROXY", "a.example, b.example"),
            ("AZURE_AUTH_USERNAME", "u"),
            ("AZURE_AUTH_PASSWORD", "p@ss"),
        ];
        let environment = Environment::from_variables(variables);
        let proxies = of_variables(&environment, "https");
        let mut transport = Transport::new("v".to_owned(), &environment, Duration::from_secs(1));
        proxies.apply(&mut transport);
        assert_eq!(transport.proxy, Some("http://u:p%40ss@proxy.example:3128"));
        assert_eq!(transport.no_proxy, ["a.example", "b.example"]);
        transport.proxy = Some("off");
        proxies.apply(&mut transport);
        assert_eq!(transport.proxy, Some("off"));
        assert!(of_variables(&environment, "http").proxy.is_none());
        let own = Environment::from_variables([("AZURE_HTTPS_PROXY", "https://x:y@proxy.example"), variables[2]]);
        assert_eq!(of_variables(&own, "https").proxy.as_deref(), Some("https://x:y@proxy.example"));
    }
}
