//! Declarations and policies: read from a file, with everything that is wrong in them said at once.

use std::io::Read as _;
use std::path::Path;

use loadline_policy::{MOST_BYTES, Policy, Problems, policy};

use crate::exit::Exit;
use crate::failure::Failure;

/// A text file of at most what is read of a document, and one byte.
///
/// # Errors
/// When it cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let failure = |error: &std::io::Error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{shown}`"), error)
            .hint("give the path of a TOML file")
    };
    let file = std::fs::File::open(path).map_err(|error| failure(&error))?;
    let mut text = String::new();
    file.take(MOST_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| failure(&error))?;
    Ok(text)
}

/// A policy from a file, or one that ships.
///
/// # Errors
/// When there is none, or it is wrong.
pub fn policy(name: &str) -> Result<Policy, Failure> {
    let path = Path::new(name);
    if let Some(shipped) = policy::shipped(name).filter(|_| !path.exists()) {
        return shipped.map_err(|problems| wrong(name, &problems, "policy"));
    }
    if !path.exists() {
        let names: Vec<_> = policy::SHIPPED.iter().map(|(name, _)| *name).collect();
        let message = format!("there is no policy `{name}`");
        let hint = format!("give the path of a policy, or one that ships: {}", names.join(", "));
        return Err(Failure::new(Exit::TaskInvalid, message).hint(hint));
    }
    policy::parse(&read(path)?).map_err(|problems| wrong(name, &problems, "policy"))
}

/// Every problem of a document, as `FILE:LINE:COLUMN`.
pub fn wrong(file: &str, problems: &Problems, page: &str) -> Failure {
    wrong_in(file, problems, page, "")
}

/// The same with the line and a caret under the place, from the document's text.
pub fn wrong_in(file: &str, problems: &Problems, page: &str, text: &str) -> Failure {
    let count = crate::ui::count(problems.0.len() as u64, "problem");
    let mut message = format!("`{file}` has {count}");
    for problem in &problems.0 {
        let path = if problem.path.is_empty() { String::new() } else { format!("`{}`: ", problem.path) };
        let place = problem.place;
        message.push_str(&format!("\n{file}:{}:{}: {path}{}", place.line, place.column, problem.message));
        if let Some(line) = text.lines().nth(place.line - 1) {
            let shown = loadline_core::untrusted::sanitize(line).replace('\t', " ");
            let caret = " ".repeat(place.column - 1);
            message.push_str(&format!("\n    | {shown}\n    | {caret}^"));
        }
        if let Some(hint) = &problem.hint {
            message.push_str(&format!("\n    help: {hint}"));
        }
    }
    Failure::new(Exit::TaskInvalid, message)
        .hint(format!("`docs/formats/{page}.md` says what each key means"))
}
