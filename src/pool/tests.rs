use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;

/// Far longer than any job here that ends by itself.
const LONG: Duration = Duration::from_secs(30);

/// Starts a job that hangs until the returned sender is dropped.
async fn hang(pool: &'static Pool, key: &'static str) -> mpsc::Sender<()> {
    let (end, ended) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let job = pool.run(key.as_bytes(), move || {
        let _ = begun.send(());
        let _ = ended.recv();
    });
    let job = tokio::spawn(job);
    begins.await.unwrap();
    // The caller gives up.
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    end
}

fn pool(most: usize) -> &'static Pool {
    Box::leak(Box::new(Pool::new("kv-test", most)))
}

async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let end = Instant::now() + LONG;
    while !is().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_job_that_hangs_keeps_its_key_and_one_thread() {
    let pool = pool(2);
    let end = hang(pool, "silent").await;
    for _ in 0..50 {
        assert_eq!(pool.run(b"silent", || ()).await, Err(JobRefusal::Hangs));
        assert_eq!(pool.run(b"other", || 1).await, Ok(1));
    }
    drop(end);
    until("the end frees the key", || async { pool.run(b"silent", || ()).await.is_ok() }).await;
    assert!(lock(&pool.keys).is_empty(), "no key is kept");
}

#[tokio::test]
async fn with_one_key_one_runs_at_a_time_and_all_have_their_turn() {
    static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    let pool = pool(8);
    let jobs: Vec<_> = (0..40)
        .map(|number| {
            tokio::spawn(pool.run(b"one", move || {
                assert_eq!(AT_ONCE.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::sleep(Duration::from_millis(1));
                AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                number
            }))
        })
        .collect();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.await.unwrap(), Ok(number));
    }
}

#[tokio::test]
async fn where_all_threads_hang_others_are_refused_at_once() {
    let pool = pool(2);
    let ends = [hang(pool, "one").await, hang(pool, "two").await];
    // For the first second, the threads may only be slow.
    let late = tokio::spawn(pool.run(b"three", || 3));
    until("a refusal", || async {
        let asked = tokio::time::timeout(Duration::from_millis(1), pool.run(b"four", || ())).await;
        asked == Ok(Err(JobRefusal::Full))
    })
    .await;
    drop(ends);
    assert_eq!(late.await.unwrap(), Ok(3), "who waits has his turn at last");
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_begun() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let pool = pool(1);
    let end = hang(pool, "first").await;
    for _ in 0..100 {
        let job = pool.run(b"second", || RUN.fetch_add(1, Ordering::SeqCst));
        assert!(tokio::time::timeout(Duration::from_millis(1), job).await.is_err());
    }
    drop(end);
    assert!(pool.run(b"second", || ()).await.is_ok());
    assert_eq!(RUN.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_pool_goes_on() {
    let pool = pool(1);
    assert_eq!(pool.run(b"key", || panic!("no")).await, Err::<(), _>(JobRefusal::Failed));
    assert_eq!(pool.run(b"key", || 1).await, Ok(1));
}

#[tokio::test]
async fn idle_threads_end_and_one_that_hangs_is_not_waited_for() {
    let pool = pool(4);
    for _ in 0..100 {
        let jobs: Vec<_> = [&b"a"[..], b"b", b"c"].map(|key| tokio::spawn(pool.run(key, || ()))).into();
        for job in jobs {
            job.await.unwrap().unwrap();
        }
        pool.threads.end_idle();
        assert_eq!(pool.threads.alive(), 0, "who has answered is idle");
    }
    let end = hang(pool, "silent").await;
    assert!(pool.run(b"other", || ()).await.is_ok());
    pool.threads.end_idle();
    assert_eq!(pool.threads.alive(), 1);
    drop(end);
    until("it goes on", || async { pool.run(b"silent", || ()).await.is_ok() }).await;
}

#[test]
fn all_signals_are_blocked_in_a_pools_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let status = runtime.block_on(pool(1).run(b"key", status)).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    let blocked = u64::from_str_radix(blocked, 16).unwrap();
    // SIGHUP, SIGCHLD, SIGTERM.
    assert!([1, 17, 15].iter().all(|signal| blocked & (1 << (signal - 1)) != 0), "{blocked:x}");
}
