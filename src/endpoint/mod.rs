//! The statistics at a port, for a Prometheus server: one thread, which waits for all connections at once.
//!
//! Decision: `httparse` and `mio`, and not `tiny_http`, which has a thread for each connection, however many there are, waits
//! for a client as long as that one likes, keeps a head of any length, listens no more after one failed `accept`, and takes
//! as much memory for a body as the client says that it has: a logger must not bring that into a process.
#![forbid(unsafe_code)]

mod connection;

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use self::connection::Connection;
use crate::cores;

/// Clients at a time; the next one takes the place of the one that is there for the longest.
const MOST_CONNECTIONS: usize = 32;

/// After this long without a free descriptor, `accept` is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Whatever has happened, everything is looked at.
const ANY: Token = Token(0);

/// Serves [`prometheus_text`](crate::prometheus_text) over HTTP, as a Prometheus server scrapes it: `GET` and `HEAD` of
/// `/metrics` get it; another path gets 404, another method 405. It goes on, over shutdowns and new starts of the backend,
/// until what is returned is dropped. Nothing listens, and no thread is made, unless this is called.
///
/// The address is a host and a port, such as `127.0.0.1:9464`; for port 0 the system chooses one, which
/// [`local_addr`](MetricsEndpoint::local_addr) says. Whoever can reach it can read the figures: there is neither encryption nor a
/// password, so let it be one of the machine itself, or of a network of your own.
///
/// What clients can do: each has 5 s for one request and its answer, 8 KiB for the request's head, and is then closed. A
/// client that is slow, silent or sends garbage holds up nobody, since one thread waits for all of them. At most 32 are there at
/// a time (some 600 KiB of memory); a further one takes the place of the oldest. So a flood of connections can push out
/// a scrape, and keep that thread busy; it cannot touch log calls, and no memory grows.
///
/// The thread, `kakashi-metrics`, takes no signals and gives way to others (nice 19). A forked child has no endpoint; but it has
/// the socket, so that the port stays taken until the child ends or calls `exec`.
///
/// # Errors
/// [`EndpointError`] says what, where and what to do.
///
/// ```
/// let endpoint = kakashi::serve_metrics("127.0.0.1:0")?;
/// println!("curl http://{}/metrics", endpoint.local_addr());
/// # Ok::<(), kakashi::EndpointError>(())
/// ```
pub fn serve_metrics(addr: impl ToSocketAddrs + fmt::Debug) -> Result<MetricsEndpoint, EndpointError> {
    let listen = |addr| {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, TcpListener::from_std(listener)))
    };
    let bind_error = |source| EndpointError::Bind { addr: format!("{addr:?}"), source };
    let (local_addr, listener) = listen(&addr).map_err(bind_error)?;
    let stop = Arc::new(AtomicBool::new(false));
    let start = || {
        let (server, waker) = Server::new(listener, stop.clone())?;
        let thread = std::thread::Builder::new().name("kakashi-metrics".to_owned());
        Ok((thread.spawn(|| server.run())?, waker))
    };
    let (thread, waker) = start().map_err(EndpointError::Thread)?;
    Ok(MetricsEndpoint { local_addr, stop, waker, thread: Some(thread), process: std::process::id() })
}

/// An endpoint that serves, until this is dropped: then its port is free and its thread gone. Made by [`serve_metrics`].
#[must_use = "dropping it ends the endpoint"]
#[derive(Debug)]
pub struct MetricsEndpoint {
    local_addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// A forked child has no thread to wait for.
    process: u32,
}

impl MetricsEndpoint {
    /// Where it listens, with the port that the system has chosen if it was to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        if self.waker.wake().is_ok() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

/// Why there is no endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndpointError {
    /// It cannot listen there.
    Bind {
        /// The address, as it was given.
        addr: String,
        /// The system's answer.
        source: io::Error,
    },
    /// There can be no thread for it, or nothing to wait for clients with.
    Thread(io::Error),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::Bind { addr, source } => {
                let advice = match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        "something listens there already: choose another port, or 0 for one that is free"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "the machine has no such address: 127.0.0.1 is for programs on it, 0.0.0.0 for everybody"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need a right of their own: choose a higher one"
                    }
                    _ => "an address is a host and a port, such as 127.0.0.1:9464",
                };
                write!(f, "cannot serve metrics at {addr}: {source}; {advice}")
            }
            EndpointError::Thread(source) => {
                write!(f, "cannot start the thread that serves metrics: {source}")
            }
        }
    }
}

impl error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            EndpointError::Bind { source, .. } | EndpointError::Thread(source) => Some(source),
        }
    }
}

/// What the thread has.
struct Server {
    poll: Poll,
    listener: TcpListener,
    /// The oldest first.
    connections: VecDeque<Connection>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn new(mut listener: TcpListener, stop: Arc<AtomicBool>) -> io::Result<(Server, Waker)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, ANY, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), ANY)?;
        Ok((Server { poll, listener, connections: VecDeque::with_capacity(MOST_CONNECTIONS), stop }, waker))
    }

    fn run(mut self) {
        cores::stay_behind();
        cores::unpin();
        let mut events = Events::with_capacity(MOST_CONNECTIONS);
        // An event comes once for what has changed: hence, each is gone on with until it would block, before the next wait.
        while !self.stop.load(Ordering::Relaxed) {
            let look_again = self.accept();
            let now = Instant::now();
            self.connections.retain_mut(|connection| now < connection.deadline && connection.go_on());
            let out_of_time = self.connections.front().map(|oldest| oldest.deadline - now);
            let wait = look_again.into_iter().chain(out_of_time).min();
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }

    /// Takes those who have come; after how long to look again without being woken, if need be.
    fn accept(&mut self) -> Option<Duration> {
        for _ in 0..MOST_CONNECTIONS {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if self.connections.len() == MOST_CONNECTIONS {
                        self.connections.pop_front();
                    }
                    self.connections.extend(Connection::new(stream, self.poll.registry(), ANY).ok());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(PAUSE),
            }
        }
        Some(Duration::ZERO)
    }
}
