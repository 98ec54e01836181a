//! What the integration tests share: processes of their own, sinks under the test's command, and what a
//! log's lines say.
//!
//! There is one backend per process, so that a test that starts one runs in a process of its own
//! ([`alone`]); what happens at a process's end is a *scenario*, run by [`scenario`] and looked at from
//! outside.
#![allow(dead_code, unused_imports, unused_macros)] // each test binary uses a part of this

pub mod ledger;

pub mod black_box;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kakashi::{AsyncStats, MemorySink, Sink};

/// Longer than anything takes that does not hang.
pub const HANG: Duration = Duration::from_secs(50);

kakashi::channel!(
    /// For tests that count every record: a machine that stands still for a second must not make them fail,
    /// as it does under the default policy, which then drops, and says so.
    pub static SURE: kakashi::Channel<128, 8192, 16, kakashi::Block>;
);

const SCENARIO: &str = "KAKASHI_TEST_SCENARIO";
const ARGUMENT: &str = "KAKASHI_TEST_ARGUMENT";

/// Runs the body of the test `name` in a process of its own.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var(SCENARIO).as_deref() == Ok(name) {
        return body();
    }
    let ended = Process::new(name, name).run();
    // What it could not do here is said past this process's harness, too.
    for line in ended.stderr.lines().filter(|line| line.starts_with(SKIPPED)) {
        let _ = writeln!(io::stderr(), "{line}");
    }
    assert!(ended.status.success(), "{name}: {ended}");
    assert!(ended.stdout.contains("1 passed"), "`{name}` is not the test's name: {ended}");
}

/// The process that runs the scenario `name`; `entry` is the test that calls [`dispatch`].
pub fn scenario(name: &str) -> Process {
    Process::new("child", name)
}

/// Runs the scenario that this process was made for, if it was.
pub type Scenario = (&'static str, fn(&str));

pub fn dispatch(scenarios: &[Scenario]) {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let (_, run) = scenarios.iter().find(|(known, _)| *known == name).expect("the scenario is in the list");
    run(&std::env::var(ARGUMENT).unwrap_or_default());
}

/// This test binary, to be run again.
pub struct Process {
    command: Command,
    stdout: File,
    stderr: File,
}

impl Process {
    fn new(test: &str, scenario: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test knows its binary"));
        let (stdout, stderr) = (unnamed_file(), unnamed_file());
        command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(SCENARIO, scenario)
            .env_remove(ARGUMENT)
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("a descriptor is free"))
            .stderr(stderr.try_clone().expect("a descriptor is free"));
        Process { command, stdout, stderr }
    }

    /// Gives the scenario its argument: a path.
    pub fn with(mut self, argument: impl AsRef<Path>) -> Self {
        self.command.env(ARGUMENT, argument.as_ref());
        self
    }

    /// Gives it another standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Gives it another standard output.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Runs it to its end, which it must come to by itself.
    pub fn run(self) -> Ended {
        self.try_run().expect("the test binary can be run")
    }

    /// The same, with `prepare` run in the new process before it becomes the test binary. An error of `prepare`'s is
    /// given back.
    pub fn run_behind(
        mut self,
        prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Ended> {
        // SAFETY: what the tests give makes system calls, and nothing else.
        unsafe { self.command.pre_exec(prepare) };
        self.try_run()
    }

    fn try_run(mut self) -> io::Result<Ended> {
        let mut child = self.command.spawn()?;
        // `Child::wait` knows no time-out, hence a thread that fires only on a hang.
        let done = Gate::closed();
        let watchdog = std::thread::spawn({
            let (done, id) = (done.clone(), child.id());
            move || {
                if !done.wait_for(2 * HANG) {
                    // SAFETY: the child has not been waited for, so that the id is still its own.
                    unsafe { libc::kill(id as i32, libc::SIGKILL) };
                }
            }
        });
        let status = wait_unreaped(&mut child, &done);
        watchdog.join().expect("the watchdog does not panic");
        Ok(Ended { status, stdout: read_back(&mut self.stdout), stderr: read_back(&mut self.stderr) })
    }
}

/// Waits for the child's end, and opens `done` before its id is given back.
fn wait_unreaped(child: &mut std::process::Child, done: &Gate) -> ExitStatus {
    // SAFETY: all zero is a valid `siginfo_t`, which `waitid` writes to.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while libc::waitid(libc::P_PID, child.id(), &mut info, libc::WEXITED | libc::WNOWAIT) != 0 {}
    }
    done.open();
    child.wait().expect("the child has ended")
}

/// How a process ended, and what it said.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| text.chars().take(20_000).collect::<String>();
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, cut(&self.stdout), cut(&self.stderr))
    }
}

fn unnamed_file() -> File {
    loop {
        let path = std::env::temp_dir().join(unique("output"));
        match File::options().read(true).append(true).create_new(true).open(&path) {
            Ok(file) => {
                std::fs::remove_file(path).expect("the file is there");
                return file;
            }
            // Of a test that was killed, in a process of the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("a file can be made: {error}"),
        }
    }
}

fn read_back(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("the file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("kakashi-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A directory that is removed when this is dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        loop {
            let path = std::env::temp_dir().join(unique("test"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Directory(path),
                // Of a test that was killed, in a process of the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("a directory can be made: {error}"),
            }
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Shut until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn closed() -> Self {
        Gate::default()
    }

    fn is_open(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self) {
        *self.is_open() = true;
        self.0.1.notify_all();
    }

    pub fn close(&self) {
        *self.is_open() = false;
    }

    pub fn wait(&self) {
        assert!(self.wait_for(HANG), "nobody opened the gate");
    }

    pub fn wait_for(&self, time: Duration) -> bool {
        let (open, _) = self
            .0
            .1
            .wait_timeout_while(self.is_open(), time, |open| !*open)
            .unwrap_or_else(PoisonError::into_inner);
        *open
    }
}

/// Tells threads that it is over, also when the test has failed: who waits for them must not wait for ever.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks again and again until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HANG, "waited in vain until {what}: {}", kakashi::get_async_stats());
        std::thread::yield_now();
    }
}

/// A sink that hangs in `write_batch` while its gate is shut.
pub struct Held {
    /// Let through while open.
    pub gate: Gate,
    /// Opened when a batch has come.
    pub entered: Gate,
    pub inner: MemorySink,
}

impl Held {
    pub fn new(gate: &Gate, entered: &Gate, inner: &MemorySink) -> Self {
        Held { gate: gate.clone(), entered: entered.clone(), inner: inner.clone() }
    }
}

impl Sink for Held {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered.open();
        self.gate.wait();
        self.inner.write_batch(bytes)
    }
}

/// Asserts that every call is accounted for, and returns the statistics. Nothing may be under way.
#[track_caller]
pub fn conserved() -> AsyncStats {
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls, stats.messages_written + stats.queue_size + stats.messages_dropped, "{stats}");
    assert_eq!(stats.messages_dropped, stats.dropped.total(), "{stats}");
    stats
}

/// What a line says, behind time, level, place and thread.
pub fn message(line: &str) -> &str {
    line.split_once("] ").unwrap_or_else(|| panic!("not a whole line: {line:?}")).1
}

/// The thread that a line is from.
pub fn thread_of(line: &str) -> &str {
    let (head, _) = line.split_once("] ").unwrap_or_else(|| panic!("not a whole line: {line:?}"));
    head.split_once(" [").unwrap_or_else(|| panic!("no thread in {line:?}")).1
}

/// Whether a line is the logger's own.
pub fn is_notice(line: &str) -> bool {
    line.contains(" kakashi - [kakashi-writer] ")
}

/// The messages of a log, without the logger's own lines.
pub fn messages<L: AsRef<str>>(lines: &[L]) -> Vec<&str> {
    lines.iter().map(AsRef::as_ref).filter(|line| !is_notice(line)).map(message).collect()
}

/// The logger's own lines in a log.
pub fn notices<L: AsRef<str>>(lines: &[L]) -> Vec<&str> {
    lines.iter().map(AsRef::as_ref).filter(|line| is_notice(line)).map(message).collect()
}

/// The lines of a file, each of which must be whole.
pub fn lines_of(path: impl AsRef<Path>) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("the log can be read");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn: {:?}", text.lines().last());
    text.lines().map(str::to_owned).collect()
}

/// The number behind `word` in a text such as `n=5 m=7`.
pub fn number(text: &str, word: &str) -> u64 {
    let at = text.find(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}")) + word.len();
    let end = text[at..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |len| at + len);
    text[at..end].parse().unwrap_or_else(|_| panic!("no number behind {word:?} in {text:?}"))
}

/// A size that the environment can raise: `KAKASHI_RECORDS=100000000` and the like.
pub fn size(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// How a line begins that says so. `scripts/faults.sh` looks for it.
pub const SKIPPED: &str = "SKIPPED: ";

/// Says on standard error, past the test harness, that a test could not be run here, and why.
pub fn skipped(what: &str, why: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{SKIPPED}{what}: {why}; scripts/faults.sh runs it as root");
}

/// How many threads of this process have that name.
pub fn threads_named(name: &str) -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("the kernel lists the threads")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.trim_end() == name)
        .count()
}
