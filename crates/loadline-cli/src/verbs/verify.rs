//! `loadline verify`: everything that a licence rests on, recomputed from one file.

use std::fs::File;
use std::path::{Path, PathBuf};

use loadline_core::{Digest, Instant};
use loadline_exam::{Anchor, Report, Status, StepName, verify};
use loadline_trust::{Envelope, ROOT_TYPE, Root};

use crate::authority::{folder, roots};
use crate::decided;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{BAD, DIM, GOOD, STRONG, Ui, WARN, count};

/// Verify a licence or a decision: recompute everything it rests on, offline
///
/// From one file: signatures and roles, the log and its witnesses, the policy, the seed, every question, every score, the counts, the
/// decision. Ends with 0 when all of it holds and with 30 otherwise. That the authority is the one you mean is only
/// shown with `--root`.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline verify license.bundle --root sha256:…
  loadline verify license.bundle --root root-1.json --standing standing.json
  loadline verify license.bundle --now 2027-01-01T00:00:00Z --json")]
pub struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,

    /// Which authority it must be: the digest that it publishes, or the file of its root's version 1
    #[arg(long, value_name = "DIGEST|FILE")]
    pub root: Option<String>,

    /// A fresh standing of the authority, which may have revoked the licence since
    #[arg(long, value_name = "FILE")]
    pub standing: Option<PathBuf>,

    /// Refuse an exam whose start no witness cosigned: the authority could have chosen its questions
    #[arg(long)]
    pub witnessed: bool,

    /// The moment to verify at, such as 2027-01-01T00:00:00Z (default: now)
    #[arg(long, value_name = "TIME")]
    pub now: Option<Instant>,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let anchor = Anchor {
        now: args.now.map_or_else(roots::now, Ok)?,
        root: args.root.as_deref().map(root).transpose()?,
        standing: args.standing.as_deref().map(folder::read).transpose()?,
        witnessed: args.witnessed,
        ..Anchor::at(Instant::EPOCH)
    };
    let report = check(&args.bundle, &anchor)?;
    let mut out = ui.out();
    if args.json {
        out.json(&report)?;
    } else {
        checklist(&report).write(&mut out, 0)?;
    }
    out.finish()?;
    conclude(&report, &args.bundle, ui);
    if args.root.is_none() && report.holds {
        ui.hint("that this is the authority you mean is shown with `--root DIGEST`, which it publishes");
    }
    Ok(if report.holds { Exit::Ok } else { Exit::EvidenceInvalid })
}

/// Verifies a bundle in a file.
///
/// # Errors
/// When it is a folder, or the file cannot be opened. Everything else is in the report.
pub fn check(path: &Path, anchor: &Anchor) -> Result<Report> {
    if path.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("`{}` is a folder", path.display()))
            .hint("give the file of a bundle: `loadline license bundle` writes one"));
    }
    let file = File::open(path).map_err(|error| {
        Failure::because(Exit::Usage, format!("cannot read `{}`", path.display()), &error)
            .hint("give the path of a `license.bundle`")
    })?;
    Ok(verify(file, anchor))
}

/// A digest, or the file of a root whose digest it is.
fn root(text: &str) -> Result<Digest> {
    let path = Path::new(text);
    if !path.exists() {
        let text = if text.starts_with("sha256:") { text.to_owned() } else { format!("sha256:{text}") };
        return text.parse::<Digest>().map_err(|error| {
            Failure::because(Exit::Usage, "`--root` names neither a file that is there nor a digest", &error)
                .hint("`loadline authority show` prints the digest of an authority")
        });
    }
    let envelope = Envelope::parse(&folder::read(path)?);
    let envelope = envelope.map_err(|error| no_root(path, &error))?;
    let root: Root = envelope.json(ROOT_TYPE).map_err(|error| no_root(path, &error))?;
    if root.version != 1 {
        let message = format!("`{}` is version {} of a root", path.display(), root.version);
        return Err(
            Failure::new(Exit::Usage, message).hint("give version 1: it names the authority for ever")
        );
    }
    Ok(envelope.payload_digest())
}

fn no_root(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    let message = format!("`{}` is no file of a root", path.display());
    Failure::because(Exit::TaskInvalid, message, error)
        .hint("give version 1 of the authority's root, or its digest")
}

/// The checklist: a row for each step.
pub fn checklist(report: &Report) -> Table {
    let mut table = Table::default();
    for step in &report.steps {
        let (sign, style) = match step.status {
            Status::Ok => ("ok", GOOD),
            Status::Failed => ("FAILED", BAD),
            Status::Skipped => ("skipped", DIM),
        };
        table.row([
            Cell::left(sign).styled(style),
            Cell::left(step.name).styled(STRONG),
            Cell::left(&step.detail),
        ]);
    }
    table
}

/// Says what came of it, what is withheld, and what no bundle can show.
pub fn conclude(report: &Report, path: &Path, ui: &Ui) {
    let shown = path.display();
    if report.holds {
        let outcome = report.summary.outcome.map_or("nothing", decided::word);
        let answers = count(report.summary.samples, "answer");
        let decided = match report.step(StepName::Decision).status {
            Status::Ok => "",
            _ => " (not shown)",
        };
        ui.status("Verified", format_args!("`{shown}`: {outcome}{decided}, {answers} scored again"));
    } else {
        let failed = report.failed().map_or("a step", |step| step.name.name());
        ui.line(format_args!(
            "{} `{shown}` does not hold: {failed}",
            ui.styled(BAD, format_args!("{:>12}", "Refused"))
        ));
    }
    for withheld in &report.withheld {
        let rows = count(withheld.rows.len() as u64, "row");
        ui.warning(format_args!(
            "{rows} of test `{}` are withheld: their scores are only attested",
            withheld.test
        ));
    }
    for limit in &report.cannot_show {
        ui.say(format_args!("{} {limit}", ui.styled(WARN, format_args!("{:>12}", "Not shown"))));
    }
}
