//! `estimate` and `compare`.

use crate::support::{SUMS, Sandbox};

fn scores(sandbox: &Sandbox) {
    // 100 samples: A is right on 60, B on 75, of which 55 are the same.
    let rows = |right: &dyn Fn(usize) -> bool| {
        let rows: String = (0..100).map(|i| format!("s{i},{}\n", u8::from(right(i)))).collect();
        format!("id,score\n{rows}")
    };
    sandbox.write("a.csv", rows(&|i| i < 60));
    sandbox.write("b.csv", rows(&|i| (5..80).contains(&i)));
}

#[test]
fn an_estimate_has_its_interval_and_method() {
    let sandbox = Sandbox::new();
    scores(&sandbox);
    insta::assert_snapshot!("estimate", sandbox.run("estimate a.csv --threshold 0.5").ok().text());
    let json = &sandbox.run("estimate a.csv --json").ok().json_lines()[0];
    // Wilson at 60 of 100, from the formula.
    assert_eq!((json["point"].as_f64(), json["n"].as_u64()), (Some(0.6), Some(100)));
    assert!((json["interval"][0].as_f64().unwrap() - 0.502_003).abs() < 1e-6, "{json}");
    assert!((json["interval"][1].as_f64().unwrap() - 0.690_599).abs() < 1e-6, "{json}");
    let exact = &sandbox.run("estimate a.csv --method clopper-pearson --json").ok().json_lines()[0];
    assert_eq!(exact["method"], "Clopper-Pearson");
    let bank = &sandbox.run("estimate a.csv --bank-size 100 --json").ok().json_lines()[0];
    assert_eq!(bank["interval"], serde_json::json!([0.6, 0.6]));
}

#[test]
fn a_comparison_is_paired_by_sample() {
    let sandbox = Sandbox::new();
    scores(&sandbox);
    insta::assert_snapshot!("compare", sandbox.run("compare a.csv b.csv").ok().text());
    let json = &sandbox.run("compare a.csv b.csv --json").ok().json_lines()[0];
    assert_eq!(json["discordant"], serde_json::json!({"a_only": 5, "b_only": 20}));
    assert!((json["difference"]["point"].as_f64().unwrap() + 0.15).abs() < 1e-12);
    // Exact McNemar of 5 against 20: 2 * P(Binomial(25, 1/2) <= 5).
    assert!((json["p_value"]["value"].as_f64().unwrap() - 0.004_077).abs() < 1e-6, "{json}");
    assert_eq!(json["verdict"], "worse");
    // Beta(6, 21) above one half, and the sum of both normal quantiles times the standard error.
    let probability = &json["probability_a_higher"];
    assert_eq!((&probability["method"], &probability["n"]), (&"Dirichlet posterior".into(), &100.into()));
    assert!(probability["value"].as_f64().unwrap() < 0.01, "{json}");
    let visible = &json["smallest_visible_difference"];
    assert_eq!(
        (&visible["n"], &visible["power"], &visible["alpha"]),
        (&100.into(), &0.8.into(), &0.05.into())
    );
    assert!((visible["value"].as_f64().unwrap() - 2.801_585 * 0.0022_75f64.sqrt()).abs() < 1e-3, "{json}");
}

#[test]
fn runs_are_compared_like_files() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("measure arithmetic -m fake/ability=0.9 fake/ability=0.4 --limit 60 --json").ok();
    let runs: Vec<String> =
        said.json_lines().iter().map(|l| l["run"].as_str().unwrap()[..8].to_owned()).collect();
    let json = &sandbox.run(&format!("compare {} {} --json", runs[0], runs[1])).ok().json_lines()[0];
    assert_eq!((json["pairs"].as_u64(), json["verdict"].as_str()), (Some(60), Some("better")));
    for (run, name) in runs.iter().zip(["a", "b"]) {
        let rows = sandbox.run(&format!("record export {run} --format csv")).ok().stdout;
        sandbox.write(&format!("{name}.csv"), rows);
    }
    let files = &sandbox.run("compare a.csv b.csv --json").ok().json_lines()[0];
    assert_eq!(files["difference"], json["difference"]);
    assert_eq!(files["p_value"], json["p_value"]);
}

#[test]
fn what_is_left_out_is_said() {
    let sandbox = Sandbox::new();
    sandbox.write("a.csv", "id,score\nx,1\ny,0\nz,1\nonly,1\n");
    sandbox.write(
        "b.jsonl",
        "{\"id\":\"x\",\"score\":1}\n{\"id\":\"y\",\"score\":null}\n{\"id\":\"z\",\"score\":0}\n",
    );
    let said = sandbox.run("compare a.csv b.jsonl").ok();
    assert!(said.stderr.contains("1 sample only in `a.csv` left out"), "{}", said.stderr);
    assert!(said.stderr.contains("1 sample without a score on one side left out"), "{}", said.stderr);
    sandbox.write("c.csv", "id,score\nq,1\n");
    let none = sandbox.run("compare a.csv c.csv");
    assert_eq!(none.code, 40);
    insta::assert_snapshot!("nothing_in_common", none.text());
}

#[test]
fn a_byte_order_mark_is_not_a_score() {
    let sandbox = Sandbox::new();
    sandbox.write("marked.jsonl", "\u{feff}{\"id\":\"a\",\"score\":1}\n{\"id\":\"b\",\"score\":0}\n");
    sandbox.write("marked", "\u{feff}{\"id\":\"a\",\"score\":1}\n{\"id\":\"b\",\"score\":0}\n");
    for file in ["marked.jsonl", "marked"] {
        assert_eq!(sandbox.run(&format!("estimate {file} --json")).ok().json_lines()[0]["n"], 2, "{file}");
    }
}

#[test]
fn a_row_without_end_is_refused_and_not_held_in_memory() {
    let sandbox = Sandbox::new();
    // A quotation mark that is never closed makes one field of the rest of the file.
    sandbox.write("open.csv", format!("id,score\na,\"{}", "1,0\n".repeat(5 << 20)));
    let said = sandbox.run("estimate open.csv").text();
    assert!(said.contains("a row is longer than 16777216 bytes") && said.contains("exit 40"), "{said}");
}

#[test]
fn runs_of_different_tasks_or_metrics_are_not_compared_without_a_word() {
    let sandbox = Sandbox::new();
    sandbox.sums(20);
    let run = |line: &str| {
        let said = sandbox.run(&format!("measure {line} -m fake/ability=0.6 --json")).ok();
        said.json_lines()[0]["run"].as_str().unwrap()[..8].to_owned()
    };
    let first = run("sums.yaml");
    sandbox.write("lower.yaml", SUMS.replace("higher_is_better: true", "higher_is_better: false"));
    let lower = run("lower.yaml");
    let refused = sandbox.run(&format!("compare {first} {lower} --allow-different-tasks"));
    assert_eq!(refused.code, 2, "{}", refused.text());
    assert!(refused.stderr.contains("a higher `exact_match` is better in one run and worse in the other"));

    let suite = run("arithmetic --limit 20");
    let refused = sandbox.run(&format!("compare {first} {suite} --metric exact_match"));
    assert_eq!(refused.code, 2, "{}", refused.text());
    assert!(refused.stderr.contains("hint: "), "{}", refused.text());
    let missing = sandbox.run(&format!("compare {first} {first} --metric bleu"));
    assert_eq!(missing.code, 2);
    assert!(
        missing.stderr.contains("has no metric `bleu`\n\nhint: it has `exact_match`"),
        "{}",
        missing.stderr
    );

    sandbox.write("sums.yaml", SUMS.replace("What is", "How much is"));
    let changed = run("sums.yaml --seed 1");
    let refused = sandbox.run(&format!("compare {first} {changed}"));
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("the runs are of different versions of `sums`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`--allow-different-tasks`"), "{}", refused.stderr);
    let allowed = sandbox.run(&format!("compare {first} {changed} --allow-different-tasks --json")).ok();
    assert_eq!(allowed.json_lines()[0]["pairs"], 20);
    assert!(allowed.stderr.contains("warning: the two runs are of different tasks"), "{}", allowed.stderr);
}

#[test]
fn the_direction_of_a_metric_decides_also_against_a_file() {
    let sandbox = Sandbox::new();
    sandbox.sums(40);
    sandbox.write("sums.yaml", SUMS.replace("higher_is_better: true", "higher_is_better: false"));
    let said = sandbox.run("measure sums.yaml -m fake/ability=0.5 --json").ok();
    let run = said.json_lines()[0]["run"].as_str().unwrap()[..8].to_owned();
    let rows = sandbox.run(&format!("record export {run} --format jsonl")).ok().json_lines();
    let zeros: String = rows.iter().map(|row| format!("{},0\n", row["id"].as_str().unwrap())).collect();
    sandbox.write("zeros.csv", format!("id,score\n{zeros}"));
    for (line, verdict) in [(format!("zeros.csv {run}"), "better"), (format!("{run} zeros.csv"), "worse")] {
        let json = &sandbox.run(&format!("compare {line} --json")).ok().json_lines()[0];
        assert_eq!(json["verdict"], verdict, "{json}");
    }
}

#[test]
fn what_cannot_be_read_as_scores_says_so() {
    let sandbox = Sandbox::new();
    let folder = sandbox.run("estimate .");
    assert_eq!(folder.code, 40, "{}", folder.text());
    assert!(folder.stderr.contains("cannot read `.`") && folder.stderr.contains("it is a folder"));
    scores(&sandbox);
    let level = sandbox.run("estimate a.csv --level 1.5");
    assert_eq!(level.code, 2);
    assert!(level.stderr.contains("between 0.001 and 0.999999, such as 0.95"), "{}", level.stderr);
    let json = &sandbox.run("estimate a.csv --threshold 0.5 --json").ok();
    assert!(json.stdout.contains("\"alpha\":0.05,"), "{}", json.stdout);
    sandbox.write("one.csv", "score,cluster\n1,x\n0,x\n1,x\n");
    let one = sandbox.run("estimate one.csv").ok();
    assert!(one.stdout.contains("n=3 in 1 cluster,"), "{}", one.stdout);
}
