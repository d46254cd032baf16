//! `loadline license`: sign, issue, show, revoke, suspend, reinstate, renew, bundle.

mod act;
mod issue;
mod show;

pub use issue::tell;

use std::path::PathBuf;

use loadline_core::Instant;
use loadline_policy::policy::{Role, Stage};

use crate::authority::licenses::Change;
use crate::authority::office::OfficeArgs;
use crate::failure::Result;
use crate::ui::Ui;

/// Sign, issue and manage licences
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: LicenseVerb,
}

/// What to do with a licence.
#[derive(clap::Subcommand)]
pub enum LicenseVerb {
    Sign(Sign),
    Issue(Issue),
    Show(Show),
    /// Take a licence back, for ever
    ///
    /// Logged, and in the next standing, which is signed at once. Nothing undoes it: a new licence needs a new exam and
    /// `loadline license issue`.
    Revoke(ChangeArgs),
    /// Make a licence not count, until it is reinstated or revoked
    ///
    /// Logged, and in the next standing, which is signed at once.
    Suspend(ChangeArgs),
    /// Make a suspended licence count again
    ///
    /// Logged, and in the next standing, which is signed at once. A licence that was revoked stays revoked.
    Reinstate(ChangeArgs),
    Renew(Renew),
    Bundle(Bundle),
}

/// Say yes or no to an exam, in one role, with your own key
///
/// Works on a machine of its own: give the file `attestation.json` instead of an exam, and send back the file that is
/// written. The policy says how many signatures of which roles are needed.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license sign --role authority --stage limited
  loadline license sign attestation.json --role red_team --key me.age --stage limited -o red-team.json
  loadline license sign 3f1c --role scientist --key me.age --stage limited --refuse")]
pub struct Sign {
    /// Beginning of the exam's id, or the file of its attestation (default: the newest exam)
    #[arg(value_name = "EXAM|FILE")]
    pub exam: Option<String>,

    /// In which role: authority, red_team, external_auditor, scientist
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub role: Role,

    /// To which stage of the policy
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Stage,

    /// File of your key (default: the authority's key of that role)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Say no
    #[arg(long)]
    pub refuse: bool,

    /// When, such as 2026-11-23T12:00:00Z (default: now)
    #[arg(long, value_name = "TIME")]
    pub at: Option<Instant>,

    /// Write it here (default: among the authority's sign-offs)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Decide about an exam, and issue the licence if the decision allows it
///
/// Prints the decision with every reason. Ends with 0 for an allow, 20 for a deny and 21 when the evidence does not
/// decide it; then no licence is issued, but the decision is kept and can be bundled.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license issue --stage limited
  loadline license issue 3f1c --stage limited --sign-off red-team.json --sign-off auditor.json")]
pub struct Issue {
    /// Beginning of the exam's id (default: the newest exam)
    #[arg(value_name = "EXAM")]
    pub exam: Option<String>,

    /// For which stage of the policy
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Stage,

    #[command(flatten)]
    pub terms: TermsArgs,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// What goes into a licence besides the decision.
#[derive(clap::Args, Clone, Debug)]
pub struct TermsArgs {
    /// Take in a sign-off that somebody sent (repeatable)
    #[arg(long, value_name = "FILE")]
    pub sign_off: Vec<PathBuf>,

    /// The issuer's name, for people (default: the name of the log)
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,

    /// What the licensee must do (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub condition: Vec<String>,

    /// Where the standing is published
    #[arg(long, value_name = "URL")]
    pub standing_url: Option<String>,
}

/// Issue a new licence from a new exam, in the place of an older one
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license renew 8a2e
  loadline license renew 8a2e --exam 3f1c")]
pub struct Renew {
    /// Beginning of the older licence's digest
    #[arg(value_name = "LICENSE")]
    pub license: String,

    /// Beginning of the new exam's id (default: the newest exam)
    #[arg(long, value_name = "EXAM")]
    pub exam: Option<String>,

    #[command(flatten)]
    pub terms: TermsArgs,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Show a licence, or list all
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license show
  loadline license show 8a2e --json")]
pub struct Show {
    /// Beginning of the licence's digest (default: list all)
    #[arg(value_name = "LICENSE")]
    pub license: Option<String>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `revoke`, `suspend` and `reinstate` ask for.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license suspend 8a2e --reason \"under investigation\"
  loadline license reinstate 8a2e --reason \"it was a false alarm\"
  loadline license revoke 8a2e --reason \"the weights were replaced\"")]
pub struct ChangeArgs {
    /// Beginning of the licence's digest
    #[arg(value_name = "LICENSE")]
    pub license: String,

    /// Why: one line, which everybody will read
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// How long the standing counts at least that is signed now
    ///
    /// It ends no earlier than the one in its place: every model rests on it, and not this licence alone. Only
    /// `loadline standing issue` shortens it.
    #[arg(long, value_name = "TIME", value_parser = super::standing::time, default_value = "5m")]
    pub lease: std::time::Duration,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Write everything that a licence or a decision rests on into one file that anybody can verify
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline license bundle 8a2e -o license.bundle
  loadline license bundle --exam 3f1c --stage limited -o denied.bundle")]
pub struct Bundle {
    /// Beginning of the licence's digest (default: the newest licence)
    #[arg(value_name = "LICENSE", conflicts_with = "exam")]
    pub license: Option<String>,

    /// Bundle what was decided of this exam, also when no licence was issued
    #[arg(long, value_name = "EXAM")]
    pub exam: Option<String>,

    /// For this stage, when several were decided
    #[arg(long, value_name = "STAGE", value_parser = stage, requires = "exam")]
    pub stage: Option<Stage>,

    /// The file
    #[arg(long, short, value_name = "FILE", default_value = "license.bundle")]
    pub output: PathBuf,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

fn named<T: loadline_policy::Named>(text: &str) -> std::result::Result<T, String> {
    T::ALL.iter().copied().find(|value| value.name() == text).ok_or_else(|| {
        let names: Vec<_> = T::ALL.iter().map(|value| value.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn role(text: &str) -> std::result::Result<Role, String> {
    named(text)
}

/// Reads a stage.
///
/// # Errors
/// When there is none of that name.
pub fn stage(text: &str) -> std::result::Result<Stage, String> {
    named(text)
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        LicenseVerb::Sign(args) => act::sign(args, ui),
        LicenseVerb::Issue(args) => issue::issue(args, ui),
        LicenseVerb::Renew(args) => issue::renew(args, ui),
        LicenseVerb::Show(args) => show::show(args, ui),
        LicenseVerb::Revoke(args) => act::change(args, Change::Revoke, ui),
        LicenseVerb::Suspend(args) => act::change(args, Change::Suspend, ui),
        LicenseVerb::Reinstate(args) => act::change(args, Change::Reinstate, ui),
        LicenseVerb::Bundle(args) => show::bundle(args, ui),
    }
}
