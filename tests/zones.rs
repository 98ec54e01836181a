//! Local time: in the lines of each format, in the days by which a file is rotated, in what a crash handler writes,
//! and in what a recovery does. What is right is `jiff`'s to say.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::black_box::{Files, box_of, log_of};
use common::{Directory, Gate, HANG, Held, alone, dispatch, lines_of, scenario, until};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use kakashi::{FileSink, Format, MemorySink, Period, Rotation, SinkOptions, Zone, info};

const HOUR: i64 = 3_600_000_000_000;

#[test]
fn child() {
    dispatch(&[("tells TZ", tells_tz), ("crashes", crashes), ("killed", killed), ("next", next)]);
}

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("the system has a time zone database")
}

fn rules(name: &str) -> TimeZone {
    TimeZone::get(name).expect("the system has a time zone database")
}

fn wall() -> i64 {
    Timestamp::now().as_nanosecond() as i64
}

/// The next moment at which a zone's clock is set back, or forward, in ns since 1970.
fn next_set(rules: &TimeZone, back: bool) -> i64 {
    let before = |at: Timestamp| rules.to_offset(at - 1.second());
    let is_it = |at: &Timestamp| (rules.to_offset(*at) < before(*at)) == back;
    let set = rules.following(Timestamp::now()).map(|change| change.timestamp()).find(is_it);
    set.expect("it is set every year").as_nanosecond() as i64
}

/// Logs a line when it is `ns`, in the program's eyes.
fn log_at(ns: i64, shown: impl Fn() -> String) {
    kakashi::__private::shift_wall_clock(ns - wall());
    let told = Timestamp::from_nanosecond(ns.into()).expect("it is a time");
    until("the lines have the new time", || {
        info!("a line");
        kakashi::flush(HANG).expect("it is written");
        let text = shown();
        let last: Timestamp = text[..30].parse().expect("it is a time");
        (last - told).as_secs().abs() < 10
    });
}

/// The time in a line of a format, which stands behind `begin`.
fn time_in<'l>(line: &'l str, begin: &str) -> &'l str {
    let rest = line.strip_prefix(begin).unwrap_or_else(|| panic!("{line} begins with {begin}"));
    rest.split(['"', ' ', '|']).next().unwrap_or_default()
}

#[test]
fn each_format_has_the_time_of_its_sinks_zone() {
    alone("each_format_has_the_time_of_its_sinks_zone", || {
        let pattern = Format::pattern("{time}|{message}").expect("it is a pattern");
        let names = ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"];
        let formats = [
            (Format::Text, ""),
            (Format::Json, "{\"time\":\""),
            (Format::JsonEcs, "{\"@timestamp\":\""),
            (Format::Logfmt, "time="),
            (pattern, ""),
        ];
        let utc = MemorySink::new();
        let otel = MemorySink::new();
        let console = MemorySink::new();
        let mut sinks = Vec::new();
        for (at, (format, begin)) in formats.into_iter().enumerate() {
            sinks.push((format, begin, names[at % names.len()], MemorySink::new()));
        }
        let with = |format: Format, name: &str| SinkOptions::default().format(format).zone(zone(name));
        let mut builder = kakashi::builder()
            .sink(utc.clone())
            .sink_with(otel.clone(), with(Format::JsonOtel, "Asia/Kathmandu"))
            .sink_with(console.clone(), with(Format::Console, "Asia/Kathmandu"));
        for (format, _, name, sink) in &sinks {
            builder = builder.sink_with(sink.clone(), with(*format, name));
        }
        let _guard = builder.start().expect("the backend starts");
        let last = || utc.lines().pop().expect("there is a line");
        let berlin = rules("Europe/Berlin");
        for back in [false, true] {
            let set = next_set(&berlin, back);
            [set - HOUR / 60, set + HOUR / 60].iter().for_each(|&ns| log_at(ns, last));
        }
        let moments: Vec<Timestamp> =
            utc.lines().iter().map(|line| time_in(line, "").parse().expect("it is a time")).collect();
        assert!(utc.lines().iter().all(|line| line[29..].starts_with("Z INFO ")));
        for (format, begin, name, sink) in &sinks {
            let rules = rules(name);
            let lines = sink.lines();
            assert_eq!(lines.len(), moments.len(), "{format:?}");
            for (line, moment) in lines.iter().zip(&moments) {
                let right = moment.to_zoned_datetime(rules.clone()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z");
                assert_eq!(time_in(line, begin), right.to_string(), "{format:?} in {name}");
            }
        }
        for (line, moment) in otel.lines().iter().zip(&moments) {
            assert_eq!(time_in(line, "{\"Timestamp\":\""), moment.as_nanosecond().to_string());
        }
        for (line, moment) in console.lines().iter().zip(&moments) {
            let right = moment.to_zoned_datetime(rules("Asia/Kathmandu")).strftime("%H:%M:%S.%3f");
            assert!(line.starts_with(&format!("\u{1b}[2m{right}\u{1b}[0m ")), "{line:?}");
        }
    });
}

/// One sink of text: its lines are rendered row by row.
#[test]
fn rows_of_lines_have_it_too() {
    alone("rows_of_lines_have_it_too", || {
        let sink = MemorySink::new();
        let options = SinkOptions::default().zone(zone("America/St_Johns"));
        let _guard = kakashi::builder().sink_with(sink.clone(), options).start().expect("it starts");
        let from = Timestamp::now();
        (0..5000).for_each(|n| info!("n={n} {}", "text"));
        kakashi::flush(HANG).expect("it is written");
        let rules = rules("America/St_Johns");
        let lines = sink.lines();
        assert_eq!(lines.len(), 5000);
        for (n, line) in lines.iter().enumerate() {
            let moment: Timestamp = line[..35].parse().expect("it is a time");
            assert!((moment - from).as_secs().abs() < 60, "{line}");
            let right = moment.to_zoned_datetime(rules.clone()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z");
            assert_eq!(line[..35], right.to_string());
            assert!(line[35..].starts_with(" INFO  zones tests/zones.rs:"), "{line}");
            assert!(line.ends_with(&format!("] n={n} text")), "{line}");
        }
    });
}

/// The files of a log by the order of their names, the log last, and what stands in each.
fn files_of(log: &Path) -> Vec<Vec<String>> {
    let folder = fs::read_dir(log.parent().expect("it has a folder")).expect("it is read");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("it is read").path()).collect();
    files.sort();
    files.rotate_left(1);
    let messages =
        |file: &PathBuf| lines_of(file).iter().map(|line| common::message(line).to_owned()).collect();
    files.iter().map(messages).collect()
}

/// Logs one line at each of the moments, by a clock of Berlin, and looks which ones stand in one file.
#[track_caller]
fn assert_files(period: Period, moments: &[i64], expected: &[&[usize]]) {
    let directory = Directory::new();
    let log = directory.file("log");
    let rotation = Rotation::every(period).in_zone(zone("Europe/Berlin"));
    let shift = |ns: i64| kakashi::__private::shift_wall_clock(ns - wall());
    shift(moments[0]);
    let sink = FileSink::append(&log).rotate(rotation);
    let guard = kakashi::builder().sink(sink).start().expect("it starts");
    for (n, &moment) in moments.iter().enumerate() {
        shift(moment);
        info!("{n}");
        kakashi::flush(HANG).expect("it is written");
    }
    guard.shutdown(HANG).expect("it is written");
    let expected: Vec<Vec<String>> =
        expected.iter().map(|lines| lines.iter().map(usize::to_string).collect()).collect();
    assert_eq!(files_of(&log), expected, "{period:?}");
}

/// The clock shows one hour twice: a day of 25 hours, and the hour in two files, whose names stand in the order of time.
#[test]
fn a_day_on_which_the_clock_is_set_back_is_one_file() {
    alone("a_day_on_which_the_clock_is_set_back_is_one_file", || {
        let set = next_set(&rules("Europe/Berlin"), true);
        // It is set from three to two.
        let midnight = set - 3 * HOUR;
        let next = midnight + 25 * HOUR;
        let moments = [midnight - HOUR, midnight + 1, set + HOUR, next - HOUR / 60, next];
        assert_files(Period::Day, &moments, &[&[0], &[1, 2, 3], &[4]]);
        let moments =
            [set - HOUR - HOUR / 60, set - HOUR, set - HOUR / 60, set, set + HOUR - HOUR / 60, set + HOUR];
        assert_files(Period::Hour, &moments, &[&[0], &[1, 2], &[3, 4], &[5]]);
    });
}

/// It leaves out an hour: a day of 23 hours, and no file for what is never shown.
#[test]
fn a_day_on_which_the_clock_is_set_forward_is_one_file() {
    alone("a_day_on_which_the_clock_is_set_forward_is_one_file", || {
        let set = next_set(&rules("Europe/Berlin"), false);
        // It is set from two to three.
        let midnight = set - 2 * HOUR;
        let next = midnight + 23 * HOUR;
        let moments = [midnight - HOUR, midnight + 1, set + HOUR, next - HOUR / 60, next];
        assert_files(Period::Day, &moments, &[&[0], &[1, 2, 3], &[4]]);
        let moments = [set - HOUR, set - HOUR / 60, set, set + HOUR - HOUR / 60, set + HOUR];
        assert_files(Period::Hour, &moments, &[&[0, 1], &[2, 3], &[4]]);
    });
}

/// A rule that is no zone's, without a name: 3:17 before UTC.
const RULE: &str = "ODD-3:17";
/// The same, three hours before UTC, whatever it is called.
const CALLED_UTC: &str = "UTC-3";

fn tells_tz(expected: &str) {
    // SAFETY: no other thread of the process looks at the environment meanwhile.
    unsafe { std::env::set_var("TZ", expected) };
    let zone = Zone::local();
    match expected {
        "Nowhere/Else" => {
            let told = zone.expect_err("there is none").to_string();
            assert!(told.starts_with("the system's time zone cannot be told: "), "{told}");
            assert!(told.ends_with("; the variable TZ may name one, such as `Europe/Berlin`"), "{told}");
        }
        RULE | CALLED_UTC => assert_eq!(zone.expect("it is a rule").name(), "local"),
        "" => assert_eq!(zone, Ok(Zone::UTC)),
        name => assert_eq!(zone, Zone::named(name)),
    }
}

#[test]
fn the_systems_zone_is_what_tz_says() {
    for expected in ["Asia/Kathmandu", "", RULE, CALLED_UTC, "Nowhere/Else"] {
        let ended = scenario("tells TZ").with(expected).run();
        assert!(ended.status.success(), "{expected}: {ended}");
    }
}

/// The zone of that rule.
fn odd() -> Zone {
    // SAFETY: as above.
    unsafe { std::env::set_var("TZ", RULE) };
    Zone::local().expect("it is a rule")
}

const MANY: usize = 3000;

/// The writer hangs, and the handler writes.
fn crashes(log: &str) {
    let (gate, entered) = (Gate::closed(), Gate::closed());
    let held = Held::new(&gate, &entered, &MemorySink::new());
    let options = SinkOptions::default().zone(odd());
    let _guard = kakashi::builder()
        .sink(held)
        .sink_with(FileSink::append(log), options)
        .sink_with(FileSink::append(format!("{log}.json")), options.format(Format::Json))
        .sink(FileSink::append(format!("{log}.utc")))
        .crash_handler(true)
        .start()
        .expect("it starts");
    info!("n=0");
    entered.wait();
    (1..MANY).for_each(|n| info!("n={n}"));
    std::process::abort();
}

/// Whether each line has the time of the rule, and the records are whole.
#[track_caller]
fn assert_odd(lines: &[String]) {
    for line in lines {
        assert_eq!((&line[19..20], &line[29..36]), (".", "+03:17 "), "{line}");
        let moment: Timestamp = line[..35].parse().expect("it is a time");
        assert!((moment - Timestamp::now()).as_secs().abs() < 600, "{line}");
    }
    let records: Vec<_> = lines.iter().filter(|line| !common::is_notice(line)).collect();
    assert_eq!(records.len(), MANY);
    records.iter().enumerate().for_each(|(n, line)| assert!(line.ends_with(&format!("] n={n}")), "{line}"));
}

#[test]
fn a_crash_handler_writes_a_zones_time() {
    let directory = Directory::new();
    let log = directory.file("log");
    let ended = scenario("crashes").with(&log).run();
    assert!(!ended.status.success(), "{ended}");
    let lines = lines_of(&log);
    assert!(lines.last().is_some_and(|line| line.ends_with("written by the crash handler")), "{lines:?}");
    assert_odd(&lines);
    for line in lines_of(directory.file("log.json")) {
        assert_eq!(&line[38..46], "+03:17\",", "{line}");
    }
    assert!(lines_of(directory.file("log.utc")).iter().all(|line| line[29..].starts_with("Z ")));
}

/// Dies with all its records in the rings and in staging.
fn killed(directory: &str) {
    let (gate, entered) = (Gate::closed(), Gate::closed());
    let held = Held::new(&gate, &entered, &MemorySink::new());
    let options = SinkOptions::default().zone(odd());
    let guard = kakashi::builder()
        .sink_with(held, options)
        .sink_with(FileSink::append(log_of(directory)), options)
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    info!("n=0");
    entered.wait();
    (1..MANY).for_each(|n| info!("n={n}"));
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// The next start, of a program whose sink has another zone.
fn next(directory: &str) {
    let options = SinkOptions::default().zone(zone("Asia/Kathmandu"));
    let sink = FileSink::append(log_of(directory));
    let builder = kakashi::builder().sink_with(sink, options).black_box(box_of(directory));
    builder.start().expect("it starts").shutdown(HANG).expect("all is written");
}

/// Who completes the log knows the rule by the box alone.
#[test]
fn a_recovery_writes_the_zones_time() {
    let files = Files::new();
    scenario("killed").with(files.path()).run();
    let report = kakashi::__box::complete(&files.black_box).expect("it can be recovered");
    assert_eq!(report.unreadable, 0);
    let lines = lines_of(files.log());
    assert_odd(&lines);
    let told = lines.last().expect("there are lines");
    assert!(told.contains("recovered ") && told.matches("+03:17").count() == 3, "{told}");
}

#[test]
fn a_box_is_printed_in_its_sinks_zone() {
    let files = Files::new();
    scenario("killed").with(files.path()).run();
    let view = kakashi::__box::View::open(&files.black_box).expect("it is a box");
    let mut printed = Vec::new();
    kakashi::__box::print(&view, &mut printed).expect("it can be printed");
    let text = String::from_utf8(printed).expect("it is UTF-8");
    assert_odd(&text.lines().map(str::to_owned).collect::<Vec<_>>());
}

/// What was rendered already is completed as it is; all that comes behind has the zone of the new sink.
#[test]
fn the_next_start_goes_on_in_its_own_zone() {
    let files = Files::new();
    scenario("killed").with(files.path()).run();
    let ended = scenario("next").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(files.log());
    let old = lines.iter().take_while(|line| line[29..].starts_with("+03:17 ")).count();
    assert!(old > 0 && lines[old..].iter().all(|line| line[29..].starts_with("+05:45 ")), "{old}");
    let records = lines.iter().filter(|line| !common::is_notice(line));
    assert!(records.enumerate().all(|(n, line)| line.ends_with(&format!("] n={n}"))));
    assert_eq!(lines.iter().filter(|line| !common::is_notice(line)).count(), MANY);
}
