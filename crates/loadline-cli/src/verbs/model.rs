//! `loadline model`: register a model for its exam.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_core::untrusted::one_line;
use loadline_exam::Manifest;
use loadline_local::{Engine, LocalOptions};
use loadline_policy::{Ledger, compute};

use crate::authority::office::{Office, OfficeArgs};
use crate::authority::registry::{self, Candidate, Reached};
use crate::authority::{declared, weights};
use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::models::Choice;
use crate::ui::{self, Ui};

/// Register models for their exams
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: ModelVerb,
}

/// What to do with a model.
#[derive(clap::Subcommand)]
pub enum ModelVerb {
    Register(Register),
}

/// Register a model: bind its weights and its compute declaration, before the questions can be known
///
/// Every file of the weights is hashed and listed in a manifest (as OpenSSF model signing does); the digest of the
/// manifest is the model from here on. A remote model is registered as what it says of itself: `--remote`.
///
/// The registration takes the newest commitment that is free (`loadline exam commit`), and the questions of the exam
/// follow from both: nobody can choose them, and nobody can know them before.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline model register qwen2.5-coder-0.5b-instruct
  loadline model register models/mine.gguf --compute compute.toml
  loadline model register weights/ --served-as openai/mine --base-url http://localhost:8000/v1
  loadline model register openai/gpt-5-mini --remote --compute compute.toml")]
pub struct Register {
    /// File or folder of the weights, a model of `loadline models`, or a remote model (`openai/NAME`)
    #[arg(value_name = "MODEL|PATH")]
    pub model: String,

    /// Compute declaration, in TOML; without it, every law counts as one that concerns the model
    #[arg(long, value_name = "FILE")]
    pub compute: Option<PathBuf>,

    /// The model is not here: register what its endpoint says of itself
    #[arg(long)]
    pub remote: bool,

    /// The weights are served by this model (`openai/NAME`): that the two are the same is then only claimed
    #[arg(long, value_name = "MODEL")]
    pub served_as: Option<String>,

    /// Address of the endpoint
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,

    /// What it is called (default: the file's or the model's name)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Log index of the commitment (default: the newest that is free)
    #[arg(long, value_name = "INDEX")]
    pub commitment: Option<u64>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let ModelVerb::Register(args) = &args.verb;
    let declared = args.compute.as_deref().map(declaration).transpose()?;
    let candidate = candidate(args, declared, ui)?;
    let unfit = unfit(args)?;
    if let Some(why) = &unfit {
        ui.warning(format_args!("no exam can ask this model in this process: {why}"));
    }
    let mut office = Office::open(&args.office)?;
    let registered = registry::register(&mut office, &candidate, args.commitment)?;
    ui.status(
        "Registered",
        format_args!(
            "{} as entry {} of the log, in `{}`",
            one_line(&registered.name, 80),
            registered.registration,
            office.folder.model(registered.model).display()
        ),
    );
    office.publish(ui)?;
    let mut out = ui.out();
    if args.json {
        out.json(&registered)?;
    } else {
        out.line(registered.model)?;
    }
    out.finish()?;
    ui.hint(match unfit {
        None => "begin the exam with `loadline exam start`",
        Some(_) => {
            "if an endpoint serves it, commit again (`loadline exam commit POLICY`) and register it with `--served-as \
             MODEL`; otherwise register a GGUF file of it that this process can run"
        }
    });
    Ok(Exit::Ok)
}

/// Why these weights cannot be asked in this process, where nobody else is said to serve them.
fn unfit(args: &Register) -> Result<Option<String>> {
    let path = Path::new(&args.model);
    let path = match (&args.served_as, path.exists()) {
        (Some(_), _) => return Ok(None),
        (None, true) => path.to_owned(),
        (None, false) => match Choice::parse(&args.model)?.weights() {
            Some(file) => file.to_owned(),
            None => return Ok(None),
        },
    };
    if path.is_dir() {
        let shown = path.display();
        return Ok(Some(format!("`{shown}` is a folder, and what runs in this process is one GGUF file")));
    }
    Ok(Engine::check(&path, &LocalOptions::default()).err().map(|error| match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }))
}

/// Reads a compute declaration.
///
/// # Errors
/// When it is none.
pub fn declaration(path: &Path) -> Result<Ledger> {
    let shown = path.display().to_string();
    compute::parse(&documents::read(path)?).map_err(|problems| documents::wrong(&shown, &problems, "compute"))
}

fn candidate(args: &Register, declared: Option<Ledger>, ui: &Ui) -> Result<Candidate> {
    let path = Path::new(&args.model);
    let mut reached = Reached {
        reference: Some(args.model.clone()),
        file: None,
        base_url: args.base_url.clone(),
        model_args: Vec::new(),
    };
    if path.exists() {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => path
                .canonicalize()
                .ok()
                .as_deref()
                .unwrap_or(path)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        let manifest = hash(path, &name, ui)?;
        reached.reference = match &args.served_as {
            Some(served) => Some(served_as(served)?),
            None => path.is_file().then(|| format!("gguf/{}", args.model)),
        };
        let identity = if args.served_as.is_some() { Basis::SelfReported } else { Basis::Verified };
        return Ok(Candidate { manifest, identity, compute: declared, reached });
    }
    let choice = Choice::parse(&args.model)?;
    of_choice(&choice, declared, reached, args.remote, ui)
}

/// What serves the weights: anything but a simulation, whose licence could not say that it is one.
fn served_as(served: &str) -> Result<String> {
    if !Choice::parse(served)?.is_simulated() {
        return Ok(served.to_owned());
    }
    let message = format!("`{}` is a simulated subject: it serves no weights", one_line(served, 80));
    Err(Failure::new(Exit::Usage, message)
        .hint(format!("register it itself: `loadline model register {}`", one_line(served, 80))))
}

/// A model that is named, not a path.
///
/// # Errors
/// When its file cannot be read, or it is remote and was not said to be.
pub fn of_choice(
    choice: &Choice,
    declared: Option<Ledger>,
    reached: Reached,
    remote: bool,
    ui: &Ui,
) -> Result<Candidate> {
    if let Some(file) = choice.weights() {
        let name = choice.known().map_or_else(|| choice.reference.to_string(), |known| known.name.to_owned());
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        let manifest = hash(file, &name, ui)?;
        let compute = match (declared, choice.known()) {
            (None, Some(known)) => declared::of(known.name)?,
            (declared, _) => declared,
        };
        return Ok(Candidate { manifest, identity: Basis::Verified, compute, reached });
    }
    if choice.is_simulated() {
        let manifest = registry::of_remote(&choice.reference, None)?;
        let compute = declared.map_or_else(declared::simulated, Ok)?;
        return Ok(Candidate { manifest, identity: Basis::SelfReported, compute: Some(compute), reached });
    }
    if !remote {
        let message = format!("{} is not here: nothing can tell which weights answer", choice.reference);
        return Err(Failure::new(Exit::Usage, message)
            .hint("register what it says of itself with `--remote`; the licence says so, and a policy may refuse it"));
    }
    let manifest = registry::of_remote(&choice.reference, reached.base_url.clone())?;
    Ok(Candidate { manifest, identity: Basis::SelfReported, compute: declared, reached })
}

/// Hashes weights and says how fast.
fn hash(path: &Path, name: &str, ui: &Ui) -> Result<Manifest> {
    let (began, files) = (Instant::now(), weights::list(path)?);
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let done = AtomicU64::new(0);
    let digests: Vec<Digest> = weights::hash(&files, &|bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    })?;
    let elapsed = began.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a speed, for people")]
    let speed = total as f64 / elapsed.as_secs_f64().max(1e-9);
    ui.status(
        "Hashed",
        format_args!(
            "{} in {} in {} ({}/s)",
            ui::bytes(total),
            ui::count(files.len() as u64, "file"),
            ui::duration(elapsed),
            ui::bytes(speed as u64)
        ),
    );
    registry::manifest(name, &files, digests)
}
