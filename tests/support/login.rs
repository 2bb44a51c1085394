//! Ways to log in at a real OpenBao: each method mounted with one role, whose tokens live as long as a test says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::bao::Bao;
use super::{Fake, answer};

/// May read what the tests read, and look after its own token.
pub const POLICY: &str = "reader";

/// What every role's tokens are like.
pub const TOKENS: &str = r#""token_policies":"reader""#;

pub async fn prepare(bao: &Bao) {
    let policy = r#"path \"secret/data/*\" { capabilities = [\"read\"] }"#;
    bao.write("sys/policies/acl/reader", &format!(r#"{{"policy":"{policy}"}}"#)).await;
    for name in ["hello", "other"] {
        bao.write(&format!("secret/data/{name}"), r#"{"data":{"foo":"bar"}}"#).await;
    }
}

pub async fn mount(bao: &Bao, kind: &str) {
    bao.write(&format!("sys/auth/{kind}"), &format!(r#"{{"type":"{kind}"}}"#)).await;
}

/// A role's id and a secret id of it; `terms`: more of the role, such as `"token_ttl":"5s"`.
pub async fn approle(bao: &Bao, role: &str, terms: &str) -> (String, String) {
    let path = format!("auth/approle/role/{role}");
    bao.write(&path, &format!("{{{TOKENS}{terms}}}")).await;
    let id = bao.read(&format!("{path}/role-id")).await;
    let secret = data(&bao.write(&format!("{path}/secret-id"), "{}").await);
    (text(&id["data"]["role_id"]), text(&secret["data"]["secret_id"]))
}

pub fn data(answer: &kong_vault::http::HttpResponse) -> Value {
    serde_json::from_slice(answer.body.as_bytes()).expect("JSON")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// An RSA key to sign JWTs with.
pub struct Signer {
    key: RsaKeyPair,
    pub public: String,
    pub private: PathBuf,
}

impl Signer {
    pub fn new(directory: &Path) -> Signer {
        let (private, der, public) = (directory.join("jwt.pem"), directory.join("jwt.der"), directory.join("jwt.pub"));
        let run = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().expect("openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let [private_path, der_path, public_path] =
            [&private, &der, &public].map(|path| path.to_str().expect("a path"));
        run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private_path]);
        run(&["pkcs8", "-topk8", "-nocrypt", "-in", private_path, "-outform", "DER", "-out", der_path]);
        run(&["pkey", "-in", private_path, "-pubout", "-out", public_path]);
        let key = RsaKeyPair::from_pkcs8(&std::fs::read(der).expect("the key")).expect("a key");
        Signer { key, public: std::fs::read_to_string(public).expect("the key"), private }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Signer {
    /// Whether a JWT is signed with this key, under that id.
    pub fn verify(&self, jwt: &str, id: &str) -> Result<(), String> {
        let header = header(jwt);
        if header["kid"] != id {
            return Err(format!("{header}"));
        }
        self.verify_signature(jwt)
    }

    /// The same under any id.
    pub fn verify_signature(&self, jwt: &str) -> Result<(), String> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or("no JWT")?;
        let header = header(jwt);
        if header["alg"] != "RS256" {
            return Err(format!("{header}"));
        }
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        key.verify(signed.as_bytes(), &signature).map_err(|_| "its signature is wrong".to_owned())
    }
}

fn header(jwt: &str) -> Value {
    let header = jwt.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    serde_json::from_slice(&header).unwrap_or_default()
}

pub fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").as_secs()
}

/// Claims that the role of `jwt` takes.
pub fn claims() -> Value {
    json!({"iss": "https://idp.test", "sub": "gateway", "aud": "vault", "iat": now(), "exp": now() + 600})
}

pub async fn jwt(bao: &Bao, signer: &Signer, terms: &str) {
    mount(bao, "jwt").await;
    let config = json!({"jwt_validation_pubkeys": [signer.public], "bound_issuer": "https://idp.test"});
    bao.write("auth/jwt/config", &config.to_string()).await;
    let role = format!(
        r#"{{"role_type":"jwt","bound_audiences":"vault","user_claim":"sub","bound_subject":"gateway",{TOKENS}{terms}}}"#
    );
    bao.write("auth/jwt/role/gateway", &role).await;
}

/// An identity provider: gives a JWT for the right client's credentials and audience, and refuses everything else.
pub async fn provider(signer: Signer) -> Fake {
    provider_by(Arc::new(signer), By::Form).await
}

/// How a provider wants to be told who asks; in no other way.
#[derive(Clone, Copy)]
pub enum By {
    Form,
    /// With these credentials.
    Basic(&'static str),
}

/// `provider` that is told in that way.
pub async fn provider_by(signer: Arc<Signer>, by: By) -> Fake {
    Fake::start(move |request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let has = |name: &str, value: &str| form.iter().any(|(n, v)| n == name && v == value);
        if !head.starts_with("POST /oauth2/token HTTP/1.1") || !head.contains("application/x-www-form-urlencoded") {
            return answer("404 Not Found", "", "no s3cret here");
        }
        let is_known = match by {
            By::Form => has("client_id", "gateway") && has("client_secret", "cl1ent-s3cret&="),
            By::Basic(known) => {
                let shown = head.lines().any(|line| {
                    let (name, value) = line.split_once(": ").unwrap_or_default();
                    name.eq_ignore_ascii_case("authorization") && value.strip_prefix("Basic ") == Some(known)
                });
                shown && !form.iter().any(|(name, _)| name == "client_secret")
            }
        };
        if !is_known {
            return answer("401 Unauthorized", "", r#"{"error":"invalid_client","error_description":"s3cret"}"#);
        }
        if !has("grant_type", "client_credentials") {
            return answer("400 Bad Request", "", r#"{"error":"unsupported_grant_type"}"#);
        }
        if has("audience", "opaque") {
            return answer("200 OK", "", r#"{"access_token":"opaque-s3cret","token_type":"Bearer"}"#);
        }
        let mut claims = claims();
        let audience = form.iter().find(|(name, _)| name == "audience").map_or("", |(_, value)| value);
        claims["aud"] = audience.into();
        let given = json!({"access_token": signer.sign(&claims), "token_type": "Bearer", "expires_in": 600});
        answer("200 OK", "", &given.to_string().replace('.', "\\u002e"))
    })
    .await
}

/// Kubernetes' TokenReview, which knows one service account by its token; the vault asks it with a token of its own.
pub async fn reviewer(known: String) -> Fake {
    Fake::start(move |request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        let head = head.to_ascii_lowercase();
        if !head.starts_with("post /apis/authentication.k8s.io/v1/tokenreviews ")
            || !head.contains("authorization: bearer reviewer")
        {
            return answer("403 Forbidden", "", "{}");
        }
        let asked: Value = serde_json::from_str(body).unwrap_or_default();
        let status = if asked["spec"]["token"] == known {
            let groups = ["system:serviceaccounts", "system:serviceaccounts:apps", "system:authenticated"];
            let user = json!({"username": "system:serviceaccount:apps:gateway", "uid": "7", "groups": groups});
            json!({"authenticated": true, "user": user})
        } else {
            json!({"authenticated": false, "error": "s3cret"})
        };
        let review =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "status": status});
        answer("201 Created", "content-type: application/json\r\n", &review.to_string())
    })
    .await
}

/// The token of the pod's service account, as the kubelet writes it.
pub fn service_account(signer: &Signer, name: &str) -> String {
    signer.sign(&json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:apps:{name}"),
        "kubernetes.io/serviceaccount/namespace": "apps",
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": "7",
        "kubernetes.io/serviceaccount/secret.name": "t",
    }))
}

pub async fn kubernetes(bao: &Bao, reviewer: &Fake, ca: &str, terms: &str) {
    mount(bao, "kubernetes").await;
    let host = format!("http://{}", reviewer.address);
    let config = json!({"kubernetes_host": host, "token_reviewer_jwt": "reviewer", "disable_local_ca_jwt": true,
        "kubernetes_ca_cert": ca, "disable_iss_validation": true});
    bao.write("auth/kubernetes/config", &config.to_string()).await;
    let bound = r#""bound_service_account_names":"gateway","bound_service_account_namespaces":"apps""#;
    bao.write("auth/kubernetes/role/gateway", &format!("{{{bound},{TOKENS}{terms}}}")).await;
}
