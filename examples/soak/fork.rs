//! Forked children, which log to the sinks they were born with or to one of their own, and takeovers of a default backend.
//!
//! A child without the sinks' lock (one of them hangs) logs to standard error: a file here, whose lines are counted, too.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread;

use crate::backend::Backend;
use crate::load::{self, Sender};
use crate::plan::Mood;
use crate::record::CHILD;
use crate::sinks::Moody;
use crate::stream::{Stream, Sums};
use crate::{PATIENCE, report};

const CALM: Mood =
    Mood { seed: 0, part: 7, interrupted: 0, full: (0, 0), slow: (0, 0), hangs: (0, 0), panics: 0 };

/// Records of a child that gets a sink of its own, before it does.
const FIRST: u64 = 20;

/// An empty file without a name, for what is said on standard error.
fn unnamed(folder: &Path) -> io::Result<File> {
    let path = folder.join("stderr");
    let file = File::options().read(true).append(true).create(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn lines_of(file: &mut File, name: &str) -> io::Result<Sums> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let stream = Stream::new(name.to_owned());
    stream.begin(true);
    stream.feed(&bytes);
    Ok(stream.sums())
}

/// Forks a child that logs so many records, and verifies that each is somewhere once.
pub fn child(backend: &mut Backend, folder: &Path, records: u64, own: bool) -> io::Result<()> {
    let sender = Sender::new(0, 1, CHILD);
    let mut stderr = unnamed(folder)?;
    let (mut reader, mut writer) = io::pipe()?;
    let inherits = backend.can_be_inherited();
    let before = backend.file().map_or(0, |(tail, stream)| {
        tail.read_on();
        stream.sums().children
    });
    // What it logged to inherited sinks without a file could not be seen: it logs to its own from the first record on.
    let own_from = if inherits { own.then_some(FIRST.min(records - 1)) } else { Some(0) };
    let forks = load::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: glibc makes its own locks usable in the child, which uses none that other threads may hold.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        drop(reader);
        // SAFETY: both descriptors are open. The alarm ends a child that hangs.
        unsafe {
            libc::dup2(stderr.as_raw_fd(), 2);
            libc::alarm(2 * PATIENCE.as_secs() as u32);
        }
        backend.forget_partial();
        let body = || live(&sender, records, own_from, &mut writer);
        let ended = catch_unwind(AssertUnwindSafe(body));
        for violation in report::take() {
            eprintln!("{}", violation.what);
        }
        std::process::exit(match ended {
            Ok(Ok(())) if !report::failed() => 0,
            Ok(_) => 3,
            Err(_) => 101,
        });
    }
    drop((forks, writer));
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer)?;
    let mut status = 0;
    // SAFETY: `status` is written to.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {}
    if status != 0 {
        let mut said = String::new();
        stderr.rewind()?;
        stderr.read_to_string(&mut said)?;
        report::violation(format!("a forked child ended with status {status:#x} and said:\n{said}"));
        return Ok(());
    }
    let said = lines_of(&mut stderr, "child")?.children;
    let filed = backend.file().map_or(0, |(tail, stream)| {
        tail.read_on();
        stream.sums().children - before
    });
    let word =
        |at: usize| answer.get(at * 8..at * 8 + 8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let (logged, kept, dropped) = (word(0), word(1), word(2));
    let all = kept.zip(dropped).map(|(kept, dropped)| filed + said + kept + dropped);
    if logged.is_none() || all != logged {
        report::violation(format!(
            "of a forked child's {logged:?} records {filed} are in the file, {said} on standard error, {kept:?} in its \
             own sink, and {dropped:?} were dropped"
        ));
    }
    Ok(())
}

/// The child. It is one thread, which must not go back into the soak.
fn live(
    sender: &Sender,
    records: u64,
    own_from: Option<u64>,
    answer: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let own = Arc::new(Stream::new("child's own".to_owned()));
    own.begin(true);
    let begun = load::calls();
    let mut guard = None;
    for number in 0..records {
        if own_from == Some(number) {
            // Takes over from the default backend that the first record has started.
            guard =
                Some(kakashi::builder().sink(Moody::new(&own, &CALM)).shutdown_timeout(PATIENCE).start()?);
        }
        sender.send(number);
    }
    // Or the end of the process writes it.
    if !records.is_multiple_of(3) || own_from.is_some() {
        kakashi::flush(PATIENCE)?;
    }
    if records % 3 == 1 {
        kakashi::shutdown_async_backend(PATIENCE)?;
    }
    let (stats, begun) = (kakashi::get_async_stats(), load::calls() - begun);
    let accounted = stats.messages_written + stats.messages_dropped + stats.queue_size;
    // Without a flush, records move on meanwhile.
    if stats.calls != begun || (!records.is_multiple_of(3) && stats.calls != accounted) {
        return Err(format!("{begun} records were logged: {stats}").into());
    }
    for word in [begun, own.sums().children, stats.messages_dropped] {
        answer.write_all(&word.to_le_bytes())?;
    }
    // A guard's drop shuts down, which is the exit's part here.
    std::mem::forget(guard);
    Ok(())
}

/// Before the first backend of the process: the default one, which a record starts, hands over to it.
pub fn take_over(folder: &Path, start: impl FnOnce() -> Result<Backend, String>) -> Result<Backend, String> {
    let mut stderr = unnamed(folder).map_err(|error| error.to_string())?;
    // SAFETY: 2 is open, and stays so.
    let before = unsafe { libc::dup(2) };
    if before < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    // SAFETY: both are open.
    unsafe { libc::dup2(stderr.as_raw_fd(), 2) };
    let sender = Arc::new(Sender::new(0, 0, 0));
    let thread = thread::Builder::new().name(format!("w{}", sender.id)).spawn({
        let sender = Arc::clone(&sender);
        move || {
            for number in 0..1_000 {
                sender.send(number);
            }
        }
    });
    thread.map_err(|error| error.to_string())?.join().map_err(|_| "the first thread panicked")?;
    let backend = start();
    let flushed = kakashi::flush(PATIENCE);
    // SAFETY: as above; `before` is not used any more.
    unsafe {
        libc::dup2(before, 2);
        libc::close(before);
    }
    flushed.map_err(|error| error.to_string())?;
    let said = lines_of(&mut stderr, "default backend").map_err(|error| error.to_string())?;
    let mut backend = backend?;
    backend.begins_behind(&said);
    Ok(backend)
}
