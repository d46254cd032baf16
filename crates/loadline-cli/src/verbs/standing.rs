//! `loadline standing`: issue and show what is revoked and suspended.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use loadline_trust::Standing;

use crate::authority::folder::Folder;
use crate::authority::office::{Office, OfficeArgs};
use crate::authority::{roots, standing};
use crate::control::{Control, Respond, Watch};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{Ui, count};

/// Sign or show what is revoked and suspended now
///
/// A gate serves a model only as long as it has a fresh standing: an authority that falls silent closes it.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: StandingVerb,
}

/// What to do with a standing.
#[derive(clap::Subcommand)]
pub enum StandingVerb {
    Issue(Issue),
    Show(Show),
}

/// Sign the next standing, from what the log says
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline standing issue
  loadline standing issue --lease 60s --every 10s")]
pub struct Issue {
    /// How long it counts, also when the one in its place ends later: 60s, 5m, 24h
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub lease: Duration,

    /// Sign again and again, so long apart, until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub every: Option<Duration>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Show the standing that is in the authority's folder, after checking it
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline standing show
  loadline standing show --json")]
pub struct Show {
    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads a time of whole seconds.
///
/// # Errors
/// When it is none.
pub fn time(text: &str) -> std::result::Result<Duration, String> {
    let bad = || "expected a time such as `60s`, `5m` or `24h`".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    match number.checked_mul(unit) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(bad()),
    }
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        StandingVerb::Issue(args) => issue(args, ui),
        StandingVerb::Show(args) => show(args, ui),
    }
}

struct Stop(mpsc::Sender<()>);

impl Respond for Stop {
    fn stop(&mut self) {
        let _nobody_waits = self.0.send(());
    }

    fn in_flight(&mut self) {}
}

fn issue(args: &Issue, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let Some(every) = args.every else {
        return tell(&standing::issue(&office, args.lease)?, args.json, ui);
    };
    // The folder is free for others between two signatures: a licence may be revoked meanwhile.
    drop(office);
    let (stop, stopped) = mpsc::channel();
    let _control =
        Control::start(Watch::default(), Stop(stop)).map_err(|error| Failure::io("cannot start", &error))?;
    loop {
        match Office::open(&args.office).and_then(|office| standing::issue(&office, args.lease)) {
            Ok(standing) => drop(tell(&standing, args.json, ui)?),
            // Somebody else is at the folder: the last one still counts for a while.
            Err(failure) if failure.message.starts_with("another process") => ui.warning(&failure.message),
            Err(failure) => return Err(failure),
        }
        match stopped.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Ok),
        }
    }
}

fn tell(standing: &Standing, json: bool, ui: &Ui) -> Result {
    let entries = count(standing.entries.len() as u64, "licence");
    ui.status(
        "Signed",
        format_args!(
            "standing of epoch {}, until {}: {entries} not as issued",
            standing.epoch, standing.expires
        ),
    );
    let mut out = ui.out();
    if json {
        out.json(standing)?;
    } else {
        let mut table = Table::default();
        for entry in &standing.entries {
            table.row([
                Cell::left(entry.license),
                Cell::left(entry.state.name()),
                Cell::left(entry.since),
                Cell::left(&entry.reason),
            ]);
        }
        table.write(&mut out, 4)?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn show(args: &Show, ui: &Ui) -> Result {
    let folder = Folder::new(&args.office.authority);
    let now = roots::now()?;
    let chain = roots::current(folder.path(), now)?;
    let Some((standing, _)) = standing::read(&folder, &chain)? else {
        return Err(
            Failure::new(Exit::Usage, "there is no standing").hint("sign one with `loadline standing issue`")
        );
    };
    tell(&standing, args.json, ui)?;
    if standing.check_at(now).is_err() {
        return Err(Failure::new(Exit::EvidenceInvalid, format!("it does not count now: it is {now}"))
            .hint("sign a fresh one with `loadline standing issue`"));
    }
    Ok(Exit::Ok)
}
