//! What is said of task files and data that are wrong: each message names the file, the place and the value, and
//! what to do.

use loadline_measure::{LoadOptions, TaskError, taskfile};

use crate::task_library::folder;

const BASE: &str = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl, train: few.jsonl}}\n\
                    test_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\n";
const DATA: &str =
    "{\"q\": \"1\", \"a\": \"x\"}\n{\"q\": \"2\", \"a\": \"y\"}\n{\"question\": \"3\", \"a\": \"z\"}\n";

/// The first error, in loading or in the samples, with the folder's path left out; `-` when there is none.
fn said_of(task: &str, data: &str) -> (String, String) {
    let dir = folder(&[("t.yaml", task), ("d.jsonl", data), ("few.jsonl", "{\"q\": \"f\", \"a\": \"g\"}\n")]);
    let error = taskfile::load(&dir.path().join("t.yaml"), &LoadOptions::default())
        .and_then(|task| task.samples.iter().collect::<Result<Vec<_>, TaskError>>())
        .err();
    let path = dir.path().display().to_string();
    let strip = |text: &str| text.replace(&format!("{path}/"), "").replace(&path, "FOLDER");
    match error {
        Some(e) => (strip(&e.message), strip(&e.hint.unwrap_or_default())),
        None => ("-".to_owned(), String::new()),
    }
}

fn check(task: &str, data: &str, message: &str, hint: &str) {
    let (said, advice) = said_of(task, data);
    assert_eq!(said, message, "{task}");
    assert!(advice.contains(hint) && (advice.is_empty() == hint.is_empty()), "{task}: hint {advice:?}");
}

#[test]
fn broken_yaml_is_shown_with_a_caret() {
    let (said, _) = said_of("task: t\ndoc_to_text: [a\ntest_split: x\n", "");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("t.yaml:3:") && lines.len() == 3, "{said}");
    assert_eq!(lines[1], " 3 | test_split: x");
    assert!(lines[2].ends_with('^'), "{said}");
}

#[test]
fn unknown_keys_and_values_get_the_nearest() {
    let key = |line: &str, message: &str, hint: &str| check(&format!("{BASE}{line}\n"), DATA, message, hint);
    key(
        "doc_to_txt: a",
        "t.yaml:7:1: unknown key `doc_to_txt`\n 7 | doc_to_txt: a\n   | ^",
        "did you mean `doc_to_text`?",
    );
    key(
        "output_type: generate_untill",
        "t.yaml:7:14: output_type `generate_untill` is not known\n 7 | output_type: generate_untill\n   |              ^",
        "did you mean `generate_until`?",
    );
    key(
        "num_fewshot: some",
        "t.yaml:7:14: `num_fewshot` needs a whole number, this is a text\n 7 | num_fewshot: some\n   |              ^",
        "",
    );
    key(
        "filter_list: [{name: x, filter: [{function: regx}]}]",
        "t.yaml:7:45: filter `regx` is not known\n 7 | filter_list: [{name: x, filter: [{function: regx}]}]\n   |                                             ^",
        "did you mean `regex`?",
    );
    key(
        "metric_list: [{metric: exact_match, ignore_cases: true}]",
        "t.yaml:7:37: unknown key `ignore_cases` in `metric_list`\n 7 | metric_list: [{metric: exact_match, ignore_cases: true}]\n   |                                     ^",
        "did you mean `ignore_case`?",
    );
}

#[test]
fn what_is_not_supported_is_named() {
    check(
        &format!("{BASE}process_docs: !function utils.process_docs\nmetric_list: [{{metric: bleu}}]\n"),
        DATA,
        "t (t.yaml) cannot be run: needs Python: process_docs: !function utils.process_docs; metric bleu is not \
         supported yet",
        "do the function's work on the data",
    );
    check(
        &BASE.replace("dataset_path: json", "dataset_path: openai/gsm8k"),
        DATA,
        "t.yaml: data: `openai/gsm8k` is a dataset on the hub, not here",
        "download its files",
    );
    check("group: g\ntask: [a]\n", DATA, "t.yaml: is a group of tasks, not a task", "--include-path");
}

#[test]
fn a_row_without_the_column_is_named() {
    check(
        BASE,
        DATA,
        "t.yaml: doc_to_text: sample 2 (d.jsonl, line 3): `q` is not a column (columns: question, a)",
        "",
    );
    check(
        &BASE.replace("'{{q}}'", "q"),
        DATA,
        "t.yaml: doc_to_text: sample 2 (d.jsonl, line 3): the row has no column `q` (columns: question, a)",
        "",
    );
    check(
        &BASE.replace("'{{q}}'", "questoin"),
        "{\"question\": \"1\", \"a\": 2}\n",
        "t.yaml: doc_to_text: `questoin` is not a column (columns: question, a)",
        "did you mean `question`?",
    );
    check(
        &BASE.replace("'{{q}}'", "'{{questoin}}'"),
        "{\"question\": \"1\", \"a\": 2}\n",
        "t.yaml: doc_to_text: sample 0 (d.jsonl, line 1): `questoin` is not a column (columns: question, a)",
        "did you mean `question`?",
    );
}

#[test]
fn templates_that_do_not_fit_are_named() {
    let template = |template: &str, message: &str| {
        check(&BASE.replace("'{{q}}'", template), DATA, message, "");
    };
    template(
        "'{{q'",
        "t.yaml: doc_to_text: template syntax: unexpected end of input, expected end of variable block (line 1 of the template)",
    );
    template(
        "'{{[1][q|int]}}'",
        "t.yaml: doc_to_text: sample 0 (d.jsonl, line 1): `q[...]` is undefined at `[1][q|int]`",
    );
    let choice = format!("{BASE}output_type: multiple_choice\ndoc_to_choice: '{{{{q}}}}, no'\n");
    check(
        &choice,
        "{\"q\": \"yes\", \"a\": \"0\"}\n",
        "t.yaml: doc_to_choice: sample 0 (d.jsonl, line 1): `yes, no` is no Python list: expected a value at character 1",
        "",
    );
    check(
        &format!("{BASE}doc_to_choice: q\noutput_type: multiple_choice\n"),
        DATA,
        "t.yaml: doc_to_choice: sample 0 (d.jsonl, line 1): the choices must be a list, this is string",
        "",
    );
    check(
        &format!("{BASE}doc_to_choice: [x, y]\noutput_type: multiple_choice\n").replace("'{{q}}'", "'{{q}}'"),
        "{\"q\": \"1\", \"a\": \"x\"}\n",
        "t.yaml: doc_to_text: sample 0 (d.jsonl, line 1): the question must be a text, this is number",
        "a context for each choice",
    );
}

#[test]
fn broken_and_missing_data_is_named() {
    check(
        BASE,
        "{\"q\": \"1\", \"a\": \"x\"}\n{\"q\": tru}\n",
        "d.jsonl:2:10: expected ident\n 2 | {\"q\": tru}\n   |          ^",
        "",
    );
    check(BASE, "", "d.jsonl: no rows in the split `test`", "");
    check(
        &BASE.replace("d.jsonl", "gone.jsonl"),
        DATA,
        "t.yaml: data: `gone.jsonl` is not there (looked in FOLDER, the current folder)",
        "",
    );
    check(
        &BASE.replace("test_split: test", "test_split: tst"),
        DATA,
        "t.yaml: data: there is no split `tst` in data_files",
        "did you mean `test`?",
    );
    check(
        &BASE.replace("test_split: test\n", ""),
        DATA,
        "t.yaml: neither test_split nor validation_split is there",
        "test_split: test",
    );
}

#[test]
fn too_few_examples_are_counted() {
    check(
        &format!("{BASE}num_fewshot: 3\ntraining_split: train\n"),
        DATA,
        "t.yaml: 3 few-shot examples are asked for, but the split `train` has only 1 rows",
        "lower num_fewshot",
    );
    let same = "{\"q\": \"1\", \"a\": \"x\"}\n";
    check(
        &format!("{BASE}num_fewshot: 1\nfewshot_split: test\n"),
        &same.repeat(3),
        "t.yaml: sample 0 (d.jsonl, line 1): there are not 1 few-shot examples that differ from the sample itself",
        "lower num_fewshot",
    );
}

#[test]
fn only_what_changes_a_task_changes_its_digest() {
    let digest = |task: &str, data: &str| {
        let dir =
            folder(&[("t.yaml", task), ("d.jsonl", data), ("few.jsonl", "{\"q\": \"f\", \"a\": \"g\"}\n")]);
        taskfile::load(&dir.path().join("t.yaml"), &LoadOptions::default()).unwrap().identity
    };
    let rows = "{\"q\": \"1\", \"a\": \"x\"}\n";
    let plain = digest(BASE, rows);
    for same in [
        format!("# a comment\n{BASE}\n"),
        BASE.replace("'{{q}}'", "\"{{q}}\""),
        BASE.replace("task: t\n", "task: t\ntag: [a]\ntask_alias: other\n"),
        format!("doc_to_text: '{{{{q}}}}'\n{}", BASE.replace("doc_to_text: '{{q}}'\n", "")),
    ] {
        assert_eq!(digest(&same, rows), plain, "{same}");
    }
    for other in [
        BASE.replace("{{q}}", "{{q}} "),
        format!("{BASE}repeats: 2\n"),
        format!("{BASE}generation_kwargs: {{temperature: 0.1}}\n"),
        format!("{BASE}num_fewshot: 1\ntraining_split: train\n"),
        format!("{BASE}metadata: {{version: 2}}\n"),
    ] {
        assert_ne!(digest(&other, rows).digest, plain.digest, "{other}");
    }
    assert_ne!(digest(BASE, &format!("{rows} ")).digest, plain.digest);
    assert_eq!((plain.name.as_str(), plain.version.as_str()), ("t", "unversioned"));
    let named = digest(&format!("{BASE}metadata: {{version: 2.5}}\n"), rows);
    assert_eq!(named.version, "2.5");
}

#[test]
fn a_right_choice_with_a_wrong_twin_is_refused_where_several_may_be_right() {
    let task = BASE.replace("'{{a}}'", "a") + "doc_to_choice: c\noutput_type: multiple_choice\n";
    let row = |answer: &str| {
        format!("{{\"q\": \"Which?\", \"a\": {answer}, \"c\": [\"one\", \"two\", \"one\"]}}\n")
    };
    check(
        &task,
        &row("[0, 1]"),
        "t.yaml: sample 0 (d.jsonl, line 1): the choice `one` is there twice, once as right and once as wrong",
        "name both as right",
    );
    assert_eq!(said_of(&task, &row("[0, 2]")).0, "-", "both are right");
    assert_eq!(said_of(&task, &row("[1]")).0, "-", "neither is");
    assert_eq!(said_of(&task, &row("2")).0, "-", "one right choice is kept by its place");
}
