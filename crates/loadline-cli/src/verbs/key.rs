//! `loadline key`: make, show, rotate and countersign.

use std::path::{Path, PathBuf};

use loadline_core::untrusted::one_line;
use loadline_tlog::{Algorithm, VerifierKey};
use loadline_trust::{PublicKey, Role, Scheme};
use serde_json::json;

use super::authority::{role, work};
use crate::authority::roots;
use crate::authority::rotate::{self, Change, Outcome};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, KeyFileError, Keyring, PassphraseArgs, StoredKey, Work};
use crate::ui::Ui;

/// Make, show and rotate signing keys
///
/// A key is hybrid: Ed25519 and ML-DSA-44, and a signature needs both. Secret halves are kept in age files that a
/// passphrase opens; they are never shown.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: KeyVerb,
}

/// What to do with keys.
#[derive(clap::Subcommand)]
pub enum KeyVerb {
    New(New),
    Show(Show),
    Rotate(Rotate),
    Countersign(Countersign),
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Envelopes: roots, licences, attestations, sign-offs (hybrid)
    Hybrid,
    /// The checkpoints of a log (Ed25519)
    Log,
    /// Cosignatures of a witness (Ed25519)
    Witness,
    /// Cosignatures of a witness (ML-DSA-44)
    WitnessMlDsa44,
}

/// Make a key
///
/// Writes the secret half, locked with a passphrase and readable by its owner only, and the public half beside it. No
/// file is ever overwritten.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key new auditor -o auditor.age
  loadline key new examiner-2 --authority authority
  loadline key new witness -o witness.age --kind witness --origin witness.example.com")]
pub struct New {
    /// Name of the key: lower-case letters, digits, `-`, `_`, `.`
    #[arg(value_name = "NAME")]
    pub name: String,

    /// File of the secret half; the public half is put beside it
    #[arg(
        long,
        short,
        value_name = "FILE",
        required_unless_present = "authority",
        conflicts_with = "authority"
    )]
    pub output: Option<PathBuf>,

    /// Put it among the keys of this authority
    #[arg(long, value_name = "DIR")]
    pub authority: Option<PathBuf>,

    /// What it is for
    #[arg(long, value_enum, default_value_t = Kind::Hybrid)]
    pub kind: Kind,

    /// Name under which a log or a witness signs (default: NAME)
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// What trying one passphrase costs: 2^N KiB of memory, 10 to 20
    #[arg(long, value_name = "N", default_value = "18", value_parser = work)]
    pub work: Work,
}

/// Show the public half of a key
///
/// A public file needs no passphrase. With a secret file, the passphrase is asked for, and the file is checked.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key show authority/keys/examiner.pub.json
  loadline key show auditor.age --json")]
pub struct Show {
    /// Key file: `.age`, `.pub.json` or `.vkey`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Give a role a new key: a new version of the root
///
/// The new version is signed by enough root keys of the version before and of its own. Those that are in the folder sign
/// at once; when that is not enough, the proposal is kept beside the root for the others to countersign. Without a
/// role, the root is only renewed.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key rotate examiner
  loadline key rotate red_team --key red-team.pub.json --keep
  loadline key rotate root --key alice.pub.json --keep --threshold 2
  loadline key rotate --days 365")]
pub struct Rotate {
    /// Role that gets a new key
    #[arg(value_name = "ROLE", value_parser = role)]
    pub role: Option<Role>,

    /// Folder of the authority
    #[arg(long, value_name = "DIR", default_value = "authority")]
    pub authority: PathBuf,

    /// Public half of the new key, from its owner (default: a key is made here)
    #[arg(long, value_name = "FILE", requires = "role")]
    pub key: Option<PathBuf>,

    /// Retire no key of the role
    #[arg(long, requires = "role", conflicts_with = "retire")]
    pub keep: bool,

    /// Retire this key of the role (repeatable; default: its only key)
    #[arg(long, value_name = "NAME", requires = "role")]
    pub retire: Vec<String>,

    /// How many keys of the role must sign from now on (default: as before)
    #[arg(long, value_name = "N", requires = "role")]
    pub threshold: Option<u32>,

    /// Days for which the new version counts
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub days: u64,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// What trying one passphrase costs: 2^N KiB of memory, 10 to 20
    #[arg(long, value_name = "N", default_value = "18", value_parser = work)]
    pub work: Work,
}

/// Add a signature to a proposed version of the root
///
/// When enough keys have signed, the proposal becomes the newest version.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key countersign --key alice.age --authority authority")]
pub struct Countersign {
    /// Secret file of the key that signs
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// Folder of the authority
    #[arg(long, value_name = "DIR", default_value = "authority")]
    pub authority: PathBuf,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        KeyVerb::New(args) => new(args, ui),
        KeyVerb::Show(args) => show(args, ui),
        KeyVerb::Rotate(args) => rotate(args, ui),
        KeyVerb::Countersign(args) => countersign(args, ui),
    }
}

fn new(args: &New, ui: &Ui) -> Result {
    let origin = args.origin.as_deref().unwrap_or(&args.name);
    let key = match args.kind {
        Kind::Hybrid if args.origin.is_some() => {
            return Err(Failure::new(Exit::Usage, "a hybrid key has no `--origin`")
                .hint("leave it out, or say `--kind log` or `--kind witness`"));
        }
        Kind::Hybrid => StoredKey::Hybrid(Box::new(keyring::new_key(&args.name)?)),
        Kind::Log => note(origin, Algorithm::Ed25519)?,
        Kind::Witness => note(origin, Algorithm::CosignatureEd25519)?,
        Kind::WitnessMlDsa44 => note(origin, Algorithm::CosignatureMlDsa44)?,
    };
    let path = match (&args.output, &args.authority) {
        (Some(file), _) => file.clone(),
        (None, Some(authority)) => {
            // Only into an authority that is there.
            roots::chain(authority, None)?;
            loadline_trust::key::check_name(&args.name).map_err(KeyFileError::from)?;
            roots::keys(authority).join(format!("{}.age", args.name))
        }
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "say where with `-o FILE` or `--authority DIR`"));
        }
    };
    let public = keyring::save(&path, &key, &args.passphrase.get_new()?, args.work)?;
    ui.status("Made", format_args!("`{}`: keep a copy elsewhere", path.display()));
    ui.status("Wrote", format_args!("`{}`: give this to others", public.display()));
    print(&Public::of(&key), false, ui)
}

fn note(origin: &str, algorithm: Algorithm) -> Result<StoredKey> {
    Ok(StoredKey::Note(Box::new(keyring::new_note_key(origin, algorithm)?)))
}

/// The public half of a key of either kind.
enum Public {
    Hybrid(PublicKey),
    Note(VerifierKey),
}

impl Public {
    fn of(key: &StoredKey) -> Self {
        match key {
            StoredKey::Hybrid(key) => Self::Hybrid(key.public().clone()),
            StoredKey::Note(key) => Self::Note(key.verifier().clone()),
        }
    }
}

fn show(args: &Show, ui: &Ui) -> Result {
    let name = args.file.to_string_lossy();
    let public = if name.ends_with(".json") {
        Public::Hybrid(keyring::read_public(&args.file)?)
    } else if name.ends_with(".vkey") {
        Public::Note(keyring::read_vkey(&args.file)?)
    } else {
        keyring::check_form(&args.file)?;
        Public::of(&keyring::read(&args.file, &args.passphrase.get()?)?)
    };
    print(&public, args.json, ui)
}

fn print(public: &Public, as_json: bool, ui: &Ui) -> Result {
    let mut out = ui.out();
    match public {
        Public::Hybrid(key) if as_json => {
            out.json(&json!({ "kind": "hybrid", "id": key.id(), "key": key }))?;
        }
        Public::Hybrid(key) => {
            out.line(format_args!("name       {}", key.name()))?;
            out.line(format_args!("id         {}", key.id()))?;
            for scheme in Scheme::BOTH {
                let digest = loadline_core::Digest::of(key.half(scheme));
                out.line(format_args!("{:<10} {digest}", scheme.name()))?;
            }
        }
        Public::Note(key) if as_json => out.json(&json!({ "kind": "note", "vkey": key.to_vkey() }))?,
        Public::Note(key) => out.line(key.to_vkey())?,
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn rotate(args: &Rotate, ui: &Ui) -> Result {
    let now = roots::now()?;
    // An expired root can be renewed: whoever holds its keys is still its owner.
    let mut chain = roots::chain(&args.authority, None)?;
    let keyring = Keyring::new(roots::keys(&args.authority), args.passphrase.get()?).with_work(args.work);
    let public = args.key.as_deref().map(keyring::read_public).transpose()?;
    let change = Change {
        role: args.role,
        key: public,
        keep: args.keep,
        retire: args.retire.clone(),
        threshold: args.threshold,
        valid_days: args.days,
    };
    let outcome = rotate::rotate(&args.authority, &mut chain, &change, &keyring, now)?;
    report(&outcome, &args.authority, ui)
}

fn countersign(args: &Countersign, ui: &Ui) -> Result {
    let mut chain = roots::chain(&args.authority, None)?;
    keyring::check_form(&args.key)?;
    let key = keyring::read_hybrid(&args.key, &args.passphrase.get()?)?;
    let outcome = rotate::countersign(&args.authority, &mut chain, &key)?;
    report(&outcome, &args.authority, ui)
}

fn report(outcome: &Outcome, authority: &Path, ui: &Ui) -> Result {
    match outcome {
        Outcome::Rotated { path, mark, made } => {
            if let Some(name) = made {
                ui.status("Made", format_args!("the key `{name}`"));
            }
            ui.status("Signed", format_args!("version {} of the root, `{}`", mark.version, path.display()));
            let mut out = ui.out();
            out.line(mark.digest)?;
            out.finish()?;
        }
        Outcome::Proposed { path, made, missing } => {
            if let Some(name) = made {
                ui.status("Made", format_args!("the key `{name}`"));
            }
            ui.status("Proposed", format_args!("the next version of the root, `{}`", path.display()));
            ui.warning(format_args!("it does not count yet: {}", one_line(missing, 300)));
            ui.hint(format_args!(
                "send it to the owners of the other root keys; each runs `loadline key countersign --key FILE --authority {}`",
                authority.display()
            ));
        }
    }
    Ok(Exit::Ok)
}
