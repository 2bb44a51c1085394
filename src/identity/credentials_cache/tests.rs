use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::identity::aws::{AccessKeys, Login};

/// A source whose loads end when the test says so, with the outcome that the test sets.
struct FakeSource {
    cache: CredentialsCache<Login>,
    clock: Clock,
    loads: Arc<AtomicUsize>,
    outcome: Arc<Mutex<Result<Login>>>,
    gate: Arc<tokio::sync::Semaphore>,
}

fn login(id: &str, seconds: Option<u64>) -> Login {
    let mut keys = AccessKeys::new(id, "key", None);
    keys.expiry = seconds.map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
    Login::new("a test", &keys).unwrap()
}

fn outage() -> Error {
    Error::new(Kind::Unavailable, "down")
}

impl FakeSource {
    fn new(first: Login) -> Self {
        let clock = Clock::default();
        let loads = Arc::new(AtomicUsize::new(0));
        let outcome = Arc::new(Mutex::new(Ok(first)));
        let gate = Arc::new(tokio::sync::Semaphore::new(1000));
        let (count, answer, opens) = (loads.clone(), outcome.clone(), gate.clone());
        let cache = CredentialsCache::new("aws vault (mine)", Duration::from_millis(50), clock.clone(), move |stage| {
            count.fetch_add(1, Ordering::SeqCst);
            let (answer, opens) = (answer.clone(), opens.clone());
            Box::pin(async move {
                stage.asks("the test");
                opens.acquire().await.unwrap().forget();
                answer.lock().unwrap().clone()
            })
        });
        Self { cache, clock, loads, outcome, gate }
    }

    fn close(&self) {
        self.gate.forget_permits(1000);
    }

    fn now_gives(&self, outcome: Result<Login>) {
        *self.outcome.lock().unwrap() = outcome;
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Moves this cache's clock forward.
    fn pass(&self, seconds: u64) {
        let then = self.clock.now() + Duration::from_secs(seconds);
        let text = aws_smithy_types::DateTime::from(then).fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
        let date = http::HeaderValue::from_str(&text).unwrap();
        self.clock.learn(&http::HeaderMap::from_iter([(http::header::DATE, date)]));
    }

    async fn settle(&self) {
        while self.cache.0.state().loading.is_some() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn who_waits_shares_one_load_and_what_has_no_end_is_loaded_once() {
    let source = Arc::new(FakeSource::new(login("A", None)));
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let source = source.clone();
        waits.spawn(async move { source.cache.get().await });
    }
    for got in waits.join_all().await {
        assert!(got.unwrap().is_same(&login("A", None)));
    }
    source.pass(1_000_000);
    source.cache.get().await.unwrap();
    assert_eq!(source.loads(), 1);
}

#[tokio::test]
async fn near_their_end_they_are_renewed_and_nobody_waits() {
    let source = FakeSource::new(login("A", Some(3600)));
    source.cache.get().await.unwrap();
    source.pass(2900);
    source.cache.get().await.unwrap();
    assert_eq!(source.loads(), 1, "700 seconds are left");
    source.close();
    source.now_gives(Ok(login("B", Some(7200))));
    source.pass(420);
    for _ in 0..5 {
        assert!(source.cache.get().await.unwrap().is_same(&login("A", None)), "the old ones, while the new come");
    }
    assert_eq!(source.loads(), 2, "one renewal at a time");
    source.gate.add_permits(1);
    source.settle().await;
    assert!(source.cache.get().await.unwrap().is_same(&login("B", None)));
    assert_eq!(source.loads(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_and_harms_nobody_while_the_old_ones_last() {
    let source = FakeSource::new(login("A", Some(3600)));
    source.cache.get().await.unwrap();
    source.now_gives(Err(outage()));
    source.pass(3320);
    source.cache.get().await.unwrap();
    source.settle().await;
    source.cache.get().await.unwrap();
    assert_eq!(source.loads(), 2, "not at once");
    source.pass(60);
    source.cache.get().await.unwrap();
    source.settle().await;
    assert_eq!(source.loads(), 3);
    source.pass(300);
    assert_eq!(source.cache.get().await.unwrap_err().kind(), Kind::Unavailable, "they have ended");
    source.now_gives(Ok(login("B", Some(7200))));
    source.cache.get().await.unwrap();
}

#[tokio::test]
async fn what_outlasts_its_end_is_used_on_while_its_source_is_down() {
    let mut lasting = login("A", Some(3600));
    lasting.outlasts = true;
    let source = FakeSource::new(lasting);
    source.cache.get().await.unwrap();
    source.pass(4000);
    source.now_gives(Err(outage()));
    assert!(source.cache.get().await.unwrap().is_same(&login("A", None)));
    source.now_gives(Err(Error::new(Kind::Denied, "no")));
    source.pass(400);
    assert_eq!(source.cache.get().await.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test]
async fn refused_ones_are_replaced_once_for_all_and_not_again_and_again() {
    let source = FakeSource::new(login("A", None));
    let refused = source.cache.get().await.unwrap();
    assert!(source.cache.instead_of(&refused).await.unwrap().is_none(), "the source still gives the same");
    assert_eq!(source.loads(), 2);
    assert!(source.cache.instead_of(&refused).await.unwrap().is_none());
    assert_eq!(source.loads(), 2, "not so soon");
    source.cache.0.state().refused = None;
    source.now_gives(Ok(login("B", None)));
    for _ in 0..3 {
        assert!(source.cache.instead_of(&refused).await.unwrap().unwrap().is_same(&login("B", None)));
    }
    assert_eq!(source.loads(), 3, "later ones take what the first brought");
}

#[tokio::test]
async fn who_waits_in_vain_is_told_for_whom_and_the_load_goes_on() {
    let source = FakeSource::new(login("A", None));
    source.close();
    let error = source.cache.get().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.to_string(), "aws vault (mine): no credentials within 0.05 seconds from the test");
    source.gate.add_permits(1);
    source.settle().await;
    source.cache.get().await.unwrap();
    assert_eq!(source.loads(), 1);
}
