//! Adding rows to a record: callers fill a shared buffer, one thread writes it, another makes it durable.
//!
//! ```text
//! append ─► buffer ─► writer thread: one write() for all that waits ─► sync thread: fsync ─► durable
//! ```
//!
//! The writer never waits for an fsync, so a row is out of this process's memory at once and survives its death;
//! the fsyncs follow as fast as the disk makes them, each for all that was written meanwhile (group commit).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use loadline_core::RunId;
use loadline_core::digest::Digest;
use loadline_core::record::Row;
use loadline_tlog::{Hash, Tree};

use crate::disk::{AppendFile, Disk, Lock};
use crate::error::RecordError;
use crate::files::{self, write_all};
use crate::finite;
use crate::frame::{self, Checkpoint, Kind, MAX_PAYLOAD_LEN};
use crate::seal::{SEAL_FORMAT, Seal};

/// Bytes that may wait to be written before `append` waits too.
const MAX_QUEUED_LEN: usize = 4 << 20;
/// A buffer that grew beyond this by one large row is given back.
const KEPT_BUFFER_LEN: usize = 256 << 10;

/// Adds rows to one record; the only writer it has. Can be shared between threads and async tasks: `append` copies
/// the row to a buffer and returns, and blocks only while more than 4 MiB wait for a stalled disk.
///
/// The first failed write or fsync stops the writer for ever: that call's successors all return the same error.
/// Dropping it makes what was appended durable, but cannot say if that fails: [`RecordWriter::close`] can.
#[must_use = "dropping the writer closes the record"]
pub struct RecordWriter {
    shared: Arc<Shared>,
    threads: Option<Threads>,
    run: RunId,
    spec: Digest,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// Held until the writer is gone.
    _lock: Box<dyn Lock>,
}

struct Threads {
    writer: JoinHandle<()>,
    syncer: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Rows wait to be written, or the writer is to end.
    to_write: Condvar,
    /// There is room for rows again.
    room: Condvar,
    /// Rows wait to be synced, or the syncer is to end.
    to_sync: Condvar,
    /// More rows are durable.
    synced: Condvar,
    durable: AtomicU64,
    file: Box<dyn AppendFile>,
    path: PathBuf,
}

#[derive(Default)]
struct State {
    /// Frames to be written, and their rows' leaf hashes.
    queue: Vec<u8>,
    leaves: Vec<Hash>,
    /// Rows handed over, written or not.
    appended: u64,
    samples: u64,
    written: Mark,
    synced: Mark,
    /// Rows counted by the last checkpoint in the file.
    checkpointed: u64,
    writer_waits: bool,
    appenders_wait: usize,
    stop_writer: bool,
    stop_syncer: bool,
    failed: Option<Arc<RecordError>>,
}

/// A place in the log, with the root over all rows before it.
#[derive(Clone, Copy, Default)]
struct Mark {
    rows: u64,
    root: Hash,
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
        let mark = Mark { rows: start.tree.size(), root: start.tree.root() };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                appended: mark.rows,
                samples: start.samples,
                written: mark,
                synced: mark,
                checkpointed: start.checkpointed,
                ..State::default()
            }),
            to_write: Condvar::new(),
            room: Condvar::new(),
            to_sync: Condvar::new(),
            synced: Condvar::new(),
            durable: AtomicU64::new(mark.rows),
            file: start.file,
            path: start.dir.join(files::LOG),
        });
        let (for_writer, for_syncer, tree) = (Arc::clone(&shared), Arc::clone(&shared), start.tree);
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            thread.map_err(RecordError::io("start a thread for", &start.dir))
        };
        let writer = spawn("record-write", Box::new(move || write_loop(&for_writer, tree)))?;
        let syncer = spawn("record-sync", Box::new(move || sync_loop(&for_syncer)));
        let syncer = syncer.inspect_err(|_| {
            shared.lock().stop_writer = true;
            shared.to_write.notify_one();
        })?;
        Ok(Self {
            shared,
            threads: Some(Threads { writer, syncer }),
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

    /// Hands a row over to be written, after all rows handed over before it.
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
        self.shared.enqueue(&bytes, leaf, matches!(row, Row::Sample(_)))
    }

    /// How many rows are known to be durable: they survive a power cut.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// How many rows were handed over, with those that were there before.
    pub fn rows(&self) -> u64 {
        self.shared.lock().appended
    }

    /// Waits until every row handed over so far is durable. Blocks: not for an async task's thread.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn flush(&self) -> Result<(), RecordError> {
        let shared = &self.shared;
        let mut state = shared.lock();
        let target = state.appended;
        while state.failed.is_none() && state.synced.rows < target {
            state = wait(&shared.synced, state);
        }
        state.outcome()
    }

    /// Makes everything durable and gives the record free for another writer. Gives the number of rows.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn close(mut self) -> Result<u64, RecordError> {
        self.finish()?;
        Ok(self.durable())
    }

    /// Makes everything durable and seals the record: its number of rows and root are fixed, and nothing can be
    /// added any more.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier. The record is then not sealed.
    pub fn seal(mut self) -> Result<Seal, RecordError> {
        self.finish()?;
        let seal = {
            let state = self.shared.lock();
            Seal {
                format: SEAL_FORMAT,
                run: self.run,
                spec: self.spec,
                rows: state.synced.rows,
                samples: state.samples,
                root: Digest(state.synced.root),
            }
        };
        seal.write(self.disk.as_ref(), &self.dir)?;
        Ok(seal)
    }

    /// Ends both threads, the writer first, and leaves a checkpoint over everything at the end of the log.
    fn finish(&mut self) -> Result<(), RecordError> {
        let Some(threads) = self.threads.take() else { return self.shared.lock().outcome() };
        let shared = &self.shared;
        shared.lock().stop_writer = true;
        shared.to_write.notify_one();
        shared.join(threads.writer);
        shared.lock().stop_syncer = true;
        shared.to_sync.notify_one();
        shared.join(threads.syncer);
        shared.last_checkpoint()
    }
}

impl Drop for RecordWriter {
    fn drop(&mut self) {
        // The error stays in the state of a writer that nobody can ask any more; `close` is for those who ask.
        let _ = self.finish();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has marked the state as failed; the data stays readable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, frame: &[u8], leaf: Hash, is_sample: bool) -> Result<(), RecordError> {
        let mut state = self.lock();
        while state.failed.is_none()
            && !state.queue.is_empty()
            && state.queue.len() + frame.len() > MAX_QUEUED_LEN
        {
            state.appenders_wait += 1;
            state = wait(&self.room, state);
            state.appenders_wait -= 1;
        }
        state.outcome()?;
        state.queue.extend_from_slice(frame);
        state.leaves.push(leaf);
        state.appended += 1;
        state.samples += u64::from(is_sample);
        // Waking a thread that is awake would cost a system call for each row.
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.to_write.notify_one();
        }
        Ok(())
    }

    /// Stops the writer for ever and wakes everybody to see it.
    fn fail(&self, error: RecordError) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| Arc::new(error));
        drop(state);
        for condvar in [&self.to_write, &self.room, &self.to_sync, &self.synced] {
            condvar.notify_all();
        }
    }

    fn join(&self, thread: JoinHandle<()>) {
        if thread.join().is_err() {
            let panic = std::io::Error::other("a thread of the record's writer panicked");
            self.fail(RecordError::io("write", &self.path)(panic));
        }
    }

    fn last_checkpoint(&self) -> Result<(), RecordError> {
        let mark = {
            let state = self.lock();
            state.outcome()?;
            if state.checkpointed == state.synced.rows {
                return Ok(());
            }
            state.synced
        };
        let written = write_all(self.file.as_ref(), &self.path, &checkpoint_frame(mark))
            .and_then(|()| self.file.sync().map_err(RecordError::io("sync", &self.path)));
        if let Err(error) = written {
            self.fail(error);
        }
        let mut state = self.lock();
        state.checkpointed = mark.rows;
        state.outcome()
    }
}

impl State {
    fn outcome(&self) -> Result<(), RecordError> {
        self.failed.as_ref().map_or(Ok(()), |error| Err(RecordError::Stopped(Arc::clone(error))))
    }
}

fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn checkpoint_frame(mark: Mark) -> Vec<u8> {
    let checkpoint = Checkpoint { size: mark.rows, root: Digest(mark.root) };
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Kind::Checkpoint, &checkpoint.payload());
    bytes
}

/// Fails the record if its thread ends by a panic, so that nobody waits for it.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let panic = std::io::Error::other("a thread of the record's writer panicked");
            self.0.fail(RecordError::io("write", &self.0.path)(panic));
        }
    }
}

/// The writer thread: takes all that waits, writes it at once, goes on.
fn write_loop(shared: &Shared, mut tree: Tree) {
    let _guard = PanicGuard(shared);
    let (mut batch, mut leaves) = (Vec::new(), Vec::new());
    while let Some(checkpoint) = next_batch(shared, &mut batch, &mut leaves) {
        for leaf in leaves.drain(..) {
            tree.push(leaf);
        }
        // What became durable meanwhile is said in the same write: a checkpoint costs no write of its own. It goes
        // before the rows, so that the next checkpoint shows a change to it too.
        if let Some(mark) = checkpoint {
            batch.splice(0..0, checkpoint_frame(mark));
        }
        if let Err(error) = write_all(shared.file.as_ref(), &shared.path, &batch) {
            return shared.fail(error);
        }
        batch.clear();
        batch.shrink_to(KEPT_BUFFER_LEN);
        let mark = Mark { rows: tree.size(), root: tree.root() };
        let mut state = shared.lock();
        state.written = mark;
        state.checkpointed = checkpoint.map_or(state.checkpointed, |mark| mark.rows);
        drop(state);
        shared.to_sync.notify_one();
    }
}

/// Waits for rows and swaps them with the empty buffers. The inner value is what a checkpoint is due for; `None` when
/// the writer is to end.
fn next_batch(shared: &Shared, batch: &mut Vec<u8>, leaves: &mut Vec<Hash>) -> Option<Option<Mark>> {
    let mut state = shared.lock();
    while state.queue.is_empty() && !state.stop_writer && state.failed.is_none() {
        state.writer_waits = true;
        state = wait(&shared.to_write, state);
    }
    state.writer_waits = false;
    if state.queue.is_empty() || state.failed.is_some() {
        return None;
    }
    std::mem::swap(&mut state.queue, batch);
    std::mem::swap(&mut state.leaves, leaves);
    let due = (state.synced.rows > state.checkpointed).then_some(state.synced);
    let wake = state.appenders_wait > 0;
    drop(state);
    if wake {
        shared.room.notify_all();
    }
    Some(due)
}

/// The sync thread: makes durable what was written while it made the last durable.
fn sync_loop(shared: &Shared) {
    let _guard = PanicGuard(shared);
    loop {
        let mut state = shared.lock();
        while state.written.rows == state.synced.rows && !state.stop_syncer && state.failed.is_none() {
            state = wait(&shared.to_sync, state);
        }
        if state.written.rows == state.synced.rows || state.failed.is_some() {
            return;
        }
        let mark = state.written;
        drop(state);
        if let Err(error) = shared.file.sync() {
            return shared.fail(RecordError::io("sync", &shared.path)(error));
        }
        shared.lock().synced = mark;
        shared.durable.store(mark.rows, Ordering::Release);
        shared.synced.notify_all();
    }
}
