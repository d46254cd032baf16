//! `loadline gate`: serve, check; its keys and its audit log have files of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_gate::run::{self, Notice, Outside, Running, StartError};
use loadline_model::Environment;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;
use crate::upstreams::{Dialer, Residents};
use crate::verbs::gate_log::{LogForm, RequestLog, WebPost, tell};
use crate::verbs::{gate_audit, gate_guard, gate_identity, gate_key, gate_ready, gate_receipt, gate_watch};

/// Serve models under licence: what a fresh licence allows, until it is stopped
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: GateVerb,
}

/// What to do with a gate.
#[derive(clap::Subcommand)]
pub enum GateVerb {
    Serve(Serve),
    Check(Check),
    Key(gate_key::Args),
    Audit(gate_audit::Args),
    Guard(gate_guard::Args),
    Identity(gate_identity::Args),
    Watch(gate_watch::Args),
    Receipt(gate_receipt::Args),
    Ready(gate_ready::Args),
}

/// Serve until SIGTERM or ctrl-c; SIGHUP reads the configuration again
///
/// Requests under way when it ends come to their end first.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate serve gate.toml
  loadline gate serve gate.toml --log json 2>> gate.log
  loadline gate check gate.toml && systemctl reload loadline-gate")]
pub struct Serve {
    /// The configuration
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Threads; as many as there are cores by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// How to speak: words about the gate; or a line of JSON for those, and one for each request
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub log: LogForm,
}

/// Check a configuration and every file that it names, and say all that is wrong
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate check gate.toml")]
pub struct Check {
    /// The configuration
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        GateVerb::Serve(args) => serve(args, ui),
        GateVerb::Key(args) => gate_key::run(args, ui),
        GateVerb::Audit(args) => gate_audit::run(args, ui),
        GateVerb::Guard(args) => gate_guard::run(args, ui),
        GateVerb::Identity(args) => gate_identity::run(args, ui),
        GateVerb::Watch(args) => gate_watch::run(args, ui),
        GateVerb::Receipt(args) => gate_receipt::run(args, ui),
        GateVerb::Ready(args) => gate_ready::run(args, ui),
        GateVerb::Check(args) => {
            let (config, loaded) =
                run::check(&args.config, &outside(ui, None)?).map_err(|error| wrong(&args.config, &error))?;
            let models = crate::ui::count(config.models.len() as u64, "model");
            gate_guard::list(&loaded.guards, ui)?;
            gate_watch::list(&loaded.watches, ui)?;
            ui.status("Checked", format_args!("`{}`: {models}", args.config.display()));
            Ok(Exit::Ok)
        }
    }
}

pub(super) fn outside(ui: &Ui, log: Option<&Arc<RequestLog>>) -> Result<Outside> {
    let (ui, notices, requests) = (ui.clone(), log.cloned(), log.cloned());
    let notice: Arc<dyn Fn(Notice) + Send + Sync> = Arc::new(move |notice| match &notices {
        Some(log) => log.notice(&notice),
        None => tell(&ui, notice),
    });
    let residents = Residents::default();
    Ok(Outside {
        environment: Arc::new(|name| std::env::var(name).ok()),
        random: Arc::new(|buffer| getrandom::fill(buffer).map_err(std::io::Error::other)),
        dial: Arc::new(Dialer::new(Environment::process(), Arc::clone(&notice))),
        open: Arc::new(move |config| residents.open(config)),
        post: Arc::new(WebPost::new().map_err(|error| Failure::io("cannot start", &error))?),
        log: requests.map(|log| Arc::new(move |report: &_| log.request(report)) as _),
        notice,
    })
}

fn serve(args: &Serve, ui: &Ui) -> Result {
    let (end, ending) = watch::channel(false);
    let (again, reload) = watch::channel(0);
    watch_signals(end, again).map_err(|error| Failure::io("cannot watch signals", &error))?;
    let failure = |error: std::io::Error| Failure::io("cannot serve", &error);
    let log = match args.log {
        LogForm::Text => None,
        LogForm::Json => Some(Arc::new(RequestLog::start().map_err(failure)?)),
    };
    let outside = outside(ui, log.as_ref())?;
    let running = Running::open(&args.config, outside).map_err(|error| wrong(&args.config, &error))?;
    let (public, admin) = running.addresses().map_err(failure)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(usize::from(threads));
    }
    let runtime = runtime.enable_all().build().map_err(failure)?;
    let scheme = if running.speaks_tls() { "https" } else { "http" };
    let say = |event: &str, verb: &str, text: String| match &log {
        Some(log) => log.event(event, &text),
        None => ui.status(verb, text),
    };
    say("listening", "Listening", format!("on {scheme}://{public}"));
    if let Some(admin) = admin {
        say("listening", "Listening", format!("on http://{admin} for the operator"));
    }
    // Without a service manager nobody is told; one that is gone is no reason not to serve.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    runtime.block_on(running.serve(ending, reload)).map_err(failure)?;
    drop(runtime);
    say("ended", "Ended", "every request came to its end".to_owned());
    Ok(Exit::Ok)
}

/// SIGHUP reads the configuration again; SIGTERM and ctrl-c end in good order, and a second one ends at once.
fn watch_signals(end: watch::Sender<bool>, again: watch::Sender<u64>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                again.send_modify(|times| *times += 1);
            } else if end.send_replace(true) {
                // Nothing durable is lost: what was under way is settled at the next start.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            } else {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
            }
        }
    })?;
    Ok(())
}

pub(super) fn wrong(path: &Path, error: &StartError) -> Failure {
    match error {
        StartError::Config(problems) => {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            documents::wrong_in(&path.display().to_string(), problems, "gate-config", &text)
        }
        StartError::Ledger(error) if error.is_tampered() => {
            Failure::of(Exit::EvidenceInvalid, error).hint(error.hint())
        }
        other => Failure::of(Exit::TaskInvalid, other).hint(other.hint()),
    }
}
