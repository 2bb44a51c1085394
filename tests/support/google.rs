//! What stands in for Google Cloud: Secret Manager's REST API, the token endpoint, STS, the IAM Credentials API and the
//! metadata server, as Google publishes them. They refuse what the real ones refuse; `proofs/` has Google's own clients
//! use them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::amazon::{http_date, rfc3339};
use super::answer;
use super::clouds::Asked;
use super::login::{Signer, now};

pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TO_IMPERSONATE: &str = "https://www.googleapis.com/auth/iam";
pub const EMAIL: &str = "gateway@p.iam.gserviceaccount.com";
pub const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/w/providers/k";
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A version of a secret: its state and its bytes.
type Version = (&'static str, &'static [u8]);

pub struct World {
    /// By path from `projects/` on, without the version: by number.
    pub secrets: HashMap<String, Vec<Version>>,
    pub aliases: HashMap<&'static str, usize>,
    /// Tokens that are good, until when, and whose.
    tokens: HashMap<String, (SystemTime, String)>,
    pub life: Duration,
    /// How many tokens were given, by whom.
    pub given: HashMap<&'static str, usize>,
    /// Each request's first line, and the one header of it that matters besides.
    pub asked: Vec<String>,
    /// Whether what a key signs is taken without an exchange.
    pub takes_self_signed: bool,
    /// Whom an account lets stand for itself: the next one, and who may.
    pub may_stand_for: HashMap<String, Vec<String>>,
    /// What the clock of Google is ahead of this one's.
    pub ahead: Duration,
    /// What the next answers to reads are, in place of the usual ones.
    pub next: Vec<Vec<u8>>,
    pub universe: Option<&'static str>,
    pub checksum: Option<&'static str>,
    pub subject: &'static str,
    /// What a subject token that is made of AWS credentials signs.
    pub signed_headers: String,
}

pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl World {
    pub fn new() -> World {
        let db: Vec<Version> =
            vec![("ENABLED", b"one"), ("ENABLED", b"{\"user\":\"two\"}"), ("DISABLED", b"three"), ("DESTROYED", b"")];
        let known = [
            ("projects/p/secrets/db", db.clone()),
            ("projects/p/secrets/good", db[..2].to_vec()),
            ("projects/other/secrets/good", vec![("ENABLED", &b"of another"[..])]),
            ("projects/p/secrets/binary", vec![("ENABLED", &b"\x00\xff"[..])]),
            ("projects/p/secrets/empty", vec![("ENABLED", &b""[..])]),
            ("projects/p/locations/europe-west3/secrets/good", vec![("ENABLED", &b"regional"[..])]),
        ];
        World {
            secrets: known.map(|(name, versions)| (name.to_owned(), versions)).into_iter().collect(),
            aliases: HashMap::from([("prod", 1)]),
            tokens: HashMap::new(),
            life: Duration::from_secs(3599),
            given: HashMap::new(),
            asked: Vec::new(),
            takes_self_signed: true,
            may_stand_for: HashMap::new(),
            ahead: Duration::ZERO,
            next: Vec::new(),
            universe: Some("googleapis.com"),
            checksum: None,
            subject: "eyJ.subject.sig",
            signed_headers: String::new(),
        }
    }

    fn now(&self) -> u64 {
        now() + self.ahead.as_secs()
    }

    pub fn revoke(&mut self) {
        self.tokens.clear();
    }

    fn give(&mut self, by: &'static str, whose: &str) -> String {
        let count = self.given.entry(by).or_default();
        *count += 1;
        let token = format!("ya29.hunter2-{by}-{count}");
        self.tokens.insert(token.clone(), (SystemTime::now() + self.life, whose.to_owned()));
        token
    }

    /// Whose token a request carries, or what is wrong with it.
    fn whose(&self, asked: &Asked<'_>, key: &Signer) -> std::result::Result<String, &'static str> {
        let token = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let token = token.ok_or("CREDENTIALS_MISSING")?;
        if token.split('.').count() == 3 {
            if !self.takes_self_signed {
                return Err("ACCESS_TOKEN_TYPE_UNSUPPORTED");
            }
            key.verify(token, "k1").map_err(|_| "JWT_TOKEN_INVALID")?;
            let claims = claims(token);
            let is_for_us = claims["aud"] == "https://secretmanager.googleapis.com/" && claims["scope"].is_null();
            let has_scope = claims["scope"] == SCOPE && claims["aud"].is_null();
            let is_own = claims["iss"] == EMAIL && claims["sub"] == EMAIL;
            return match is_own && (is_for_us || has_scope) && self.is_timely(&claims) {
                true => Ok(EMAIL.to_owned()),
                false => Err("JWT_TOKEN_INVALID"),
            };
        }
        match self.tokens.get(token) {
            Some((until, whose)) if *until > SystemTime::now() => Ok(whose.clone()),
            Some(_) => Err("ACCESS_TOKEN_EXPIRED"),
            None => Err(""),
        }
    }

    fn is_timely(&self, claims: &Value) -> bool {
        let (issued, ends) = (claims["iat"].as_u64().unwrap_or(u64::MAX), claims["exp"].as_u64().unwrap_or_default());
        let now = self.now();
        issued <= now + 60 && ends > now && ends.saturating_sub(issued) <= 3600
    }

    pub fn answer(&mut self, asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        let path = asked.path.as_str();
        match (asked.method, path) {
            ("POST", "/token") => self.token(&form(asked.body), key),
            ("POST", "/v1/token") => self.exchange(&form(asked.body)),
            ("POST", _) if path.ends_with(":generateAccessToken") => self.generate(asked, key),
            ("POST", _) if path.ends_with(":signJwt") => self.sign_jwt(asked, key),
            ("GET", "/") => answer("200 OK", "Metadata-Flavor: Google\r\n", "computeMetadata/\n"),
            ("GET", _) if path.starts_with("/computeMetadata/v1/") => self.metadata(asked),
            ("GET", "/subject") if asked.header("metadata") == Some("hunter2-header") => {
                answer("200 OK", "", &json!({ "access_token": self.subject }).to_string())
            }
            ("GET", "/subject") => answer("403 Forbidden", "", "hunter2"),
            ("GET", _) if path.starts_with("/v1/projects/") => self.access(asked, key),
            _ => answer("404 Not Found", "content-type: text/html\r\n", "<html>hunter2</html>"),
        }
    }

    /// The token endpoint.
    fn token(&mut self, form: &HashMap<String, String>, key: &Signer) -> Vec<u8> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let refuse = |code: &str, why: &str| oauth("400 Bad Request", code, why);
        let whose = match of("grant_type") {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                let claims = claims(of("assertion"));
                if key.verify(of("assertion"), "k1").is_err() {
                    return refuse("invalid_grant", "Invalid JWT Signature.");
                }
                if claims["aud"] != "https://oauth2.googleapis.com/token" || !is_scope(claims["scope"].as_str()) {
                    return refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
                }
                if !self.is_timely(&claims) {
                    let why =
                        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
                    return refuse("invalid_grant", why);
                }
                if claims["iss"] != EMAIL {
                    return refuse("invalid_grant", "Invalid grant: account not found");
                }
                EMAIL
            }
            "refresh_token" if of("client_id") == "c" && of("client_secret") == "hunter2-client" => {
                if of("refresh_token") != "hunter2-refresh" {
                    return refuse("invalid_grant", "Token has been expired or revoked.");
                }
                "user"
            }
            "refresh_token" => return oauth("401 Unauthorized", "invalid_client", "The OAuth client was not found."),
            _ => return refuse("unsupported_grant_type", "hunter2"),
        };
        let token = self.give("token", whose);
        let life = self.life.as_secs();
        let body = json!({"access_token": token, "expires_in": life, "token_type": "Bearer"});
        answer("200 OK", &date(self.ahead), &body.to_string())
    }

    /// STS.
    fn exchange(&mut self, form: &HashMap<String, String>) -> Vec<u8> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let refuse = |code: &str| oauth("400 Bad Request", code, "hunter2");
        if of("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange"
            || of("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token"
            || !is_scope(form.get("scope").map(String::as_str))
        {
            return refuse("invalid_request");
        }
        if of("audience") != POOL {
            return refuse("invalid_target");
        }
        let is_known = match of("subject_token_type") {
            JWT => of("subject_token") == self.subject,
            "urn:ietf:params:aws:token-type:aws4_request" => {
                let signed = signed_by_caller(of("subject_token"));
                self.signed_headers = signed.clone().unwrap_or_default();
                signed.is_some()
            }
            _ => false,
        };
        if !is_known {
            return refuse("invalid_grant");
        }
        let token = self.give("sts", "principal");
        // Google writes a number; others who speak the protocol a text.
        let body = json!({"access_token": token, "expires_in": self.life.as_secs().to_string(), "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
        answer("200 OK", "", &body.to_string())
    }

    /// The IAM Credentials API.
    fn generate(&mut self, asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        let whose = match self.whose(asked, key) {
            Ok(whose) => whose,
            Err(reason) => return refusal(401, "UNAUTHENTICATED", "hunter2", reason, ""),
        };
        let name = asked.path.strip_prefix("/v1/projects/-/serviceAccounts/").unwrap_or_default();
        let target = name.trim_end_matches(":generateAccessToken");
        let body: Value = serde_json::from_str(asked.body).unwrap_or_default();
        let seconds = body["lifetime"].as_str().and_then(|text| text.strip_suffix('s')?.parse::<u64>().ok());
        if body["scope"] != json!([SCOPE]) || !seconds.is_some_and(|seconds| (1..=3600).contains(&seconds)) {
            return refusal(400, "INVALID_ARGUMENT", "hunter2", "", "");
        }
        let delegates: Vec<_> = body["delegates"].as_array().cloned().unwrap_or_default();
        let between = delegates.iter().map(|delegate| {
            delegate.as_str().unwrap_or_default().trim_start_matches("projects/-/serviceAccounts/").to_owned()
        });
        let way: Vec<String> = [whose].into_iter().chain(between).chain([target.to_owned()]).collect();
        let may = |pair: &[String]| self.may_stand_for.get(&pair[1]).is_some_and(|who| who.contains(&pair[0]));
        if !way.windows(2).all(may) {
            let message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
            return refusal(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED", "");
        }
        let token = self.give("iam", target);
        let ends = rfc3339(SystemTime::now() + self.life)[..19].to_owned() + "Z";
        answer("200 OK", "", &json!({"accessToken": token, "expireTime": ends}).to_string())
    }

    /// The same API, signing for an account.
    fn sign_jwt(&mut self, asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        let account = asked.path.rsplit('/').next().unwrap_or_default().trim_end_matches(":signJwt");
        let body: Value = serde_json::from_str(asked.body).unwrap_or_default();
        let claims = body["payload"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        match (self.whose(asked, key), claims) {
            (Err(reason), _) => refusal(401, "UNAUTHENTICATED", "hunter2", reason, ""),
            (Ok(whose), Some(claims)) if self.may_stand_for.get(account).is_some_and(|who| who.contains(&whose)) => {
                answer("200 OK", "", &json!({"keyId": "k1", "signedJwt": key.sign(&claims)}).to_string())
            }
            _ => refusal(403, "PERMISSION_DENIED", "hunter2", "IAM_PERMISSION_DENIED", ""),
        }
    }

    /// The metadata server: only who says `Metadata-Flavor: Google` is answered, and nobody who was forwarded.
    fn metadata(&mut self, asked: &Asked<'_>) -> Vec<u8> {
        let flavor = "Metadata-Flavor: Google\r\nContent-Type: application/text\r\n";
        let in_json = "Metadata-Flavor: Google\r\nContent-Type: application/json\r\n";
        if asked.header("metadata-flavor") != Some("Google") || asked.header("x-forwarded-for").is_some() {
            return answer("403 Forbidden", flavor, "hunter2");
        }
        match asked.path.trim_start_matches("/computeMetadata/v1/") {
            "instance/service-accounts/default/token" => {
                let token = self.give("metadata", "machine");
                let body = json!({"access_token": token, "expires_in": self.life.as_secs(), "token_type": "Bearer"});
                answer("200 OK", in_json, &body.to_string())
            }
            "" => answer("200 OK", flavor, "instance/\nproject/\n"),
            "instance/service-accounts/default/" if asked.has("recursive", "true") => {
                let account =
                    json!({"aliases": ["default"], "email": "machine@p.iam.gserviceaccount.com", "scopes": [SCOPE]});
                answer("200 OK", in_json, &account.to_string())
            }
            "instance/service-accounts/default/email" => answer("200 OK", flavor, "machine@p.iam.gserviceaccount.com"),
            "project/project-id" => answer("200 OK", flavor, "p"),
            "universe/universe-domain" if self.universe.is_some() => {
                answer("200 OK", flavor, self.universe.unwrap_or_default())
            }
            _ => answer("404 Not Found", flavor, "hunter2"),
        }
    }

    /// Secret Manager.
    fn access(&mut self, asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        if let Some(next) = self.next.pop() {
            return next;
        }
        let whose = match self.whose(asked, key) {
            Ok(whose) => whose,
            Err(reason) => return refusal(401, "UNAUTHENTICATED", "hunter2", reason, &date(self.ahead)),
        };
        let path = asked.path.trim_start_matches("/v1/");
        let Some((name, version)) = path.strip_suffix(":access").and_then(|path| path.split_once("/versions/")) else {
            return answer("404 Not Found", "content-type: text/html\r\n", "<html>hunter2</html>");
        };
        if name.ends_with("/denied") || whose == "nobody" {
            let message = "Permission 'secretmanager.versions.access' denied for resource (or it may not exist).";
            return refusal(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED", "");
        }
        let Some(versions) = self.secrets.get(name) else {
            let message = format!("Secret [{name}] not found or has no versions.");
            return refusal(404, "NOT_FOUND", &message, "", "");
        };
        let number = match version {
            "latest" => versions.len(),
            alias if self.aliases.contains_key(alias) => self.aliases[alias],
            number => match number.parse::<usize>() {
                Ok(number) => number,
                Err(_) => return refusal(400, "INVALID_ARGUMENT", "hunter2", "", ""),
            },
        };
        match number.checked_sub(1).and_then(|at| versions.get(at)) {
            None => refusal(404, "NOT_FOUND", &format!("Secret Version [{name}/versions/{number}] not found."), "", ""),
            Some(("ENABLED", data)) => {
                let checksum = self.checksum.map_or_else(|| crc32c(data).to_string(), str::to_owned);
                let mut payload = json!({ "dataCrc32c": checksum });
                if !data.is_empty() {
                    payload["data"] = STANDARD.encode(data).into();
                }
                let name = format!("projects/1/secrets/x/versions/{number}");
                answer("200 OK", "", &json!({"name": name, "payload": payload}).to_string())
            }
            Some((state, _)) => {
                let message = format!("Secret Version [{name}/versions/{number}] is in {state} state.");
                refusal(400, "FAILED_PRECONDITION", &message, "", "")
            }
        }
    }
}

fn is_scope(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.split(' ').any(|scope| matches!(scope, SCOPE | TO_IMPERSONATE)))
}

fn form(body: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

pub fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    serde_json::from_slice(&part).unwrap_or_default()
}

fn date(ahead: Duration) -> String {
    format!("date: {}\r\n", http_date(SystemTime::now() + ahead))
}

fn oauth(status: &str, code: &str, why: &str) -> Vec<u8> {
    answer(status, "", &json!({"error": code, "error_description": why}).to_string())
}

/// A refusal as Google's APIs write it.
pub fn refusal(code: u16, status: &str, message: &str, reason: &str, headers: &str) -> Vec<u8> {
    let mut error = json!({"code": code, "message": message, "status": status});
    if !reason.is_empty() {
        error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]);
    }
    answer(&format!("{code} Oh"), headers, &json!({ "error": error }).to_string())
}

/// What a request for GetCallerIdentity signs, if it is one for this pool. Google's own client in Python does not sign the
/// header that names the pool.
fn signed_by_caller(token: &str) -> Option<String> {
    let pair = format!("token={token}");
    let json = url::form_urlencoded::parse(pair.as_bytes()).next()?.1;
    let request: Value = serde_json::from_str(&json).ok()?;
    let header = |name: &str| {
        let is_it = |header: &&Value| header["key"].as_str().is_some_and(|key| key.eq_ignore_ascii_case(name));
        request["headers"].as_array()?.iter().find(is_it)?["value"].as_str()
    };
    let url = request["url"].as_str()?;
    let region =
        url.strip_prefix("https://sts.")?.strip_suffix(".amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15")?;
    let authorization = header("authorization")?;
    let signed = authorization.split("SignedHeaders=").nth(1)?.split(',').next()?;
    let is_whole = request["method"] == "POST"
        && header("host") == Some(&format!("sts.{region}.amazonaws.com"))
        && header("x-goog-cloud-target-resource") == Some(POOL)
        && authorization.starts_with("AWS4-HMAC-SHA256 ")
        && authorization.contains(&format!("/{region}/sts/aws4_request"))
        && signed.starts_with("host;x-amz-date")
        && header("x-amz-date").is_some();
    is_whole.then(|| signed.to_owned())
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }))
    };
    !bytes.iter().fold(!0, step)
}
