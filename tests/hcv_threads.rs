//! In nginx's init phase no thread may live at the fork. This test is alone in its program, so that it can count them.

mod support;

use std::time::Duration;

use http::Request;
use kong_vault::backend::http::{Client, Transport};
use kong_vault::environment::Environment;
use support::{Fake, answer};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

#[tokio::test]
async fn without_threads_there_are_none() {
    let server = Fake::start(|_| answer("200 OK", "", "{}")).await;
    let (before, nothing) = (threads(), Environment::default());
    for allowed in [false, true] {
        let transport = Transport {
            threads: allowed,
            ..Transport::new("hcv vault (test)".to_owned(), &nothing, Duration::from_secs(5))
        };
        let client = Client::new(&transport).unwrap();
        for name in ["localhost", "nosuchhost.invalid"] {
            let url = format!("http://{name}:{}/", server.port());
            let answer = client.send(Request::get(url).body(Vec::new()).unwrap()).await;
            assert_eq!(answer.is_ok(), name == "localhost");
        }
        assert_eq!(threads() > before, allowed);
    }
}
