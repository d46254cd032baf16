//! `loadline stop drill`: tries a stop out on a running gate, and signs what came of it.

mod streams;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_exam::DrillReport;
use loadline_exam::drill::DRILL_FORMAT;
use loadline_gate::ledger::StopTarget;
use loadline_gate::stops::{Action, StopOrder};
use loadline_gate::upstream::Address;
use loadline_trust::{Envelope, SecretKey};
use serde_json::json;

use self::streams::{Measured, Plan};
use super::again::reached;
use super::{order, target};
use crate::authority::office::{Office, OfficeArgs};
use crate::authority::{drills, folder};
use crate::door::{self, Brought, Door, Followed, Stopped};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// Try a stop out: open streams through a gate, stop the model, measure when the last byte comes
///
/// THE MODEL IS STOPPED FOR EVERYBODY at that gate. The streams are read by one thread in the order in which their bytes
/// arrive, beside the gate's answer, so what is counted as after it came after it. Run it on the gate's machine. The
/// report is signed with the stop key; the authority logs it (`--log`), and a policy can ask for it. Ends with 0 when
/// the stop held, and with 20 when bytes came after the answer, when the last byte came too late, or when fewer
/// streams were under way than were asked for.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stop drill small --key ann.age --gate http://127.0.0.1:8021 --serve http://127.0.0.1:8020 --lift-key ben.age
  loadline stop drill small --key ann.age --gate http://127.0.0.1:8021 --serve http://127.0.0.1:8020 --leave-stopped
  loadline stop drill --log drill.json --authority authority")]
pub struct Drill {
    /// The model, by its public name at the gate
    #[arg(value_name = "MODEL", required_unless_present = "log")]
    pub model: Option<String>,

    /// Only log this report of a drill, in the authority's folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "key", "serve"])]
    pub log: Option<PathBuf>,

    /// File of your stop key
    #[arg(long, value_name = "FILE", required_unless_present = "log")]
    pub key: Option<PathBuf>,

    /// The operator's door of the gate: http:// on this machine
    #[arg(long, value_name = "URL", env = "LOADLINE_GATE", required_unless_present = "log")]
    pub gate: Option<String>,

    /// Where callers connect: http:// on this machine
    #[arg(long, value_name = "URL", required_unless_present = "log")]
    pub serve: Option<String>,

    /// The environment variable with a caller's key
    #[arg(long, value_name = "NAME", default_value = "LOADLINE_CALLER_KEY")]
    pub caller_key_env: String,

    /// How many streams
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub streams: u32,

    /// What the model is asked: it must answer longer than the streams take to open
    #[arg(long, value_name = "TEXT", default_value = "Count from one to ten thousand in words.")]
    pub prompt: String,

    /// The most tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub max_tokens: u32,

    /// How long the streams may take to open
    #[arg(long, value_name = "TIME", value_parser = super::super::standing::time, default_value = "60s")]
    pub open_within: Duration,

    /// The longest time from the order to the last byte, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub last_byte_ms: u64,

    /// After it, ask how many requests run at the upstream: `URL#METRIC`, where a Prometheus gauge says so
    #[arg(long, value_name = "URL#METRIC")]
    pub upstream_metric: Option<String>,

    /// File of another stop key, to start the model again (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "leave_stopped")]
    pub lift_key: Vec<PathBuf>,

    /// Leave the model stopped
    #[arg(long)]
    pub leave_stopped: bool,

    /// Where the signed report is written
    #[arg(long, short, value_name = "FILE", default_value = "drill.json")]
    pub output: PathBuf,

    /// Log the report at once, in the authority's folder (`--authority`)
    #[arg(long)]
    pub log_now: bool,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

fn usage(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message).hint(hint)
}

/// See [`Drill`].
pub fn drill(args: &Drill, ui: &Ui) -> Result {
    if let Some(path) = &args.log {
        log(&folder::read(path)?, args, ui)?;
        return Ok(Exit::Ok);
    }
    let (Some(model), Some(gate), Some(serve), Some(key)) = (&args.model, &args.gate, &args.serve, &args.key)
    else {
        return Err(usage(
            "a drill needs MODEL, --key, --gate and --serve",
            "see `loadline stop drill --help`",
        ));
    };
    let door = Door::open(gate, Duration::ZERO)?;
    let stopped = reached(&door)?;
    let keys = Keys::read(args, key)?;
    let target = StopTarget::Model(model.clone());
    ready(args, &keys, &stopped, &target)?;
    let order = order::make(&stopped.gate, Action::Stop, &target, stopped.last, "a drill")?;
    let plan = Plan {
        serve: local(serve)?,
        gate: local(gate)?,
        caller_key: door::key(
            &args.caller_key_env,
            "put a caller's key of the gate into it; `loadline gate key new` makes one",
        )?,
        body: body(model, args),
        streams: args.streams as usize,
        open_within: args.open_within,
        order: order::sign(&order, &keys.own)?.to_bytes(),
    };
    ui.status("Opening", format_args!("{} streams of {}", args.streams, target::words(&target)));
    let measured = door.run(streams::measure(&plan))?;
    let followed = match door.answered(measured.status, &measured.answer) {
        Err(refused) if measured.status != 200 => return Err(refused),
        followed => followed,
    };
    // From here on the model is stopped: whatever fails, it is tried to start it again, and what was measured is kept.
    let alive = args.upstream_metric.as_deref().map(alive).transpose();
    let lifted = lift(&door, &target, &keys, args, ui);
    let kept = followed.and_then(|followed| {
        let known = (alive.as_ref().ok().copied().flatten(), lifted.as_ref().is_ok_and(|lifted| *lifted));
        finish(&report(args, &order, &measured, &followed, known)?, &keys.own, args, ui)
    });
    ended(kept, alive.err(), lifted, &target, ui)
}

/// How the drill ended. That the model stays stopped is said before anything else that failed.
fn ended(kept: Result, alive: Option<Failure>, lifted: Result<bool>, target: &StopTarget, ui: &Ui) -> Result {
    let Err(why) = lifted else {
        return match (kept, alive) {
            (Ok(_), Some(failed)) => Err(failed),
            (kept, _) => kept,
        };
    };
    for failed in kept.err().into_iter().chain(alive) {
        ui.warning(format_args!("besides: {}", failed.message));
    }
    let message =
        format!("{} IS STOPPED for everybody: it could not be started again", target::words(target));
    let mut failure = Failure::new(why.exit, message).cause(why.message);
    failure.causes.extend(why.causes);
    Err(failure.hint("start it again with `loadline stop lift`, signed by enough holders of stop keys"))
}

/// The key that stops, and those that start again with it.
struct Keys {
    own: SecretKey,
    others: Vec<SecretKey>,
}

impl Keys {
    fn read(args: &Drill, own: &std::path::Path) -> Result<Self> {
        let passphrase = &args.office.passphrase;
        let others = args.lift_key.iter().map(|path| order::key(path, passphrase));
        Ok(Self { own: order::key(own, passphrase)?, others: others.collect::<Result<_>>()? })
    }
}

/// Nothing is begun that cannot be ended as was asked for.
fn ready(args: &Drill, keys: &Keys, stopped: &Stopped, target: &StopTarget) -> Result<()> {
    if stopped.stopped.iter().any(|known| known == target || *known == StopTarget::All) {
        return Err(usage(
            format!("{} is stopped already", target::words(target)),
            "there is nothing to try out: start it again first",
        ));
    }
    let have = u32::try_from(1 + keys.others.len()).unwrap_or(u32::MAX);
    if !args.leave_stopped && have < stopped.start_needs {
        let message = format!("starting again takes {} stop keys, and {have} are given", stopped.start_needs);
        return Err(usage(message, "give others with `--lift-key FILE`, or say `--leave-stopped`"));
    }
    let files = args.key.iter().chain(&args.lift_key);
    for (file, key) in files.zip(std::iter::once(&keys.own).chain(&keys.others)) {
        if stopped.stop_keys.as_ref().is_some_and(|known| !known.contains(&key.public().id())) {
            let (file, name) = (file.display(), one_line(key.public().name(), 80));
            let message = format!("`{file}` is the key `{name}`, which is no stop key of the gate's root");
            return Err(usage(message, "nothing was stopped: give keys that hold the role `stop` there"));
        }
    }
    let mut ids = BTreeSet::from([keys.own.public().id()]);
    if let Some(twice) = keys.others.iter().find(|key| !ids.insert(key.public().id())) {
        let message = format!("the key `{}` is given twice", one_line(twice.public().name(), 80));
        return Err(usage(message, "each holder of a stop key signs once: give another with `--lift-key`"));
    }
    // What cannot be read now cannot be read after the stop either.
    args.upstream_metric.as_deref().map(alive).transpose()?;
    Ok(())
}

fn local(url: &str) -> Result<Address> {
    let hint = "the times are measured at the socket: give `http://…` of this machine";
    let address = Address::parse(url).map_err(|message| usage(message, hint))?;
    if address.tls { Err(usage("a drill does not speak TLS", hint)) } else { Ok(address) }
}

fn body(model: &str, args: &Drill) -> String {
    json!({
        "model": model, "stream": true, "max_tokens": args.max_tokens,
        "messages": [{ "role": "user", "content": args.prompt }],
    })
    .to_string()
}

/// How many requests run at the upstream, by its own gauge.
fn alive(text: &str) -> Result<u64> {
    let Some((url, metric)) = text.split_once('#').filter(|(_, metric)| !metric.is_empty()) else {
        return Err(usage("`--upstream-metric` names no metric", "write `http://HOST:PORT/metrics#NAME`"));
    };
    let door = Door::open(url, Duration::ZERO)?;
    let text = door.text()?;
    let of_metric = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values =
        text.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        let message = format!("the upstream has no metric `{}`", one_line(metric, 100));
        return Err(usage(message, "look at what its `/metrics` shows"));
    }
    let sum: f64 = values.iter().sum();
    if !sum.is_finite() {
        let message = format!("the upstream's metric `{}` is no number: {sum}", one_line(metric, 100));
        return Err(Failure::new(Exit::ModelUnreachable, message).hint("name a gauge of running requests"));
    }
    format!("{:.0}", sum.max(0.0)).parse().map_err(|error| Failure::of(Exit::ModelUnreachable, &error))
}

/// Starts the model again, unless it is to stay stopped.
fn lift(door: &Door, target: &StopTarget, keys: &Keys, args: &Drill, ui: &Ui) -> Result<bool> {
    if args.leave_stopped {
        ui.warning(format_args!(
            "{} stays stopped: `loadline stop lift` starts it again",
            target::words(target)
        ));
        return Ok(false);
    }
    let stopped = reached(door)?;
    let order = order::make(&stopped.gate, Action::Start, target, stopped.last, "after a drill")?;
    let mut envelope = order::sign(&order, &keys.own)?;
    for key in &keys.others {
        envelope = envelope
            .cosign(key)
            .map_err(|error| Failure::of(Exit::Usage, &error).hint("give each key once"))?;
    }
    match door.bring(&envelope.to_bytes(), target)? {
        Brought::Followed(followed) if !followed.stopped.contains(target) => Ok(true),
        _ => Err(Failure::new(Exit::Unexpected, format!("{} is still stopped", target::words(target)))
            .hint("start it again with `loadline stop lift`")),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn report(
    args: &Drill,
    order: &StopOrder,
    measured: &Measured,
    followed: &Followed,
    (upstream_alive, lifted): (Option<u64>, bool),
) -> Result<DrillReport> {
    let [covered] = &followed.covers[..] else {
        return Err(Failure::new(Exit::ModelUnreachable, "the gate does not say which model it stopped")
            .hint("check the model's name; `loadline stop lift` starts it again"));
    };
    let since = |at: Instant| ms(at.saturating_duration_since(measured.ordered));
    let mut last: Vec<u64> = measured.last_bytes.iter().map(|at| since(*at)).collect();
    last.sort_unstable();
    Ok(DrillReport {
        answer_ms: since(measured.answered),
        asked: args.streams.into(),
        at: order.issued,
        bytes_after: measured.bytes_after,
        cut: followed.cut,
        format: DRILL_FORMAT.to_owned(),
        gate: order.gate.clone(),
        kept_ms: followed.kept_in_us.div_ceil(1_000),
        last_byte_ms: last.last().copied().unwrap_or_default(),
        last_byte_median_ms: last.get(last.len().saturating_sub(1) / 2).copied().unwrap_or_default(),
        license: covered.license,
        lifted,
        model: covered.model,
        name: covered.name.clone(),
        order: Digest::of_json(order).map_err(|error| Failure::of(Exit::Unexpected, &error))?,
        program: concat!("loadline ", env!("CARGO_PKG_VERSION")).to_owned(),
        stage: covered.stage,
        streams: measured.last_bytes.len() as u64,
        target: format!("model:{}", covered.name),
        upstream_alive,
    })
}

/// What is wrong with how it went, if anything.
fn wrong(report: &DrillReport, most_ms: u64) -> Option<String> {
    if report.bytes_after > 0 {
        return Some(format!("{} bytes came after the gate had answered", report.bytes_after));
    }
    if report.last_byte_ms > most_ms {
        return Some(format!(
            "the last byte came {} ms after the order, more than {most_ms} ms",
            report.last_byte_ms
        ));
    }
    if report.streams < report.asked {
        return Some(format!(
            "only {} of {} streams were under way at the order",
            report.streams, report.asked
        ));
    }
    let alive = report.upstream_alive.filter(|alive| *alive > 0)?;
    Some(format!("{alive} requests still ran at the upstream"))
}

fn finish(report: &DrillReport, key: &SecretKey, args: &Drill, ui: &Ui) -> Result {
    let signed =
        report.sign(key).map_err(|error| Failure::of(Exit::Unexpected, &error).hint(error.hint()))?;
    let bytes = signed.to_bytes();
    folder::write(&args.output, &bytes, folder::PUBLIC)?;
    ui.status(
        "Stopped",
        format_args!(
            "{} streams; last byte {} ms after the order (median {} ms), answer {} ms, {} bytes after it",
            report.streams,
            report.last_byte_ms,
            report.last_byte_median_ms,
            report.answer_ms,
            report.bytes_after
        ),
    );
    ui.status("Signed", format_args!("the report: `{}`", args.output.display()));
    if args.log_now {
        log(&bytes, args, ui)?;
    }
    let wrong = wrong(report, args.last_byte_ms);
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "report": report, "digest": signed.payload_digest(), "wrong": wrong, "file": args.output,
        }))?;
    } else {
        out.line(format_args!(
            "n {}  last byte: max {} ms, median {} ms (each stream's last read, one thread, in order of arrival)",
            report.streams, report.last_byte_ms, report.last_byte_median_ms
        ))?;
    }
    out.finish()?;
    match wrong {
        None => Ok(Exit::Ok),
        Some(what) => {
            ui.warning(format_args!("the drill failed: {what}"));
            Ok(Exit::Denied)
        }
    }
}

/// Logs a report in the authority's folder.
fn log(bytes: &[u8], args: &Drill, ui: &Ui) -> Result<()> {
    let mut office = Office::open(&args.office)?;
    let index = drills::log(&mut office, bytes)?;
    let envelope = Envelope::parse(bytes).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
    ui.status("Logged", format_args!("drill {}, entry {index} of the log", envelope.payload_digest()));
    office.publish(ui)
}
