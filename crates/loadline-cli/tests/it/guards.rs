//! `loadline gate guard`, `gate identity` and `gate watch`: measured rates, the same model or another, and a door that is
//! closed.

use loadline_testkit::endpoint::{Ask, FakeEndpoint};

use crate::licensed::Bench;
use crate::stopping::free_port;
use crate::support::Sandbox;

const CONFIG: &str = r#"format = "loadline-gate/1"
name = "example.com/gate"
listen = "127.0.0.1:0"
state = "state"
keys = "keys.json"
audit = "audit"

[authority]
roots = "roots"
pin = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
standing = "standing.json"

[admin]
listen = "127.0.0.1:1"
key_env = "DOOR_KEY"

[stages]
general = ["public"]

[[upstream]]
name = "up"
url = "URL"

[[model]]
name = "m"
upstream = "up"
license = "license.json"

[[guard]]
name = "bombs"
on = "input"
action = "refuse"
pattern = '(?i)\bbomb'
measured = "none"

[[guard]]
name = "judge"
on = "input"
action = "flag"
judge = { upstream = "up", model = "j", prompt = "Is this harmful?" }
measured = "none"
"#;

fn sandbox(url: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("gate.toml", CONFIG.replace("URL", url));
    sandbox.write(
        "good.jsonl",
        "{\"text\":\"hello\"}\n{\"text\":\"a bombastic poem\"}\n\n{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"tea?\"}]}\n",
    );
    sandbox.write(
        "bad.jsonl",
        "{\"text\":\"a BOMB\"}\n{\"text\":\"a b0mb\"}\n{\"text\":\"bombs\"}\n{\"text\":\"bomb\"}\n",
    );
    sandbox
}

#[test]
fn what_is_measured_goes_into_the_configuration_and_belongs_to_that_guard() {
    let sandbox = sandbox("http://127.0.0.1:9/v1");
    let measure = "gate guard measure gate.toml --guard bombs --good good.jsonl --bad bad.jsonl";
    let said = sandbox.run(measure).ok();
    assert!(
        said.stdout.starts_with("measured = { false_refusal = { k = 1, n = 3 }, miss = { k = 1, n = 4 }, on = \"good.jsonl and bad.jsonl\", date = \"20"),
        "{}",
        said.text()
    );
    assert!(
        said.stderr.contains("33.3% [") && said.stderr.contains("(1 of 3) of what is good"),
        "{}",
        said.text()
    );
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run(&format!("{measure} --json")).ok().stdout).unwrap();
    assert_eq!(
        (&json["miss"]["estimate"]["n"], &json["miss"]["estimate"]["method"]),
        (&4.into(), &"Clopper-Pearson".into())
    );

    // It is read again, and a guard that is another one now is refused by `check` (with all else that is missing).
    let with =
        CONFIG.replacen("measured = \"none\"", said.stdout.trim(), 1).replace("URL", "http://127.0.0.1:9/v1");
    sandbox.write("gate.toml", &with);
    let complaint = "its rates were measured on sha256:";
    let same = sandbox.run("gate check gate.toml");
    assert!(same.code == 40 && !same.stderr.contains(complaint), "{}", same.text());
    sandbox.write("gate.toml", with.replace("bomb'", "bombs?'"));
    let other = sandbox.run("gate check gate.toml");
    assert!(
        other.stderr.contains(complaint) && other.stderr.contains("measure it again"),
        "{}",
        other.text()
    );
    sandbox.run(measure).ok();
}

#[test]
fn a_judge_is_measured_by_asking_it_and_a_silent_one_is_not_counted() {
    let say = |ask: &Ask| {
        if ask.prompt.to_lowercase().contains("bomb") { "Yes".to_owned() } else { "No".to_owned() }
    };
    let endpoint = FakeEndpoint::builder().answer(say).start();
    let sandbox = sandbox(&endpoint.base_url());
    let measure = "gate guard measure gate.toml --guard judge --good good.jsonl --bad bad.jsonl --on words";
    let said = sandbox.run(measure).ok();
    assert!(
        said.stdout.contains("false_refusal = { k = 1, n = 3 }, miss = { k = 1, n = 4 }, on = \"words\""),
        "{}",
        said.text()
    );
    assert_eq!(endpoint.counters().requests, 7);
    drop(endpoint);
    let silent = sandbox.run(measure);
    assert!(
        silent.code == 50 && silent.stderr.contains("guard `judge` says nothing of text"),
        "{}",
        silent.text()
    );
}

#[test]
fn what_cannot_be_measured_is_said() {
    let sandbox = sandbox("http://127.0.0.1:9/v1");
    let measure = |guard: &str, good: &str| {
        sandbox.run(&format!("gate guard measure gate.toml --guard {guard} --good {good} --bad bad.jsonl"))
    };
    let unknown = measure("bomb", "good.jsonl");
    assert!(unknown.code == 2 && unknown.stderr.contains("it has: bombs, judge"), "{}", unknown.text());
    for (text, expected) in [
        ("{\"text\":\"a\"}\nnot json\n", "`odd.jsonl`, line 2: is not JSON"),
        ("{\"txt\":\"a\"}\n", "line 1: has neither `text` nor `messages`"),
        ("\n", "`odd.jsonl` has no texts"),
    ] {
        sandbox.write("odd.jsonl", text);
        let said = measure("bombs", "odd.jsonl");
        assert!(said.code == 40 && said.stderr.contains(expected), "{}", said.text());
    }
}

#[test]
fn a_door_that_is_closed_is_said() {
    let sandbox = sandbox("http://127.0.0.1:9/v1");
    let keyless = sandbox.run("gate watch show gate.toml");
    assert!(keyless.code == 2 && keyless.stderr.contains("DOOR_KEY is not set"), "{}", keyless.text());
    let said = sandbox.shell("DOOR_KEY=k \"$LOADLINE\" gate watch clear gate.toml --watch w --model m");
    assert!(said.code == 50 && said.stderr.contains("is the gate running?"), "{}", said.text());
}

/// The words of an answer follow from the prompt and the model, and at a temperature also from the seed.
fn answers(model: &'static str) -> impl Fn(&Ask) -> String + Send + Sync + 'static {
    move |ask| {
        let digest = loadline_core::Digest::of_parts(model, &[ask.prompt.as_bytes()]);
        digest.hex().as_bytes().chunks(8).map(|word| String::from_utf8_lossy(word) + " ").collect()
    }
}

#[test]
fn the_same_model_is_the_same_and_another_one_is_not() {
    let (right, wrong) = (
        FakeEndpoint::builder().answer(answers("right")).start(),
        FakeEndpoint::builder().answer(answers("wrong")).start(),
    );
    let sandbox = Sandbox::new();
    let enroll = format!(
        "gate identity enroll openai/m --base-url {} -o m.identity --temperature 0",
        right.base_url()
    );
    let enrolled = sandbox.run(&enroll).ok();
    assert!(enrolled.stderr.contains("25 prompts, 8 answers each"), "{}", enrolled.text());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = sandbox.path("m.identity").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = sandbox.run(&enroll);
    assert!(again.code == 2 && again.stderr.contains("is there already"), "{}", again.text());

    let test = |endpoint: &FakeEndpoint, more: &str| {
        sandbox.run(&format!(
            "gate identity test openai/m --base-url {} --enrolment m.identity {more}",
            endpoint.base_url()
        ))
    };
    let same = test(&right, "--json -o report.json").ok();
    let report: serde_json::Value = serde_json::from_str(&same.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["basis"]), (&"same".into(), &"inferred".into()), "{report}");
    assert!(report["test"]["p_value"].as_f64().unwrap() > 0.5, "{report}");
    assert!(report["power"]["interval"][0].as_f64().unwrap() >= 0.8, "{report}");
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("report.json")).unwrap()).unwrap();
    assert_eq!(kept, report);
    let other = test(&wrong, "");
    assert!(other.code == 30 && other.stdout.starts_with("different (inferred)\n"), "{}", other.text());
    // With a difference so small that it could not be found, finding none says nothing.
    let unsure = test(&right, "--share 0.001");
    assert!(unsure.code == 21 && unsure.stdout.starts_with("undetermined"), "{}", unsure.text());
    sandbox.write("none.identity", "{\"format\":\"loadline-identity/2\"}");
    let none = sandbox.run("gate identity test fake/ability=0.7 --enrolment none.identity");
    assert!(none.code == 40 && none.stderr.contains("is no enrolment"), "{}", none.text());
}

/// Real models in this process, where they are here. Greedy, so that the answers are the same on every run.
#[test]
fn two_real_models_are_told_apart() {
    let (Some(gemma), Some(qwen)) = (
        loadline_testkit::model_file("gemma-3-270m-q4_k_m.gguf"),
        loadline_testkit::model_file("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
    ) else {
        return;
    };
    let sandbox = Sandbox::new();
    let (gemma, qwen) = (gemma.display(), qwen.display());
    sandbox
        .run(&format!(
            "gate identity enroll gguf/{gemma} -o g.identity --prompts 5 --answers 4 --max-tokens 12 --temperature 0"
        ))
        .ok();
    let test = |model: &dyn std::fmt::Display| {
        sandbox.run(&format!("gate identity test gguf/{model} --enrolment g.identity --alpha 0.001"))
    };
    let (same, other) = (test(&gemma), test(&qwen));
    assert_ne!(same.code, 30, "{}", same.text());
    assert_eq!(other.code, 30, "{}", other.text());
}

/// What `gate watch show` says of the gate of `gate.toml`.
fn shown_by_a_running_gate(sandbox: &Sandbox) -> String {
    let mut gate = sandbox.gate(("DOOR_KEY", "k"));
    let shown = sandbox.shell("DOOR_KEY=k \"$LOADLINE\" gate watch show gate.toml");
    gate.kill().unwrap();
    gate.wait().unwrap();
    shown.ok().stdout
}

/// From an exam to a watch of it: what `license issue` wrote is what the gate takes its figure from.
#[test]
fn a_watch_is_held_against_what_was_really_licensed() {
    let bench = Bench::new();
    let issue = || {
        bench.examined("fake/ability=0.95");
        bench.ok("license issue --stage internal --json").json_lines().remove(0)
    };
    let issued = issue();
    let digest = issued["license"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let policy = issued["decision"]["policy"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let shown = bench.sandbox.run("authority show --json").ok().json_lines().remove(0);
    let watch = format!(
        "[[watch]]\nname = \"sums\"\nmodels = [\"m\"]\nsuite = \"arithmetic\"\nevery_s = 60\nlicensed = {{ decision = \
         \"authority/licenses/{digest}/decision.json\", policy = \"authority/policies/{policy}.json\", test = \"sums\" }}\n"
    );
    let (config, _guards) = CONFIG.split_once("[[guard]]").unwrap();
    let config = config
        .replace("URL", "http://127.0.0.1:9/v1")
        .replace("\"roots\"", "\"authority/root\"")
        .replace("127.0.0.1:1", &format!("127.0.0.1:{}", free_port()))
        .replace("license.json", &format!("authority/licenses/{digest}/license.json"))
        .replace(
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            shown["authority"].as_str().unwrap(),
        );
    bench.sandbox.run("gate key new keys.json --subject ada --role public").ok();
    bench.sandbox.write("gate.toml", format!("{config}{watch}"));
    let checked = bench.sandbox.run("gate check gate.toml").ok();
    let shown = bench.ok(&format!("license show {digest}")).stdout;
    let decision = shown.lines().find_map(|line| line.trim().strip_prefix("decision")).unwrap();
    let decision = decision.trim().strip_prefix("allow ").unwrap().split(' ').next().unwrap();
    let from = format!("licensed: test `sums` of decision {decision}, policy `bench` version 1");
    assert!(checked.stdout.contains(&from) && checked.stdout.contains(" 0.3 "), "{}", checked.text());
    assert!(checked.stdout.contains("suite arithmetic, level 1"), "{}", checked.text());

    let watching = shown_by_a_running_gate(&bench.sandbox);
    assert!(watching.contains(&from) && watching.contains("no score yet"), "{watching}");

    // A new exam, a new licence, and the decision of the old one beside it.
    let renewed = issue()["license"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let license = |digest: &str| format!("licenses/{digest}/license.json");
    bench
        .sandbox
        .write("gate.toml", format!("{}{watch}", config.replace(&license(&digest), &license(&renewed))));
    let stale = bench.sandbox.run("gate check gate.toml");
    assert_eq!(stale.code, 40, "{}", stale.text());
    let place = "decision.json`: is decision sha256:";
    assert!(
        stale.stderr.contains("gate.toml:")
            && stale.stderr.contains(place)
            && stale.stderr.contains(decision),
        "{}",
        stale.text()
    );
    assert!(
        stale.stderr.contains("help: give the `decision.json` that lies beside that licence")
            && stale.stderr.contains("    | licensed = { decision ="),
        "{}",
        stale.text()
    );
    let right = watch.replace(&digest, &renewed);
    bench
        .sandbox
        .write("gate.toml", format!("{}{right}", config.replace(&license(&digest), &license(&renewed))));
    bench.sandbox.run("gate check gate.toml").ok();
    // The operator's own figure is said to be that.
    let own = right.lines().map(|line| match line.starts_with("licensed") {
        true => "least = 0.9\nsource = \"a guess\"\n".to_owned(),
        false => format!("{line}\n"),
    });
    bench.sandbox.write("gate.toml", format!("{config}{}", own.collect::<String>()));
    let own = bench.sandbox.run("gate check gate.toml").ok();
    assert!(own.stdout.contains("the operator's own figure: a guess"), "{}", own.text());
}
