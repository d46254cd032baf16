//! What a person does to a running command: Ctrl-C, SIGTERM, SIGUSR1, and the `t` key.
//!
//! One thread waits for signals and, on a terminal, for keys; it also ticks, so that a view can be drawn while the
//! runtime's thread is busy. The first Ctrl-C asks the command to stop cleanly; the second ends the process at once,
//! which loses nothing that was answered, since the record is on disk.

use std::io::{IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::backend::{Handle, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::exit::Exit;

/// What a command does when somebody speaks to it.
pub trait Respond: Send + 'static {
    /// Stop cleanly. Said once; the next time the process ends.
    fn stop(&mut self);

    /// Say what is in flight.
    fn in_flight(&mut self);

    /// Every [`TICK`], when ticking was asked for.
    fn tick(&mut self) {}
}

/// Time between two ticks: how often a view is drawn.
pub const TICK: Duration = Duration::from_millis(100);

/// How a command is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Watch the keyboard too, when the command is in the foreground of a terminal.
    pub keys: bool,
    /// Tick.
    pub ticks: bool,
}

/// Watches until it is dropped; then the terminal is as it was.
pub struct Control {
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Control {
    /// Starts watching.
    ///
    /// # Errors
    /// When the operating system gives no pipe or no thread.
    pub fn start(watch: Watch, respond: impl Respond) -> std::io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        let signals = [SIGINT, SIGTERM, SIGHUP, SIGUSR1];
        let delivery = SignalDelivery::with_pipe(reader, writer, SignalOnly, signals)?;
        let handle = delivery.handle();
        // A limit on the size of files is then an error that says so, not the end of the process.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let keys = if watch.keys { Keys::open() } else { None };
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || listen(delivery, keys, watch.ticks, respond))?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported already, and losing a view fails nothing.
            let _view_lost = thread.join();
        }
    }
}

type Delivery = SignalDelivery<UnixStream, SignalOnly>;

fn listen(mut delivery: Delivery, mut keys: Option<Keys>, ticks: bool, mut respond: impl Respond) {
    let timeout = ticks.then(|| Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) as _ });
    let mut stopping = false;
    while !delivery.handle().is_closed() {
        let pressed = wait(&delivery, keys.as_ref(), timeout.as_ref());
        let mut key_presses = Vec::new();
        if pressed && let Some(open) = &mut keys {
            match open.read() {
                Some(typed) => key_presses = typed,
                None => keys = None,
            }
        }
        let signals: Vec<_> = delivery.pending().collect();
        if signals.contains(&SIGUSR1) || key_presses.iter().any(|key| key.eq_ignore_ascii_case(&b't')) {
            respond.in_flight();
        }
        if signals.iter().any(|signal| *signal != SIGUSR1) {
            if stopping {
                drop(keys);
                end_now();
            }
            stopping = true;
            respond.stop();
        }
        if ticks {
            respond.tick();
        }
    }
}

/// Waits for a signal, a key or the timeout; true when there is a key to read.
fn wait(delivery: &Delivery, keys: Option<&Keys>, timeout: Option<&Timespec>) -> bool {
    let mut fds = vec![PollFd::new(delivery.get_read(), PollFlags::IN)];
    if let Some(keys) = keys {
        fds.push(PollFd::from_borrowed_fd(keys.stdin.as_fd(), PollFlags::IN));
    }
    // An interrupted or failed poll is a wake-up like any other.
    rustix::event::poll(&mut fds, timeout).is_ok() && fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
}

#[expect(clippy::exit, reason = "the person asked twice")]
fn end_now() -> ! {
    std::process::exit(Exit::Cancelled as i32)
}

/// The keyboard of the terminal, read key by key and without echo. Ctrl-C and Ctrl-Z work as ever.
struct Keys {
    stdin: std::io::Stdin,
    before: Termios,
}

impl Keys {
    /// `None` without a terminal, or in the background, where changing the terminal would stop the process.
    fn open() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || termios::tcgetpgrp(&stdin).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut by_key = before.clone();
        by_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        termios::tcsetattr(&stdin, OptionalActions::Now, &by_key).ok()?;
        Some(Self { stdin, before })
    }

    /// What was typed; `None` when the terminal is gone.
    fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        match self.stdin.lock().read(&mut buffer) {
            Ok(0) => None,
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Some(Vec::new()),
            Err(_) => None,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _terminal_gone = termios::tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
    }
}
