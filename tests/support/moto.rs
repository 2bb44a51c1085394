//! A real moto server, which speaks AWS's API, on a free loopback port; it ends with its guard.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Request;
use kong_vault::environment::Environment;
use kong_vault::http::{Client, HttpResponse, Transport};
use serde_json::Value;

use super::closed_port;

/// Bounds the wait for a start; it is no part of any result.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Moto {
    child: Child,
    pub port: u16,
    client: Client,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's program, or `None` where the tests are not told of one.
pub fn program() -> Option<String> {
    super::told("TEST_MOTO", "a moto_server")
}

impl Moto {
    /// Another process may take the port before the server does: then another is tried.
    pub async fn start(program: &str) -> Moto {
        for _ in 0..5 {
            if let Some(server) = Self::try_start(program).await {
                return server;
            }
        }
        panic!("{program} does not start");
    }

    async fn try_start(program: &str) -> Option<Moto> {
        let port = closed_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env_remove("INITIAL_NO_AUTH_ACTION_COUNT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's program");
        let client =
            Client::new(&Transport::new("test".to_owned(), &Environment::default(), PATIENCE)).expect("a client");
        let mut server = Moto { child, port, client };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if server.child.try_wait().expect("its state").is_some() {
                return None;
            }
            let ready = Request::get(server.url("moto-api/data.json")).body(Vec::new()).expect("a request");
            if matches!(server.client.send(ready).await, Ok(answer) if answer.status == 200) {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Where Secrets Manager is.
    pub fn endpoint(&self) -> String {
        self.url("")
    }

    async fn send(&self, request: http::request::Builder, body: String) -> HttpResponse {
        let answer = self.client.send(request.body(body.into_bytes()).expect("a request")).await.expect("an answer");
        assert!(answer.status < 300, "{} {:?}", answer.status, answer.body.as_str());
        answer
    }

    /// An operation of Secrets Manager.
    pub async fn secrets(&self, region: &str, operation: &str, body: Value) -> Value {
        let request = Request::post(self.endpoint())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header("authorization", scope(region, "secretsmanager"));
        let answer = self.send(request, body.to_string()).await;
        serde_json::from_slice(answer.body.as_bytes()).expect("JSON")
    }

    /// An operation of a service with the query protocol; returns what it answers, XML.
    pub async fn query(&self, service: &str, version: &str, operation: &str, parameters: &[(&str, &str)]) -> String {
        let request = Request::post(self.endpoint())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", scope("us-east-1", service));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", version).extend_pairs(parameters);
        let answer = self.send(request, form.finish()).await;
        answer.body.as_str().expect("text").to_owned()
    }

    pub async fn iam(&self, operation: &str, parameters: &[(&str, &str)]) -> String {
        self.query("iam", "2010-05-08", operation, parameters).await
    }

    /// From now on, signatures and permissions are checked.
    pub async fn check_signatures(&self) {
        self.send(Request::post(self.url("moto-api/reset-auth")), "0".to_owned()).await;
    }
}

/// As much of a signature as the server needs to know which service is meant.
fn scope(region: &str, service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=any/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

/// What stands in the first element of a name.
pub fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}"));
    rest.split_once('<').expect("its end").0.replace("&#x2F;", "/")
}
