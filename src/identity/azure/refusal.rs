//! What Entra ID's refusals mean. Its own descriptions are never passed on, as they quote ids; its codes are, and only hint at
//! what to do: Microsoft may change them.

use serde::Deserialize;

use crate::error::Kind;
use crate::http::HttpResponse;
use crate::identity::clock::Clock;
use crate::identity::oauth;

/// What an application was proved by.
pub struct Proved<'a> {
    /// What to look at, ahead of `origin`.
    pub remedy: &'static str,
    /// Where the proof stands.
    pub origin: &'a str,
    pub clock: &'a Clock,
}

/// An answer that is no success.
pub struct Refusal {
    /// OAuth's code, where it is a known one.
    code: Option<&'static str>,
    /// Entra's own numbers, such as 7000215 for `AADSTS7000215`.
    numbers: Vec<u64>,
}

#[derive(Deserialize)]
struct Numbers {
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl Refusal {
    pub fn of(answer: &HttpResponse) -> Self {
        let body = answer.body.as_bytes();
        let numbers = serde_json::from_slice::<Numbers>(body).map(|it| it.error_codes).unwrap_or_default();
        Self { code: oauth::code(body), numbers }
    }

    /// Whether the assertion's time isn't Entra's.
    pub fn is_of_time(&self) -> bool {
        self.numbers.contains(&700_024)
    }

    /// ` (status 401, AADSTS7000215)`.
    fn mark(&self, status: u16) -> String {
        match (self.numbers.first(), self.code) {
            (Some(number), _) => format!(" (status {status}, AADSTS{number})"),
            (None, Some(code)) => format!(" (status {status}, {code})"),
            (None, None) => format!(" (status {status})"),
        }
    }
}

/// What it means and what to do about it.
pub fn reason(refused: &Refusal, status: u16, proved: &Proved<'_>) -> (Kind, String) {
    let mark = refused.mark(status);
    match status {
        429 => return (Kind::Throttled, format!("too many logins: have fewer machines log in at once, or wait{mark}")),
        500.. => return (Kind::Unavailable, format!("it failed: try again{mark}")),
        300..=399 => {
            return (
                Kind::Invalid,
                format!("it redirects elsewhere, which is never followed: check AZURE_AUTHORITY_HOST{mark}"),
            );
        }
        _ => {}
    }
    let hint = refused.numbers.iter().find_map(|number| hint(*number, proved));
    let hint = hint.unwrap_or_else(|| match refused.code {
        Some("invalid_client" | "invalid_grant") => format!("{} {}", proved.remedy, proved.origin),
        Some("unauthorized_client") => "check `client_id` and `tenant_id`".to_owned(),
        Some("invalid_scope" | "invalid_target") => "check `resource`".to_owned(),
        None if refused.numbers.is_empty() => {
            "the answer is not one of Entra ID: check AZURE_AUTHORITY_HOST".to_owned()
        }
        _ => "check `tenant_id`, `client_id` and the application's credentials".to_owned(),
    });
    (Kind::Denied, format!("the login is refused: {hint}{mark}"))
}

fn hint(number: u64, proved: &Proved<'_>) -> Option<String> {
    let Proved { origin, clock, .. } = proved;
    Some(match number {
        7_000_215 => format!("the client secret in {origin} is wrong: copy the secret's value, not its id"),
        7_000_222 => format!("the client secret in {origin} has expired: make a new one for the application"),
        7_000_216 | 7_000_218 => "the application wants another proof: check its secrets and certificates".to_owned(),
        700_027 => {
            format!(
                "the certificate in {origin} is not registered for the application, or its key is another: upload it"
            )
        }
        700_024 => {
            format!("the time of the assertion is not Entra ID's: correct this machine's clock{}", clock.flaw())
        }
        70_021 | 700_211 | 700_212 | 700_213 => format!(
            "no federated credential of the application fits the token in {origin}: compare its issuer, subject and \
             audience (`api://AzureADTokenExchange`) with the token's"
        ),
        700_016 => "the tenant has no such application: check `client_id` and `tenant_id`".to_owned(),
        90_002 | 900_023 => {
            "there is no such tenant: check `tenant_id`, and AZURE_AUTHORITY_HOST for another cloud".to_owned()
        }
        500_011 => "the tenant knows nobody for whom the token is wanted: check `resource`".to_owned(),
        53_003 => {
            "a conditional access policy blocks it: have the tenant's administrator allow this application".to_owned()
        }
        7_000_112 | 7_000_229 => {
            "the application is disabled, or has no principal in the tenant: enable it there".to_owned()
        }
        _ => return None,
    })
}
