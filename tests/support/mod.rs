//! What the integration tests share: one backend per process, lines taken apart, and processes of their own.
//!
//! There is one backend in a process, so that the tests of a file take turns: [`start`] gives the turn with the
//! log, and each look at the log asserts conservation.
#![allow(dead_code)] // each test file uses a part

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kakashi::{Guard, MemorySink};

/// Fires only when something hangs.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// The process's log, and the right to use it.
pub struct Log {
    sink: MemorySink,
    _turn: MutexGuard<'static, ()>,
}

/// Waits for a turn; the first one starts the backend.
pub fn start() -> Log {
    static TURN: Mutex<()> = Mutex::new(());
    static BACKEND: OnceLock<(MemorySink, Guard)> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (sink, _) = BACKEND.get_or_init(|| {
        let sink = MemorySink::new();
        let guard = kakashi::builder().sink(sink.clone()).start().expect("the backend starts");
        (sink, guard)
    });
    kakashi::flush(WATCHDOG).expect("what an earlier test left is written");
    sink.clear();
    Log { sink: sink.clone(), _turn: turn }
}

impl Log {
    /// Everything since the last look, as it stands in the log, the logger's own lines included.
    pub fn text(&self) -> String {
        kakashi::flush(WATCHDOG).expect("all is written");
        assert_conserved();
        let text = self.sink.text();
        self.sink.clear();
        text
    }

    /// The records since the last look.
    pub fn lines(&self) -> Vec<Line> {
        lines(&self.text())
    }

    /// The messages since the last look, each with its fields.
    pub fn messages(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.message).collect()
    }

    /// The only message since the last look.
    #[track_caller]
    pub fn message(&self) -> String {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "one message was expected: {messages:?}");
        messages.pop().unwrap_or_default()
    }
}

/// The records of a text; the logger's own lines are left out.
pub fn lines(text: &str) -> Vec<Line> {
    assert!(text.is_empty() || text.ends_with('\n'), "the log ends within a line");
    text.split_terminator('\n').map(Line::parse).filter(|line| !line.is_notice()).collect()
}

/// A text line, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub time: String,
    pub level: String,
    pub target: String,
    pub location: String,
    pub thread: String,
    pub message: String,
}

impl Line {
    /// `time LEVEL target file:line [thread] message`; a thread's name holds no `] ` here.
    #[track_caller]
    pub fn parse(line: &str) -> Line {
        let parse = || {
            let (time, rest) = line.split_once(' ')?;
            let (level, rest) = rest.split_at_checked(6)?;
            let (target, rest) = rest.split_once(' ')?;
            let (location, rest) = rest.split_once(' ')?;
            let (thread, message) = rest.strip_prefix('[')?.split_once("] ")?;
            let plausible = time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T';
            let known = ["ERROR ", "WARN  ", "INFO  ", "DEBUG ", "TRACE "].contains(&level);
            (plausible && known).then(|| Line {
                time: time.to_owned(),
                level: level.trim_end().to_owned(),
                target: target.to_owned(),
                location: location.to_owned(),
                thread: thread.to_owned(),
                message: message.to_owned(),
            })
        };
        parse().unwrap_or_else(|| panic!("not a line of the log: {line:?}"))
    }

    pub fn is_notice(&self) -> bool {
        self.target == "kakashi" && self.location == "-" && self.thread == "kakashi-writer"
    }
}

/// `calls == messages_written + queue_size + messages_dropped`, with nothing under way.
#[track_caller]
pub fn assert_conserved() {
    let stats = kakashi::get_async_stats();
    assert_eq!(
        stats.calls,
        stats.messages_written + stats.queue_size + stats.messages_dropped,
        "conservation: {stats}"
    );
    assert_eq!(stats.messages_dropped, stats.dropped.total(), "{stats}");
}

/// What must be escaped in a text line: an independent statement of the rule.
fn is_hazard(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape_char(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if !is_hazard(c) => c.to_string(),
        c if c <= '\x7f' => format!("\\x{:02x}", c as u32),
        c => format!("\\u{{{:x}}}", c as u32),
    }
}

/// A text as it stands in a message.
pub fn escaped(text: &str) -> String {
    text.chars().map(escape_char).collect()
}

/// A text as it stands behind `key=`.
pub fn quoted(text: &str) -> String {
    let special = |c: char| is_hazard(c) || matches!(c, ' ' | '"' | '=' | '\\');
    if !text.is_empty() && !text.contains(special) {
        return text.to_owned();
    }
    let inner: String = text
        .chars()
        .map(|c| if matches!(c, '"' | '\\') { format!("\\{c}") } else { escape_char(c) })
        .collect();
    format!("\"{inner}\"")
}

const CHILD: &str = "KAKASHI_TEST_CHILD";

/// Whether this process is the child that the test of that name started.
pub fn is_child(test: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|name| name == test)
}

/// Runs the test of that name again, alone in a process of its own, where [`is_child`] is true, and asserts
/// that it succeeds.
#[track_caller]
pub fn run_child(test: &str) -> Output {
    let child = Command::new(std::env::current_exe().expect("the test binary has a path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test binary starts again");
    let output = wait_for(child);
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The child's output; a child that hangs is ended.
pub fn wait_for(child: Child) -> Output {
    let pid = child.id();
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match waiting.recv_timeout(2 * WATCHDOG) {
        Ok(output) => output.expect("the child can be waited for"),
        Err(_) => {
            // SAFETY: the child was not waited for yet: the id is its own.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
            panic!("the child process {pid} hangs");
        }
    }
}

/// Waits until `condition` holds; a hang is a failure.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WATCHDOG, "it never happened that {what}: {}", kakashi::get_async_stats());
        std::thread::yield_now();
    }
}
