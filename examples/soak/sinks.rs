//! The sinks: one that verifies what it takes and has moods, a pipe whose reader is slow, a file that is read behind the
//! writer.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kakashi::{Sink, WriterSink};

use crate::plan::Mood;
use crate::random::Random;
use crate::report;
use crate::stream::Stream;

/// Verifies what it takes; slow, full, interrupted, or greedy only for a part, as its mood says.
pub struct Moody {
    stream: Arc<Stream>,
    mood: Mood,
    random: Random,
    full_until: Option<Instant>,
    /// Of the batch, a part was taken.
    within: bool,
}

impl Moody {
    pub fn new(stream: &Arc<Stream>, mood: &Mood) -> Self {
        Moody {
            stream: Arc::clone(stream),
            mood: mood.clone(),
            random: Random::new(mood.seed),
            full_until: None,
            within: false,
        }
    }
}

impl Sink for Moody {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let full = || Err(io::Error::from_raw_os_error(libc::ENOSPC));
        let mood = &self.mood;
        match self.full_until {
            Some(until) if Instant::now() < until => return full(),
            // This batch it takes.
            Some(_) => {}
            None => {
                if self.random.one_in(mood.full.0) {
                    self.full_until = Some(Instant::now() + Duration::from_millis(mood.full.1));
                    return if self.random.one_in(2) { Ok(0) } else { full() };
                }
            }
        }
        // A part that was taken would be counted as dropped with the rest of its batch.
        if !self.within && self.random.one_in(mood.panics) {
            self.stream.end();
            // Without the panic hook, which would print it.
            std::panic::resume_unwind(Box::new("a fragile sink"));
        }
        if self.random.one_in(mood.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.random.one_in(mood.slow.0) {
            thread::sleep(Duration::from_micros(self.random.below(mood.slow.1)));
        }
        if self.random.one_in(mood.hangs.0) {
            thread::sleep(Duration::from_millis(mood.hangs.1));
        }
        let part = self.random.one_in(mood.part);
        let taken = if part { 1 + self.random.below(bytes.len() as u64) as usize } else { bytes.len() };
        self.within = taken < bytes.len();
        if !self.within {
            self.full_until = None;
        }
        self.stream.feed(&bytes[..taken]);
        Ok(taken)
    }

    fn name(&self) -> String {
        self.stream.name()
    }
}

/// Reads a pipe to its end, or leaves it after some bytes.
pub fn pipe(
    stream: &Arc<Stream>,
    chunk: u64,
    rest_us: u64,
    leaves_after: Option<u64>,
) -> (WriterSink<PipeWriter>, JoinHandle<()>) {
    let (reader, writer) = io::pipe().expect("there are descriptors");
    let stream = Arc::clone(stream);
    let thread = thread::Builder::new().name("reader".to_owned()).stack_size(256 << 10);
    let thread = thread.spawn(move || read_pipe(reader, &stream, chunk, rest_us, leaves_after));
    (WriterSink::new(writer), thread.expect("a thread can be made"))
}

fn read_pipe(mut reader: PipeReader, stream: &Stream, chunk: u64, rest_us: u64, leaves_after: Option<u64>) {
    let mut buffer = vec![0; chunk as usize];
    let mut read = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                read += len as u64;
                if leaves_after.is_some_and(|most| read > most) {
                    // What it has just read is lost with it.
                    return stream.end();
                }
                stream.feed(&buffer[..len]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return report::violation(format!("the pipe cannot be read: {error}")),
        }
        if rest_us != 0 {
            thread::sleep(Duration::from_micros(rest_us));
        }
    }
}

/// Reads a log file behind the writer.
pub struct Tail {
    pub path: PathBuf,
    file: File,
    stream: Arc<Stream>,
    buffer: Vec<u8>,
}

impl Tail {
    /// Of a file that a sink has opened.
    pub fn new(path: &Path, stream: &Arc<Stream>) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Tail { path: path.to_owned(), file, stream: Arc::clone(stream), buffer: vec![0; 256 << 10] })
    }

    /// Reads what has come since.
    pub fn read_on(&mut self) {
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(0) => return,
                Ok(len) => self.stream.feed(&self.buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return report::violation(format!("{}: {error}", self.path.display())),
            }
        }
    }
}
