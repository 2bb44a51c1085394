//! Who the gateway is to Azure: each proof of an application and each place with managed identities, at servers that refuse
//! what the real ones refuse.

mod support;

use kong_vault::error::Kind;
use serde_json::json;
use support::azure::entra::{AUDIENCE, ISSUER, OLD_SECRET, SUBJECT};
use support::azure::managed::HEADER;
use support::azure::vault::{fails, reads, refused};
use support::azure::{APP, Azure, MACHINE, rsa};
use support::closed_port;
use support::login::{Signer, now};

const NONE: (&str, &str) = ("AZURE_CLIENT_SECRET", "");

#[tokio::test]
async fn an_application_with_its_secret() {
    let Some(azure) = Azure::start().await else { return };
    assert_eq!(reads(&azure.vault(&[]), "plain").await, "just text");
    let by_options = [
        ("AZURE_TENANT_ID", ""),
        ("AZURE_CLIENT_ID", ""),
        NONE,
        ("KONG_VAULT_AZURE_TENANT_ID", support::azure::TENANT),
        ("KONG_VAULT_AZURE_CLIENT_ID", APP),
        ("KONG_VAULT_AZURE_CLIENT_SECRET", support::azure::SECRET),
    ];
    assert_eq!(reads(&azure.vault(&by_options), "plain").await, "just text");
    let by_prefix = [
        NONE,
        ("KONG_VAULT_AZURE_CREDENTIALS_PREFIX", "TEAM"),
        ("TEAM_CLIENT_SECRET", support::azure::SECRET),
        ("TEAM_CLIENT_ID", APP),
        ("TEAM_TENANT_ID", support::azure::TENANT),
    ];
    assert_eq!(reads(&azure.vault(&by_prefix), "plain").await, "just text");
    let place = format!("azure vault (mine) asking Entra ID at localhost:{}", azure.port);
    for (secret, part) in [
        ("wrong-s3cret", "the client secret in AZURE_CLIENT_SECRET is wrong: copy the secret's value"),
        (OLD_SECRET, "has expired: make a new one"),
    ] {
        let vault = azure.vault(&[("AZURE_CLIENT_SECRET", secret)]);
        let error = fails(&vault, "plain", Kind::Denied, &[&place, part, "(status 401, AADSTS7000"]).await;
        assert!(error.is_of_login());
    }
    let other = azure.vault(&[("AZURE_CLIENT_ID", MACHINE)]);
    fails(&other, "plain", Kind::Denied, &["no such application", "(status 400, AADSTS700016)"]).await;
    let other = azure.vault(&[("AZURE_TENANT_ID", "nowhere.example")]);
    fails(&other, "plain", Kind::Denied, &["no such tenant", "AADSTS90002"]).await;
    let other = azure.vault(&[("KONG_VAULT_AZURE_RESOURCE", "https://nobody.example")]);
    fails(&other, "plain", Kind::Denied, &["check `resource`", "AADSTS500011"]).await;
    refused(&azure.with(&[("AZURE_TENANT_ID", "")]), &["set `tenant_id` as well, or AZURE_TENANT_ID"]);
    refused(&azure.with(&[("AZURE_CLIENT_ID", "")]), &["set `client_id` as well"]);
    refused(&azure.with(&[("AZURE_TENANT_ID", "../x")]), &["the tenant must be its id"]);
    let nobody = format!("https://localhost:{}", closed_port());
    let away = azure.vault(&[("AZURE_AUTHORITY_HOST", &nobody)]);
    assert!(fails(&away, "plain", Kind::Unavailable, &["asking Entra ID at localhost"]).await.is_outage());
    for (status, kind, part) in
        [(429, Kind::Throttled, "too many logins: have fewer"), (503, Kind::Unavailable, "it failed")]
    {
        azure.state().login_refusal = Some((status, 50_196));
        let error = fails(&azure.vault(&[]), "plain", kind, &[part, "AADSTS50196"]).await;
        assert_eq!(error.retry_after().is_some(), status == 429);
    }
}

#[tokio::test]
async fn an_application_with_its_certificate() {
    let Some(azure) = Azure::start().await else { return };
    let path = azure.certificate("app");
    let pem = std::fs::read_to_string(&path).unwrap();
    let by_path = azure.vault(&[NONE, ("AZURE_CLIENT_CERTIFICATE_PATH", &path)]);
    assert_eq!(reads(&by_path, "plain").await, "just text");
    let by_text = [NONE, ("KONG_VAULT_AZURE_CLIENT_CERTIFICATE", pem.as_str())];
    assert_eq!(reads(&azure.vault(&by_text), "plain").await, "just text");
    let with_chain = [by_text[0], by_text[1], ("KONG_VAULT_AZURE_SEND_CERTIFICATE_CHAIN", "on")];
    assert_eq!(reads(&azure.vault(&with_chain), "plain").await, "just text");
    let ids = azure.state().assertions.len();
    assert_eq!(ids, 3, "each assertion has an id of its own");

    let unknown = rsa(azure.directory.path(), "unknown");
    let both = format!("{}{}", std::fs::read_to_string(&unknown.key).unwrap(), unknown.pem());
    let vault = azure.vault(&[NONE, ("KONG_VAULT_AZURE_CLIENT_CERTIFICATE", &both)]);
    fails(&vault, "plain", Kind::Denied, &["is not registered for the application", "AADSTS700027"]).await;
    let mixed = format!(
        "{}{}",
        std::fs::read_to_string(&unknown.key).unwrap(),
        pem.split("-----END PRIVATE KEY-----").nth(1).unwrap()
    );
    for (value, part) in [
        (mixed.as_str(), "belongs to none of its certificates"),
        (&unknown.pem(), "holds no whole key"),
        (&both.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE"), "is encrypted"),
        ("/nonexistent/app.pem", "names no file"),
    ] {
        let vault = azure.vault(&[NONE, ("KONG_VAULT_AZURE_CLIENT_CERTIFICATE", value)]);
        fails(&vault, "plain", Kind::Config, &["`client_certificate`", part]).await;
    }
    let pfx = azure.directory.path().join("app.pfx");
    std::fs::write(&pfx, b"\x30\x82\x01\x00\xff\xfe").unwrap();
    let vault = azure.vault(&[NONE, ("AZURE_CLIENT_CERTIFICATE_PATH", pfx.to_str().unwrap())]);
    fails(&vault, "plain", Kind::Config, &["AZURE_CLIENT_CERTIFICATE_PATH", "openssl pkcs12"]).await;
    // A certificate that was replaced counts with the next login.
    std::fs::copy(&path, &pfx).unwrap();
    assert_eq!(reads(&vault, "plain").await, "just text");
}

#[tokio::test]
async fn a_federated_token_is_read_anew_for_each_login() {
    let Some(azure) = Azure::start().await else { return };
    let signer = Signer::new(azure.directory.path());
    let token = |subject: &str, ends: u64| {
        signer.sign(&json!({"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "exp": ends, "iat": now()}))
    };
    let file = azure.directory.path().join("azure-identity-token");
    let vault = azure.vault(&[NONE, ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap())]);
    fails(&vault, "plain", Kind::Config, &["AZURE_FEDERATED_TOKEN_FILE", "does not exist"]).await;
    for (subject, ends, part) in [
        ("system:serviceaccount:apps:other", now() + 600, "compare its issuer, subject and audience"),
        (SUBJECT, now() - 1, "correct this machine's clock"),
    ] {
        std::fs::write(&file, token(subject, ends)).unwrap();
        fails(&vault, "plain", Kind::Denied, &[part, "AADSTS7000"[..9].as_ref()]).await;
    }
    std::fs::write(&file, format!("{}\n", token(SUBJECT, now() + 600))).unwrap();
    assert_eq!(reads(&vault, "plain").await, "just text");
}

#[tokio::test]
async fn a_managed_identity_in_each_place() {
    let Some(azure) = Azure::start().await else { return };
    let local = format!("http://{}", azure.local.address);
    let (imds, app, ml) = (local.clone(), format!("{local}/msi/token"), format!("{local}/ml/token"));
    let arc = format!("{local}/arc/token");
    let machine = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str());
    let of_app = [("IDENTITY_ENDPOINT", app.as_str()), ("IDENTITY_HEADER", HEADER)];
    let of_ml = [("MSI_ENDPOINT", ml.as_str()), ("MSI_SECRET", HEADER)];
    for place in [&[machine][..], &of_app, &of_ml] {
        let vault = azure.vault(&azure.machine(place));
        assert_eq!(reads(&vault, "plain").await, "just text", "{place:?}");
        for (named, is_known) in [(MACHINE, true), (APP, false)] {
            let named = [place, &[("AZURE_CLIENT_ID", named)]].concat();
            let mut variables = azure.machine(&[]);
            variables.retain(|(name, _)| *name != "AZURE_CLIENT_ID");
            variables.extend(named);
            let vault = azure.vault(&variables);
            if is_known {
                assert_eq!(reads(&vault, "plain").await, "just text", "{place:?}");
            } else {
                fails(&vault, "plain", Kind::Denied, &["assign a managed identity", "(status 400)"]).await;
            }
        }
    }
    for (place, option, value) in [
        (&[machine][..], "KONG_VAULT_AZURE_IDENTITY_OBJECT_ID", MACHINE),
        (&of_app, "KONG_VAULT_AZURE_IDENTITY_OBJECT_ID", MACHINE),
    ] {
        let vault = azure.vault(&azure.machine(&[place, &[(option, value)]].concat()));
        assert_eq!(reads(&vault, "plain").await, "just text");
    }
    let wrong = [of_app[0], ("IDENTITY_HEADER", "other")];
    let vault = azure.vault(&azure.machine(&wrong));
    fails(&vault, "plain", Kind::Denied, &["asking App Service's managed identity at", "(status 401)"]).await;
    // What Arc's agent names has to be one of its own keys: nothing else is read, and nothing sent.
    let vault = azure.vault(&azure.machine(&[("IDENTITY_ENDPOINT", &arc), ("IMDS_ENDPOINT", &local)]));
    fails(&vault, "plain", Kind::Invalid, &["names no key file of Azure Arc's agent"]).await;
}

#[tokio::test]
async fn a_metadata_service_that_is_not_ready_is_asked_again() {
    let Some(azure) = Azure::start().await else { return };
    let local = format!("http://{}", azure.local.address);
    let vault = azure.vault(&azure.machine(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &local)]));
    azure.state().statuses = vec![503, 404];
    assert_eq!(reads(&vault, "plain").await, "just text");
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let vault = azure.vault(&azure.machine(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nobody)]));
    let parts = ["asking Azure's metadata service at 127.0.0.1", "as an application instead, set AZURE_CLIENT_SECRET"];
    fails(&vault, "plain", Kind::Unavailable, &parts).await;
}

#[tokio::test]
async fn service_fabric_is_known_by_its_certificates_thumbprint() {
    let Some(azure) = Azure::start().await else { return };
    let pair = rsa(azure.directory.path(), "fabric");
    let state = std::sync::Arc::clone(&azure.state);
    let port = support::tls::answering(&pair, move |request| {
        let asked = support::clouds::Asked::of(request);
        if asked.header("secret") != Some(HEADER) || !asked.has("api-version", "2019-07-01-preview") {
            return support::answer("401 Unauthorized", "", "{}");
        }
        let token = support::azure::lock(&state).give(support::azure::RESOURCE, support::azure::TENANT);
        let body = json!({"access_token": token, "expires_on": (now() + 3600).to_string(), "token_type": "Bearer"});
        support::answer("200 OK", "", &body.to_string())
    });
    let endpoint = format!("https://127.0.0.1:{port}/metadata/identity/oauth2/token");
    let der = support::azure::der_of(&pair.pem());
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    let thumbprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let fabric = |thumbprint: &str| {
        let variables = [
            ("IDENTITY_ENDPOINT", endpoint.as_str()),
            ("IDENTITY_HEADER", HEADER),
            ("IDENTITY_SERVER_THUMBPRINT", thumbprint),
        ];
        azure.with(&azure.machine(&variables))
    };
    let build = |thumbprint: &str| support::azure::vault::build("azure", &fabric(thumbprint)).expect("a vault");
    assert_eq!(reads(&build(&thumbprint), "plain").await, "just text");
    fails(&build(&"0".repeat(40)), "plain", Kind::Tls, &["not the one with the thumbprint"]).await;
    refused(&fabric("x"), &["IDENTITY_SERVER_THUMBPRINT a SHA-1 in hex"]);
}

#[tokio::test]
async fn a_way_that_is_asked_for_is_the_only_one() {
    let Some(azure) = Azure::start().await else { return };
    let method = "KONG_VAULT_AZURE_AUTH_METHOD";
    assert_eq!(reads(&azure.vault(&[(method, "client_secret")]), "plain").await, "just text");
    for (wanted, part) in [
        ("certificate", "set `client_certificate` or AZURE_CLIENT_CERTIFICATE_PATH"),
        ("workload_identity", "set AZURE_FEDERATED_TOKEN_FILE"),
    ] {
        refused(&azure.with(&[(method, wanted)]), &["`auth_method` is ", part]);
    }
    let local = format!("http://{}", azure.local.address);
    let machine = azure.vault(&[
        (method, "managed_identity"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &local),
        ("AZURE_CLIENT_ID", MACHINE),
    ]);
    assert_eq!(reads(&machine, "plain").await, "just text");
}
