//! What HashiCorp Vault's logins by clouds meet in the tests: the clouds' own services, proven by their vendors' clients, and
//! vaults that take the logins, proven by Vault's client for Python. `make proofs` installs these. All else is a real OpenBao.

use crate::support::clouds::{app_service, azure, decoded, ec2, gce, iam_credentials, vault};
use crate::support::{Fake, proof};
use serde_json::Value;

fn has(body: &Value, pairs: &[(&str, &str)]) -> Result<(), String> {
    match pairs.iter().find(|(name, value)| body[*name] != **value) {
        Some((name, _)) => Err(format!("{name} is wrong")),
        None => Ok(()),
    }
}

#[tokio::test]
#[ignore = "needs the clouds' and Vault's clients: make proofs"]
async fn the_vendors_own_clients_accept_and_are_refused() {
    let Some(python) = proof::python() else { return };
    let of_gcp = vault("/v1/auth/gcp/login", |body| has(body, &[("role", "reader"), ("jwt", "a.b.c")])).await;
    let of_azure = vault("/v1/auth/azure/login", |body| {
        has(body, &[("role", "reader"), ("jwt", "a.b.c"), ("vm_name", "vm7"), ("subscription_id", "sub-1")])
    });
    let of_azure = of_azure.await;
    let of_aws = vault("/v1/auth/aws/login", |body| {
        let signed = decoded(&body["iam_request_headers"]);
        match has(body, &[("role", "reader"), ("iam_http_request_method", "POST")]) {
            Ok(()) if !signed.contains("AWS4-HMAC-SHA256") => Err("it is not signed".to_owned()),
            Ok(()) if !decoded(&body["iam_request_body"]).contains("GetCallerIdentity") => {
                Err("it asks for something else".to_owned())
            }
            told => told,
        }
    });
    let of_aws = of_aws.await;
    let url = |fake: &Fake| format!("http://{}", fake.address);
    let (gce, signer, azure, app_service, ec2) =
        (gce().await, iam_credentials().await, azure().await, app_service().await, ec2().await);
    let where_ = [
        ("GCP_VAULT", url(&of_gcp)),
        ("AZURE_VAULT", url(&of_azure)),
        ("AWS_VAULT", url(&of_aws)),
        ("GCE", gce.address.to_string()),
        ("SIGNER", url(&signer)),
        ("AZURE", url(&azure)),
        ("APP_SERVICE", url(&app_service)),
        ("EC2", url(&ec2)),
    ];
    proof::run(&python, "hcv", where_).await;
}
