//! Many documents of one vault, fetched with few requests.

#[path = "support/puppet.rs"]
mod puppet;

use kong_vault::error::{Error, Kind, Result};
use puppet::{AnswerBatch, Worker, down};

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("secret-{number}")).collect()
}

fn references(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("{{vault://puppets/{name}/value}}")).collect()
}

fn value_of(name: &str) -> String {
    format!(r#"{{"value":"batched {name}"}}"#)
}

fn all(names: &[String]) -> Vec<Option<Result<String>>> {
    names.iter().map(|name| Some(Ok(value_of(name)))).collect()
}

fn worker(answers: AnswerBatch, options: &[(&str, &str)]) -> Worker {
    let worker = Worker::new(options);
    *worker.stage.answers_batches.lock().unwrap() = Some(answers);
    worker
}

/// The secrets of each batch so far.
fn batches(worker: &Worker) -> Vec<Vec<String>> {
    worker.stage.batches.lock().unwrap().clone()
}

fn singles(worker: &Worker) -> usize {
    worker.stage.asked.lock().unwrap().values().sum()
}

fn count(worker: &Worker) -> (u64, u64) {
    let metrics = worker.resolver.metrics();
    (metrics.fetches.get(), metrics.batches.get())
}

#[test]
fn a_list_is_fetched_by_full_batches_each_document_once() {
    let names = names(205);
    // Where the machine holds this thread up in the middle of its list, what waits leaves earlier.
    let is_full = (0..10).any(|_| {
        let worker = worker(all, &[]);
        let mut list = references(&names);
        list.extend_from_within(..10);
        for (name, value) in names.iter().zip(worker.get_all(&list)) {
            assert_eq!(value.unwrap().trim_start_matches("batched "), name);
        }
        let batches = batches(&worker);
        let mut sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        let mut asked: Vec<_> = batches.into_iter().flatten().collect();
        asked.sort_unstable();
        let fetched = asked.len() + singles(&worker);
        asked.dedup();
        assert_eq!((fetched, asked.len() + singles(&worker)), (names.len(), names.len()));
        sizes == [vec![5], vec![20; 10]].concat() && count(&worker) == (205, 11)
    });
    assert!(is_full, "no list was fetched by full batches");
}

#[test]
fn one_document_is_fetched_singly_in_a_list_too() {
    let worker = worker(all, &[]);
    assert_eq!(worker.get("{vault://puppets/a/value}").unwrap(), "a");
    assert_eq!(worker.get_all(&["{vault://puppets/b/value}".to_owned()]).remove(0).unwrap(), "b");
    assert_eq!((batches(&worker).len(), singles(&worker), count(&worker)), (0, 2, (2, 0)));
}

#[test]
fn what_a_batch_does_not_take_is_fetched_singly() {
    let worker = worker(all, &[]);
    let list = ["a", "b", "a#2"].map(|name| match name.split_once('#') {
        None => format!("{{vault://puppets/{name}/value}}"),
        Some((name, version)) => format!("{{vault://puppets/{name}/value#{version}}}"),
    });
    let values: Vec<_> = worker.get_all(&list).into_iter().map(Result::unwrap).collect();
    assert_eq!(values, ["batched a", "batched b", "a"]);
    assert_eq!((batches(&worker).len(), singles(&worker)), (1, 1));
}

#[test]
fn what_a_batch_does_not_settle_is_fetched_singly() {
    let nothing: AnswerBatch = |_| Vec::new();
    let some: AnswerBatch = |names| names.iter().map(|name| name.ends_with('1').then(|| Ok(value_of(name)))).collect();
    let short: AnswerBatch = |names| all(&names[..1]);
    let panics: AnswerBatch = |_| panic!("a defect");
    for (answers, fetched) in [(nothing, 20), (some, 18), (short, 19), (panics, 20)] {
        let worker = worker(answers, &[]);
        for (name, value) in names(20).iter().zip(worker.get_all(&references(&names(20)))) {
            assert_eq!(value.unwrap().trim_start_matches("batched "), name);
        }
        assert_eq!((batches(&worker).len(), singles(&worker)), (1, fetched));
        assert_eq!(count(&worker), (20, 1), "a document counts once");
    }
}

#[test]
fn errors_of_single_documents_are_theirs_and_what_may_pass_is_tried_again_singly() {
    let answers: AnswerBatch = |names| {
        let answer = |name: &String| match name.as_str() {
            "secret-1" => Err(Error::new(Kind::NotFound, "puppet vault: no secret-1")),
            "secret-2" => Err(Error::new(Kind::Unavailable, "puppet vault: not now")),
            _ => Ok(value_of(name)),
        };
        names.iter().map(|name| Some(answer(name))).collect()
    };
    let worker = worker(answers, &[]);
    let mut values = worker.get_all(&references(&names(5))).into_iter();
    assert_eq!(values.next().unwrap().unwrap_err().kind(), Kind::NotFound);
    assert_eq!(values.next().unwrap().unwrap(), "secret-2");
    assert_eq!(values.next().unwrap().unwrap(), "batched secret-3");
    assert_eq!((singles(&worker), worker.asked("secret-2")), (1, 1));
}

#[test]
fn a_batch_that_fails_says_nothing_of_the_vault_but_the_single_fetches_after_it_do() {
    let nothing: AnswerBatch = |_| Vec::new();
    let worker = worker(nothing, &[]);
    assert!(worker.get_all(&references(&names(20))).into_iter().all(|value| value.is_ok()));
    assert!(worker.resolver.levels(0).breakers.iter().all(|(_, state)| state.name() == "closed"));
    worker.answers(down());
    let errors = worker.get_all(&["x", "y", "z"].map(|name| format!("{{vault://puppets/{name}/value}}")));
    assert!(errors.iter().all(|value| value.as_ref().unwrap_err().kind() == Kind::Unavailable));
    assert!(worker.resolver.levels(0).breakers.iter().any(|(_, state)| state.name() == "open"));
}

#[test]
fn values_that_were_fetched_together_are_renewed_together() {
    let worker = worker(all, &[("vault_puppets_ttl", "2"), ("vault_idle_ttl", "60")]);
    assert!(worker.get_all(&references(&names(60))).into_iter().all(|value| value.is_ok()));
    assert_eq!(batches(&worker).len(), 3);
    let fetched = |worker: &Worker| batches(worker).iter().map(Vec::len).sum::<usize>() + singles(worker);
    worker.until("all are renewed", |worker| fetched(worker) >= 120);
    // A batch of one is a request like any other, and on a busy machine one may be due apart from all others.
    let requests = batches(&worker).len() + singles(&worker);
    assert!(requests <= 8, "{requests} requests: {:?}", batches(&worker));
}
