use std::os::unix::net::UnixStream as StdStream;
use std::time::Instant;

use super::*;

/// Serves what `answer` says; returns the server's name and the task.
fn served<F>(answer: impl Fn(Question) -> F + Send + Sync + 'static) -> (String, tokio::task::JoinHandle<()>)
where
    F: Future<Output = Option<Vec<u8>>> + Send + 'static,
{
    let peers = Peers::open().unwrap();
    (peers.name().to_owned(), tokio::spawn(peers.serve(answer)))
}

fn question(number: u8) -> Question {
    Question { name: [number; 16], after: u64::from(number) << 32 | 7 }
}

fn connected(peer: &str) -> StdStream {
    StdStream::connect_addr(&SocketAddr::from_abstract_name(peer).unwrap()).unwrap()
}

#[tokio::test]
async fn an_outcome_comes_whole_and_what_is_not_there_is_told() {
    let (peer, server) = served(|asked| async move { (asked == question(1)).then(|| vec![7; 100_000]) });
    assert_eq!(ask(&peer, question(1)).await, Ok(vec![7; 100_000]));
    assert_eq!(ask(&peer, question(2)).await, Err(PeerError::Unknown));
    server.abort();
    let _ = server.await;
    assert_eq!(ask(&peer, question(1)).await, Err(PeerError::Dead));
}

#[tokio::test]
async fn a_worker_that_dies_meanwhile_is_noticed() {
    let (asked, was_asked) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (in_server, open) = (Arc::clone(&asked), Arc::clone(&was_asked));
    let (peer, server) = served(move |_| {
        in_server.add_permits(1);
        let open = Arc::clone(&open);
        async move {
            drop(open.acquire().await);
            panic!("as if it had died")
        }
    });
    let asking = tokio::spawn(async move { ask(&peer, question(1)).await });
    drop(asked.acquire().await);
    server.abort();
    let _ = server.await;
    was_asked.add_permits(1);
    assert_eq!(asking.await.unwrap(), Err(PeerError::Dead));
}

#[tokio::test]
async fn connections_without_a_question_keep_nobody_from_being_answered() {
    let (peer, server) = served(|_| async { Some(vec![7; 3]) });
    let mut silent = Vec::new();
    for _ in 0..2 * UNASKED {
        silent.push(connected(&peer));
        if silent.len() % UNASKED == 0 {
            // The backlog must not fill up: this test is about those that were accepted.
            assert_eq!(ask(&peer, question(1)).await, Ok(vec![7; 3]));
        }
    }
    // Half a question is none.
    io::Write::write_all(silent.last_mut().unwrap(), &[1; 8]).unwrap();
    let start = Instant::now();
    assert_eq!(ask(&peer, question(1)).await, Ok(vec![7; 3]));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    // The oldest have been closed to make room.
    silent[0].set_nonblocking(true).unwrap();
    assert_eq!(io::Read::read(&mut silent[0], &mut [0]).unwrap(), 0);
    server.abort();
}

#[tokio::test]
async fn a_worker_that_accepts_nobody_does_not_block_those_who_ask() {
    let peers = Peers::open().unwrap();
    let peer = peers.name().to_owned();
    // Nobody accepts, so the backlog fills up: a short one, to save time.
    socket2::SockRef::from(&peers.listener).listen(4).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = UnixStream::connect(format!("\0{peer}")).await {
        waiting.push(stream);
    }
    assert!(!waiting.is_empty());
    assert_eq!(ask(&peer, question(1)).await, Err(PeerError::Busy));
}

#[tokio::test]
async fn too_many_questions_are_sent_away_and_those_whose_asker_left_make_room() {
    let asked = Arc::new(Semaphore::new(0));
    let in_server = Arc::clone(&asked);
    let (peer, server) = served(move |asked| {
        in_server.add_permits(1);
        async move {
            if asked.name[0] == 0 {
                std::future::pending::<()>().await;
            }
            Some(vec![7; 3])
        }
    });
    let mut askers = Vec::new();
    for _ in 0..UNANSWERED {
        let mut stream = connected(&peer);
        io::Write::write_all(&mut stream, &question(0).to_bytes()).unwrap();
        askers.push(stream);
        // Each question is waited for, so that the kernel's backlog plays no part.
        asked.acquire().await.unwrap().forget();
    }
    assert_eq!(ask(&peer, question(1)).await, Err(PeerError::Busy));
    askers.clear();
    let start = Instant::now();
    while ask(&peer, question(1)).await != Ok(vec![7; 3]) {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    server.abort();
}
