//! Where a watched log is: behind a URL, or in a folder.

use std::path::PathBuf;

use loadline_core::{ModelError, untrusted::one_line};
use loadline_model::{Environment, Web};
use loadline_tlog::disk::{DiskError, FolderSource};
use loadline_tlog::note::MAX_NOTE_BYTES;
use loadline_tlog::tile::{MAX_BUNDLE_BYTES, TILE_WIDTH};
use loadline_tlog::{Note, Resource, TileSource, tiles};
use tokio::runtime::Runtime;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// A log to be read.
pub enum Watched {
    /// Behind a URL.
    Url(Box<Remote>),
    /// In a folder of this machine.
    Folder(FolderSource),
}

/// A log behind a URL.
pub struct Remote {
    web: Web,
    runtime: Runtime,
}

/// Why a file of a log cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No answer.
    #[error("{}", .0.message)]
    Web(Box<ModelError>),
    /// Another answer than a file.
    #[error("{url} answered with status {status}: {says}")]
    Status {
        /// The whole URL.
        url: String,
        /// The status.
        status: u16,
        /// The first line of the body, made harmless.
        says: String,
    },
    /// A full file that is too short for the part that is asked for.
    #[error("{0} is too short")]
    Short(String),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl PlaceError {
    /// What the process ends with when it is asked once.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Web(_) | Self::Status { .. } | Self::Short(_) => Exit::ModelUnreachable,
            Self::Disk(_) => Exit::Unexpected,
        }
    }
}

impl Watched {
    /// Prepares to read a log behind a URL. Makes no call.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn url(url: &str) -> Result<Self> {
        let web = Web::open(url, &Environment::process()).map_err(|error| {
            Failure::new(Exit::Usage, error.message.clone()).maybe_hint(error.hint.clone())
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
        Ok(Self::Url(Box::new(Remote { web, runtime })))
    }

    /// A log in a folder.
    pub fn folder(dir: PathBuf) -> Self {
        Self::Folder(FolderSource::new(dir))
    }

    /// The checkpoint that is shown now, in form; nothing says yet that it is to be believed.
    ///
    /// # Errors
    /// When there is none.
    pub fn checkpoint(&self) -> Result<Note> {
        let bytes = self.read(Resource::Checkpoint).map_err(|error| {
            Failure::because(error.exit(), "the log shows no checkpoint", &error)
                .hint("check the URL or folder, and whether the log has published anything")
        })?;
        Note::parse(&bytes).map_err(|error| {
            Failure::because(
                Exit::ModelUnreachable,
                "what stands in the place of the checkpoint is none",
                &error,
            )
            .hint("check the URL: it is the part before `/checkpoint`")
        })
    }
}

impl Remote {
    fn get(&self, resource: Resource) -> std::result::Result<Vec<u8>, PlaceError> {
        let most = match resource {
            Resource::Checkpoint => MAX_NOTE_BYTES,
            Resource::Tile(_) => TILE_WIDTH as usize * 32,
            Resource::Entries(_) => MAX_BUNDLE_BYTES,
        };
        let path = format!("/{}", resource.path());
        let reply = self.runtime.block_on(self.web.get(&path, most));
        let reply = reply.map_err(|error| PlaceError::Web(Box::new(error)))?;
        if reply.status == 200 {
            return Ok(reply.body.to_vec());
        }
        let says = String::from_utf8_lossy(&reply.body[..reply.body.len().min(200)]).into_owned();
        let says = one_line(says.lines().next().unwrap_or_default(), 100);
        Err(PlaceError::Status { url: format!("{}{path}", self.web.url()), status: reply.status, says })
    }
}

impl TileSource for Watched {
    type Error = PlaceError;

    fn read(&self, resource: Resource) -> std::result::Result<Vec<u8>, PlaceError> {
        let remote = match self {
            Self::Folder(source) => return Ok(source.read(resource)?),
            Self::Url(remote) => remote,
        };
        match remote.get(resource) {
            // A log may drop partial files once there is a full one.
            Err(PlaceError::Status { status: 404 | 410, .. }) if resource.full() != resource => {
                let full = remote.get(resource.full())?;
                tiles::cut(resource, &full).ok_or_else(|| PlaceError::Short(resource.full().path()))
            }
            other => other,
        }
    }
}
