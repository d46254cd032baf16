//! A caller's connection, so that it can be known when everything of an answer has left, and so that nothing more leaves
//! once that is forbidden.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
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
}

impl ConnState {
    /// A request begins; its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The answer to a request has no more bytes.
    pub(crate) fn end(&self, request: u64) {
        self.ended.fetch_max(request, Ordering::AcqRel);
    }

    /// Forbids every further byte, and throws away what the system has not sent yet.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
        self.waker.wake();
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
        loop {
            let moved = self.moved.notified();
            if self.flushed.load(Ordering::Acquire) >= request {
                return;
            }
            moved.await;
        }
    }
}

/// A caller's connection.
pub(crate) struct CallerStream {
    stream: TcpStream,
    state: Arc<ConnState>,
    /// How long a caller may take nothing of what is there for it.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl CallerStream {
    pub(crate) fn new(stream: TcpStream, state: Arc<ConnState>, patience: Duration) -> Self {
        Self { stream, state, patience, stalled: None }
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
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut"));
        }
        Ok(())
    }
}

impl Drop for CallerStream {
    fn drop(&mut self) {
        // No byte can follow, of whichever request.
        self.state.flushed.store(u64::MAX, Ordering::Release);
        self.state.moved.notify_waiters();
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP library asks for this only when it holds nothing back.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flush();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
