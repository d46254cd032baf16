//! Making an order, bringing it, and saying what it came to.

use std::path::Path;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_gate::ledger::StopTarget;
use loadline_gate::stops::{Action, MAX_AGE_S, ORDER_FORMAT, ORDER_TYPE, StopOrder};
use loadline_policy::policy::Stage;
use loadline_trust::{Envelope, SecretKey};
use serde_json::json;

use super::{Stop, target};
use crate::authority::{folder, roots};
use crate::door::{Brought, Door, Followed, Stopped};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, PassphraseArgs};
use crate::ui::{Ui, count};

/// The longest reason, in characters.
const MOST_REASON_CHARS: usize = 400;

/// See [`Stop`].
pub fn stop(args: &Stop, ui: &Ui) -> Result {
    let (Some(target), Some(path), Some(gate)) = (&args.target, &args.key, &args.gate) else {
        return Err(Failure::new(Exit::Usage, "it is not said what to stop, where, and with which key")
            .hint("`loadline stop --help` shows how"));
    };
    let target = target::read(target)?;
    let door = Door::open(gate, args.patience)?;
    let key = key(path, &args.passphrase)?;
    let (gate, previous) = match &args.name {
        Some(name) => (name.clone(), None),
        None => match door.stopped()? {
            Some(stopped) => (stopped.gate, stopped.last),
            None => return Err(nameless(&door)),
        },
    };
    let order = make(&gate, Action::Stop, &target, previous, &args.reason)?;
    let envelope = sign(&order, &key)?;
    match door.bring(&envelope.to_bytes(), &target)? {
        Brought::Unreachable(why) => Err(kept(&envelope, &door, &why, &args.output)?),
        brought => tell(&order, &brought, args.json, ui),
    }
}

/// A key from its file.
pub fn key(path: &Path, passphrase: &PassphraseArgs) -> Result<SecretKey> {
    keyring::check_form(path)?;
    Ok(keyring::read_hybrid(path, &passphrase.get()?)?)
}

/// Makes an order. `previous` is the gate's last one: an order to start again must name it, and one to stop that does is
/// another than the one before, also within the same second.
///
/// # Errors
/// When the reason is too long.
pub fn make(
    gate: &str,
    action: Action,
    target: &StopTarget,
    previous: Option<Digest>,
    reason: &str,
) -> Result<StopOrder> {
    if reason.chars().count() > MOST_REASON_CHARS || reason.chars().any(char::is_control) {
        return Err(Failure::new(Exit::Usage, "the reason is too long, or more than a line")
            .hint("give one line of at most 400 characters"));
    }
    Ok(StopOrder {
        format: ORDER_FORMAT.to_owned(),
        gate: gate.to_owned(),
        action,
        target: target.clone(),
        previous,
        issued: roots::now()?,
        reason: reason.to_owned(),
    })
}

/// Signs an order.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(order: &StopOrder, key: &SecretKey) -> Result<Envelope> {
    Envelope::sign_json(ORDER_TYPE, order, &[key])
        .map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))
}

fn nameless(door: &Door) -> Failure {
    Failure::new(Exit::ModelUnreachable, format!("NOTHING IS STOPPED: no gate answers at `{}`", door.url())).hint(
        "give the gate's name with `--name`: then an order is written that can be brought later, or stop the gate's process",
    )
}

/// Keeps an order that nobody took, and says so.
fn kept(envelope: &Envelope, door: &Door, why: &str, path: &Path) -> Result<Failure> {
    folder::write(path, &envelope.to_bytes(), folder::PUBLIC)?;
    let message = format!("NOTHING IS STOPPED: no gate answers at `{}`", door.url());
    Ok(Failure::new(Exit::ModelUnreachable, message).cause(one_line(why, 300)).hint(format!(
        "the order is in `{}`: bring it within {} minutes with `loadline stop bring`, later make another; or stop the gate's process",
        path.display(),
        MAX_AGE_S / 60
    )))
}

/// Milliseconds, as people read them.
fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

/// Says what an order came to.
///
/// # Errors
/// When the gate followed it and what it names is not as it says.
pub fn tell(order: &StopOrder, brought: &Brought, json: bool, ui: &Ui) -> Result {
    let words = target::words(&order.target);
    let (stopped, gate) = match brought {
        Brought::Followed(followed) => (&followed.stopped, &followed.gate),
        Brought::AnswerLost(Stopped { stopped, gate, .. }) => (stopped, gate),
        Brought::Unreachable(why) => {
            return Err(Failure::new(Exit::ModelUnreachable, "no gate answers").cause(one_line(why, 300)));
        }
    };
    let gate = one_line(gate, 200);
    if stopped.contains(&order.target) != (order.action == Action::Stop) {
        return Err(Failure::new(
            Exit::Unexpected,
            format!("`{gate}` took the order and {words} is as before"),
        )
        .hint("look with `loadline stop show`, and stop the gate's process if it must not serve"));
    }
    let done = if order.action == Action::Stop { "Stopped" } else { "Lifted" };
    match brought {
        Brought::Followed(followed) => {
            let durable = ms(followed.kept_in_us);
            ui.status(done, format_args!("{words} at `{gate}`, on its disk in {durable}"));
            if order.action == Action::Stop {
                let requests = count(followed.cut, "request");
                ui.status(
                    "Cut",
                    format_args!("{requests} in {} ({} reset)", ms(followed.cut_in_us), followed.reset),
                );
            }
            notes(order, followed, ui);
        }
        _ => {
            ui.status(done, format_args!("{words} at `{gate}`"));
            ui.warning("the gate's answer was lost on the way: how many requests were cut is not known");
        }
    }
    say(order, brought, stopped, json, ui)?;
    match brought {
        // Whoever stops means something that is there: a slip in the name must not look like a stop.
        Brought::Followed(followed) if !followed.known && order.action == Action::Stop => Err(Failure::new(
            Exit::Usage,
            format!("`{gate}` knows no {words}: nothing that it serves is stopped by this"),
        )
        .hint("check the name with `loadline gate check`; the order stays, in case it comes")),
        _ => Ok(Exit::Ok),
    }
}

/// What somebody who stops should know besides.
fn notes(order: &StopOrder, followed: &Followed, ui: &Ui) {
    if order.action == Action::Start && !followed.stopped.is_empty() {
        let still: Vec<String> = followed.stopped.iter().map(target::words).collect();
        ui.warning(format_args!("stopped besides: {}", still.join(", ")));
    }
    for covered in followed.covers.iter().filter(|covered| covered.stage == Stage::WeightsReleased) {
        ui.warning(format_args!(
            "the weights of `{}` are public: this stops this gate only, and nobody can stop the model",
            one_line(&covered.name, 200)
        ));
    }
}

fn say(order: &StopOrder, brought: &Brought, stopped: &[StopTarget], json: bool, ui: &Ui) -> Result<()> {
    let digest = Digest::of_json(order).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let mut out = ui.out();
    if json {
        let mut said = json!({
            "order": digest, "gate": order.gate, "action": order.action, "target": order.target,
            "issued": order.issued, "stopped": stopped,
        });
        if let (Brought::Followed(followed), Some(said)) = (brought, said.as_object_mut()) {
            said.extend([
                ("known".to_owned(), json!(followed.known)),
                ("covers".to_owned(), json!(followed.covers)),
                ("cut".to_owned(), json!(followed.cut)),
                ("reset".to_owned(), json!(followed.reset)),
                ("kept_in_us".to_owned(), json!(followed.kept_in_us)),
                ("cut_in_us".to_owned(), json!(followed.cut_in_us)),
            ]);
        }
        out.json(&said)?;
    } else {
        out.line(digest)?;
    }
    out.finish()
}
