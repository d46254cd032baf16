//! What the tree must not contain.

use crate::{read, root, tracked};

#[test]
fn files_stay_short() {
    for path in tracked(".rs") {
        let lines = read(&path).lines().count();
        assert!(lines <= 600, "{} has {lines} lines: is it still one idea?", path.display());
    }
}

#[test]
fn nothing_unfinished_is_left_standing() {
    // In pieces, so that this file does not find itself.
    let marks = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["db", "g!("],
        ["#[ig", "nore"],
        ["FIX", "ME"],
        ["XX", "X"],
    ];
    for path in tracked(".rs") {
        let text = read(&path);
        for mark in marks.map(|parts| parts.concat()) {
            assert!(!text.contains(&mark), "{}: `{mark}`", path.display());
        }
    }
}

#[test]
fn no_file_is_large() {
    for path in tracked("") {
        let bytes = std::fs::metadata(root().join(&path)).unwrap().len();
        assert!(bytes <= 1 << 20, "{} has {bytes} bytes", path.display());
    }
}

#[test]
fn every_test_module_is_part_of_its_test_binary() {
    for path in tracked(".rs").into_iter().filter(|path| path.to_string_lossy().contains("/tests/it/")) {
        let folder = path.parent().unwrap();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !folder.ends_with("tests/it") || stem == "main" {
            continue;
        }
        let main = read(folder.join("main.rs"));
        assert!(
            main.contains(&format!("mod {stem};")),
            "{}: not in {}/main.rs",
            path.display(),
            folder.display()
        );
    }
}

#[test]
fn no_path_of_a_machine_and_no_host_of_a_registry_is_committed() {
    let hosts = [
        ["files.python", "hosted.org"],
        ["static.crates", ".io"],
        ["index.crates", ".io"],
        ["registry.npm", "js.org"],
    ];
    let folders = [["/wo", "rk/"], ["/fa", "rm/"], ["/ro", "ot/"]];
    for path in tracked("") {
        // Cargo.lock names the registry by itself.
        if path.ends_with("Cargo.lock") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for word in hosts.iter().chain(&folders).map(|parts| parts.concat()) {
            let found = text.match_indices(&word).any(|(at, _)| {
                !word.starts_with('/')
                    || !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c))
            });
            assert!(!found, "{}: `{word}`", path.display());
        }
    }
}
