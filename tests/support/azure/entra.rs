//! Entra ID's token endpoint (v2.0), for client credentials.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};

use super::super::clouds::Asked;
use super::super::login::now;
use super::{APP, OTHER_TENANT, SECRET, State, TENANT, json_answer};

/// The application's secret of before, which has expired.
pub const OLD_SECRET: &str = "old-s3cret";

/// Whom a federated credential of the application trusts.
pub const ISSUER: &str = "https://oidc.cluster.test/";
pub const SUBJECT: &str = "system:serviceaccount:apps:gateway";
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Whom tokens can be for.
const RESOURCES: [&str; 2] = ["https://vault.azure.net", "https://management.azure.com/"];
/// Those for tests begin so.
const OF_TESTS: [&str; 2] = ["https://vault.localhost", "https://localhost"];

type Refused = (u16, &'static str, u64);

pub fn answer_to(state: &mut State, asked: &Asked<'_>) -> Vec<u8> {
    let tenant = asked.path.split('/').nth(1).unwrap_or_default().to_owned();
    if asked.path.ends_with("/.well-known/openid-configuration") {
        let root = format!("{}/{tenant}", state.origin);
        let known = json!({
            "token_endpoint": format!("{root}/oauth2/v2.0/token"), "issuer": format!("{root}/v2.0"),
            "authorization_endpoint": format!("{root}/oauth2/v2.0/authorize"),
        });
        return json_answer("200 OK", "", &known);
    }
    if asked.method != "POST" || asked.path != format!("/{tenant}/oauth2/v2.0/token") {
        return json_answer("404 Not Found", "", &json!({}));
    }
    match grant(state, asked, &tenant) {
        Ok(token) => {
            let life = state.life.as_secs();
            let given =
                json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token});
            json_answer("200 OK", "", &given)
        }
        Err((status, error, number)) => {
            // The real one's words are as free as these, and quote ids.
            let told = json!({
                "error": error, "error_codes": [number], "trace_id": "t", "correlation_id": "c",
                "error_description": format!("AADSTS{number}: s3cret of {APP}. Trace ID: t"), "timestamp": "2026-11-26 12:00:00Z",
            });
            let wait = if status == 429 { "retry-after: 7\r\n" } else { "" };
            json_answer(&format!("{status} Refused"), wait, &told)
        }
    }
}

fn grant(state: &mut State, asked: &Asked<'_>, tenant: &str) -> Result<String, Refused> {
    if let Some((status, number)) = state.login_refusal {
        return Err((status, "temporarily_unavailable", number));
    }
    let is_form =
        asked.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let form: Vec<(String, String)> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
    let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    if !is_form || field("grant_type").is_none() {
        return Err((400, "invalid_request", 900_144));
    }
    if tenant != TENANT && tenant != OTHER_TENANT {
        return Err((400, "invalid_request", 90_002));
    }
    if field("grant_type") != Some("client_credentials") {
        return Err((400, "unsupported_grant_type", 70_003));
    }
    if field("client_id") != Some(APP) {
        return Err((400, "unauthorized_client", 700_016));
    }
    let scope = field("scope").unwrap_or_default();
    let resource = scope.strip_suffix("/.default").ok_or((400, "invalid_scope", 1_002_012))?.to_owned();
    if !RESOURCES.contains(&resource.as_str()) && !OF_TESTS.iter().any(|begin| resource.starts_with(begin)) {
        return Err((400, "invalid_resource", 500_011));
    }
    match (field("client_secret"), field("client_assertion")) {
        (Some(SECRET), None) => {}
        (Some(OLD_SECRET), None) => return Err((401, "invalid_client", 7_000_222)),
        (Some(_), None) => return Err((401, "invalid_client", 7_000_215)),
        (None, Some(assertion)) => {
            if field("client_assertion_type") != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
                return Err((400, "invalid_request", 900_144));
            }
            let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", state.origin);
            check_assertion(state, assertion, &endpoint)?;
        }
        _ => return Err((401, "invalid_client", 7_000_218)),
    }
    Ok(state.give(&resource, tenant))
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The application's own assertion, signed with the key of a registered certificate; or a token of whom it trusts.
fn check_assertion(state: &mut State, assertion: &str, endpoint: &str) -> Result<(), Refused> {
    let malformed = (400, "invalid_request", 50_027);
    let (signed, signature) = assertion.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(malformed)?;
    let (header, claims) = (part(header).ok_or(malformed)?, part(claims).ok_or(malformed)?);
    let time = |name: &str| claims[name].as_f64().unwrap_or_default() as u64;
    if claims["iss"] != APP {
        let is_trusted = claims["iss"] == ISSUER && claims["sub"] == SUBJECT && claims["aud"] == AUDIENCE;
        return match is_trusted {
            false => Err((401, "invalid_client", 700_213)),
            true if time("exp") <= now() => Err((401, "invalid_client", 700_024)),
            true => Ok(()),
        };
    }
    // Microsoft's own clients leave `nbf` out.
    let begins = time("nbf").max(time("iat"));
    let is_late = time("exp") <= now() || begins > now() + 300 || time("exp") > begins + 660;
    if is_late {
        return Err((401, "invalid_client", 700_024));
    }
    let id = claims["jti"].as_str().unwrap_or_default().to_owned();
    if claims["aud"] != endpoint || claims["sub"] != APP || id.len() < 16 || state.assertions.contains(&id) {
        return Err((401, "invalid_client", 700_023));
    }
    // The older form is taken as well, and still what Microsoft's own clients send.
    let (algorithm, name, hash): (&'static dyn VerificationAlgorithm, _, _) = match header["alg"].as_str() {
        Some("PS256") => (&RSA_PSS_2048_8192_SHA256, "x5t#S256", &digest::SHA256),
        Some("RS256") => (&RSA_PKCS1_2048_8192_SHA256, "x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY),
        _ => return Err((401, "invalid_client", 700_027)),
    };
    let thumbprint = header[name].as_str().unwrap_or_default().trim_end_matches('=');
    let known = state.certificates.iter().find(|der| URL_SAFE_NO_PAD.encode(digest::digest(hash, der)) == thumbprint);
    let certificate = known.ok_or((401, "invalid_client", 700_027))?;
    let key = UnparsedPublicKey::new(algorithm, public_key(certificate));
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed)?;
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return Err((401, "invalid_client", 700_027));
    }
    state.assertions.push(id);
    Ok(())
}

/// The RSA key of a certificate, as PKCS#1: behind the algorithm's name, in a bit string without unused bits.
fn public_key(certificate: &[u8]) -> Vec<u8> {
    const ALGORITHM: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82";
    let at = certificate.windows(ALGORITHM.len()).position(|bytes| bytes == ALGORITHM).expect("an RSA key");
    let key = &certificate[at + ALGORITHM.len() + 3..];
    let length = usize::from(key[2]) << 8 | usize::from(key[3]);
    key[..length + 4].to_vec()
}
