//! What both kinds of tests need: bundles, whole and changed, and how to verify them.

use loadline_core::{Digest, Instant};
use loadline_exam::fixture::change::{Change, changed_bytes, taken_apart, with_table};
use loadline_exam::fixture::{Fixture, Plan, make};
use loadline_exam::{Anchor, verify};
use loadline_trust::{StandingEntry, StandingState};
use serde_json::{Value, json};

/// A bundle, and what is known from elsewhere.
pub struct Vector {
    pub name: String,
    pub bundle: Vec<u8>,
    pub anchor: Anchor,
}

impl Vector {
    /// The report of the library itself.
    pub fn report(&self) -> Value {
        let report = verify(self.bundle.as_slice(), &self.anchor).to_json().unwrap();
        serde_json::from_str(&report).unwrap()
    }

    /// The options that say the same as the anchor.
    pub fn options(&self) -> Value {
        let mut options = json!({ "now": self.anchor.now });
        if let Some(root) = self.anchor.root {
            options["root"] = json!(root);
        }
        if self.anchor.witnessed {
            options["witnessed"] = json!(true);
        }
        options
    }
}

/// A small bundle; of the form of before starts were witnessed, if `older`.
fn small(older: bool) -> Fixture {
    let mut plan = Plan { older, ..Plan::default() };
    plan.policy.tests.iter_mut().for_each(|test| test.n = 20);
    make(&plan).unwrap()
}

/// The bundle of the repository's golden file, made again with its keys at hand.
pub fn golden() -> Fixture {
    let fixture = small(false);
    let file = include_bytes!("../../../loadline-exam/tests/golden/witnessed.bundle");
    assert!(fixture.bundle().unwrap() == file, "the fixture makes other bytes than the golden bundle");
    fixture
}

/// Numbers that do not fit into a machine word of 32 bits, and JSON of great depth.
fn strange(bundle: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (table, parts) = taken_apart(bundle).unwrap();
    let mut strange = Vec::new();
    for bytes in [u64::from(u32::MAX), 1 << 32, (1 << 32) + 100, 1 << 40, (1 << 53) - 1] {
        let mut table = table.clone();
        table["parts"][1]["bytes"] = json!(bytes);
        strange.push((format!("policy of {bytes} bytes"), with_table(&table, &parts).unwrap()));
    }
    let wide = Plan { row: Some(|row| row.gold = Some(1 << 32)), ..Plan::default() };
    strange.push(("a right choice of 33 bits".to_owned(), make(&wide).unwrap().bundle().unwrap()));
    for depth in [100, 127, 128, 1_000_000] {
        let mut fixture = golden();
        fixture.contents.policy = [vec![b'['; depth], vec![b']'; depth]].concat();
        strange.push((format!("policy of depth {depth}"), fixture.bundle().unwrap()));
        let mut fixture = golden();
        let seal = format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        fixture.contents.records[0].seal = seal;
        strange.push((format!("seal of depth {depth}"), fixture.bundle().unwrap()));
    }
    strange
}

/// The golden bundle under different roots, moments and standings; cut off; and with a byte changed.
pub fn vectors(changes: usize) -> Vec<Vector> {
    let fixture = golden();
    let (bundle, now) = (fixture.bundle().unwrap(), fixture.now);
    let pinned = Anchor { root: Some(fixture.root), ..Anchor::at(now) };
    let mut vectors = Vec::new();
    let mut add = |name: String, bundle: &[u8], anchor: Anchor| {
        vectors.push(Vector { name, bundle: bundle.to_vec(), anchor });
    };
    add("golden".to_owned(), &bundle, pinned.clone());
    add("not pinned".to_owned(), &bundle, Anchor::at(now));
    add("witnessed".to_owned(), &bundle, Anchor { witnessed: true, ..pinned.clone() });
    let older = small(true);
    for (name, witnessed) in [("older", false), ("older, and must be witnessed", true)] {
        let anchor = Anchor { root: Some(older.root), witnessed, ..Anchor::at(older.now) };
        add(name.to_owned(), &older.bundle().unwrap(), anchor);
    }
    add("another root".to_owned(), &bundle, Anchor { root: Some(Digest([0; 32])), ..pinned.clone() });
    for moment in ["1970-01-01T00:00:00Z", "2026-12-24T00:00:00Z", "9999-12-31T23:59:59Z"] {
        add(moment.to_owned(), &bundle, Anchor { now: moment.parse::<Instant>().unwrap(), ..pinned.clone() });
    }
    let license = verify(bundle.as_slice(), &pinned).summary.license.unwrap();
    let entry = |state| StandingEntry { license, state, since: now, reason: "test".to_owned() };
    for (name, entries) in [
        ("in good standing", vec![]),
        ("revoked", vec![entry(StandingState::Revoked)]),
        ("suspended", vec![entry(StandingState::Suspended)]),
    ] {
        let standing = Some(fixture.standing(3, now, entries).unwrap());
        add(name.to_owned(), &bundle, Anchor { standing, ..pinned.clone() });
    }
    for standing in [&b""[..], b"{}", b"\xff\xfe"] {
        let name = format!("standing {standing:?}");
        add(name, &bundle, Anchor { standing: Some(standing.to_vec()), ..pinned.clone() });
    }
    for length in (0..bundle.len()).step_by(bundle.len() / 20) {
        add(format!("the first {length} bytes"), &bundle[..length], pinned.clone());
    }
    for (name, bundle) in strange(&bundle) {
        add(name, &bundle, pinned.clone());
    }
    for Change { name, bundle } in changed_bytes(&bundle, changes).unwrap() {
        add(name, &bundle, pinned.clone());
    }
    vectors
}
