//! `loadline policy`: check, diff, explain.

use loadline_policy::policy::{self, Effect};
use serde_json::json;

use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{Ui, count};

/// Check, compare or explain policies
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

/// What to do with a policy.
#[derive(clap::Subcommand)]
pub enum PolicyVerb {
    Check(Check),
    Diff(Diff),
    Explain(Explain),
}

/// Check a policy and print its digest
///
/// Says everything that is wrong at once, and ends with 40 if anything is.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline policy check policy.toml
  loadline policy check starter")]
pub struct Check {
    /// File of a policy, or a policy that ships: starter, frontier, open-weights
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// Print the policy as JSON, as its digest is taken from
    #[arg(long)]
    pub json: bool,
}

/// Show what differs in meaning between two policies, and which differences ask less
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline policy diff old.toml new.toml
  loadline policy diff frontier mine.toml --json")]
pub struct Diff {
    /// The earlier policy
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The later policy
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Say in plain words what a policy asks
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline policy explain starter")]
pub struct Explain {
    /// File of a policy, or a policy that ships: starter, frontier, open-weights
    #[arg(value_name = "POLICY")]
    pub policy: String,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let mut out = ui.out();
    match &args.verb {
        PolicyVerb::Check(check) => {
            let policy = documents::policy(&check.policy)?;
            if check.json {
                out.json(&policy)?;
            } else {
                out.line(policy.digest().map_err(unexpected)?)?;
            }
            let (tests, stages) = (policy.tests.len() as u64, policy.stages.len() as u64);
            let contents = format!("{} and {}", count(tests, "test"), count(stages, "stage"));
            ui.status("Checked", format_args!("{} version {}: {contents}", policy.name, policy.version));
        }
        PolicyVerb::Diff(pair) => {
            let (before, after) = (documents::policy(&pair.before)?, documents::policy(&pair.after)?);
            let changes = policy::diff(&before, &after);
            if pair.json {
                out.json(&json!({ "changes": changes }))?;
            } else {
                for change in &changes {
                    out.line(change)?;
                }
            }
            let weaker = changes.iter().filter(|change| change.effect == Effect::Weaker).count() as u64;
            let total = count(changes.len() as u64, "difference");
            ui.status("Compared", format_args!("{total}, {weaker} of them weaker"));
        }
        PolicyVerb::Explain(explain) => {
            let policy = documents::policy(&explain.policy)?;
            out.line(policy::explain(&policy).trim_end())?;
        }
    }
    out.finish()?;
    Ok(Exit::Ok)
}
