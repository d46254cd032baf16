//! `measure`, `tasks`, `runs`, `show`: what a run prints, in words and as JSON.

use loadline_testkit::endpoint::FakeEndpoint;

use crate::support::Sandbox;

/// An endpoint that adds right.
pub fn adder() -> loadline_testkit::endpoint::Builder {
    FakeEndpoint::builder().answer(|ask| {
        let number: u64 =
            ask.prompt.split(|c: char| !c.is_ascii_digit()).find_map(|n| n.parse().ok()).unwrap();
        // Every fourth sum is wrong.
        let error = u64::from(number % 4 == 3);
        (number + 1 + error).to_string()
    })
}

#[test]
fn a_task_file_against_an_endpoint() {
    let sandbox = Sandbox::new();
    sandbox.sums(20);
    let endpoint = adder().start();
    let line = format!("measure sums.yaml --model openai/mock --base-url {}", endpoint.base_url());
    let said = sandbox.run(&line).ok();
    insta::assert_snapshot!("a_task_file_against_an_endpoint", said.text());
    assert_eq!(endpoint.counters().answered, 20);

    // The same command asks nothing again and says the same.
    let again = sandbox.run(&line).ok();
    insta::assert_snapshot!("the_same_command_again", again.text());
    assert_eq!(again.stdout, said.stdout);
    assert_eq!(endpoint.counters().answered, 20);

    // --fresh begins another run beside it.
    sandbox.run(&format!("{line} --fresh")).ok();
    assert_eq!(endpoint.counters().answered, 40);
    let runs = sandbox.run("runs --json").ok().json_lines();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run["state"] == "sealed" && run["task"] == "sums"));
}

#[test]
fn json_is_one_line_for_each_task_and_model() {
    let sandbox = Sandbox::new();
    let said = sandbox
        .run("measure arithmetic arithmetic-choice@2 -m fake/ability=0.7 fake/ability=0.5 --limit 40 --json")
        .ok();
    let lines = said.json_lines();
    let pairs: Vec<_> =
        lines.iter().map(|l| (l["task"].as_str().unwrap(), l["model"].as_str().unwrap())).collect();
    assert_eq!(
        pairs,
        [
            ("arithmetic", "fake/ability=0.7"),
            ("arithmetic-choice@2", "fake/ability=0.7"),
            ("arithmetic", "fake/ability=0.5"),
            ("arithmetic-choice@2", "fake/ability=0.5"),
        ]
    );
    let line = &lines[0];
    assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), ["metrics", "model", "run", "task"]);
    assert_eq!(line["run"].as_str().unwrap().len(), 32);
    let metric = line["metrics"][0].as_object().unwrap();
    let keys = ["clusters", "interval", "level", "method", "metric", "n", "point", "unscored"];
    assert_eq!(metric.keys().collect::<Vec<_>>(), keys);
    assert_eq!((metric["metric"].as_str(), metric["n"].as_u64()), (Some("exact_match"), Some(40)));
    assert_eq!((metric["method"].as_str(), metric["level"].as_f64()), (Some("Wilson"), Some(0.95)));
    let (lo, hi) = (metric["interval"][0].as_f64().unwrap(), metric["interval"][1].as_f64().unwrap());
    let point = metric["point"].as_f64().unwrap();
    assert!(lo < point && point < hi, "{line}");
}

#[test]
fn two_models_on_one_task_suggest_a_comparison() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("measure arithmetic -m fake/ability=0.9 fake/ability=0.4 --limit 60").ok();
    insta::assert_snapshot!("two_models_on_one_task", said.text());
}

#[test]
fn quiet_says_results_only() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("measure arithmetic -m fake/ability=1 --limit 10 --quiet").ok();
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    assert_eq!(said.stdout.lines().count(), 1);
}

#[test]
fn colours_are_as_asked_for() {
    let sandbox = Sandbox::new();
    let never = sandbox.run("measure arithmetic -m fake/ability=1 --limit 10").ok();
    assert!(!never.stdout.contains('\u{1b}') && !never.stderr.contains('\u{1b}'));
    let always = sandbox.run("measure arithmetic -m fake/ability=1 --limit 10 --color always").ok();
    assert!(
        always.stdout.contains("\u{1b}[1m") && always.stderr.contains("\u{1b}[1m\u{1b}[32m"),
        "{:?}",
        always.stderr
    );
}

#[test]
fn one_run_that_fails_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = format!(
        "measure arithmetic --limit 10 --json -m openai/gone fake/ability=1 --base-url http://{closed}/v1 --max-retries 0"
    );
    let said = sandbox.run(&line);
    // The settings are openai's: the simulated subject refuses them, which is a fault of the command line.
    assert_eq!(said.code, 2, "{}", said.text());

    let said = sandbox.run("measure arithmetic --limit 10 --json -m gguf/missing.gguf fake/ability=1");
    assert_eq!(said.code, 50, "{}", said.text());
    assert!(said.stdout.is_empty(), "a model that is not there is found before anything runs");

    sandbox.write("broken.gguf", "GGUF");
    let said = sandbox.run("measure arithmetic --limit 10 --json -m gguf/broken.gguf fake/ability=1");
    assert_eq!((said.code, said.json_lines().len()), (50, 1), "{}", said.text());
}

#[test]
fn a_budget_stops_and_the_same_command_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.sums(30);
    let endpoint = adder().start();
    let line = format!("measure sums.yaml -m openai/mock --base-url {} --concurrency 4", endpoint.base_url());
    let said = sandbox.run(&format!("{line} --budget 10-requests"));
    assert_eq!(said.code, 12, "{}", said.text());
    insta::assert_snapshot!("a_budget_stops", said.text());
    sandbox.run(&line).ok();
    assert_eq!(endpoint.counters().answered, 30);
}

#[test]
fn samples_without_an_answer_end_with_10() {
    use loadline_testkit::endpoint::Fault;
    let sandbox = Sandbox::new();
    sandbox.sums(12);
    let endpoint = adder().fault(|ask| ask.prompt.contains(" 7 ").then_some(Fault::TooLong)).start();
    let said = sandbox.run(&format!("measure sums.yaml -m openai/mock --base-url {}", endpoint.base_url()));
    assert_eq!(said.code, 10, "{}", said.text());
    insta::assert_snapshot!("samples_without_an_answer", said.text());
}

#[test]
fn a_run_and_a_sample_are_shown_without_their_escape_codes() {
    let sandbox = Sandbox::new();
    sandbox.sums(3);
    let endpoint = FakeEndpoint::builder().answer(|_| "\u{1b}[2J\u{202e}evil \u{7}1".to_owned()).start();
    sandbox.run(&format!("measure sums.yaml -m openai/mock --base-url {}", endpoint.base_url())).ok();
    let run = sandbox.only_run().file_name().unwrap().to_string_lossy().into_owned();
    let ids: Vec<String> = sandbox
        .run(&format!("record export {} --format jsonl", &run[..6]))
        .ok()
        .json_lines()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    let shown = sandbox.run_args(["show", &run[..6], &ids[1]]).ok();
    let overview = sandbox.run(&format!("show {run}")).ok();
    for said in [&shown, &overview] {
        assert!(!said.stdout.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{:?}", said.stdout);
    }
    assert!(shown.stdout.contains("\\u{1b}[2J\\u{202e}evil"), "{}", shown.stdout);
    assert!(shown.stdout.contains("What is 1 + 1?"), "{}", shown.stdout);
    let wrong = sandbox.run(&format!("show {run} nothing-like-it"));
    assert_eq!(wrong.code, 2);
}

#[test]
fn suites_and_task_files_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.sums(3);
    sandbox.write("python.yaml", "task: in_python\ndataset_path: json\ndoc_to_text: !function utils.text\n");
    let said = sandbox.run("tasks --include-path . --json").ok();
    let lines = said.json_lines();
    let find =
        |name: &str| lines.iter().find(|line| line["task"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(find("arithmetic")["kind"], "suite");
    assert_eq!(find("sums")["reasons"], serde_json::json!([]));
    let reason = find("in_python")["reasons"].to_string();
    assert!(reason.contains("utils.text"), "{reason}");
    assert!(said.stderr.contains("2 tasks: 1 can be run, 1 cannot"), "{}", said.stderr);
    let words = sandbox.run("tasks --include-path . --all").ok().stdout;
    assert!(words.contains("in_python") && words.contains("cannot be run"), "{words}");
}
