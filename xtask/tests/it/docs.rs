//! The documents say what is there.

use crate::{crates, read, root, tracked};

#[test]
fn the_documents_that_a_newcomer_expects_are_there() {
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "GLOSSARY.md",
        "STYLE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "docs/suites.md",
        "docs/statistics.md",
        "docs/exit-codes.md",
    ] {
        assert!(read(file).len() > 500, "{file} is empty or nearly so");
    }
}

#[test]
fn the_code_map_has_every_crate() {
    let architecture = read("ARCHITECTURE.md");
    for name in crates() {
        assert!(architecture.contains(&format!("| `{name}` |")), "ARCHITECTURE.md has no row for `{name}`");
    }
}

#[test]
fn every_path_named_in_a_document_exists() {
    for document in tracked(".md") {
        let text = read(&document);
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "xtask/", "docs/", ".ci/"].iter().any(|start| word.starts_with(start));
            let pattern = word.contains(['{', '<', '*', ' ', '…']);
            if is_path && !pattern {
                let path = word.split(['#', ':']).next().unwrap_or(word);
                assert!(root().join(path).exists(), "{}: `{word}` does not exist", document.display());
            }
        }
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap_or(target);
            let base = document.parent().map(|folder| root().join(folder)).unwrap_or_default();
            assert!(base.join(file).exists(), "{}: link to `{target}` leads nowhere", document.display());
        }
    }
}

#[test]
fn every_byte_format_has_a_version_and_a_golden_file() {
    let pages: Vec<_> = tracked(".md").into_iter().filter(|path| path.starts_with("docs/formats")).collect();
    assert!(!pages.is_empty());
    for page in pages {
        let text = read(&page);
        assert!(text.to_lowercase().contains("version"), "{}: says no version", page.display());
        assert!(text.contains("golden"), "{}: names no golden file", page.display());
    }
}
