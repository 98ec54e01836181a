//! The black box: processes that die at any moment, and what their log says afterwards.
//!
//! `KAKASHI_KILLS=1000 cargo test --release --test blackbox torture -- --nocapture` kills as often, by hand.

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::black_box::{Counts, Files, box_of, log_of};
use common::*;
use kakashi::__box::{self as boxes, View};
use kakashi::{Block, Channel, DropOldest, FileSink, MemorySink, Place, Sink, StartError, info};

const THREADS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

kakashi::channel!(
    /// Small, so that callers wait for the writer.
    static WAITING: Channel<64, 256, 8, Block>;
);
kakashi::channel!(
    /// Large, so that much is left when the writer hangs.
    static ROOMY: Channel<128, 4096, 8, Block>;
);
kakashi::channel!(
    static NEWEST: Channel<64, 16, 2, DropOldest>;
);

const SCENARIOS: &[Scenario] = &[
    ("torture", torture),
    ("piped", piped),
    ("held", held),
    ("restart", restart),
    ("full_disk", full_disk),
    ("crowded", crowded),
    ("dies", dies),
    ("two_sinks", two_sinks),
    ("evicting", evicting),
    ("forks", forks),
    ("clean", clean),
    ("eats", eats),
    ("again", again),
    ("orphan", orphan),
];

#[test]
fn child() {
    dispatch(SCENARIOS);
}

/// The numbers of each thread in the log, which must be in order and without gap.
fn numbers_in(files: &Files) -> [u64; THREADS] {
    let mut last = [0; THREADS];
    for line in lines_of(files.log()) {
        if !is_notice(&line) {
            let message = message(&line);
            let (thread, n) = (number(message, "thread=") as usize, number(message, "n="));
            assert_eq!(n, last[thread] + 1, "after {} of thread {thread}: {line}", last[thread]);
            last[thread] = n;
        }
    }
    last
}

fn total(counts: &Counts) -> u64 {
    (0..THREADS).map(|thread| counts.of(thread).load(Ordering::Acquire)).sum()
}

fn start(directory: &str, sink: impl Sink) -> kakashi::Guard {
    kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("the backend starts")
}

/// Threads that log numbers without end and note each whose call has returned.
fn log_numbers<R: Fn(usize, u64) + Sync>(returned: R) -> ! {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let returned = &returned;
            scope.spawn(move || {
                for n in 1.. {
                    if n % 3 == 0 {
                        info!(
                            WAITING,
                            "a longer one of several slots: thread={} n={} {}",
                            thread,
                            n,
                            "x".repeat(90)
                        );
                    } else {
                        info!(WAITING, "thread={} n={}", thread, n);
                    }
                    returned(thread, n);
                }
            });
        }
    });
    unreachable!("the threads go on until the process is killed")
}

/// Takes whole batches, or parts of them.
struct Choppy {
    inner: FileSink,
    state: u64,
}

impl Choppy {
    fn new(path: &Path, seed: u64) -> Self {
        Choppy { inner: FileSink::append(path), state: seed | 1 }
    }
}

impl Sink for Choppy {
    fn open(&mut self) -> io::Result<()> {
        self.inner.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let len = 1 + self.state as usize % bytes.len();
        self.inner.write_batch(&bytes[..if self.state & 4 == 0 { bytes.len() } else { len }])
    }

    fn place(&self) -> Option<Place<'_>> {
        self.inner.place()
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}

fn torture(directory: &str) {
    let counts = Counts::open(&Path::new(directory).join("counts"));
    let _guard = start(directory, Choppy::new(&log_of(directory), std::process::id().into()));
    log_numbers(|thread, n| counts.of(thread).store(n, Ordering::Release));
}

fn piped(directory: &str) {
    let pipe =
        File::options().write(true).open(Path::new(directory).join("pipe")).expect("the pipe is there");
    let _guard = start(directory, FileSink::append(log_of(directory)));
    // A word is whole: a pipe takes up to 4096 bytes at once.
    log_numbers(|thread, n| {
        (&pipe).write_all(&(n << 8 | thread as u64).to_le_bytes()).expect("the pipe is open")
    });
}

/// Starts a scenario that will be killed.
fn spawn(name: &str, files: &Files, stdout: Stdio) -> Child {
    Command::new(std::env::current_exe().expect("the test knows its binary"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1", "-q"])
        .env("KAKASHI_TEST_SCENARIO", name)
        .env("KAKASHI_TEST_ARGUMENT", files.path())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary can be run")
}

fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
}

fn kills() -> u64 {
    std::env::var("KAKASHI_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20)
}

struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("KAKASHI_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| (u64::from(std::process::id()) * 0x9E37_79B9) | 1);
        println!("KAKASHI_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[track_caller]
fn assert_all(found: [u64; THREADS], returned: impl Fn(usize) -> u64) {
    for (thread, &found) in found.iter().enumerate() {
        let returned = returned(thread);
        assert!(
            found == returned || found == returned + 1,
            "thread {thread}: {returned} calls had returned, and the log ends with {found}"
        );
    }
}

#[test]
fn torture_no_returned_record_is_lost_or_doubled_by_a_kill() {
    let mut random = Random::new();
    for round in 0..kills() {
        let files = Files::new();
        let counts = Counts::open(&files.directory.file("counts"));
        let child = spawn("torture", &files, Stdio::null());
        let (began, some) = (Instant::now(), 1 + random.below(40_000));
        while total(&counts) < some {
            assert!(began.elapsed() < HANG, "the child does not log");
            std::thread::yield_now();
        }
        kill(child);
        let before = std::fs::metadata(files.log()).map_or(0, |data| data.len());
        let report = boxes::complete(&files.black_box).expect("the box can be recovered");
        assert!(report.remarks.is_empty(), "{report:?}");
        assert_all(numbers_in(&files), |thread| counts.of(thread).load(Ordering::Relaxed));
        let log = lines_of(files.log());
        let told = notices(&log);
        assert!(
            told.last().is_some_and(|line| line.contains("recovered") || line.contains("has died")),
            "{told:?}"
        );
        println!(
            "{round}: {} bytes in the log, {} records recovered, {} torn",
            before, report.records, report.torn
        );
        // Once is enough.
        let again = boxes::complete(&files.black_box).expect("a clean box is no error");
        assert_eq!((again.records, lines_of(files.log()).len()), (0, log.len()));
    }
}

#[test]
fn numbers_that_went_through_a_pipe_are_in_the_log_after_the_next_start() {
    let mut random = Random::new();
    for _ in 0..kills().div_ceil(4) {
        let files = Files::new();
        let path = std::ffi::CString::new(files.directory.file("pipe").into_os_string().into_encoded_bytes());
        // SAFETY: a path, and a mode.
        assert_eq!(unsafe { libc::mkfifo(path.expect("no zeros").as_ptr(), 0o600) }, 0);
        let child = spawn("piped", &files, Stdio::null());
        let mut pipe = File::open(files.directory.file("pipe")).expect("the pipe is there");
        let mut returned = [0; THREADS];
        let mut left = 100 + random.below(5_000);
        let mut child = Some(child);
        let mut word = [0; 8];
        // Up to some number while it lives, and then what is left in the pipe.
        while pipe.read_exact(&mut word).is_ok() {
            let word = u64::from_le_bytes(word);
            returned[(word & 0xFF) as usize] = word >> 8;
            left -= 1;
            if left == 0 {
                child.take().into_iter().for_each(kill);
                left = u64::MAX;
            }
        }
        let ended = scenario("restart").with(files.path()).run();
        assert!(ended.status.success(), "{ended}");
        // A call can have returned whose number is not in the pipe yet, on each of the threads.
        for (thread, found) in numbers_in(&files).into_iter().enumerate() {
            assert!(
                found >= returned[thread] && found <= returned[thread] + 2,
                "{thread}: {found} of {returned:?}"
            );
        }
    }
}

/// Logs into rings that nobody drains: the sink takes a part of the first batch and hangs.
struct Hanging(FileSink, bool, Gate);

impl Sink for Hanging {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.1, true) {
            self.2.open();
            loop {
                std::thread::park();
            }
        }
        self.0.write_batch(&bytes[..bytes.len() / 2])
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

const HELD: u64 = 3000;

fn held(directory: &str) {
    let hangs = Gate::closed();
    let guard = start(directory, Hanging(FileSink::append(log_of(directory)), false, hangs.clone()));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (1..=HELD).for_each(|n| info!(ROOMY, "thread={} n={}", thread, n)));
        }
    });
    hangs.wait();
    println!("held");
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// The next start on the same path.
fn restart(directory: &str) {
    let guard = start(directory, FileSink::append(log_of(directory)));
    guard.shutdown(PATIENCE).expect("all is written");
}

#[test]
fn a_recovery_that_is_killed_itself_is_gone_on_with() {
    let mut random = Random::new();
    let mut interrupted = 0;
    for _ in 0..kills().div_ceil(4) {
        let files = Files::new();
        let ended = scenario("held").with(files.path()).run();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended.status),
            Some(libc::SIGKILL),
            "{ended}"
        );
        let before = std::fs::metadata(files.log()).expect("a part was written").len();
        for _ in 0..4 {
            let child = spawn("restart", &files, Stdio::null());
            let (began, more) = (Instant::now(), before + 1 + random.below(1_000_000));
            // At some length of the log: within the recovery, or after it.
            while std::fs::metadata(files.log()).is_ok_and(|data| data.len() < more)
                && began.elapsed() < HANG
                && files.black_box.exists()
            {
                std::thread::yield_now();
            }
            kill(child);
            interrupted += u32::from(!lines_of_torn(&files.log()).contains("had not written when it died"));
        }
        let ended = scenario("restart").with(files.path()).run();
        assert!(ended.status.success(), "{ended}");
        assert_eq!(numbers_in(&files), [HELD; THREADS]);
    }
    println!("{interrupted} recoveries were killed before their end");
}

/// The log's text, whose last line may be torn.
fn lines_of_torn(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[test]
fn the_next_start_brings_the_rest_into_the_log_and_says_so() {
    let files = Files::new();
    scenario("held").with(files.path()).run();
    // By hand first: it only prints.
    let view = View::open(&files.black_box).expect("it is a box");
    assert_eq!(view.life(), boxes::Life::Died);
    let mut printed = Vec::new();
    let report = boxes::print(&view, &mut printed).expect("it can be printed");
    let printed = String::from_utf8(printed).expect("a log is UTF-8");
    assert_eq!(report.records as usize, printed.lines().count() - 1);
    let whole = lines_of_torn(&files.log()).lines().count() - 1;
    assert_eq!(whole as u64 + report.records, HELD * THREADS as u64, "{report:?}");
    assert_eq!(report.thread_count(), THREADS, "{report:?}");

    assert!(scenario("restart").with(files.path()).run().status.success());
    assert_eq!(numbers_in(&files), [HELD; THREADS]);
    let log = lines_of(files.log());
    let told = notices(&log);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!("recovered {} records of 4 threads", report.records)), "{told:?}");
    // It has ended, with everything written.
    assert!(!files.black_box.exists());
}

/// A limit on the size of files stands for the disk: the kernel writes up to it, and refuses then.
const DISK: u64 = 40_000;

fn full_disk(directory: &str) {
    let guard = start(directory, FileSink::append(log_of(directory)));
    // SAFETY: a number, and a disposition.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: DISK, rlim_max: DISK }), 0);
    }
    (1..=2000_u64).for_each(|n| info!(ROOMY, "thread=0 n={}", n));
    until("the disk is full", || kakashi::get_async_stats().sink_errors > 0);
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn a_full_disk_loses_nothing_and_doubles_nothing() {
    let files = Files::new();
    scenario("full_disk").with(files.path()).run();
    assert_eq!(std::fs::metadata(files.log()).expect("a part was written").len(), DISK);
    let report = boxes::complete(&files.black_box).expect("there is room now");
    assert!(report.remarks.is_empty() && report.records > 1000, "{report:?}");
    assert_eq!(numbers_in(&files)[0], 2000);
}

/// Numbers without end, on a disk of as many bytes as the file `room` says.
fn crowded(directory: &str) {
    let room = std::fs::read_to_string(Path::new(directory).join("room")).expect("the room is given");
    let room = room.parse().expect("it is a number");
    let counts = Counts::open(&Path::new(directory).join("counts"));
    let _guard = start(directory, Choppy::new(&log_of(directory), std::process::id().into()));
    // SAFETY: a number, and a disposition.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: room, rlim_max: libc::RLIM_INFINITY };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    log_numbers(|thread, n| counts.of(thread).store(n, Ordering::Release));
}

#[test]
fn torture_no_returned_record_is_lost_or_doubled_by_a_kill_while_the_disk_is_full() {
    let mut random = Random::new();
    let (mut full, mut had_room_again) = (0, 0);
    let rounds = kills().div_ceil(2);
    for round in 0..rounds {
        let files = Files::new();
        let counts = Counts::open(&files.directory.file("counts"));
        let room = 1 + random.below(1_000_000);
        std::fs::write(files.directory.file("room"), room.to_string()).expect("it can be written");
        let child = spawn("crowded", &files, Stdio::null());
        let size = || std::fs::metadata(files.log()).map_or(0, |data| data.len());
        until("the disk is full", || size() >= room);
        // While it is full, when there is room again, or much later.
        (0..random.below(2_000)).for_each(|_| std::thread::yield_now());
        if round % 2 == 1 {
            let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            let pid = child.id() as libc::pid_t;
            // SAFETY: it reads a limit, and writes none.
            let given = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
            assert_eq!(given, 0, "{}", io::Error::last_os_error());
            let more = random.below(2) * random.below(1_000_000);
            until("the log goes on", || size() >= room + more);
        }
        kill(child);
        match size() {
            size if size == room => full += 1,
            _ => had_room_again += 1,
        }
        let report = boxes::complete(&files.black_box).expect("the box can be recovered");
        assert!(report.remarks.is_empty(), "{report:?}");
        assert_all(numbers_in(&files), |thread| counts.of(thread).load(Ordering::Relaxed));
        println!(
            "{round}: room for {room} bytes, {} records recovered, {} torn",
            report.records, report.torn
        );
    }
    println!("{full} killed while the disk was full, {had_room_again} when there was room again");
    assert!(full >= rounds / 2, "{full} of {rounds} were killed while the disk was full");
}

/// Logs, and dies in the way that the file `how` names.
fn dies(directory: &str) {
    let how = std::fs::read_to_string(Path::new(directory).join("how")).expect("the test says how");
    let builder = kakashi::builder().black_box(box_of(directory));
    let log = log_of(directory);
    // The crash handler asks a writer that hangs in vain, and leaves the rest to the box.
    let guard = match &*how {
        "handled" => builder.crash_handler(true).sink(FileSink::append(log)),
        "handled in vain" => {
            builder.crash_handler(true).sink(Hanging(FileSink::append(log), false, Gate::closed()))
        }
        _ => builder.sink(Hanging(FileSink::append(log), false, Gate::closed())),
    };
    std::mem::forget(guard.start().expect("the backend starts"));
    let log = || (1..=HELD).for_each(|n| info!(ROOMY, "thread=0 n={}", n));
    log();
    match &*how {
        "abort" => std::process::abort(),
        "segv" | "handled" | "handled in vain" => {
            // SAFETY: none: it is what a crash looks like.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
        }
        "stack" => {
            #[allow(unconditional_recursion)] // that is the point
            fn deeper(at: &[u8; 4096]) -> u64 {
                let mut next = *at;
                next[0] = next[0].wrapping_add(1);
                std::hint::black_box(&mut next);
                deeper(&next) + u64::from(next[0])
            }
            std::thread::spawn(|| std::hint::black_box(deeper(&[0; 4096]))).join().ok();
        }
        "exec" => {
            let error = std::os::unix::process::CommandExt::exec(&mut Command::new("/bin/true"));
            panic!("{error}");
        }
        // SAFETY: the process ends here.
        "_exit" => unsafe { libc::_exit(0) },
        other => panic!("{other}?"),
    }
}

#[test]
fn every_way_to_die_leaves_every_record() {
    for how in ["abort", "segv", "stack", "exec", "_exit", "handled", "handled in vain"] {
        let files = Files::new();
        std::fs::write(files.directory.file("how"), how).expect("it is written");
        let ended = scenario("dies").with(files.path()).run();
        let report =
            boxes::complete(&files.black_box).unwrap_or_else(|error| panic!("{how}: {error}\n{ended}"));
        assert!((report.records > 0) == (how != "handled") && report.remarks.is_empty(), "{how}: {report:?}");
        assert_eq!(numbers_in(&files)[0], HELD, "{how}");
    }
}

/// A sink of the program's own, whose bytes cannot be found afterwards.
fn two_sinks(directory: &str) {
    let hangs = Gate::closed();
    let guard = kakashi::builder()
        .sink_with(
            FileSink::append(Path::new(directory).join("errors")),
            kakashi::SinkOptions::default().level(kakashi::LevelFilter::Error),
        )
        .sink(Hanging(FileSink::append(log_of(directory)), false, hangs.clone()))
        .sink_with(
            FileSink::append(Path::new(directory).join("audit")),
            kakashi::SinkOptions::default().filter("off,audit=info".parse().expect("it is a filter")),
        )
        .black_box(box_of(directory))
        .start()
        .expect("the backend starts");
    for n in 1..=HELD {
        info!(ROOMY, "thread=0 n={}", n);
        if n % 200 == 0 {
            info!(kakashi::get_async_logger("audit"), "thread=2 n={}", n / 200);
        }
        if n % 100 == 0 {
            kakashi::error!(ROOMY, "thread=1 n={}", n / 100);
        }
    }
    hangs.wait();
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn each_sink_gets_its_own_rest() {
    let files = Files::new();
    scenario("two_sinks").with(files.path()).run();
    let report = boxes::complete(&files.black_box).expect("it can be recovered");
    assert!(report.remarks.is_empty(), "{report:?}");
    assert_eq!(numbers_in(&files)[..3], [HELD, HELD / 100, HELD / 200]);
    let audit = lines_of(files.directory.file("audit"));
    let found: Vec<u64> = messages(&audit).into_iter().map(|message| number(message, "n=")).collect();
    assert_eq!(found, (1..=HELD / 200).collect::<Vec<_>>());
    assert!(audit.iter().all(|line| line.contains(" audit ")), "{audit:?}");
    let errors = lines_of(files.directory.file("errors"));
    let found: Vec<u64> = messages(&errors).into_iter().map(|message| number(message, "n=")).collect();
    assert_eq!(found, (1..=HELD / 100).collect::<Vec<_>>());
}

#[test]
fn a_file_that_others_have_changed_gets_all_at_least_once() {
    let files = Files::new();
    scenario("held").with(files.path()).run();
    let mut log = File::options().append(true).open(files.log()).expect("the log is there");
    log.write_all(b"somebody else's, and torn").expect("it can be written");
    let report = boxes::complete(&files.black_box).expect("it can be recovered");
    assert!(report.remarks.iter().any(|remark| remark.contains("changed by others")), "{report:?}");
    let mut found = [[false; HELD as usize + 1]; THREADS];
    for line in lines_of(files.log()).iter().filter(|line| line.contains("thread=") && line.contains("] ")) {
        let message = message(line);
        found[number(message, "thread=") as usize][number(message, "n=") as usize] = true;
    }
    assert!(found.iter().all(|thread| thread[1..].iter().all(|&found| found)));
    // A log that was moved away is completed where it is.
    let files = Files::new();
    scenario("held").with(files.path()).run();
    std::fs::rename(files.log(), files.directory.file("log.1")).expect("it can be moved");
    let report = boxes::complete(&files.black_box).expect("it can be recovered");
    assert!(report.remarks.is_empty(), "{report:?}");
    let rest = lines_of_torn(&files.log());
    let first = std::fs::read_to_string(files.directory.file("log.1")).expect("it is UTF-8");
    assert!(first.ends_with('\n'));
    std::fs::write(files.log(), first + &rest).expect("it can be written");
    assert_eq!(numbers_in(&files), [HELD; THREADS]);
}

fn evicting(directory: &str) {
    let hangs = Gate::closed();
    let guard = start(directory, Hanging(FileSink::append(log_of(directory)), false, hangs.clone()));
    let orders = kakashi::get_async_logger("orders");
    info!(orders, "thread=1 n={}", 1);
    hangs.wait();
    for n in 1..=100_u64 {
        info!(NEWEST, "thread=0 n={}", n);
    }
    kakashi::get_async_logger("late to come").set_level(kakashi::LevelFilter::Trace);
    kakashi::debug!(kakashi::get_async_logger("late to come"), "thread=1 n={}", 2);
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn evicted_records_are_counted_and_loggers_keep_their_names() {
    let files = Files::new();
    scenario("evicting").with(files.path()).run();
    let report = boxes::complete(&files.black_box).expect("it can be recovered");
    let log = lines_of(files.log());
    let newest: Vec<u64> = messages(&log)
        .into_iter()
        .filter(|message| message.contains("thread=0"))
        .map(|message| number(message, "n="))
        .collect();
    assert_eq!(newest.last(), Some(&100));
    assert!(newest.len() >= 8 && newest.windows(2).all(|pair| pair[1] == pair[0] + 1), "{newest:?}");
    assert_eq!(report.dropped, 100 - newest.len() as u64, "{report:?}");
    assert!(log.iter().any(|line| line.contains(" DEBUG late\\x20to\\x20come ")), "{log:?}");
    assert!(log.iter().any(|line| line.contains(" INFO  orders ")), "{log:?}");
}

fn forks(directory: &str) {
    let guard = start(directory, FileSink::append(log_of(directory)));
    info!(ROOMY, "thread=0 n={}", 1);
    // SAFETY: the child only logs and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        info!(ROOMY, "thread=1 n={}", 1);
        let flushed = kakashi::flush(PATIENCE).is_ok();
        // Stays until its parent is gone, whose box must not seem alive by that.
        let mut byte = [0];
        let _ = io::stdin().read(&mut byte);
        // SAFETY: the process ends here.
        unsafe { libc::_exit(if flushed { 0 } else { 1 }) };
    }
    info!(ROOMY, "thread=0 n={}", 2);
    println!("forked {child}");
    std::mem::forget(guard);
    kakashi::flush(PATIENCE).expect("the parent's is written");
    until("the child has logged", || lines_of_torn(&log_of(directory)).contains("thread=1"));
    info!(ROOMY, "thread=0 n={}", 3);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn a_forked_child_has_no_part_in_the_box() {
    let files = Files::new();
    let mut parent = Command::new(std::env::current_exe().expect("the test knows its binary"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("KAKASHI_TEST_SCENARIO", "forks")
        .env("KAKASHI_TEST_ARGUMENT", files.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary can be run");
    // Open until the end: the child waits for it.
    let stdin = parent.stdin.take();
    parent.wait().expect("it has ended");
    // The child lives, and the box is free.
    let view = View::open(&files.black_box).expect("it is a box");
    assert_eq!(view.life(), boxes::Life::Died);
    let mut printed = Vec::new();
    let report = boxes::print(&view, &mut printed).expect("it can be printed");
    assert!(report.records <= 1, "{report:?}");
    let log = lines_of_torn(&files.log()) + &String::from_utf8_lossy(&printed);
    for (text, times) in
        [("thread=0 n=1\n", 1), ("thread=0 n=2\n", 1), ("thread=0 n=3\n", 1), ("thread=1 n=1\n", 1)]
    {
        assert_eq!(log.matches(text).count(), times, "{text}: {log}");
    }
    drop(stdin);
}

fn clean(directory: &str) {
    let path = box_of(directory);
    let guard = start(directory, FileSink::append(log_of(directory)));
    info!(ROOMY, "thread=0 n={}", 1);
    assert!(path.exists());
    // A second process is refused, and a second start on the same path after a shutdown is not.
    assert_eq!(View::open(&path).expect("it is a box").life(), boxes::Life::Alive);
    guard.shutdown(PATIENCE).expect("all is written");
    let guard = start(directory, FileSink::append(log_of(directory)));
    info!(ROOMY, "thread=0 n={}", 2);
    guard.shutdown(PATIENCE).expect("all is written");
    let other = kakashi::builder().sink(MemorySink::new()).black_box("/dev/shm/kakashi-other.box").start();
    let error = other.expect_err("a process has one box").to_string();
    assert!(error.contains("this process has one already"), "{error}");
}

#[test]
fn a_clean_end_leaves_no_file() {
    let files = Files::new();
    let ended = scenario("clean").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    assert!(!files.black_box.exists());
    assert_eq!(numbers_in(&files)[0], 2);
}

#[test]
fn what_cannot_be_a_box_is_refused_with_a_reason() {
    alone("what_cannot_be_a_box_is_refused_with_a_reason", || {
        let files = Files::new();
        let refused = |path: &Path| match kakashi::builder().sink(MemorySink::new()).black_box(path).start() {
            Err(StartError::BlackBox(error)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        let on_disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kakashi-test.box");
        // Where the target directory is no tmpfs.
        let error = refused(&on_disk);
        assert!(error.contains("not on a file system in memory") && error.contains("/dev/shm"), "{error}");
        let _ = std::fs::remove_file(on_disk);

        std::fs::write(&files.black_box, "my precious notes\n".repeat(1000)).expect("it is written");
        let error = refused(&files.black_box);
        assert!(error.contains("lets others at it"), "{error}");
        let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&files.black_box, only_mine).expect("it is ours");
        let error = refused(&files.black_box);
        assert!(error.contains("does not begin as a black box does"), "{error}");
        let kept = std::fs::read_to_string(&files.black_box).expect("it is there");
        assert!(kept.starts_with("my precious notes"));
        std::fs::remove_file(&files.black_box).expect("it is there");

        std::os::unix::fs::symlink("/dev/shm/elsewhere", &files.black_box).expect("it can be made");
        let error = refused(&files.black_box);
        assert!(error.contains("cannot open the black box"), "{error}");
        std::fs::remove_file(&files.black_box).expect("it is there");
        assert!(refused(Path::new("/dev/shm/no/such/folder")).contains("No such file"));

        info!("the first call");
        kakashi::flush(PATIENCE).expect("it is written");
        let error = refused(&files.black_box);
        assert!(error.contains("comes too late") && !files.black_box.exists(), "{error}");
    });
}

#[test]
fn a_box_in_which_a_process_lives_is_refused() {
    let files = Files::new();
    let counts = Counts::open(&files.directory.file("counts"));
    let child = spawn("torture", &files, Stdio::null());
    let began = Instant::now();
    while total(&counts) == 0 {
        assert!(began.elapsed() < HANG, "the child does not log");
        std::thread::yield_now();
    }
    let pid = child.id();
    let error = boxes::complete(&files.black_box).expect_err("it is in use").to_string();
    assert!(error.contains(&format!("process {pid} lives in")), "{error}");
    let view = boxes::find(pid).expect("a process's box is found by its number");
    assert_eq!((view.pid(), view.life()), (pid, boxes::Life::Alive));
    assert!(boxes::print(&view, &mut io::sink()).is_err());
    let stats = view.stats();
    assert!(stats.calls > 0 && stats.state == kakashi::State::Running, "{stats}");
    kill(child);
    assert_eq!(view.life(), boxes::Life::Died);
}

/// Logs, and takes memory until the kernel ends it. In the control group that the script has made.
fn eats(directory: &str) {
    let group = std::env::var("KAKASHI_CGROUP").expect("scripts/oom.sh says which");
    let counts = Counts::open(&Path::new(directory).join("counts"));
    let _guard = start(directory, Choppy::new(&log_of(directory), std::process::id().into()));
    std::fs::write(Path::new(&group).join("cgroup.procs"), std::process::id().to_string())
        .expect("it can be entered");
    std::thread::spawn(|| {
        let mut eaten = Vec::new();
        loop {
            eaten.push(vec![1_u8; 1 << 20]);
        }
    });
    log_numbers(|thread, n| counts.of(thread).store(n, Ordering::Release));
}

/// Run by `scripts/oom.sh`, which may make a control group; elsewhere it says that it is left out.
#[test]
fn the_out_of_memory_killer_takes_no_record() {
    if std::env::var_os("KAKASHI_CGROUP").is_none() {
        println!("left out: scripts/oom.sh runs it");
        return;
    }
    for _ in 0..kills().div_ceil(4) {
        let files = Files::new();
        let counts = Counts::open(&files.directory.file("counts"));
        let ended = scenario("eats").with(files.path()).run();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended.status),
            Some(libc::SIGKILL),
            "{ended}"
        );
        let report = boxes::complete(&files.black_box).expect("the box can be recovered");
        assert!(report.remarks.is_empty(), "{report:?}");
        assert_all(numbers_in(&files), |thread| counts.of(thread).load(Ordering::Relaxed));
        println!("{} calls, {} records recovered", total(&counts), report.records);
    }
}

/// What is done to the bytes of a file.
type Change = fn(&mut Vec<u8>);

#[test]
fn a_file_that_was_changed_gets_an_error_or_a_recovery_that_says_what_is_missing() {
    let files = Files::new();
    scenario("held").with(files.path()).run();
    let whole = std::fs::read(&files.black_box).expect("the box is there");
    let copy = files.directory.file("copy");
    let printed = |change: Change| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&copy, bytes).expect("it is written");
        let view = View::open(&copy).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        let report = boxes::print(&view, &mut text).map_err(|error| error.to_string())?;
        Ok::<_, String>((report.records, report.message(&view), String::from_utf8_lossy(&text).into_owned()))
    };
    let (all, message, _) = printed(|_| {}).expect("it is whole");
    assert!(!message.contains("not readable") && !message.contains("damaged"), "{message}");
    let refused = |change: Change, why: &str| {
        let error = printed(change).expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    refused(|bytes| bytes.truncate(0), "it is empty");
    refused(|bytes| bytes.truncate(100), "ends within its header");
    refused(|bytes| bytes.truncate(49_200), "ends before its tables do");
    refused(|bytes| bytes[0] ^= 1, "does not begin as a black box does");
    refused(|bytes| bytes[..8].copy_from_slice(b"kakashi?"), "a process that was making it has died");
    refused(|bytes| bytes[..8].fill(0), "does not begin as a black box does");
    refused(|bytes| bytes[8] = 0, "with layout 0, and this one reads layout 5");
    refused(|bytes| bytes[8] = 7, "with layout 7, and this one reads layout 5");
    refused(|bytes| bytes[128..136].fill(0xFF), "do not lie one behind the other");
    // The tables: what is left of them does not make all records.
    let (_, message, _) = printed(|bytes| bytes[49_152 + 600..50_480].fill(0)).expect("a part can be read");
    assert!(message.contains("the tables of its log statements are damaged"), "{message}");
    let (some, message, _) =
        printed(|bytes| bytes.truncate(bytes.len() / 100 * 9)).expect("a part can be read");
    assert!(message.contains("it is cut short") && some < all, "{message}");
    // A frame in a ring that says to be longer than the ring: the rest of that lane is lost, and that is said.
    let (some, message, text) = printed(|bytes| {
        // The records are of one statement, and of one slot: the words of their frames are the same.
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let mut seen = std::collections::HashMap::<u64, Vec<usize>>::new();
        for at in (0..bytes.len()).step_by(64).filter(|&at| word(at) & 0xFFFF == 1 && word(at) >> 16 != 0) {
            seen.entry(word(at)).or_default().push(at);
        }
        let frames = seen.into_values().max_by_key(Vec::len).expect("there are frames");
        let one = frames[frames.len() / 2];
        bytes[one..one + 2].fill(0x7F);
    })
    .expect("a part can be read");
    assert!(message.contains("not readable") && some < all, "{message}");
    assert_eq!(text.lines().count() as u64, some + 1);
    // Bits, anywhere.
    let mut random = Random::new();
    for _ in 0..30 {
        let mut bytes = whole.clone();
        for _ in 0..1000 {
            let (at, bit) = (random.below(bytes.len() as u64) as usize, random.below(8));
            bytes[at] ^= 1 << bit;
        }
        std::fs::write(&copy, &bytes).expect("it is written");
        if let Ok(view) = View::open(&copy) {
            let (_, _) = (view.stats(), view.lane_stats());
            let _ = boxes::print(&view, &mut io::sink());
        }
    }
}

/// A file of holes takes no room, and may say to have any number of lanes.
#[test]
fn a_box_of_more_lanes_than_a_process_has_is_read_in_part() {
    let files = Files::new();
    scenario("held").with(files.path()).run();
    let mut bytes = std::fs::read(&files.black_box).expect("the box is there");
    let word =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    // See `src/blackbox/mod.rs` and `tables.rs`: the first channel, forty times, each with the most lanes, behind all else.
    let (tables, from) = (word(&bytes, 120) as usize, bytes.clone());
    let mut behind = tables + 4;
    for _ in 0..2 {
        behind += 4 + (word(&from, behind) as u32) as usize;
    }
    let channel = &from[tables + 4..behind + 77];
    let (mut first, lane_bytes) = (1_u64 << 32, word(&from, behind + 20));
    let mut at = tables;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&40_u32.to_le_bytes());
    for _ in 0..40 {
        let mut channel = channel.to_vec();
        let numbers = behind - tables - 4;
        channel[numbers..numbers + 4].copy_from_slice(&4096_u32.to_le_bytes());
        channel[numbers + 12..numbers + 20].copy_from_slice(&first.to_le_bytes());
        put(&channel);
        first += 4097 * lane_bytes;
    }
    put(&0_u32.to_le_bytes());
    let len = at - tables;
    bytes[128..136].copy_from_slice(&(len as u64).to_le_bytes());
    let hash = bytes[tables..tables + len].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    bytes[136..144].copy_from_slice(&hash.to_le_bytes());
    let copy = files.directory.file("copy");
    std::fs::write(&copy, &bytes).expect("it is written");
    // So long that all of these lanes would lie within it.
    File::options()
        .write(true)
        .open(&copy)
        .and_then(|file| file.set_len(1 << 42))
        .expect("holes take no room");
    let view = View::open(&copy).expect("it is a box");
    let damage = view.damage().expect("it says more than can be");
    assert!(damage.contains("lanes, of which 65536 were looked at"), "{damage}");
    assert!(view.lane_stats().is_empty(), "they are of zeros");
    boxes::print(&view, &mut io::sink()).expect("what is staged can be printed");
}

/// A second backend in the same process, killed at once.
fn again(directory: &str) {
    let guard = start(directory, FileSink::append(log_of(directory)));
    info!(ROOMY, "thread=0 n={}", 1);
    guard.shutdown(PATIENCE).expect("all is written");
    let guard = start(directory, FileSink::append(log_of(directory)));
    info!(ROOMY, "thread=0 n={}", 2);
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn a_box_is_open_before_the_calls_of_a_second_backend() {
    for _ in 0..5 {
        let files = Files::new();
        scenario("again").with(files.path()).run();
        boxes::complete(&files.black_box).expect("it can be recovered");
        assert_eq!(numbers_in(&files)[0], 2);
    }
}

/// Fails, but not for ever.
struct Failing;

impl Sink for Failing {
    fn write_batch(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

fn orphan(directory: &str) {
    let builder = kakashi::builder().sink(FileSink::append(log_of(directory))).sink(Failing);
    let guard = builder.black_box(box_of(directory)).start().expect("the backend starts");
    info!(ROOMY, "thread=0 n={}", 1);
    until("the batch is in the file", || lines_of_torn(&log_of(directory)).contains("n=1\n"));
    info!(ROOMY, "thread=0 n={}", 2);
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn what_was_left_for_a_sink_that_is_gone_does_not_double_the_others() {
    let files = Files::new();
    scenario("orphan").with(files.path()).run();
    assert!(scenario("restart").with(files.path()).run().status.success());
    assert_eq!(numbers_in(&files)[0], 2);
    let log = lines_of(files.log());
    assert!(
        notices(&log).iter().any(|line| line.contains("is no sink any more, is in the others only")),
        "{log:?}"
    );
}
