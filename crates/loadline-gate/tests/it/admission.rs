//! The decision, over its whole table and over random snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use loadline_core::{Digest, Instant};
use loadline_gate::admission::{Facts, admit};
use loadline_gate::caller::{Caller, Callers, Hours, hash};
use loadline_gate::clock::Moment;
use loadline_gate::ledger::{Keep, StopTarget, Stops};
use loadline_gate::refusal::Code;
use loadline_gate::snapshot::{Fresh, Licensed, Served, Snapshot};
use loadline_policy::license::Validity;
use loadline_policy::policy::Stage;
use loadline_testkit::authority::open_marks;
use loadline_trust::{Standing, StandingEntry, StandingMark, StandingState};
use proptest::prelude::*;

use crate::support::{START, at};

fn now() -> Moment {
    Moment { wall_ms: START * 1_000, passed_ms: 5_000 }
}

fn license() -> Digest {
    Digest([7; 32])
}

fn caller() -> Caller {
    Caller::new("alice", "alice", "scientist")
}

struct World {
    caller: Caller,
    license: Licensed,
    standing: Option<Standing>,
    accepted: Moment,
    stops: BTreeSet<StopTarget>,
    roles: BTreeMap<Stage, BTreeSet<String>>,
    region: Option<&'static str>,
    root_expires: Instant,
}

impl Default for World {
    fn default() -> Self {
        let standing = Standing {
            format: String::new(),
            authority: Digest([1; 32]),
            epoch: 4,
            issued: at(0),
            expires: at(3_600),
            log_size: 1,
            entries: Vec::new(),
        };
        Self {
            caller: caller(),
            license: Licensed {
                digest: license(),
                model: Digest([8; 32]),
                decision: Digest([6; 32]),
                stage: Stage::Academic,
                marks: Some(open_marks()),
                validity: Validity { not_before: at(0), expires: at(86_400) },
                assurance: vec!["loadline/al-1".to_owned()],
            },
            standing: Some(standing),
            accepted: now(),
            stops: BTreeSet::new(),
            roles: BTreeMap::from([(Stage::Academic, BTreeSet::from(["scientist".to_owned()]))]),
            region: None,
            root_expires: at(1 << 30),
        }
    }
}

impl World {
    fn snapshot(&self) -> Snapshot {
        let served = Served {
            name: "m".into(),
            upstream_model: "m".to_owned(),
            upstreams: Vec::new(),
            license: self.license.clone(),
            guards: Default::default(),
            keep: Keep::Digest,
        };
        let fresh = self.standing.clone().map(|standing| {
            let mark = StandingMark { epoch: standing.epoch, digest: Digest([2; 32]), log_size: 1 };
            Arc::new(Fresh { standing, mark, accepted: self.accepted })
        });
        Snapshot {
            callers: Arc::new([(hash("key"), self.caller.clone())].into_iter().collect::<Callers>()),
            models: Arc::new(HashMap::from([(Arc::from("m"), Arc::new(served))])),
            roles: Arc::new(self.roles.clone()),
            region: self.region.map(Arc::from),
            root_expires: self.root_expires,
            standing: fresh,
            suspended: Default::default(),
            stops: Arc::new(Stops { targets: self.stops.clone(), ..Stops::default() }),
            default_output_tokens: 50,
            config: Digest([0; 32]),
        }
    }
}

fn facts() -> Facts<'static> {
    Facts { model: "m", body_bytes: 40, ..Facts::default() }
}

fn decided(change: impl Fn(&mut World), facts: &Facts<'_>, at: Moment) -> Option<Code> {
    let mut world = World::default();
    change(&mut world);
    admit(&world.snapshot(), at, hash("key"), facts).err().map(|refusal| refusal.code)
}

#[test]
fn a_permit_says_what_it_rests_on() {
    let permit = admit(&World::default().snapshot(), now(), hash("key"), &facts()).unwrap();
    assert_eq!((permit.epoch, permit.input_tokens, permit.reserved), (4, 10, 60));
    assert!(permit.charges.is_empty());
    let mut world = World::default();
    world.caller.limits.tokens_per_minute = Some(9);
    world.license.marks.as_mut().unwrap().tokens_per_day = Some(8);
    let permit = admit(&world.snapshot(), now(), hash("key"), &facts()).unwrap();
    let charges: Vec<_> = permit.charges.iter().map(|charge| charge.account.name()).collect();
    assert_eq!(charges, ["quota/alice", &format!("marks/{}/alice", license().hex())]);
}

#[test]
fn the_whole_table() {
    let stop = |target: StopTarget| {
        move |world: &mut World| {
            world.stops.insert(target.clone());
        }
    };
    let entry = |state| {
        move |world: &mut World| {
            let entry = StandingEntry { license: license(), state, since: at(0), reason: "r".to_owned() };
            world.standing.as_mut().unwrap().entries.push(entry);
        }
    };
    let marks = |change: fn(&mut loadline_policy::policy::Marks)| {
        move |world: &mut World| {
            change(world.license.marks.as_mut().unwrap());
        }
    };
    type Change = Box<dyn Fn(&mut World)>;
    let cases: Vec<(Change, Option<Code>)> = vec![
        (Box::new(|_| {}), None),
        (Box::new(stop(StopTarget::All)), Some(Code::Stopped)),
        (Box::new(stop(StopTarget::Key("alice".to_owned()))), Some(Code::Stopped)),
        (Box::new(stop(StopTarget::Model("m".to_owned()))), Some(Code::Stopped)),
        (Box::new(stop(StopTarget::License(license()))), Some(Code::Stopped)),
        (Box::new(stop(StopTarget::Key("bob".to_owned()))), None),
        (Box::new(entry(StandingState::Revoked)), Some(Code::LicenseRevoked)),
        (Box::new(entry(StandingState::Suspended)), Some(Code::LicenseSuspended)),
        (Box::new(|world| world.standing = None), Some(Code::StandingMissing)),
        (Box::new(|world| world.standing.as_mut().unwrap().expires = at(0)), None),
        (Box::new(|world| world.license.validity.not_before = at(1)), Some(Code::LicenseExpired)),
        (Box::new(|world| world.license.validity.expires = at(0)), None),
        (Box::new(|world| world.root_expires = Instant::EPOCH), Some(Code::StandingStale)),
        (Box::new(|world| world.caller.revoked = true), Some(Code::KeyRevoked)),
        (Box::new(|world| world.caller.expires = Some(Instant::EPOCH)), Some(Code::KeyExpired)),
        (Box::new(|world| world.caller.not_before = at(1)), Some(Code::KeyExpired)),
        (
            Box::new(|world| world.caller.hours = Some(Hours { from_minute: 0, to_minute: 480 })),
            Some(Code::OutOfHours),
        ),
        (Box::new(|world| world.caller.hours = Some(Hours { from_minute: 480, to_minute: 481 })), None),
        (Box::new(|world| world.caller.models = vec!["x".to_owned()]), Some(Code::ModelNotAllowed)),
        (Box::new(|world| world.caller.models = vec!["m".to_owned()]), None),
        (Box::new(|world| world.caller.role = "public".to_owned()), Some(Code::StageNotAllowed)),
        (Box::new(|world| world.caller.stages = vec![Stage::General]), Some(Code::StageNotAllowed)),
        (Box::new(|world| world.license.stage = Stage::Limited), Some(Code::StageNotAllowed)),
        (Box::new(marks(|marks| marks.regions = vec!["eu".to_owned()])), Some(Code::RegionNotAllowed)),
        (Box::new(marks(|marks| marks.context_tokens = Some(9))), Some(Code::ContextTooLong)),
        (Box::new(marks(|marks| marks.context_tokens = Some(10))), None),
        (Box::new(marks(|marks| marks.tools = false)), None),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(decided(change, &facts(), now()), expected, "case {number}");
    }
    let tools = Facts { tools: true, ..facts() };
    assert_eq!(decided(marks(|marks| marks.tools = false), &tools, now()), Some(Code::ToolsNotAllowed));
    let here = |world: &mut World| {
        world.license.marks.as_mut().unwrap().regions = vec!["eu".to_owned()];
        world.region = Some("eu");
    };
    assert_eq!(decided(here, &facts(), now()), None);
    assert_eq!(decided(|_| {}, &Facts { model: "x", ..facts() }, now()), Some(Code::ModelUnknown));
    let unknown = admit(&World::default().snapshot(), now(), hash("other"), &facts()).unwrap_err();
    assert_eq!(unknown.code, Code::KeyUnknown);
}

#[test]
fn callers_floors() {
    let stage = |floor| decided(|_| {}, &Facts { min_stage: Some(floor), ..facts() }, now());
    assert_eq!(stage(Stage::Internal), None);
    assert_eq!(stage(Stage::Academic), None);
    assert_eq!(stage(Stage::General), Some(Code::BelowMinStage));
    let assurance = |floor| decided(|_| {}, &Facts { min_assurance: Some(floor), ..facts() }, now());
    assert_eq!(assurance("loadline/al-0"), None);
    assert_eq!(assurance("loadline/al-1"), None);
    for above in ["loadline/al-2", "averi.org/aal-1", "overt/aal-0", "al-0", "", "loadline/al-x"] {
        assert_eq!(assurance(above), Some(Code::BelowMinAssurance), "{above}");
    }
}

#[test]
fn released_weights_have_no_marks_and_the_standing_still_counts() {
    let released = |world: &mut World| {
        world.license.stage = Stage::WeightsReleased;
        world.license.marks = None;
        world.roles.insert(Stage::WeightsReleased, BTreeSet::from(["scientist".to_owned()]));
    };
    let later =
        |seconds: u64| Moment { wall_ms: (START + seconds) * 1_000, passed_ms: 5_000 + seconds * 1_000 };
    assert_eq!(decided(released, &facts(), later(3_600)), None);
    assert_eq!(decided(released, &facts(), later(3_601)), Some(Code::StandingStale));
}

prop_compose! {
    fn stops()(bits in 0_u8..32) -> BTreeSet<StopTarget> {
        let all = [
            StopTarget::All,
            StopTarget::Key("alice".to_owned()),
            StopTarget::Model("m".to_owned()),
            StopTarget::License(license()),
            StopTarget::Key("bob".to_owned()),
        ];
        all.into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, target)| target).collect()
    }
}

proptest! {
    /// Forbid beats permit: adding what forbids never lets a request through, and whatever is let through is forbidden
    /// by nothing.
    #[test]
    fn forbid_beats_permit(
        stops in stops(),
        more in stops(),
        lease in 0_u64..200,
        wall in 0_u64..400,
        passed in 0_u64..400,
        revoked: bool,
        known: bool,
        from in 0_u64..100,
        to in 0_u64..400,
    ) {
        let mut world = World { stops, ..World::default() };
        world.caller.revoked = revoked;
        world.license.marks.as_mut().unwrap().lease_s = lease;
        world.license.validity = Validity { not_before: at(from), expires: at(to) };
        let moment = Moment { wall_ms: (START + wall) * 1_000, passed_ms: 5_000 + passed * 1_000 };
        let model = if known { "m" } else { "x" };
        let asked = Facts { model, ..facts() };
        let decision = admit(&world.snapshot(), moment, hash("key"), &asked);
        let fresh = wall <= lease && passed <= lease;
        let stopped = world.stops.iter().any(|target| *target != StopTarget::Key("bob".to_owned()));
        let good = known && !revoked && !stopped && fresh && (from..=to).contains(&wall);
        prop_assert_eq!(decision.is_ok(), good);
        prop_assert_eq!(world.snapshot().forbids(hash("key"), model, moment).is_ok(), good);
        world.stops.extend(more);
        let later = admit(&world.snapshot(), moment, hash("key"), &asked);
        prop_assert!(decision.is_ok() || later.is_err());
    }
}
