//! Adding rows to a record. The threads that write and sync them are those of [`crate::appender`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loadline_core::RunId;
use loadline_core::digest::Digest;
use loadline_core::record::Row;
use loadline_tlog::Tree;

use crate::appender::{Appender, Pace};
use crate::disk::{AppendFile, Disk, Lock};
use crate::error::RecordError;
use crate::files;
use crate::finite;
use crate::frame::{self, Kind, MAX_PAYLOAD_LEN};
use crate::seal::{SEAL_FORMAT, Seal};

/// Adds rows to one record; the only writer it has. Can be shared between threads and async tasks: `append` copies
/// the row to a buffer and returns, and blocks only while 16 rows or more than 4 MiB
/// wait to be written.
///
/// The first failed write or fsync stops the writer for ever: that call's successors all return the same error.
/// Dropping it makes what was appended durable, but cannot say if that fails: [`RecordWriter::close`] can.
#[must_use = "dropping the writer closes the record"]
pub struct RecordWriter {
    appender: Appender,
    samples: AtomicU64,
    run: RunId,
    spec: Digest,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// Held until the writer is gone.
    _lock: Box<dyn Lock>,
}

/// Where a writer begins.
pub(crate) struct Start {
    pub file: Box<dyn AppendFile>,
    pub tree: Tree,
    pub samples: u64,
    pub checkpointed: u64,
    pub run: RunId,
    pub spec: Digest,
    pub dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub lock: Box<dyn Lock>,
}

impl RecordWriter {
    /// Starts the two threads. What the log holds must be durable already.
    pub(crate) fn start(start: Start) -> Result<Self, RecordError> {
        let path = start.dir.join(files::LOG);
        let file = Arc::from(start.file);
        Ok(Self {
            appender: Appender::start(file, &path, start.tree, start.checkpointed, Pace::Pipelined)?,
            samples: AtomicU64::new(start.samples),
            run: start.run,
            spec: start.spec,
            dir: start.dir,
            disk: start.disk,
            _lock: start.lock,
        })
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Hands a row over to be written, after all rows handed over before it. Where the system does not get to writing
    /// for long, an async task's thread that waits here waits as long: answers that come meanwhile may be given up as late.
    ///
    /// # Errors
    /// When an earlier write failed ([`RecordError::Stopped`]), or the row holds a number that is not finite or is
    /// too large; the row is then not in the record, and after the last two the writer goes on.
    pub fn append(&self, row: &Row) -> Result<(), RecordError> {
        finite::check(row)?;
        let mut bytes = Vec::with_capacity(2048);
        frame::begin(&mut bytes);
        serde_json::to_writer(&mut bytes, row)?;
        let payload_len = bytes.len() - frame::HEADER_LEN;
        if payload_len > MAX_PAYLOAD_LEN {
            return Err(RecordError::TooLarge { bytes: payload_len as u64, limit: MAX_PAYLOAD_LEN as u64 });
        }
        let leaf = frame::finish(&mut bytes, 0, Kind::Row);
        self.appender.shared().enqueue(&bytes, leaf)?;
        self.samples.fetch_add(u64::from(matches!(row, Row::Sample(_))), Ordering::Relaxed);
        Ok(())
    }

    /// How many rows are known to be durable: they survive a power cut.
    pub fn durable(&self) -> u64 {
        self.appender.shared().durable()
    }

    /// How many rows were handed over, with those that were there before.
    pub fn rows(&self) -> u64 {
        self.appender.shared().appended()
    }

    /// Waits until every row handed over so far is durable. Blocks: not for an async task's thread.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn flush(&self) -> Result<(), RecordError> {
        self.appender.shared().flush()
    }

    /// Makes everything durable and gives the record free for another writer. Gives the number of rows.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn close(mut self) -> Result<u64, RecordError> {
        self.appender.finish()?;
        Ok(self.durable())
    }

    /// Makes everything durable and seals the record: its number of rows and root are fixed, and nothing can be
    /// added any more.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier. The record is then not sealed.
    pub fn seal(mut self) -> Result<Seal, RecordError> {
        self.appender.finish()?;
        let mark = self.appender.shared().synced();
        let seal = Seal {
            format: SEAL_FORMAT,
            run: self.run,
            spec: self.spec,
            rows: mark.rows,
            samples: self.samples.load(Ordering::Relaxed),
            root: Digest(mark.root),
        };
        seal.write(self.disk.as_ref(), &self.dir)?;
        Ok(seal)
    }
}
