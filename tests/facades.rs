//! The `log` and the `tracing` crate and our own macros at once: one stream, one shutdown, and what becomes of it when
//! the process dies.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use common::black_box::{Files, box_of, log_of};
use common::*;
use kakashi::__box::{self as boxes, Event, Follow, View};
use kakashi::{FileSink, Format, MemorySink, Place, Rotation, Sink, SinkOptions};

const THREADS: usize = 4;
const ROUNDS: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(30);

const SCENARIOS: &[Scenario] = &[("held", held), ("restart", restart), ("crash", crash)];

#[test]
fn child() {
    dispatch(SCENARIOS);
}

/// What one thread logs, three ways by turns.
fn log_all(thread: usize) {
    let _span = tracing::info_span!("worker", id = thread).entered();
    for n in 0..ROUNDS {
        log::info!(target: "by_log", n = 3 * n; "thread={thread} {}", "log");
        tracing::warn!(target: "by_tracing", n = 3 * n + 1, "thread={thread} {}", "tracing");
        kakashi::error!("thread={} kakashi", thread, n = 3 * n + 2);
    }
}

fn log_on_threads() {
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|thread| drop(scope.spawn(move || log_all(thread))));
    });
}

/// Each thread's records, each once and in its order, whichever way they came.
fn assert_whole<L: AsRef<str>>(lines: &[L], missing: u64) {
    let mut next = [0; THREADS];
    for line in lines.iter().map(AsRef::as_ref).filter(|line| !is_notice(line)) {
        let text = message(line);
        let (thread, n) = (number(text, "thread=") as usize, number(text, " n="));
        assert_eq!(n, next[thread], "{line}");
        let (head, words) = match n % 3 {
            0 => (" INFO  by_log tests/facades.rs:", format!("thread={thread} log n={n}")),
            1 => (
                " WARN  by_tracing tests/facades.rs:",
                format!("thread={thread} tracing n={n} span=worker worker.id={thread}"),
            ),
            _ => (" ERROR facades tests/facades.rs:", format!("thread={thread} kakashi n={n}")),
        };
        assert!(line[30..].starts_with(head) && text == words, "{line}");
        next[thread] += 1;
    }
    assert_eq!(next.iter().sum::<u64>(), 3 * ROUNDS * THREADS as u64 - missing);
}

#[test]
fn one_stream_and_one_shutdown() {
    alone("one_stream_and_one_shutdown", || {
        kakashi::init_tracing().expect("there is no other subscriber");
        let sink = MemorySink::new();
        let guard = kakashi::builder().log_facade(true).sink(sink.clone()).start().expect("it starts");
        log_on_threads();
        let report = guard.shutdown(PATIENCE).expect("all is written");
        assert_eq!((report.messages_written, report.messages_dropped), (3 * ROUNDS * THREADS as u64, 0));
        conserved();
        let lines = sink.lines();
        assert_whole(&lines, 0);
        log::info!("too late");
        tracing::info!("too late");
        assert_eq!(kakashi::get_async_stats().dropped.after_shutdown, 2);
    });
}

#[test]
fn a_context_is_in_the_records_of_all_three() {
    alone("a_context_is_in_the_records_of_all_three", || {
        kakashi::init_tracing().expect("there is no other subscriber");
        for (format, field) in [(Format::Text, " request=7"), (Format::Json, r#","request":7"#)] {
            let memory = MemorySink::new();
            let options = SinkOptions::default().format(format);
            let builder = kakashi::builder().sink_with(memory.clone(), options).log_facade(true);
            let guard = builder.start().expect("it starts");
            let log = || {
                log::info!(target: "by_log", n = 1; "log");
                tracing::info!(n = 2, "tracing");
                kakashi::info!("kakashi", n = 3);
            };
            {
                let _context = kakashi::context!(request = 7);
                log();
            }
            log();
            guard.shutdown(PATIENCE).expect("all is written");
            let lines = memory.lines();
            assert_eq!(lines.len(), 6, "{lines:?}");
            assert!(lines[..3].iter().all(|line| line.trim_end_matches('}').ends_with(field)), "{lines:?}");
            assert!(!lines[3..].iter().any(|line| line.contains("request")), "{lines:?}");
        }
    });
}

/// Takes nothing, says so by the gate, and hangs.
struct Hanging(FileSink, Gate);

impl Sink for Hanging {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, _: &[u8]) -> io::Result<usize> {
        self.1.open();
        loop {
            std::thread::park();
        }
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

fn start(directory: &str, sink: impl Sink) -> kakashi::Guard {
    let builder = kakashi::builder().sink(sink).black_box(box_of(directory)).log_facade(true);
    builder.start().expect("the backend starts")
}

fn held(directory: &str) {
    kakashi::init_tracing().expect("there is no other subscriber");
    let hangs = Gate::closed();
    let guard = start(directory, Hanging(FileSink::append(log_of(directory)), hangs.clone()));
    log_on_threads();
    hangs.wait();
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// The next start on the same path.
fn restart(directory: &str) {
    let guard = start(directory, FileSink::append(log_of(directory)));
    guard.shutdown(PATIENCE).expect("all is written");
}

/// Looked into, printed, and brought into the log by the next start: each time all that was logged.
#[test]
fn a_black_box_has_every_record() {
    let files = Files::new();
    let ended = scenario("held").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended}");
    let view = View::open(&files.black_box).expect("it is a box");
    // What stands in the rings, by target: the rest is in the batch that was not taken.
    let (mut followed, mut wrong) = (0, Vec::new());
    view.follow(Follow::Held, &mut |event| {
        if let Event::Line { logger, text, .. } = event {
            followed += 1;
            if !String::from_utf8_lossy(text)[30..].starts_with(&format!(" INFO  {logger} "))
                && !matches!(logger, "by_tracing" | "facades")
            {
                wrong.push(logger.to_owned());
            }
        }
        true
    });
    assert!(followed > 0 && wrong.is_empty(), "{followed} {wrong:?}");
    let mut printed = Vec::new();
    let report = boxes::print(&view, &mut printed).expect("it can be printed");
    assert_eq!(report.records, 3 * ROUNDS * THREADS as u64);
    let printed = String::from_utf8(printed).expect("a log is UTF-8");
    assert_whole(&printed.lines().collect::<Vec<_>>(), 0);
    let ended = scenario("restart").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    assert_whole(&lines_of(files.log()), 0);
}

/// The writer hangs in another sink: the crash handler writes what stands in the rings.
fn crash(directory: &str) {
    kakashi::init_tracing().expect("there is no other subscriber");
    let (gate, entered) = (Gate::closed(), Gate::closed());
    let builder = kakashi::builder().sink(common::Held::new(&gate, &entered, &MemorySink::new()));
    let builder = builder.sink(FileSink::create(log_of(directory))).crash_handler(true).log_facade(true);
    let _guard = builder.start().expect("it starts");
    kakashi::info!("first");
    entered.wait();
    log_on_threads();
    std::process::abort();
}

#[test]
fn a_crash_handler_writes_every_record() {
    let files = Files::new();
    let ended = scenario("crash").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{ended}");
    let lines = lines_of(files.log());
    let told = lines.last().expect("there are lines");
    assert!(told.contains("the writer did not answer; 2400 records written by the crash handler"), "{told}");
    assert_whole(&lines[1..], 0);
}

/// A server and a client that log through the `log` crate, and whose authors have not heard of us.
#[test]
fn crates_of_others_log_into_the_same_stream() {
    alone("crates_of_others_log_into_the_same_stream", || {
        const REQUESTS: usize = 20;
        let sink = MemorySink::new();
        let builder =
            kakashi::builder().filter("info,tiny_http=debug,ureq=debug".parse().expect("it is one"));
        let guard = builder.log_facade(true).sink(sink.clone()).start().expect("it starts");
        let server = tiny_http::Server::http("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/orders\n", server.server_addr()).replace('\n', "?q=%0A");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for request in server.incoming_requests().take(REQUESTS) {
                    kakashi::info!("request {}", request.url());
                    request.respond(tiny_http::Response::from_string("filled")).expect("it is answered");
                }
            });
            for n in 0..REQUESTS {
                let body = ureq::get(&url).call().expect("it is answered").body_mut().read_to_string();
                kakashi::info!("answer {n}: {}", body.expect("it is text"));
            }
        });
        drop(server);
        guard.shutdown(PATIENCE).expect("all is written");
        let lines = sink.lines();
        let of = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!((of(" request /orders?q=%0A"), of(": filled")), (REQUESTS, REQUESTS));
        // What the crates of today log: one line at least of each for the server, and for each request.
        assert!(of(" DEBUG tiny_http ") >= 1, "{lines:#?}");
        assert!(of(" DEBUG ureq::") >= REQUESTS, "{lines:#?}");
        assert_eq!(of(" TRACE "), 0);
        // In program order: what the client says of a request stands before the answer to it.
        let mut debug_lines = 0;
        for line in lines.iter().filter(|line| thread_of(line) == thread_of(lines.last().expect("a line"))) {
            debug_lines += usize::from(line.contains(" DEBUG ureq::"));
            if line.contains(": filled") {
                assert!(debug_lines > 0, "{line}");
                debug_lines = 0;
            }
        }
        assert_eq!(conserved().messages_written as usize, lines.len());
    });
}

/// The same as JSON, in files that are closed every few lines: each line is an object, each record there once.
#[test]
fn one_stream_of_json_over_many_files() {
    alone("one_stream_of_json_over_many_files", || {
        let directory = Directory::new();
        let path = directory.file("log");
        kakashi::init_tracing().expect("there is no other subscriber");
        let sink = FileSink::append(&path).rotate(Rotation::bytes(5000));
        let guard = kakashi::builder()
            .log_facade(true)
            .sink_with(sink, SinkOptions::default().format(Format::Json))
            .start()
            .expect("it starts");
        log_on_threads();
        guard.shutdown(PATIENCE).expect("it is written");
        let folder = std::fs::read_dir(directory.file("")).expect("it is there");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("it is read").path()).collect();
        // The log's own name is the shortest, and its file the newest.
        files.sort();
        files.rotate_left(1);
        assert!(files.len() > 10, "{} files", files.len());
        let mut next = [0; THREADS];
        for line in files.iter().flat_map(lines_of) {
            let object: serde_json::Value = serde_json::from_str(&line).expect("each line is an object");
            let text =
                |key: &str| object[key].as_str().unwrap_or_else(|| panic!("{key} of {line}")).to_owned();
            let (thread, n) = (number(&text("message"), "thread=") as usize, object["n"].as_u64());
            assert_eq!(n, Some(next[thread]), "{line}");
            let (level, logger, way) = match next[thread] % 3 {
                0 => ("INFO", "by_log", "log"),
                1 => ("WARN", "by_tracing", "tracing"),
                _ => ("ERROR", "facades", "kakashi"),
            };
            assert_eq!(
                (text("level"), text("logger"), text("file")),
                (level.into(), logger.into(), "tests/facades.rs".into())
            );
            assert_eq!(text("message"), format!("thread={thread} {way}"));
            if way == "tracing" {
                assert_eq!(
                    (&object["span"], &object["worker.id"]),
                    (&"worker".into(), &thread.into()),
                    "{line}"
                );
            }
            next[thread] += 1;
        }
        assert_eq!(next, [3 * ROUNDS; THREADS]);
    });
}

/// More fields than a line has keys for: the others are counted.
#[test]
fn fields_without_number_are_counted_in_json_and_stand_in_text() {
    alone("fields_without_number_are_counted_in_json_and_stand_in_text", || {
        let [text, json, logfmt] = [(); 3].map(|()| MemorySink::new());
        let guard = kakashi::builder()
            .log_facade(true)
            .sink(text.clone())
            .sink_with(json.clone(), SinkOptions::default().format(Format::Json))
            .sink_with(logfmt.clone(), SinkOptions::default().format(Format::Logfmt))
            .start()
            .expect("it starts");
        let keys: Vec<String> = (0..70).map(|at| format!("key{at}")).collect();
        let values: Vec<(&str, u32)> = keys.iter().map(String::as_str).zip(0..).collect();
        let values = values.as_slice();
        let record = log::Record::builder()
            .level(log::Level::Info)
            .target("t")
            .args(format_args!("many"))
            .key_values(&values)
            .build();
        log::logger().log(&record);
        guard.shutdown(PATIENCE).expect("it is written");
        assert!(text.text().contains(" key0=0 ") && text.text().contains(" key69=69\n"), "{}", text.text());
        let object: serde_json::Value = serde_json::from_str(&json.text()).expect("it is an object");
        assert_eq!(
            (&object["key0"], &object["key63"], &object["key64"]),
            (&0.into(), &63.into(), &serde_json::Value::Null)
        );
        assert_eq!((&object["fields_left_out"], &object["message"]), (&6.into(), &"many".into()));
        assert!(logfmt.text().contains(" key63=63 fields_left_out=6\n"), "{}", logfmt.text());
    });
}
