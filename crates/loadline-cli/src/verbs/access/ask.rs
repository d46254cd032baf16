//! What applicants and reviewers sign, handed in at a folder or over HTTP.

use std::path::{Path, PathBuf};

use loadline_access::request::{self, Act, Application, MAX_TEXT_BYTES, Request, Verdict};
use loadline_core::Secret;
use loadline_core::untrusted::one_line;
use loadline_model::{Environment, Web};
use loadline_trust::{EnvelopeError, SecretKey};
use serde_json::Value;

use super::{exit, issuers, office, show};
use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, PassphraseArgs};
use crate::ui::Ui;

/// The largest answer of a programme that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The longest ID token that is read, in bytes.
const MAX_TOKEN_BYTES: u64 = 32 << 10;

/// Where a programme is, and who asks.
#[derive(clap::Args)]
pub struct Ask {
    /// The programme: its file, or the URL where it is served
    #[arg(value_name = "PROGRAMME|URL")]
    pub programme: String,
    /// File of your key (`loadline key new`)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// The same about one application.
#[derive(clap::Args)]
pub struct About {
    #[command(flatten)]
    pub ask: Ask,
    /// The application, by the id that its applicant got
    #[arg(value_name = "ID")]
    pub application: String,
}

/// Apply for access
///
/// Prints the id of the application: keep it with the key, both are needed for everything after.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key new ada -o ada.age
  loadline access apply https://access.example.org --key ada.age --name 'Ada L.' --affiliation uni.example \\
      --level study --days 180 --purpose @purpose.txt --ethics 'IRB 2026-113'")]
pub struct Apply {
    #[command(flatten)]
    pub ask: Ask,
    /// Your name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The domain of your institution
    #[arg(long, value_name = "DOMAIN")]
    pub affiliation: String,
    /// The level of access, as the programme names it
    #[arg(long, value_name = "NAME")]
    pub level: String,
    /// For how many days
    #[arg(long, value_name = "N")]
    pub days: u64,
    /// What for; `@FILE` reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub purpose: String,
    /// The reference of an ethics board, or why there is none; `@FILE` reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub ethics: String,
    /// File of an ID token of an issuer that the programme trusts, made with the nonce of your key
    #[arg(long, value_name = "FILE")]
    pub id_token: Option<PathBuf>,
}

/// Print the nonce of a key: an ID token to apply with must carry it
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access nonce ada.pub.json")]
pub struct Nonce {
    /// Public half of your key
    #[arg(value_name = "FILE")]
    pub key: PathBuf,
}

/// Show how an application stands
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access status https://access.example.org 3f9a… --key ada.age")]
pub struct Status {
    #[command(flatten)]
    pub about: About,
}

/// Take an application back
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access withdraw https://access.example.org 3f9a… --key ada.age")]
pub struct Withdraw {
    #[command(flatten)]
    pub about: About,
}

/// Appeal against a rejection; other reviewers decide
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access appeal https://access.example.org 3f9a… --key ada.age --text @appeal.txt")]
pub struct Appeal {
    #[command(flatten)]
    pub about: About,
    /// Why; `@FILE` reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub text: String,
}

/// Get the key of an application that was drawn. It is shown once
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access claim https://access.example.org 3f9a… --key ada.age > gate.key")]
pub struct Claim {
    #[command(flatten)]
    pub about: About,
}

/// Report what the access was used for and what came of it
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access report https://access.example.org 3f9a… --key ada.age --text @report.txt")]
pub struct Report {
    #[command(flatten)]
    pub about: About,
    /// The report; `@FILE` reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub text: String,
}

/// Show what waits for you as a reviewer
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access queue https://access.example.org --key reviewer.age")]
pub struct Queue {
    #[command(flatten)]
    pub ask: Ask,
}

/// Review an application
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access review https://access.example.org 3f9a… --key reviewer.age --verdict accept --reason 'sound, and of use'")]
pub struct Review {
    #[command(flatten)]
    pub about: About,
    /// The verdict
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub verdict: Word,
    /// Why: the applicant gets it, without your name; `@FILE` reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub reason: String,
}

/// A verdict on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// Give access
    Accept,
    /// Give none
    Reject,
}

/// Step back from an application, since you are not impartial; another reviewer gets it
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access recuse https://access.example.org 3f9a… --key reviewer.age --reason 'we publish together'")]
pub struct Recuse {
    #[command(flatten)]
    pub about: About,
    /// Why
    #[arg(long, value_name = "TEXT|@FILE")]
    pub reason: String,
}

/// See [`Apply`].
pub fn apply(args: &Apply, ui: &Ui) -> Result {
    let place = Place::open(&args.ask.programme)?;
    let key = args.ask.key()?;
    let application = Application {
        affiliation: args.affiliation.clone(),
        at: roots::now()?,
        days: args.days,
        ethics: text(&args.ethics)?,
        key: key.public().clone(),
        level: args.level.clone(),
        name: args.name.clone(),
        programme: place.name.clone(),
        purpose: text(&args.purpose)?,
        id_token: args.id_token.as_deref().map(id_token).transpose()?,
    };
    let bytes = request::sign_application(&application, &key).map_err(|error| unsigned(&error))?;
    let answer = place.send(bytes, ui)?;
    ui.status("Applied", format_args!("to `{}`", one_line(&place.name, 100)));
    show::answer(&answer, args.ask.json, ui)
}

/// See [`Nonce`].
pub fn nonce(args: &Nonce, ui: &Ui) -> Result {
    let key = keyring::read_public(&args.key)?;
    let mut out = ui.out();
    out.line(key.id())?;
    out.finish()?;
    Ok(Exit::Ok)
}

/// See [`Status`].
pub fn status(args: &Status, ui: &Ui) -> Result {
    args.about.ask(Act::Status, None, ui)
}

/// See [`Withdraw`].
pub fn withdraw(args: &Withdraw, ui: &Ui) -> Result {
    args.about.ask(Act::Withdraw, Some("Withdrawn"), ui)
}

/// See [`Appeal`].
pub fn appeal(args: &Appeal, ui: &Ui) -> Result {
    args.about.ask(Act::Appeal(text(&args.text)?), Some("Appealed"), ui)
}

/// See [`Claim`].
pub fn claim(args: &Claim, ui: &Ui) -> Result {
    args.about.ask(Act::Claim, None, ui)
}

/// See [`Report`].
pub fn report(args: &Report, ui: &Ui) -> Result {
    args.about.ask(Act::Report(text(&args.text)?), Some("Reported"), ui)
}

/// See [`Queue`].
pub fn queue(args: &Queue, ui: &Ui) -> Result {
    args.ask.ask(Act::Queue, None, None, ui)
}

/// See [`Review`].
pub fn review(args: &Review, ui: &Ui) -> Result {
    let verdict = match args.verdict {
        Word::Accept => Verdict::Accept,
        Word::Reject => Verdict::Reject,
    };
    args.about.ask(Act::Review { verdict, reason: text(&args.reason)? }, Some("Reviewed"), ui)
}

/// See [`Recuse`].
pub fn recuse(args: &Recuse, ui: &Ui) -> Result {
    args.about.ask(Act::Recuse(text(&args.reason)?), Some("Recused"), ui)
}

impl About {
    fn ask(&self, act: Act, done: Option<&str>, ui: &Ui) -> Result {
        self.ask.ask(act, Some(self.application.clone()), done, ui)
    }
}

impl Ask {
    /// The key of whoever asks.
    pub fn key(&self) -> Result<SecretKey> {
        keyring::check_form(&self.key)?;
        Ok(keyring::read_hybrid(&self.key, &self.passphrase.get()?)?)
    }

    fn ask(&self, act: Act, application: Option<String>, done: Option<&str>, ui: &Ui) -> Result {
        let answer = self.answer(act, application.clone(), ui)?;
        if let Some(done) = done {
            let what = application.map_or(String::new(), |id| format!("application {}", one_line(&id, 40)));
            ui.status(done, what);
        }
        show::answer(&answer, self.json, ui)
    }

    /// Signs, hands in, and gives the answer.
    pub fn answer(&self, act: Act, application: Option<String>, ui: &Ui) -> Result<Value> {
        let place = Place::open(&self.programme)?;
        let request = Request { act, application, at: roots::now()?, programme: place.name.clone() };
        let bytes = request::sign_request(&request, &self.key()?).map_err(|error| unsigned(&error))?;
        place.send(bytes, ui)
    }
}

fn unsigned(error: &EnvelopeError) -> Failure {
    Failure::of(Exit::Usage, error).hint(error.hint())
}

/// A text of the command line, or of a file.
fn text(given: &str) -> Result<String> {
    let Some(path) = given.strip_prefix('@') else { return Ok(given.to_owned()) };
    let read = slurp(Path::new(path), MAX_TEXT_BYTES as u64 + 1);
    read.map_err(|failure| failure.hint("give the text itself, or `@` and the path of a text file"))
}

fn id_token(path: &Path) -> Result<String> {
    slurp(path, MAX_TOKEN_BYTES)
        .map_err(|failure| failure.hint("give the file of an ID token: three parts with dots between"))
}

/// A small text file, without the end of its last line.
fn slurp(path: &Path, most: u64) -> Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map_err(|error| Failure::because(Exit::Usage, format!("cannot read `{}`", path.display()), &error))?;
    Ok(text.trim_end().to_owned())
}

/// Whether it is where a programme is served, not its file.
pub fn is_url(given: &str) -> bool {
    given.starts_with("http://") || given.starts_with("https://")
}

/// Where a programme is.
pub struct Place {
    /// Its name, which everything signed carries.
    pub name: String,
    at: At,
}

enum At {
    Folder(Box<loadline_access::Programme>),
    Web(Box<Web>, tokio::runtime::Runtime),
}

impl Place {
    /// Finds a programme: its file, or where it is served.
    pub fn open(given: &str) -> Result<Self> {
        if !is_url(given) {
            let programme = office::read(Path::new(given))?;
            return Ok(Self { name: programme.name.clone(), at: At::Folder(Box::new(programme)) });
        }
        let web = Web::open(given, &Environment::process()).map_err(|error| {
            Failure::new(Exit::Usage, error.message.clone()).maybe_hint(error.hint.clone())
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
        let mut place = Self { name: String::new(), at: At::Web(Box::new(web), runtime) };
        let about = place.get("/programme")?;
        let name = about.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::new(
                Exit::ModelUnreachable,
                format!("`{}` serves no programme", one_line(given, 200)),
            )
            .hint("check the URL: it is the part before `/programme`"));
        }
        place.name = name.to_owned();
        Ok(place)
    }

    /// The programme's file, where it is one.
    pub fn programme(&self) -> Option<&loadline_access::Programme> {
        match &self.at {
            At::Folder(programme) => Some(programme),
            At::Web(..) => None,
        }
    }

    /// What is published at a path.
    pub fn get(&self, path: &str) -> Result<Value> {
        let At::Web(web, runtime) = &self.at else { return Ok(Value::Null) };
        answered(runtime.block_on(web.get(path, MAX_ANSWER_BYTES)), &web.url())
    }

    /// Hands a token in where the programme is served.
    pub fn redeem(&self, token: &Secret) -> Result<Value> {
        let At::Web(web, runtime) = &self.at else { return Ok(Value::Null) };
        // In the body: the one client of this program sends no headers of other people's making.
        let sent = web.post("/tokens", token.expose().as_bytes().to_vec(), MAX_ANSWER_BYTES);
        answered(runtime.block_on(sent), &web.url())
    }

    /// Hands a signed request in.
    fn send(&self, bytes: Vec<u8>, ui: &Ui) -> Result<Value> {
        match &self.at {
            At::Web(web, runtime) => {
                answered(runtime.block_on(web.post("/requests", bytes, MAX_ANSWER_BYTES)), &web.url())
            }
            At::Folder(programme) => {
                let mut desk = office::open(programme, ui)?;
                issuers::learn(&mut desk)?;
                let reply = desk.take(&bytes, roots::now()?).map_err(|refusal| office::refused(&refusal))?;
                serde_json::to_value(reply).map_err(|error| Failure::of(Exit::Unexpected, &error))
            }
        }
    }
}

/// What a programme answered, or why it did not do it.
pub fn answered(
    reply: std::result::Result<loadline_model::Reply, loadline_core::ModelError>,
    url: &str,
) -> Result<Value> {
    let reply = reply.map_err(|error| {
        Failure::new(Exit::ModelUnreachable, error.message.clone())
            .maybe_hint(error.hint.clone().or(Some("check the URL, and whether it is served".to_owned())))
    })?;
    let value = serde_json::from_slice::<Value>(&reply.body).ok();
    match (reply.status, value) {
        (200, Some(value)) => Ok(value),
        (status, value) => {
            let part = |name| value.as_ref().and_then(|value| value.get(name)).and_then(Value::as_str);
            let message = part("message").map_or_else(
                || format!("`{url}` answered with status {status}"),
                |message| one_line(message, 400),
            );
            let hint = part("hint").map(|hint| one_line(hint, 400)).filter(|hint| !hint.is_empty());
            let exit = part("code").map_or(Exit::ModelUnreachable, exit);
            Err(Failure::new(exit, message).maybe_hint(hint))
        }
    }
}
