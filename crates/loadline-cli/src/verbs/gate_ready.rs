//! `loadline gate ready`: ask a running gate whether it takes requests.

use std::time::Duration;

use loadline_core::untrusted::one_line;
use loadline_model::{Environment, Web};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// How long a gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// Ask a running gate whether it takes new requests: a health check without a shell
///
/// It does not when it is ending, when its audit log cannot be written, and when the authority's word or a stop
/// allows no model.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate ready http://127.0.0.1:9090")]
pub struct Args {
    /// The operator's door: `admin.listen` of the configuration, as a URL
    #[arg(value_name = "URL")]
    pub url: String,
}

/// See [`Args`].
///
/// # Errors
/// With exit code 50 when it cannot be reached, and 1 when it takes nothing new.
pub fn run(args: &Args, ui: &Ui) -> Result {
    let unreachable = |message: &str| {
        Failure::new(Exit::ModelUnreachable, format!("no answer from the gate: {}", one_line(message, 300)))
            .hint("give the address of the operator's door, such as `http://127.0.0.1:9090`")
    };
    let web = Web::open(&args.url, &Environment::process());
    let web = web.map_err(|error| unreachable(&error.message))?.within(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    let reply = runtime.block_on(web.get("/ready", MOST_ANSWER_BYTES));
    let reply = reply.map_err(|error| unreachable(&error.message))?;
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status == 200 && said["status"] == "ready" {
        let (epoch, open) = (&said["epoch"], &said["open"]);
        ui.status("Ready", format_args!("epoch {epoch}, {open} of {} models open", said["models"]));
        return Ok(Exit::Ok);
    }
    let word = |name: &str| one_line(said["error"][name].as_str().unwrap_or("it is no gate"), 300);
    let message = format!("not ready: {} (status {})", word("message"), reply.status);
    Err(Failure::new(Exit::Unexpected, message).hint(word("hint")))
}
