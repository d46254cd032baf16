//! Bad input: each kind gets a message that says what is wrong where, a hint, and its exit code.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use loadline_testkit::endpoint::{FakeEndpoint, Fault};

use crate::measured::adder;
use crate::support::{SUMS, Said, Sandbox};

/// A failure has a message, a hint and nothing on standard output.
#[track_caller]
fn failed(said: Said, code: i32) -> String {
    assert_eq!(said.code, code, "{}", said.text());
    assert!(said.stdout.is_empty(), "{}", said.text());
    assert!(said.stderr.contains("error: ") && said.stderr.contains("\n\nhint: "), "{}", said.text());
    said.text()
}

#[test]
fn a_missing_task_file() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(
        "missing_task_file",
        failed(sandbox.run("measure nothing.yaml -m fake/ability=1"), 40)
    );
    insta::assert_snapshot!("missing_suite", failed(sandbox.run("measure arithmetik -m fake/ability=1"), 40));
    insta::assert_snapshot!(
        "missing_level",
        failed(sandbox.run("measure arithmetic@99 -m fake/ability=1"), 40)
    );
}

#[test]
fn a_missing_data_file() {
    let sandbox = Sandbox::new();
    sandbox.write("sums.yaml", SUMS);
    insta::assert_snapshot!(
        "missing_data_file",
        failed(sandbox.run("measure sums.yaml -m fake/ability=1"), 40)
    );
}

#[test]
fn a_yaml_error_has_its_line_and_a_caret() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", "task: bad\ndoc_to_text: [one, two\nmetric_list: 3\n");
    let text = failed(sandbox.run("measure bad.yaml -m fake/ability=1"), 40);
    assert!(text.contains('^'), "{text}");
    insta::assert_snapshot!("yaml_error", text);
}

#[test]
fn an_unknown_key_has_a_suggestion() {
    let sandbox = Sandbox::new();
    sandbox.sums(2);
    sandbox.write("sums.yaml", SUMS.replace("doc_to_target", "doc_to_taget"));
    insta::assert_snapshot!("unknown_key", failed(sandbox.run("measure sums.yaml -m fake/ability=1"), 40));
}

#[test]
fn a_template_error_names_the_sample() {
    let sandbox = Sandbox::new();
    sandbox.sums(2);
    sandbox.write("sums.yaml", SUMS.replace("{{question}}", "{{question.split('+')[7].strip()}}"));
    insta::assert_snapshot!("template_error", failed(sandbox.run("measure sums.yaml -m fake/ability=1"), 40));
}

#[test]
fn a_row_without_the_column_is_named() {
    let sandbox = Sandbox::new();
    sandbox.sums(2);
    sandbox.write("sums.jsonl", "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n{\"question\": \"2 + 1\"}\n");
    insta::assert_snapshot!(
        "row_without_column",
        failed(sandbox.run("measure sums.yaml -m fake/ability=1"), 40)
    );
}

#[test]
fn a_task_that_changed_is_not_resumed() {
    let sandbox = Sandbox::new();
    sandbox.sums(20);
    let endpoint = adder().start();
    let line = format!("measure sums.yaml -m openai/mock --base-url {}", endpoint.base_url());
    assert_eq!(sandbox.run(&format!("{line} --budget 5-requests --concurrency 1")).code, 12);
    sandbox.write("sums.yaml", SUMS.replace("What is", "How much is"));
    insta::assert_snapshot!("task_changed", failed(sandbox.run(&line), 40));
    sandbox.run(&format!("{line} --fresh")).ok();
}

#[test]
fn a_model_that_is_not_there() {
    let sandbox = Sandbox::new();
    for (name, line) in [
        ("model_not_pulled", "measure arithmetic -m qwen2.5-coder-0.5b-instruct"),
        ("model_unknown", "measure arithmetic -m qwen2.5-coder-0.5b-instrukt"),
        ("model_no_file", "measure arithmetic -m gguf/nothing.gguf"),
    ] {
        insta::assert_snapshot!(name, failed(sandbox.run(line), 50));
    }
    insta::assert_snapshot!("model_bad_provider", failed(sandbox.run("measure arithmetic -m opanai/x"), 2));
    insta::assert_snapshot!("model_bad_fake", failed(sandbox.run("measure arithmetic -m fake/abilty=1"), 2));
    let endpoint = FakeEndpoint::builder().models(&["other"]).start();
    let line = format!("measure arithmetic -m openai/mock --base-url {}", endpoint.base_url());
    insta::assert_snapshot!("model_not_at_the_endpoint", failed(sandbox.run(&line), 50));
}

#[test]
fn a_key_that_is_missing_or_wrong_is_never_shown() {
    let sandbox = Sandbox::new();
    let endpoint = FakeEndpoint::builder().fault(|_| Some(Fault::EchoKey)).start();
    let line = format!("measure arithmetic -m openai/mock --base-url {}", endpoint.base_url());
    let text = failed(sandbox.run(&line), 50);
    assert!(!text.contains("sk-test-key"), "{text}");
    insta::assert_snapshot!("wrong_key", text);
    let mut command =
        sandbox.command(crate::support::LOADLINE, ["measure", "arithmetic", "-m", "anthropic/x"]);
    insta::assert_snapshot!("missing_key", failed(sandbox.said(command.output().unwrap()), 50));
}

#[test]
fn an_endpoint_that_is_not_there_or_speaks_something_else() {
    let sandbox = Sandbox::new();
    let measure = |address: &str| {
        sandbox.run(&format!("measure arithmetic --limit 4 -m openai/x --base-url {address} --max-retries 1"))
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    insta::assert_snapshot!("endpoint_closed", failed(measure(&format!("http://{closed}/v1")), 50));

    let html = FakeEndpoint::builder().fault(|_| Some(Fault::Html(200))).start();
    insta::assert_snapshot!("endpoint_of_web_pages", failed(measure(&html.base_url()), 50));

    let shape = FakeEndpoint::builder().fault(|_| Some(Fault::WrongShape)).start();
    insta::assert_snapshot!("endpoint_of_another_shape", failed(measure(&shape.base_url()), 50));

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // It speaks when it is spoken to, so that the client has asked before it hears.
        for mut stream in other.incoming().flatten() {
            let _heard = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n");
        }
    });
    insta::assert_snapshot!(
        "endpoint_of_another_protocol",
        failed(measure(&format!("http://{address}/v1")), 50)
    );
    drop(server);

    insta::assert_snapshot!("endpoint_bad_address", failed(measure("localhost:99999999"), 2));
}

#[test]
fn a_disk_that_is_full() {
    let sandbox = Sandbox::new();
    // A limit on the size of files is what a full disk looks like to one who may not mount one.
    let said =
        sandbox.shell("ulimit -f 40; exec $LOADLINE measure arithmetic -m fake/ability=1 --limit 3000");
    insta::assert_snapshot!("full_disk", failed(said, 1));
    // What was written is whole, and the same command goes on.
    let said = sandbox.run("measure arithmetic -m fake/ability=1 --limit 3000").ok();
    assert!(said.stderr.contains("answers reused"), "{}", said.stderr);
}

#[test]
fn a_store_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    sandbox.write("runs", "a file, not a folder");
    let said = sandbox.run("measure arithmetic -m fake/ability=1 --limit 3");
    insta::assert_snapshot!("store_is_a_file", failed(said, 2));
}

#[test]
fn a_closed_standard_error_loses_the_view_only() {
    let sandbox = Sandbox::new();
    let said = sandbox.shell("exec $LOADLINE measure arithmetic -m fake/ability=1 --limit 10 --json 2>&-");
    assert_eq!((said.code, said.json_lines().len()), (0, 1), "{}", said.text());
}

#[test]
fn a_run_in_which_every_sample_failed_says_how_many_and_why() {
    let sandbox = Sandbox::new();
    sandbox.sums(3);
    let refuse = Fault::json(422, &serde_json::json!({ "error": { "message": "no \u{1b}[31msums here" } }));
    let endpoint = FakeEndpoint::builder().fault(move |_| Some(refuse.clone())).start();
    let line = format!("measure sums.yaml -m openai/mock --base-url {}", endpoint.base_url());
    let said = sandbox.run(&line);
    assert_eq!(said.code, 10, "{}", said.text());
    assert!(said.stdout.contains("no estimate  3 of 3 failed, the first: "), "{}", said.text());
    assert!(said.stdout.contains("422 Unprocessable Entity: no \\u{1b}[31msums here"), "{}", said.text());
}

#[test]
fn a_store_that_is_a_file_is_named_with_advice() {
    let sandbox = Sandbox::new();
    sandbox.sums(2);
    sandbox.write("file", "");
    for line in [
        "measure sums.yaml -m fake/ability=1 --store file",
        "measure sums.yaml -m fake/ability=1 --store file/runs",
        "runs --store file",
    ] {
        let text = failed(sandbox.run(line), 2);
        assert!(text.contains("file") && text.contains("`--store DIR`"), "{text}");
    }
}
