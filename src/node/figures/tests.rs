use super::*;

fn resolver(node: &Arc<NodeFigures>) -> Figures {
    let figures = Figures::new(Some(Arc::clone(node)));
    figures.enter();
    figures
}

fn described() -> (String, String) {
    ("{vault://hcv/api}".to_owned(), "hcv".to_owned())
}

#[test]
fn what_workers_count_is_summed_and_stays() {
    let node = Arc::new(NodeFigures::new().unwrap());
    let (one, other) = (resolver(&node), resolver(&node));
    assert_ne!(one.place(), other.place());
    one.count(3, 2);
    other.count(3, 5);
    other.took(1, 7);
    other.failed(40);
    one.set_gauges(Gauges { entries: 1, bytes: 10, under_way: 0 });
    other.set_gauges(Gauges { entries: 2, bytes: 20, under_way: 1 });
    let totals = one.totals();
    assert_eq!((totals.counters[3], totals.buckets[1], totals.nanoseconds, totals.reasons[40]), (7, 1, 7, 1));
    assert_eq!(totals.gauges, Gauges { entries: 3, bytes: 30, under_way: 1 });
    assert_eq!(totals.workers, 1, "both are of one process");
    drop(other);
    let totals = one.totals();
    assert_eq!((totals.counters[3], totals.gauges.entries), (7, 1), "counts stay, and what a worker had is gone");
}

#[test]
fn a_document_is_there_for_as_long_as_somebody_has_it() {
    let node = Arc::new(NodeFigures::new().unwrap());
    let (one, other) = (resolver(&node), resolver(&node));
    for figures in [&one, &other] {
        let row = figures.reference(77, 10, described).unwrap();
        row.succeeded(100);
    }
    let found = one.references(0);
    assert_eq!(found.len(), 1, "both write into one row");
    assert_eq!((found[0].successes(), found[0].last_success()), (2, Some(100)));
    assert_eq!(found[0].description(), Some(described()));
    assert_eq!(one.held(), [77]);
    one.release(77);
    assert_eq!(one.references(0).len(), 1);
    drop(other);
    assert!(one.references(0).is_empty());
    found[0].failed(200, 4);
    assert_eq!((one.references(200).len(), one.references(201).len()), (1, 0), "a failure is shown for a while");
}

#[test]
fn a_full_table_takes_in_whom_it_has_room_for() {
    let node = Arc::new(NodeFigures::new().unwrap());
    let figures = resolver(&node);
    for name in 10..14 {
        figures.reference(name, 4, described).unwrap().succeeded(name);
    }
    assert!(figures.reference(20, 4, described).is_none());
    assert_eq!(figures.dropped(), 1);
    figures.release(11);
    let row = figures.reference(20, 4, described).unwrap();
    assert_eq!((row.successes(), row.last_success()), (0, None), "nothing of the document before is left");
    assert_eq!(figures.references(0).len(), 4);
}

#[test]
fn an_older_value_changes_no_times() {
    let node = Arc::new(NodeFigures::new().unwrap());
    let figures = resolver(&node);
    let row = figures.reference(5, 10, described).unwrap();
    let times = ReferenceTimes { fetched_at: Some(9), fresh_until: Some(20), next_renewal: Some(18), lease_end: None };
    row.note_times(times);
    row.note_times(ReferenceTimes { fetched_at: Some(8), fresh_until: Some(19), ..times });
    assert_eq!(row.times(), times);
}

#[test]
fn the_worst_breaker_of_the_living_counts() {
    let node = Arc::new(NodeFigures::new().unwrap());
    let (one, other) = (resolver(&node), resolver(&node));
    let vault = || ("mine".to_owned(), "hcv".to_owned());
    let row = one.vault(3, vault).unwrap();
    assert_eq!(one.breaker(row, 0), VaultBreaker::Closed);
    other.set_breaker(other.vault(3, vault).unwrap(), VaultBreaker::Open(50));
    assert_eq!(one.breaker(row, 49), VaultBreaker::Open(50));
    assert_eq!(one.breaker(row, 50), VaultBreaker::HalfOpen);
    drop(other);
    assert_eq!(one.breaker(row, 49), VaultBreaker::Closed, "the worker is gone");
}

#[test]
fn texts_are_whole_or_not_there() {
    let text = text::Text::<2>::default();
    assert_eq!(text.get(), None);
    text.put("fifteen lettersäx");
    assert_eq!(text.get().as_deref(), Some("fifteen letters"), "no character is cut");
    text.put("");
    assert_eq!(text.get().as_deref(), Some(""));
    std::thread::scope(|scope| {
        for letter in ["a", "b"] {
            let text = &text;
            scope.spawn(move || (0..2000).for_each(|_| text.put(&letter.repeat(12))));
        }
        for _ in 0..2000 {
            let read = text.get().unwrap_or_default();
            assert!(["", &"a".repeat(12), &"b".repeat(12)].contains(&read.as_str()), "{read}");
        }
    });
}
