//! What the threads of an [`Appender`](super::Appender) do: write, sync, begin segments.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use loadline_tlog::{Hash, Tree};

use super::{Mark, NextSegment, Shared, State, Turn, checkpoint_frame, panicked, wait, wait_for};
use crate::error::RecordError;

/// A buffer that grew beyond this by one large row is given back.
const KEPT_BUFFER_LEN: usize = 256 << 10;
/// How long rows that nobody waits for may stay in memory, so that several share one write.
const LAZY_WRITE: Duration = Duration::from_millis(2);
/// How long they may stay without an fsync.
const LAZY_SYNC: Duration = Duration::from_secs(1);

/// Fails the log if its thread ends by a panic, so that nobody waits for it.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = Arc::clone(&self.0.lock().path);
            self.0.fail(panicked(&path));
        }
    }
}

/// What the writer took to write at once.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    leaves: Vec<Hash>,
    turns: Vec<Turn>,
    /// What a checkpoint is due for.
    due: Option<Mark>,
}

/// The writer thread: takes all that waits, writes it at once, goes on.
pub(super) fn write_loop(shared: &Shared, mut tree: Tree, mut next: Option<NextSegment>) {
    let _guard = PanicGuard(shared);
    let mut batch = Batch::default();
    while take_batch(shared, &mut batch, next.is_some()) {
        let written = write_batch(shared, &mut tree, &mut batch, &mut next);
        if let Err(error) = written.and_then(|()| sync_if_due(shared, next.is_some())) {
            return shared.fail(error);
        }
    }
}

/// With one thread, the writer syncs: when somebody waits, and at the end.
fn sync_if_due(shared: &Shared, grouped: bool) -> Result<(), RecordError> {
    let due = {
        let state = shared.lock();
        state.wanted > state.synced.rows || state.stop_writer
    };
    if grouped && due { shared.sync_written() } else { Ok(()) }
}

/// Writes a batch, in as many pieces as it has segments.
fn write_batch(
    shared: &Shared,
    tree: &mut Tree,
    batch: &mut Batch,
    next: &mut Option<NextSegment>,
) -> Result<(), RecordError> {
    let Batch { bytes, leaves, turns, due } = batch;
    let (mut from, mut leaf_from) = (0, 0);
    for begins in turns.drain(..) {
        write_piece(shared, tree, &bytes[from..begins.at], &leaves[leaf_from..begins.leaves], due.take())?;
        from = begins.at + begins.frame_len;
        leaf_from = begins.leaves + 1;
        if let Some(next) = next {
            turn(shared, tree, &bytes[begins.at..from], leaves[begins.leaves], next)?;
        }
    }
    write_piece(shared, tree, &bytes[from..], &leaves[leaf_from..], due.take())?;
    bytes.clear();
    bytes.shrink_to(KEPT_BUFFER_LEN);
    leaves.clear();
    Ok(())
}

fn write_piece(
    shared: &Shared,
    tree: &mut Tree,
    bytes: &[u8],
    leaves: &[Hash],
    due: Option<Mark>,
) -> Result<(), RecordError> {
    if leaves.is_empty() {
        return Ok(());
    }
    leaves.iter().for_each(|leaf| _ = tree.push(*leaf));
    // What became durable meanwhile is said in the same write: a checkpoint costs no write of its own. It goes
    // before the rows, so that the next checkpoint shows a change to it too.
    match due {
        Some(mark) => shared.write(&[checkpoint_frame(mark).as_slice(), bytes].concat())?,
        None => shared.write(bytes)?,
    }
    let mut state = shared.lock();
    state.written = Mark::of(tree);
    state.checkpointed = due.map_or(state.checkpointed, |mark| mark.rows);
    drop(state);
    shared.to_sync.notify_one();
    Ok(())
}

/// Ends a segment and begins the next: everything in the old one is durable, and counted by its last checkpoint,
/// before the new one has its name.
fn turn(
    shared: &Shared,
    tree: &mut Tree,
    first: &[u8],
    leaf: Hash,
    next: &mut NextSegment,
) -> Result<(), RecordError> {
    shared.sync_written()?;
    shared.last_checkpoint()?;
    let (file, path) = next(tree, first)?;
    tree.push(leaf);
    let mark = Mark::of(tree);
    let mut state = shared.lock();
    (state.file, state.path) = (file, path.into());
    state.written = mark;
    state.checkpointed = mark.rows;
    drop(state);
    shared.now_durable(mark);
    Ok(())
}

/// Waits for rows and swaps them with the empty buffers; false when the writer is to end.
fn take_batch(shared: &Shared, batch: &mut Batch, grouped: bool) -> bool {
    let mut state = wait_for_rows(shared, grouped);
    let nobody_waits = state.wanted <= state.synced.rows && state.turns.is_empty();
    if grouped && nobody_waits && !state.stop_writer && state.failed.is_none() && !state.queue.is_empty() {
        state.writer_waits = true;
        state = wait_for(&shared.to_write, state, LAZY_WRITE).0;
    }
    state.writer_waits = false;
    if state.queue.is_empty() || state.failed.is_some() {
        return false;
    }
    std::mem::swap(&mut state.queue, &mut batch.bytes);
    std::mem::swap(&mut state.leaves, &mut batch.leaves);
    std::mem::swap(&mut state.turns, &mut batch.turns);
    batch.due = (state.synced.rows > state.checkpointed).then_some(state.synced);
    let wake = state.appenders_wait > 0;
    drop(state);
    if wake {
        shared.room.notify_all();
    }
    true
}

/// Waits until there are rows to write, or the writer is to end. Meanwhile a grouped writer makes durable what is
/// written: at once when somebody waits for it, otherwise after some time.
fn wait_for_rows(shared: &Shared, grouped: bool) -> MutexGuard<'_, State> {
    let mut state = shared.lock();
    while state.queue.is_empty() && state.failed.is_none() {
        let unsynced = grouped && state.written.rows > state.synced.rows;
        if unsynced && (state.stop_writer || state.wanted > state.synced.rows) {
            drop(state);
            if let Err(error) = shared.sync_written() {
                shared.fail(error);
            }
            state = shared.lock();
        } else if state.stop_writer {
            break;
        } else if unsynced {
            state.writer_waits = true;
            let (woken, timed_out) = wait_for(&shared.to_write, state, LAZY_SYNC);
            state = woken;
            if timed_out {
                state.wanted = state.wanted.max(state.written.rows);
            }
        } else {
            state.writer_waits = true;
            state = wait(&shared.to_write, state);
        }
    }
    state
}

/// The sync thread: makes durable what was written while it made the last durable.
pub(super) fn sync_loop(shared: &Shared) {
    let _guard = PanicGuard(shared);
    loop {
        let mut state = shared.lock();
        while state.written.rows == state.synced.rows && !state.stop_syncer && state.failed.is_none() {
            state = wait(&shared.to_sync, state);
        }
        if state.written.rows == state.synced.rows || state.failed.is_some() {
            return;
        }
        drop(state);
        if let Err(error) = shared.sync_written() {
            return shared.fail(error);
        }
    }
}
