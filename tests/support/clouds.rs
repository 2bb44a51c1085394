//! What the clouds have on each machine, as their vendors publish it, and a vault whose methods take their proofs. They
//! refuse what the real ones refuse.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::login::now;
use super::{Fake, answer};

/// A request as the fakes look at it.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: String,
    pub query: Vec<(String, String)>,
    head: &'a str,
    pub body: &'a str,
}

impl<'a> Asked<'a> {
    pub fn of(request: &'a str) -> Asked<'a> {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Asked { method, path: path.to_owned(), query, head, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn has(&self, name: &str, value: &str) -> bool {
        self.query.iter().any(|(n, v)| n == name && v == value)
    }
}

/// JSON with escapes that nothing makes necessary, as servers may write it.
pub fn escaped(json: &Value) -> String {
    json.to_string().replace('.', "\\u002e").replace('/', "\\/")
}

/// Google's metadata server: only who says `Metadata-Flavor: Google` is answered, and nobody who was forwarded.
pub async fn gce() -> Fake {
    Fake::start(|request| {
        let asked = Asked::of(request);
        let flavor = "Metadata-Flavor: Google\r\nContent-Type: application/text\r\n";
        let of_json = "Metadata-Flavor: Google\r\nContent-Type: application/json\r\n";
        if asked.header("metadata-flavor") != Some("Google") || asked.header("x-forwarded-for").is_some() {
            return answer("403 Forbidden", flavor, "s3cret");
        }
        let email = "machine@p.iam.gserviceaccount.com";
        let account = asked.path.strip_prefix("/computeMetadata/v1/instance/service-accounts/");
        let of_account = account.and_then(|path| path.split_once('/'));
        let of_account = of_account.filter(|(name, _)| *name == "default" || *name == email).map(|(_, rest)| rest);
        match (asked.method, of_account) {
            ("GET", Some("")) if asked.has("recursive", "true") => {
                let account = json!({"aliases": ["default"], "email": email,
                    "scopes": ["https://www.googleapis.com/auth/cloud-platform"]});
                answer("200 OK", of_json, &account.to_string())
            }
            ("GET", Some("identity")) => {
                let Some((_, audience)) = asked.query.iter().find(|(name, _)| name == "audience") else {
                    return answer("400 Bad Request", flavor, "non-empty audience parameter required");
                };
                let full = asked.has("format", "full");
                answer("200 OK", flavor, &unsigned(&json!({"aud": audience, "exp": now() + 3600, "full": full})))
            }
            ("GET", Some("email")) => answer("200 OK", flavor, email),
            ("GET", Some("token")) => {
                let token = json!({"access_token": "ya29.s3cret", "expires_in": 3599, "token_type": "Bearer"});
                answer("200 OK", of_json, &escaped(&token))
            }
            _ => answer("404 Not Found", flavor, "s3cret"),
        }
    })
    .await
}

/// Google's API that signs for a service account, for whoever may.
pub async fn iam_credentials() -> Fake {
    Fake::start(|request| {
        let asked = Asked::of(request);
        if asked.header("authorization") != Some("Bearer ya29.s3cret") {
            return answer("401 Unauthorized", "", r#"{"error":{"code":401,"message":"s3cret"}}"#);
        }
        // Its own clients encode the `@`.
        let path = asked.path.replace("%40", "@");
        if (asked.method, path.as_str())
            != ("POST", "/v1/projects/-/serviceAccounts/gateway@p.iam.gserviceaccount.com:signJwt")
        {
            return answer("403 Forbidden", "", r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#);
        }
        let body: Value = serde_json::from_str(asked.body).unwrap_or_default();
        let claims: Value = serde_json::from_str(body["payload"].as_str().unwrap_or_default()).unwrap_or_default();
        answer("200 OK", "", &json!({"keyId": "1", "signedJwt": unsigned(&claims)}).to_string())
    })
    .await
}

/// Azure's instance metadata service: only who says `Metadata: true` is answered.
pub async fn azure() -> Fake {
    Fake::start(|request| {
        let asked = Asked::of(request);
        if asked.header("metadata") != Some("true") || asked.header("x-forwarded-for").is_some() {
            return answer("400 Bad Request", "", r#"{"error":"invalid_request","error_description":"s3cret"}"#);
        }
        match asked.path.as_str() {
            "/metadata/identity/oauth2/token" if !asked.has("api-version", "2018-02-01") => {
                answer("400 Bad Request", "", "{}")
            }
            "/metadata/identity/oauth2/token" => identity(&asked, "expires_in", 3599),
            "/metadata/instance" if asked.query.iter().any(|(name, _)| name == "api-version") => {
                let compute = json!({"name": "vm7", "resourceGroupName": "group", "subscriptionId": "sub-1",
                    "vmScaleSetName": ""});
                answer("200 OK", "", &json!({"compute": compute, "network": {}}).to_string())
            }
            _ => answer("404 Not Found", "", "{}"),
        }
    })
    .await
}

/// App Service's endpoint, which knows its application by a secret.
pub async fn app_service() -> Fake {
    Fake::start(|request| {
        let asked = Asked::of(request);
        if asked.header("x-identity-header") != Some("app-s3cret") || !asked.has("api-version", "2019-08-01") {
            return answer("401 Unauthorized", "", "{}");
        }
        // It says only when the token ends.
        identity(&asked, "expires_on", now() + 3599)
    })
    .await
}

fn identity(asked: &Asked<'_>, life: &str, seconds: u64) -> Vec<u8> {
    let resource = asked.query.iter().find(|(name, _)| name == "resource").map(|(_, value)| value.as_str());
    match resource {
        None => answer("400 Bad Request", "", r#"{"error":"invalid_request"}"#),
        Some(_) if asked.has("client_id", "unknown") => {
            answer("400 Bad Request", "", r#"{"error":"invalid_request","error_description":"Identity not found"}"#)
        }
        Some(resource) => {
            let token = unsigned(&json!({"aud": resource, "exp": now() + 3600}));
            let life = (life, seconds.to_string());
            let given = json!({"access_token": token, life.0: life.1, "resource": resource, "token_type": "Bearer"});
            answer("200 OK", "", &escaped(&given))
        }
    }
}

/// EC2's metadata service: a session first, by PUT and with a time; then only with the session's token.
pub async fn ec2() -> Fake {
    Fake::start(|request| {
        let asked = Asked::of(request);
        if asked.path == "/latest/api/token" {
            let ttl = asked.header("x-aws-ec2-metadata-token-ttl-seconds").and_then(|ttl| ttl.parse::<u32>().ok());
            return match (asked.method, ttl) {
                ("PUT", Some(1..=21600)) if asked.header("x-forwarded-for").is_none() => {
                    answer("200 OK", "", "AQAEs3cret==")
                }
                ("PUT", _) => answer("400 Bad Request", "", ""),
                _ => answer("405 Method Not Allowed", "", ""),
            };
        }
        if asked.header("x-aws-ec2-metadata-token") != Some("AQAEs3cret==") {
            return answer("401 Unauthorized", "", "");
        }
        match asked.path.as_str() {
            "/latest/dynamic/instance-identity/pkcs7" => answer("200 OK", "", "MIAGCSqG\nSIb3DQEH\n"),
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await
}

/// A vault with one method, which takes a login's body or says why not; what it gives may read `secret/hello`.
pub async fn vault(login: &'static str, takes: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static) -> Fake {
    Fake::start(move |request| {
        let asked = Asked::of(request);
        let value = r#"{"data":{"foo":"bar"}}"#;
        match (asked.method, asked.path.as_str()) {
            ("POST", path) if path == login => {
                let body = serde_json::from_str(asked.body).unwrap_or_default();
                match takes(&body) {
                    Ok(()) => {
                        let auth = json!({"client_token": "hvs.T0p", "lease_duration": 3600, "renewable": true});
                        answer("200 OK", "", &escaped(&json!({"auth": auth})))
                    }
                    // The real one's words are as free as these.
                    Err(reason) => {
                        answer("400 Bad Request", "", &json!({"errors": [format!("s3cret {reason}")]}).to_string())
                    }
                }
            }
            ("GET", "/v1/secret/hello") if asked.header("x-vault-token") == Some("hvs.T0p") => {
                answer("200 OK", "", value)
            }
            _ => answer("403 Forbidden", "", r#"{"errors":["permission denied"]}"#),
        }
    })
    .await
}

/// A JWT that nobody signed: its signature says where it is from.
fn unsigned(claims: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"none"}"#), part(&claims.to_string()), part("fake"))
}

/// The claims of a JWT.
pub fn claims(jwt: &str) -> Value {
    let claims = jwt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default()
}

/// What base64 stands for.
pub fn decoded(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
