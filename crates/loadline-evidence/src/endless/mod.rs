//! A log that never ends: a folder of segments, one Merkle tree over all rows. `docs/formats/audit.md` has the byte
//! format and the table of what is on disk after a crash at each step.
//!
//! [`EndlessLog`] writes one, [`read`] goes through it and checks it, [`prove`] shows that one row is in it. What the rows
//! mean is not known here.

mod read;
mod segment;
mod walk;

pub use read::{LogRead, LogRow, RowPath, continues, has_log, prove, prove_rows, read};

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use loadline_core::Digest;
use loadline_tlog::Tree;

use crate::appender::{Appender, MAX_QUEUED_LEN, Mark, Pace, Shared};
use crate::disk::{AppendFile, Disk, Lock, LockError};
use crate::error::RecordError;
use crate::files;
use crate::frame::{self, Kind, MAX_PAYLOAD_LEN};
use crate::scan::Tail;

use segment::{begin_segment, file_name};

/// The longest name of a log, in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// A size of a log, and the root over its first rows: what a signed checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// How many rows.
    pub rows: u64,
    /// The root over them.
    pub root: Digest,
}

impl From<Mark> for LogMark {
    fn from(mark: Mark) -> Self {
        Self { rows: mark.rows, root: Digest(mark.root) }
    }
}

/// What was found in a log that was opened to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The name of the log.
    pub name: String,
    /// All rows, from the first segment on.
    pub rows: u64,
    /// A torn tail that was cut. The caller writes it down.
    pub cut: Option<Cut>,
}

/// A torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

/// Adds rows to one log; the only writer it has. Nothing here waits but [`EndlessLog::flush`].
///
/// The first failed write or fsync stops it for ever: all later calls return the same error.
#[must_use = "dropping it closes the log"]
pub struct EndlessLog {
    appender: Appender,
    /// Bytes of the segment that rows go to.
    segment_len: AtomicU64,
    name: String,
    dir: PathBuf,
    /// Held until the writer is gone.
    _lock: Box<dyn Lock>,
}

/// Takes the lock of a folder, making the folder first. Whoever has it may begin or open the log there.
///
/// # Errors
/// When another process has it, or the disk refuses.
pub fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Lock>, RecordError> {
    if !disk.exists(dir).map_err(RecordError::io("look for", dir))? {
        disk.create_dir(dir).map_err(RecordError::io("make the folder", dir))?;
    }
    segment::sync_parent(disk, dir)?;
    let path = dir.join(files::LOCK);
    disk.lock(&path).map_err(|error| match error {
        LockError::Held(pid) => RecordError::Locked { dir: dir.to_path_buf(), pid },
        LockError::Io(source) => RecordError::io("lock", &path)(source),
    })
}

impl EndlessLog {
    /// Begins a log with its first row. After a crash at any step it is there with this row, or not at all.
    ///
    /// # Errors
    /// When the row is too large or the disk refuses. The folder must have no log.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: &str,
        first_row: &[u8],
        lock: Box<dyn Lock>,
    ) -> Result<Self, RecordError> {
        check_len(first_row.len())?;
        let mut tree = Tree::new();
        let (mut bytes, first) = (Vec::new(), tree.clone());
        let leaf = frame::push(&mut bytes, Kind::Row, first_row);
        let (file, len) = begin_segment(disk.as_ref(), dir, name, &first, &bytes)?;
        tree.push(leaf);
        Self::start(disk, dir, name, file, len, tree, 1, lock)
    }

    /// Opens a log to go on with. Of the segments it reads the last, and those before it that are needed to see that
    /// the log has what `known` says. Every row read is given to `visit`, which may find fault with it. A torn tail is
    /// cut, and what stays is made durable.
    ///
    /// # Errors
    /// When there is no log, what was durable is damaged or is not what `known` says, or the disk refuses. Nothing
    /// was changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        known: Option<LogMark>,
        mut visit: impl FnMut(LogRow<'_>) -> Result<(), String>,
        lock: Box<dyn Lock>,
    ) -> Result<(Opened, Self), RecordError> {
        let firsts = segment::list(disk.as_ref(), dir)?;
        let last = firsts.last().copied().ok_or_else(|| RecordError::Missing { dir: dir.to_path_buf() })?;
        let from = known.map_or(last, |known| known.rows.saturating_sub(1).min(last));
        let walked = walk::walk(disk.as_ref(), dir, &firsts, from, known, &mut |_, row| visit(row))?;
        let path = dir.join(file_name(last));
        let file = disk.append(&path).map_err(RecordError::io("open", &path))?;
        let cut = match walked.tail {
            Tail::Whole => None,
            Tail::Torn { bytes } => {
                let digest = segment::digest_from(disk.as_ref(), &path, walked.end)?;
                file.cut(walked.end).map_err(RecordError::io("cut the torn tail of", &path))?;
                Some(Cut { bytes, digest })
            }
        };
        // Rows of a process that was killed may never have been synced; from here on they count as durable.
        file.sync().map_err(RecordError::io("sync", &path))?;
        disk.sync_dir(dir).map_err(RecordError::io("sync", dir))?;
        let opened = Opened { name: walked.name, rows: walked.tree.size(), cut };
        let (tree, checkpointed, name) = (walked.tree, walked.checkpointed, opened.name.clone());
        let log = Self::start(disk, dir, &name, Arc::from(file), walked.end, tree, checkpointed, lock)?;
        Ok((opened, log))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of what a log is; called from the two functions above"
    )]
    fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: &str,
        file: Arc<dyn AppendFile>,
        segment_len: u64,
        tree: Tree,
        checkpointed: u64,
        lock: Box<dyn Lock>,
    ) -> Result<Self, RecordError> {
        let (folder, log_name) = (dir.to_path_buf(), name.to_owned());
        let next = move |tree: &Tree, first_row: &[u8]| {
            let path = folder.join(file_name(tree.size()));
            let (file, _) = begin_segment(disk.as_ref(), &folder, &log_name, tree, first_row)?;
            Ok((file, path))
        };
        let appender = Appender::start(file, dir, tree, checkpointed, Pace::Grouped(Box::new(next)))?;
        Ok(Self {
            appender,
            segment_len: AtomicU64::new(segment_len),
            name: name.to_owned(),
            dir: dir.to_path_buf(),
            _lock: lock,
        })
    }

    /// The name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Hands a row over, one line of JSON, after all rows handed over before it, and gives its number. `wanted` says
    /// that somebody is going to wait for it: it becomes durable as soon as it can. Never waits.
    ///
    /// # Errors
    /// When an earlier write failed ([`RecordError::Stopped`]), or the row is too large.
    pub fn append(&self, row: &[u8], wanted: bool) -> Result<u64, RecordError> {
        self.add(row, wanted, false)
    }

    /// As [`EndlessLog::append`], with a row that begins the next segment.
    ///
    /// # Errors
    /// As [`EndlessLog::append`].
    pub fn turn(&self, first_row: &[u8]) -> Result<u64, RecordError> {
        self.segment_len.store(0, Ordering::Relaxed);
        self.add(first_row, true, true)
    }

    fn add(&self, row: &[u8], wanted: bool, turns: bool) -> Result<u64, RecordError> {
        check_len(row.len())?;
        let mut bytes = Vec::with_capacity(frame::HEADER_LEN + row.len() + 1);
        let leaf = frame::push(&mut bytes, Kind::Row, row);
        self.segment_len.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.appender.shared().enqueue_now(&bytes, leaf, wanted, turns)
    }

    /// Bytes of rows in the segment that rows go to now.
    pub fn segment_len(&self) -> u64 {
        self.segment_len.load(Ordering::Relaxed)
    }

    /// Whether so much waits for the disk that no more should be handed over.
    pub fn is_behind(&self) -> bool {
        self.appender.shared().queued_len() > MAX_QUEUED_LEN
    }

    /// Waits, as a task, until the row of this number is durable.
    pub fn durable(&self, row: u64) -> Durably {
        Durably { shared: Arc::clone(self.appender.shared()), rows: row + 1 }
    }

    /// Waits until every row handed over so far is durable. Blocks: not for an async task's thread.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn flush(&self) -> Result<(), RecordError> {
        self.appender.shared().flush()
    }

    /// Whether rows can be added.
    ///
    /// # Errors
    /// The error that stopped the log.
    pub fn outcome(&self) -> Result<(), RecordError> {
        self.appender.shared().outcome()
    }

    /// The rows known to be durable, and the root over them.
    pub fn mark(&self) -> LogMark {
        self.appender.shared().synced().into()
    }

    /// Rows handed over, with those that were there before.
    pub fn rows(&self) -> u64 {
        self.appender.shared().appended()
    }

    /// Makes everything durable, ends the log with a checkpoint over all of it, and says what it then is.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn close(mut self) -> Result<LogMark, RecordError> {
        self.appender.finish()?;
        Ok(self.mark())
    }
}

fn check_len(len: usize) -> Result<(), RecordError> {
    if len > MAX_PAYLOAD_LEN {
        return Err(RecordError::TooLarge { bytes: len as u64, limit: MAX_PAYLOAD_LEN as u64 });
    }
    Ok(())
}

/// Ready when a row is durable, or can never be.
#[must_use = "nothing waits before this is polled"]
pub struct Durably {
    shared: Arc<Shared>,
    rows: u64,
}

impl Future for Durably {
    type Output = Result<(), RecordError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.poll_durable(self.rows, context.waker()).map_or(Poll::Pending, Poll::Ready)
    }
}
