//! Every way to log in to Conjur: what is sent, and what is said where it is refused.

mod support;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kong_vault::backend::Backend;
use kong_vault::error::Kind;
use support::conjur::{Conjur, build, fails, harmless, reads, try_build};
use support::cyberark::{ACCOUNT, AWS_ID, AWS_KEY, AWS_SESSION, INSTANCE, MACHINE, POD, ROLE, broken, pod_token};
use support::{Fake, clouds};

/// The variables of a role's session.
fn session<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("AWS_ACCESS_KEY_ID", AWS_ID),
        ("AWS_SECRET_ACCESS_KEY", AWS_KEY),
        ("AWS_SESSION_TOKEN", AWS_SESSION),
        ("AWS_CONFIG_FILE", "/nonexistent"),
    ];
    usual.into_iter().chain(more.iter().copied()).collect()
}

fn iam(conjur: &Conjur, options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
    let mut all = vec![("auth_method", "iam"), ("service_id", "prod"), ("login", ROLE)];
    all.extend(options);
    conjur.vault(&all, environment)
}

#[tokio::test]
async fn a_projected_token_is_read_for_each_login() {
    let Some(conjur) = Conjur::start().await else { return };
    let path = conjur.file("token", "hunter2");
    let options = [("auth_method", "jwt"), ("service_id", "k8s"), ("jwt_file", path.as_str())];
    let vault = conjur.vault(&options, &[]);
    let part = "the JWT in /";
    fails(&vault, "plain", Kind::Denied, part).await;
    fails(&vault, "plain", Kind::Denied, "is not accepted by authn-jwt/k8s: check the JWT's issuer, audience").await;
    conjur.file("token", &format!("{}\n", pod_token(&conjur.signer, "conjur", 600)));
    assert_eq!(reads(&vault, "plain").await, "plain");
    // The kubelet writes a new one; the next login has it.
    conjur.file("token", &pod_token(&conjur.signer, "another", 600));
    conjur.world().revoke();
    fails(&vault, "plain", Kind::Denied, "is not accepted").await;
    let asked = conjur.world().asked.clone();
    assert!(asked.contains(&"POST /authn-jwt/k8s/acct/authenticate".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn a_jwt_with_its_host_in_the_url_and_from_each_place() {
    let Some(conjur) = Conjur::start().await else { return };
    let jwt = pod_token(&conjur.signer, "conjur", 600);
    let path = conjur.file("token", &jwt);
    let named = [("auth_method", "jwt"), ("service_id", "named"), ("login", POD), ("jwt", &jwt)];
    assert_eq!(reads(&conjur.vault(&named, &[]), "plain").await, "plain");
    let asked = conjur.world().asked.clone();
    assert!(asked.contains(&"POST /authn-jwt/named/acct/host%2Fapps%2Fgateway/authenticate".to_owned()), "{asked:?}");
    let method = [("auth_method", "jwt")];
    for environment in [
        vec![("CONJUR_AUTHN_JWT_SERVICE_ID", "k8s"), ("CONJUR_AUTHN_JWT_TOKEN", jwt.as_str())],
        vec![("CONJUR_SERVICE_ID", "k8s"), ("JWT_TOKEN_PATH", &path)],
        vec![
            ("CONJUR_AUTHN_JWT_SERVICE_ID", "named"),
            ("CONJUR_SERVICE_ID", "other"),
            ("CONJUR_AUTHN_JWT_HOST_ID", "apps/gateway"),
            ("JWT_TOKEN_PATH", &path),
        ],
    ] {
        let url = conjur.url();
        let environment: Vec<_> = environment.into_iter().chain([("CONJUR_APPLIANCE_URL", url.as_str())]).collect();
        assert_eq!(reads(&conjur.vault(&method, &environment), "plain").await, "plain", "{environment:?}");
    }
    assert_eq!(conjur.given("authn-jwt"), 4);
}

#[tokio::test]
async fn jwts_that_are_refused_are_told_apart() {
    let Some(conjur) = Conjur::start().await else { return };
    let good = pod_token(&conjur.signer, "conjur", 600);
    let old = pod_token(&conjur.signer, "conjur", -60);
    let other = pod_token(&conjur.signer, "https://kubernetes.default.svc", 600);
    for (service, login, jwt, kind, part) in [
        (
            "k8s",
            "",
            old.as_str(),
            Kind::Denied,
            "the JWT in the option jwt has expired: check that the program that writes",
        ),
        (
            "k8s",
            "",
            &other,
            Kind::Denied,
            "is not accepted by authn-jwt/k8s: check the JWT's issuer, audience and claims",
        ),
        ("k8s", "", &broken(&good), Kind::Denied, "is not accepted by authn-jwt/k8s"),
        ("none", "", &good, Kind::Denied, "is not accepted by authn-jwt/none"),
        ("named", "host/other", &good, Kind::Denied, "the JWT in the option jwt as host/other is not accepted"),
        ("forbidden", "", &good, Kind::Denied, "grant its host the privilege `authenticate` on the webservice"),
    ] {
        let options = [("auth_method", "jwt"), ("service_id", service), ("login", login), ("jwt", jwt)];
        let options: Vec<_> = options.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let error = fails(&conjur.vault(&options, &[]), "plain", kind, part).await;
        assert!(error.is_of_login(), "{error}");
    }
    let empty = conjur.file("empty", "");
    for (path, part) in [
        (
            "/nonexistent/token",
            "no JWT to log in with: /nonexistent/token does not exist: set jwt_file, or mount the token",
        ),
        (empty.as_str(), "is empty: set jwt_file"),
        ("/", "no JWT to log in with"),
    ] {
        let options = [("auth_method", "jwt"), ("service_id", "k8s"), ("jwt_file", path)];
        fails(&conjur.vault(&options, &[]), "plain", Kind::Config, part).await;
    }
    assert!(conjur.world().given.is_empty());
}

#[tokio::test]
async fn an_aws_role_is_proved_by_a_signature_of_just_the_headers_that_conjur_takes() {
    let Some(conjur) = Conjur::start().await else { return };
    for (options, environment) in [
        (vec![], session(&[])),
        (vec![], session(&[("AWS_REGION", "eu-central-1")])),
        (vec![("aws_region", "us-gov-west-1")], session(&[("AWS_REGION", "eu-central-1")])),
    ] {
        let vault = iam(&conjur, &options, &environment);
        assert_eq!(reads(&vault, "plain").await, "plain", "{options:?} {environment:?}");
    }
    assert_eq!(conjur.given("authn-iam"), 3);
    let other = session(&[("AWS_SECRET_ACCESS_KEY", "hunter2/other")]);
    for (options, environment, kind, part) in [
        (
            vec![],
            other,
            Kind::Denied,
            "the AWS credentials as host/apps/123456789012/gateway is not accepted by authn-iam",
        ),
        (
            vec![("login", "host/apps/1/gateway")],
            session(&[]),
            Kind::Denied,
            "`login` ends with the number of the AWS account",
        ),
        (vec![("service_id", "test")], session(&[]), Kind::Denied, "is not accepted by authn-iam/test"),
        (vec![], vec![], Kind::Config, "no AWS credentials"),
    ] {
        let error = fails(&iam(&conjur, &options, &environment), "plain", kind, part).await;
        assert!(error.is_of_login(), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_a_signature_is_given_up() {
    let Some(conjur) = Conjur::start().await else { return };
    conjur.world().ahead = Duration::from_secs(7200);
    assert_eq!(reads(&iam(&conjur, &[], &session(&[])), "plain").await, "plain");
    assert_eq!(conjur.given("authn-iam"), 1);
}

#[tokio::test]
async fn a_google_instance_is_proved_by_its_identity_token() {
    let Some(conjur) = Conjur::start().await else { return };
    let metadata = clouds::gce().await.address.to_string();
    let environment = [("GCE_METADATA_HOST", metadata.as_str())];
    let vault = |login| conjur.vault(&[("auth_method", "gcp"), ("login", login)], &environment);
    assert_eq!(reads(&vault(INSTANCE), "plain").await, "plain");
    assert!(conjur.world().asked.contains(&"POST /authn-gcp/acct/authenticate".to_owned()));
    let part = "the identity token of Google's metadata server is not accepted by authn-gcp: check `login`";
    fails(&vault("host/other"), "plain", Kind::Denied, part).await;
    let silent = Fake::silent().await.address.to_string();
    let nowhere = conjur.vault(&[("auth_method", "gcp"), ("login", INSTANCE)], &[("GCE_METADATA_HOST", &silent)]);
    let error = nowhere.fetch(&id("plain")).await.expect_err("no metadata server");
    assert!(error.is_of_login() && error.to_string().starts_with("conjur vault (mine) getting credentials"), "{error}");
}

#[tokio::test]
async fn an_azure_machine_is_proved_by_its_identitys_token() {
    let Some(conjur) = Conjur::start().await else { return };
    let metadata = format!("http://{}", clouds::azure().await.address);
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.as_str())];
    let vault = |more: &[(&str, &str)]| {
        let allowed = format!("https://other.example,{}/", conjur.url());
        let mut all = vec![("auth_method", "azure"), ("service_id", "prod"), ("login", MACHINE)];
        all.push(("azure_endpoints", &allowed));
        all.extend(more);
        conjur.vault(&all, &environment)
    };
    assert_eq!(reads(&vault(&[]), "plain").await, "plain");
    // Only the operator says where such a token may go.
    let url = conjur.url();
    let options = [
        ("endpoint_url", url.as_str()),
        ("account", ACCOUNT),
        ("auth_method", "azure"),
        ("service_id", "prod"),
        ("login", MACHINE),
    ];
    let named = [environment[0], ("CONJUR_APPLIANCE_URL", &url)];
    assert_eq!(reads(&build(&options, &named), "plain").await, "plain");
    for environment in [vec![environment[0]], vec![environment[0], ("CONJUR_APPLIANCE_URL", "https://other.example")]] {
        let error = try_build(&options, &environment).err().expect("no token goes there");
        harmless(&error, "a token of Azure is not sent to an address that only `endpoint_url` has");
    }
    let asked = conjur.world().asked.clone();
    assert!(asked.contains(&"POST /authn-azure/prod/acct/host%2Fapps%2Fmachine/authenticate".to_owned()), "{asked:?}");
    for (option, value) in [("azure_resource", "https://vault.azure.net"), ("login", "host/apps/other")] {
        let part =
            "is not accepted by authn-azure/prod: check `login`, `service_id` and `account`, the authenticator's";
        fails(&vault(&[(option, value)]), "plain", Kind::Denied, part).await;
    }
    let unknown = vault(&[("azure_client_id", "unknown")]).fetch(&id("plain")).await.expect_err("no such identity");
    assert!(unknown.is_of_login() && unknown.to_string().contains("assign a managed identity"), "{unknown}");
}

fn id(name: &str) -> kong_vault::backend::SecretId {
    kong_vault::backend::SecretId { resource: name.to_owned(), version: None }
}

#[tokio::test]
async fn a_sidecars_token_is_read_again_when_it_is_refused_or_ends() {
    let Some(conjur) = Conjur::start().await else { return };
    let token = conjur.world().give("sidecar", POD);
    let path = conjur.file("access-token", &token);
    let options = [("auth_method", "token_file"), ("token_file", path.as_str())];
    let vault = conjur.vault(&options, &[]);
    assert_eq!(reads(&vault, "plain").await, "plain");
    conjur.world().revoke();
    let token = conjur.world().give("sidecar", POD);
    // In base64, as `conjur authenticate` can write it.
    conjur.file("access-token", &format!("{}\n", STANDARD.encode(token)));
    assert_eq!(reads(&vault, "plain").await, "plain");
    let url = conjur.url();
    let variables = [("CONJUR_AUTHN_TOKEN_FILE", path.as_str()), ("CONJUR_APPLIANCE_URL", &url)];
    let by_variable = conjur.vault(&options[..1], &variables);
    assert_eq!(reads(&by_variable, "plain").await, "plain");
    assert_eq!(conjur.world().asked.iter().filter(|line| line.starts_with("POST")).count(), 0);
    for (text, part) in [("hunter2", "is not a token of Conjur: check `token_file`"), ("", "is not a token of Conjur")]
    {
        conjur.file("access-token", text);
        fails(&conjur.vault(&options, &[]), "plain", Kind::Config, part).await;
    }
    conjur.world().life = Duration::ZERO;
    let old = conjur.world().give("sidecar", POD);
    conjur.file("access-token", &old);
    let part = "seconds ago: check that the program that writes it runs";
    fails(&conjur.vault(&options, &[]), "plain", Kind::Config, part).await;
    let missing = conjur.vault(&[("auth_method", "token_file"), ("token_file", "/nonexistent/token")], &[]);
    fails(&missing, "plain", Kind::Config, "no access token: /nonexistent/token does not exist").await;
}
