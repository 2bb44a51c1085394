//! In nginx's init phase no thread may live at the fork. This test is alone in its program, so that it can count them.

mod support;

use std::time::{Duration, Instant};

use http::Request;
use kong_vault::environment::Environment;
use kong_vault::http::{Client, Transport};
use kong_vault::pool;
use kong_vault::resolver::blocking;
use support::{Fake, answer};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// One that is joined may be listed for a moment.
fn until_there_are(wanted: usize) {
    let end = Instant::now() + Duration::from_secs(30);
    while threads() != wanted {
        assert!(Instant::now() < end, "{} threads, not {wanted}", threads());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_blocking_call_leaves_no_thread_and_waits_for_none_that_hangs() {
    let (before, nothing) = (threads(), Environment::default());
    let answers = blocking::run(async {
        let server = Fake::start(|_| answer("200 OK", "", "{}")).await;
        let client = Client::new(&Transport::new("hcv vault (test)".to_owned(), &nothing, Duration::from_secs(5)));
        let client = client.unwrap();
        let mut answers = Vec::new();
        for name in ["localhost", "nosuchhost.invalid"] {
            let url = format!("http://{name}:{}/", server.port());
            answers.push(client.send(Request::get(url).body(Vec::new()).unwrap()).await.is_ok());
        }
        assert!(threads() > before, "names are not looked up on this thread");
        answers
    });
    assert_eq!(answers.unwrap(), [true, false]);
    until_there_are(before);

    // A look-up that outlasts the time of whoever asks.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let given_up = blocking::run(async move {
        let looking = pool::names().run(b"silent.test", move || ended.recv().is_ok());
        tokio::time::timeout(Duration::from_millis(100), looking).await.is_err()
    });
    assert!(given_up.unwrap());
    until_there_are(before + 1);
    drop(end);
    while threads() != before {
        pool::end_idle_threads();
    }
}
