//! The journal, store by store: each store of a process into the parts of its black box that a recovery goes by, and each
//! system call that changes a file, is followed by a stop in which the process might have died: what stands in the box is
//! copied, recovered, and the log must be whole. The same for a process that recovers.
//!
//! On x86_64 stores become visible in the order of the program, so that these are the states in which a process that is
//! killed can leave its box, for these records. (Random kills, with all that goes on at once, are `blackbox.rs`'s.)
//!
//! How: the pages are read-only. A store faults, and the handler lets this one instruction through and makes the page
//! read-only again before it stops. System calls are stopped at by functions of libc's names, which the linker prefers.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

#[path = "../common/mod.rs"]
mod common;
mod guarded;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::black_box::{Counts, Files, box_of, complete, log_of};
use common::*;
use kakashi::__box as boxes;
use kakashi::{Block, Channel, Place, Sink, info};

kakashi::channel!(
    /// So small that a few rounds of records go around.
    static SMALL: Channel<64, 16, 2, Block>;
);

const SCENARIOS: &[Scenario] = &[("writes", writes), ("leaves", leaves), ("recovers", recovers)];
const PATIENCE: Duration = Duration::from_secs(100);

/// Which of the shared counts says what, besides those of the two threads.
const READY: usize = 4;
const GO: usize = 5;
/// How often it has stopped, and how often it was let go on.
const STOP: usize = 6;
const GO_ON: usize = 7;
/// What `GO` says in the end.
const DONE: u64 = 2;

/// The journal's place in the file: see `blackbox/mod.rs`.
const JOURNAL: std::ops::Range<u64> = 256..47_488;
/// Where the header says where staging and lanes are.
const STAGING_AT: u64 = 152;
const PAGE: usize = 4096;

#[test]
fn child() {
    dispatch(SCENARIOS);
}

/// A file of our own that is moved away when it has grown, as a rotation does it; it takes a batch in two parts.
struct Switching {
    path: PathBuf,
    file: Option<File>,
    moved: usize,
    whole: bool,
}

/// Of a recovery's steps, one of so many is one to die at, at each death of the process.
const EVERY: u64 = 2;

/// Bytes after which the log is moved away.
const MOST: u64 = 1500;

impl Switching {
    fn new(path: &Path) -> Self {
        Switching { path: path.to_owned(), file: None, moved: 0, whole: true }
    }
}

impl Sink for Switching {
    /// Without `FileSink`'s lock, which a recovery of the copies would meet.
    fn open(&mut self) -> io::Result<()> {
        self.file = Some(File::options().append(true).create(true).open(&self.path)?);
        Ok(())
    }

    fn prepare(&mut self, next: &[u8]) -> io::Result<()> {
        // Between two lines: a batch is taken in two parts, and the second one ends it.
        if self.whole && !next.is_empty() && self.file.as_ref().expect("it is open").metadata()?.len() > MOST
        {
            guarded::unblock();
            while self.path.with_extension(self.moved.to_string()).exists() {
                self.moved += 1;
            }
            std::fs::rename(&self.path, self.path.with_extension(self.moved.to_string()))?;
            guarded::stop();
            self.open()?;
            guarded::stop();
        }
        Ok(())
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.whole = !self.whole;
        let len = if self.whole { bytes.len() } else { bytes.len() / 2 };
        guarded::unblock();
        let file = self.file.as_mut().expect("it is open");
        file.write(&bytes[..len])
    }

    fn place(&self) -> Option<Place<'_>> {
        let data = self.file.as_ref()?.metadata().ok()?;
        Some(Place { device: data.dev(), inode: data.ino(), offset: data.len(), path: &self.path })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn start(directory: &str) -> kakashi::Guard {
    let sink = Switching::new(&log_of(directory));
    kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("the backend starts")
}

fn counts_of(directory: &str) -> &'static Counts {
    // For the handlers.
    Box::leak(Box::new(Counts::open(&Path::new(directory).join("counts"))))
}

/// Logs from two threads, and notes each number whose call has returned.
fn log(counts: &Counts, thread: usize, records: u64) {
    for _ in 0..records {
        let n = counts.of(thread).load(Ordering::Relaxed) + 1;
        if n.is_multiple_of(3) {
            info!(SMALL, "of several slots: thread={} n={} {}", thread, n, "x".repeat(90));
        } else {
            info!(SMALL, "thread={} n={}", thread, n);
        }
        counts.of(thread).store(n, Ordering::Release);
    }
}

fn rounds(counts: &Counts, rounds: usize) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                log(counts, 0, 4);
                std::thread::scope(|scope| {
                    scope.spawn(|| log(counts, 1, 3));
                });
                kakashi::flush(PATIENCE).expect("all is written");
            }
        });
    });
}

/// Tells the test that it can begin, and waits until it says so.
fn meet(counts: &'static Counts) {
    counts.of(READY).store(1, Ordering::Release);
    while counts.of(GO).load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    guarded::arm(counts);
}

fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

fn writes(directory: &str) {
    let counts = counts_of(directory);
    let _guard = start(directory);
    // Around the rings, so that all their pages are in use.
    rounds(counts, 4);
    meet(counts);
    guarded::guard(&lanes_of(&File::open(box_of(directory)).expect("the box is there")));
    rounds(counts, 3);
    counts.of(GO).store(DONE, Ordering::Release);
    stay();
}

/// Takes a part of a batch and hangs.
struct Hanging(Switching, Gate);

impl Sink for Hanging {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.0.whole {
            self.1.open();
            stay();
        }
        self.0.write_batch(bytes)
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

fn leaves(directory: &str) {
    let (counts, hangs) = (counts_of(directory), Gate::closed());
    let sink = Hanging(Switching::new(&log_of(directory)), hangs.clone());
    let guard =
        kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("the backend starts");
    log(counts, 0, 3);
    hangs.wait();
    log(counts, 0, 4);
    std::thread::scope(|scope| {
        scope.spawn(|| log(counts, 1, 6));
    });
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

fn recovers(directory: &str) {
    let counts = counts_of(directory);
    meet(counts);
    std::mem::forget(start(directory));
    counts.of(GO).store(DONE, Ordering::Release);
    stay();
}

fn spawn(scenario: &str, files: &Files) -> Child {
    Command::new(std::env::current_exe().expect("the test knows its binary"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1", "-q"])
        .env("KAKASHI_TEST_SCENARIO", scenario)
        .env("KAKASHI_TEST_ARGUMENT", files.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test binary can be run")
}

fn ready(counts: &Counts) {
    let began = Instant::now();
    while counts.of(READY).load(Ordering::Acquire) == 0 {
        assert!(began.elapsed() < HANG, "the child does not begin");
        std::thread::yield_now();
    }
}

/// What a recovery goes by, besides the records.
#[derive(Default, PartialEq)]
struct State {
    words: Vec<u8>,
    log: Option<(u64, u64)>,
}

/// A box, and the pages of it that are in use.
struct Watched<'a> {
    files: &'a Files,
    file: File,
    lanes: Vec<u64>,
}

/// Where staging and lanes begin.
fn parts_of(black_box: &File) -> (u64, u64) {
    let mut words = [0; 16];
    black_box.read_exact_at(&mut words, STAGING_AT).expect("there is a header");
    let word = |at: usize| u64::from_le_bytes(words[at..at + 8].try_into().expect("eight bytes"));
    (word(0), word(8))
}

/// The pages of lanes in which something stands.
fn lanes_of(black_box: &File) -> Vec<u64> {
    let (mut lanes, (_, mut at), mut page) = (Vec::new(), parts_of(black_box), [0; PAGE]);
    while black_box.read_exact_at(&mut page, at).is_ok() {
        if page.iter().any(|&byte| byte != 0) {
            lanes.push(at);
        }
        at += PAGE as u64;
    }
    lanes
}

impl<'a> Watched<'a> {
    fn open(files: &'a Files) -> Self {
        let file = File::open(&files.black_box).expect("the box is there");
        let lanes = lanes_of(&file);
        Watched { files, file, lanes }
    }

    fn state(&self, state: &mut State) {
        let journal = (JOURNAL.end - JOURNAL.start) as usize;
        state.words.clear();
        state.words.resize(journal + self.lanes.len() * PAGE, 0);
        // A box that is being laid out anew is short.
        let _ = self.file.read_at(&mut state.words[..journal], JOURNAL.start);
        for (&at, page) in self.lanes.iter().zip(state.words[journal..].chunks_mut(PAGE)) {
            let _ = self.file.read_at(page, at);
        }
        state.log = std::fs::metadata(self.files.log()).ok().map(|data| (data.ino(), data.len()));
    }

    /// The box as it is, in a file of its own.
    fn copy(&self) -> PathBuf {
        let to = self.files.black_box.with_extension("copy");
        let copy = File::options().write(true).create(true).truncate(true).mode(0o600).open(&to);
        let copy = copy.expect("a copy can be made");
        let len = self.file.metadata().expect("it is open").len();
        copy.set_len(len).expect("there is room");
        let put = |from: u64, len: usize| {
            let mut bytes = vec![0; len];
            let read = self.file.read_at(&mut bytes, from).unwrap_or(0);
            copy.write_all_at(&bytes[..read], from).expect("it can be written");
        };
        if len > JOURNAL.end {
            let (staging, _) = parts_of(&self.file);
            // What stands before staging, and a batch of the only sink.
            put(0, staging as usize + 2 * PAGE);
            self.lanes.iter().for_each(|&at| put(at, PAGE));
        }
        to
    }
}

/// The log and what was moved away of it.
struct Logs(BTreeMap<PathBuf, Vec<u8>>);

impl Logs {
    fn read(files: &Files) -> Self {
        let entries = std::fs::read_dir(files.path()).expect("the directory is there").flatten();
        let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("log"));
        Logs(logs.map(|log| (log.path(), std::fs::read(log.path()).expect("it can be read"))).collect())
    }

    /// Puts back what a recovery has done to them.
    fn put_back(&self, files: &Files) {
        for (path, now) in Logs::read(files).0 {
            match self.0.get(&path) {
                Some(before) if *before != now => {
                    let log = File::options().write(true).open(&path).expect("it is there");
                    log.write_all_at(before, 0).expect("it can be written");
                    log.set_len(before.len() as u64).expect("it can be cut");
                }
                Some(_) => {}
                None => std::fs::remove_file(&path).expect("it is there"),
            }
        }
    }

    /// The last number of each thread; all before must be there once, in order, and in whole lines.
    fn numbers(&self) -> [u64; 2] {
        let (mut last, mut text) = ([0; 2], Vec::new());
        // `log.0` and so on, and then `log` itself.
        let is_moved = |path: &&PathBuf| path.extension().is_some();
        let moved = self.0.iter().filter(|(path, _)| is_moved(path));
        let current = self.0.iter().filter(|(path, _)| !is_moved(path));
        moved.chain(current).for_each(|(_, bytes)| text.extend(bytes));
        let text = String::from_utf8(text).expect("a log is UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn: {text}");
        for line in text.lines().filter(|line| !is_notice(line)) {
            let (thread, n) = (number(message(line), "thread=") as usize, number(message(line), "n="));
            assert_eq!(n, last[thread] + 1, "after {} of thread {thread}: {text}", last[thread]);
            last[thread] = n;
        }
        last
    }
}

/// The process might die now.
fn die(watched: &Watched<'_>, counts: &Counts) {
    let files = watched.files;
    let returned = [0, 1].map(|thread| counts.of(thread).load(Ordering::Acquire));
    let logs = Logs::read(files);
    let recover = |copy: &Path| {
        let report = complete(copy).expect("the box can be recovered");
        std::fs::remove_file(copy).expect("it is there");
        assert!(report.remarks.is_empty() && report.unreadable == 0, "{report:?}");
        let found = Logs::read(files).numbers();
        for thread in 0..2 {
            let known = returned[thread]..=counts.of(thread).load(Ordering::Acquire) + 1;
            assert!(known.contains(&found[thread]), "{known:?} had returned on thread {thread}: {found:?}");
        }
        logs.put_back(files);
    };
    recover(&watched.copy());
    // And with it two recoveries, one after the other, at some of their steps: others each time.
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    for first in (turn % EVERY..).step_by(EVERY as usize) {
        let copy = watched.copy();
        let is_over = boxes::complete_in_part(&copy, first).is_ok();
        if !is_over {
            let _ = boxes::complete_in_part(&copy, (first + turn / EVERY) % 40);
        }
        recover(&copy);
        if is_over {
            break;
        }
    }
}

/// The process might die in the middle of the write that is behind it: some of its bytes are in the file.
fn die_in_a_write(watched: &Watched<'_>, counts: &Counts, before: u64, after: u64) {
    let logs = Logs::read(watched.files);
    for len in [before, before + 1, (before + after) / 2, after - 1] {
        let log = File::options().write(true).open(watched.files.log()).expect("it is there");
        log.set_len(len).expect("it can be cut");
        die(watched, counts);
        logs.put_back(watched.files);
    }
}

/// Leads a process to its end, with a death after each change. Returns how many there were.
fn lead(mut child: Child, watched: &Watched<'_>, counts: &Counts) -> usize {
    let (mut state, mut next) = (State::default(), State::default());
    let (mut deaths, mut stops, mut began) = (0, 0, Instant::now());
    watched.state(&mut state);
    counts.of(GO).store(1, Ordering::Release);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        while counts.of(GO).load(Ordering::Acquire) != DONE {
            if counts.of(STOP).load(Ordering::Acquire) == stops {
                assert!(began.elapsed() < HANG, "the process does not go on");
                std::thread::yield_now();
                continue;
            }
            watched.state(&mut next);
            if next != state {
                die(watched, counts);
                deaths += 1;
                if let (Some((inode, before)), Some((same, after))) = (state.log, next.log)
                    && inode == same
                    && after > before
                {
                    die_in_a_write(watched, counts, before, after);
                    deaths += 4;
                }
                std::mem::swap(&mut state, &mut next);
            }
            stops += 1;
            began = Instant::now();
            counts.of(GO_ON).store(stops, Ordering::Release);
        }
    }));
    child.kill().and_then(|()| child.wait()).expect("it can be killed");
    println!("{deaths} deaths in {stops} stops");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    deaths
}

#[test]
fn every_change_of_a_batch_is_one_to_die_after() {
    let files = Files::new();
    let counts = Counts::open(&files.directory.file("counts"));
    let child = spawn("writes", &files);
    ready(&counts);
    let watched = Watched::open(&files);
    let deaths = lead(child, &watched, &counts);
    die(&watched, &counts);
    assert!(Logs::read(&files).0.len() > 2, "the log was moved away");
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn every_change_of_a_recovery_is_one_to_die_after() {
    let files = Files::new();
    let counts = Counts::open(&files.directory.file("counts"));
    spawn("leaves", &files).wait().expect("it ends");
    let child = spawn("recovers", &files);
    ready(&counts);
    let watched = Watched::open(&files);
    let deaths = lead(child, &watched, &counts);
    assert_eq!(Logs::read(&files).numbers(), [7, 6]);
    assert!(deaths > 50, "{deaths}");
}
