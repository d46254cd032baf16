//! A disk that fills up while a run is on: the run ends with the error, and nothing that was written is lost.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loadline_core::Model;
use loadline_evidence::Store;
use loadline_evidence::disk::{AppendFile, Disk, Lock, LockError, ReadFile, RealDisk};
use loadline_measure::run::{CancelToken, RunError, RunStatus, measure};

use crate::support::*;

/// More than what waits in the writer's memory before it makes the runner wait.
const SAMPLES: u64 = 20_000;

/// The real disk, with room for so many bytes more.
struct Full {
    room: Arc<AtomicU64>,
}

struct FullFile {
    file: Box<dyn AppendFile>,
    room: Arc<AtomicU64>,
}

impl AppendFile for FullFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // As a real disk does: what fits is written, then nothing.
        let room = self.room.load(Ordering::SeqCst);
        let fits = bytes.len().min(usize::try_from(room).unwrap());
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write(&bytes[..fits])?;
        self.room.fetch_sub(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.file.cut(length)
    }
}

impl Disk for Full {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(FullFile { file: RealDisk.create(path)?, room: Arc::clone(&self.room) }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(FullFile { file: RealDisk.append(path)?, room: Arc::clone(&self.room) }))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn ReadFile>, u64)> {
        RealDisk.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        RealDisk.lock(path)
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_run_and_the_rows_before_it_count() {
    for room in [5_000, 20_000] {
        let dir = tempfile::tempdir().unwrap();
        let full =
            Store::with_disk(dir.path(), Arc::new(Full { room: Arc::new(room.into()) }), Arc::new(|| 0));
        let model = Scripted::right(10);
        let dyn_model: Arc<dyn Model> = model.clone();
        let (task, cancel) = (sums(SAMPLES), CancelToken::new());
        let outcome = measure(&task, dyn_model, &full, &options(5), |_| {}, &cancel).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, RunError::Record(_)), "{error}");
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert!(error.hint().unwrap().contains("make room"));
        let paid = model.seen.lock().unwrap().answered.len() as u64;
        assert!(paid < SAMPLES, "the run ends when the disk is full, not when all is paid for");

        let roomy = Store::open(dir.path());
        let dyn_model: Arc<dyn Model> = model.clone();
        let outcome = measure(&task, dyn_model, &roomy, &options(5), |_| {}, &cancel).await.unwrap();
        assert_eq!(outcome.status, RunStatus::Complete);
        assert!(outcome.resumed > 0 && outcome.resumed + outcome.answered == SAMPLES);
        loadline_evidence::verify(roomy.run_dir(&outcome.run)).unwrap();
    }
}

#[test]
fn a_run_can_be_put_on_another_thread() {
    fn sendable<T: Send>(_: &T) {}
    let (place, task, cancel, options) = (place(), sums(1), CancelToken::new(), options(1));
    let model: Arc<dyn Model> = Scripted::right(1);
    sendable(&measure(&task, model, &place.store, &options, |_| {}, &cancel));
}
