//! Recoveries into sinks that hesitate, fail, panic, are called the same, or had missed something.

mod common;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::black_box::{Files, box_of, complete, log_of};
use common::*;
use kakashi::__box::{self as boxes, View};
use kakashi::{
    BackendError, BlackBoxError, Block, Channel, DropOldest, FileSink, LevelFilter, Place, Retry, Sink,
    SinkOptions, StartError, info,
};

kakashi::channel!(
    /// Has room for all that is logged here.
    static ROOMY: Channel<128, 4096, 2, Block>;
);

kakashi::channel!(static SMALL: Channel<64, 16, 2, Block>);
kakashi::channel!(static NEWS: Channel<64, 64, 2, DropOldest>);

const SCENARIOS: &[Scenario] = &[
    ("leaves", leaves),
    ("twins leave", twins_leave),
    ("misses", misses),
    ("hesitates", hesitates),
    ("is stuck", is_stuck),
    ("panics", panics),
    ("twins", twins),
    ("restarts", restarts),
    ("dies early", dies_early),
    ("is quiet", is_quiet),
    ("two leave", two_leave),
    ("overwrites", overwrites),
    ("may write little", may_write_little),
    ("takes what is no box", takes_what_is_no_box),
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

/// Before the writer has run at all.
fn dies_early(directory: &str) {
    let guard = kakashi::builder()
        .sink(FileSink::append(log_of(directory)))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    info!(ROOMY, "n={}", 1);
    die(guard);
}

#[test]
fn the_first_record_has_its_time() {
    for _ in 0..10 {
        let files = Files::new();
        scenario("dies early").with(files.path()).run();
        complete(&files.black_box).expect("it can be recovered");
        let log = std::fs::read_to_string(files.log()).expect("there is a log");
        assert_eq!(messages(&lines_of(files.log())).first(), Some(&"n=1"), "{log}");
        assert!(!log.contains("1970"), "{log}");
    }
}

/// Everything is written, and the ring has gone around within a moment.
fn is_quiet(directory: &str) {
    let guard = kakashi::builder()
        .sink(FileSink::append(log_of(directory)))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    for n in 1..=50 {
        // Records of one and of several slots, so that what stands behind the last one is of any kind.
        info!(
            SMALL,
            "n={} {}",
            n,
            &"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"[..n % 60]
        );
        if n % 10 == 0 {
            kakashi::flush(HANG).expect("it is written");
        }
    }
    die(guard);
}

#[test]
fn no_call_is_said_to_have_been_under_way_that_was_not() {
    for _ in 0..5 {
        let files = Files::new();
        scenario("is quiet").with(files.path()).run();
        let report = complete(&files.black_box).expect("it can be recovered");
        assert_eq!((report.records, report.torn), (0, 0), "{report:?}");
        assert_eq!(messages(&lines_of(files.log())).len(), 50);
    }
}

/// Its number is another file's by now: nobody else's file is touched.
#[test]
fn a_file_that_has_got_the_logs_number_is_left_alone() {
    let files = left();
    let other = files.directory.file("other.conf");
    std::fs::rename(files.log(), &other).expect("it is renamed");
    std::fs::write(&other, "mine").expect("it is written");
    complete(&files.black_box).expect("it can be recovered");
    assert_eq!(std::fs::read_to_string(&other).expect("it is there"), "mine");
    // The new log has what the old one had not got, from a line's start on.
    let log = lines_of(files.log());
    assert!(log.iter().all(|line| line.starts_with("20")), "{:?}", log.first());
    let last =
        messages(&log).iter().rev().find(|message| message.starts_with("n=")).map(|last| (*last).to_owned());
    assert_eq!(last, Some(format!("n={}", 2 * RECORDS)));
}

#[test]
fn a_damaged_box_is_kept_aside() {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    let files = left();
    let file = File::options().read(true).write(true).open(&files.black_box).expect("it is there");
    // Its tables: see `src/blackbox/mod.rs`.
    file.write_all_at(&[0; 700], 49_152 + 600).expect("it can be damaged");
    let before = std::fs::read(&files.black_box).expect("it is read");
    let view = View::open(&files.black_box).expect("it can be read in part");
    let kept = PathBuf::from(format!("{}.damaged-{}", files.black_box.display(), view.pid()));
    let report = complete(&files.black_box).expect("it can be recovered in part");
    let message = report.message(&view);
    assert!(message.contains(&format!("kept as `{}`", kept.display())), "{message}");
    assert!(!message.contains("nothing of its log was missing"), "{message}");
    assert!(std::fs::read(&kept).expect("it is kept") == before, "the copy is not what was there");
    assert_eq!(std::fs::metadata(&kept).expect("it is there").permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(kept).expect("it is there");
}

/// By hand, nobody says which mode the log had, and whether a link may be followed: the safer one of both.
#[test]
fn a_log_that_is_gone_is_made_for_its_user_and_no_link_followed() {
    use std::os::unix::fs::PermissionsExt;
    let files = left();
    std::fs::rename(files.log(), files.directory.file("elsewhere")).expect("it is moved");
    let victim = files.directory.file("victim");
    std::fs::write(&victim, "").expect("it is written");
    std::os::unix::fs::symlink(&victim, files.log()).expect("it is linked");
    let error = complete(&files.black_box).expect_err("there is a link");
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(std::fs::metadata(&victim).expect("it is there").len(), 0);
    std::fs::remove_file(files.log()).expect("it is there");
    complete(&files.black_box).expect("it can be recovered");
    assert_eq!(std::fs::metadata(files.log()).expect("it is made").permissions().mode() & 0o777, 0o600);
}

/// The first one has nearly all of the batch, the other one nothing.
fn two_leave(directory: &str) {
    let hangs = Gate::closed();
    let mut begun = false;
    let most = move |file: &mut File, bytes: &[u8]| {
        if std::mem::replace(&mut begun, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        whole(file, &bytes[..bytes.len() - 100])
    };
    let hang = {
        let hangs = hangs.clone();
        move |_: &mut File, _: &[u8]| {
            hangs.open();
            loop {
                std::thread::park();
            }
        }
    };
    let guard = kakashi::builder()
        .sink(Odd::new("most", log_of(directory), most))
        .sink(Odd::new("none", log_of(directory).with_extension("none"), hang))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    (1..=RECORDS).for_each(|n| info!(ROOMY, "n={}", n));
    hangs.wait();
    die(guard);
}

#[test]
fn records_are_counted_by_the_sink_that_lacks_most() {
    let files = Files::new();
    scenario("two leave").with(files.path()).run();
    let view = View::open(&files.black_box).expect("it is there");
    let printed = boxes::print(&view, &mut io::sink()).expect("it can be printed");
    let report = complete(&files.black_box).expect("it can be recovered");
    assert_eq!(report.records, printed.records);
    assert_eq!(report.records, RECORDS);
}

fn overwrites(directory: &str) {
    let hangs = Gate::closed();
    let sink = Odd::new("the log", log_of(directory), part_and_hang(&hangs));
    let guard = kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("it starts");
    (1..=30).for_each(|n| info!(NEWS, "n={}", n));
    hangs.wait();
    (31..=500).for_each(|n| info!(NEWS, "n={}", n));
    die(guard);
}

/// However often a recovery is cut short, it says the same of what was dropped.
#[test]
fn what_was_dropped_is_counted_once() {
    let files = Files::new();
    scenario("overwrites").with(files.path()).run();
    let copy = files.directory.file("copy");
    let log = std::fs::read(files.log()).expect("there is a log");
    let mut dropped = Vec::new();
    for steps in 0.. {
        std::fs::copy(&files.black_box, &copy).expect("it is copied");
        std::fs::write(files.log(), &log).expect("it is put back");
        let is_over = boxes::complete_in_part(&copy, steps).is_ok();
        if is_over {
            break;
        }
        let report = complete(&copy).expect("it can be recovered");
        dropped.push(report.dropped);
    }
    assert!(dropped.len() > 10 && dropped[0] != 0, "{dropped:?}");
    assert!(dropped.iter().all(|&count| count == dropped[0]), "{dropped:?}");
}

fn may_write_little(directory: &str) {
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: the limit is one.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    let started = kakashi::builder()
        .sink(FileSink::append(log_of(directory)))
        .black_box(box_of(directory))
        .start()
        .map(drop);
    assert!(matches!(&started, Err(StartError::BlackBox(BlackBoxError::Space { .. }))), "{started:?}");
    // SAFETY: both sets are written before they are read.
    let blocked = unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        libc::sigismember(&set, libc::SIGXFSZ)
    };
    assert_eq!(blocked, 0, "the program's own writes are its own affair");
}

#[test]
fn a_limit_on_files_is_an_error_of_start() {
    let files = Files::new();
    let ended = scenario("may write little").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    assert!(!files.black_box.exists(), "an empty file is left");
}

fn takes_what_is_no_box(directory: &str) {
    let started = kakashi::builder()
        .sink(FileSink::append(log_of(directory)))
        .black_box(box_of(directory))
        .start()
        .map(drop);
    assert!(matches!(&started, Err(StartError::BlackBox(BlackBoxError::Foreign { .. }))), "{started:?}");
}

#[test]
fn a_file_that_begins_with_zeros_is_no_box() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let mine = [vec![0; 64], b"and something of mine".to_vec()].concat();
    std::fs::write(&files.black_box, &mine).expect("it is written");
    std::fs::set_permissions(&files.black_box, std::fs::Permissions::from_mode(0o600)).expect("it is set");
    let ended = scenario("takes what is no box").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(std::fs::read(&files.black_box).expect("it is there"), mine);
}
