//! AWS credentials in the course of time: they end under load, are refused before their end, and are signed with a clock
//! that is wrong.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use kong_vault::error::Kind;
use support::amazon::{Session, build, fetch, harmless, header, http_date, line};
use support::{Fake, answer};

/// An account: which keys are good until when.
#[derive(Default)]
struct Account {
    keys: Mutex<HashMap<String, SystemTime>>,
    issued: AtomicUsize,
}

impl Account {
    fn issue(&self, lasts: Duration) -> Session {
        let id = format!("ASIA{:016}", self.issued.fetch_add(1, Ordering::SeqCst));
        self.keys.lock().unwrap().insert(id.clone(), SystemTime::now() + lasts);
        Session { id, key: "hunter2-key".to_owned(), token: "hunter2-token".to_owned() }
    }

    fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.keys.lock().unwrap().clear();
    }

    /// The name of what is wrong with a request's key.
    fn flaw(&self, request: &str) -> Option<&'static str> {
        let authorization = header(request, "authorization").unwrap_or_default();
        let id = authorization.split("Credential=").nth(1).and_then(|scope| scope.split('/').next());
        match self.keys.lock().unwrap().get(id.unwrap_or_default()) {
            None => Some("UnrecognizedClientException"),
            Some(end) if *end <= SystemTime::now() => Some("ExpiredTokenException"),
            Some(_) => None,
        }
    }
}

/// A container's agent that gives each time new credentials, for so long.
async fn agent(account: &Arc<Account>, lasts: Duration) -> Fake {
    let account = account.clone();
    Fake::start(move |request| {
        assert_eq!(line(request), "GET /keys");
        answer("200 OK", "", &account.issue(lasts).json(lasts))
    })
    .await
}

/// Secrets Manager, as far as it knows good keys from bad ones.
async fn secrets(account: &Arc<Account>) -> Fake {
    let account = account.clone();
    let answers = move |request: &str| match account.flaw(request) {
        None => answer("200 OK", "", r#"{"SecretString":"the value"}"#),
        Some(name) => answer("400 Bad Request", "", &format!(r#"{{"__type":"{name}","message":"hunter2"}}"#)),
    };
    Fake::lasting("127.0.0.1:0", answers).await.unwrap()
}

fn vault(secrets: &Fake, agent: &Fake) -> Arc<dyn kong_vault::backend::Backend> {
    let endpoint = format!("http://{}", secrets.address);
    let agent = format!("http://{}/keys", agent.address);
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.as_str()), ("AWS_REGION", "eu-west-1")];
    build(&[("endpoint_url", &endpoint)], &environment)
}

#[tokio::test]
async fn credentials_that_end_under_load_fail_no_fetch() {
    let account = Arc::new(Account::default());
    let (agent, secrets) = (agent(&account, Duration::from_secs(2)).await, secrets(&account).await);
    let vault = vault(&secrets, &agent);
    let end = Instant::now() + Duration::from_secs(7);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let vault = vault.clone();
        readers.spawn(async move {
            let mut reads = 0;
            while Instant::now() < end {
                assert_eq!(fetch(&vault, "a").await.unwrap(), "the value");
                reads += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            reads
        });
    }
    let reads: usize = readers.join_all().await.into_iter().sum();
    assert!(reads > 1000, "{reads}");
    // They are renewed after two thirds of two seconds, each time once for all readers.
    assert!((4..=7).contains(&account.issued()), "{}", account.issued());
}

#[tokio::test]
async fn refused_credentials_are_replaced_once_and_the_fetch_is_tried_again() {
    let account = Arc::new(Account::default());
    let (agent, secrets) = (agent(&account, Duration::from_secs(3600)).await, secrets(&account).await);
    let vault = vault(&secrets, &agent);
    fetch(&vault, "a").await.unwrap();
    account.revoke();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let vault = vault.clone();
        readers.spawn(async move { fetch(&vault, "a").await });
    }
    for read in readers.join_all().await {
        assert_eq!(read.unwrap(), "the value");
    }
    assert_eq!(account.issued(), 2, "once for all readers");
    // Keys that never are welcome are not asked for with each fetch.
    for _ in 0..10 {
        account.revoke();
        let error = fetch(&vault, "a").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        let text = harmless(&error);
        assert!(text.contains("from the container's agent is not known"), "{text}");
    }
    assert_eq!(account.issued(), 2);
}

/// A service whose clock differs from ours, and who minds five minutes. It counts its requests.
async fn elsewhere(shift: i64, refusal: &'static str, patient: bool) -> (Fake, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Fake::start(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let shift_by = Duration::from_secs(shift.unsigned_abs());
        let now = if shift < 0 { SystemTime::now() - shift_by } else { SystemTime::now() + shift_by };
        let date = format!("date: {}\r\n", http_date(now));
        let signed = header(request, "x-amz-date").unwrap_or_default().to_owned();
        let near = (-300..=300).map(|seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            basic(if seconds < 0 { now - by } else { now + by })
        });
        if patient && near.into_iter().any(|time| time == signed) {
            return answer("200 OK", &date, r#"{"SecretString":"the value"}"#);
        }
        answer("400 Bad Request", &date, refusal)
    })
    .await;
    (server, asked)
}

/// The form of `X-Amz-Date`.
fn basic(time: SystemTime) -> String {
    let text = support::amazon::rfc3339(time);
    let digits: String = text.split('.').next().unwrap().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    digits + "Z"
}

fn with_keys(server: &Fake) -> Arc<dyn kong_vault::backend::Backend> {
    let environment =
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "eu-west-1")];
    build(&[("endpoint_url", &format!("http://{}", server.address))], &environment)
}

const EXPIRED: &str = r#"{"__type":"InvalidSignatureException","message":"Signature expired: hunter2"}"#;
const EARLY: &str = r#"{"__type":"InvalidSignatureException","message":"Signature not yet current: hunter2"}"#;
const SKEWED: &str = "<E><Error><Code>RequestTimeTooSkewed</Code><Message>hunter2</Message></Error></E>";

#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_by_the_servers() {
    for (shift, refusal) in [(3600, EXPIRED), (-3600, EARLY), (86_400, SKEWED)] {
        let (server, asked) = elsewhere(shift, refusal, true).await;
        let vault = with_keys(&server);
        for _ in 0..3 {
            assert_eq!(fetch(&vault, "a").await.unwrap(), "the value");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 4, "only the first one is tried again");
    }
}

#[tokio::test]
async fn a_correction_that_does_not_help_is_said() {
    let (server, asked) = elsewhere(3600, EXPIRED, false).await;
    let vault = with_keys(&server);
    let text = harmless(&fetch(&vault, "a").await.unwrap_err());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(text.contains("correct this machine's clock (it is 3"), "{text}");
    assert!(text.contains("seconds behind) (status 400, InvalidSignatureException)"), "{text}");
    fetch(&vault, "a").await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 3, "it knows already");
    // Who refuses our time at our own time is not to be pleased.
    let (same, asked) = elsewhere(0, EXPIRED, false).await;
    let text = harmless(&fetch(&with_keys(&same), "a").await.unwrap_err());
    assert!(text.contains("correct this machine's clock (status 400"), "{text}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_role_is_assumed_with_the_corrected_time() {
    let account = Arc::new(Account::default());
    let secrets = secrets(&account).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, roles) = (asked.clone(), account.clone());
    let sts = Fake::start(move |request| {
        let date = format!("date: {}\r\n", http_date(SystemTime::now() + Duration::from_secs(3600)));
        let signed = header(request, "x-amz-date").unwrap_or_default().to_owned();
        let ahead = basic(SystemTime::now() + Duration::from_secs(1800));
        seen.lock().unwrap().push(request.to_owned());
        if signed > ahead {
            return answer("200 OK", &date, &roles.issue(Duration::from_secs(7200)).xml(Duration::from_secs(7200)));
        }
        answer(
            "403 Forbidden",
            &date,
            &SKEWED.replace("RequestTimeTooSkewed", "SignatureDoesNotMatch").replace("hunter2", "Signature expired"),
        )
    })
    .await;
    let environment =
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "eu-west-1")];
    let options = [
        ("endpoint_url", format!("http://{}", secrets.address)),
        ("sts_endpoint_url", format!("http://{}/", sts.address)),
        ("assume_role_arn", "arn:aws:iam::123456789012:role/team/gateway".to_owned()),
        ("external_id", "shop-7".to_owned()),
    ];
    let vault = build(&options.each_ref().map(|(name, value)| (*name, value.as_str())), &environment);
    for _ in 0..3 {
        assert_eq!(fetch(&vault, "a").await.unwrap(), "the value");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "one role, after one correction");
    let body = asked[1].split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        body,
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fteam%2Fgateway\
         &RoleSessionName=KongVault&ExternalId=shop-7"
    );
    assert!(header(&asked[1], "authorization").unwrap().contains("/eu-west-1/sts/aws4_request"), "regional");
}
