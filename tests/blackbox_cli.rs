//! The command-line tool on the black boxes of processes that live, that were killed, and on what is no box at all.
#![cfg(feature = "cli")]
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kakashi::{Block, Channel, DropOldest, FileSink, Level, LevelFilter, debug, info, warn};

kakashi::channel!(static WAITING: Channel<128, 8192, 4, Block>);
kakashi::channel!(static EVICTING: Channel<64, 1024, 4, DropOldest>);

const FOLDER: &str = "KAKASHI_BLACKBOX_CLI";

/// Not a test: the process that is looked at. It does what its standard input says, and answers with a line.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let guard = kakashi::builder()
        .black_box(box_of(&folder))
        .sink(FileSink::create(folder.join("log")))
        .start()
        .expect("it starts");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let (command, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: u64 = count.parse().expect("a number");
        match command {
            "probe" => info!("probe"),
            "warn" => warn!("a warning"),
            "order" => info!(target_of("orders"), "an order"),
            "waiting" => {
                two_threads(|thread, n| info!(WAITING, "numbered", thread = thread, n = n), count, 0)
            }
            "paced" => {
                two_threads(|thread, n| info!(WAITING, "numbered", thread = thread, n = n), count, 200_000)
            }
            "evicting" => {
                two_threads(|thread, n| info!(EVICTING, "numbered", thread = thread, n = n), count, 0)
            }
            "hold" => {
                kakashi::set_backtrace(LevelFilter::Debug, 5);
                (0..count).for_each(|n| debug!("held n={n}"));
            }
            "flush" => kakashi::flush(Duration::from_secs(60)).expect("it is written"),
            _ => break,
        }
        println!("\ndone {command}");
    }
    guard.shutdown(Duration::from_secs(60)).expect("it is written");
}

fn target_of(name: &'static str) -> kakashi::Logger {
    kakashi::get_async_logger(name)
}

/// Logs so many records on each of two threads, at so many a second in all; as fast as can be if that is 0.
fn two_threads(log: impl Fn(u32, u64) + Sync, count: u64, rate: u64) {
    let end = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (log, end) = (&log, &end);
            scope.spawn(move || {
                let began = Instant::now();
                for n in 0..count {
                    while rate != 0
                        && u128::from(n) * 2_000_000_000 / u128::from(rate) > began.elapsed().as_nanos()
                    {
                        std::hint::spin_loop();
                    }
                    log(thread, n);
                }
                // Each has a lane of its own: none ends before the other one has begun.
                end.wait();
            });
        }
    });
}

/// Where a test's box lies: on tmpfs.
fn box_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().expect("it has one").to_string_lossy();
    Path::new("/dev/shm").join(format!("{name}.box"))
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kakashi-box-cli-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn black_box(&self) -> String {
        box_of(&self.0).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(box_of(&self.0));
    }
}

/// The process that is looked at.
struct Looked {
    folder: Folder,
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Looked {
    fn start() -> Self {
        let folder = Folder::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, &folder.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let answers = BufReader::new(stdout).lines();
        let mut looked = Looked { folder, child, stdin, answers };
        looked.does("flush");
        looked
    }

    /// Has it do something, and waits until it is done.
    fn does(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
        let done = format!("done {}", command.split(' ').next().unwrap());
        assert!(self.answers.any(|line| line.unwrap() == done), "it ends without: {done}");
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) {
        writeln!(self.stdin, "end").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Looked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kakashi(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakashi"));
    command.args(args).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Its standard output and standard error, when it has done what it was asked for.
fn done(args: &[&str]) -> (String, String) {
    let output = kakashi(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
}

fn refused(args: &[&str], told: &str) {
    let Output { status, stdout, stderr } = kakashi(args).output().unwrap();
    let stderr = text(&stderr);
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{args:?}: {stderr}");
    assert!(stderr.starts_with("kakashi: ") && stderr.contains(told), "{told}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// A running `kakashi tail`, which has attached.
struct Tailed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tailed {
    fn attach(looked: &mut Looked, args: &[&str]) -> Self {
        let mut child = kakashi(&["tail", &looked.pid()])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It shows what comes once it has attached: the probes' thread is the one that the first of them is shown of.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(lines.next().unwrap().unwrap()).unwrap());
            while receiver.recv_timeout(Duration::from_millis(20)).is_err() {
                looked.does("probe");
            }
        });
        Tailed { child, lines }
    }

    /// All that it still shows, but for probes, and what it says.
    fn end(mut self) -> (Vec<String>, String) {
        let lines =
            self.lines.by_ref().map(Result::unwrap).filter(|line| !line.ends_with("] probe")).collect();
        let output = self.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (lines, text(&output.stderr).to_owned())
    }
}

fn number(line: &str, key: &str) -> u64 {
    let value = line.split_once(key).unwrap_or_else(|| panic!("no {key} in {line}")).1;
    value.split(' ').next().unwrap().parse().unwrap()
}

/// Sees all records shown or counted as overtaken, each once and whole, in order by thread.
fn every_record_is_shown_or_counted(command: &str, count: u64) {
    let mut looked = Looked::start();
    let tailed = Tailed::attach(&mut looked, &["--grep", "numbered", "--grep", "probe"]);
    let (written, said) = std::thread::scope(|scope| {
        let tailed = scope.spawn(move || tailed.end());
        looked.does(&format!("{command} {count}"));
        looked.end();
        tailed.join().unwrap()
    });
    let mut next: HashMap<u64, u64> = HashMap::new();
    let mut gaps = 0;
    for line in &written {
        let (thread, n) = (number(line, " thread="), number(line, " n="));
        assert_eq!(Level::Info.to_string(), line[31..35], "{line}");
        let next = next.entry(thread).or_insert(0);
        assert!(n >= *next && n < count, "{n} after {next}: {line}");
        gaps += n - *next;
        *next = n + 1;
    }
    let overtaken: u64 = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("... ")?.strip_suffix(" records were overtaken")?.parse::<u64>().ok()
        })
        .sum();
    let missing: u64 = 2 * count - written.len() as u64;
    let at_end: u64 = (0..2).map(|thread| count - next.get(&thread).copied().unwrap_or(0)).sum();
    assert_eq!((missing, missing), (gaps + at_end, overtaken), "{said}");
    assert!(said.ends_with("the process has ended, and everything was written\n"), "{said}");
    eprintln!("{command}: {} shown, {overtaken} overtaken", written.len());
}

#[test]
fn tail_shows_what_comes_in_order() {
    every_record_is_shown_or_counted("paced", 50_000);
}

#[test]
fn tail_counts_what_overtakes_it() {
    every_record_is_shown_or_counted("waiting", 300_000);
}

#[test]
fn tail_counts_what_overtakes_it_in_a_ring_that_evicts() {
    every_record_is_shown_or_counted("evicting", 300_000);
}

#[test]
fn tail_filters() {
    let mut looked = Looked::start();
    let mut by = |args: &[&str]| {
        let tailed = Tailed::attach(&mut looked, args);
        ["warn", "order", "probe"].iter().for_each(|command| looked.does(command));
        tailed
    };
    let all = by(&[]);
    let order = by(&["--logger", "orders", "--logger", "blackbox_cli", "--grep", "order", "--grep", "probe"]);
    let color = by(&["--level", "info", "--color", "always"]);
    looked.kill();
    let (lines, said) = all.end();
    let times = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((times(" WARN "), times(" orders ")), (3, 3), "{lines:?}");
    let recover =
        format!("the process has died: kakashi recover {} prints what it left\n", looked.folder.black_box());
    assert_eq!(said, recover);
    let (lines, _) = order.end();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with("] an order")), "{lines:?}");
    let (lines, _) = color.end();
    assert!(lines[0].contains(" \u{1b}[33mWARN\u{1b}[0m "), "{lines:?}");
}

#[test]
fn tail_ends_quietly_when_nobody_reads() {
    let mut looked = Looked::start();
    let Tailed { child, lines } = Tailed::attach(&mut looked, &[]);
    drop(lines);
    looked.does("waiting 1000");
    looked.does("probe");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn looking_changes_nothing() {
    let mut looked = Looked::start();
    looked.does("waiting 100");
    looked.does("flush");
    let (black_box, pid) = (looked.folder.black_box(), looked.pid());
    // The clock goes on in it, in the first page.
    let content = || fs::read(&black_box).unwrap().split_off(4096);
    let before = content();
    let tailed = Tailed::attach(&mut looked, &[]);
    looked.does("flush");
    let attached = content();
    for args in [&["stat", &pid][..], &["stat", &black_box], &["top", &pid, "--once", "--interval", "0.05"]] {
        done(args);
    }
    let mut child = tailed.child;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(before.len(), attached.len());
    // But for the writer's being awake or asleep.
    let differ = content().iter().zip(&attached).filter(|(now, then)| now != then).count();
    assert!(differ <= 16, "{differ} bytes differ");
    looked.end();
}

#[test]
fn stat_and_top_show_a_running_process() {
    let mut looked = Looked::start();
    looked.does("waiting 1000");
    looked.does("flush");
    for target in [looked.pid(), looked.folder.black_box()] {
        let (stat, _) = done(&["stat", &target]);
        assert!(stat.starts_with(&format!("process  {} (", looked.pid())), "{stat}");
        assert!(stat.contains(", alive\n") && stat.contains("2000 logged, 2000 written, 0 queued"), "{stat}");
        assert_eq!(stat.lines().filter(|line| line.starts_with("WAITING ")).count(), 2, "{stat}");
        let (top, _) = done(&["top", &target, "--once", "--interval", "0.05"]);
        assert!(top.contains("\nnow      0 records/s logged"), "{top}");
        // Where there is no terminal.
        assert!(done(&["top", &target, "--interval", "0.05"]).0.contains("RECORDS/S"));
    }
    let (json, _) = done(&["top", &looked.pid(), "--once", "--json", "--interval", "0.05"]);
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.lines().count(), 1);
    assert_eq!(object["process"]["life"], "alive");
    assert_eq!(object["process"]["pid"], looked.child.id());
    assert_eq!((&object["logged"], &object["dropped"]["total"]), (&2000.into(), &0.into()));
    assert_eq!(object["threads"].as_array().unwrap().len(), 2);
    assert_eq!(object["threads"][0]["logged"], 1000);
    assert!(object["rates"]["logged"].is_f64() && object["threads"][0]["records_per_second"].is_f64());
    assert!(object["threads"][0]["bytes_per_second"].is_f64());
    assert!(object["sinks"][0]["name"].as_str().unwrap().ends_with("/log"), "{json}");
    refused(&["recover", &looked.folder.black_box()], "lives in `");
    refused(&["recover", &looked.folder.black_box(), "--complete"], "lives in `");
    looked.end();
    refused(&["stat", &looked.folder.black_box()], "takes its box away");
}

#[test]
fn a_killed_process_is_seen_and_recovered() {
    let mut looked = Looked::start();
    looked.does("waiting 1000");
    looked.kill();
    let black_box = looked.folder.black_box();
    let (stat, _) = done(&["stat", &black_box]);
    assert!(stat.contains(", died: `kakashi recover "), "{stat}");
    let object: serde_json::Value = serde_json::from_str(&done(&["stat", &black_box, "--json"]).0).unwrap();
    assert_eq!((&object["process"]["life"], &object["writer"]), (&"died".into(), &"none".into()));
    assert_eq!(object["logged"], 2000);

    let log = looked.folder.path("log");
    let written = fs::read_to_string(&log).unwrap().matches(" numbered ").count();
    let (printed, said) = done(&["recover", &black_box]);
    assert_eq!(written + printed.matches(" numbered ").count(), 2000, "{said}");
    let out = looked.folder.path("out");
    let (json, _) = done(&["recover", &black_box, "--format", "json"]);
    assert_eq!(json.lines().count(), printed.lines().count());
    for line in json.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["time"].is_string()));
    }
    refused(&["recover", &black_box, "--format", "xml"], "text, json, json-otel");
    refused(&["recover", &black_box, "--format", "json", "--complete"], "cannot be used with");
    assert!(done(&["recover", &black_box, "--out", &out]).0.is_empty());
    assert_eq!(fs::read_to_string(&out).unwrap().matches(" numbered ").count() + written, 2000);
    refused(&["recover", &black_box, "--out", &out], "it exists");
    refused(&["recover", &black_box, "--out", &out, "--complete"], "cannot be used with");

    let (_, said) = done(&["recover", &black_box, "--complete"]);
    assert!(said.contains(&format!("process {}", looked.pid())), "{said}");
    assert_eq!(fs::read_to_string(&log).unwrap().matches(" numbered ").count(), 2000);
    let (printed, said) = done(&["recover", &black_box, "--complete"]);
    assert!(printed.is_empty() && said.contains("everything was written"), "{said}");
    assert_eq!(fs::read_to_string(&log).unwrap().matches(" numbered ").count(), 2000);
    let (lines, said) = done(&["tail", &black_box]);
    assert!(lines.is_empty() && said.starts_with("the process has ended"), "{said}");
}

#[cfg(not(feature = "max_level_info"))]
#[test]
fn what_threads_hold_back_is_shown_and_recovered() {
    let mut looked = Looked::start();
    let black_box = looked.folder.black_box();
    let (lines, said) = done(&["backtrace", &looked.pid()]);
    assert!(lines.is_empty() && said.contains("alive, holds nothing back"), "{said}");
    looked.does("hold 20");
    let held = |lines: &str| lines.matches(" held n=1").count();
    let (lines, said) = done(&["backtrace", &looked.pid()]);
    assert!(held(&lines) == 5 && lines.lines().count() == 5, "{lines}");
    assert!(said.contains("alive, holds back 5 records of 1 thread"), "{said}");
    let (json, _) = done(&["backtrace", &black_box, "--format", "json"]);
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
    assert_eq!(json.lines().count(), 5);
    looked.kill();
    let (again, said) = done(&["backtrace", &black_box]);
    assert_eq!((again, said.contains("died, holds back 5 records")), (lines, true), "{said}");
    let (printed, said) = done(&["recover", &black_box]);
    assert!(held(&printed) == 5 && said.contains("5 of them were held back for an error"), "{said}");
    done(&["recover", &black_box, "--complete"]);
    assert_eq!(held(&fs::read_to_string(looked.folder.path("log")).unwrap()), 5);
    let (lines, said) = done(&["backtrace", &black_box]);
    assert!(lines.is_empty() && said.contains("ended, holds nothing back"), "{said}");
    refused(&["backtrace", &black_box, "--format", "xml"], "text, json, json-otel");
    refused(&["backtrace", &looked.folder.path("log")], "is not a black box");
}

#[test]
fn what_is_no_box_is_refused() {
    let folder = Folder::new();
    let file = |name: &str, content: &[u8]| {
        fs::write(folder.path(name), content).unwrap();
        folder.path(name)
    };
    let mut looked = Looked::start();
    looked.does("waiting 10");
    looked.kill();
    let whole = fs::read(looked.folder.black_box()).unwrap();
    let mut later = whole[..1 << 16].to_vec();
    later[8] = 99;
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, told) in [
        (folder.path("missing"), "No such file or directory"),
        (folder.path("."), "it is no regular file"),
        (pipe, "it is no regular file"),
        (file("empty", b""), "has no header"),
        (file("text", &b"not a box\n".repeat(10_000)), "does not begin as a black box does"),
        (file("later", &later), "with layout 99"),
        (file("short", &whole[..27_500]), "damaged"),
    ] {
        for command in ["recover", "stat", "top", "tail"] {
            let output = kakashi(&[command, &path]).output().unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{command} {path}");
            assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
            let told = if path.ends_with("empty") { "black box" } else { told };
            assert!(text(&output.stderr).contains(told), "{told}: {output:?}");
        }
    }
    // Bytes that may be anything, behind a header: no crash, and an end.
    let mut noise = whole;
    noise.truncate(8 << 20);
    let mut state = 1_u32;
    for byte in noise.iter_mut().skip(40_000) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let noise = file("noise", &noise);
    for command in ["recover", "stat", "top", "tail"] {
        let code = kakashi(&[command, &noise]).output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 2)), "{command}: {code:?}");
    }
}

#[test]
fn processes_without_a_box_are_refused() {
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    for command in ["stat", "top", "tail"] {
        refused(&[command, &other.id().to_string()], "has no black box");
        refused(&[command, "4194999"], "there is no process 4194999");
        refused(&[command, "99999999999"], "there is no process 99999999999");
        refused(&[command, "./123"], "No such file or directory");
        refused(&[command], "<PATH|PID>");
    }
    drop(other.stdin.take());
    other.wait().unwrap();
    refused(&["tail", "1", "--level", "loud"], "error, warn, info, debug or trace");
    refused(&["top", "1", "--interval", "0"], "0.05 to 3600");
}

/// A terminal: the end that a program sits at, and the other one.
struct Terminal {
    program: fs::File,
    person: fs::File,
}

impl Terminal {
    fn open() -> Self {
        let (mut person, mut program) = (0, 0);
        let size = libc::winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: two descriptors are written to, and are nobody's else.
        unsafe {
            let made =
                libc::openpty(&mut person, &mut program, std::ptr::null_mut(), std::ptr::null(), &size);
            assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
            Terminal { program: fs::File::from_raw_fd(program), person: fs::File::from_raw_fd(person) }
        }
    }

    /// Its modes: echo, line by line, and so on.
    fn modes(&self) -> [u32; 4] {
        // SAFETY: zeros are a valid `termios`, which is written to.
        unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.program.as_raw_fd(), &mut modes), 0);
            [modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag]
        }
    }

    /// Reads what is drawn, up to `word`.
    fn drawn_up_to(&mut self, word: &str) -> String {
        let (mut drawn, mut part) = (String::new(), [0; 4096]);
        while !drawn.contains(word) {
            let mut ready = libc::pollfd { fd: self.person.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one descriptor, which is open.
            assert_eq!(unsafe { libc::poll(&mut ready, 1, 60_000) }, 1, "{word:?} is not drawn: {drawn:?}");
            let len = self.person.read(&mut part).unwrap();
            drawn += &String::from_utf8_lossy(&part[..len]);
        }
        drawn
    }
}

#[test]
fn live_top_draws_and_leaves_the_terminal_as_it_was() {
    const ENTERED: &str = "\x1b[?1049h";
    const LEFT: &str = "\x1b[?1049l";
    let mut looked = Looked::start();
    for how in ["q", "\x03", "\x1b", "SIGTERM", "SIGHUP"] {
        let mut terminal = Terminal::open();
        let before = terminal.modes();
        let end = || Stdio::from(terminal.program.try_clone().unwrap());
        let mut top = Command::new(env!("CARGO_BIN_EXE_kakashi"))
            .args(["top", &looked.pid(), "--interval", "0.05"])
            .stdin(end())
            .stdout(end())
            .spawn()
            .unwrap();
        let drawn = terminal.drawn_up_to("in all");
        assert!(drawn.contains(ENTERED) && drawn.contains(&looked.pid()), "{drawn:?}");
        assert_ne!(terminal.modes(), before, "keys come at once");
        looked.does("warn");
        terminal.drawn_up_to("in all");
        let killed = match how {
            "SIGTERM" => Some(libc::SIGTERM),
            "SIGHUP" => Some(libc::SIGHUP),
            key => {
                terminal.person.write_all(key.as_bytes()).unwrap();
                None
            }
        };
        if let Some(signal) = killed {
            // SAFETY: a child that was not waited for.
            assert_eq!(unsafe { libc::kill(top.id() as i32, signal) }, 0);
        }
        terminal.drawn_up_to(LEFT);
        let ended = top.wait().unwrap();
        assert_eq!((ended.code(), ended.signal()), (killed.map_or(Some(0), |_| None), killed), "{how:?}");
        assert_eq!(terminal.modes(), before, "{how:?}");
    }
    looked.end();
}
