//! `record`: verify, export, prove, withhold.

use crate::support::Sandbox;

fn measured() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.run("measure arithmetic -m fake/ability=0.7 --limit 25").ok();
    let run = sandbox.only_run().file_name().unwrap().to_string_lossy().into_owned();
    (sandbox, run)
}

#[test]
fn a_record_verifies_until_one_bit_changes() {
    let (sandbox, run) = measured();
    let said = sandbox.run(&format!("record verify {}", &run[..4])).ok();
    insta::assert_snapshot!("a_record_verifies", said.text());
    let json = &sandbox.run(&format!("record verify {run} --json")).ok().json_lines()[0];
    assert_eq!((json["verified"].as_bool(), json["samples"].as_u64()), (Some(true), Some(25)));

    let mut tested = 0;
    for file in std::fs::read_dir(sandbox.only_run()).unwrap().map(|entry| entry.unwrap().path()) {
        // The lock names the process that held it; every other file is part of the record.
        if file.ends_with("lock") {
            continue;
        }
        let original = std::fs::read(&file).unwrap();
        for at in (0..original.len()).step_by((original.len() / 40).max(1)) {
            let mut changed = original.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&file, &changed).unwrap();
            let said = sandbox.run(&format!("record verify {run}"));
            assert_eq!(said.code, 30, "bit {at} of {}: {}", file.display(), said.text());
            assert!(said.stdout.is_empty(), "{}", said.text());
            tested += 1;
        }
        std::fs::write(&file, &original).unwrap();
    }
    assert!(tested > 40, "{tested}");
    sandbox.run(&format!("record verify {run}")).ok();
}

#[test]
fn a_changed_record_is_named_with_its_place() {
    let (sandbox, run) = measured();
    let log = std::fs::read_dir(sandbox.only_run())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&log, bytes).unwrap();
    let said = sandbox.run(&format!("record verify {run}"));
    assert_eq!(said.code, 30);
    insta::assert_snapshot!("a_changed_record", said.text());
    // Neither is it measured on, nor shown as if nothing had happened.
    let again = sandbox.run("measure arithmetic -m fake/ability=0.7 --limit 25");
    assert_eq!(again.code, 30, "{}", again.text());
    assert_eq!(sandbox.run(&format!("show {run}")).code, 30);
    assert_eq!(sandbox.run(&format!("record export {run} --format csv")).code, 30);
}

#[test]
fn exports_have_a_row_for_each_sample() {
    let (sandbox, run) = measured();
    let rows = sandbox.run(&format!("record export {run} --format jsonl")).ok().json_lines();
    assert_eq!(rows.len(), 25);
    for key in
        ["id", "epoch", "task", "model", "input", "target", "output", "score", "answer", "loglikelihoods"]
    {
        assert!(rows[0].get(key).is_some(), "{key}");
    }
    for key in ["usage", "started", "seconds", "attempts", "error"] {
        assert!(rows[0].get(key).is_some(), "{key}");
    }
    let csv = sandbox.run(&format!("record export {run} --format csv")).ok().stdout;
    assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().count(), 25);
    let right: f64 = rows.iter().map(|row| row["score"].as_f64().unwrap()).sum();
    sandbox.write("scores.csv", csv);
    let estimate = &sandbox.run("estimate scores.csv --json").ok().json_lines()[0];
    assert!((estimate["point"].as_f64().unwrap() - right / 25.0).abs() < 1e-12);
}

#[test]
fn a_sample_is_proved_and_withheld() {
    let (sandbox, run) = measured();
    let rows = sandbox.run(&format!("record export {run} --format jsonl")).ok().json_lines();
    let id = rows[3]["id"].as_str().unwrap();
    let proof = sandbox.run_args(["record", "prove", &run, id]).ok();
    let proof = &proof.json_lines()[0];
    let root = sandbox.run(&format!("record verify {run} --json")).ok().json_lines()[0]["root"].clone();
    assert_eq!(proof["root"], root);
    let parsed: loadline_evidence::RowProof = serde_json::from_value(proof.clone()).unwrap();
    let row = parsed.check(&root.as_str().unwrap().parse().unwrap()).unwrap();
    assert!(matches!(row, Some(loadline_core::record::Row::Sample(sample)) if sample.id == id));

    let said = sandbox.run_args(["record", "withhold", &run, id, "--out", "public"]).ok();
    let copy = said.stdout.trim();
    let verified = &sandbox.run_args(["record", "verify", copy, "--json"]).ok().json_lines()[0];
    assert_eq!((&verified["root"], verified["withheld"].as_array().unwrap().len()), (&root, 1));
    let shown = sandbox.run_args(["record", "export", copy, "--format", "jsonl"]).ok();
    assert!(!shown.stdout.contains(id) && shown.json_lines().len() == 24);

    let wrong = sandbox.run_args(["record", "prove", &run, "nothing"]);
    assert_eq!(wrong.code, 2, "{}", wrong.text());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    sandbox.run("measure arithmetic -m fake/ability=0.7 --limit 3000 --quiet").ok();
    let run = sandbox.only_run().file_name().unwrap().to_string_lossy().into_owned();
    for command in
        [format!("record export {run} --format jsonl"), format!("record export {run} --format csv")]
    {
        let script = format!("{{ $LOADLINE {command}; echo \"code $?\" >&2; }} | head -n 1");
        let said = sandbox.shell(&script);
        assert_eq!(said.stderr, "code 0\n", "{command}");
        assert_eq!(said.stdout.lines().count(), 1);
    }
}

#[test]
fn a_full_disk_under_standard_output_is_an_error() {
    let (sandbox, run) = measured();
    let said = sandbox.shell(&format!("$LOADLINE record export {run} --format jsonl > /dev/full"));
    assert_eq!(said.code, 1, "{}", said.text());
    insta::assert_snapshot!("full_standard_output", said.text());
}
