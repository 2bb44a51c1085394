//! Servers' answers, whatever they are: secrets, logins, tokens, leases, credentials of clouds. A server on a loopback port
//! gives them one after the other to a vault that asks.
#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::resolver::Resolver;
use kong_vault_fuzz::{Bytes, bounded, hides};
use libfuzzer_sys::fuzz_target;

/// What is answered next.
static ANSWERS: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());

static PORT: LazyLock<u16> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
});

fn serve(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(count @ 1..) = stream.read(&mut piece) else { return };
        request.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0usize) {
            break;
        }
    }
    let answer = ANSWERS.lock().expect("no panic").pop_front();
    let _ = stream.write_all(&answer.unwrap_or_else(|| b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n".to_vec()));
}

/// Keys of kong.conf, variables of the environment; `PORT` is the server's port.
type Vault = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)], &'static str);

const KEY: &[(&str, &str)] = &[("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "m4rk3r-0f-a-s3cr3t")];

const VAULTS: [Vault; 13] = [
    (&[("vault_hcv_token", "m4rk3r-0f-a-s3cr3t")], &[], "{vault://hcv/a/password}"),
    (&[("vault_hcv_kv", "v2"), ("vault_hcv_token", "m4rk3r-0f-a-s3cr3t")], &[], "{vault://hcv/a/password#2}"),
    (&[("vault_hcv_token_renew", "on"), ("vault_hcv_token", "m4rk3r-0f-a-s3cr3t")], &[], "{vault://hcv/a/password}"),
    (
        &[
            ("vault_hcv_auth_method", "approle"),
            ("vault_hcv_approle_role_id", "r"),
            ("vault_hcv_approle_secret_id", "s"),
        ],
        &[],
        "{vault://hcv/a/password}",
    ),
    (
        &[
            ("vault_hcv_auth_method", "approle"),
            ("vault_hcv_approle_role_id", "r"),
            ("vault_hcv_approle_secret_id", "m4rk3r-0f-a-s3cr3t"),
            ("vault_hcv_approle_response_wrapping", "on"),
        ],
        &[],
        "{vault://hcv/a/password}",
    ),
    (
        &[
            ("vault_hcv_auth_method", "jwt"),
            ("vault_hcv_oauth2_token_endpoint", "http://127.0.0.1:PORT/token"),
            ("vault_hcv_oauth2_client_id", "c"),
            ("vault_hcv_oauth2_client_secret", "m4rk3r-0f-a-s3cr3t"),
        ],
        &[],
        "{vault://hcv/a/password}",
    ),
    (
        &[
            ("vault_hcv_auth_method", "userpass"),
            ("vault_hcv_userpass_username", "u"),
            ("vault_hcv_userpass_password", "m4rk3r-0f-a-s3cr3t"),
        ],
        &[],
        "{vault://hcv/a/password}",
    ),
    (
        &[
            ("vault_hcv_auth_method", "aws_iam"),
            ("vault_hcv_aws_auth_role", "r"),
            ("vault_hcv_aws_auth_region", "eu-west-1"),
        ],
        KEY,
        "{vault://hcv/a/password}",
    ),
    (
        &[
            ("vault_hcv_auth_method", "aws_ec2"),
            ("vault_hcv_aws_auth_role", "r"),
            ("vault_hcv_aws_auth_nonce", "m4rk3r-0f-a-s3cr3t"),
        ],
        &[],
        "{vault://hcv/a/password}",
    ),
    (&[], KEY, "{vault://aws/a/password}"),
    (&[("vault_aws_assume_role_arn", "arn:aws:iam::123456789012:role/a")], KEY, "{vault://aws/a/password}"),
    (&[], &[], "{vault://aws/a}"),
    (&[], &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:PORT/c")], "{vault://aws/a/password}"),
];

const BODIES: [&str; 14] = [
    "{\"data\":{\"password\":\"m4rk3r-0f-a-s3cr3t\",\"user\":\"a\"},\"lease_id\":\"x\",\"lease_duration\":3600,\"renewable\":true}",
    "{\"data\":{\"data\":{\"password\":\"m4rk3r-0f-a-s3cr3t\"},\"metadata\":{\"version\":2,\"deletion_time\":\"\",\"destroyed\":false}}}",
    "{\"auth\":{\"client_token\":\"m4rk3r-0f-a-s3cr3t\",\"lease_duration\":60,\"renewable\":true,\"policies\":[\"a\"]}}",
    "{\"data\":{\"id\":\"m4rk3r-0f-a-s3cr3t\",\"ttl\":60,\"renewable\":true,\"creation_ttl\":60,\"num_uses\":0}}",
    "{\"data\":{\"creation_path\":\"auth/approle/role/x/secret-id\",\"creation_ttl\":60,\"creation_time\":\"2026-01-01T00:00:00Z\"}}",
    "{\"data\":{\"secret_id\":\"m4rk3r-0f-a-s3cr3t\",\"secret_id_ttl\":60}}",
    "{\"access_token\":\"m4rk3r-0f-a-s3cr3t\",\"token_type\":\"Bearer\",\"expires_in\":60}",
    "{\"SecretString\":\"{\\\"password\\\":\\\"m4rk3r-0f-a-s3cr3t\\\"}\",\"VersionId\":\"v\",\"ARN\":\"a\"}",
    "{\"SecretBinary\":\"bTRyazNyLTBmLWEtczNjcjN0\",\"VersionId\":\"v\"}",
    "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"no such secret\"}",
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>m4rk3r-0f-a-s3cr3t\
     </SecretAccessKey><SessionToken>m4rk3r-0f-a-s3cr3t</SessionToken><Expiration>2036-01-01T00:00:00Z</Expiration></Credentials>\
     </AssumeRoleResult></AssumeRoleResponse>",
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"m4rk3r-0f-a-s3cr3t\",\"Token\":\"m4rk3r-0f-a-s3cr3t\",\
     \"Expiration\":\"2036-01-01T00:00:00Z\"}",
    "m4rk3r-0f-a-s3cr3t",
    "{\"errors\":[\"permission denied\"]}",
];

const STATUSES: [u16; 12] = [200, 200, 200, 200, 200, 204, 301, 400, 403, 404, 429, 500];

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let (keys, variables, reference) = *bytes.one_of(&VAULTS);
    let mut answers = VecDeque::new();
    while !bytes.is_empty() && answers.len() < 6 {
        let status = *bytes.one_of(&STATUSES);
        let body = bytes.one_of(&BODIES);
        let body = bytes.edited(body);
        let mut answer =
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        if bytes.byte() > 240 {
            let more: Vec<u8> = bytes.piece().iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
            answer.extend([&b"retry-after: "[..], &more, b"\r\nlocation: ", &more, b"\r\n"].concat());
        }
        answers.push_back([&answer[..], b"\r\n", &body].concat());
    }
    *ANSWERS.lock().expect("no panic") = answers;
    let port = PORT.to_string();
    let mut conf: BTreeMap<String, String> =
        keys.iter().map(|(key, value)| ((*key).to_owned(), value.replace("PORT", &port))).collect();
    let url = format!("http://127.0.0.1:{port}");
    for (key, value) in [("vault_fetch_timeout", "0.2"), ("vault_hcv_host", "127.0.0.1"), ("vault_hcv_port", &port)] {
        conf.insert(key.to_owned(), value.to_owned());
    }
    let mut environment: Vec<(&str, String)> =
        variables.iter().map(|(name, value)| (*name, value.replace("PORT", &port))).collect();
    environment.extend([
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ENDPOINT_URL", url.clone()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url),
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
    ]);
    let environment = Environment::from_variables(environment.iter().map(|(name, value)| (*name, value.as_str())));
    bounded(data.len(), || {
        let config = Config::load(&conf, &environment).expect("a configuration");
        config.check().expect("that is right");
        let resolver = Arc::new(Resolver::new(config, environment.clone(), Arc::new(AtomicU32::new(0))));
        match resolver.fetch_blocking(&[reference.as_bytes().to_vec()]).pop().expect("an outcome") {
            Ok(secret) => hides(&format!("{secret:?}")),
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "{error}");
                hides(&format!("{error} {error:?}"));
            }
        }
    });
});
