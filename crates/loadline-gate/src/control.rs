//! A thread of its own, with a runtime of its own, for what decides: an order to stop must not wait behind a thousand
//! streams. The system gives a thread that was asleep its turn at once, however busy those that pass bytes on are.

use std::io;

use tokio::sync::oneshot;

/// The thread, until it is told to end. Dropping this tells it.
pub(crate) struct Control {
    end: oneshot::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

/// Starts it with what `make` gives, which runs until it ends of itself or is told to.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start<F>(make: impl FnOnce() -> F + Send + 'static) -> io::Result<Control>
where
    F: Future<Output = io::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ((end, told), (say, ended)) = (oneshot::channel(), oneshot::channel());
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let done = runtime.block_on(async {
            tokio::select! {
                // Told, or whoever held the other end has gone.
                _ = told => Ok(()),
                done = make() => done,
            }
        });
        drop(runtime);
        let _ = say.send(done);
    })?;
    Ok(Control { end, ended })
}

impl Control {
    /// Comes when it ended without being told to: why.
    pub(crate) async fn failed(&mut self) -> io::Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            _ => io::Error::other("the thread that decides has ended"),
        }
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn end(self) {
        drop(self.end);
        let _ = self.ended.await;
    }
}
