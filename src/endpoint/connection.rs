//! One client: a request, its answer, the end.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::prometheus::prometheus_text;

/// How long a client has for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a request's head.
const LONGEST_HEAD: usize = 8 << 10;
const MOST_HEADERS: usize = 64;

/// Bytes that are read behind a head, to be thrown away.
const LONGEST_REST: usize = 64 << 10;

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) deadline: Instant,
    head: Vec<u8>,
    /// Empty until the head is there.
    answer: Vec<u8>,
    sent: usize,
    thrown_away: usize,
}

impl Connection {
    pub(super) fn new(mut stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let deadline = Instant::now() + PATIENCE;
        Ok(Connection { stream, deadline, head: Vec::new(), answer: Vec::new(), sent: 0, thrown_away: 0 })
    }

    /// Does what can be done without waiting; false when it is over.
    pub(super) fn go_on(&mut self) -> bool {
        self.try_to_end().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn try_to_end(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1024];
        while self.answer.is_empty() {
            let len = some(self.stream.read(&mut bytes)?)?;
            self.head.extend_from_slice(&bytes[..len]);
            self.answer = answer(&self.head).unwrap_or_default();
        }
        while self.sent < self.answer.len() {
            self.sent += some(self.stream.write(&self.answer[self.sent..])?)?;
        }
        self.stream.shutdown(Shutdown::Write)?;
        // What it still sends is read: closed before, the connection would be reset, and the answer lost on its way.
        while self.thrown_away < LONGEST_REST {
            self.thrown_away += some(self.stream.read(&mut bytes)?)?;
        }
        Ok(())
    }
}

/// Nothing more comes from a client that has closed.
fn some(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(len) }
}

/// What is answered to a request, when its head is whole or will never be.
fn answer(head: &[u8]) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    Some(match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.and_then(|path| path.split('?').next());
            let is_head = request.method == Some("HEAD");
            match (path, request.method) {
                (Some("/metrics"), Some("GET" | "HEAD")) => {
                    let kind = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
                    response("200 OK", kind, &prometheus_text(), is_head)
                }
                (Some("/metrics"), _) => {
                    response("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "", is_head)
                }
                _ => {
                    let kind = "Content-Type: text/plain; charset=utf-8\r\n";
                    response("404 Not Found", kind, "The metrics are at /metrics.\n", is_head)
                }
            }
        }
        Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            response("431 Request Header Fields Too Large", "", "", false)
        }
        Err(_) => response("400 Bad Request", "", "", false),
    })
}

fn response(status: &str, headers: &str, body: &str, is_head: bool) -> Vec<u8> {
    let len = body.len();
    let body = if is_head { "" } else { body };
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
