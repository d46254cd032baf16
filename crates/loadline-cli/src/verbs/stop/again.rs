//! Starting again: an order that several people sign, and bringing it.

use std::path::Path;

use loadline_core::untrusted::one_line;
use loadline_gate::stops::{Action, ORDER_TYPE, StopOrder};
use loadline_trust::Envelope;

use super::{Bring, Lift, Show, Sign, order, target};
use crate::authority::folder;
use crate::door::{Brought, Door, Stopped};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// See [`Show`].
pub fn show(args: &Show, ui: &Ui) -> Result {
    let stopped = reached(&Door::open(&args.gate.gate, args.gate.patience)?)?;
    ui.status(
        "Asked",
        format_args!(
            "`{}`: starting again takes {} of its stop keys",
            one_line(&stopped.gate, 200),
            stopped.start_needs
        ),
    );
    let mut out = ui.out();
    for target in &stopped.stopped {
        if args.json { out.json(target)? } else { out.line(target::words(target))? }
    }
    out.finish()?;
    if stopped.stopped.is_empty() {
        ui.hint("nothing is stopped");
    }
    Ok(Exit::Ok)
}

/// What is stopped there now, or that nobody answers.
pub(super) fn reached(door: &Door) -> Result<Stopped> {
    door.stopped()?.ok_or_else(|| {
        Failure::new(Exit::ModelUnreachable, format!("no gate answers at `{}`", door.url()))
            .hint("check the address, and that the gate runs")
    })
}

/// See [`Lift`].
pub fn lift(args: &Lift, ui: &Ui) -> Result {
    let target = target::read(&args.target)?;
    let door = Door::open(&args.gate.gate, args.gate.patience)?;
    let stopped = reached(&door)?;
    if !stopped.stopped.contains(&target) {
        let message = format!("{} is not stopped", target::words(&target));
        return Err(Failure::new(Exit::Usage, message).hint("`loadline stop show` lists what is"));
    }
    let key = order::key(&args.key, &args.passphrase)?;
    let order = order::make(&stopped.gate, Action::Start, &target, stopped.last, &args.reason)?;
    let envelope = order::sign(&order, &key)?;
    if stopped.start_needs == 1 {
        return bring_one(&door, &order, &envelope, args.json, ui);
    }
    folder::write(&args.output, &envelope.to_bytes(), folder::PUBLIC)?;
    missing(1, stopped.start_needs, &args.output, ui);
    let mut out = ui.out();
    out.line(args.output.display())?;
    out.finish()?;
    Ok(Exit::Ok)
}

fn missing(signed: usize, needed: u32, path: &Path, ui: &Ui) {
    ui.status_warn(
        "Proposed",
        format_args!("{signed} of {needed} signed; nothing has changed yet: `{}`", path.display()),
    );
    ui.hint("send it to other holders of stop keys: each runs `loadline stop sign FILE --key KEY`; then `loadline stop bring`");
}

fn bring_one(door: &Door, order: &StopOrder, envelope: &Envelope, json: bool, ui: &Ui) -> Result {
    match door.bring(&envelope.to_bytes(), &order.target)? {
        Brought::Unreachable(why) => {
            let message = match order.action {
                Action::Stop => format!("NOTHING IS STOPPED: no gate answers at `{}`", door.url()),
                Action::Start => format!("nothing has changed: no gate answers at `{}`", door.url()),
            };
            Err(Failure::new(Exit::ModelUnreachable, message)
                .cause(one_line(&why, 300))
                .hint("check the address, and that the gate runs; then bring it again"))
        }
        brought => order::tell(order, &brought, json, ui),
    }
}

/// Reads an order.
fn read(path: &Path) -> Result<(StopOrder, Envelope)> {
    let wrong = |error: loadline_trust::EnvelopeError| {
        Failure::because(Exit::EvidenceInvalid, format!("`{}` is no order to a gate", path.display()), &error)
            .hint(error.hint())
    };
    let envelope = Envelope::parse(&folder::read(path)?).map_err(wrong)?;
    let order = envelope.json::<StopOrder>(ORDER_TYPE).map_err(wrong)?;
    Ok((order, envelope))
}

fn describe(order: &StopOrder, ui: &Ui) {
    let verb = if order.action == Action::Stop { "stop" } else { "start again" };
    ui.status(
        "Read",
        format_args!(
            "an order of {} to {verb} {} at `{}`: {}",
            order.issued,
            target::words(&order.target),
            one_line(&order.gate, 200),
            one_line(&order.reason, 400)
        ),
    );
}

/// See [`Sign`].
pub fn sign(args: &Sign, ui: &Ui) -> Result {
    let (order, envelope) = read(&args.order)?;
    describe(&order, ui);
    let key = order::key(&args.key, &args.passphrase)?;
    let signed = envelope.cosign(&key).map_err(|error| {
        let message = format!("key `{}` cannot sign this", key.public().name());
        Failure::because(Exit::Usage, message, &error).hint("each holder signs once, with a key of their own")
    })?;
    let path = args.output.as_deref().unwrap_or(&args.order);
    folder::write(path, &signed.to_bytes(), folder::PUBLIC)?;
    ui.status(
        "Signed",
        format_args!(
            "as `{}`; {} signed it: `{}`",
            key.public().name(),
            signed.claimed().count(),
            path.display()
        ),
    );
    let mut out = ui.out();
    out.line(path.display())?;
    out.finish()?;
    Ok(Exit::Ok)
}

/// See [`Bring`].
pub fn bring(args: &Bring, ui: &Ui) -> Result {
    let mut joined: Option<(StopOrder, Envelope)> = None;
    for path in &args.orders {
        let (order, envelope) = read(path)?;
        joined = Some(match joined {
            None => (order, envelope),
            Some((first, signed)) => {
                let both = signed.join(&envelope).map_err(|error| {
                    let message =
                        format!("`{}` does not go with `{}`", path.display(), args.orders[0].display());
                    Failure::because(Exit::Usage, message, &error).hint(error.hint())
                })?;
                (first, both)
            }
        });
    }
    let Some((order, envelope)) = joined else {
        return Err(Failure::new(Exit::Usage, "no order is given"));
    };
    describe(&order, ui);
    let door = Door::open(&args.gate.gate, args.gate.patience)?;
    bring_one(&door, &order, &envelope, args.json, ui)
}
