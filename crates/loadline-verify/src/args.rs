//! The arguments, read by hand: a parser would be larger than the rest of the program.

use std::ffi::OsString;
use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};

/// What `--help` prints.
pub const HELP: &str = "\
Verifies a licence or a decision: recomputes everything that it rests on, from one file and without a network.

Usage: loadline-verify [OPTIONS] BUNDLE

Options:
  --root DIGEST     which authority it must be: the digest that it publishes (sha256:…)
  --standing FILE   a fresh standing of the authority, which may have revoked the licence since
  --now TIME        the moment to verify at, such as 2027-01-01T00:00:00Z (default: now)
  --witnessed       refuse an exam whose start no witness cosigned
  --json            print as JSON
  --help            this

Exit codes: 0 everything holds, 2 wrong arguments or unreadable file, 30 something does not hold.
Without --root it shows that one authority made all of it, not which one.
";

/// What is verified, and how.
#[derive(Debug, Default, PartialEq)]
pub struct Args {
    /// The bundle.
    pub bundle: PathBuf,
    /// The authority.
    pub root: Option<Digest>,
    /// A fresh standing.
    pub standing: Option<PathBuf>,
    /// The moment.
    pub now: Option<Instant>,
    /// Whether witnesses must have cosigned the exam's start.
    pub witnessed: bool,
    /// Whether to print JSON.
    pub json: bool,
}

/// What the user asked for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// How to use it.
    Help,
    /// To verify.
    Verify(Args),
}

/// Reads the arguments.
///
/// # Errors
/// Names the argument that is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    let mut args = Args::default();
    let mut bundle = None;
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Asked::Help),
            Some("--json") => args.json = true,
            Some("--witnessed") => args.witnessed = true,
            Some("--root") => args.root = Some(read("--root", &value("--root")?)?),
            Some("--now") => args.now = Some(read("--now", &value("--now")?)?),
            Some("--standing") => args.standing = Some(value("--standing")?.into()),
            Some(other) if other.starts_with('-') => {
                return Err(format!("there is no option `{}`", one_line(other, 60)));
            }
            _ if bundle.is_some() => return Err("more than one bundle is given".to_owned()),
            _ => bundle = Some(PathBuf::from(argument)),
        }
    }
    args.bundle = bundle.ok_or("no bundle is given")?;
    Ok(Asked::Verify(args))
}

fn read<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &OsString) -> Result<T, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|error: T::Err| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Asked, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn options_stand_anywhere() {
        let root = format!("sha256:{}", "ab".repeat(32));
        let Asked::Verify(args) =
            of(&["--json", "--witnessed", "b", "--root", &root, "--now", "2027-01-01T00:00:00Z"]).unwrap()
        else {
            panic!("help")
        };
        assert_eq!((args.bundle, args.json, args.witnessed), (PathBuf::from("b"), true, true));
        assert_eq!(args.root.unwrap().to_string(), root);
        assert_eq!(args.now.unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(of(&["b", "--help"]).unwrap(), Asked::Help);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, message) in [
            (&[][..], "no bundle is given"),
            (&["a", "b"], "more than one bundle is given"),
            (&["a", "--root"], "--root needs a value"),
            (&["a", "--rot", "x"], "there is no option `--rot`"),
        ] {
            assert_eq!(of(words).unwrap_err(), message);
        }
        assert!(of(&["a", "--now", "yesterday"]).unwrap_err().starts_with("--now: "));
        assert!(of(&["a", "--root", "sha256:12"]).unwrap_err().starts_with("--root: "));
    }
}
