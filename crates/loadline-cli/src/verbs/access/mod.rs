//! `loadline access`: the access programme.

mod ask;
mod errands;
mod issuers;
mod office;
mod operator;
mod serve;
mod show;
mod token;

use crate::exit::Exit;
use crate::failure::Result;
use crate::ui::Ui;

/// Give people access to a model before everybody has it
///
/// Applications, reviews, a lottery, keys of the gate, figures. A programme is one file of rules and one log. People sign what
/// they ask for with keys of their own, and hand it in at the programme's folder or over HTTP: the same verbs do both.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: AccessVerb,
}

/// What to do about access.
#[derive(clap::Subcommand)]
pub enum AccessVerb {
    Init(office::Init),
    Nonce(ask::Nonce),
    Apply(Box<ask::Apply>),
    Status(ask::Status),
    Withdraw(ask::Withdraw),
    Appeal(ask::Appeal),
    Claim(ask::Claim),
    Token(token::Get),
    Redeem(token::Redeem),
    Report(ask::Report),
    Queue(ask::Queue),
    Review(ask::Review),
    Recuse(ask::Recuse),
    Draw(errands::Draw),
    Grant(errands::Grant),
    Revoke(errands::Revoke),
    Erase(errands::Erase),
    Usage(errands::Usage),
    Figures(office::Figures),
    Lottery(office::LotteryArgs),
    Serve(serve::Serve),
}

/// See [`Args`].
///
/// # Errors
/// When the programme refuses, or its files cannot be read or written.
pub fn run(args: Args, ui: &Ui) -> Result {
    match args.verb {
        AccessVerb::Init(args) => office::init(&args, ui),
        AccessVerb::Apply(args) => ask::apply(&args, ui),
        AccessVerb::Status(args) => ask::status(&args, ui),
        AccessVerb::Withdraw(args) => ask::withdraw(&args, ui),
        AccessVerb::Appeal(args) => ask::appeal(&args, ui),
        AccessVerb::Nonce(args) => ask::nonce(&args, ui),
        AccessVerb::Token(args) => token::get(&args, ui),
        AccessVerb::Redeem(args) => token::redeem(&args, ui),
        AccessVerb::Claim(args) => ask::claim(&args, ui),
        AccessVerb::Report(args) => ask::report(&args, ui),
        AccessVerb::Queue(args) => ask::queue(&args, ui),
        AccessVerb::Review(args) => ask::review(&args, ui),
        AccessVerb::Recuse(args) => ask::recuse(&args, ui),
        AccessVerb::Draw(args) => errands::draw(&args, ui),
        AccessVerb::Grant(args) => errands::grant(&args, ui),
        AccessVerb::Revoke(args) => errands::revoke(&args, ui),
        AccessVerb::Erase(args) => errands::erase(&args, ui),
        AccessVerb::Usage(args) => errands::usage(&args, ui),
        AccessVerb::Figures(args) => office::figures(&args, ui),
        AccessVerb::Lottery(args) => office::lottery(&args, ui),
        AccessVerb::Serve(args) => serve::run(&args, ui),
    }
}

/// What a command ends with that was refused with this code.
fn exit(code: &str) -> Exit {
    match code {
        "round_closed" | "identity_refused" | "already_applied" | "wrong_moment" | "spent" | "full" => {
            Exit::Denied
        }
        "damaged" => Exit::EvidenceInvalid,
        "unavailable" => Exit::Unexpected,
        _ => Exit::Usage,
    }
}
