//! `loadline gate identity`: is this still the same model?

use std::path::PathBuf;
use std::sync::Arc;

use loadline_core::Model;
use loadline_core::model::Prompt;
use loadline_suites::Seed;

use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::identity::{self, Asked, Asking, ENROLMENT_FORMAT, Enrolment, REPORT_FORMAT, Report, Verdict};
use crate::keyring;
use crate::models::{Choice, Settings};
use crate::scores::{open_unit, stats_failure};
use crate::ui::Ui;

/// The readable-by-its-owner-only mode.
const PRIVATE: u32 = 0o600;
/// Requests under way at once.
const AT_ONCE: usize = 4;

/// Ask secret prompts again: is this still the same model?
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: IdentityVerb,
}

/// What to do about an identity.
#[derive(clap::Subcommand)]
pub enum IdentityVerb {
    Enroll(Enroll),
    Test(Test),
}

/// A model that is asked.
#[derive(clap::Args)]
pub struct Reach {
    /// The model: `openai/NAME`, `gguf/PATH`, a name from `loadline models`
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Where the endpoint is
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
}

/// Ask the model that is meant, and keep its answers to prompts that nobody knows
///
/// The file holds the prompts: whoever reads it can make another model pass. It is readable by you only.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate identity enroll gguf/our-model.gguf -o our-model.identity
  loadline gate identity enroll openai/our-model --base-url http://127.0.0.1:8000/v1 -o our-model.identity")]
pub struct Enroll {
    #[command(flatten)]
    pub reach: Reach,
    /// The file to make
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// How many prompts
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(5..=1000))]
    pub prompts: u16,
    /// Answers to each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(4..=100))]
    pub answers: u16,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_tokens: u32,
    /// How freely it answers; 0 asks for the likeliest answer
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature)]
    pub temperature: f64,
}

/// Ask the same prompts of the model that answers now, and compare: same, different or undetermined
///
/// What it says is inferred, never verified. It ends with 0 when it is the same, with 30 when it is different, with 21
/// when the answers do not decide it.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate identity test openai/our-model --base-url http://127.0.0.1:8080/v1 --enrolment our-model.identity")]
pub struct Test {
    #[command(flatten)]
    pub reach: Reach,
    /// What `enroll` made
    #[arg(long, value_name = "FILE")]
    pub enrolment: PathBuf,
    /// Answers to each prompt
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=100))]
    pub answers: u16,
    /// How often the same model may be called different
    #[arg(long, value_name = "P", default_value = "0.01", value_parser = open_unit)]
    pub alpha: f64,
    /// The difference that must be found: a model that answers this share of the prompts otherwise
    #[arg(long, value_name = "P", default_value = "0.2", value_parser = open_unit)]
    pub share: f64,
    /// Random exchanges that the p-value rests on
    #[arg(long, value_name = "N", default_value_t = 1999, value_parser = clap::value_parser!(u32).range(199..=100_000))]
    pub permutations: u32,
    /// Also write the report to this file
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

fn temperature(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=5.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 5".to_owned())
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        IdentityVerb::Enroll(args) => enroll(args, ui),
        IdentityVerb::Test(args) => test(args, ui),
    }
}

fn open(reach: &Reach) -> Result<Arc<dyn Model>> {
    let settings = Settings { base_url: reach.base_url.clone(), pairs: Vec::new() };
    Choice::parse(&reach.model)?.open(&settings)
}

fn ask(model: &Arc<dyn Model>, prompts: &[Prompt], how: Asking, ui: &Ui) -> Result<Vec<Vec<String>>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot make a runtime", &error))?;
    let said = |done: usize, all: usize| {
        // Ten lines at most: this may take a while with a model in this process.
        if ui.is_live() && done * 10 / all != (done - 1) * 10 / all {
            ui.status("Asked", format_args!("{done} of {all}"));
        }
    };
    runtime.block_on(identity::ask(model, prompts, how, said))
}

/// A number that nobody chose.
fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::io("no random bytes", &std::io::Error::other(error)))?;
    Ok(u64::from_le_bytes(bytes))
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn enroll(args: &Enroll, ui: &Ui) -> Result {
    if args.out.exists() {
        let message = format!("`{}` is there already", args.out.display());
        return Err(Failure::new(Exit::Usage, message).hint("give another name: it is never replaced"));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::io("no random bytes", &std::io::Error::other(error)))?;
    let prompts = identity::prompts(&Seed::from_bytes(seed), usize::from(args.prompts))?;
    let model = open(&args.reach)?;
    let how = Asking {
        answers: usize::from(args.answers),
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        seed: random()?,
        at_once: AT_ONCE,
    };
    let answers = ask(&model, &prompts, how, ui)?;
    let prompts = prompts.into_iter().zip(answers).map(|(prompt, answers)| Asked { prompt, answers });
    let enrolment = Enrolment {
        format: ENROLMENT_FORMAT.to_owned(),
        model: args.reach.model.clone(),
        identity: model.identity(),
        made: roots::now()?,
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        prompts: prompts.collect(),
    };
    keyring::create(&args.out, &json(&enrolment)?, PRIVATE)?;
    ui.status(
        "Enrolled",
        format_args!(
            "{}: {} prompts, {} answers each, in `{}`",
            args.reach.model,
            args.prompts,
            args.answers,
            args.out.display()
        ),
    );
    ui.hint("keep the file to yourself: who knows the prompts can answer them as this model did");
    Ok(Exit::Ok)
}

fn test(args: &Test, ui: &Ui) -> Result {
    let (enrolment, digest) = identity::read(&args.enrolment)?;
    let model = open(&args.reach)?;
    let prompts: Vec<_> = enrolment.prompts.iter().map(|asked| asked.prompt.clone()).collect();
    let how = Asking {
        answers: usize::from(args.answers),
        max_tokens: enrolment.max_tokens,
        temperature: enrolment.temperature,
        seed: random()?,
        at_once: AT_ONCE,
    };
    let answers = ask(&model, &prompts, how, ui)?;
    let seed = random()?;
    let settings = (args.alpha, args.share, args.permutations, seed);
    let (test, verdict, power) =
        identity::compare(&enrolment, &answers, settings).map_err(|error| stats_failure(&error))?;
    let report = Report {
        format: REPORT_FORMAT,
        verdict,
        basis: "inferred",
        enrolment: digest,
        enrolled: enrolment.model.clone(),
        model: args.reach.model.clone(),
        identity: model.identity(),
        tested: roots::now()?,
        test,
        alpha: args.alpha,
        share: args.share,
        power,
        seed,
    };
    if let Some(path) = &args.out {
        keyring::create(path, &json(&report)?, 0o644)?;
    }
    let mut out = ui.out();
    if args.json {
        out.json(&report)?;
    } else {
        let word = match verdict {
            Verdict::Same => "same",
            Verdict::Different => "different",
            Verdict::Undetermined => "undetermined",
        };
        out.line(format_args!("{word} (inferred)"))?;
        out.line(format_args!(
            "p = {:.4} ({} exchanges, {} prompts, {} answers); different from {} on downwards",
            test.p_value, test.permutations, test.prompts, test.answers, args.alpha
        ))?;
        out.line(format_args!(
            "a model that answers {:.0}% of the prompts otherwise would be found {} of the time",
            100.0 * args.share,
            report.power
        ))?;
    }
    out.finish()?;
    Ok(match verdict {
        Verdict::Same => Exit::Ok,
        Verdict::Different => Exit::EvidenceInvalid,
        Verdict::Undetermined => {
            ui.hint("enroll again with more prompts or answers");
            Exit::Undetermined
        }
    })
}
