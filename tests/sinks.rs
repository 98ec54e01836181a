//! Sinks that take little, fail, hang or panic: what the log holds in the end.

mod common;

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use common::{
    Directory, Gate, HANG, Held, alone, conserved, dispatch, message, messages, notices, number, scenario,
    until,
};
use kakashi::{
    BackendError, Block, BlockFor, Channel, ConsoleSink, DropNewest, FileSink, FlushError, Format,
    LevelFilter, MemorySink, NullSink, Retry, Sink, SinkOptions, State, WriterSink, error, info, warn,
};

kakashi::channel!(static PATIENT: Channel<64, 64, 4, Block>);
kakashi::channel!(static HASTY: Channel<64, 64, 4, DropNewest>);
kakashi::channel!(static BOUNDED: Channel<64, 64, 4, BlockFor<1_000>>);

#[test]
fn child() {
    dispatch(&[
        ("console", |_| {
            let guard = kakashi::builder()
                .sink(ConsoleSink::stdout())
                .sink_with(ConsoleSink::stderr(), SinkOptions::default().level(LevelFilter::Warn))
                .start()
                .unwrap();
            info!("to stdout");
            warn!("to both");
            kakashi::sync(HANG).unwrap();
            conserved();
            guard.shutdown(HANG).unwrap();
        }),
        ("console, nobody reads", |_| {
            let guard = kakashi::builder().sink(ConsoleSink::stderr()).on_error(note).start().unwrap();
            info!("to nobody");
            match kakashi::flush(HANG) {
                Err(FlushError::Sink(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
                other => panic!("{other:?}"),
            }
            assert!(
                told().iter().any(|text| text.contains("Retired") && text.contains("stderr")),
                "{:?}",
                told()
            );
            let stats = conserved();
            assert_eq!((stats.dropped.sink, stats.sink_errors, stats.messages_written), (1, 1, 0), "{stats}");
            guard.shutdown(HANG).unwrap();
        }),
    ]);
}

/// What `on_error` was told, as `Debug` shows it.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(error: &BackendError<'_>) {
    assert!(!error.to_string().is_empty());
    told().push(format!("{error:?}"));
}

fn told() -> MutexGuard<'static, Vec<String>> {
    TOLD.lock().unwrap()
}

/// Takes part of what it is given, and fails as it is told to.
#[derive(Clone)]
struct Moody {
    taken: MemorySink,
    seed: u64,
    /// Errors to come, before anything else is taken.
    errors: Arc<Mutex<VecDeque<i32>>>,
    /// Fails with this as long as it is not 0.
    failing: Arc<AtomicU64>,
    tries: Arc<AtomicU64>,
    /// Whether it takes less than it is given.
    short: bool,
}

impl Moody {
    fn new(short: bool) -> Self {
        Moody {
            taken: MemorySink::new(),
            seed: 1,
            errors: Arc::default(),
            failing: Arc::default(),
            tries: Arc::default(),
            short,
        }
    }

    fn fail_with(&self, code: i32) {
        self.failing.store(code as u64, Ordering::SeqCst);
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }
}

impl Sink for Moody {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "an empty batch");
        self.tries.fetch_add(1, Ordering::SeqCst);
        if let Some(code) = self.errors.lock().unwrap().pop_front() {
            return if code == 0 { Ok(0) } else { Err(io::Error::from_raw_os_error(code)) };
        }
        match self.failing.load(Ordering::SeqCst) {
            0 => {}
            code => return Err(io::Error::from_raw_os_error(code as i32)),
        }
        if !self.short {
            return self.taken.write_batch(bytes);
        }
        match self.random() % 20 {
            0 => return Err(io::ErrorKind::Interrupted.into()),
            1 => return Ok(0),
            2 => return Err(io::ErrorKind::StorageFull.into()),
            _ => {}
        }
        let len = (self.random() as usize % 3000).clamp(1, bytes.len());
        self.taken.write_batch(&bytes[..len])
    }
}

#[track_caller]
fn assert_counted(lines: &[String], count: u64) {
    let messages = messages(lines);
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(number(message, "n="), n as u64, "{message}");
    }
    assert_eq!(messages.len() as u64, count);
}

fn quick() -> Retry {
    Retry::default().pauses(Duration::from_micros(10), Duration::from_micros(100))
}

#[test]
fn short_writes_and_passing_errors_lose_nothing() {
    alone("short_writes_and_passing_errors_lose_nothing", || {
        let sink = Moody::new(true);
        let guard = kakashi::builder().sink(sink.clone()).retry(quick()).on_error(note).start().unwrap();
        (0..20_000).for_each(|n| info!(PATIENT, "n={n}"));
        kakashi::flush(HANG).unwrap();
        assert_counted(&sink.taken.lines(), 20_000);
        let stats = conserved();
        assert_eq!((stats.messages_written, stats.bytes_written), (20_000, sink.taken.text().len() as u64));
        // `Interrupted` is not told; 0 bytes and no room are.
        assert_eq!(told().len() as u64, stats.sink_errors);
        assert!(
            told().iter().all(|text| text.contains("Retrying") && text.contains("Moody")),
            "{:?}",
            told()[0]
        );
        assert!(told().iter().any(|text| text.contains("StorageFull")));
        assert!(told().iter().any(|text| text.contains("WriteZero")));
        assert!(!told().iter().any(|text| text.contains("Interrupted")));
        guard.shutdown(HANG).unwrap();
    });
}

#[test]
fn a_full_disk_holds_everything_back_until_there_is_room() {
    alone("a_full_disk_holds_everything_back_until_there_is_room", || {
        for code in [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EAGAIN] {
            let sink = Moody::new(false);
            let retry = quick().limit(Duration::ZERO);
            let guard = kakashi::builder().sink(sink.clone()).retry(retry).on_error(note).start().unwrap();
            (0..100).for_each(|n| info!("n={n}"));
            kakashi::flush(HANG).unwrap();
            let before = kakashi::get_async_stats();
            sink.fail_with(code);
            (100..200).for_each(|n| info!("n={n}"));
            let tries = sink.tries.load(Ordering::SeqCst);
            until("it was tried often", || sink.tries.load(Ordering::SeqCst) > tries + 20);
            let error = kakashi::flush(Duration::from_millis(5)).unwrap_err();
            assert!(matches!(error, FlushError::TimedOut { unwritten: 100 }), "{error:?}");
            assert_eq!(conserved().queue_size, 100);
            assert!(conserved().sink_errors >= before.sink_errors + 20);
            // A thread that waits for room gets it later.
            let waits = std::thread::spawn(|| (200..600).for_each(|n| info!(PATIENT, "n={n}")));
            until("the ring is full", || PATIENT.lanes().any(|lane| lane.occupied == lane.slots));
            sink.fail_with(0);
            waits.join().unwrap();
            kakashi::flush(HANG).unwrap();
            assert_counted(&sink.taken.lines(), 600);
            // Told as what it is: the only sink is waited for, whatever the limit.
            assert!(
                told()
                    .iter()
                    .all(|text| text.starts_with("Retrying") && text.contains(&format!("code: {code}")))
            );
            told().clear();
            guard.shutdown(HANG).unwrap();
            conserved();
        }
    });
}

#[test]
fn a_permanent_error_retires_a_sink() {
    alone("a_permanent_error_retires_a_sink", || {
        for code in [libc::EPIPE, libc::EBADF] {
            let (broken, other) = (Moody::new(false), MemorySink::new());
            let guard =
                kakashi::builder().sink(broken.clone()).sink(other.clone()).on_error(note).start().unwrap();
            info!("n=0");
            kakashi::flush(HANG).unwrap();
            broken.fail_with(code);
            (1..1000).for_each(|n| info!("n={n}"));
            kakashi::flush(HANG).unwrap();
            let tries = broken.tries.load(Ordering::SeqCst);
            (1000..2000).for_each(|n| info!("n={n}"));
            kakashi::flush(HANG).unwrap();
            assert_eq!(broken.tries.load(Ordering::SeqCst), tries, "a retired sink is used");
            assert_counted(&other.lines(), 2000);
            assert_eq!(messages(&broken.taken.lines()), ["n=0"]);
            assert!(matches!(told().as_slice(), [text] if text.starts_with("Retired")), "{:?}", told());
            told().clear();
            assert_eq!(conserved().messages_dropped, 0);
            guard.shutdown(HANG).unwrap();
        }
        assert_eq!(conserved().sink_errors, 2);
    });
}

/// Panics in its third batch, and when it is dropped.
struct Panicky {
    batches: u64,
    taken: MemorySink,
}

impl Sink for Panicky {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.batches += 1;
        assert!(self.batches < 3, "third time unlucky");
        self.taken.write_batch(bytes)
    }
}

impl Drop for Panicky {
    fn drop(&mut self) {
        panic!("no luck at all");
    }
}

#[test]
fn a_sink_that_panics_is_retired_and_the_others_go_on() {
    alone("a_sink_that_panics_is_retired_and_the_others_go_on", || {
        let (taken, before, after) = (MemorySink::new(), MemorySink::new(), MemorySink::new());
        let guard = kakashi::builder()
            .sink(before.clone())
            .sink(Panicky { batches: 0, taken: taken.clone() })
            .sink(after.clone())
            .on_error(|error| {
                note(error);
                panic!("nor has this function");
            })
            .start()
            .unwrap();
        for n in 0..10 {
            info!("n={n}");
            kakashi::flush(HANG).unwrap();
        }
        kakashi::sync(HANG).unwrap();
        assert_eq!(messages(&taken.lines()), ["n=0", "n=1"]);
        assert_counted(&before.lines(), 10);
        assert_eq!(before.text(), after.text());
        assert!(matches!(told().as_slice(), [text] if text.contains("third time unlucky")), "{:?}", told());
        // Its drop panics, too.
        guard.shutdown(HANG).unwrap();
        assert_eq!((conserved().messages_written, kakashi::state()), (10, State::Stopped));
        let guard = kakashi::builder().sink(NullSink).start().unwrap();
        guard.shutdown(HANG).unwrap();
    });
}

/// Says to have taken more than it was given.
struct Boastful;

impl Sink for Boastful {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len() + 1)
    }
}

#[test]
fn without_a_live_sink_records_are_dropped_and_counted() {
    alone("without_a_live_sink_records_are_dropped_and_counted", || {
        let guard = kakashi::builder().sink(Boastful).on_error(note).start().unwrap();
        (0..5000).for_each(|n| info!(PATIENT, "n={n}"));
        match kakashi::flush(HANG) {
            Err(FlushError::Sink(error)) => assert!(error.to_string().contains("more bytes"), "{error}"),
            other => panic!("no sink is alive, and flush says {other:?}"),
        }
        assert!(matches!(kakashi::sync(HANG), Err(FlushError::Sink(_))));
        let stats = conserved();
        assert_eq!((stats.dropped.sink, stats.messages_written, stats.queue_size), (5000, 0, 0), "{stats}");
        assert_eq!(told().len(), 1);
        let report = guard.shutdown(HANG).unwrap();
        assert_eq!((report.messages_dropped, conserved().dropped.sink), (5000, 5000));
        // The next backend is not concerned.
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        info!("again");
        guard.shutdown(HANG).unwrap();
        assert_eq!(messages(&memory.lines()), ["again"]);
        conserved();
    });
}

/// Two sinks, the first of which fails until it is suspended.
fn suspend(failing: &Moody, other: impl Sink) -> kakashi::Guard {
    let retry = quick().limit(Duration::from_millis(1));
    let guard =
        kakashi::builder().sink(failing.clone()).sink(other).retry(retry).on_error(note).start().unwrap();
    (0..10).for_each(|n| info!("n={n}"));
    kakashi::flush(HANG).unwrap();
    failing.fail_with(libc::ENOSPC);
    info!("n=10");
    // Nothing is written past the failing sink before the limit; then the flush succeeds without it.
    kakashi::flush(HANG).unwrap();
    assert!(told().iter().any(|text| text.starts_with("Suspended")), "{:?}", told());
    (11..111).for_each(|n| info!("n={n}"));
    kakashi::flush(HANG).unwrap();
    guard
}

#[test]
fn a_suspended_sink_is_told_what_it_missed() {
    alone("a_suspended_sink_is_told_what_it_missed", || {
        let (failing, other) = (Moody::new(false), MemorySink::new());
        let guard = suspend(&failing, other.clone());
        assert_counted(&other.lines(), 111);
        failing.fail_with(0);
        until("it is back", || told().iter().any(|text| text.starts_with("Resumed")));
        assert!(told().last().unwrap().contains("missed: 100"), "{:?}", told());
        kakashi::flush(HANG).unwrap();
        (111..120).for_each(|n| info!("n={n}"));
        kakashi::flush(HANG).unwrap();
        assert_counted(&other.lines(), 120);
        // What was staged for it before it was suspended, what it missed, and what came later.
        let lines = failing.taken.lines();
        let said: Vec<_> = lines.iter().map(|line| message(line)).collect();
        let mut wanted: Vec<_> = (0..=10).map(|n| format!("n={n}")).collect();
        wanted.push("this sink missed 100 records while it failed".to_owned());
        wanted.extend((111..120).map(|n| format!("n={n}")));
        assert_eq!(said, wanted);
        let stats = conserved();
        assert_eq!((stats.messages_written, stats.messages_dropped, stats.notices), (120, 0, 1), "{stats}");
        guard.shutdown(HANG).unwrap();
    });
}

#[test]
fn the_last_sink_is_waited_for_again() {
    alone("the_last_sink_is_waited_for_again", || {
        // The other one is retired while this one is suspended.
        let (failing, other) = (Moody::new(false), Moody::new(false));
        let guard = suspend(&failing, other.clone());
        other.fail_with(libc::EPIPE);
        info!("n=111");
        until("the other one is retired", || told().iter().any(|text| text.starts_with("Retired")));
        (112..120).for_each(|n| info!("n={n}"));
        failing.fail_with(0);
        kakashi::flush(HANG).unwrap();
        let lines = failing.taken.lines();
        let missed: u64 = notices(&lines).iter().map(|notice| number(notice, "missed ")).sum();
        let told_missed: u64 = told()
            .iter()
            .filter(|text| text.starts_with("Resumed"))
            .map(|text| number(text, "missed: "))
            .sum();
        let got = messages(&lines).len() as u64;
        let stats = conserved();
        // Each record is in this sink, or it was told that it missed it, or it is counted as dropped.
        assert_eq!(stats.calls, 120);
        assert!(missed >= 100, "told of {missed} missed records, has {got}: {stats}\n{:?}", told());
        assert_eq!(missed, told_missed);
        assert_eq!(got + missed, 120);
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

#[test]
fn a_device_without_room_is_waited_for() {
    alone("a_device_without_room_is_waited_for", || {
        let sink = FileSink::append("/dev/full");
        let guard = kakashi::builder().sink(sink).retry(quick()).on_error(note).start().unwrap();
        info!("stall");
        until("it has failed", || kakashi::get_async_stats().sink_errors > 0);
        (0..500).for_each(|n| info!(HASTY, "n={n}"));
        (0..500).for_each(|n| info!(BOUNDED, "n={n}"));
        let stats = conserved();
        assert_eq!((stats.messages_written, stats.calls), (0, 1001));
        assert!(stats.dropped.newest > 400 && stats.dropped.wait_expired > 400, "{stats}");
        assert_eq!(
            (stats.blocked, stats.messages_dropped),
            (1, stats.dropped.newest + stats.dropped.wait_expired)
        );
        assert!(told()[0].contains("/dev/full") && told()[0].contains("code: 28"), "{:?}", told()[0]);
        assert!(guard.shutdown(Duration::from_millis(10)).is_err());
        assert_eq!(conserved().queue_size, stats.queue_size);
    });
}

/// Some of a log's records, by target: in text, which is rendered by rows otherwise, and in JSON.
#[test]
fn a_sink_gets_the_targets_that_it_asks_for() {
    alone("a_sink_gets_the_targets_that_it_asks_for", || {
        let logged = |log: &dyn Fn(), filters: &[&str]| {
            let mut builder = kakashi::builder().level(LevelFilter::Debug);
            let sinks: Vec<MemorySink> = filters.iter().map(|_| MemorySink::new()).collect();
            for (sink, filter) in sinks.iter().zip(filters) {
                let options = SinkOptions::default().filter(filter.parse().expect("it is a filter"));
                builder = builder.sink_with(sink.clone(), options.level(LevelFilter::Debug));
            }
            let guard = builder.start().expect("it starts");
            log();
            guard.shutdown(HANG).expect("it is written");
            sinks.iter().map(|sink| messages(&sink.lines()).join(" ")).collect::<Vec<_>>()
        };
        let (orders, fills) =
            (kakashi::get_async_logger("orders"), kakashi::get_async_logger("orders::fills"));
        let log = || {
            info!("1");
            info!(orders, "2");
            kakashi::debug!(fills, "3");
            warn!(PATIENT, "4");
            kakashi::debug!("5");
            warn!(orders, "6");
        };
        // From the second time on, there are plans to render rows by.
        let thrice = || (0..3).for_each(|_| log());
        assert_eq!(logged(&thrice, &["off,orders"]), ["2 3 6 2 3 6 2 3 6"]);
        let filters =
            ["off,orders=info", "orders=off", "info,orders::fills=off,PATIENT=off", "", "warn,sinks=debug"];
        assert_eq!(logged(&log, &filters), ["2 6", "1 4 5", "1 2 6", "1 2 3 4 5 6", "1 4 5 6"]);
        // What another sink had, before it was retired, is no reason to get it now.
        let (broken, filtered) = (Moody::new(false), MemorySink::new());
        let options = SinkOptions::default().level(LevelFilter::Debug);
        let guard = kakashi::builder()
            .level(LevelFilter::Debug)
            .sink_with(broken.clone(), options)
            .sink_with(filtered.clone(), options.filter("off,orders".parse().expect("it is a filter")))
            .start()
            .expect("it starts");
        for code in [0, libc::EPIPE, libc::EPIPE] {
            broken.fail_with(code);
            log();
            kakashi::flush(HANG).expect("it is written");
        }
        guard.shutdown(HANG).expect("it is written");
        assert_eq!(messages(&broken.taken.lines()).len(), 6);
        assert_eq!(messages(&filtered.lines()).join(" "), "2 3 6 2 3 6 2 3 6");
        // What no sink wants is written nowhere, and accounted for.
        assert_eq!(logged(&log, &["off", "off"]), ["", ""]);
        assert_eq!(conserved().calls, 48);
        for (filter, why) in
            [("[id=7]", "goes by targets"), (&*format!("{}=off", "x".repeat(1100)), "1024 bytes")]
        {
            let options = SinkOptions::default().filter(filter.parse().expect("it is a filter"));
            let error = kakashi::builder().sink_with(NullSink, options).start().expect_err("it is refused");
            let source = std::error::Error::source(&error).expect("it has a source").to_string();
            assert!(source.contains(why), "{error}: {source}");
        }
    });
}

/// Rows are rendered for the sink that gets the most; what others get, too, is no part of them.
#[test]
fn sinks_of_several_levels_get_what_is_theirs() {
    const ROUNDS: usize = 100;
    alone("sinks_of_several_levels_get_what_is_theirs", || {
        for formats in [[Format::Text; 3], [Format::Json, Format::Text, Format::Json], [Format::Console; 3]] {
            let levels = [LevelFilter::Warn, LevelFilter::Debug, LevelFilter::Error];
            let sinks = [(); 3].map(|()| MemorySink::new());
            let mut builder = kakashi::builder().level(LevelFilter::Trace);
            for ((sink, level), format) in sinks.iter().zip(levels).zip(formats) {
                let options = SinkOptions::default().level(level).format(format);
                builder = builder.sink_with(sink.clone(), options);
            }
            let guard = builder.start().expect("it starts");
            for _ in 0..ROUNDS {
                kakashi::trace!("t");
                kakashi::debug!("d");
                info!("i");
                warn!("w");
                info!("i");
                error!("e");
            }
            guard.shutdown(HANG).expect("it is written");
            for ((sink, format), expected) in sinks.iter().zip(formats).zip(["we", "diwie", "e"]) {
                let last = |line: &String| match format {
                    Format::Json => line.rsplit_once("\"message\":\"").map(|(_, text)| text[..1].to_owned()),
                    _ => line.chars().last().map(String::from),
                };
                let got: String = sink.lines().iter().filter_map(last).collect();
                assert_eq!(got, expected.repeat(ROUNDS), "{format:?}");
            }
        }
        assert_eq!(conserved().calls, 3 * 6 * ROUNDS as u64);
    });
}

#[test]
fn a_new_log_file_is_not_for_everybody() {
    alone("a_new_log_file_is_not_for_everybody", || {
        // SAFETY: no other thread makes files.
        unsafe { libc::umask(0) };
        let directory = Directory::new();
        let [fresh, there] = ["fresh", "there"].map(|name| directory.file(name));
        std::fs::write(&there, "old\n").unwrap();
        std::fs::set_permissions(&there, PermissionsExt::from_mode(0o604)).unwrap();
        let guard =
            kakashi::builder().sink(FileSink::create(&fresh)).sink(FileSink::append(&there)).start().unwrap();
        info!("new");
        kakashi::sync(HANG).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&fresh), mode(&there)), (0o640, 0o604));
        let text = std::fs::read_to_string(&there).unwrap();
        assert!(text.starts_with("old\n") && text.ends_with(" new\n"), "{text}");
        guard.shutdown(HANG).unwrap();
        let guard = kakashi::builder().sink(FileSink::create(&there)).start().unwrap();
        guard.shutdown(HANG).unwrap();
        assert_eq!(std::fs::read_to_string(&there).unwrap(), "");
        let private = directory.file("private");
        let guard = kakashi::builder().sink(FileSink::append(&private).mode(0o600)).start().unwrap();
        assert_eq!(mode(&private), 0o600);
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

#[test]
fn links_are_followed_unless_told_otherwise() {
    alone("links_are_followed_unless_told_otherwise", || {
        let directory = Directory::new();
        let [target, link] = ["target", "link"].map(|name| directory.file(name));
        std::fs::write(&target, "precious\n").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for sink in [FileSink::create(&link), FileSink::append(&link)] {
            let error = kakashi::builder().sink(sink.follow_links(false)).start().expect_err("a link");
            let said = error.to_string();
            assert!(said.contains("link") && said.contains("is not to follow"), "{said}");
            assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious\n");
        }
        // Neither is one that points to nothing.
        std::fs::remove_file(&target).unwrap();
        let builder = kakashi::builder().sink(FileSink::append(&link).follow_links(false));
        builder.start().expect_err("a link to nothing");
        assert!(!target.exists());
        let guard = kakashi::builder().sink(FileSink::append(&link)).start().unwrap();
        info!("through the link");
        guard.shutdown(HANG).unwrap();
        assert!(std::fs::read_to_string(&target).unwrap().ends_with(" through the link\n"));
        conserved();
    });
}

#[test]
fn the_console_is_a_sink() {
    let ended = scenario("console").run();
    assert!(ended.status.success(), "{ended}");
    let written: Vec<_> =
        ended.stdout.lines().filter(|line| line.contains("Z INFO") || line.contains("Z WARN")).collect();
    // The test harness has begun the first line.
    assert!(
        written.len() == 2 && written[0].ends_with("] to stdout") && written[1].ends_with("] to both"),
        "{ended}"
    );
    assert_eq!(messages(&ended.stderr.lines().collect::<Vec<_>>()), ["to both"]);

    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let ended = scenario("console, nobody reads").stderr(writer).run();
    assert!(ended.status.success(), "{ended}");
}

/// Fails once for each thousand bytes that it takes.
#[derive(Clone, Default)]
struct Flaky(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap();
        inner.1 = !inner.1;
        if inner.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = bytes.len().min(1000);
        inner.0.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn any_writer_can_be_a_sink() {
    alone("any_writer_can_be_a_sink", || {
        for capacity in [16, 1000, 100_000] {
            let inner = Flaky::default();
            let sink = WriterSink::new(BufWriter::with_capacity(capacity, inner.clone()));
            let guard = kakashi::builder().sink(sink).retry(quick()).on_error(note).start().unwrap();
            (0..3000).for_each(|n| info!("n={n}"));
            kakashi::flush(HANG).unwrap();
            let text = String::from_utf8(inner.0.lock().unwrap().0.clone()).unwrap();
            assert_counted(&text.lines().map(str::to_owned).collect::<Vec<_>>(), 3000);
            assert!(!told().is_empty());
            guard.shutdown(HANG).unwrap();
            conserved();
        }
    });
}

/// Logs more than it writes.
struct Chatty {
    taken: MemorySink,
    batches: u64,
}

impl Sink for Chatty {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.batches += 1;
        info!("batch {} of {} bytes", self.batches, bytes.len());
        (0..200).for_each(|n| info!(HASTY, "echo {n}"));
        (0..200).for_each(|n| info!(PATIENT, "echo {n}"));
        (0..200).for_each(|n| info!(BOUNDED, "echo {n}"));
        self.taken.write_batch(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        info!("synced");
        Ok(())
    }
}

impl Drop for Chatty {
    fn drop(&mut self) {
        info!("good bye");
        assert!(matches!(kakashi::flush(HANG), Err(FlushError::WouldDeadlock)));
    }
}

#[test]
fn a_sink_that_logs_does_not_wait_for_itself() {
    alone("a_sink_that_logs_does_not_wait_for_itself", || {
        let taken = MemorySink::new();
        let guard = kakashi::builder()
            .sink(Chatty { taken: taken.clone(), batches: 0 })
            .on_error(|error| info!("{error}"))
            .start()
            .unwrap();
        for n in 0..100 {
            info!("n={n}");
            kakashi::flush(HANG).unwrap();
            kakashi::sync(HANG).unwrap();
        }
        let waits = BOUNDED.stats().snapshot().blocked + PATIENT.stats().snapshot().blocked;
        assert_eq!(waits, 0, "the writer waited for itself");
        guard.shutdown(HANG).unwrap();
        let stats = conserved();
        assert_eq!(stats.messages_dropped, stats.dropped.newest + stats.dropped.after_shutdown, "{stats}");
        let lines = taken.lines();
        let ours: Vec<_> = messages(&lines).into_iter().filter(|message| message.starts_with("n=")).collect();
        assert_eq!(ours, (0..100).map(|n| format!("n={n}")).collect::<Vec<_>>());
        assert_eq!(messages(&lines).len() as u64, stats.messages_written);
    });
}

#[test]
fn clones_of_a_memory_sink_are_one() {
    alone("clones_of_a_memory_sink_are_one", || {
        let memory = MemorySink::new();
        let clone = memory.clone();
        // The same sink twice is two sinks: it gets each line twice.
        let guard = kakashi::builder().sink(memory.clone()).sink(clone.clone()).start().unwrap();
        info!("a line\nand no more");
        kakashi::flush(HANG).unwrap();
        assert_eq!(memory.text(), clone.text());
        assert_eq!(messages(&memory.lines()), ["a line\\nand no more", "a line\\nand no more"]);
        clone.clear();
        assert!(memory.lines().is_empty());
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

#[test]
fn a_slow_sink_does_not_lose_what_the_fast_one_has() {
    alone("a_slow_sink_does_not_lose_what_the_fast_one_has", || {
        let (gate, entered, slow, fast) =
            (Gate::closed(), Gate::closed(), MemorySink::new(), MemorySink::new());
        let guard =
            kakashi::builder().sink(fast.clone()).sink(Held::new(&gate, &entered, &slow)).start().unwrap();
        info!("n=0");
        entered.wait();
        (1..1000).for_each(|n| info!("n={n}"));
        assert_eq!(messages(&fast.lines()), ["n=0"]);
        // Written is what every live sink has.
        assert_eq!((conserved().messages_written, conserved().queue_size), (0, 1000));
        gate.open();
        kakashi::flush(HANG).unwrap();
        assert_counted(&slow.lines(), 1000);
        assert_eq!(slow.text(), fast.text());
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}
