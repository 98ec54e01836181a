//! The command-line tool, run as a program.
#![cfg(feature = "cli")]
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const POLICIES: [&str; 4] = ["block", "block-for", "drop-newest", "drop-oldest"];
const ENCODINGS: [&str; 2] = ["preformatted", "deferred"];

fn kakashi(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakashi"));
    command.args(args).stdin(Stdio::null());
    command
}

fn sample(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A directory that is removed at the end of its test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kakashi-cli-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, contents: &[u8]) -> String {
        fs::write(self.path(name), contents).unwrap();
        self.path(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Replays, and sees it verified. Returns the report.
fn verified(args: &[&str]) -> String {
    let output = kakashi(&["replay"]).args(args).output().unwrap();
    let report = text(&output.stdout).to_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{report}{}", text(&output.stderr));
    assert!(report.lines().last().unwrap().starts_with("verified: "), "{report}");
    report
}

/// The line of a report that begins with that word.
fn line<'a>(report: &'a str, word: &str) -> &'a str {
    report.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("no {word} in {report}"))
}

/// Sees the tool refuse to do anything, in one line that holds `told`.
fn refused(mut command: Command, told: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = text(&stderr);
    assert_eq!(status.code(), Some(2), "{command:?}\n{stderr}");
    assert!(stdout.is_empty(), "{command:?}\n{}", text(&stdout));
    assert_eq!((stderr.lines().count(), stderr.ends_with('\n')), (1, true), "{command:?}\n{stderr}");
    assert!(stderr.starts_with("kakashi: ") && stderr.contains(told), "{told}\n{stderr}");
}

fn verify_all_samples(policy: &str) {
    let samples = ["access.log", "syslog.log", "odd.log"].map(sample);
    for encoding in ENCODINGS {
        for threads in ["1", "2", "8"] {
            let report = verified(&[
                &samples[0],
                &samples[1],
                &samples[2],
                "--policy",
                policy,
                "--encoding",
                encoding,
                "--threads",
                threads,
            ]);
            assert!(line(&report, "records").starts_with("records     2612 logged in "));
            if policy.starts_with("block") {
                assert!(report.ends_with("\nverified: 2612 of 2612 records in the file\n"), "{report}");
            }
        }
    }
}

#[test]
fn block_is_verified_in_both_encodings() {
    verify_all_samples(POLICIES[0]);
}

#[test]
fn block_for_is_verified_in_both_encodings() {
    verify_all_samples(POLICIES[1]);
}

#[test]
fn drop_newest_is_verified_in_both_encodings() {
    verify_all_samples(POLICIES[2]);
}

#[test]
fn drop_oldest_is_verified_in_both_encodings() {
    verify_all_samples(POLICIES[3]);
}

/// The rings are filled many times over, so that something is dropped where that may be.
#[test]
fn much_more_than_the_rings_hold_is_verified() {
    for policy in POLICIES {
        for encoding in ENCODINGS {
            let args = ["--repeat", "30", "--threads", "2", "--policy", policy, "--encoding", encoding];
            let report =
                verified(&[&[sample("access.log").as_str(), &sample("syslog.log")], &args[..]].concat());
            let verdict = report.lines().last().unwrap();
            assert!(verdict.contains("of 78000 records in the file"), "{report}");
            // `block-for` may drop, too, on a machine that leaves the writer without a core for a second.
            assert!(policy != "block" || verdict.starts_with("verified: 78000 of"), "{report}");
        }
    }
}

#[test]
fn more_threads_than_rings_share_one() {
    for (policy, encoding) in [("block", "deferred"), ("drop-oldest", "preformatted")] {
        let args = ["--threads", "100", "--repeat", "3", "--policy", policy, "--encoding", encoding];
        verified(&[&[sample("access.log").as_str()], &args[..]].concat());
    }
    // Threads that have no line at all.
    let report = verified(&[&sample("odd.log"), "--threads", "20"]);
    assert!(report.ends_with("verified: 12 of 12 records in the file\n"), "{report}");
}

#[test]
fn every_pass_is_in_the_file() {
    let directory = Directory::new("passes");
    let (log, out) = (directory.file("a.log", b"one\ntwo\n"), directory.path("out.log"));
    let report = verified(&[&log, "--repeat", "3", "--out", &out]);
    assert!(report.ends_with("verified: 6 of 6 records in the file\n"), "{report}");
    let written = fs::read_to_string(&out).unwrap();
    let ends: Vec<_> = written.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    let expected =
        |pass| [format!("one file=1 line=1 pass={pass}"), format!("two file=1 line=2 pass={pass}")];
    assert_eq!(ends, [expected(0), expected(1), expected(2)].concat());
}

#[test]
fn the_output_has_no_line_but_the_logger_s() {
    let directory = Directory::new("escaped");
    let out = directory.path("out.log");
    let report = verified(&[&sample("syslog.log"), &sample("odd.log"), "--out", &out]);
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(written.lines().count(), 612);
    assert!(
        written.chars().all(|char| char == '\n' || !char.is_control()),
        "a control character is not escaped"
    );
    assert!(!written.contains(['\u{202e}', '\u{2028}', '\u{61c}']));
    assert!(written.contains("[31mERROR") && written.contains("注文") && written.contains("🚀"));

    let note = format!("input       file 2 `{}`: 2 lines not UTF-8", sample("odd.log"));
    assert!(report.contains(&note), "{report}");
    assert!(line(&report, "in the file").contains(" 1 text cut,"), "{report}");
    assert!(line(&report, "statistics").contains(" truncated=1 "), "{report}");
    assert!(line(&report, "bytes").contains(&format!(" {} of log", written.len())), "{report}");
}

#[test]
fn the_rate_is_kept() {
    let began = Instant::now();
    let report =
        verified(&[&sample("syslog.log"), "--rate", "2000", "--threads", "3", "--latency-sample", "1"]);
    // The last of 600 records is due 599 intervals after the first.
    assert!(began.elapsed() >= Duration::from_millis(599 / 2));
    assert!(line(&report, "replayed").contains("at 2000 records/s"));
    assert!(line(&report, "call, ns").contains("of 600 calls"), "{report}");
}

#[test]
fn the_report_says_what_it_measured_with_what() {
    let report = verified(&[&sample("access.log"), "--threads", "2", "--latency-sample", "100"]);
    let latency = line(&report, "call, ns");
    for part in ["p50 ", "p90 ", "p99 ", "p99.9 ", "max ", "of 20 calls (one in 100)"] {
        assert!(latency.contains(part), "{part}: {report}");
    }
    assert!(line(&report, "timer").contains(": costs "), "{report}");
    assert!(line(&report, "statistics").contains("calls=2000 enqueued=2000 written=2000"), "{report}");
}

#[test]
fn the_temporary_file_is_told_and_removed() {
    let directory = Directory::new("temporary");
    let log = directory.file("a.log", b"one\n");
    let within = directory.path("tmp");
    fs::create_dir(&within).unwrap();
    let output = kakashi(&["replay", &log]).env("TMPDIR", &within).output().unwrap();
    assert!(output.status.success());
    assert!(text(&output.stderr).contains(&within), "{output:?}");
    assert_eq!(fs::read_dir(&within).unwrap().count(), 0);

    let mut nowhere = kakashi(&["replay", &log]);
    nowhere.env("TMPDIR", directory.path("missing"));
    refused(nowhere, "set TMPDIR");
}

#[test]
fn nobody_has_to_read_the_report() {
    let mut child = kakashi(&["replay", &sample("access.log")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!text(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn help_and_version_are_no_errors() {
    let print = |args: &[&str]| {
        let output = kakashi(args).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
        text(&output.stdout).to_owned()
    };
    assert_eq!(print(&["--version"]), format!("kakashi {}\n", env!("CARGO_PKG_VERSION")));
    for args in [&["--help"][..], &["replay", "--help"]] {
        let help = print(args);
        assert!(help.contains("Examples:") && help.contains("kakashi replay access.log"), "{help}");
    }
    let help = print(&["replay", "--help"]);
    for option in ["--threads", "--policy", "--encoding", "--rate", "--repeat", "--latency-sample", "--out"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

#[test]
fn wrong_options_are_refused() {
    let log = sample("access.log");
    for (args, told) in [
        (&[][..], "see `kakashi --help`"),
        (&["play"], "'play'"),
        (&["replay"], "<FILE>..."),
        (&["replay", &log, "--threads", "0"], "0 is not in 1..=1024"),
        (&["replay", &log, "--threads", "1025"], "1025 is not in 1..=1024"),
        (&["replay", &log, "--threads", "many"], "'many'"),
        (&["replay", &log, "--rate", "0"], "'--rate <R>'"),
        (&["replay", &log, "--rate", "-1"], "'-1'"),
        (&["replay", &log, "--repeat", "0"], "'--repeat <K>'"),
        (&["replay", &log, "--latency-sample", "0"], "'--latency-sample <N>'"),
        (&["replay", &log, "--policy", "drop"], "block, block-for, drop-newest, drop-oldest"),
        (&["replay", &log, "--encoding", "json"], "preformatted, deferred"),
        (&["replay", &log, "--speed", "1"], "'--speed'"),
        (&["replay", &log, "--out"], "'--out <PATH>'"),
        (&["config"], "--show|--check <FILE>"),
        (&["config", "--show", "--check", &log], "cannot be used with"),
    ] {
        refused(kakashi(args), told);
    }
}

/// A bit for each of 8.6e12 records: more than can be had.
#[test]
fn more_than_can_be_verified_is_refused() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 16000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kakashi"), "replay"]);
    command.args([&sample("access.log"), "--repeat", "4294967295"]);
    refused(command, "ask for less by --repeat");
}

#[test]
fn files_that_cannot_be_replayed_are_refused() {
    let directory = Directory::new("inputs");
    let good = directory.file("good.log", b"one\n");
    for (path, told) in [
        (directory.path("missing.log"), "No such file or directory"),
        (directory.path("good.log/under"), "Not a directory"),
        (directory.path("two\nlines"), "two\\nlines"),
        (directory.path("."), "it is a directory"),
        (directory.file("empty.log", b""), "it is empty"),
        ("/dev/zero".to_owned(), "it is a device"),
        // A file that exists and cannot be read, even by root.
        ("/proc/self/mem".to_owned(), "Input/output error"),
    ] {
        refused(kakashi(&["replay", &good, &path]), told);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused() {
    let directory = Directory::new("outputs");
    let log = directory.file("a.log", b"one\n");
    let (link, hard) = (directory.path("link.log"), directory.path("hard.log"));
    symlink(&log, &link).unwrap();
    fs::hard_link(&log, &hard).unwrap();
    for (path, told) in [
        (directory.path("missing/out.log"), "No such file or directory"),
        (directory.path("a.log/out.log"), "Not a directory"),
        (directory.path("."), "it is a directory"),
        ("/dev/full".to_owned(), "it is no regular file"),
        (log.clone(), "it is the input"),
        (link, "it is the input"),
        (hard, "it is the input"),
    ] {
        refused(kakashi(&["replay", &log, "--out", &path]), told);
        assert_eq!(fs::read(&log).unwrap(), b"one\n");
    }
}

/// No policy waits for room that a failed write will not make.
#[test]
fn a_write_that_fails_ends_the_replay() {
    let directory = Directory::new("full");
    for policy in POLICIES {
        let out = directory.path(policy);
        let limited = "ulimit -f 64; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", limited, env!("CARGO_BIN_EXE_kakashi"), "replay", &sample("access.log")]);
        command.args(["--repeat", "100", "--threads", "2", "--policy", policy, "--out", &out]);
        refused(command, "File too large");
        assert!(Path::new(&out).metadata().unwrap().len() <= 64 * 1024);
    }
}

#[test]
fn the_settings_are_shown_and_files_of_them_checked() {
    let output = kakashi(&["config", "--show"]).output().unwrap();
    assert_eq!((text(&output.stdout), output.status.code()), (kakashi::Config::default_toml(), Some(0)));
    let directory = Directory::new("config");
    // What was shown is valid, and so is what asks for features that the tool may not have.
    let sink = "\nlog_facade = true\n[[sinks]]\npath = 'a'\ncompress = true\n";
    for (name, contents) in [("shown.toml", output.stdout.as_slice()), ("features.toml", sink.as_bytes())] {
        let path = directory.file(name, contents);
        let output = kakashi(&["config", "--check", &path]).output().unwrap();
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            (format!("{path}: valid\n").as_str(), Some(0))
        );
    }
    let path = directory.file("wrong.toml", b"# one\nclock = \"sundial\"\n");
    for (path, told) in [
        (path.clone(), format!("kakashi: {path}:2: `clock` = \"sundial\": `sundial` is none of ")),
        (directory.path("missing"), format!("kakashi: {}: it cannot be read: ", directory.path("missing"))),
    ] {
        let output = kakashi(&["config", "--check", &path]).output().unwrap();
        assert_eq!((text(&output.stdout), output.status.code()), ("", Some(1)));
        let shown = text(&output.stderr);
        assert!(shown.starts_with(&told) && shown.lines().count() == 1, "{shown}");
    }
}
