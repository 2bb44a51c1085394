use super::*;
use crate::document::Document;
use crate::error::{Error, Kind};
use crate::secret::Secret;
use std::sync::Arc;

fn document() -> Arc<Document> {
    Arc::new(Document::new(Secret::new("1")))
}

fn failure(began: Instant) -> Parcel {
    Parcel::Failure { error: Error::new(Kind::NotFound, "none"), began, at: began }
}

fn board(flights: &mut Flights<&'static str, u8>, key: &'static str, waits: bool) -> Boarding {
    flights.board(&key, &0, Purpose::Miss, None, waits, Instant::now()).unwrap()
}

fn boarded(flights: &mut Flights<&'static str, u8>, key: &'static str, waits: bool) -> u64 {
    match board(flights, key, waits) {
        Boarding::Boarded(ticket) => ticket,
        Boarding::Joined(ticket) => panic!("{key} is under way as {ticket}"),
    }
}

#[test]
fn one_flight_per_document_and_every_passenger_gets_its_outcome() {
    let mut flights = Flights::default();
    let ticket = boarded(&mut flights, "a", true);
    assert_eq!(board(&mut flights, "a", true), Boarding::Joined(ticket));
    assert_ne!(boarded(&mut flights, "b", true), ticket);
    assert!(flights.depart(ticket, false, Instant::now()).is_some());
    assert!(flights.depart(ticket, false, Instant::now()).is_none(), "once");
    assert_eq!(board(&mut flights, "a", false), Boarding::Joined(ticket));
    assert!(!flights.has_landed(ticket));
    assert_eq!(flights.land(ticket, Ok(document()), None, Instant::now()), Landed { passengers: 2, next: None });
    assert!(flights.has_landed(ticket));
    assert!(flights.claim(ticket, Instant::now()).unwrap().is_ok());
    assert!(flights.claim(ticket, Instant::now()).unwrap().is_ok());
    assert!(flights.claim(ticket, Instant::now()).is_none());
    boarded(&mut flights, "a", true);
}

#[test]
fn an_outcome_nobody_claims_is_let_go() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let ticket = boarded(&mut flights, "a", true);
    flights.land(ticket, Ok(document()), None, now);
    let background = boarded(&mut flights, "b", false);
    flights.land(background, Ok(document()), None, now + UNCLAIMED);
    assert_eq!((flights.flights.len(), flights.landed.len(), flights.under_way()), (0, 0, 0));
    assert!(flights.per_vault.is_empty());
}

#[test]
fn a_passenger_that_gives_up_leaves_the_flight_to_the_others() {
    let mut flights = Flights::default();
    let ticket = boarded(&mut flights, "a", true);
    board(&mut flights, "a", true);
    assert!(flights.claim(ticket, Instant::now()).is_none());
    flights.land(ticket, Ok(document()), None, Instant::now());
    assert!(flights.claim(ticket, Instant::now()).unwrap().is_ok());
    assert!(flights.flights.is_empty());
}

#[test]
fn its_owner_takes_the_parcel_on() {
    let before = Instant::now();
    let mut flights = Flights::default();
    let other = boarded(&mut flights, "b", true);
    flights.depart(other, false, Instant::now());
    flights.land(other, Ok(document()), None, Instant::now());
    assert!(flights.parcel(other).is_none(), "nobody has to take it on");
    assert!(flights.claim(other, Instant::now()).is_some(), "and it is still there for who waits");
    let ticket = boarded(&mut flights, "a", false);
    flights.depart(ticket, true, Instant::now());
    assert_eq!(flights.find(|key| *key == "a", before, Instant::now()), Some(ticket));
    let error = Error::new(Kind::NotFound, "none");
    flights.land(ticket, Err(error), Some(failure(Instant::now())), Instant::now());
    assert!(matches!(flights.watch(ticket), Watch::Landed(Some(_))));
    assert!(matches!(flights.parcel(ticket), Some(("a", Some(Parcel::Failure { .. })))));
    assert!(flights.parcel(ticket).is_none());
}

#[test]
fn who_takes_the_parcel_on_takes_it_once_and_no_seat_of_others() {
    let mut flights = Flights::default();
    let ticket = boarded(&mut flights, "a", true);
    flights.depart(ticket, true, Instant::now());
    assert!(flights.parcel(ticket).is_none(), "it has not landed");
    assert!(flights.call_back(ticket, Instant::now()));
    flights.depart(ticket, true, Instant::now());
    let landed = flights.land(ticket, Ok(document()), Some(failure(Instant::now())), Instant::now());
    assert_eq!(landed.passengers, 2);
    assert!(flights.parcel(ticket).is_some());
    assert!(flights.parcel(ticket).is_none());
    assert!(flights.claim(ticket, Instant::now()).is_some(), "it is still there for who waits");
    assert!(flights.flights.is_empty());
}

#[test]
fn a_flight_may_be_called_back_and_one_nobody_attends_to_is_handed_to_the_next() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let Boarding::Boarded(ticket) = flights.board(&"a", &0, Purpose::Miss, None, true, now).unwrap() else { panic!() };
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, None, true, now).unwrap(), Boarding::Joined(ticket));
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, None, true, later(2)).unwrap(), Boarding::Boarded(ticket));
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, None, true, later(2)).unwrap(), Boarding::Joined(ticket));
    flights.depart(ticket, false, Instant::now());
    let whole = Duration::from_secs(5);
    assert_eq!(flights.left(ticket, whole, later(2)), None, "it has its whole time");
    assert!(flights.call_back(ticket, later(2)));
    assert!(!flights.call_back(ticket, later(2)));
    assert_eq!(flights.left(ticket, whole, later(2)), Some(Duration::from_secs(3)));
    assert_eq!(flights.left(ticket, whole, later(9)), Some(Duration::ZERO));
    assert!(flights.depart(ticket, false, Instant::now()).is_some());
}

#[test]
fn whoever_watches_is_told_of_the_landing() {
    let mut flights = Flights::default();
    let ticket = boarded(&mut flights, "a", false);
    let Watch::UnderWay(landing) = flights.watch(ticket) else { panic!() };
    let parcel = failure(Instant::now());
    flights.land(ticket, Ok(document()), Some(parcel), Instant::now());
    assert!(landing.blocking_recv().unwrap().is_some());
    assert!(matches!(flights.watch(ticket), Watch::Landed(None)));
}

#[test]
fn the_number_of_flights_is_bounded_and_a_slow_vault_leaves_room_for_others() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        flights.board(&key, &"slow", Purpose::Miss, None, true, now).unwrap();
    }
    let refused = flights.board(&LIMIT, &"slow", Purpose::Miss, None, true, now).unwrap_err();
    assert_eq!(refused.kind(), Kind::Throttled);
    assert!(flights.board(&0, &"slow", Purpose::Miss, None, true, now).is_ok());
    assert!(flights.board(&LIMIT, &"fast", Purpose::Miss, None, true, now).is_ok());
}

fn later(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

#[test]
fn who_wants_a_newer_outcome_than_the_fetch_under_way_brings_gets_the_next_and_shares_it() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let newer = |flights: &mut Flights<&str, u8>, since| {
        flights.board(&"a", &0, Purpose::Newer(later(now, since)), None, true, later(now, since)).unwrap()
    };
    let Boarding::Boarded(first) = newer(&mut flights, 0) else { panic!() };
    assert_eq!(newer(&mut flights, 1), Boarding::Joined(first), "it has not begun");
    flights.depart(first, false, later(now, 2));
    assert_eq!(newer(&mut flights, 2), Boarding::Joined(first));
    let Boarding::Joined(second) = newer(&mut flights, 3) else { panic!() };
    assert_ne!(second, first);
    assert_eq!(newer(&mut flights, 4), Boarding::Joined(second), "one further flight is enough");
    assert!(flights.boarding(second).is_none(), "it waits for its turn");
    assert_eq!((flights.under_way(), flights.per_vault[&0]), (1, 2));
    let landed = flights.land(first, Ok(document()), None, later(now, 5));
    assert_eq!(landed, Landed { passengers: 3, next: Some(second) });
    assert_eq!(flights.boarding(second).unwrap().after, Some(later(now, 4)));
    flights.depart(second, false, later(now, 6));
    assert_eq!(flights.land(second, Ok(document()), None, later(now, 7)), Landed { passengers: 2, next: None });
    assert_eq!((flights.under_way(), flights.per_vault.len()), (0, 0));
}

#[test]
fn another_workers_fetch_serves_by_its_beginning() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let since = later(now, 10);
    let Boarding::Boarded(ticket) = flights.board(&"a", &0, Purpose::Newer(since), None, true, since).unwrap() else {
        panic!()
    };
    assert!(matches!(flights.depart_elsewhere(ticket, Some(later(now, 9))), Some(None)));
    assert!(matches!(flights.depart_elsewhere(ticket, Some(since)), Some(Some(_))));
    assert!(flights.depart_elsewhere(ticket, Some(since)).is_none(), "once");
    assert!(flights.find(|_| true, now, now).is_none(), "who wants it asks the one who fetches");
    // Whoever wants what began after the other's fetch did waits for the next.
    let next = flights.board(&"a", &0, Purpose::Newer(later(now, 11)), None, true, later(now, 12)).unwrap();
    assert!(next != Boarding::Joined(ticket));
}

#[test]
fn an_outcome_is_told_to_those_whom_it_serves_and_not_for_long() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let fly = |flights: &mut Flights<&'static str, u8>, at: u64| {
        let ticket = boarded(flights, "a", true);
        flights.depart(ticket, false, later(now, at));
        flights.land(ticket, Ok(document()), Some(failure(later(now, at))), later(now, at + 1));
        ticket
    };
    let find = |flights: &mut Flights<&'static str, u8>, after, at| flights.find(|_| true, later(now, after), at);
    // Nobody claims the first.
    let first = fly(&mut flights, 10);
    assert_eq!(find(&mut flights, 9, later(now, 11)), Some(first));
    assert_eq!(find(&mut flights, 10, later(now, 11)), None);
    let second = fly(&mut flights, 20);
    assert_eq!(find(&mut flights, 9, later(now, 21)), Some(second), "the newest");
    assert_eq!(find(&mut flights, 9, later(now, 21) + UNCLAIMED), None);
    assert!(flights.flights.is_empty());
}

#[test]
fn a_value_of_before_lands_no_flight_that_somebody_boarded_for_a_newer_one() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let ticket = boarded(&mut flights, "a", true);
    flights.board(&"a", &0, Purpose::Newer(later(now, 5)), None, true, later(now, 5)).unwrap();
    assert!(flights.land_served(ticket, later(now, 5), Ok(document()), None, later(now, 6)).is_none());
    assert!(flights.boarding(ticket).unwrap().purpose == Purpose::Newer(later(now, 5)));
    assert!(flights.land_served(ticket, later(now, 6), Ok(document()), None, later(now, 7)).is_some());
}

#[test]
fn who_waits_for_his_turn_is_not_refused() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        flights.board(&key, &"slow", Purpose::Miss, None, true, now).unwrap();
    }
    assert!(flights.board(&LIMIT, &"slow", Purpose::Miss, None, true, now).is_err());
    let Boarding::Boarded(ticket) = flights.board_in_turn(&LIMIT, &"slow", Purpose::Miss, None, true, now) else {
        panic!()
    };
    assert_eq!(flights.board_in_turn(&LIMIT, &"slow", Purpose::Miss, None, true, now), Boarding::Joined(ticket));
}

#[test]
fn what_nobody_waits_for_begins_when_its_vault_has_room() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let mut tickets = Vec::new();
    while !flights.defer(&tickets.len(), &"slow", Purpose::Miss) {
        let Ok(Boarding::Boarded(ticket)) = flights.board(&tickets.len(), &"slow", Purpose::Miss, None, false, now)
        else {
            panic!()
        };
        tickets.push(ticket);
    }
    assert_eq!(tickets.len(), BACKGROUND_PER_VAULT);
    assert!(!flights.defer(&0, &"slow", Purpose::Miss), "it is under way");
    assert!(!flights.defer(&LIMIT, &"fast", Purpose::Miss));
    assert!(flights.defer(&LIMIT, &"slow", Purpose::Newer(now)));
    assert_eq!(flights.next_turn(&"slow"), None);
    flights.land(tickets[0], Ok(document()), None, now);
    assert_eq!(flights.next_turn(&"slow"), Some((BACKGROUND_PER_VAULT, Purpose::Miss)));
    assert_eq!(flights.next_turn(&"slow"), Some((LIMIT, Purpose::Newer(now))));
    assert_eq!(flights.next_turn(&"slow"), None);
    assert!(flights.deferred.is_empty());
}

mod served {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Board { newer: bool, floor: bool },
        Depart,
        Elsewhere { began: u64 },
        Land,
        Offer { began: u64 },
        CallBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<bool>(), any::<bool>()).prop_map(|(newer, floor)| Step::Board { newer, floor }),
            3 => Just(Step::Depart),
            1 => (0u64..20).prop_map(|began| Step::Elsewhere { began }),
            3 => Just(Step::Land),
            1 => (0u64..20).prop_map(|began| Step::Offer { began }),
            1 => Just(Step::CallBack),
        ]
    }

    proptest! {
        /// However boarding, departures and landings follow each other: whoever boarded is brought an outcome, and that
        /// of a fetch which began after what he asked for. No more than one flight of a document is under way.
        #[test]
        fn nothing_older_than_asked(steps in proptest::collection::vec(step(), 1..80)) {
            let (mut flights, start) = (Flights::<u8, u8>::default(), Instant::now());
            // Who waits: his ticket, and after which time; the beginning of each flight's fetch; of each outcome's.
            let (mut waiting, mut began) = (Vec::<(u64, Option<u64>)>::new(), HashMap::<u64, u64>::new());
            let mut current: Option<u64> = None;
            let mut now = 20;
            let end = [Step::Depart, Step::Land, Step::Depart, Step::Land];
            for step in steps.into_iter().chain(end) {
                now += 1;
                let at = later(start, now);
                let landed = match step {
                    Step::Board { newer, floor } => {
                        let purpose = if newer { Purpose::Newer(at) } else { Purpose::Miss };
                        let boarding = flights.board(&1, &1, purpose, floor.then_some(at), true, at).unwrap();
                        let (Boarding::Boarded(ticket) | Boarding::Joined(ticket)) = boarding;
                        if let Boarding::Boarded(ticket) = boarding {
                            prop_assert!(current.is_none());
                            current = Some(ticket);
                        }
                        waiting.push((ticket, (newer || floor).then_some(now)));
                        None
                    }
                    Step::Depart => {
                        if let Some(ticket) = current && flights.depart(ticket, false, at).is_some() {
                            began.insert(ticket, now);
                        }
                        None
                    }
                    Step::Elsewhere { began: ago } => {
                        let then = now - ago;
                        let gone = current.and_then(|ticket| flights.depart_elsewhere(ticket, Some(later(start, then))));
                        if let (Some(ticket), Some(Some(_))) = (current, gone) {
                            // The other's fetch begins a moment after its claim.
                            began.insert(ticket, then);
                        }
                        None
                    }
                    Step::CallBack => {
                        if let Some(ticket) = current && flights.call_back(ticket, at) {
                            began.remove(&ticket);
                        }
                        None
                    }
                    Step::Land => match current {
                        Some(ticket) if began.contains_key(&ticket) => {
                            Some((ticket, began[&ticket], true, flights.land(ticket, Ok(document()), None, at)))
                        }
                        _ => None,
                    },
                    Step::Offer { began: ago } => current.and_then(|ticket| {
                        let then = now - ago;
                        let landed = flights.land_served(ticket, later(start, then), Ok(document()), None, at)?;
                        Some((ticket, then, false, landed))
                    }),
                };
                if let Some((ticket, then, departed, landed)) = landed {
                    let mut told = 0;
                    for (_, after) in waiting.extract_if(.., |(waits, _)| *waits == ticket) {
                        // What departs then begins then or later.
                        prop_assert!(after.is_none_or(|after| then > after || departed && then == after), "{after:?} {then}");
                        prop_assert!(flights.claim(ticket, at).is_some());
                        told += 1;
                    }
                    prop_assert_eq!(told, landed.passengers);
                    current = landed.next;
                }
            }
            prop_assert!(waiting.is_empty(), "{waiting:?}");
            prop_assert_eq!((flights.flights.len(), flights.under_way()), (0, 0));
        }
    }
}
