//! A service that logs through `log`, `tracing` and our macros, while its log is rotated and compressed: one stream, whole, in
//! order, at no allocation in its calls; and that the tools of the trade read what is written (`scripts/viewers.sh`).
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

#[path = "common/allocations.rs"]
mod allocations;
mod common;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use allocations::counted;
use common::*;
use kakashi::{FileSink, Format, Rotation, SinkOptions, context, error, info, warn};
use serde_json::Value;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

const WORKERS: u64 = 4;
const REQUESTS: u64 = 3_000;
const CALLS: u64 = 4;

/// One worker: every request has a context, a span, and records of all three kinds.
fn serve(worker: u64) {
    kakashi::prepare_thread().expect("there is a lane");
    for request in 0..REQUESTS {
        let n = CALLS * request;
        let _context = context!(request = request);
        let span = tracing::info_span!("handle", worker).entered();
        let allocations = counted(|| {
            info!("received {} bytes", 512, worker = worker, n = n);
            log::info!(worker, n = n + 1; "parsed by {}", "a library");
            tracing::info!(worker, n = n + 2, path = "/orders/\"7\"\n", "routed");
            warn!("slow", worker = worker, n = n + 3, ms = 0.25 * request as f64);
        });
        ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
        drop(span);
    }
}

/// The log's files, the oldest first.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).expect("it has a name");
    let folder = fs::read_dir(path.parent().expect("it is in a folder")).expect("it can be read");
    let old = |entry: &PathBuf| {
        let entry = entry.file_name().and_then(|entry| entry.to_str()).unwrap_or_default();
        entry.starts_with(&format!("{name}."))
    };
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("it is read").path()).filter(old).collect();
    files.sort();
    files.push(path.to_owned());
    files
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match path.extension().is_some_and(|end| end == "gz") {
        true => flate2::read::GzDecoder::new(File::open(path)?).read_to_string(&mut text)?,
        false => File::open(path)?.read_to_string(&mut text)?,
    };
    Ok(text)
}

/// What the program makes of a text that it is given; nothing where it is not installed.
fn piped(program: &str, arguments: &[&str], text: &str) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = writeln!(io::stderr(), "{SKIPPED}{program} is not installed: see scripts/viewers.sh");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let mut stdin = child.stdin.take().expect("it is piped");
    let given = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(given.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{program}: {}", output.status);
    Some(String::from_utf8(output.stdout).expect("it writes UTF-8"))
}

#[test]
fn three_ways_make_one_stream_under_rotation_and_compression() {
    alone("three_ways_make_one_stream_under_rotation_and_compression", || {
        let folder = Directory::new();
        let path = folder.file("service.json");
        let sink = FileSink::create(&path).rotate(Rotation::bytes(256 << 10)).compress(true);
        let guard = kakashi::builder()
            .sink_with(sink, SinkOptions::default().format(Format::Json))
            .log_facade(true)
            .start()
            .expect("it starts");
        kakashi::init_tracing().expect("there is no other subscriber");
        std::thread::scope(|scope| {
            (0..WORKERS).for_each(|worker| drop(scope.spawn(move || serve(worker))));
        });
        guard.shutdown(HANG).expect("all is written");
        let stats = conserved();
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0, "allocations in log calls");
        assert_eq!(stats.calls, WORKERS * REQUESTS * CALLS, "{stats}");

        until("old files are compressed", || {
            let files = files_of(&path);
            let is_packed = |file: &PathBuf| file == &path || file.extension().is_some_and(|end| end == "gz");
            files.iter().all(is_packed)
        });
        let files = files_of(&path);
        assert!(files.len() > 20, "{files:?}");
        let text: String = files.iter().map(|file| text_of(file).expect("it is read")).collect();
        let mut next = [0; WORKERS as usize];
        let (mut missing, mut last, mut inversions) = (0, String::new(), 0);
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let time = record["time"].as_str().expect("it has a time").to_owned();
            inversions += u64::from(time < last);
            last = time;
            let (Some(worker), Some(n)) = (record["worker"].as_u64(), record["n"].as_u64()) else {
                assert_eq!(record["thread"], "kakashi-writer", "{line}");
                continue;
            };
            assert_eq!(record["request"], n / CALLS, "its context: {line}");
            let next = &mut next[worker as usize];
            assert!(n >= *next, "twice, or out of order: {line}");
            missing += n - *next;
            *next = n + 1;
        }
        missing += next.iter().map(|next| REQUESTS * CALLS - next).sum::<u64>();
        // A machine that stands still for a second lets the default channel drop, and say so.
        assert_eq!(missing, stats.messages_dropped, "{stats}");
        assert!(inversions <= stats.late, "{inversions} times back: {stats}");
        if let Some(read) = piped("jq", &["--compact-output", "[.worker, .n]"], &text) {
            assert_eq!(read.lines().count(), text.lines().count());
            let by_worker = |line: &str| serde_json::from_str::<[Option<u64>; 2]>(line).expect("a pair")[0];
            let of_workers = read.lines().filter(|line| by_worker(line).is_some()).count() as u64;
            assert_eq!(of_workers, stats.messages_written);
        }
    });
}

/// Both formats as lnav shows them, with `contrib/lnav/kakashi.json`; the text also without.
#[test]
fn lnav_reads_text_and_json() {
    alone("lnav_reads_text_and_json", || {
        let folder = Directory::new();
        let (text, json) = (folder.file("text.log"), folder.file("lines.json"));
        let guard = kakashi::builder()
            .level(kakashi::LevelFilter::Trace)
            .sink(FileSink::create(&text))
            .sink_with(FileSink::create(&json), SinkOptions::default().format(Format::Json))
            .start()
            .expect("it starts");
        info!("filled {} @ {}", 7, 101.25, user_id = 123);
        warn!("slow: [odd] text", ms = 17.5, what = "a \"b\"");
        error!(kakashi::get_async_logger("orders::fills"), "lost");
        kakashi::debug!("of debug");
        kakashi::trace!("of trace");
        guard.shutdown(HANG).expect("all is written");
        let home = folder.file("home");
        let formats = home.join("formats/kakashi");
        fs::create_dir_all(&formats).expect("it can be made");
        let format = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/lnav/kakashi.json");
        let home = home.to_str().expect("it is UTF-8").to_owned();
        let asked = |columns: &str, file: &Path| {
            let query = format!(";select {columns} from all_logs order by log_line");
            let file = file.to_str().expect("it is UTF-8");
            piped("lnav", &["-n", "-I", &home, "-c", &query, "-c", ":write-csv-to -", file], "")
        };
        let levels = "log_level\ninfo\nwarning\nerror\ndebug\n";
        let Some(plain) = asked("log_level", &text) else { return };
        assert!(plain.starts_with(levels), "{plain}");
        fs::copy(format, formats.join("kakashi.json")).expect("it can be copied");
        for (file, name) in [(&text, "kakashi_text"), (&json, "kakashi_json")] {
            let seen = asked("log_level, log_format, log_body", file).expect("it is there");
            let seen: Vec<&str> = seen.lines().skip(1).collect();
            let rest = |level: &str, body: &str| format!("{level},{name},{body}");
            assert_eq!(seen.len(), 5, "{seen:?}");
            assert!(seen[0].starts_with(&rest("info", "filled 7 @ 101.25")), "{seen:?}");
            assert!(
                seen[1].starts_with(&rest("warning", "")) && seen[1].contains("slow: [odd] text"),
                "{seen:?}"
            );
            assert_eq!(
                seen[2..],
                [rest("error", "lost"), rest("debug", "of debug"), rest("trace", "of trace")]
            );
        }
    });
}
