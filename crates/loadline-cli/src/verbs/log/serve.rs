//! `loadline log serve`: a log over HTTP, as C2SP tlog-tiles says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use loadline_tlog::disk::{DiskError, FolderSource};
use loadline_tlog::{Checkpoint, Note, Resource, TileSource as _};

use super::{Listen, Place};
use crate::authority::publish::disk_failure;
use crate::failure::Result;
use crate::server::{self, Answer, Asked, Service};
use crate::ui::Ui;

/// Serve a log over HTTP: its checkpoint, tiles and entries
///
/// Serves what the published checkpoint vouches for and nothing else; reads only, and may run beside the process that
/// writes the log. Any web server can serve the same folder.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline log serve --listen 127.0.0.1:8025
  loadline log serve --log mirror/log")]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub listen: Listen,
}

/// See [`Serve`].
pub fn run(args: &Serve, ui: &Ui) -> Result {
    let dir = args.place.folder();
    if !dir.join("head").is_file() && !dir.join("checkpoint").is_file() {
        return Err(disk_failure(&DiskError::Missing(dir)));
    }
    let what = format!("the log in `{}`", dir.display());
    let files = Files { source: FolderSource::new(&dir), dir, ui: ui.clone() };
    server::serve(args.listen.listen, Arc::new(files), &what, ui)
}

struct Files {
    dir: PathBuf,
    source: FolderSource,
    ui: Ui,
}

impl Files {
    /// `None` when it is not there, or not yet.
    fn find(&self, resource: Resource) -> std::result::Result<Option<Vec<u8>>, DiskError> {
        let Some(checkpoint) = there(self.source.read(Resource::Checkpoint))? else { return Ok(None) };
        if resource == Resource::Checkpoint {
            return Ok(Some(checkpoint));
        }
        let damaged = |what: &dyn std::fmt::Display| {
            let what = format!("the published checkpoint: {what}");
            DiskError::Damaged { dir: self.dir.clone(), what }
        };
        let note = Note::parse(&checkpoint).map_err(|error| damaged(&error))?;
        let published = Checkpoint::parse(note.text()).map_err(|error| damaged(&error))?;
        if resource.is_within(published.size()) { there(self.source.read(resource)) } else { Ok(None) }
    }
}

fn there<T>(read: std::result::Result<T, DiskError>) -> std::result::Result<Option<T>, DiskError> {
    match read {
        Err(DiskError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

impl Service for Files {
    fn longest_body(&self) -> usize {
        0
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            return Answer::not_allowed("GET, HEAD");
        }
        // Each file has exactly one path, and what is no such path never comes near the disk.
        let not_found = || Answer::words(404, "not found").with(CACHE_CONTROL, "no-cache");
        let Some(Ok(resource)) = asked.path.strip_prefix('/').map(Resource::parse) else {
            return not_found();
        };
        match self.find(resource) {
            Ok(Some(bytes)) => Answer::new(200, resource.content_type(), bytes)
                .with(CACHE_CONTROL, resource.cache_control())
                .with(ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            Ok(None) => not_found(),
            Err(error) => {
                self.ui.warning(format_args!("{}: {error}", resource.path()));
                Answer::words(500, "the log cannot be read")
            }
        }
    }
}
