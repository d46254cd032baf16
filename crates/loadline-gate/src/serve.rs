//! Listening: connections, their limits, and a good end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::conn::{CallerStream, ConnState};
use crate::gate::Gate;
use crate::proxy;

/// Connections that may wait to be accepted: a burst of callers must not lose its first packets.
const BACKLOG: i32 = 4_096;
/// How often it is looked at whether time alone forbids something.
const TICK: Duration = Duration::from_millis(200);

/// Opens a listener, before there is a runtime.
///
/// # Errors
/// When the address is not to be had.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until `ending` says so, then lets requests under way come to their end, for as long as the configuration
/// says, and returns.
pub async fn serve(gate: Arc<Gate>, listener: TcpListener, mut ending: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(gate.limits.connections));
    let mut connections = tokio::task::JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ticking = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move {
            loop {
                tick.tick().await;
                gate.tick().await;
            }
        })
    };
    loop {
        // When all are taken, new callers wait in the backlog.
        let accept = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            _ = ending.wait_for(|ends| *ends) => break,
            accepted = accept => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (gate, ending) = (Arc::clone(&gate), ending.clone());
                connections.spawn(async move {
                    connection(gate, stream, ending).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, for example: what is open must close first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    drop(listener);
    gate.drain();
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left after it are dropped, and what they used is settled.
    let _ = tokio::time::timeout(gate.limits.drain, all).await;
    connections.shutdown().await;
    ticking.abort();
}

async fn connection(gate: Arc<Gate>, stream: TcpStream, mut ending: watch::Receiver<bool>) {
    // A connection without it works too, slower.
    let _ = stream.set_nodelay(true);
    let state = Arc::new(ConnState::default());
    let _open = gate.live.open(&state);
    let stream = CallerStream::new(stream, Arc::clone(&state), gate.limits.write);
    let Some(door) = gate.door.load_full() else {
        return speak(gate, stream, state, ending).await;
    };
    let welcome = tokio::select! {
        // Who has not asked yet is not waited for.
        _ = ending.wait_for(|ends| *ends) => return,
        welcome = door.welcome(stream, gate.limits.header) => welcome,
    };
    // Who does not speak TLS, or does not trust this gate, is let go.
    if let Ok(stream) = welcome {
        speak(gate, stream, state, ending).await;
    }
}

/// HTTP on a connection, until it ends.
async fn speak(
    gate: Arc<Gate>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    state: Arc<ConnState>,
    mut ending: watch::Receiver<bool>,
) {
    let io = TokioIo::new(stream);
    let limits = &gate.limits;
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header).max_header_size(limits.header_bytes);
    let service = {
        let gate = Arc::clone(&gate);
        service_fn(move |request| proxy::handle(Arc::clone(&gate), Arc::clone(&state), request))
    };
    let serving = builder.serve_connection(io, service);
    tokio::pin!(serving);
    tokio::select! {
        // A caller who breaks off, or sends what is not HTTP, ends the connection and nothing else.
        _ = serving.as_mut() => return,
        _ = ending.wait_for(|ends| *ends) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
