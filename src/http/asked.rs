//! Which server a task asked last, for whoever keeps account of that. Other tasks note nothing.

use std::cell::RefCell;

use http::Uri;

use super::route::port;

/// What a task asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many requests it made.
    pub requests: u32,
    /// The server that the last one was for: host and port.
    pub server: Option<(String, u16)>,
    /// The status of the last answer, if there was one to the last request.
    pub status: Option<u16>,
}

tokio::task_local! {
    static ASKED: RefCell<Asked>;
}

/// Runs a future to its end, and returns with its result what it asked.
pub async fn noting<T>(future: impl Future<Output = T>) -> (T, Asked) {
    let noted = async {
        let result = future.await;
        (result, ASKED.with(RefCell::take))
    };
    ASKED.scope(RefCell::default(), noted).await
}

pub(super) fn note_request(destination: &Uri) {
    note(|asked| {
        asked.requests += 1;
        asked.server = destination.host().map(|host| (host.to_owned(), port(destination)));
        asked.status = None;
    });
}

pub(super) fn note_status(status: u16) {
    note(|asked| asked.status = Some(status));
}

fn note(change: impl FnOnce(&mut Asked)) {
    // Nobody keeps account where there is none.
    let _ = ASKED.try_with(|asked| {
        if let Ok(mut asked) = asked.try_borrow_mut() {
            change(&mut asked);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_notes_its_last_request_and_no_other_tasks() {
        note_request(&Uri::from_static("http://nobody/"));
        let (sum, asked) = noting(async {
            note_request(&Uri::from_static("https://login.example/a"));
            note_status(200);
            tokio::spawn(async { note_request(&Uri::from_static("http://other/")) }).await.unwrap();
            note_request(&Uri::from_static("http://vault.example:8200/secret"));
            1 + 1
        })
        .await;
        let server = Some(("vault.example".to_owned(), 8200));
        assert_eq!((sum, asked), (2, Asked { requests: 2, server, status: None }));
    }
}
