//! Every dependency has a permissive licence: invariant 11.

use crate::{metadata, read};

#[test]
fn every_dependency_has_an_allowed_licence() {
    let list = read("xtask/allowed-licences.txt");
    let allowed: Vec<&str> = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let mut refused = Vec::new();
    for package in &metadata().packages {
        let licence = package.license.clone().unwrap_or_default().replace('/', " OR ");
        let parsed = spdx::Expression::parse_mode(&licence, spdx::ParseMode::LAX);
        let fine = parsed.is_ok_and(|expression| {
            expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()))
        });
        if !fine {
            refused.push(format!("{} {}: `{licence}`", package.name, package.version));
        }
    }
    assert!(refused.is_empty(), "licences not on xtask/allowed-licences.txt:\n{}", refused.join("\n"));
}

#[test]
fn the_list_itself_is_made_of_known_permissive_licences() {
    for line in read("xtask/allowed-licences.txt").lines().filter(|line| !line.starts_with('#')) {
        let known = spdx::Expression::parse(line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        let copyleft =
            known.requirements().any(|r| r.req.license.id().is_some_and(spdx::LicenseId::is_copyleft));
        assert!(!copyleft, "`{line}` is copyleft");
    }
}
