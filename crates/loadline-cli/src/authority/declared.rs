//! Compute declarations of the models of the catalogue: what their makers published, as intervals.

use loadline_policy::{Ledger, compute};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Declarations, by the model's name in the catalogue.
const DECLARED: &[(&str, &str)] =
    &[("qwen2.5-coder-0.5b-instruct", include_str!("../../compute/qwen2.5-coder-0.5b-instruct.toml"))];

/// The declaration of a simulated subject: nothing was trained.
const SIMULATED: &str = include_str!("../../compute/simulated.toml");

/// The declaration that ships for a model of the catalogue, if one does.
///
/// # Errors
/// Never in a build whose tests pass.
pub fn of(model: &str) -> Result<Option<Ledger>> {
    let found = DECLARED.iter().find(|(name, _)| *name == model);
    found.map(|(name, text)| read(name, text)).transpose()
}

/// The declaration of a simulated subject.
///
/// # Errors
/// Never in a build whose tests pass.
pub fn simulated() -> Result<Ledger> {
    read("simulated.toml", SIMULATED)
}

fn read(name: &str, text: &str) -> Result<Ledger> {
    compute::parse(text).map_err(|problems| {
        Failure::new(
            Exit::Unexpected,
            format!("the declaration `{name}` that ships has {} problems", problems.0.len()),
        )
    })
}

#[cfg(test)]
mod tests {
    use loadline_policy::rules::{self, Scope};

    use super::*;

    #[test]
    fn what_ships_is_clearly_under_every_law_in_force() {
        let mut ledgers = vec![simulated().unwrap()];
        for (name, _) in DECLARED {
            assert!(loadline_local::catalogue::find(name).is_some());
            ledgers.push(of(name).unwrap().unwrap());
        }
        let pack = rules::find("eu-ai-act-1e25").unwrap();
        for ledger in ledgers {
            assert_eq!(pack.judge(&ledger).unwrap().verdict, Scope::Out, "{}", ledger.model);
        }
        assert!(of("none").unwrap().is_none());
    }
}
