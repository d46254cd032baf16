//! `loadline-verify BUNDLE`: what `loadline verify` does, as a program small enough to read.
//!
//! All checks are in `loadline_exam::verify`. This file reads the arguments, opens the bundle and prints the checklist.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints one list")]

mod args;

use std::fs::File;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_exam::{Anchor, Report, Status, verify};

use crate::args::{Args, Asked};

/// Everything holds.
const OK: u8 = 0;
/// The arguments are wrong, or a file cannot be read.
const USAGE: u8 = 2;
/// Something does not hold.
const DOES_NOT_HOLD: u8 = 30;

/// A standing is far smaller.
const MOST_STANDING_BYTES: u64 = 4 << 20;

fn main() -> ExitCode {
    let asked = match args::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Help) => {
            print!("{}", args::HELP);
            return ExitCode::from(OK);
        }
        Ok(Asked::Verify(args)) => check(&args).and_then(|report| Ok((shown(&args, &report)?, report.holds))),
        Err(message) => Err(message),
    };
    match asked {
        Ok((shown, holds)) => {
            print!("{shown}");
            ExitCode::from(if holds { OK } else { DOES_NOT_HOLD })
        }
        Err(message) => {
            eprintln!("error: {message}\n\nhint: `loadline-verify --help` shows what it takes");
            ExitCode::from(USAGE)
        }
    }
}

fn check(args: &Args) -> Result<Report, String> {
    let cannot_read = |path: &std::path::Path| {
        let path = one_line(&path.display().to_string(), 200);
        move |error: std::io::Error| format!("cannot read `{path}`: {error}")
    };
    let standing = match &args.standing {
        None => None,
        Some(path) => {
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(cannot_read(path))?;
            // One byte more than is accepted: what is too long is refused as such, and not cut.
            file.take(MOST_STANDING_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read(path))?;
            Some(bytes)
        }
    };
    let now = match args.now {
        Some(now) => now,
        None => clock()?,
    };
    let anchor = Anchor { root: args.root, standing, witnessed: args.witnessed, ..Anchor::at(now) };
    if args.bundle.is_dir() {
        let path = one_line(&args.bundle.display().to_string(), 200);
        return Err(format!("`{path}` is a folder: give the file of a bundle, usually `license.bundle`"));
    }
    let bundle = File::open(&args.bundle).map_err(cannot_read(&args.bundle))?;
    Ok(verify(bundle, &anchor))
}

/// The report as it was asked for.
fn shown(args: &Args, report: &Report) -> Result<String, String> {
    if !args.json {
        return Ok(checklist(report));
    }
    let json = report.to_json().map_err(|error| format!("the report cannot be written as JSON: {error}"))?;
    Ok(format!("{json}\n"))
}

fn clock() -> Result<Instant, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| Instant::from_seconds(since.as_secs()).ok())
        .ok_or_else(|| "this machine's clock shows no usable time; give one with --now".to_owned())
}

/// The checklist as text: a line for each step, then what is withheld and what no bundle can show.
fn checklist(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |left: &str, right: &str| text.push_str(&format!("{left:>12}  {right}\n"));
    for step in &report.steps {
        let status = match step.status {
            Status::Ok => "ok",
            Status::Failed => "FAILED",
            Status::Skipped => "skipped",
        };
        line(status, &format!("{:<12}  {}", step.name.name(), step.detail));
    }
    for withheld in &report.withheld {
        let rows = withheld.rows.len();
        line("withheld", &format!("{rows} rows of test `{}`: their scores are only attested", withheld.test));
    }
    for limit in &report.cannot_show {
        line("not shown", limit);
    }
    let samples = report.summary.samples;
    match report.failed() {
        None => line(
            "Verified",
            &format!("everything that could be looked at holds; {samples} answers scored again"),
        ),
        Some(step) => line("Refused", &format!("step `{}` does not hold", step.name.name())),
    }
    text
}
