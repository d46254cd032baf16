//! Every dependency has a permissive licence: invariant 11.

use crate::{metadata, read};

/// The licences that any dependency may have.
fn licences(list: &str) -> Vec<&str> {
    list.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("exception ") && !line.is_empty())
        .collect()
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let list = read("xtask/allowed-licences.txt");
    let allowed = licences(&list);
    let exceptions: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| line.strip_prefix("exception "))
        .filter_map(|line| line.split(' ').next().zip(line.split(' ').nth(1)))
        .collect();
    for (name, _) in &exceptions {
        assert!(
            metadata().packages.iter().any(|p| p.name.as_str() == *name),
            "`{name}` is no longer a dependency"
        );
    }
    let mut refused = Vec::new();
    for package in &metadata().packages {
        let licence = package.license.clone().unwrap_or_default().replace('/', " OR ");
        let parsed = spdx::Expression::parse_mode(&licence, spdx::ParseMode::LAX);
        let fine = parsed.is_ok_and(|expression| {
            expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()))
        });
        if !fine && !exceptions.contains(&(package.name.as_str(), licence.as_str())) {
            refused.push(format!("{} {}: `{licence}`", package.name, package.version));
        }
    }
    assert!(refused.is_empty(), "licences not on xtask/allowed-licences.txt:\n{}", refused.join("\n"));
}

#[test]
fn the_list_itself_is_made_of_known_permissive_licences() {
    for line in licences(&read("xtask/allowed-licences.txt")) {
        let known = spdx::Expression::parse(line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        let copyleft =
            known.requirements().any(|r| r.req.license.id().is_some_and(spdx::LicenseId::is_copyleft));
        assert!(!copyleft, "`{line}` is copyleft");
    }
}
