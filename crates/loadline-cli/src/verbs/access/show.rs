//! How answers of a programme look.

use loadline_core::untrusted::{one_line, sanitize};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Result;
use crate::ui::{Out, Ui};

/// Shows an answer: as JSON, or for people.
pub fn answer(answer: &Value, json: bool, ui: &Ui) -> Result {
    let mut out = ui.out();
    if json {
        out.json(answer)?;
    } else if let Some(status) = answer.get("status") {
        fields(&mut out, status, &["reasons"])?;
        for reason in status.get("reasons").and_then(Value::as_array).into_iter().flatten() {
            out.line(format_args!("reason        {}", word(reason)))?;
        }
    } else if let Some(queue) = answer.get("queue") {
        let waiting = queue.get("waiting").and_then(Value::as_array);
        for (at, waiting) in waiting.into_iter().flatten().enumerate() {
            if at > 0 {
                out.line("")?;
            }
            fields(&mut out, waiting, &[])?;
        }
        if waiting.is_none_or(Vec::is_empty) {
            ui.say("nothing waits for you");
        }
    } else if let Some(key) = answer.get("key").filter(|key| key.is_object()) {
        let part = |name| one_line(key.get(name).and_then(Value::as_str).unwrap_or_default(), 100);
        out.line(part("secret"))?;
        ui.status("Granted", format_args!("key {} until {}", part("key"), part("expires")));
        ui.hint("the key above is shown once; it works when the gate has read its keys again");
    }
    out.finish()?;
    Ok(Exit::Ok)
}

/// The fields of an object, one a line, but for those that are nothing and those that are left out.
fn fields(out: &mut Out, object: &Value, without: &[&str]) -> Result<()> {
    for (name, value) in object.as_object().into_iter().flatten() {
        if value.is_null() || without.contains(&name.as_str()) {
            continue;
        }
        out.line(format_args!("{:<13} {}", one_line(name, 40), word(value)))?;
    }
    Ok(())
}

/// A value in words; the lines of a text after the first are moved in.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => sanitize(text).replace('\n', "\n              "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => one_line(&other.to_string(), 400),
    }
}
