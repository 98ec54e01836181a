//! Recoveries into sinks that hesitate, fail, panic, are called the same, or had missed something.

mod common;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::black_box::{Files, box_of, log_of};
use common::*;
use kakashi::{BackendError, Block, Channel, FileSink, LevelFilter, Place, Retry, Sink, SinkOptions, info};

kakashi::channel!(
    /// Has room for all that is logged here.
    static ROOMY: Channel<128, 4096, 2, Block>;
);

const SCENARIOS: &[Scenario] = &[
    ("leaves", leaves),
    ("twins leave", twins_leave),
    ("misses", misses),
    ("hesitates", hesitates),
    ("is stuck", is_stuck),
    ("panics", panics),
    ("twins", twins),
    ("restarts", restarts),
];
const PATIENCE: Duration = Duration::from_secs(30);
/// In the batch that is cut short, and again behind it.
const RECORDS: u64 = 500;

#[test]
fn child() {
    dispatch(SCENARIOS);
}

/// A file under a name of the test's choice, which does at each write what the test wants.
struct Odd<F> {
    name: &'static str,
    path: PathBuf,
    file: Option<File>,
    write: F,
}

type Write = fn(&mut File, &[u8]) -> io::Result<usize>;

impl<F> Odd<F> {
    fn new(name: &'static str, path: impl Into<PathBuf>, write: F) -> Self {
        Odd { name, path: path.into(), file: None, write }
    }
}

impl<F: FnMut(&mut File, &[u8]) -> io::Result<usize> + Send + 'static> Sink for Odd<F> {
    fn open(&mut self) -> io::Result<()> {
        self.file = Some(File::options().append(true).create(true).open(&self.path)?);
        Ok(())
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.write)(self.file.as_mut().expect("it is open"), bytes)
    }

    fn place(&self) -> Option<Place<'_>> {
        use std::os::unix::fs::MetadataExt;
        let data = self.file.as_ref()?.metadata().ok()?;
        Some(Place { device: data.dev(), inode: data.ino(), offset: data.len(), path: &self.path })
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

fn whole(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(file, bytes)
}

/// Takes a part of the first batch, opens the gate, and hangs.
fn part_and_hang(hangs: &Gate) -> impl FnMut(&mut File, &[u8]) -> io::Result<usize> + Send + 'static {
    let (hangs, mut begun) = (hangs.clone(), false);
    move |file, bytes| {
        if std::mem::replace(&mut begun, true) {
            hangs.open();
            loop {
                std::thread::park();
            }
        }
        whole(file, &bytes[..bytes.len() / 2])
    }
}

fn die(guard: kakashi::Guard) {
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

fn leaves(directory: &str) {
    let hangs = Gate::closed();
    let sink = Odd::new("the log", log_of(directory), part_and_hang(&hangs));
    let guard = kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("it starts");
    (1..=RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    hangs.wait();
    (RECORDS + 1..=2 * RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    die(guard);
}

fn restarts(directory: &str) {
    let sink = Odd::new("the log", log_of(directory), whole as Write);
    let guard = kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("it starts");
    guard.shutdown(PATIENCE).expect("all is written");
}

fn left() -> Files {
    let files = Files::new();
    scenario("leaves").with(files.path()).run();
    files
}

#[track_caller]
fn assert_whole(path: &Path) -> Vec<String> {
    let log = lines_of(path);
    let found: Vec<u64> = messages(&log).into_iter().map(|message| number(message, "n=")).collect();
    let gap = found.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!((found.first(), gap, found.last()), (Some(&1), None, Some(&(2 * RECORDS))));
    notices(&log).into_iter().map(str::to_owned).collect()
}

fn hesitates(directory: &str) {
    let mut calls = 0;
    let sink = Odd::new("another log", log_of(directory), move |file: &mut File, bytes: &[u8]| {
        calls += 1;
        match calls % 3 {
            0 => whole(file, &bytes[..bytes.len().min(777)]),
            1 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    });
    let guard = kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("it starts");
    guard.shutdown(PATIENCE).expect("all is written");
}

#[test]
fn errors_that_pass_are_waited_for() {
    let files = left();
    let ended = scenario("hesitates").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    let told = assert_whole(&files.log());
    assert!(told.len() == 1 && told[0].contains("recovered"), "{told:?}");
}

fn is_stuck(directory: &str) {
    let full: Write = |_, _| Err(io::ErrorKind::StorageFull.into());
    let sink = Odd::new("the log", log_of(directory), full);
    let retry = Retry::default().limit(Duration::from_millis(20));
    let builder = kakashi::builder().sink(sink).retry(retry).black_box(box_of(directory));
    let error = builder.start().expect_err("there is no room").to_string();
    assert!(error.contains("the log") && error.contains("no storage space"), "{error}");
}

#[test]
fn a_sink_that_stays_full_is_an_error_and_takes_nothing() {
    let files = left();
    let ended = scenario("is stuck").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    assert!(scenario("restarts").with(files.path()).run().status.success());
    assert_whole(&files.log());
}

fn panics(directory: &str) {
    let panics: Write = |_, _| panic!("as planned");
    let guard = kakashi::builder()
        .sink(Odd::new("the panicking one", Path::new(directory).join("elsewhere"), panics))
        .sink(Odd::new("the log", log_of(directory), whole as Write))
        .black_box(box_of(directory))
        .start()
        .expect("the other one works");
    guard.shutdown(PATIENCE).expect("all is written");
}

#[test]
fn a_sink_that_panics_in_a_recovery_is_left_out_and_named() {
    let files = left();
    let ended = scenario("panics").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    let told = assert_whole(&files.log());
    assert!(
        told.iter().any(|line| line.contains("`the panicking one` does not take them: the sink panicked")),
        "{told:?}"
    );
}

fn twins_leave(directory: &str) {
    let hangs = Gate::closed();
    let twin = |at: usize| Path::new(directory).join(format!("twin{at}"));
    // The first takes all and the second a part.
    let guard = kakashi::builder()
        .sink(Odd::new("twin", twin(0), whole as Write))
        .sink(Odd::new("twin", twin(1), part_and_hang(&hangs)))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    (1..=RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    hangs.wait();
    (RECORDS + 1..=2 * RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    die(guard);
}

fn twins(directory: &str) {
    let twin = |at: usize| Odd::new("twin", Path::new(directory).join(format!("twin{at}")), whole as Write);
    let builder = kakashi::builder().sink(twin(0)).sink(twin(1)).black_box(box_of(directory));
    builder.start().expect("it starts").shutdown(PATIENCE).expect("all is written");
}

#[test]
fn sinks_of_one_name_get_each_its_own() {
    let files = Files::new();
    scenario("twins leave").with(files.path()).run();
    let ended = scenario("twins").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    for twin in ["twin0", "twin1"] {
        assert_whole(&files.directory.file(twin));
    }
}

static SUSPENDED: AtomicBool = AtomicBool::new(false);

fn misses(directory: &str) {
    let full: Write = |_, _| Err(io::ErrorKind::StorageFull.into());
    let guard = kakashi::builder()
        .sink(FileSink::append(log_of(directory)))
        .sink_with(
            Odd::new("the full one", Path::new(directory).join("elsewhere"), full),
            SinkOptions::default().level(LevelFilter::Info),
        )
        .retry(Retry::default().limit(Duration::ZERO))
        .on_error(|error| {
            if matches!(error, BackendError::Suspended { .. }) {
                SUSPENDED.store(true, Ordering::Release);
            }
        })
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    info!(ROOMY, "n={}", 1);
    until("the full one is left out", || SUSPENDED.load(Ordering::Acquire));
    (2..=2 * RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    kakashi::flush(PATIENCE).expect("the other one has it");
    die(guard);
}

#[test]
fn what_a_sink_had_missed_is_told() {
    let files = Files::new();
    scenario("misses").with(files.path()).run();
    assert!(scenario("restarts").with(files.path()).run().status.success());
    let told = assert_whole(&files.log());
    assert!(
        told.iter()
            .any(|line| line.contains("`the full one` had missed") && line.contains("while it failed")),
        "{told:?}"
    );
}
