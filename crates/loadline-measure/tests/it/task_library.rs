//! Libraries of task files: what is found, what a name stands for, what is said of what cannot be run.

use std::path::PathBuf;

use loadline_measure::{Entry, EntryKind, Library, LoadOptions, TaskError};

use super::task_golden::fixtures;

pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn names(library: &Library, name: &str) -> Vec<String> {
    library.load(name, &LoadOptions::default()).unwrap().into_iter().map(|t| t.identity.name).collect()
}

fn error(library: &Library, name: &str) -> TaskError {
    match library.load(name, &LoadOptions::default()) {
        Ok(_) => panic!("{name} loads"),
        Err(e) => e,
    }
}

#[test]
fn tasks_groups_and_tags_stand_for_tasks() {
    let library = Library::scan(&[fixtures().join("tasks")]).unwrap();
    let runnable: Vec<&Entry> = library.entries().filter(|e| e.reasons.is_empty()).collect();
    assert_eq!(runnable.len(), library.entries().count());
    let tag = library.find("fx_tag").unwrap();
    assert!(tag.kind == EntryKind::Tag && tag.path.is_none());
    assert_eq!(names(&library, "fx_tag"), ["fx_sums", "fx_sums_short"]);
    assert_eq!(names(&library, "fx_group"), ["fx_mc_column", "fx_sums", "fx_ll", "fx_sums_short"]);
    let path = fixtures().join("tasks/rolling.yaml");
    assert_eq!(names(&library, path.to_str().unwrap()), ["fx_rolling"]);
    let path = fixtures().join("tasks/_group.yaml");
    assert_eq!(names(&library, path.to_str().unwrap()).len(), 4);
    assert_eq!(library.find("fx_sums").unwrap().output_type, Some("generate_until"));
}

#[test]
fn a_group_overrides_its_members() {
    let library = Library::scan(&[fixtures().join("tasks")]).unwrap();
    let prompt = |name: &str, at: usize, options: &LoadOptions| {
        let task = library.load(name, options).unwrap().remove(at);
        let sample = task.samples.iter().next().unwrap().unwrap();
        (serde_json::to_string(&sample.input).unwrap().matches("A:").count(), task.identity.digest)
    };
    let (in_group, group_digest) = prompt("fx_group", 1, &LoadOptions::default());
    let (alone, digest) = prompt("fx_sums", 0, &LoadOptions::default());
    assert_eq!((in_group, alone), (2, 4));
    assert_ne!(group_digest, digest);
    let one_shot = LoadOptions { num_fewshot: Some(1), ..LoadOptions::default() };
    assert_eq!(prompt("fx_sums", 0, &one_shot), (2, group_digest));
}

#[test]
fn later_folders_win_and_unknown_names_get_the_nearest() {
    let task = |doc: &str| {
        format!(
            "task: same\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: d.jsonl}}}}\ntest_split: test\ndoc_to_text: \"{doc}\"\ndoc_to_target: \"x\"\n"
        )
    };
    let data = ("d.jsonl", "{\"a\": 1}\n");
    let first = folder(&[("t.yaml", &task("first")), data]);
    let second = folder(&[("b.yaml", &task("second")), ("c.yaml", &task("third")), data]);
    let library = Library::scan(&[first.path().into(), second.path().into()]).unwrap();
    assert!(library.find("same").unwrap().path.as_ref().unwrap().ends_with("b.yaml"));
    let error = error(&library, "sane");
    assert_eq!(error.message, "there is no task, group or tag `sane`");
    assert_eq!(error.hint.as_deref(), Some("did you mean `same`?"));
    assert!(Library::scan(&[PathBuf::from("nowhere/at/all")]).is_err());
}

#[test]
fn each_task_that_cannot_be_run_has_its_reasons() {
    let dir = folder(&[
        (
            "python.yaml",
            "task: python\ndataset_path: a/b\ntest_split: test\nprocess_docs: !function utils.process_docs\n\
             doc_to_text: !function utils.text\ndoc_to_target: x\nfewshot_config: {samples: !function utils.list}\n",
        ),
        ("class.yaml", "task: class\nclass: !function task.Squad\nanything: 1\n"),
        (
            "metric.yaml",
            "task: metric\ndataset_path: a/b\ntest_split: t\ndoc_to_text: a\ndoc_to_target: b\nmetric_list: [{metric: bleu}, {metric: exact_mach}]\n",
        ),
        ("key.yaml", "task: key\ndoc_to_txt: a\n"),
        (
            "template.yaml",
            "task: template\ndataset_path: a/b\ntest_split: t\ndoc_to_text: '{{a'\ndoc_to_target: b\n",
        ),
        (
            "pattern.yaml",
            "task: pattern\ndataset_path: a/b\ntest_split: t\ndoc_to_text: a\ndoc_to_target: b\nfilter_list: [{name: x, filter: [{function: regex, regex_pattern: '('}]}]\n",
        ),
        ("group.yaml", "group: group\ntask: [python, metric, gone]\n"),
        ("broken.yaml", "task: broken\n  x: [\n"),
        ("base", "task: base_has_no_suffix\n"),
        ("bare.yaml", "dataset_path: a/b\n"),
    ]);
    let library = Library::scan(&[dir.path().into()]).unwrap();
    let reasons = |name: &str| {
        library.find(name).unwrap().reasons.join(" | ").replace(&format!("{}/", dir.path().display()), "")
    };
    let hub = "data: `a/b` is a dataset on the hub, not here";
    assert_eq!(
        reasons("python"),
        format!(
            "needs Python: process_docs: !function utils.process_docs | needs Python: doc_to_text: !function utils.text | needs Python: fewshot_config.samples: !function utils.list | {hub}"
        )
    );
    assert_eq!(reasons("class"), "needs Python: class: !function task.Squad");
    assert_eq!(
        reasons("metric"),
        format!(
            "metric bleu is not supported yet | metric exact_mach is not known; did you mean `exact_match`? | {hub}"
        )
    );
    assert_eq!(reasons("key"), "key.yaml:2:1: unknown key `doc_to_txt`; did you mean `doc_to_text`?");
    assert!(reasons("template").starts_with("doc_to_text: template syntax:"), "{}", reasons("template"));
    assert!(reasons("pattern").starts_with("the pattern `(` cannot be used"), "{}", reasons("pattern"));
    assert_eq!(reasons("group"), "`gone` is not there | 2 of its 2 tasks cannot be run");
    assert_eq!(library.entries().count(), 7);
    assert_eq!(library.problems().len(), 1);
    assert!(library.problems()[0].message.contains("broken.yaml:2:"), "{}", library.problems()[0]);
    let error = error(&library, "python");
    assert!(
        error.message.contains("python (") && error.message.contains("needs Python: process_docs"),
        "{error}"
    );
    assert!(error.hint.unwrap().contains("do the function's work"));
}

/// All task files of the lm_eval 0.4.13 wheel, unpacked.
#[test]
fn every_task_file_of_lm_eval_is_read() {
    let Some(folder) = std::env::var_os("LOADLINE_LM_EVAL_TASKS") else {
        loadline_testkit::left_out(
            "needs LOADLINE_LM_EVAL_TASKS: the folder lm_eval/tasks of the lm_eval 0.4.13 wheel",
        );
        return;
    };
    let library = Library::scan(&[folder.into()]).unwrap();
    assert_eq!(library.problems(), []);
    let count = |kind| library.entries().filter(|e| e.kind == kind).count();
    assert_eq!(
        (count(EntryKind::Task), count(EntryKind::Group), count(EntryKind::Tag)),
        (13_123, 855, 705),
        "as lm_eval's own TaskManager counts them"
    );
    let tasks: Vec<&Entry> = library.entries().filter(|e| e.kind == EntryKind::Task).collect();
    let with =
        |reason: &dyn Fn(&str) -> bool| tasks.iter().filter(|e| e.reasons.iter().any(|r| reason(r))).count();
    assert_eq!(with(&|r| r.starts_with("needs Python")), 8_586);
    assert_eq!(tasks.iter().filter(|e| e.reasons.is_empty()).count(), 0, "all their data is on the hub");
    let data_alone = tasks.iter().filter(|e| e.reasons.iter().all(|r| r.starts_with("data:"))).count();
    assert!(data_alone > 3_700, "{data_alone}");
    assert_eq!(with(&|r| r.contains("template syntax") || r.contains("cannot be used")), 0);
}
