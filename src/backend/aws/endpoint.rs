//! Where Secrets Manager is. Requests are signed and carry a session token, so without an `endpoint_url` nothing but
//! AWS's own domains can come out of a region.

use url::Url;

use super::options::REGION;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

/// The DNS suffix of each partition, by its regions' prefix, where it isn't `amazonaws.com`.
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// A fixed address, or the public one of whichever region.
pub struct Endpoint {
    fixed: Option<String>,
}

impl Endpoint {
    /// The option, then the variables that AWS's own clients know.
    pub fn choose(label: &str, settings: &Settings, environment: &Environment) -> Result<Self> {
        let ignored = |name| environment.text(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let variable = |name: &'static str| Some((name, set(environment, name)?));
        let variables = || {
            if ignored("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
                return None;
            }
            variable("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|| variable("AWS_ENDPOINT_URL"))
        };
        let Some((origin, text)) = settings.text("endpoint_url").map(|url| ("endpoint_url", url)).or_else(variables)
        else {
            return Ok(Self { fixed: None });
        };
        match parse(text) {
            Some(url) => Ok(Self { fixed: Some(url) }),
            None => Err(Error::new(
                Kind::Config,
                format!(
                    "{label}: {origin} is no URL of a server: give it as `https://host` or `http://host:port`, without \
                     user, query and fragment"
                ),
            )),
        }
    }

    /// The URL to post to.
    pub fn url(&self, region: &str) -> String {
        match &self.fixed {
            Some(url) => url.clone(),
            None => {
                let suffix = PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix));
                let suffix = suffix.map_or("amazonaws.com", |(_, suffix)| suffix);
                format!("https://secretsmanager.{region}.{suffix}/")
            }
        }
    }
}

/// As the HTTP client will write it: what is signed has to be what is sent.
fn parse(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    (plain && usable).then(|| url.into())
}

/// A region's name from wherever it came; it becomes part of a host name.
pub fn check_region(label: &str, origin: &str, region: &str) -> Result<()> {
    match regex_lite::Regex::new(REGION) {
        Ok(pattern) if pattern.is_match(region) => Ok(()),
        _ => Err(Error::new(
            Kind::Config,
            format!("{label}: the region from {origin} is no region's name: give it as `us-east-1`"),
        )),
    }
}

/// The region that the environment names, and by which variable.
pub fn environment_region(environment: &Environment) -> Option<(&'static str, &str)> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| Some((name, set(environment, name)?)))
}

/// A variable that is set to something.
pub fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    fn settings(url: Option<&str>) -> Settings {
        let mut settings = Settings::default();
        if let Some(url) = url {
            settings.set("endpoint_url", Value::Text(url.to_owned()));
        }
        settings
    }

    fn url(option: Option<&str>, environment: &[(&str, &str)]) -> String {
        let environment = Environment::of(environment.iter().copied());
        Endpoint::choose("aws vault (aws)", &settings(option), &environment).unwrap().url("eu-central-1")
    }

    #[test]
    fn every_partition_has_its_own_domain() {
        let endpoint = Endpoint { fixed: None };
        for (region, host) in [
            ("us-east-1", "secretsmanager.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "secretsmanager.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "secretsmanager.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "secretsmanager.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", "secretsmanager.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "secretsmanager.us-isob-east-1.sc2s.sgov.gov"),
            ("eu-isoe-west-1", "secretsmanager.eu-isoe-west-1.cloud.adc-e.uk"),
            ("us-isof-south-1", "secretsmanager.us-isof-south-1.csp.hci.ic.gov"),
        ] {
            check_region("", "a test", region).unwrap();
            assert_eq!(endpoint.url(region), format!("https://{host}/"));
        }
    }

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        for region in [
            "",
            "us-east-1.evil.example/",
            "us-east-1#",
            "us-east-1@evil",
            "US-EAST-1",
            "us-east-1\n",
            "us",
            "1",
            "-1",
            "us--1",
            "us-east-1-",
        ] {
            let error = check_region("aws vault (aws)", "AWS_REGION", region).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{region:?}");
            assert!(error.to_string().contains("AWS_REGION"));
        }
    }

    #[test]
    fn the_option_wins_over_the_variables_and_the_narrower_variable_over_the_wider() {
        let both = [
            ("AWS_ENDPOINT_URL", "http://wide.example"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://narrow.example"),
        ];
        assert_eq!(url(Some("https://Option.example:443/base"), &both), "https://option.example/base");
        assert_eq!(url(None, &both), "http://narrow.example/");
        assert_eq!(url(None, &both[..1]), "http://wide.example/");
        let ignored = [both[0], ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True")];
        assert_eq!(url(None, &ignored), "https://secretsmanager.eu-central-1.amazonaws.com/");
        assert_eq!(url(None, &[("AWS_ENDPOINT_URL", " ")]), "https://secretsmanager.eu-central-1.amazonaws.com/");
    }

    #[test]
    fn an_endpoint_is_a_plain_url_and_an_error_names_where_it_came_from() {
        for bad in ["ftp://x", "https://user:hunter2@x/", "https://x/?a=b", "https://x/#a", "x:1", "", "https://"] {
            let error = Endpoint::choose("aws vault (mine)", &settings(Some(bad)), &Environment::default())
                .err()
                .unwrap_or_else(|| panic!("{bad:?} passed"));
            let text = error.to_string();
            assert!(text.starts_with("aws vault (mine): endpoint_url is no URL"), "{text}");
            assert!(!text.contains("hunter2"));
        }
        let environment = Environment::of([("AWS_ENDPOINT_URL", "nonsense")]);
        let error = Endpoint::choose("aws vault (mine)", &settings(None), &environment).err().unwrap();
        assert!(error.to_string().contains("AWS_ENDPOINT_URL is no URL"));
    }
}
