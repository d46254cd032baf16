//! `loadline authority`: found one, and show its root.

use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_tlog::VerifierKey;
use loadline_trust::{Role, RootChain};
use serde_json::json;

use crate::authority::found::{Founding, Witnesses};
use crate::authority::{office, roots};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{Keyring, PassphraseArgs, Work};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// Found an authority, or show who may sign what in its name
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: AuthorityVerb,
}

/// What to do with an authority.
#[derive(clap::Subcommand)]
pub enum AuthorityVerb {
    Init(Init),
    Show(Show),
}

/// Found an authority: keys, a key for its log, and version 1 of its root
///
/// Makes `DIR/keys` (locked with a passphrase) and `DIR/root/1.json`. Others verify against the digest that is printed:
/// publish it where they will look for it.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline authority init authority
  loadline authority init authority --origin example.com/log --also red_team
  loadline authority init authority --witness \"$(cat keys/witness.vkey) https://witness.example.com/\"")]
pub struct Init {
    /// Folder of the new authority
    #[arg(value_name = "DIR", default_value = "authority")]
    pub folder: PathBuf,

    /// Name of its log: a URL without scheme, for ever
    #[arg(long, value_name = "NAME", default_value = "loadline.local/log")]
    pub origin: String,

    /// Days for which version 1 of the root counts
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub days: u64,

    /// Make a key for this role too (repeatable): red_team, external_auditor, scientist
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub also: Vec<Role>,

    /// Key of a witness of the log, and its URL if it has one: `VKEY [URL]` (repeatable)
    #[arg(long, value_name = "VKEY", value_parser = witness)]
    pub witness: Vec<(VerifierKey, Option<String>)>,

    /// How many of the witnesses must have seen a checkpoint (default: more than half)
    #[arg(long, value_name = "N")]
    pub quorum: Option<usize>,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// What trying one passphrase costs: 2^N KiB of memory, 10 to 20
    #[arg(long, value_name = "N", default_value = "18", value_parser = work)]
    pub work: Work,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Show who may sign what in an authority's name
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline authority show
  loadline authority show authority --json")]
pub struct Show {
    /// Folder of the authority
    #[arg(value_name = "DIR", default_value = "authority")]
    pub folder: PathBuf,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads a role.
///
/// # Errors
/// When there is none of that name.
pub fn role(name: &str) -> std::result::Result<Role, String> {
    Role::named(name).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("a role is one of {}", names.join(", "))
    })
}

/// Reads an amount of work.
///
/// # Errors
/// When it is none of 10 to 20.
pub fn work(text: &str) -> std::result::Result<Work, String> {
    text.parse().ok().and_then(Work::new).ok_or_else(|| "give a whole number from 10 to 20".to_owned())
}

/// Reads `VKEY [URL]`.
fn witness(text: &str) -> std::result::Result<(VerifierKey, Option<String>), String> {
    let mut words = text.split_whitespace();
    let key = VerifierKey::parse(words.next().unwrap_or_default()).map_err(|error| error.to_string())?;
    let url = words.next().map(str::to_owned);
    if words.next().is_some() { Err("give `VKEY` or `VKEY URL`".to_owned()) } else { Ok((key, url)) }
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        AuthorityVerb::Init(args) => init(args, ui),
        AuthorityVerb::Show(args) => show(args, ui),
    }
}

fn init(args: &Init, ui: &Ui) -> Result {
    let founding = Founding {
        origin: args.origin.clone(),
        valid_days: args.days,
        also: args.also.clone(),
        witnesses: Witnesses { witnesses: args.witness.clone(), needed: args.quorum },
    };
    let keyring = Keyring::new(roots::keys(&args.folder), args.passphrase.get_new()?).with_work(args.work);
    let chain = office::establish(&args.folder, &founding, &keyring, roots::now()?)?;
    ui.status("Founded", format_args!("an authority in `{}`", args.folder.display()));
    ui.status("Kept", format_args!("{} in `{}`", keys_of(&chain), roots::keys(&args.folder).display()));
    let root = roots::path(&args.folder, 1);
    ui.status("Signed", format_args!("version 1 of the root, `{}`", root.display()));
    ui.status("Logged", format_args!("the root, entry 0 of `{}`", args.folder.join("log").display()));
    let mut out = ui.out();
    if args.json {
        out.json(&json!({ "authority": chain.authority(), "root": root, "log": args.folder.join("log") }))?;
    } else {
        out.line(chain.authority())?;
    }
    out.finish()?;
    ui.hint(
        "publish the digest above where people will look for it: `loadline verify --root` takes it; \
         and keep a copy of the keys elsewhere",
    );
    Ok(Exit::Ok)
}

fn keys_of(chain: &RootChain) -> String {
    ui::count(chain.current().keys.len() as u64 + 1, "key")
}

fn show(args: &Show, ui: &Ui) -> Result {
    let chain = roots::chain(&args.folder, None)?;
    let root = chain.current();
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "authority": chain.authority(),
            "version": root.version,
            "digest": chain.mark().digest,
            "root": root,
        }))?;
        out.finish()?;
    } else {
        out.line(format_args!("authority  {}", chain.authority()))?;
        out.line(format_args!("root       version {}, {} to {}", root.version, root.issued, root.expires))?;
        out.line("")?;
        let mut table = Table::default();
        for (role, holders) in &root.roles {
            for (at, key) in root.holders(*role).enumerate() {
                let needed = format!("{} of {}", holders.threshold, holders.keyids.len());
                let (role, needed) = if at == 0 { (role.name(), needed) } else { ("", String::new()) };
                table.row([
                    Cell::left(role),
                    Cell::left(needed),
                    Cell::left(key.name()),
                    Cell::left(key.id()),
                ]);
            }
        }
        table.write(&mut out, 0)?;
        out.line("")?;
        for line in root.log_policy.lines() {
            out.line(one_line(line, 200))?;
        }
        out.finish()?;
    }
    let now = roots::now()?;
    if chain.check_at(now).is_err() {
        return Err(Failure::new(Exit::EvidenceInvalid, format!("the root does not count now: it is {now}"))
            .hint("renew it with `loadline key rotate`, or check the clock"));
    }
    Ok(Exit::Ok)
}
