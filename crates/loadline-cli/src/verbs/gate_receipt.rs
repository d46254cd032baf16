//! `loadline gate receipt`: check what a gate signed about a request.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_gate::audit::{self, MAX_RECEIPT_BYTES, Receipt, Shown};
use loadline_policy::Named as _;
use loadline_tlog::policy::MAX_POLICY_BYTES;
use loadline_tlog::{Policy, VerifierKey};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{self, Out, Ui};

/// Check a receipt: what a gate's audit log says of one request, signed
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: ReceiptVerb,
}

/// What to do with a receipt.
#[derive(clap::Subcommand)]
pub enum ReceiptVerb {
    Verify(Verify),
}

/// Check a receipt without a network: that the log has the request and its outcome, and that log and witnesses signed
///
/// A receipt comes from `GET /v1/receipts/INTENT` of the gate, with the key that asked. `loadline-intent` in the head of
/// an answer is the INTENT.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  curl -H \"authorization: Bearer $KEY\" http://127.0.0.1:8080/v1/receipts/17 > receipt.json
  loadline gate receipt verify receipt.json --vkey \"$(cat kept/signer.vkey)\"
  loadline gate receipt verify receipt.json --vkey \"$(cat kept/signer.vkey)\" --policy witnesses.policy --json")]
pub struct Verify {
    /// The receipt
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub whose: Whose,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Whose signatures count.
#[derive(clap::Args)]
pub struct Whose {
    /// The log's public key, as `signer.vkey` has it
    #[arg(long, value_name = "VKEY", value_parser = vkey)]
    pub vkey: Option<VerifierKey>,
    /// File of a policy (C2SP tlog-policy): which witnesses must have cosigned. It need not name the log when `--vkey` does
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

fn vkey(text: &str) -> std::result::Result<VerifierKey, String> {
    VerifierKey::parse(text.trim()).map_err(|error| error.to_string())
}

impl Whose {
    /// The policy's text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn policy_text(&self) -> Result<Option<Vec<u8>>> {
        self.policy.as_deref().map(|path| read(path, MAX_POLICY_BYTES as u64)).transpose()
    }

    fn policy(&self) -> Result<Policy> {
        let nobody = || {
            Failure::new(Exit::Usage, "nothing says whose signatures count").hint(
                "give the log's public key with `--vkey VKEY`; `signer.vkey` in the log's folder has it",
            )
        };
        let policy = match (self.policy_text()?, &self.vkey) {
            (None, None) => return Err(nobody()),
            (None, Some(key)) => return Ok(Policy::of_log(key.clone())),
            (Some(text), None) => Policy::parse(&text),
            (Some(text), Some(key)) => audit::policy(&text, key),
        };
        let shown = self.policy.as_deref().unwrap_or(Path::new("")).display().to_string();
        let policy = policy.map_err(|error| {
            Failure::because(Exit::TaskInvalid, format!("`{shown}` is no policy for logs"), &error)
                .hint("lines are `log VKEY`, `witness NAME VKEY [URL]`, `group NAME all|any|K NAME…`, `quorum NAME`")
        })?;
        if policy.logs().is_empty() { Err(nobody()) } else { Ok(policy) }
    }
}

/// Reads a file of a limited length.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let got = std::fs::File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    got.map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{shown}`"), &error).hint("check the path")
    })?;
    if bytes.len() as u64 > most {
        return Err(Failure::new(Exit::TaskInvalid, format!("`{shown}` is larger than {most} bytes"))
            .hint("give the file as it came"));
    }
    Ok(bytes)
}

/// See [`Args`].
///
/// # Errors
/// With exit code 40 when it is no receipt, and 30 when it does not hold.
pub fn run(args: &Args, ui: &Ui) -> Result {
    let ReceiptVerb::Verify(args) = &args.verb;
    let policy = args.whose.policy()?;
    let shown = args.file.display();
    let receipt = Receipt::parse(&read(&args.file, MAX_RECEIPT_BYTES)?).map_err(|why| {
        Failure::new(Exit::TaskInvalid, format!("`{shown}`: {why}"))
            .hint("a receipt is what `GET /v1/receipts/INTENT` answers with status 200")
    })?;
    let held = receipt.check(&policy).map_err(|why| {
        Failure::new(Exit::EvidenceInvalid, format!("`{shown}` does not hold: {}", one_line(&why, 300)))
            .hint("it was changed, or is of another gate: get it again, and the log's key from its operator")
    })?;
    let mut out = ui.out();
    if args.json {
        as_json(&receipt, &held, &mut out)?
    } else {
        in_words(&receipt, &held, &mut out)?
    }
    out.finish()?;
    ui.status("Verified", format_args!("`{shown}`"));
    if args.whose.policy.is_none() {
        ui.hint("`--policy` with witnesses shows that the gate's operator tells nobody another story");
    }
    Ok(Exit::Ok)
}

fn as_json(receipt: &Receipt, shown: &Shown<'_>, out: &mut Out) -> Result<()> {
    out.json(&json!({
        "log": shown.log,
        "size": shown.size,
        "witnesses": shown.witnesses.iter().map(|(name, time)| json!({"name": name, "time": time})).collect::<Vec<_>>(),
        "rows": receipt.rows.each_ref().map(|row| row.row),
        "intent": shown.intent,
        "outcome": shown.outcome,
    }))
}

fn in_words(receipt: &Receipt, shown: &Shown<'_>, out: &mut Out) -> Result<()> {
    let intent = &shown.intent;
    let [asked, ended] = receipt.rows.each_ref().map(|row| row.row);
    out.line(format_args!("log        {}, {}", one_line(&shown.log, 200), ui::count(shown.size, "row")))?;
    out.line(format_args!("rows       {asked} and {ended}"))?;
    out.line(format_args!("request    {}", one_line(&intent.request, 40)))?;
    out.line(format_args!("at         {}", moment(intent.at_ms)))?;
    out.line(format_args!("asked      {} of {}", one_line(&intent.route, 60), one_line(&intent.model, 200)))?;
    if let (Some(license), Some(stage)) = (intent.license, intent.stage) {
        out.line(format_args!(
            "licence    {license}, stage {}, epoch {}",
            stage.name(),
            intent.standing_epoch
        ))?;
    }
    match &shown.outcome {
        None => out.line("outcome    nobody knows: charged at what was reserved")?,
        Some(outcome) => {
            let (status, ending) = (outcome.status, outcome.ending.name());
            out.line(format_args!("outcome    {ending}, status {status}, {}", moment(outcome.at_ms)))?;
            let (input, output) = (ui::thousands(outcome.input), ui::thousands(outcome.output));
            out.line(format_args!("tokens     {input} + {output} ({})", outcome.basis.name()))?;
        }
    }
    let names: Vec<_> = shown.witnesses.iter().map(|(name, _)| one_line(name, 60)).collect();
    out.line(format_args!(
        "cosigned   {}",
        if names.is_empty() { "by nobody".to_owned() } else { names.join(", ") }
    ))
}

/// A moment of the log, in whole seconds.
fn moment(at_ms: u64) -> String {
    Instant::from_seconds(at_ms / 1000).map_or_else(|_| format!("{at_ms} ms"), |moment| moment.to_string())
}
