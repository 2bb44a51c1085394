//! Finds out why a vault returns no secret, by trying each step of a fetch.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use ::http::HeaderValue;
use serde::Deserialize;
use serde_json::Value as Json;

use super::Hcv;
use super::api::ApiRequest;
use super::path::{self, KvVersion};
use crate::backend::SecretId;
use crate::diagnosis::Findings;
use crate::http::HttpResponse;

/// The difference of clocks, in seconds, that is reported: a JWT, or a signed login, is valid only for minutes.
const SKEW: u64 = 30;

/// Has the server answer with status 200 whatever its state is; other statuses are for load balancers.
const HEALTH: &str = "standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200";

#[derive(Deserialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    #[serde(default)]
    standby: bool,
    server_time_utc: Option<u64>,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Enveloped<T> {
    data: T,
}

#[derive(Deserialize)]
struct TokenFacts {
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    identity_policies: Option<Vec<String>>,
    ttl: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    kind: String,
    options: Option<Json>,
}

impl Hcv {
    pub(super) async fn walk(&self, secret_id: Option<&SecretId>) -> Findings {
        let mut findings = Findings::default();
        if !self.api.client.probe(self.api.base.as_str(), &mut findings).await {
            return findings;
        }
        if self.server(&mut findings).await.is_none() {
            return findings;
        }
        findings.good("credentials", self.credentials.describe());
        let passed = self.auth.auth_token().await;
        let Some(auth_token) = findings.or_bad("login", passed) else { return findings };
        let Some(token) = &auth_token.token else {
            findings.doubtful("login", "there is no token to send: it is an agent's to add one (or set `auth_method`)");
            self.read_it(secret_id, &mut findings).await;
            return findings;
        };
        findings.good("login", if self.logs_in { "the vault gave a token" } else { "no need: the token is given" });
        if self.token(token, &mut findings).await.is_none() {
            return findings;
        }
        match secret_id {
            Some(secret_id) => {
                self.capability(token, secret_id, &mut findings).await;
                self.read_it(Some(secret_id), &mut findings).await;
            }
            None => self.mount(token, &mut findings).await,
        }
        findings
    }

    async fn server(&self, findings: &mut Findings) -> Option<()> {
        let asked = self.api.send(&ApiRequest { query: Some(HEALTH), ..ApiRequest::get("/v1/sys/health") }).await;
        let (_, answer) = findings.or_bad("server", asked)?;
        let Ok(health) = serde_json::from_slice::<Health>(answer.body.as_bytes()) else {
            let status = answer.status;
            if status == 200 {
                findings.bad("server", "the server is not a vault: correct `host`, `port` and `protocol`");
                return None;
            }
            findings.doubtful(
                "server",
                format!("its health is unknown (status {status}): check for a proxy that blocks /v1/sys/health"),
            );
            return Some(());
        };
        if !health.initialized {
            findings.bad("server", "it is not initialized: initialize it (`vault operator init`)");
            return None;
        }
        if health.sealed {
            findings.bad("server", "it is sealed: unseal it (`vault operator unseal`), or configure auto-unseal");
            return None;
        }
        let role = if health.standby { "a standby, which forwards requests" } else { "active" };
        let version = health.version.chars().filter(char::is_ascii_graphic).take(32).collect::<String>();
        findings.good("server", format!("version {version}, unsealed, {role}"));
        if let Some(theirs) = health.server_time_utc {
            clocks(theirs, findings);
        }
        Some(())
    }

    async fn token(&self, token: &HeaderValue, findings: &mut Findings) -> Option<()> {
        // A token belongs to the namespace of its login, and is valid in those below it.
        let call = ApiRequest::get("/v1/auth/token/lookup-self").with(Some(token), self.auth_namespace.as_ref());
        let asked = self.api.send(&call).await;
        let (_, answer) = findings.or_bad("token", asked)?;
        let known = match answer.status {
            200 => data::<TokenFacts>(&answer),
            403 if !self.logs_in => {
                let text = "the vault does not know the token (status 403): it is wrong, has expired or was revoked, or is another \
                            namespace's; or its policies lack `default`";
                findings.bad("token", text);
                return None;
            }
            _ => None,
        };
        let Some(known) = known else {
            findings.doubtful(
                "token",
                format!("the token cannot look itself up (status {}): add the policy `default` to it", answer.status),
            );
            return Some(());
        };
        let names = known.policies.iter().chain(known.identity_policies.iter().flatten());
        let names: Vec<_> = names.map(|name| shown(name)).collect();
        let left = match known.ttl {
            0 => "never ends".to_owned(),
            seconds => format!("has {} left", lasting(seconds)),
        };
        let more = if known.renewable { ", renewable" } else { "" };
        let uses = if known.num_uses > 0 { format!(", {} uses left", known.num_uses) } else { String::new() };
        let text = format!("it has the policies {}, and {left}{more}{uses}", names.join(", "));
        if names.iter().any(|name| name == "root") {
            findings.doubtful("token", format!("{text}: give the gateway a token that can read only its secrets"));
        } else {
            findings.good("token", text);
        }
        Some(())
    }

    async fn mount(&self, token: &HeaderValue, findings: &mut Findings) {
        let Ok(mount) = path::encode(&self.mount) else { return };
        let path = format!("/v1/sys/internal/ui/mounts/{mount}");
        let asked = self.api.send(&ApiRequest::get(&path).with(Some(token), self.namespace.as_ref())).await;
        let Some((_, answer)) = findings.or_bad("mount", asked) else { return };
        let name = &self.mount;
        let Some(found) = Some(&answer).filter(|answer| answer.status == 200).and_then(data::<Mount>) else {
            let text = format!(
                "there is no {name}, or the token may not read anything below it (status {}): correct `mount` and `namespace`, or \
                 give the token's policies `read` below {name}/",
                answer.status
            );
            return findings.bad("mount", text);
        };
        let version = found.options.as_ref().and_then(|options| options.get("version")?.as_str());
        let is = if version == Some("2") { "v2" } else { "v1" };
        let set = if self.engine == KvVersion::V2 { "v2" } else { "v1" };
        if !matches!(found.kind.as_str(), "kv" | "generic") {
            let kind = shown(&found.kind);
            findings.bad("mount", format!("{name} is of the engine {kind}: set `mount` to a key/value engine"));
        } else if is != set {
            findings.bad("mount", format!("{name} is a kv {is} mount: set `kv` to {is}"));
        } else {
            findings.good("mount", format!("{name} is a kv {is} mount, as `kv` says; add a secret's name to read it"));
        }
    }

    async fn capability(&self, token: &HeaderValue, secret_id: &SecretId, findings: &mut Findings) {
        // An error of the path is reported by the read.
        let Ok(wanted) = path::for_secret(&self.mount, self.engine, secret_id) else { return };
        let plain = percent_encoding::percent_decode_str(wanted.path.trim_start_matches("/v1/")).decode_utf8_lossy();
        let body = serde_json::json!({ "paths": [plain] }).to_string();
        let call = ApiRequest::post("/v1/sys/capabilities-self", body.as_bytes());
        let asked = self.api.send(&call.with(Some(token), self.namespace.as_ref())).await;
        let granted = asked.ok().filter(|(_, answer)| answer.status == 200).and_then(|(_, answer)| {
            let granted: Json = serde_json::from_slice(answer.body.as_bytes()).ok()?;
            let names = granted.get("capabilities")?.as_array()?.iter().filter_map(Json::as_str);
            Some(names.map(|name| shown(name).into_owned()).collect::<Vec<_>>())
        });
        let Some(granted) = granted else { return };
        let path = crate::error::quote(plain.as_bytes(), 128);
        if granted.iter().any(|name| matches!(name.as_str(), "read" | "root")) {
            findings.good("capability", format!("the token may do {} with {path}", granted.join(", ")));
        } else {
            let text = format!(
                "the token may not read {path}: add `path \"{path}\" {{ capabilities = [\"read\"] }}` to a policy of it"
            );
            findings.bad("capability", text);
        }
    }

    async fn read_it(&self, secret_id: Option<&SecretId>, findings: &mut Findings) {
        let Some(secret_id) = secret_id else { return };
        let read = self.fetch_secret(secret_id).await;
        if let Some(fetched) = findings.or_bad("read", read) {
            findings.good("read", format!("the secret has {} bytes", fetched.document.len()));
        }
    }
}

fn data<T: serde::de::DeserializeOwned>(answer: &HttpResponse) -> Option<T> {
    serde_json::from_slice::<Enveloped<T>>(answer.body.as_bytes()).ok().map(|enveloped| enveloped.data)
}

fn clocks(theirs: u64, findings: &mut Findings) {
    let Ok(ours) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return };
    let theirs = Duration::from_secs(theirs);
    let (apart, is) = if theirs > ours { (theirs - ours, "behind") } else { (ours - theirs, "ahead of") };
    if apart.as_secs() > SKEW {
        let text = format!(
            "this machine's clock is {} {is} the vault's: synchronize both clocks; certificates and logins depend on \
             it",
            lasting(apart.as_secs())
        );
        findings.doubtful("clock", text);
    }
}

fn lasting(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

/// A name from the vault, as a terminal may show it.
fn shown(name: &str) -> Cow<'_, str> {
    Cow::Owned(crate::error::quote(name.as_bytes(), 64))
}
