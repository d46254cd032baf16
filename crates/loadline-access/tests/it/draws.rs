//! The lottery, and the figures.

use loadline_access::book::State;
use loadline_access::lottery::Lottery;
use loadline_access::refusal::Code;
use loadline_access::request::{Act, Verdict};
use loadline_tlog::VerifierKey;

use crate::support::{Office, at};

fn accepted(office: &mut Office, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            let id = office.apply(&format!("p{number}"), "uni.example");
            office.decide(&id, Verdict::Accept);
            id
        })
        .collect()
}

fn vkey(office: &Office) -> VerifierKey {
    VerifierKey::parse(std::fs::read_to_string(office.state().join("signer.vkey")).unwrap().trim()).unwrap()
}

#[test]
fn places_are_drawn_by_lot_and_anybody_can_draw_again() {
    let mut office = Office::new();
    let ids = accepted(&mut office, 5);
    office.now = at("2027-01-01T00:00:00Z");
    let now = office.now;
    let drawn = office.desk().draw("2026-1", None, now).unwrap();
    assert_eq!(drawn.order.len(), 5);
    let states: Vec<_> = drawn.order.iter().map(|id| office.desk().status(id, now).unwrap().state).collect();
    assert_eq!(states[..2], [State::Admitted; 2]);
    assert_eq!(states[2..], [State::Waitlisted; 3]);
    let json = serde_json::to_vec(&drawn).unwrap();
    let published: Lottery = serde_json::from_slice(&json).unwrap();
    published.verify(Some(&vkey(&office))).unwrap();

    let mut swapped = published.clone();
    swapped.order.swap(1, 2);
    assert!(swapped.verify(None).unwrap_err().contains("place 2"));
    let mut doubled = published.clone();
    doubled.order[4] = doubled.order[3].clone();
    assert!(doubled.verify(None).unwrap_err().contains("twice"));
    let mut other = published.clone();
    other.round = "2027-1".to_owned();
    assert!(other.verify(None).is_err());
    let mut unsigned = published.clone();
    unsigned.checkpoint = published.checkpoint.replacen("\n", "\n1", 1);
    assert!(unsigned.verify(Some(&vkey(&office))).is_err());

    // Who takes back makes room for the next.
    let first = ids.iter().position(|id| *id == drawn.order[0]).unwrap();
    office.ask(&format!("p{first}"), Some(&drawn.order[0]), Act::Withdraw).unwrap();
    assert_eq!(office.desk().status(&drawn.order[2], now).unwrap().state, State::Admitted);
    assert_eq!(office.desk().status(&drawn.order[3], now).unwrap().state, State::Waitlisted);
    let waits = ids.iter().position(|id| *id == drawn.order[3]).unwrap();
    let error = office.ask(&format!("p{waits}"), Some(&drawn.order[3]), Act::Claim).unwrap_err();
    assert!(error.message.contains("waitlisted"), "{error}");
    office.reopen();
    assert_eq!(office.desk().lottery("2026-1").unwrap(), drawn);
}

#[test]
fn nothing_is_drawn_while_something_is_open() {
    let mut office = Office::new();
    let draw = |office: &mut Office, round: &str| {
        let now = office.now;
        office.desk().draw(round, None, now).map(|_| ()).unwrap_err()
    };
    assert!(draw(&mut office, "2026-1").message.contains("closes at"));
    assert_eq!(draw(&mut office, "nope").code, Code::Unknown);
    let open = office.apply("ada", "uni.example");
    let rejected = office.apply("bob", "uni.example");
    office.now = at("2027-01-02T00:00:00Z");
    office.decide(&rejected, Verdict::Reject);
    assert!(
        draw(&mut office, "2026-1").message.contains("2 applications")
            || draw(&mut office, "2026-1").message.contains("1 applications")
    );
    office.decide(&open, Verdict::Accept);
    assert!(draw(&mut office, "2026-1").message.contains("appealed against until 2027-01-12"));
    office.now = at("2027-01-12T00:00:01Z");
    let now = office.now;
    office.desk().draw("2026-1", None, now).unwrap();
    assert!(draw(&mut office, "2026-1").message.contains("were given"));
}

#[test]
fn a_public_randomness_that_was_announced_decides() {
    let announced = "beacon = \"drand quicknet, first round after 2027-01-01T00:00:00Z\"\n";
    let mut orders = Vec::new();
    for value in ["8f1c", "77aa"] {
        let mut office = Office::with(announced);
        accepted(&mut office, 5);
        office.now = at("2027-01-01T00:00:00Z");
        let now = office.now;
        let error = office.desk().draw("2026-1", None, now).unwrap_err();
        assert!(error.message.contains("missing") && error.hint.contains("drand"), "{error}");
        let drawn = office.desk().draw("2026-1", Some(value), now).unwrap();
        drawn.verify(Some(&vkey(&office))).unwrap();
        let mut other = drawn.clone();
        other.beacon = Some("0000".to_owned());
        assert!(other.verify(None).is_err(), "another value gives another order");
        other.beacon = None;
        assert!(other.verify(None).unwrap_err().contains("announced"));
        orders.push(drawn.order);
    }
    assert_ne!(orders[0], orders[1]);
    let mut office = Office::new();
    office.now = at("2027-01-01T00:00:00Z");
    let now = office.now;
    let error = office.desk().draw("2026-1", Some("8f1c"), now).unwrap_err();
    assert!(error.hint.contains("not promised"), "{error}");
}

#[test]
fn every_place_is_as_likely_for_everybody() {
    use loadline_tlog::Checkpoint;
    let ids: Vec<String> = (0..4).map(|number| format!("{number:032x}")).collect();
    let mut first = [0_u32; 4];
    for seed in 1..=4_000_u64 {
        let root = loadline_core::Digest::of(&seed.to_be_bytes()).0;
        let checkpoint = Checkpoint::new("example.org/access", seed, root).unwrap();
        let order = loadline_access::lottery::draw("example.org/access", "r", &checkpoint, None, ids.clone());
        first[ids.iter().position(|id| *id == order[0]).unwrap()] += 1;
    }
    // Chi-square with 3 degrees of freedom: above 16.3 once in a thousand.
    let chi: f64 = first.iter().map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 16.3, "{first:?}");
}

#[test]
fn figures_have_intervals_and_no_names() {
    let mut office = Office::new();
    let empty = office.desk().figures(at("2026-12-02T10:00:00Z"));
    assert!(empty.acceptance.is_none() && empty.decision_days.is_none());
    for number in 0..9 {
        let id = office.apply(&format!("p{number}"), "uni.example");
        let begun = office.now;
        office.days_later(number + 1);
        office.decide(&id, if number < 6 { Verdict::Accept } else { Verdict::Reject });
        office.now = begun;
    }
    office.apply("waits", "uni.example");
    let now = office.now;
    let figures = office.desk().figures(now);
    let counts = figures.total;
    assert_eq!((counts.applied, counts.waiting, counts.accepted, counts.rejected), (10, 1, 6, 3));
    let acceptance = figures.acceptance.clone().unwrap();
    assert_eq!((acceptance.n, acceptance.method.name()), (9, "Wilson"));
    let days = figures.decision_days.clone().unwrap();
    assert_eq!((days.point, days.interval.lo, days.interval.hi, days.n), (5.0, 2.0, 8.0, 9));
    assert_eq!(figures.rounds[0].1, counts);
    let json = serde_json::to_string(&figures).unwrap();
    assert!(!json.contains("p0") && !json.contains("rev-") && !json.contains("uni.example"), "{json}");
}
