//! `loadline gate watch`: what a running gate finds when it watches, and clearing its alarms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::untrusted::one_line;
use loadline_gate::run;
use loadline_gate::watch::{Watch, door, kind};
use loadline_policy::Named as _;
use serde_json::{Value, json};

use super::gate;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// See what a running gate finds when it watches, and clear its alarms
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: WatchVerb,
}

/// What to do with watches.
#[derive(clap::Subcommand)]
pub enum WatchVerb {
    Show(Show),
    Clear(Clear),
}

/// Show each figure with its interval, and each alarm
///
/// Asks the operator's door that the configuration names, with the key from the variable that it names.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate watch show gate.toml
  loadline gate watch show gate.toml --json")]
pub struct Show {
    /// The gate's configuration
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// End an alarm, and what it suspended; the watch begins anew
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate watch clear gate.toml --watch sums --model our-model")]
pub struct Clear {
    /// The gate's configuration
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// The watch, by its name
    #[arg(long, value_name = "NAME")]
    pub watch: String,
    /// The model, by its public name
    #[arg(long, value_name = "NAME")]
    pub model: String,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        WatchVerb::Show(args) => show(args, ui),
        WatchVerb::Clear(args) => clear(args, ui),
    }
}

/// Says of each watch below what there is an alarm, and where that figure is from.
///
/// # Errors
/// When standard output cannot be written.
pub fn list(watches: &[Arc<Watch>], ui: &Ui) -> Result<()> {
    if watches.is_empty() {
        return Ok(());
    }
    let mut table = Table::default();
    let head = ["watch", "models", "scored by", "least", "on alarm", "figure"];
    table.row(head.map(|title| Cell::left(title).styled(ui::STRONG)));
    for watch in watches {
        table.row([
            Cell::left(&watch.name),
            Cell::left(watch.models.join(", ")),
            Cell::left(kind(&watch.what)),
            Cell::right(watch.figure.least),
            Cell::left(watch.on_alarm.name()),
            Cell::left(&watch.figure.source),
        ]);
    }
    let mut out = ui.out();
    table.write(&mut out, 0)?;
    out.finish()
}

/// Asks the operator's door of the gate that this configuration is of.
fn ask(path: &Path, what: &str, body: Option<Value>) -> Result<Value> {
    let config = run::read(path).map_err(|error| gate::wrong(path, &error))?;
    let Some(admin) = config.admin else {
        let message = format!("`{}` has no operator's door", path.display());
        return Err(Failure::new(Exit::TaskInvalid, message).hint("add `[admin]` and start the gate again"));
    };
    let key = crate::door::key(&admin.key_env, "set it to the key that the gate was started with")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot make a runtime", &error))?;
    let answer = runtime.block_on(door::ask(admin.listen, key.expose(), what, body)).map_err(|why| {
        Failure::new(Exit::ModelUnreachable, format!("the gate's door at {} says nothing", admin.listen))
            .cause(why)
            .hint("is the gate running? `loadline gate serve` starts it")
    })?;
    match answer {
        (200, answer) => Ok(answer),
        (status, answer) => {
            let text = |key: &str| answer[key].as_str().map(|text| one_line(text, 200));
            let said = text("error").unwrap_or_else(|| format!("it answered {status}"));
            Err(Failure::new(Exit::Usage, said).maybe_hint(text("hint")))
        }
    }
}

/// An estimate in JSON, as it is shown.
fn estimate(row: &Value) -> String {
    let estimate = &row["estimate"];
    let percent = |value: &Value| value.as_f64().map(|number| format!("{:.1}", 100.0 * number));
    let parts = [&estimate["point"], &estimate["interval"][0], &estimate["interval"][1]].map(percent);
    match parts {
        [Some(point), Some(lo), Some(hi)] => format!("{point}% [{lo}, {hi}]"),
        _ => "no score yet".to_owned(),
    }
}

fn show(args: &Show, ui: &Ui) -> Result {
    let answer = ask(&args.config, "/watch", None)?;
    let mut out = ui.out();
    if args.json {
        out.json(&answer)?;
        out.finish()?;
        return Ok(Exit::Ok);
    }
    let text_to = |value: &Value, most| value.as_str().map(|text| one_line(text, most)).unwrap_or_default();
    let text = |value: &Value| text_to(value, 60);
    let mut table = Table::default();
    let head = ["watch", "model", "scored by", "right", "n", "method", "least", "state", "figure"];
    table.row(head.map(|title| Cell::left(title).styled(ui::STRONG)));
    for row in answer["watched"].as_array().into_iter().flatten() {
        let state = match (row["suspended"].as_bool(), row["raised_at"].as_u64()) {
            (Some(true), _) => Cell::left("drifted, suspended").styled(ui::BAD),
            _ if row["rests"] == true => Cell::left("rests").styled(ui::WARN),
            (_, Some(at)) => Cell::left(format!("drifted, after {at}")).styled(ui::WARN),
            _ => Cell::left("no alarm"),
        };
        table.row([
            Cell::left(text(&row["watch"])),
            Cell::left(text(&row["model"])),
            Cell::left(text(&row["scored_by"])),
            Cell::left(estimate(row)),
            Cell::right(row["estimate"]["n"].as_u64().unwrap_or(0)),
            Cell::left(text(&row["estimate"]["method"])),
            Cell::right(row["least"].as_f64().unwrap_or_default()),
            state,
            // With a digest in it.
            Cell::left(text_to(&row["source"], 400)),
        ]);
    }
    table.write(&mut out, 0)?;
    out.finish()?;
    for gone in answer["suspended_by_watches_gone"].as_array().into_iter().flatten() {
        let (watch, model) = (text(&gone["watch"]), text(&gone["model"]));
        ui.warning(format_args!(
            "`{model}` is suspended by watch `{watch}`, which is not there any more: `loadline gate watch clear` ends it"
        ));
    }
    if let Some(dropped) = answer["dropped"].as_u64().filter(|dropped| *dropped > 0) {
        ui.warning(format_args!("{dropped} answers were to be scored and were not: too many waited"));
    }
    Ok(Exit::Ok)
}

fn clear(args: &Clear, ui: &Ui) -> Result {
    ask(&args.config, "/watch/clear", Some(json!({ "watch": args.watch, "model": args.model })))?;
    ui.status("Cleared", format_args!("watch `{}` of `{}`: it begins anew", args.watch, args.model));
    Ok(Exit::Ok)
}
