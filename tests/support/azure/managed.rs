//! The machine's own services: a virtual machine's metadata, App Service, Azure Arc, Azure Machine Learning.

use serde_json::{Value, json};

use super::super::clouds::Asked;
use super::super::login::now;
use super::{MACHINE, State, TENANT, json_answer};

pub const HEADER: &str = "app-s3cret";
/// What stands in the file that Arc's agent names.
pub const KEY: &str = "arc-s3cret-key";

pub fn answer_to(state: &mut State, request: &str) -> Vec<u8> {
    let asked = Asked::of(request);
    state.heard.push(format!("{} {}", asked.method, asked.path));
    if asked.header("x-forwarded-for").is_some() {
        return json_answer("403 Forbidden", "", &json!({}));
    }
    if let Some(status) = state.statuses.pop() {
        return json_answer(&format!("{status} Not Ready"), "", &json!({"error": "s3cret"}));
    }
    let has = |name: &str, value: &str| asked.header(name) == Some(value);
    match asked.path.as_str() {
        "/metadata/identity/oauth2/token" if asked.has("api-version", "2018-02-01") => {
            if !has("metadata", "true") {
                return json_answer(
                    "400 Bad Request",
                    "",
                    &json!({"error": "invalid_request", "error_description": "s3cret"}),
                );
            }
            given(state, &asked, &["client_id", "object_id", "msi_res_id"], "expires_in")
        }
        "/msi/token" if has("x-identity-header", HEADER) && asked.has("api-version", "2019-08-01") => {
            given(state, &asked, &["client_id", "object_id", "mi_res_id"], "expires_on")
        }
        "/ml/token" if has("secret", HEADER) && asked.has("api-version", "2017-09-01") => {
            given(state, &asked, &["clientid"], "expires_on")
        }
        "/arc/token" if has("metadata", "true") && asked.has("api-version", "2020-06-01") => {
            if !has("authorization", &format!("Basic {KEY}")) {
                let challenge = format!("www-authenticate: Basic realm={}\r\n", state.arc_key);
                return json_answer("401 Unauthorized", &challenge, &json!({}));
            }
            given(state, &asked, &["client_id", "object_id", "msi_res_id"], "expires_in")
        }
        _ => json_answer("401 Unauthorized", "", &json!({"error": "s3cret"})),
    }
}

/// A token; `ids`: what a place calls an identity's names, `end` how it writes the token's.
fn given(state: &mut State, asked: &Asked<'_>, ids: &[&str], end: &str) -> Vec<u8> {
    let resource = asked.query.iter().find(|(name, _)| name == "resource").map(|(_, value)| value.clone());
    let Some(resource) = resource else {
        return json_answer("400 Bad Request", "", &json!({"error": "invalid_request"}));
    };
    let known = ["client_id", "clientid", "object_id", "mi_res_id", "msi_res_id"];
    let named = asked.query.iter().find(|(name, _)| known.contains(&name.as_str()));
    let is_there = named.is_none_or(|(name, id)| ids.contains(&name.as_str()) && id == MACHINE);
    if !is_there {
        let told = json!({"error": "invalid_request", "error_description": "Identity not found"});
        return json_answer("400 Bad Request", "", &told);
    }
    let token = state.give(&resource, TENANT);
    let mut body = json!({"access_token": token, "resource": resource, "token_type": "Bearer"});
    let life = state.life.as_secs();
    body[end] = Value::String(if end == "expires_on" { now() + life } else { life }.to_string());
    if let Some((name, id)) = named {
        body[name.as_str()] = id.as_str().into();
    }
    json_answer("200 OK", "", &body)
}
