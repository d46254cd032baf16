//! The folder of all runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::RunId;
use loadline_core::record::{EvalSpec, Row};
use loadline_core::untrusted::one_line;
use loadline_tlog::Tree;

use crate::disk::{Disk, LockError, RealDisk};
use crate::error::{FindError, RecordError};
use crate::files;
use crate::frame::{self, Checkpoint, FIRST_LINE, Kind};
use crate::reader::{RecordReader, open_log, parse_row, parse_spec, spec_digest};
use crate::replay::{Replayed, is_sample, replay};
use crate::scan::Tail;
use crate::seal::Seal;
use crate::short::ShortIds;
use crate::verify::{Verified, verify_on};
use crate::writer::{RecordWriter, Start};

/// Milliseconds since 1970-01-01 UTC.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A folder of runs, each a folder named by its id. It is made when the first run is.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    clock: Clock,
}

/// One run of a store.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// What was measured and how; `None` when the record's beginning cannot be read.
    pub spec: Option<EvalSpec>,
    /// How many rows there are.
    pub rows: u64,
    /// How many of them are samples'.
    pub samples: u64,
    /// When it was first opened, in milliseconds since 1970-01-01 UTC, where the second row says so.
    pub opened_ms: Option<u64>,
    /// How it stands.
    pub state: RunState,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It can go on.
    Unfinished,
    /// It is finished. The seal was read, not verified.
    Sealed(Seal),
    /// It cannot be read; why, in words.
    Damaged(String),
}

/// What was found in a record that was opened to go on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumed {
    /// What was measured and how.
    pub spec: EvalSpec,
    /// Rows that were there, all kept.
    pub rows: u64,
    /// How many of them are samples'.
    pub samples: u64,
    /// Bytes of a torn tail that were cut; when not 0, a [`Row::Recovered`] was appended.
    pub bytes_cut: u64,
}

impl Store {
    /// The store in this folder. Nothing is read or written yet.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self::with_disk(root, Arc::new(RealDisk), Arc::new(system_clock_ms))
    }

    /// The store in this folder of another disk, with another clock: for tests.
    pub fn with_disk(root: impl Into<PathBuf>, disk: Arc<dyn Disk>, clock: Clock) -> Self {
        Self { root: root.into(), disk, clock }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a run, whether or not it is there.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.root.join(run.to_string())
    }

    /// Begins a record with its first row, the specification. After a crash at any step the record is there with this
    /// row, or not at all.
    ///
    /// # Errors
    /// When the run has a record already ([`RecordError::Exists`]: resume it), another process is beginning it, or
    /// the disk refuses.
    pub fn create(&self, spec: &EvalSpec) -> Result<RecordWriter, RecordError> {
        let run = spec.run_id()?;
        let dir = self.run_dir(&run);
        let log = dir.join(files::LOG);
        let exists = || self.disk.exists(&log).map_err(RecordError::io("look for", &log));
        if exists()? {
            return Err(RecordError::Exists { run, dir });
        }
        self.make_dir(&dir)?;
        let lock = self.lock(&dir)?;
        // Another process may have begun it before the lock was ours.
        if exists()? {
            return Err(RecordError::Exists { run, dir });
        }
        self.sync_names(&dir)?;
        let (bytes, tree) = beginning(spec)?;
        files::write_whole(self.disk.as_ref(), &dir, files::NEW_LOG, files::LOG, &bytes)?;
        let file = self.disk.append(&log).map_err(RecordError::io("open", &log))?;
        RecordWriter::start(Start {
            file,
            checkpointed: tree.size(),
            tree,
            samples: 0,
            run,
            spec: spec_digest(spec)?,
            dir,
            disk: Arc::clone(&self.disk),
            lock,
        })
    }

    /// Opens a record to go on with: checks all of it, cuts a torn tail (and says so in a row), and makes the rest
    /// durable. The caller appends [`Row::Opened`], since it knows the program.
    ///
    /// # Errors
    /// When there is no record, it is sealed, another process writes it, what was durable is damaged, or the disk
    /// refuses.
    pub fn resume(&self, run: &RunId) -> Result<(Resumed, RecordWriter), RecordError> {
        self.resume_each(run, |_, _| {})
    }

    /// As [`Store::resume`], giving the number and the JSON of every row that is kept to `visit` on the way, in
    /// order: one pass over the file serves both.
    ///
    /// # Errors
    /// As [`Store::resume`]. What `visit` was given is then not to be relied on.
    pub fn resume_each(
        &self,
        run: &RunId,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<(Resumed, RecordWriter), RecordError> {
        let dir = self.run_dir(run);
        let log = dir.join(files::LOG);
        if !self.disk.exists(&log).map_err(RecordError::io("look for", &log))? {
            return Err(RecordError::Missing { dir });
        }
        let lock = self.lock(&dir)?;
        if Seal::read(self.disk.as_ref(), &dir)?.is_some() {
            return Err(RecordError::Sealed { dir });
        }
        let (spec, replayed) = self.replay_run(run, &dir, &mut visit)?;
        let file = self.disk.append(&log).map_err(RecordError::io("open", &log))?;
        let bytes_cut = match replayed.tail {
            Tail::Whole => 0,
            Tail::Torn { bytes } => {
                file.cut(replayed.end).map_err(RecordError::io("cut the torn tail of", &log))?;
                bytes
            }
        };
        // Rows of a process that was killed may never have been synced; from here on they count as durable.
        file.sync().map_err(RecordError::io("sync", &log))?;
        self.sync_names(&dir)?;
        let resumed = Resumed { rows: replayed.tree.size(), samples: replayed.samples, bytes_cut, spec };
        let writer = RecordWriter::start(Start {
            file,
            tree: replayed.tree,
            samples: replayed.samples,
            checkpointed: replayed.checkpointed,
            run: *run,
            spec: spec_digest(&resumed.spec)?,
            dir,
            disk: Arc::clone(&self.disk),
            lock,
        })?;
        if bytes_cut > 0 {
            writer.append(&Row::Recovered { at_ms: (self.clock)(), bytes_cut })?;
            writer.flush()?;
        }
        Ok((resumed, writer))
    }

    fn replay_run(
        &self,
        run: &RunId,
        dir: &Path,
        visit: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(EvalSpec, Replayed), RecordError> {
        let mut scanner = open_log(self.disk.as_ref(), dir, false)?;
        let mut spec = None;
        let replayed = replay(&mut scanner, |number, payload| {
            if number == 0 {
                let (first, named) = parse_spec(payload)?;
                if named != *run {
                    return Err(format!("the specification is that of run {named}"));
                }
                spec = Some(first);
            }
            visit(number, payload);
            Ok(())
        })?;
        // `create` makes the first row durable before the log has its name.
        let spec = spec.ok_or_else(|| scanner.damage(replayed.end, 0, "the specification is not there"))?;
        Ok((spec, replayed))
    }

    /// Reads a record of this store.
    ///
    /// # Errors
    /// As [`RecordReader::open`].
    pub fn reader(&self, run: &RunId) -> Result<RecordReader, RecordError> {
        RecordReader::open_on(Arc::clone(&self.disk), &self.run_dir(run))
    }

    /// Checks every byte of a record of this store.
    ///
    /// # Errors
    /// As [`verify()`](crate::verify()).
    pub fn verify(&self, run: &RunId) -> Result<Verified, RecordError> {
        verify_on(self.disk.as_ref(), &self.run_dir(run))
    }

    /// All runs, in the order of their ids. A run that cannot be read is listed with the reason.
    ///
    /// # Errors
    /// When the folder is there but cannot be read.
    pub fn list(&self) -> Result<Vec<RunSummary>, RecordError> {
        Ok(self.runs()?.into_iter().map(|run| self.summary(run)).collect())
    }

    /// How one run stands.
    pub fn summary(&self, id: RunId) -> RunSummary {
        let state = RunState::Unfinished;
        let mut summary = RunSummary { id, spec: None, rows: 0, samples: 0, opened_ms: None, state };
        if let Err(error) = self.summarise(&mut summary) {
            summary.state = RunState::Damaged(error.to_string());
        }
        summary
    }

    /// Reads only the beginning of a sealed log, and all of another.
    fn summarise(&self, summary: &mut RunSummary) -> Result<(), RecordError> {
        let reader = self.reader(&summary.id)?;
        summary.spec = Some(reader.spec().clone());
        let mut rows = reader.raw()?;
        while let Some(row) = rows.next_row()? {
            if let (1, Some(payload)) = (row.number, row.payload)
                && let Ok(Row::Opened { at_ms, .. }) = parse_row(payload)
            {
                summary.opened_ms = Some(at_ms);
            }
            if row.number >= 1 && reader.seal().is_some() {
                break;
            }
            summary.rows += 1;
            summary.samples += u64::from(row.payload.is_some_and(is_sample));
        }
        if let Some(seal) = reader.seal() {
            (summary.rows, summary.samples) = (seal.rows, seal.samples);
            summary.state = RunState::Sealed(seal.clone());
        }
        Ok(())
    }

    /// The run whose id begins with these hexadecimal digits.
    ///
    /// # Errors
    /// When no run or more than one does, or the folder cannot be read.
    pub fn find(&self, prefix: &str) -> Result<RunId, FindError> {
        let wanted = prefix.trim().to_ascii_lowercase();
        let runs = self.runs()?;
        let mut candidates = runs.clone();
        candidates.retain(|run| run.to_string().starts_with(&wanted));
        match candidates.as_slice() {
            [only] => Ok(*only),
            [_, _, ..] => Err(FindError::Ambiguous { prefix: wanted, candidates }),
            [] => Err(FindError::NoMatch {
                prefix: one_line(prefix, 40),
                nearest: nearest(&wanted, &runs),
                root: self.root.clone(),
            }),
        }
    }

    /// The short names of all runs.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn short_ids(&self) -> Result<ShortIds, RecordError> {
        Ok(ShortIds::new(self.runs()?))
    }

    /// The ids of all runs that have a log, in order. No log is opened.
    ///
    /// # Errors
    /// When the folder is there but cannot be read.
    pub fn runs(&self) -> Result<Vec<RunId>, RecordError> {
        let names = match self.disk.list(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(RecordError::io("list", &self.root))?,
        };
        let mut runs: Vec<RunId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        // A folder without a log is what a crash in `create` leaves: no run.
        runs.retain(|run| self.disk.exists(&self.run_dir(run).join(files::LOG)).unwrap_or(true));
        runs.sort_unstable();
        Ok(runs)
    }

    /// Makes a folder and those above it, each durable in its parent.
    fn make_dir(&self, dir: &Path) -> Result<(), RecordError> {
        if dir.as_os_str().is_empty() || self.disk.exists(dir).map_err(RecordError::io("look for", dir))? {
            return Ok(());
        }
        self.make_dir(parent_of(dir))?;
        self.disk.create_dir(dir).map_err(RecordError::io("make the folder", dir))?;
        self.sync_dir(parent_of(dir))
    }

    /// Makes the names of a run's folder and of what is in it durable: a process that was killed may have made them
    /// without coming to that.
    fn sync_names(&self, dir: &Path) -> Result<(), RecordError> {
        self.sync_dir(dir)?;
        self.sync_dir(&self.root)?;
        match self.sync_dir(parent_of(&self.root)) {
            // The store may stand in a folder that this user cannot read; then somebody else made it.
            Err(RecordError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), RecordError> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        self.disk.sync_dir(dir).map_err(RecordError::io("sync", dir))
    }

    fn lock(&self, dir: &Path) -> Result<Box<dyn crate::disk::Lock>, RecordError> {
        let path = dir.join(files::LOCK);
        self.disk.lock(&path).map_err(|error| match error {
            LockError::Held(pid) => RecordError::Locked { dir: dir.to_path_buf(), pid },
            LockError::Io(source) => RecordError::io("lock", &path)(source),
        })
    }
}

fn parent_of(dir: &Path) -> &Path {
    dir.parent().unwrap_or(Path::new(""))
}

/// What a log begins with: its first line, the specification, and a checkpoint over it. All of it is durable before the
/// log has its name.
fn beginning(spec: &EvalSpec) -> Result<(Vec<u8>, Tree), RecordError> {
    let mut bytes = FIRST_LINE.to_vec();
    let payload = serde_json::to_vec(&Row::Spec(Box::new(spec.clone())))?;
    let mut tree = Tree::new();
    tree.push(frame::push(&mut bytes, Kind::Row, &payload));
    let checkpoint = Checkpoint { size: 1, root: loadline_core::Digest(tree.root()) };
    frame::push(&mut bytes, Kind::Checkpoint, &checkpoint.payload());
    Ok((bytes, tree))
}

/// The run whose id begins most like this: a slip in the last digits, or one digit in the middle.
fn nearest(wanted: &str, runs: &[RunId]) -> Option<RunId> {
    let alike = |run: &RunId| run.to_string().chars().zip(wanted.chars()).filter(|(a, b)| a == b).count();
    runs.iter().copied().max_by_key(alike)
}

fn system_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
