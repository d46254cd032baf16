//! `loadline models`: the catalogue.

use loadline_local::catalogue::{self, KnownModel};
use serde_json::json;

use crate::cache;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{self, Ui};

/// List the models that Loadline can get: name, size, licence, digest, and where each is
#[derive(clap::Args)]
pub struct Args {
    /// Print each model as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let mut out = ui.out();
    for model in catalogue::MODELS {
        let path = cache::model_path(model)?;
        let here = cache::is_here(model, &path);
        if args.json {
            out.json(&as_json(model, here.then_some(path.as_path())))?;
            continue;
        }
        let default = if model.name == catalogue::DEFAULT { "  (default)" } else { "" };
        let kind = if model.instruct { "answers" } else { "continues text" };
        let place = match here {
            true => cache::shown(&path),
            false => format!("not here; get it with `loadline pull {}`", model.name),
        };
        out.line(format_args!("{}{default}", out.styled(ui::STRONG, model.name)))?;
        out.line(format_args!("  {}, {}, {kind}", ui::bytes(model.bytes), model.license))?;
        out.line(format_args!("  sha256:{}", model.sha256))?;
        out.line(format_args!("  {place}"))?;
    }
    out.finish()?;
    if !args.json {
        ui.hint("any other GGUF file of the llama, qwen2, qwen3 or gemma3 family works as `gguf/PATH`");
    }
    Ok::<_, Failure>(Exit::Ok)
}

fn as_json(model: &KnownModel, path: Option<&std::path::Path>) -> serde_json::Value {
    json!({
        "name": model.name,
        "bytes": model.bytes,
        "license": model.license,
        "digest": format!("sha256:{}", model.sha256),
        "default": model.name == catalogue::DEFAULT,
        "hub": format!("{}/{}", model.hub.repository, model.hub.file),
        "path": path,
    })
}
