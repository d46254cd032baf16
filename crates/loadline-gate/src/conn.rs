//! A caller's connection, so that it can be known when everything of an answer has left, and so that nothing more leaves
//! once that is forbidden.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use loadline_core::Digest;
#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// What is known of a connection from outside of it. Requests on it are numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct ConnState {
    /// The newest request.
    begun: AtomicU64,
    /// The newest request whose answer has no more bytes.
    ended: AtomicU64,
    /// The newest request whose answer has left to its last byte.
    flushed: AtomicU64,
    /// Nothing may leave any more.
    dead: AtomicBool,
    waker: AtomicWaker,
    moved: Notify,
    /// The socket, while it is open: killing must not wait until the connection's task gets its turn.
    socket: Mutex<Option<Arc<TcpStream>>>,
    /// Whose answers went this way: their last bytes may wait in a buffer after they have ended.
    answers: Mutex<Vec<Sent>>,
}

/// The newest answer to one key from one model on a connection.
#[derive(Clone, Debug)]
struct Sent {
    key: Digest,
    model: Arc<str>,
    request: u64,
}

/// The most of them that are kept apart on one connection; beyond it their buffers are looked at, and what has left is
/// forgotten.
const MOST_SENT: usize = 64;

impl ConnState {
    /// A request begins; its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Bytes for this key, from this model, may go this way from now on.
    pub(crate) fn answers(&self, key: Digest, model: &Arc<str>, request: u64) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sent) = answers.iter_mut().find(|sent| sent.key == key && sent.model == *model) {
            sent.request = request;
            return;
        }
        if answers.len() >= MOST_SENT && self.is_drained() {
            let flushed = self.flushed.load(Ordering::Acquire);
            answers.retain(|sent| sent.request > flushed);
        }
        answers.push(Sent { key, model: Arc::clone(model), request });
    }

    /// The newest answer that has ended, is forbidden, and of which bytes may still wait here. What has left is forgotten.
    pub(crate) fn lingering(&self, forbidden: impl Fn(Digest, &str) -> bool) -> Option<u64> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.ended.load(Ordering::Acquire);
        let lingers = |sent: &&Sent| sent.request <= ended && forbidden(sent.key, &sent.model);
        let newest = answers.iter().filter(lingers).map(|sent| sent.request).max()?;
        let flushed = self.flushed.load(Ordering::Acquire);
        if flushed < newest || !self.is_drained() {
            return Some(newest);
        }
        answers.retain(|sent| sent.request > flushed);
        None
    }

    /// The answer to a request has no more bytes.
    pub(crate) fn end(&self, request: u64) {
        self.ended.fetch_max(request, Ordering::AcqRel);
        if self.is_dead() {
            self.moved.notify_waiters();
        }
    }

    /// Forbids every further byte, and throws away what the system has not sent yet. When this returns, nothing leaves
    /// any more, whatever the connection's task is doing.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Dissolving the association resets the connection now, and empties the system's buffer.
        let is_reset = socket.is_none_or(|socket| rustix::net::connect_unspec(&*socket).is_ok());
        self.waker.wake();
        if is_reset {
            self.close();
        }
    }

    /// Whether the system holds no byte back: what is written has left. A caller who does not read, or whose network is
    /// slow, makes it hold bytes back, and they would leave whenever there is room.
    pub(crate) fn is_drained(&self) -> bool {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone();
        socket.is_none_or(|socket| holds_nothing(&socket))
    }

    /// No byte can follow, of whichever request.
    fn close(&self) {
        self.flushed.store(u64::MAX, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Whether it is killed or closed.
    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    fn flush(&self) {
        let ended = self.ended.load(Ordering::Acquire);
        if self.flushed.fetch_max(ended, Ordering::AcqRel) < ended {
            self.moved.notify_waiters();
        }
    }

    /// Comes when the answer to a request has left to its last byte, or the connection is closed.
    pub(crate) async fn flushed(&self, request: u64) {
        self.reached(&self.flushed, request).await;
    }

    /// Comes when a killed connection has let go of a request: its upstream is dropped, its outcome is written.
    pub(crate) async fn let_go(&self, request: u64) {
        self.reached(&self.ended, request).await;
    }

    async fn reached(&self, count: &AtomicU64, request: u64) {
        loop {
            let moved = self.moved.notified();
            if count.load(Ordering::Acquire) >= request {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(target_os = "linux")]
fn holds_nothing(socket: &TcpStream) -> bool {
    // With this mark a socket is writable only when nothing waits to be sent.
    let marked = socket2::SockRef::from(socket).set_tcp_notsent_lowat(1);
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    marked.is_ok()
        && poll(&mut asked, Some(&Timespec::default())).is_ok()
        && asked.iter().all(|asked| asked.revents().contains(PollFlags::OUT))
}

/// Nobody can say: it is reset when its time is over.
#[cfg(not(target_os = "linux"))]
fn holds_nothing(_: &TcpStream) -> bool {
    false
}

/// A caller's connection.
pub(crate) struct CallerStream {
    stream: Arc<TcpStream>,
    state: Arc<ConnState>,
    /// How long a caller may take nothing of what is there for it.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl CallerStream {
    pub(crate) fn new(stream: TcpStream, state: Arc<ConnState>, patience: Duration) -> Self {
        let stream = Arc::new(stream);
        *state.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&stream));
        Self { stream, state, patience, stalled: None }
    }

    /// Tries until the system says that it would have to wait.
    fn try_to<T>(
        &self,
        context: &mut Context<'_>,
        ready: impl Fn(&TcpStream, &mut Context<'_>) -> Poll<io::Result<()>>,
        mut act: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            std::task::ready!(ready(&self.stream, context))?;
            match act(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// After each try to write: a caller who takes nothing for too long is let go.
    fn watch<T>(&mut self, tried: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.stalled = None;
            return tried;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.state.waker.register(context.waker());
        if self.state.is_dead() {
            // Closing resets then, so what waits in the system's buffer is thrown away.
            let _ = socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut"));
        }
        Ok(())
    }
}

impl Drop for CallerStream {
    fn drop(&mut self) {
        self.state.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.state.close();
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        self.try_to(context, TcpStream::poll_read_ready, |stream| stream.try_read_buf(buffer).map(|_| ()))
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let tried = self.try_to(context, TcpStream::poll_write_ready, |stream| stream.try_write(bytes));
        self.watch(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let tried =
            self.try_to(context, TcpStream::poll_write_ready, |stream| stream.try_write_vectored(slices));
        self.watch(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The HTTP library asks for this only when it holds nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}
