//! What stands in for Conjur: its authenticators and its variables, as its server in Ruby has them. It refuses what that
//! refuses, with the same statuses and bodies; `proofs/` has CyberArk's own client use it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::amazon::{http_date, rfc3339};
use super::answer;
use super::clouds::{Asked, claims};
use super::login::{Signer, now};

pub const ACCOUNT: &str = "acct";
pub const LOGIN: &str = "host/BotApp/my app+1";
pub const KEY: &str = "3hunter2key";
/// The host of each authenticator.
pub const POD: &str = "host/apps/gateway";
pub const ROLE: &str = "host/apps/123456789012/gateway";
pub const INSTANCE: &str = "host/apps/instance";
pub const MACHINE: &str = "host/apps/machine";
/// The credentials of the role, which AWS knows.
pub const AWS_ID: &str = "ASIAHUNTER2";
pub const AWS_KEY: &str = "hunter2/AwsKey";
pub const AWS_SESSION: &str = "hunter2-session==";
/// The issuer of Kubernetes' tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// The headers that a signature for authn-iam covers, all of them and no other.
const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";

pub struct World {
    /// By id: all values, the oldest first.
    pub variables: HashMap<&'static str, Vec<&'static [u8]>>,
    /// Tokens as they are sent, and until when they are good.
    tokens: HashMap<String, SystemTime>,
    pub life: Duration,
    /// How many tokens were given, by authenticator.
    pub given: HashMap<String, usize>,
    /// Each request's first line.
    pub asked: Vec<String>,
    /// What the clock of AWS is ahead of this one's.
    pub ahead: Duration,
    /// What the next answers to reads, batches and logins are, in place of the usual ones.
    pub next: Vec<Vec<u8>>,
    pub next_batch: Vec<Vec<u8>>,
    pub next_login: Vec<Vec<u8>>,
    /// Whether tokens say their end, which those of old servers do not.
    pub tells_end: bool,
    /// The path before all others.
    pub base: &'static str,
}

impl World {
    pub fn new() -> World {
        let known: [(&str, Vec<&[u8]>); 7] = [
            ("BotApp/secretVar", vec![b"one", b"{\"user\":\"two\"}"]),
            ("bin", vec![b"\x00\xff"]),
            ("empty", vec![]),
            ("a b+c,d?e#f%2F", vec![b"odd"]),
            ("plain", vec![b"plain"]),
            ("denied", vec![b"hunter2"]),
            ("invisible", vec![b"hunter2"]),
        ];
        World {
            variables: HashMap::from(known),
            tokens: HashMap::new(),
            life: Duration::from_secs(480),
            given: HashMap::new(),
            asked: Vec::new(),
            ahead: Duration::ZERO,
            next: Vec::new(),
            next_batch: Vec::new(),
            next_login: Vec::new(),
            tells_end: true,
            base: "",
        }
    }

    pub fn revoke(&mut self) {
        self.tokens.clear();
    }

    /// A new access token.
    pub fn give(&mut self, by: &str, whose: &str) -> String {
        let count = self.given.entry(by.to_owned()).or_default();
        *count += 1;
        let part = |value: &Value| URL_SAFE.encode(value.to_string());
        let mut claims = json!({"sub": whose, "iat": now()});
        if self.tells_end {
            claims["exp"] = (now() + self.life.as_secs()).into();
        }
        let token = json!({
            "protected": part(&json!({"alg": "conjur.org/slosilo/v2", "kid": "k"})),
            "payload": part(&claims),
            "signature": URL_SAFE.encode(format!("hunter2-{by}-{count}")),
        })
        .to_string();
        self.tokens.insert(STANDARD.encode(&token), SystemTime::now() + self.life);
        token
    }

    pub fn answer(&mut self, asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        let path = asked.path.strip_prefix(self.base).unwrap_or("/nowhere");
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (asked.method, parts.as_slice()) {
            ("POST", [authenticator, between @ .., "authenticate"]) if authenticator.starts_with("authn") => {
                let between: Vec<String> = between.iter().map(|part| decoded(part)).collect();
                if let Some(next) = self.next_login.pop() {
                    return next;
                }
                self.authenticate(authenticator, &between, asked, key)
            }
            ("GET", ["secrets"]) => self.batch(asked),
            ("GET", ["secrets", account, "variable", id @ ..]) if !id.is_empty() => {
                self.show(&decoded(account), &decoded(&id.join("/")), asked)
            }
            _ => answer("404 Not Found", "content-type: text/html\r\n", "<html>hunter2</html>"),
        }
    }

    fn authenticate(&mut self, authenticator: &str, between: &[String], asked: &Asked<'_>, key: &Signer) -> Vec<u8> {
        let between: Vec<&str> = between.iter().map(String::as_str).collect();
        let nobody = || answer("401 Unauthorized", "", "");
        let jwt = || {
            let found = url::form_urlencoded::parse(asked.body.as_bytes()).find(|(name, _)| name == "jwt");
            found.map(|(_, jwt)| jwt.into_owned()).filter(|jwt| !jwt.is_empty())
        };
        let whose = match (authenticator, between.as_slice()) {
            ("authn", [ACCOUNT, LOGIN]) if asked.body == KEY => LOGIN,
            ("authn-jwt", [service, rest @ ..]) => {
                let Some(jwt) = jwt() else { return answer("400 Bad Request", "", "") };
                let claims = claims(&jwt);
                // `named` takes the host from the URL, and the other one from a claim.
                let login = match (*service, rest) {
                    ("named", [ACCOUNT, POD]) | ("k8s", [ACCOUNT]) => POD,
                    ("forbidden", [ACCOUNT]) => return answer("403 Forbidden", "", ""),
                    _ => return nobody(),
                };
                if key.verify_signature(&jwt).is_err() || claims["iss"] != ISSUER || claims["aud"] != "conjur" {
                    return nobody();
                }
                if claims["exp"].as_u64().is_none_or(|ends| ends <= now()) {
                    return refusal(401, "unauthorized", "CONJ00016E Token expired");
                }
                login
            }
            ("authn-iam", ["prod", ACCOUNT, ROLE]) => {
                if !self.is_signed_by_role(asked.body) {
                    let date = format!("date: {}\r\n", http_date(SystemTime::now() + self.ahead));
                    return answer("401 Unauthorized", &date, "");
                }
                ROLE
            }
            ("authn-azure", ["prod", ACCOUNT, MACHINE]) => {
                let Some(jwt) = jwt() else { return answer("400 Bad Request", "", "") };
                let claims = claims(&jwt);
                if claims["aud"] != "https://management.azure.com/" {
                    return nobody();
                }
                MACHINE
            }
            ("authn-gcp", [ACCOUNT]) => {
                let Some(jwt) = jwt() else { return answer("400 Bad Request", "", "") };
                let claims = claims(&jwt);
                if claims["aud"] != format!("conjur/{ACCOUNT}/{INSTANCE}") || claims["full"] != true {
                    return nobody();
                }
                INSTANCE
            }
            _ => return nobody(),
        };
        let token = self.give(authenticator, whose);
        let wants_base64 = asked.header("accept-encoding").is_some_and(|all| all.to_lowercase().contains("base64"));
        match wants_base64 {
            true => {
                let headers = "content-type: text/plain; charset=utf-8\r\ncontent-encoding: base64\r\n";
                answer("200 OK", headers, &STANDARD.encode(token))
            }
            false => answer("200 OK", "content-type: application/json; charset=utf-8\r\n", &token),
        }
    }

    /// What is wrong with a request's token, if anything.
    fn refuses(&self, asked: &Asked<'_>) -> Option<Vec<u8>> {
        let refuse = |text: &str| Some(answer("401 Unauthorized", "content-type: text/plain\r\n", text));
        let header = asked.header("authorization").unwrap_or_default();
        let Some(token) = header.strip_prefix("Token token=\"").and_then(|rest| rest.strip_suffix('"')) else {
            return refuse("Authorization missing");
        };
        let json = STANDARD.decode(token).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        if !json.is_some_and(|json| json["payload"].is_string() && json["signature"].is_string()) {
            return refuse("Malformed authorization token");
        }
        match self.tokens.get(token) {
            Some(until) if *until > SystemTime::now() => None,
            _ => refuse("Unauthorized: Invalid token"),
        }
    }

    fn show(&mut self, account: &str, id: &str, asked: &Asked<'_>) -> Vec<u8> {
        if let Some(next) = self.next.pop() {
            return next;
        }
        if let Some(refused) = self.refuses(asked) {
            return refused;
        }
        let missing = || missing(id);
        if account != ACCOUNT || id == "invisible" {
            return missing();
        }
        if id == "denied" {
            return answer("403 Forbidden", "", "");
        }
        let Some(values) = self.variables.get(id) else { return missing() };
        let version = asked.query.iter().find(|(name, _)| name == "version").map(|(_, version)| version.as_str());
        let number = match version {
            None => values.len(),
            Some(version) => match version.parse::<usize>() {
                Ok(number) => number,
                Err(_) => return refusal(422, "argument_error", "invalid type for parameter 'version'"),
            },
        };
        match number.checked_sub(1).and_then(|at| values.get(at)) {
            Some(value) => bytes("application/octet-stream", value),
            None => missing(),
        }
    }

    fn batch(&mut self, asked: &Asked<'_>) -> Vec<u8> {
        if let Some(next) = self.next_batch.pop() {
            return next;
        }
        if let Some(refused) = self.refuses(asked) {
            return refused;
        }
        let ids = asked.query.iter().find(|(name, _)| name == "variable_ids");
        let ids: Vec<&str> = ids.map(|(_, ids)| ids.split(',').collect()).unwrap_or_default();
        if ids.is_empty() || ids.iter().any(|id| id.is_empty()) {
            return refusal(422, "argument_error", "variable_ids");
        }
        let name = |id: &&str| id.strip_prefix(&format!("{ACCOUNT}:variable:")).unwrap_or("?").to_owned();
        let names: Vec<String> = ids.iter().map(name).collect();
        // What may not be read is refused before what is missing is looked for, and what is asked for twice is missing.
        if names.iter().any(|name| matches!(name.as_str(), "denied" | "invisible")) {
            return answer("403 Forbidden", "", "");
        }
        let mut values = serde_json::Map::new();
        let wants_base64 = asked.header("accept-encoding").is_some_and(|all| all.eq_ignore_ascii_case("base64"));
        for (id, name) in ids.iter().zip(&names) {
            let value = self.variables.get(name.as_str()).and_then(|values| values.last());
            let (Some(value), false) = (value, values.contains_key(*id)) else { return missing(name) };
            let text = match (wants_base64, std::str::from_utf8(value)) {
                (true, _) => lines(value),
                (false, Ok(text)) => text.to_owned(),
                (false, Err(_)) => {
                    let message = "CONJ00074E Issue encoding secret into JSON format, try including \
                                   'Accept-Encoding: base64' header in request.";
                    return refusal(406, "not_acceptable", message);
                }
            };
            values.insert((*id).to_owned(), text.into());
        }
        let encoding = if wants_base64 { "content-encoding: base64\r\n" } else { "" };
        answer("200 OK", encoding, &Value::Object(values).to_string())
    }

    /// Whether AWS's STS would say of these headers that they are the role's.
    fn is_signed_by_role(&self, body: &str) -> bool {
        let headers: HashMap<String, String> = serde_json::from_str(body).unwrap_or_default();
        let of = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let field = |name: &str| {
            let fields = of("authorization").split([' ', ',']);
            fields.filter_map(|field| field.strip_prefix(name)).next().unwrap_or_default().to_owned()
        };
        let scope = field("Credential=");
        let Some((id, scope)) = scope.split_once('/') else { return false };
        let parts: Vec<&str> = scope.split('/').collect();
        let [date, region, "sts", "aws4_request"] = parts.as_slice() else { return false };
        let is_known = id == AWS_ID
            && of("x-amz-security-token") == AWS_SESSION
            && of("host") == format!("sts.{region}.amazonaws.com")
            && field("SignedHeaders=") == SIGNED;
        let (theirs, minutes) = (SystemTime::now() + self.ahead, Duration::from_secs(300));
        let (from, until) = (compact(theirs - minutes), compact(theirs + minutes));
        if !is_known || !(from.as_str()..=until.as_str()).contains(&of("x-amz-date")) {
            return false;
        }
        let canonical: String = SIGNED.split(';').map(|name| format!("{name}:{}\n", of(name))).collect();
        let hash = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let request =
            format!("GET\n/\nAction=GetCallerIdentity&Version=2011-06-15\n{canonical}\n{SIGNED}\n{}", hash(""));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", of("x-amz-date"), hash(&request));
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let first = format!("AWS4{AWS_KEY}").into_bytes();
        let key = [*date, *region, "sts", "aws4_request"].iter().fold(first, |key, part| sign(&key, part));
        field("Signature=") == hex(&sign(&key, &text))
    }
}

/// A time as signatures have it, such as `20150830T123600Z`.
fn compact(time: SystemTime) -> String {
    rfc3339(time)[..19].replace(['-', ':'], "") + "Z"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Base64 as Ruby's `encode64` writes it, with a line break after each 60 characters.
fn lines(value: &[u8]) -> String {
    let text = STANDARD.encode(value);
    let lines = text.as_bytes().chunks(60).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    lines.collect()
}

fn decoded(part: &str) -> String {
    // In paths, a plus is a plus.
    let value = format!("v={}", part.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(value.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn missing(id: &str) -> Vec<u8> {
    refusal(404, "not_found", &format!("CONJ00076E Variable {ACCOUNT}:variable:{id} is empty or not found."))
}

pub fn refusal(status: u16, code: &str, message: &str) -> Vec<u8> {
    let body = json!({"error": {"code": code, "message": message}}).to_string();
    answer(&format!("{status} Oh"), "content-type: application/json; charset=utf-8\r\n", &body)
}

/// An answer that need not be text.
fn bytes(kind: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", value.len());
    [head.as_bytes(), value].concat()
}

/// A token as the kubelet writes it into a pod.
pub fn pod_token(signer: &Signer, audience: &str, lasts: i64) -> String {
    let ends = i64::try_from(now()).expect("a time") + lasts;
    signer.sign(&json!({"iss": ISSUER, "aud": audience, "sub": "system:serviceaccount:apps:gateway", "exp": ends}))
}

/// What a JWT that is cut off in its middle looks like.
pub fn broken(jwt: &str) -> String {
    let head = jwt.split('.').next().unwrap_or_default();
    format!("{head}.{}.x", URL_SAFE_NO_PAD.encode("{}"))
}
