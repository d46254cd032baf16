//! Anonymous tokens: ask for one, use it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use loadline_access::request::Act;
use loadline_access::token::{self, Asked, Token, TokenError, TokenKey};
use loadline_core::Secret;
use loadline_core::untrusted::one_line;
use serde_json::Value;
use zeroize::Zeroizing;

use super::ask::{About, Place};
use super::{office, show};
use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring;
use crate::ui::Ui;

/// Get an anonymous token instead of a key, for an application that was drawn
///
/// Whoever runs the programme signs it without seeing it, and cannot tell later whose it was from the token itself. What
/// gives you away all the same: using it right away, or from the same address, or when nobody else has one. Wait, and
/// compare the key that is printed with what others got. The same command goes on where it stopped.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access token https://access.example.org 3f9a… --key ada.age -o token.txt")]
pub struct Get {
    #[command(flatten)]
    pub about: About,
    /// File of the token; whoever has it can use it. Beside it `FILE.asked` until the token is there
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// Use an anonymous token: it gives a key of the gate, once
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access redeem https://access.example.org token.txt > gate.key")]
pub struct Redeem {
    /// The programme: its file, or the URL where it is served
    #[arg(value_name = "PROGRAMME|URL")]
    pub programme: String,
    /// File of the token
    #[arg(value_name = "FILE")]
    pub token: PathBuf,
}

/// See [`Get`].
pub fn get(args: &Get, ui: &Ui) -> Result {
    if args.output.exists() {
        return Err(Failure::new(Exit::Usage, format!("`{}` is there already", args.output.display()))
            .hint("a token is issued once: use it, or give another file"));
    }
    let ask = &args.about.ask;
    let place = Place::open(&ask.programme)?;
    let key = token_key(&place, ui)?;
    let id = Some(args.about.application.clone());
    let status = ask.answer(Act::Status, id.clone(), ui)?;
    let round = status.pointer("/status/round").and_then(Value::as_str).unwrap_or_default();
    let challenge = token::challenge(&place.name, round).map_err(|error| failed(&error))?;
    let mut beside = args.output.as_os_str().to_owned();
    beside.push(".asked");
    let seed = seed(Path::new(&beside))?;
    let asked = Asked::new(key.clone(), &challenge, &seed).map_err(|error| failed(&error))?;
    let answer = ask.answer(Act::Token(STANDARD.encode(asked.request())), id, ui)?;
    let part =
        |name: &str| answer.pointer(&format!("/token/{name}")).and_then(Value::as_str).unwrap_or_default();
    let signed = STANDARD.decode(part("answer")).map_err(|_| failed(&TokenError::Form))?;
    let token = asked.finish(&signed).map_err(|error| failed(&error))?;
    keyring::create(&args.output, format!("{}\n", token.expose()).as_bytes(), 0o600)?;
    // The token is on the disk; what it was made from is of no use any more, to anybody.
    let _left_behind = std::fs::remove_file(&beside);
    ui.status(
        "Got",
        format_args!("a token, in `{}`, good until {}", args.output.display(), one_line(part("expires"), 40)),
    );
    ui.status("Signed", format_args!("by key {}: the same for everybody, or it gives you away", key.id()));
    Ok(Exit::Ok)
}

fn token_key(place: &Place, ui: &Ui) -> Result<TokenKey> {
    if let Some(programme) = place.programme() {
        return office::open(programme, ui)?.token_key().map_err(|refusal| office::refused(&refusal));
    }
    let about = place.get("/programme")?;
    let key = about.pointer("/tokens/token-key").and_then(Value::as_str).ok_or_else(|| {
        Failure::new(Exit::Denied, "this programme has no anonymous tokens").hint("claim a key instead")
    })?;
    let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| failed(&TokenError::Damaged))?;
    TokenKey::parse(&key).map_err(|error| failed(&error))
}

/// 32 random bytes from which a request follows; kept before it is sent, so that it can be sent again.
fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let read = loadline_gate::disk::read(path, 33).map(|read| read.map(Zeroizing::new));
    let read = read.map_err(|error| Failure::io(format!("cannot read `{}`", path.display()), &error))?;
    let mut seed = Zeroizing::new([0; 32]);
    match read {
        None => {
            getrandom::fill(&mut *seed)
                .map_err(|error| Failure::new(Exit::Unexpected, format!("no random bytes: {error}")))?;
            keyring::create(path, &*seed, 0o600)?;
        }
        Some(bytes) if bytes.len() == 32 => seed.copy_from_slice(&bytes),
        Some(_) => {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{}` is not of a request for a token", path.display()),
            )
            .hint("give another output file"));
        }
    }
    Ok(seed)
}

fn failed(error: &TokenError) -> Failure {
    Failure::because(Exit::EvidenceInvalid, "the programme's answer makes no token", error)
        .hint("nothing is lost: the same command asks again with the same request")
}

/// See [`Redeem`].
pub fn redeem(args: &Redeem, ui: &Ui) -> Result {
    let read = loadline_gate::disk::read(&args.token, 4 << 10);
    let read =
        read.map_err(|error| Failure::io(format!("cannot read `{}`", args.token.display()), &error))?;
    let text = String::from_utf8(read.unwrap_or_default()).unwrap_or_default();
    let token = Token::parse(text.trim()).map_err(|error| {
        Failure::because(Exit::Usage, format!("`{}` has no token", args.token.display()), &error)
            .hint("give the file that `loadline access token` wrote")
    })?;
    let place = Place::open(&args.programme)?;
    let answer = match place.programme() {
        None => place.redeem(&Secret::new(token.expose()))?,
        Some(programme) => {
            let mut desk = office::open(programme, ui)?;
            let key = desk.redeem(&token, roots::now()?).map_err(|refusal| office::refused(&refusal))?;
            serde_json::json!({ "key": key })
        }
    };
    show::answer(&answer, false, ui)
}
