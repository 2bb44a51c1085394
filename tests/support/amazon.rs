//! What stands in for the parts of AWS that no test server has: metadata services, containers' agents and IAM Identity
//! Center, which refuse what the real ones refuse; and an `aws` backend that lives as long as a worker's.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kong_vault::backend::{self, Backend, SecretId, Setup};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Result};
use kong_vault::options::settings::Settings;

use super::Fake;
use super::moto::{Moto, element};

/// A session's credentials.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub key: String,
    pub token: String,
}

impl Session {
    /// A role's, before the server checks who asks.
    pub async fn of_role(moto: &Moto, name: &str) -> Session {
        let arn = format!("arn:aws:iam::123456789012:role/{name}");
        let parameters = [("RoleArn", arn.as_str()), ("RoleSessionName", "test")];
        let xml = moto.query("sts", "2011-06-15", "AssumeRole", &parameters).await;
        let text = |name| element(&xml, name);
        Session { id: text("AccessKeyId"), key: text("SecretAccessKey"), token: text("SessionToken") }
    }

    /// As metadata services and agents write it.
    pub fn json(&self, lasts: Duration) -> String {
        let Session { id, key, token } = self;
        format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"{key}","Token":"{token}","Expiration":"{}"}}"#,
            rfc3339(SystemTime::now() + lasts)
        )
    }

    /// As a program writes it.
    pub fn of_process(&self, lasts: Duration) -> String {
        self.json(lasts).replace(r#""Code":"Success""#, r#""Version":1"#).replace("\"Token\"", "\"SessionToken\"")
    }

    /// As STS writes it.
    pub fn xml(&self, lasts: Duration) -> String {
        let Session { id, key, token } = self;
        format!(
            "<R><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{key}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials></R>",
            rfc3339(SystemTime::now() + lasts)
        )
    }
}

/// With milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).expect("after 1970");
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// The form of HTTP's `Date`.
pub fn http_date(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const WEEK: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (weekday, month) = (WEEK[(days % 7) as usize], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day of a day since 1970 (Gregorian).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The value of a header of a request.
pub fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// `GET /path`.
pub fn line(request: &str) -> &str {
    request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
}

/// An answer that announces that the connection is closed, as a client may otherwise use it for its next request.
fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    super::answer(status, &format!("{headers}connection: close\r\n"), body)
}

/// EC2's metadata service. With `v1` it knows no sessions, as an old one.
pub async fn metadata(session: Session, v1: bool) -> Fake {
    const TOKEN: &str = "hunter2-of-a-session";
    Fake::start(move |request| {
        let path = line(request);
        if path.starts_with("PUT ") {
            let ttl = header(request, "x-aws-ec2-metadata-token-ttl-seconds").and_then(|ttl| ttl.parse::<u32>().ok());
            return match (path, ttl) {
                _ if v1 => answer("404 Not Found", "", ""),
                ("PUT /latest/api/token", Some(1..=21_600)) => answer("200 OK", "", TOKEN),
                _ => answer("400 Bad Request", "", "hunter2"),
            };
        }
        if !v1 && header(request, "x-aws-ec2-metadata-token") != Some(TOKEN) {
            return answer("401 Unauthorized", "", "hunter2");
        }
        match path {
            "GET /latest/meta-data/iam/security-credentials/" => answer("200 OK", "", "gateway-role"),
            "GET /latest/meta-data/iam/security-credentials/gateway-role" => {
                answer("200 OK", "", &session.json(Duration::from_secs(3600)))
            }
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await
}

/// A container's agent, which gives credentials to whoever has the token.
pub async fn agent(session: Session, token: &'static str) -> Fake {
    Fake::start(move |request| match (line(request), header(request, "authorization")) {
        ("GET /v1/credentials", Some(given)) if given == token => {
            answer("200 OK", "", &session.json(Duration::from_secs(3600)))
        }
        ("GET /v1/credentials", Some(_)) => answer("403 Forbidden", "", "hunter2"),
        ("GET /v1/credentials", None) => answer("401 Unauthorized", "", "hunter2"),
        _ => answer("404 Not Found", "", ""),
    })
    .await
}

/// IAM Identity Center: the portal, and the service that renews tokens. `known`: the token that is good now.
pub async fn center(session: Session, known: Arc<Mutex<String>>) -> Fake {
    Fake::start(move |request| {
        let path = line(request);
        if path == "POST /token" {
            let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
            let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let right = asked["grantType"] == "refresh_token"
                && asked["refreshToken"] == "hunter2-refresh"
                && asked["clientId"] == "client"
                && asked["clientSecret"] == "hunter2-client";
            if !right {
                let body = r#"{"error":"invalid_grant","error_description":"hunter2"}"#;
                return answer("400 Bad Request", "x-amzn-errortype: InvalidGrantException\r\n", body);
            }
            *known.lock().unwrap() = "hunter2-renewed".to_owned();
            return answer("200 OK", "", r#"{"accessToken":"hunter2-renewed","expiresIn":3600,"tokenType":"Bearer"}"#);
        }
        if header(request, "x-amz-sso_bearer_token") != Some(known.lock().unwrap().as_str()) {
            return answer("401 Unauthorized", "x-amzn-errortype: UnauthorizedException\r\n", "{}");
        }
        if path != "GET /federation/credentials?role_name=reader&account_id=123456789012" {
            return answer("403 Forbidden", "x-amzn-errortype: ForbiddenException\r\n", "{}");
        }
        let ends = SystemTime::now() + Duration::from_secs(3600);
        let millis = ends.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let Session { id, key, token } = &session;
        let body = format!(
            r#"{{"roleCredentials":{{"accessKeyId":"{id}","secretAccessKey":"{key}","sessionToken":"{token}","expiration":{millis}}}}}"#
        );
        answer("200 OK", "", &body)
    })
    .await
}

/// An `aws` vault as a worker has it: it keeps what it knows from fetch to fetch.
pub fn build(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
    let descriptor = backend::registry::find("aws").expect("the backend");
    let mut settings = Settings::default();
    for option in descriptor.options {
        let given = options.iter().find(|(name, _)| option.is_called(name)).map(|(_, value)| *value);
        if let Some(text) = given.or(option.default) {
            settings.set(option.name, option.parse(text).expect("a value"));
        }
    }
    let setup = Setup {
        vault: "mine",
        settings: &settings,
        environment: &Environment::from_variables(environment.iter().copied()),
        timeout: Duration::from_secs(5),
        lasts: true,
    };
    (descriptor.build)(&setup).expect("a backend")
}

pub async fn fetch(vault: &Arc<dyn Backend>, name: &str) -> Result<String> {
    let fetched = vault.fetch(&SecretId { resource: name.to_owned(), version: None }).await?;
    Ok(fetched.document.as_str().expect("text").to_owned())
}

/// An error that holds no secret.
pub fn harmless(error: &Error) -> String {
    let text = error.to_string();
    assert!(!text.contains("hunter2") && !text.contains("123456789012") && !text.contains('\n'), "{text}");
    text
}
