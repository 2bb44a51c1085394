use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::queue::{BATCH, MOST};
use super::super::requests::Requests;
use super::*;

#[test]
fn pauses_double_and_are_bounded_also_where_the_collector_asks_for_more() {
    let own = |attempts| pause(attempts, None, 1.0);
    assert_eq!([1, 2, 3].map(own), [1, 2, 4].map(Duration::from_secs));
    assert_eq!(pause(1, None, 0.0), FIRST_PAUSE / 2);
    assert_eq!(own(u32::MAX), LONGEST_PAUSE);
    assert_eq!(pause(1, Some(Duration::from_secs(7)), 0.5), Duration::from_secs(7));
    assert_eq!(pause(1, Some(Duration::from_secs(3600)), 0.5), LONGEST_PAUSE);
}

#[test]
fn the_operator_is_told_of_a_failure_once_a_minute_at_most_and_of_its_end() {
    let (mut told, start) = (Told::default(), Instant::now());
    assert!(!told.note(false, start), "nothing is wrong");
    assert!(told.note(true, start));
    assert!(!told.note(true, start + QUIET * 2), "it still is");
    assert!(told.note(false, start + QUIET * 2));
    assert!(!told.note(true, start + QUIET * 2 + QUIET / 2), "it comes and goes");
    assert!(told.note(true, start + QUIET * 3));
}

fn spans(count: usize) -> impl Iterator<Item = Span> {
    (0..count).map(|_| Span::ended("fetch".to_owned(), Duration::ZERO, &Requests::default()).unwrap())
}

fn counted(exporter: &Exporter) -> (u64, u64) {
    (exporter.counters.sent.get(), exporter.counters.dropped.get())
}

/// An exporter to a server that gives those answers, one for each request, and what the operator is told.
async fn exporter(answers: &[&'static str]) -> (Arc<Exporter>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = Collector::new(&format!("http://{}", listener.local_addr().unwrap()), None, "gateway").unwrap();
    let mut answers: VecDeque<_> = answers.iter().copied().collect();
    tokio::spawn(async move {
        while let Some(answer) = answers.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut whole) = (vec![0; 1 << 20], 0);
            // A request is complete with as many bytes of body as its head says.
            loop {
                let text = String::from_utf8_lossy(&request[..whole]).to_lowercase();
                let head = text.find("\r\n\r\n").map(|end| end + 4);
                let size = text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
                if head.is_some_and(|head| size.is_some_and(|size| head + size.parse::<usize>().unwrap() <= whole)) {
                    break;
                }
                whole += stream.read(&mut request[whole..]).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let tell: Tell = Box::new(move |up, text| lock(&notes).push(format!("{up}: {text}")));
    (Arc::new(Exporter::new(collector, Environment::default(), Counters::default(), tell)), told)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const DENIED: &str = "HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// `partial_success { rejected_spans: 2 }`
const PARTLY: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x02";

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_the_operator_is_told_of_both() {
    let (exporter, told) = exporter(&[BUSY, BUSY, TAKEN]).await;
    spans(BATCH).for_each(|span| exporter.export(span));
    exporter.idle.notified().await;
    assert_eq!(counted(&exporter), (BATCH as u64, 0));
    let told = lock(&told);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("false: otlp collector at 127.0.0.1:"), "{told:?}");
    assert!(told[0].ends_with(": does not take spans now (status 503); spans are dropped meanwhile"), "{told:?}");
    assert_eq!(told[1], "true: otlp collector takes spans again");
}

#[tokio::test]
async fn what_is_refused_is_dropped_at_once_and_counted() {
    let (exporter, told) = exporter(&[DENIED, PARTLY]).await;
    spans(BATCH + 5).for_each(|span| exporter.export(span));
    exporter.idle.notified().await;
    assert_eq!(counted(&exporter), (3, BATCH as u64 + 2));
    assert!(lock(&told)[0].contains("check vault_otlp_headers (status 401)"));
}

#[tokio::test]
async fn who_ends_sends_what_waits_and_nothing_waits_twice() {
    let (exporter, _) = exporter(&[TAKEN, BUSY]).await;
    assert!(exporter.flush().is_none(), "nothing waits");
    spans(3).for_each(|span| exporter.export(span));
    exporter.flush().unwrap().await;
    assert_eq!(counted(&exporter), (3, 0));
    assert!(exporter.flush().is_none());
    spans(1).for_each(|span| exporter.export(span));
    exporter.flush().unwrap().await;
    assert_eq!(counted(&exporter), (3, 1), "there is no time to try again");
}

#[tokio::test]
async fn a_bounded_number_waits() {
    let (exporter, _) = exporter(&[TAKEN; MOST / BATCH]).await;
    spans(MOST + 7).for_each(|span| exporter.export(span));
    exporter.flush().unwrap().await;
    assert_eq!(counted(&exporter), (MOST as u64, 7));
}
