//! Adding frames to a log: callers fill a shared buffer, a thread writes it and makes it durable. Records and endless
//! logs share it; they differ in their [`Pace`].
//!
//! ```text
//! record   append ─► buffer ─► writer thread: one write() for all that waits ─► sync thread: fsync ─► durable
//! endless  append ─► buffer ─► writer thread: one write() for all that waits, one fsync if anybody waits ─► durable
//! ```
//!
//! A record's writer never waits for an fsync, so a row is out of this process's memory at once and survives its
//! death. An endless log's callers wait for the disk anyway; with one thread there is one hand-over less in what they
//! wait for, and rows that nobody waits for cost no fsync.

mod threads;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use loadline_core::digest::Digest;
use loadline_tlog::{Hash, Tree};

use crate::disk::AppendFile;
use crate::error::RecordError;
use crate::files::write_all;
use crate::frame::{self, Checkpoint, Kind};
use threads::{sync_loop, write_loop};

/// Bytes that may wait to be written before a record's `append` waits too, and an endless log's owner should.
pub(crate) const MAX_QUEUED_LEN: usize = 4 << 20;

/// Rows that may wait to be written before a record's `append` waits too: of what was handed over, a kill of the process
/// loses at most these and as many that are just being written.
pub(crate) const MAX_QUEUED_ROWS: usize = 16;

/// Begins the next segment: given the tree over all rows so far and the frame of the first row, makes the file, with
/// that row and a checkpoint over it durable in it, and gives it to add to.
pub(crate) type NextSegment =
    Box<dyn FnMut(&Tree, &[u8]) -> Result<(Arc<dyn AppendFile>, PathBuf), RecordError> + Send>;

/// Who syncs, and when.
pub(crate) enum Pace {
    /// A second thread, all the time.
    Pipelined,
    /// The writer, when somebody waits.
    Grouped(NextSegment),
}

/// The threads that add to one log, and what they share with those that hand rows over. Dropping it makes what was
/// handed over durable.
pub(crate) struct Appender {
    shared: Arc<Shared>,
    threads: Option<Vec<JoinHandle<()>>>,
}

pub(crate) struct Shared {
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
}

struct State {
    /// Frames to be written, and their rows' leaf hashes.
    queue: Vec<u8>,
    leaves: Vec<Hash>,
    /// Where in the queue segments begin.
    turns: Vec<Turn>,
    /// Somebody waits until this many rows are durable.
    wanted: u64,
    /// Rows handed over, written or not.
    appended: u64,
    written: Mark,
    synced: Mark,
    /// Rows counted by the last checkpoint in the file.
    checkpointed: u64,
    writer_waits: bool,
    appenders_wait: usize,
    stop_writer: bool,
    stop_syncer: bool,
    failed: Option<Arc<RecordError>>,
    /// Tasks that wait until this many rows are durable.
    wakers: Vec<(u64, Waker)>,
    file: Arc<dyn AppendFile>,
    path: Arc<Path>,
}

/// A row that begins a segment: where its frame is in the queue, and how many leaves are before it.
#[derive(Clone, Copy)]
struct Turn {
    at: usize,
    frame_len: usize,
    leaves: usize,
}

/// A place in the log, with the root over all rows before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub rows: u64,
    pub root: Hash,
}

impl Mark {
    pub(crate) fn of(tree: &Tree) -> Self {
        Self { rows: tree.size(), root: tree.root() }
    }
}

impl Appender {
    /// Starts the threads. What the log holds must be durable already; `checkpointed` rows are counted by its last
    /// checkpoint.
    pub(crate) fn start(
        file: Arc<dyn AppendFile>,
        path: &Path,
        tree: Tree,
        checkpointed: u64,
        pace: Pace,
    ) -> Result<Self, RecordError> {
        let mark = Mark::of(&tree);
        let state = State::new(mark, checkpointed, file, path);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            to_write: Condvar::new(),
            room: Condvar::new(),
            to_sync: Condvar::new(),
            synced: Condvar::new(),
            durable: AtomicU64::new(mark.rows),
        });
        let mut appender = Self { shared, threads: Some(Vec::new()) };
        let shared = Arc::clone(&appender.shared);
        match pace {
            Pace::Pipelined => {
                appender.spawn("record-write", path, move || write_loop(&shared, tree, None))?;
                let shared = Arc::clone(&appender.shared);
                appender.spawn("record-sync", path, move || sync_loop(&shared))?;
            }
            Pace::Grouped(next) => {
                appender.spawn("log-write", path, move || write_loop(&shared, tree, Some(next)))?;
            }
        }
        Ok(appender)
    }

    fn spawn(
        &mut self,
        name: &str,
        path: &Path,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), RecordError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread.map_err(RecordError::io("start a thread for", path))?;
        self.threads.get_or_insert_default().push(thread);
        Ok(())
    }

    /// What is shared with the threads.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends the threads, the writer first, and leaves a checkpoint over everything at the end of the log.
    pub(crate) fn finish(&mut self) -> Result<(), RecordError> {
        let Some(threads) = self.threads.take() else { return self.shared.lock().outcome() };
        let shared = &self.shared;
        let mut threads = threads.into_iter();
        shared.lock().stop_writer = true;
        shared.to_write.notify_one();
        threads.next().into_iter().for_each(|writer| shared.join(writer));
        shared.lock().stop_syncer = true;
        shared.to_sync.notify_one();
        threads.for_each(|syncer| shared.join(syncer));
        let checkpointed = shared.last_checkpoint();
        if let Err(error) = checkpointed {
            shared.fail(error);
        }
        shared.lock().outcome()
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // The error stays in the state of an appender that nobody can ask any more; `finish` is for those who ask.
        let _ = self.finish();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has marked the state as failed; the data stays readable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a row's frame over, waiting while too much waits to be written.
    pub(crate) fn enqueue(&self, frame: &[u8], leaf: Hash) -> Result<(), RecordError> {
        let mut state = self.lock();
        while state.failed.is_none()
            && !state.queue.is_empty()
            && (state.queue.len() + frame.len() > MAX_QUEUED_LEN || state.leaves.len() >= MAX_QUEUED_ROWS)
        {
            state.appenders_wait += 1;
            state = wait(&self.room, state);
            state.appenders_wait -= 1;
        }
        self.add(state, frame, leaf, false).map(|_| ())
    }

    /// Hands a row's frame over without ever waiting, and gives its number. `urgent` when somebody is going to wait
    /// for it, `turns` when it begins a segment.
    pub(crate) fn enqueue_now(
        &self,
        frame: &[u8],
        leaf: Hash,
        urgent: bool,
        turns: bool,
    ) -> Result<u64, RecordError> {
        let mut state = self.lock();
        if urgent {
            state.wanted = state.appended + 1;
        }
        if turns {
            let turn = Turn { at: state.queue.len(), frame_len: frame.len(), leaves: state.leaves.len() };
            state.turns.push(turn);
        }
        self.add(state, frame, leaf, urgent)
    }

    fn add(
        &self,
        mut state: MutexGuard<'_, State>,
        frame: &[u8],
        leaf: Hash,
        urgent: bool,
    ) -> Result<u64, RecordError> {
        state.outcome()?;
        // Waking a thread that is awake would cost a system call for each row; one that gives rows that nobody waits
        // for some time is woken for those that somebody waits for.
        let first = state.queue.is_empty();
        state.queue.extend_from_slice(frame);
        state.leaves.push(leaf);
        let number = state.appended;
        state.appended += 1;
        let wake = state.writer_waits && (first || urgent);
        if wake && urgent {
            state.writer_waits = false;
        }
        drop(state);
        if wake {
            self.to_write.notify_one();
        }
        Ok(number)
    }

    /// Rows handed over, with those that were there before.
    pub(crate) fn appended(&self) -> u64 {
        self.lock().appended
    }

    /// Rows known to be durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued_len(&self) -> usize {
        self.lock().queue.len()
    }

    /// The rows known to be durable, and the root over them.
    pub(crate) fn synced(&self) -> Mark {
        self.lock().synced
    }

    /// The error that stopped it, if one did.
    pub(crate) fn outcome(&self) -> Result<(), RecordError> {
        self.lock().outcome()
    }

    /// Waits until every row handed over so far is durable.
    pub(crate) fn flush(&self) -> Result<(), RecordError> {
        let mut state = self.lock();
        let target = state.appended;
        if state.synced.rows < target {
            state.wanted = target;
            self.to_write.notify_one();
        }
        while state.failed.is_none() && state.synced.rows < target {
            state = wait(&self.synced, state);
        }
        state.outcome()
    }

    /// Whether this many rows are durable; if not, the task is woken when they are, or never can be.
    pub(crate) fn poll_durable(&self, rows: u64, waker: &Waker) -> Option<Result<(), RecordError>> {
        if self.durable() >= rows {
            return Some(Ok(()));
        }
        let mut state = self.lock();
        if state.synced.rows >= rows {
            return Some(Ok(()));
        }
        if let Err(error) = state.outcome() {
            return Some(Err(error));
        }
        match state.wakers.iter_mut().find(|(at, kept)| *at == rows && kept.will_wake(waker)) {
            Some(_) => {}
            None => state.wakers.push((rows, waker.clone())),
        }
        None
    }

    /// Stops the log for ever and wakes everybody to see it.
    fn fail(&self, error: RecordError) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| match error {
            RecordError::Stopped(cause) => cause,
            error => Arc::new(error),
        });
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        for condvar in [&self.to_write, &self.room, &self.to_sync, &self.synced] {
            condvar.notify_all();
        }
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn join(&self, thread: JoinHandle<()>) {
        if thread.join().is_err() {
            let path = Arc::clone(&self.lock().path);
            self.fail(panicked(&path));
        }
    }

    /// Makes durable what is written, and says so to those who wait.
    fn sync_written(&self) -> Result<(), RecordError> {
        let state = self.lock();
        let mark = state.written;
        if mark.rows == state.synced.rows {
            return Ok(());
        }
        let (file, path) = (Arc::clone(&state.file), Arc::clone(&state.path));
        drop(state);
        file.sync().map_err(RecordError::io("sync", &path))?;
        self.now_durable(mark);
        Ok(())
    }

    fn now_durable(&self, mark: Mark) {
        let mut state = self.lock();
        state.synced = mark;
        self.durable.store(mark.rows, Ordering::Release);
        let ready: Vec<_> = state.wakers.extract_if(.., |(rows, _)| *rows <= mark.rows).collect();
        drop(state);
        self.synced.notify_all();
        ready.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Writes bytes to the end of the file.
    fn write(&self, bytes: &[u8]) -> Result<(), RecordError> {
        let (file, path) = {
            let state = self.lock();
            (Arc::clone(&state.file), Arc::clone(&state.path))
        };
        write_all(file.as_ref(), &path, bytes)
    }

    /// Leaves a checkpoint over everything at the end of the file, durable.
    fn last_checkpoint(&self) -> Result<(), RecordError> {
        let (mark, file, path) = {
            let state = self.lock();
            state.outcome()?;
            if state.checkpointed == state.synced.rows {
                return Ok(());
            }
            (state.synced, Arc::clone(&state.file), Arc::clone(&state.path))
        };
        self.write(&checkpoint_frame(mark))?;
        file.sync().map_err(RecordError::io("sync", &path))?;
        self.lock().checkpointed = mark.rows;
        Ok(())
    }
}

impl State {
    fn new(mark: Mark, checkpointed: u64, file: Arc<dyn AppendFile>, path: &Path) -> Self {
        Self {
            queue: Vec::new(),
            leaves: Vec::new(),
            turns: Vec::new(),
            wanted: 0,
            appended: mark.rows,
            written: mark,
            synced: mark,
            checkpointed,
            writer_waits: false,
            appenders_wait: 0,
            stop_writer: false,
            stop_syncer: false,
            failed: None,
            wakers: Vec::new(),
            file,
            path: path.into(),
        }
    }

    fn outcome(&self) -> Result<(), RecordError> {
        self.failed.as_ref().map_or(Ok(()), |error| Err(RecordError::Stopped(Arc::clone(error))))
    }
}

fn panicked(path: &Path) -> RecordError {
    RecordError::io("write", path)(std::io::Error::other("a thread of the log's writer panicked"))
}

fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn wait_for<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    time: Duration,
) -> (MutexGuard<'a, State>, bool) {
    let (state, waited) = condvar.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
    (state, waited.timed_out())
}

pub(crate) fn checkpoint_frame(mark: Mark) -> Vec<u8> {
    let checkpoint = Checkpoint { size: mark.rows, root: Digest(mark.root) };
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Kind::Checkpoint, &checkpoint.payload());
    bytes
}
