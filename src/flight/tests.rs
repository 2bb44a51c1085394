use super::*;
use crate::secret::Secret;

fn document() -> Arc<Document> {
    Arc::new(Document::new(Secret::new("1")))
}

fn board(flights: &mut Flights<&'static str, u8>, key: &'static str, waits: bool) -> Boarding {
    flights.board(&key, &0, Purpose::Miss, waits, Instant::now()).unwrap()
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
    assert!(flights.depart(ticket, false).is_some());
    assert!(flights.depart(ticket, false).is_none(), "once");
    assert_eq!(board(&mut flights, "a", false), Boarding::Joined(ticket));
    assert!(!flights.has_landed(ticket));
    assert_eq!(flights.land(ticket, Ok(document()), None, Instant::now()), 2);
    assert!(flights.has_landed(ticket));
    assert!(flights.claim(ticket).unwrap().is_ok());
    assert!(flights.claim(ticket).unwrap().is_ok());
    assert!(flights.claim(ticket).is_none());
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
    assert!(flights.claim(ticket).is_none());
    flights.land(ticket, Ok(document()), None, Instant::now());
    assert!(flights.claim(ticket).unwrap().is_ok());
    assert!(flights.flights.is_empty());
}

#[test]
fn its_owner_takes_the_parcel_on() {
    let mut flights = Flights::default();
    let other = boarded(&mut flights, "b", true);
    flights.depart(other, false);
    flights.land(other, Ok(document()), None, Instant::now());
    assert!(flights.parcel(other).is_none(), "nobody has to take it on");
    assert!(flights.claim(other).is_some(), "and it is still there for who waits");
    let ticket = boarded(&mut flights, "a", false);
    flights.depart(ticket, true);
    assert_eq!(flights.find(|key| *key == "a"), Some(ticket));
    let error = Error::new(Kind::NotFound, "none");
    let parcel = Parcel::Failure { error: error.clone(), at: Instant::now() };
    flights.land(ticket, Err(error), Some(parcel), Instant::now());
    assert!(matches!(flights.watch(ticket), Watch::Landed(Some(_))));
    assert!(matches!(flights.parcel(ticket), Some(("a", Some(Parcel::Failure { .. })))));
    assert!(flights.parcel(ticket).is_none());
}

#[test]
fn a_flight_may_be_called_back_and_one_nobody_attends_to_is_handed_to_the_next() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let Boarding::Boarded(ticket) = flights.board(&"a", &0, Purpose::Miss, true, now).unwrap() else { panic!() };
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, true, now).unwrap(), Boarding::Joined(ticket));
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, true, later(2)).unwrap(), Boarding::Boarded(ticket));
    assert_eq!(flights.board(&"a", &0, Purpose::Miss, true, later(2)).unwrap(), Boarding::Joined(ticket));
    flights.depart(ticket, false);
    let whole = Duration::from_secs(5);
    assert_eq!(flights.left(ticket, whole, later(2)), None, "it has its whole time");
    assert!(flights.call_back(ticket, later(2)));
    assert!(!flights.call_back(ticket, later(2)));
    assert_eq!(flights.left(ticket, whole, later(2)), Some(Duration::from_secs(3)));
    assert_eq!(flights.left(ticket, whole, later(9)), Some(Duration::ZERO));
    assert!(flights.depart(ticket, false).is_some());
}

#[test]
fn whoever_watches_is_told_of_the_landing() {
    let mut flights = Flights::default();
    let ticket = boarded(&mut flights, "a", false);
    let Watch::UnderWay(landing) = flights.watch(ticket) else { panic!() };
    let parcel = Parcel::Failure { error: Error::new(Kind::NotFound, "none"), at: Instant::now() };
    flights.land(ticket, Ok(document()), Some(parcel), Instant::now());
    assert!(landing.blocking_recv().unwrap().is_some());
    assert!(matches!(flights.watch(ticket), Watch::Landed(None)));
}

#[test]
fn the_number_of_flights_is_bounded_and_a_slow_vault_leaves_room_for_others() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        flights.board(&key, &"slow", Purpose::Miss, true, now).unwrap();
    }
    let refused = flights.board(&LIMIT, &"slow", Purpose::Miss, true, now).unwrap_err();
    assert_eq!(refused.kind(), Kind::Throttled);
    assert!(flights.board(&0, &"slow", Purpose::Miss, true, now).is_ok());
    assert!(flights.board(&LIMIT, &"fast", Purpose::Miss, true, now).is_ok());
}

#[test]
fn who_waits_for_his_turn_is_not_refused() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    for key in 0..LIMIT_PER_VAULT {
        flights.board(&key, &"slow", Purpose::Miss, true, now).unwrap();
    }
    assert!(flights.board(&LIMIT, &"slow", Purpose::Miss, true, now).is_err());
    let Boarding::Boarded(ticket) = flights.board_in_turn(&LIMIT, &"slow", Purpose::Miss, true, now) else { panic!() };
    assert_eq!(flights.board_in_turn(&LIMIT, &"slow", Purpose::Miss, true, now), Boarding::Joined(ticket));
}

#[test]
fn what_nobody_waits_for_begins_when_its_vault_has_room() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let mut tickets = Vec::new();
    while !flights.defer(&tickets.len(), &"slow", Purpose::Miss) {
        let Ok(Boarding::Boarded(ticket)) = flights.board(&tickets.len(), &"slow", Purpose::Miss, false, now) else {
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
