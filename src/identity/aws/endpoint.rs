//! Where AWS's services are. Requests are signed and carry a session token. So unless the operator sets an address,
//! every region leads to one of AWS's own domains.

use url::Url;

use super::profile::Profile;
use super::region::{flag, set, truth};
use crate::error::{Error, Kind, Result};
use crate::http::Transport;

/// A partition of AWS: the prefix of its regions, its domain, and its domain for IPv6 beside IPv4.
struct Partition {
    prefix: &'static str,
    suffix: &'static str,
    dualstack: &'static str,
}

const fn partition(prefix: &'static str, suffix: &'static str, dualstack: &'static str) -> Partition {
    Partition { prefix, suffix, dualstack }
}

/// The last one is for regions that no other prefix fits.
const PARTITIONS: [Partition; 7] = [
    partition("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    partition("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    partition("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    partition("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    partition("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    partition("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    partition("", "amazonaws.com", "api.aws"),
];

/// A service of AWS: the first part of its host, and the variable and the key in a profile's `services` that set its
/// address.
pub struct AwsService {
    host: &'static str,
    variable: &'static str,
    key: &'static str,
}

const fn service(host: &'static str, variable: &'static str, key: &'static str) -> AwsService {
    AwsService { host, variable, key }
}

pub const SECRETS_MANAGER: AwsService =
    service("secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "secrets_manager");
pub const STS: AwsService = service("sts", "AWS_ENDPOINT_URL_STS", "sts");
pub const SSO: AwsService = service("portal.sso", "AWS_ENDPOINT_URL_SSO", "sso");
pub const SSO_OIDC: AwsService = service("oidc", "AWS_ENDPOINT_URL_SSO_OIDC", "sso_oidc");

/// Which of a service's public endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    pub fips: bool,
    pub dualstack: bool,
}

/// Where a service is: a fixed address and its origin, the profile's address, or the region's public one.
pub struct Endpoint {
    label: String,
    service: &'static AwsService,
    option: Option<FixedUrl>,
    variable: Option<FixedUrl>,
    /// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`; `None`: the profile decides.
    ignores: Option<bool>,
    /// Whether a CA bundle is set, or certificates are not verified. If not, the profile's `ca_bundle` would be needed.
    trusts: bool,
}

type FixedUrl = (&'static str, String);

/// Where a service is.
#[derive(Debug, PartialEq, Eq)]
pub struct Located {
    /// With a slash at its end.
    pub url: String,
    /// Which setting says so, where it is not the region.
    pub origin: Option<String>,
}

impl Endpoint {
    /// Takes the option, then the variables that AWS's own clients know. `locate` adds the profile.
    pub fn choose(
        transport: &Transport<'_>,
        service: &'static AwsService,
        option: Option<(&'static str, &str)>,
    ) -> Result<Self> {
        let (label, environment) = (&transport.label, transport.environment);
        let fixed = |(origin, text)| match parse(text) {
            Some(url) => Ok((origin, url)),
            None => Err(no_url(label, origin)),
        };
        let named = |name: &'static str| Some((name, set(environment, name)?));
        let ignores = flag(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        let variable = named(service.variable).or_else(|| named("AWS_ENDPOINT_URL"));
        let variable = variable.filter(|_| option.is_none() && ignores != Some(true));
        Ok(Self {
            label: label.clone(),
            service,
            option: option.map(fixed).transpose()?,
            variable: variable.map(fixed).transpose()?,
            ignores,
            trusts: transport.ca_cert.is_some() || !transport.verify,
        })
    }

    pub fn locate(&self, region: &str, variant: Variant, profile: &Profile) -> Result<Located> {
        let refused = |reason: String| Error::new(Kind::Config, format!("{}: {reason}", self.label));
        let located = match self.fixed(profile)? {
            // An address doesn't tell whether it is a FIPS endpoint, and guessing is not allowed.
            Some((origin, _)) if variant.fips => {
                return Err(refused(format!(
                    "FIPS endpoints are asked for, and {origin} sets another: leave out use_fips \
                     (AWS_USE_FIPS_ENDPOINT, use_fips_endpoint in the profile) and give a FIPS endpoint's URL, or leave \
                     out the URL"
                )));
            }
            Some((origin, url)) => Located { url, origin: Some(origin) },
            None => Located { url: self.service.public(region, variant), origin: None },
        };
        match profile.setting("ca_bundle") {
            Some((_, origin)) if !self.trusts && located.url.starts_with("https:") => Err(refused(format!(
                "{origin} is not used: name that file in AWS_CA_BUNDLE or ca_cert, or leave ca_bundle out"
            ))),
            _ => Ok(located),
        }
    }

    fn fixed(&self, profile: &Profile) -> Result<Option<(String, String)>> {
        if let Some((origin, url)) = &self.option {
            return Ok(Some(((*origin).to_owned(), url.clone())));
        }
        let of_profile = || truth(profile.property("ignore_configured_endpoint_urls")?);
        if self.ignores.or_else(of_profile) == Some(true) {
            return Ok(None);
        }
        if let Some((origin, url)) = &self.variable {
            return Ok(Some(((*origin).to_owned(), url.clone())));
        }
        let own = profile.endpoint(self.service.key);
        let own = own.map_err(|reason| Error::new(Kind::Config, format!("{}: {reason}", self.label)))?;
        own.map(|(text, origin)| match parse(text) {
            Some(url) => Ok((origin.to_owned(), url)),
            None => Err(no_url(&self.label, origin)),
        })
        .transpose()
    }
}

fn no_url(label: &str, origin: &str) -> Error {
    Error::new(
        Kind::Config,
        format!(
            "{label}: {origin} is no URL of a server: give it as `https://host` or `http://host:port`, without user, query \
             and fragment"
        ),
    )
}

impl AwsService {
    fn public(&self, region: &str, variant: Variant) -> String {
        let Variant { fips, mut dualstack } = variant;
        let [others @ .., usual] = &PARTITIONS;
        let partition = others.iter().find(|other| region.starts_with(other.prefix)).unwrap_or(usual);
        if self.host == SECRETS_MANAGER.host {
            // Its usual hosts have addresses of both kinds already.
            dualstack &= !partition.prefix.is_empty() && (fips || partition.prefix != "cn-");
        }
        let is_fips_already = region.starts_with("us-gov-") && !dualstack && self.host != SECRETS_MANAGER.host;
        let mark = if fips && !is_fips_already { "-fips" } else { "" };
        let suffix = if dualstack { partition.dualstack } else { partition.suffix };
        format!("https://{}{mark}.{region}.{suffix}/", self.host)
    }
}

/// The URL as the HTTP client writes it: the signature must match what is sent.
fn parse(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    (plain && usable).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    fn url(option: Option<&str>, environment: &[(&str, &str)], variant: Variant) -> Result<String> {
        let environment = Environment::from_variables(environment.iter().copied());
        let transport = Transport::new("aws vault (mine)".to_owned(), &environment, std::time::Duration::from_secs(1));
        let option = option.map(|url| ("endpoint_url", url));
        let endpoint = Endpoint::choose(&transport, &SECRETS_MANAGER, option)?;
        Ok(endpoint.locate("eu-central-1", variant, &Profile::default())?.url)
    }

    fn usual(option: Option<&str>, environment: &[(&str, &str)]) -> String {
        url(option, environment, Variant::default()).unwrap()
    }

    /// The hosts are what botocore returns.
    #[test]
    fn every_partition_and_variant_has_its_own_host() {
        let (plain, fips) = (Variant::default(), Variant { fips: true, dualstack: false });
        let (dual, both) = (Variant { fips: false, dualstack: true }, Variant { fips: true, dualstack: true });
        for (service, region, variant, host) in [
            (&SECRETS_MANAGER, "us-east-1", plain, "secretsmanager.us-east-1.amazonaws.com"),
            (&SECRETS_MANAGER, "us-east-1", dual, "secretsmanager.us-east-1.amazonaws.com"),
            (&SECRETS_MANAGER, "us-east-1", fips, "secretsmanager-fips.us-east-1.amazonaws.com"),
            (&SECRETS_MANAGER, "us-east-1", both, "secretsmanager-fips.us-east-1.amazonaws.com"),
            (&SECRETS_MANAGER, "us-gov-west-1", fips, "secretsmanager-fips.us-gov-west-1.amazonaws.com"),
            (&SECRETS_MANAGER, "us-gov-west-1", both, "secretsmanager-fips.us-gov-west-1.amazonaws.com"),
            (&SECRETS_MANAGER, "cn-north-1", plain, "secretsmanager.cn-north-1.amazonaws.com.cn"),
            (&SECRETS_MANAGER, "cn-north-1", dual, "secretsmanager.cn-north-1.amazonaws.com.cn"),
            (&SECRETS_MANAGER, "cn-north-1", both, "secretsmanager-fips.cn-north-1.api.amazonwebservices.com.cn"),
            (&SECRETS_MANAGER, "eusc-de-east-1", plain, "secretsmanager.eusc-de-east-1.amazonaws.eu"),
            (&SECRETS_MANAGER, "eusc-de-east-1", dual, "secretsmanager.eusc-de-east-1.api.amazonwebservices.eu"),
            (&SECRETS_MANAGER, "us-iso-east-1", plain, "secretsmanager.us-iso-east-1.c2s.ic.gov"),
            (&SECRETS_MANAGER, "us-isob-east-1", plain, "secretsmanager.us-isob-east-1.sc2s.sgov.gov"),
            (&SECRETS_MANAGER, "us-isob-east-1", both, "secretsmanager-fips.us-isob-east-1.api.aws.scloud"),
            (&SECRETS_MANAGER, "eu-isoe-west-1", plain, "secretsmanager.eu-isoe-west-1.cloud.adc-e.uk"),
            (&SECRETS_MANAGER, "us-isof-south-1", plain, "secretsmanager.us-isof-south-1.csp.hci.ic.gov"),
            (&STS, "us-east-1", plain, "sts.us-east-1.amazonaws.com"),
            (&STS, "us-east-1", dual, "sts.us-east-1.api.aws"),
            (&STS, "us-east-1", fips, "sts-fips.us-east-1.amazonaws.com"),
            (&STS, "us-east-1", both, "sts-fips.us-east-1.api.aws"),
            (&STS, "us-gov-west-1", fips, "sts.us-gov-west-1.amazonaws.com"),
            (&STS, "us-gov-west-1", both, "sts-fips.us-gov-west-1.api.aws"),
            (&STS, "cn-north-1", dual, "sts.cn-north-1.api.amazonwebservices.com.cn"),
            (&STS, "us-isof-south-1", dual, "sts.us-isof-south-1.api.aws.hci.ic.gov"),
            (&SSO, "eu-central-1", plain, "portal.sso.eu-central-1.amazonaws.com"),
            (&SSO, "eu-central-1", both, "portal.sso-fips.eu-central-1.api.aws"),
            (&SSO, "us-gov-east-1", fips, "portal.sso.us-gov-east-1.amazonaws.com"),
            (&SSO_OIDC, "eu-central-1", plain, "oidc.eu-central-1.amazonaws.com"),
            (&SSO_OIDC, "eu-central-1", fips, "oidc-fips.eu-central-1.amazonaws.com"),
            (&SSO_OIDC, "cn-north-1", both, "oidc-fips.cn-north-1.api.amazonwebservices.com.cn"),
        ] {
            assert_eq!(service.public(region, variant), format!("https://{host}/"), "{variant:?}");
        }
    }

    #[test]
    fn the_option_wins_over_the_variables_and_the_narrower_variable_over_the_wider() {
        let both = [
            ("AWS_ENDPOINT_URL", "http://wide.example"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://narrow.example"),
            ("AWS_ENDPOINT_URL_STS", "http://other.example"),
        ];
        assert_eq!(usual(Some("https://Option.example:443/base"), &both), "https://option.example/base");
        assert_eq!(usual(None, &both), "http://narrow.example/");
        assert_eq!(usual(None, &both[..1]), "http://wide.example/");
        let ignored = [both[0], ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True")];
        assert_eq!(usual(None, &ignored), "https://secretsmanager.eu-central-1.amazonaws.com/");
        assert_eq!(usual(None, &[("AWS_ENDPOINT_URL", " ")]), "https://secretsmanager.eu-central-1.amazonaws.com/");
    }

    #[test]
    fn a_fixed_address_and_fips_contradict_each_other() {
        let fips = Variant { fips: true, dualstack: false };
        let error = url(Some("https://vpce.example"), &[], fips).unwrap_err();
        assert!(error.to_string().contains("FIPS endpoints are asked for, and endpoint_url sets another"), "{error}");
        let dual = Variant { fips: false, dualstack: true };
        assert_eq!(url(Some("https://vpce.example"), &[], dual).unwrap(), "https://vpce.example/");
    }

    #[test]
    fn an_endpoint_is_a_plain_url_and_an_error_names_where_it_came_from() {
        for bad in ["ftp://x", "https://user:hunter2@x/", "https://x/?a=b", "https://x/#a", "x:1", "", "https://"] {
            let text = url(Some(bad), &[], Variant::default()).err().unwrap_or_else(|| panic!("{bad:?} passed"));
            let text = text.to_string();
            assert!(text.starts_with("aws vault (mine): endpoint_url is no URL"), "{text}");
            assert!(!text.contains("hunter2"));
        }
        let error = url(None, &[("AWS_ENDPOINT_URL", "nonsense")], Variant::default()).unwrap_err();
        assert!(error.to_string().contains("AWS_ENDPOINT_URL is no URL"));
    }
}
