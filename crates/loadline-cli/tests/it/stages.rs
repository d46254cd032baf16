//! `loadline stage`: a model is opened step by step, and a gate keeps to it.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::licensed::{Bench, POLICY};
use crate::stopping::{Site, rest};

fn stands(site: &Site) -> Value {
    let shown = site.bench.ok(&format!("stage show {} --json", site.license));
    shown.json_lines().remove(0)
}

#[test]
fn a_gate_stops_serving_when_a_model_is_demoted_and_serves_again_when_it_is_promoted() {
    let mut site = Site::new();
    let (bench, license) = (Rc::clone(&site.bench), site.license.clone());
    let stage = |words: &str| bench.run(&format!("stage propose {license} {words} --lease 24h"));
    // Nothing is held back before the first step.
    assert_eq!(stands(&site)["stage"], "draft");
    assert_eq!(site.asked().0, 200);
    let first = stage("--to internal --reason passed").ok();
    assert!(first.stderr.contains("from `draft` to `internal`, entry"), "{}", first.text());
    let mut warm = site.connect();
    assert_eq!(site.ask(&mut warm).0, 200);
    let mut stream = site.connect();
    assert!(site.send(&mut stream, true).starts_with("HTTP/1.1 200"));
    let standing = bench.sandbox.path("authority/standing.json");
    let before = std::fs::read(&standing).unwrap();
    stage("--to suspended --reason doubts").ok();
    // The stream ends by itself when the standing comes: nobody waits for a clock.
    let rest = rest(&mut stream);
    let last = rest.trim_end().rsplit("data: ").next().unwrap();
    assert!(last.contains("license_suspended"), "{last}");
    assert_eq!(site.ask(&mut warm), (403, "license_suspended".to_owned()));
    let shown = bench.ok("license show");
    assert!(shown.stdout.contains("suspended"), "{}", shown.text());
    let shown = bench.ok(&format!("license show {}", site.license));
    assert!(shown.stdout.contains("the model stands at `suspended`: doubts"), "{}", shown.text());
    // An older standing does not bring it back, also after a restart.
    let newest = std::fs::read(&standing).unwrap();
    std::fs::write(&standing, before).unwrap();
    site.end();
    site.begin();
    assert_eq!(site.asked(), (403, "license_suspended".to_owned()));
    std::fs::write(&standing, newest).unwrap();
    let mut warm = site.connect();
    // What holds it back is the model's stage: reinstating the licence is no way around it.
    let around = bench.run(&format!("license reinstate {} --reason x", site.license));
    assert_eq!(around.code, 2, "{}", around.text());
    stage("--to internal --reason cleared").ok();
    site.until("the newer standing", |site| site.ask(&mut warm).0 == 200);
    stage("--to withdrawn --reason replaced").ok();
    site.until("the newest standing", |site| site.ask(&mut warm) == (403, "license_revoked".to_owned()));
    let after = stage("--to internal --reason again");
    assert_eq!(after.code, 2, "{}", after.text());
    assert!(after.stderr.contains("nothing follows `withdrawn`"), "{}", after.text());
    let steps = stands(&site);
    assert_eq!((steps["stage"].as_str(), steps["steps"].as_array().unwrap().len()), (Some("withdrawn"), 4));
    bench.sandbox.run("log fsck authority").ok();
}

#[test]
fn a_promotion_takes_a_licence_and_the_signatures_of_its_rule() {
    let site = Site::new();
    let bench = &site.bench;
    let propose = |words: &str| bench.run(&format!("stage propose {} {words}", site.license));
    let licence = |words: &str| bench.run(&format!("stage propose {words}"));
    let none = propose("--to limited --reason x");
    assert_eq!(none.code, 2, "{}", none.text());
    assert!(none.stderr.contains("no licence for stage `limited`"), "{}", none.text());
    bench.sign_all();
    let issued = bench.ok("license issue --stage limited --json").json_lines().remove(0);
    let limited = issued["license"].as_str().unwrap().to_owned();
    let skipped = licence(&format!("{limited} --to limited --reason x"));
    assert_eq!(skipped.code, 2, "{}", skipped.text());
    assert!(
        skipped.stderr.contains("stage `internal` of the policy would be left out"),
        "{}",
        skipped.text()
    );
    propose("--to internal --reason passed").ok();
    let red = "--key authority/keys/red-team.age";
    let demoted = propose(&format!("--to draft --reason x {red}"));
    assert_eq!(demoted.code, 30, "{}", demoted.text());
    assert!(demoted.stderr.contains("key `red-team` signed and has no say"), "{}", demoted.text());
    let again = bench.ok("license issue --stage limited");
    assert!(
        again.stderr.contains("no gate serves it yet: the model stands at `internal`"),
        "{}",
        again.text()
    );
    // The limited licence is not served while the model stands at `internal`.
    let shown = bench.ok("license show");
    assert_eq!(shown.stdout.matches("suspended").count(), 1, "{}", shown.text());
    let proposed = licence(&format!("{limited} --to limited --reason ready -o up.json")).ok();
    assert!(proposed.stderr.contains("0 of 1 needed signed as red_team"), "{}", proposed.text());
    let twice = bench.run("stage sign up.json --key authority/keys/authority.age");
    assert_eq!(twice.code, 2, "{}", twice.text());
    assert!(twice.stderr.contains("everybody signs once"), "{}", twice.text());
    // On a machine of its own, without the authority's folder; then the signatures are put together.
    bench.ok(&format!("stage sign up.json {red} --authority nowhere -o red.json"));
    assert_eq!(stands(&site)["stage"], "internal");
    let up = bench.ok("stage sign up.json --join red.json --json").json_lines().remove(0);
    assert_eq!((&up["to"], &up["license"]), (&json!("limited"), &json!(limited)));
    // Whoever gives the command again may have been killed: nothing is logged twice.
    let again = bench.ok("stage sign up.json --join red.json --json").json_lines().remove(0);
    assert_eq!((&again["index"], &again["transition"]), (&up["index"], &up["transition"]));
    let replayed = bench.run(&format!("stage propose {} --to internal --reason passed", site.license));
    assert!(replayed.stderr.contains("entry"), "{}", replayed.text());
    let replayed = bench.run("stage sign up.json --join red.json");
    assert_eq!(replayed.code, 2, "{}", replayed.text());
    assert!(replayed.stderr.contains("the model went on: it stands at `internal`"), "{}", replayed.text());
    let up = licence(&format!("{limited} --to limited --reason ready -o up.json")).ok();
    assert!(up.stderr.contains("0 of 1 needed"), "{}", up.text());
    bench.ok(&format!("stage sign up.json {red}"));
    assert!(!bench.ok("license show").stdout.contains("suspended"));
    bundled(&site, &limited);
}

/// A bundle has the model's stages, and says when they no longer carry its licence.
fn bundled(site: &Site, limited: &str) {
    let bench = &site.bench;
    bench.ok(&format!("license bundle {limited} -o up.bundle"));
    let verified = bench.sandbox.run("verify up.bundle");
    assert_eq!(verified.code, 0, "{}", verified.text());
    let stop = "--key authority/keys/stop.age";
    bench.ok(&format!("stage propose {limited} --to internal --reason doubts {stop}"));
    let stale = bench.sandbox.run("verify up.bundle --standing authority/standing.json");
    assert_eq!(stale.code, 30, "{}", stale.text());
    assert!(stale.stdout.contains("the model stands at `internal`: doubts"), "{}", stale.text());
    bench.ok(&format!("license bundle {limited} -o down.bundle"));
    let down = bench.sandbox.run("verify down.bundle");
    assert_eq!(down.code, 30, "{}", down.text());
    assert!(
        down.stdout.contains("the model stands at `internal`, and the licence is for `limited`"),
        "{}",
        down.text()
    );
    // The licence for `internal` is as good as before.
    let kept = bench.ok("license show").stdout;
    assert_eq!(kept.matches("holds").count(), 1, "{kept}");
    bench.sandbox.run("log fsck authority").ok();
    // A transition that was changed on the disk is noticed.
    let folder = bench.sandbox.path("authority/stages");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let changed = bench.run(&format!("stage show {limited}"));
    assert_eq!(changed.code, 30, "{}", changed.text());
}

#[test]
fn a_stage_is_not_left_sooner_than_the_policy_says() {
    let policy = POLICY.replace("name = \"internal\"", "name = \"internal\"\nmin_days = 30");
    let bench = Bench::with(&policy, "--also red_team");
    bench.examined("fake/ability=0.95");
    bench.sign_all();
    let issue = |stage: &str| {
        let issued = bench.ok(&format!("license issue --stage {stage} --json")).json_lines().remove(0);
        issued["license"].as_str().unwrap().to_owned()
    };
    let (internal, limited) = (issue("internal"), issue("limited"));
    bench.ok(&format!("stage propose {internal} --to internal --reason passed"));
    let early = bench.run(&format!("stage propose {limited} --to limited --reason ready"));
    assert_eq!(early.code, 2, "{}", early.text());
    assert!(early.stderr.contains("the policy asks for 30 days"), "{}", early.text());
    // Not by way of a suspension either; back to where it was, it may go.
    let end = |bench: &Bench| bench.ok("standing show --json").json_lines().remove(0)["expires"].clone();
    bench.ok("standing issue --lease 24h");
    let long = end(&bench);
    bench.ok(&format!("stage propose {internal} --to suspended --reason doubts"));
    let around = bench.run(&format!("stage propose {limited} --to limited --reason ready"));
    assert_eq!(around.code, 2, "{}", around.text());
    assert!(
        around.stderr.contains("was suspended at `internal` and goes back to at most"),
        "{}",
        around.text()
    );
    bench.ok(&format!("stage propose {internal} --to internal --reason cleared"));
    assert_eq!(end(&bench), long, "what is signed with a step ends no earlier than what it replaces");
    let again = bench.ok("license issue --stage limited");
    assert!(again.stderr.contains(&format!("until {}", long.as_str().unwrap())), "{}", again.text());
    assert_eq!(end(&bench), long);
    let short = bench.run(&format!("stage show {}", &internal[..14]));
    assert_eq!(short.code, 2, "{}", short.text());
    assert!(short.stderr.contains("at least 8 digits"), "{}", short.text());
    bench.ok(&format!("stage show {}", &internal[..15]));
    // Back is possible at any time.
    bench.ok(&format!("stage propose {internal} --to draft --reason doubts"));
}
