//! Models in this process: files that are none, and a real one.

use crate::support::Sandbox;

/// The head of a GGUF file, version 3, without tensors and with one entry.
fn gguf(architecture: &str) -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    text(&mut bytes, "general.architecture");
    bytes.extend(8u32.to_le_bytes());
    text(&mut bytes, architecture);
    bytes
}

#[test]
fn what_is_no_model_file_is_named() {
    let sandbox = Sandbox::new();
    let whole = gguf("hyena");
    for (name, bytes) in [
        ("not_gguf", b"PK\x03\x04 this is a zip file".to_vec()),
        ("cut_short", whole[..whole.len() - 2].to_vec()),
        ("unknown_architecture", whole),
        ("empty", Vec::new()),
    ] {
        sandbox.write(&format!("{name}.gguf"), bytes);
        let said = sandbox.run(&format!("measure arithmetic -m gguf/{name}.gguf"));
        assert_eq!(said.code, 50, "{}", said.text());
        assert!(said.stderr.contains("\n\nhint: "), "{}", said.text());
        insta::assert_snapshot!(format!("gguf_{name}"), said.text());
    }
}

#[test]
fn a_model_file_that_is_cut_short_is_not_loaded() {
    let Some(path) = loadline_testkit::model_file("gemma-3-270m-q4_k_m.gguf") else { return };
    let sandbox = Sandbox::new();
    let mut head = vec![0; 20_000_000];
    std::io::Read::read_exact(&mut std::fs::File::open(path).unwrap(), &mut head).unwrap();
    sandbox.write("cut.gguf", head);
    let said = sandbox.run("measure arithmetic -m gguf/cut.gguf");
    assert_eq!(said.code, 50, "{}", said.text());
    insta::assert_snapshot!("gguf_cut_real", said.text());
}

#[test]
fn settings_of_a_local_model_are_checked() {
    let sandbox = Sandbox::new();
    sandbox.write("x.gguf", gguf("llama"));
    let said = sandbox.run("measure arithmetic -m gguf/x.gguf --model-arg precison=f32");
    assert_eq!(said.code, 2, "{}", said.text());
    assert!(said.stderr.contains("did you mean `precision`?"), "{}", said.text());
    assert_eq!(sandbox.run("measure arithmetic -m gguf/x.gguf --base-url http://127.0.0.1:1").code, 2);
}

#[test]
fn a_real_model_is_measured() {
    let name = "qwen2.5-coder-0.5b-instruct";
    let Some(path) = loadline_testkit::model_file("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf") else { return };
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("cache/models")).unwrap();
    std::os::unix::fs::symlink(&path, sandbox.path("cache/models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"))
        .unwrap();
    let line = format!("measure arithmetic@1 arithmetic-choice@1 --model {name} --limit 4 --json");
    let said = sandbox.run(&line).ok();
    let lines = said.json_lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["metrics"][0]["n"] == 4), "{lines:?}");
    for line in &lines {
        sandbox.run(&format!("record verify {}", line["run"].as_str().unwrap())).ok();
    }
    let shown = sandbox.run(&format!("show {} --json", lines[0]["run"].as_str().unwrap())).ok();
    assert_eq!(
        shown.json_lines()[0]["spec"]["identity"]["weights"],
        "sha256:1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    );
    // Nothing is computed again.
    assert_eq!(sandbox.run(&line).ok().stdout, said.stdout);
}
