//! Which crate may use what: invariants 1, 2 and 3.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};

use crate::{crates, metadata, sources};

/// The arrows of ARCHITECTURE.md: crate, and what it may use of the workspace.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("stats", &[]),
    ("tlog", &[]),
    ("trust", &["core", "tlog"]),
    ("evidence", &["core", "tlog"]),
    ("policy", &["core", "stats"]),
    ("suites", &["core"]),
    ("model", &["core"]),
    ("local", &["core"]),
    ("measure", &["core", "stats", "evidence", "suites"]),
    ("exam", &["core", "tlog", "trust", "evidence", "policy", "suites"]),
    (
        "cli",
        &[
            "core", "stats", "tlog", "trust", "exam", "evidence", "policy", "suites", "model", "local",
            "measure", "gate", "access",
        ],
    ),
    ("verify", &["core", "exam"]),
    ("verify-wasm", &["core", "exam"]),
    ("gate", &["core", "stats", "tlog", "trust", "evidence", "policy", "suites"]),
    ("access", &["core", "stats", "tlog", "trust", "evidence", "policy", "gate"]),
    ("testkit", &["core", "tlog", "trust", "policy"]),
];

const PURE: &[&str] = &["core", "stats", "tlog", "trust", "policy", "suites", "exam", "verify-wasm"];

#[test]
fn every_crate_has_its_arrows_written_down_and_keeps_to_them() {
    let metadata = metadata();
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    assert_eq!(crates(), table.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "table above");
    for package in metadata.workspace_packages() {
        let Some(name) = package.name.strip_prefix("loadline-") else { continue };
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some(used) = dependency.name.strip_prefix("loadline-") {
                assert!(table[name].contains(&used), "`{name}` may not use `{used}`; see ARCHITECTURE.md");
            }
        }
    }
}

/// Everything a crate links, directly or not, without dev-dependencies.
fn links(metadata: &Metadata, crate_name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = metadata.packages.iter().find(|p| p.name.as_str() == format!("loadline-{crate_name}"));
    let mut todo = vec![&start.expect("the crate").id];
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        let normal = nodes[id]
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        todo.extend(normal.map(|dep| &dep.pkg));
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn heavy_dependencies_stand_behind_their_door() {
    let metadata = metadata();
    let doors: &[(&[&str], &[&str])] = &[
        (&["rustls", "ring"], &["model", "gate", "access", "cli", "testkit"]),
        (&["hyper-rustls", "rustls-native-certs"], &["model", "cli"]),
        (&["hyper"], &["model", "gate", "access", "cli", "testkit"]),
        // Tensors are `local`'s own code.
        (&["candle-core", "gemm", "ndarray", "tch", "ort"], &[]),
        (&["tokio"], &["measure", "model", "gate", "access", "cli", "testkit"]),
        (&["jsonwebtoken", "blind-rsa-signatures", "rsa"], &["access", "cli"]),
        (&["clap", "indicatif"], &["cli"]),
        (&["prometheus", "opentelemetry-proto", "prost"], &["gate", "access", "cli"]),
        (&["age", "rpassword"], &["cli"]),
    ];
    for name in crates() {
        let linked = links(&metadata, &name);
        for (heavy, allowed) in doors {
            for dependency in heavy.iter().filter(|dependency| linked.contains(**dependency)) {
                assert!(
                    allowed.contains(&name.as_str()),
                    "`{name}` links `{dependency}`, which is behind {allowed:?}"
                );
            }
        }
    }
}

#[test]
fn only_model_is_a_tls_client_and_only_the_gates_door_a_tls_server() {
    for name in crates().iter().filter(|name| name.as_str() != "testkit") {
        for (path, code) in sources(name) {
            let is_door = name == "gate" && path.ends_with("src/door.rs");
            for (words, allowed) in [
                (["ClientConfig", "TlsConnector", "ClientConnection"], name == "model"),
                (["ServerConfig", "TlsAcceptor", "ServerConnection"], is_door),
            ] {
                let found = words.iter().find(|word| !allowed && code.contains(**word));
                assert_eq!(found, None, "{}: TLS outside of its door", path.display());
            }
        }
    }
}

#[test]
fn pure_crates_do_no_io_and_read_no_clock() {
    let banned = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "HashMap<",
        "HashSet<",
        "thread_rng",
        "from_os_rng",
    ];
    for name in PURE {
        for (path, code) in sources(name) {
            // The one door of `tlog` to a disk; everything else in it takes bytes and gives bytes.
            let disk_driver = name == &"tlog" && path.to_string_lossy().contains("/disk");
            for word in
                banned.iter().filter(|word| !(disk_driver && matches!(**word, "std::fs" | "std::process")))
            {
                assert!(!code.contains(word), "{}: `{word}` in a pure crate", path.display());
            }
        }
    }
}

#[test]
fn only_programs_print() {
    for name in crates().iter().filter(|name| !matches!(name.as_str(), "cli" | "verify" | "testkit")) {
        for (path, code) in sources(name) {
            let printed = code.lines().find(|line| {
                !line.trim_start().starts_with("//")
                    && ["println!(", "eprintln!(", "print!(", "eprint!(", "io::stdout()", "io::stderr()"]
                        .iter()
                        .any(|word| line.contains(word))
            });
            assert_eq!(printed, None, "{}: only `cli` and `verify` print", path.display());
        }
    }
}

#[test]
fn only_evidence_writes_files_of_a_record() {
    // `cli` writes downloads and exports where the user says so; nobody else writes a file at all.
    for name in crates().iter().filter(|name| !matches!(name.as_str(), "evidence" | "cli" | "testkit")) {
        for (path, code) in sources(name) {
            for word in
                ["OpenOptions", "File::create", "fs::write", "fs::rename", "remove_file", "create_dir"]
            {
                let inside_model_hub = name == "model" && path.to_string_lossy().contains("hub");
                let gate_driver = name == "gate"
                    && ["/disk.rs", "/run.rs"].iter().any(|file| path.to_string_lossy().ends_with(file));
                let log_driver = name == "tlog" && path.to_string_lossy().contains("/disk");
                assert!(
                    inside_model_hub || log_driver || gate_driver || !code.contains(word),
                    "{}: `{word}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_the_kernels_only() {
    for name in crates().iter().filter(|name| name.as_str() != "local") {
        for (path, code) in sources(name) {
            // A WebAssembly module needs names for what it exports, and nothing else that is unsafe.
            let names = if name == "verify-wasm" { "#[unsafe(no_mangle)]" } else { "" };
            let rest = if names.is_empty() { code } else { code.replace(names, "") };
            let found =
                ["unsafe {", "unsafe fn", "unsafe impl", "#[unsafe("].iter().find(|w| rest.contains(**w));
            assert_eq!(found, None, "{}: unsafe code outside `local`", path.display());
        }
    }
}
