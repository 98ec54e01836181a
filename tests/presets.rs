//! Presets: what each of them sets, by its effect.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{Directory, HANG, lines_of, until};
use kakashi::{Builder, LevelFilter, MemorySink, debug, error, info, trace, warn};

/// Entry of the scenarios' processes.
#[test]
fn child() {
    common::dispatch(&[
        ("development", |_| {
            ends_in_its_panic_hook();
            let _guard = Builder::development().start().expect("the backend starts");
            log_at_each_level();
            panic!("to the hook");
        }),
        ("production", |path| {
            ends_in_its_panic_hook();
            let _guard = Builder::production(path).start().expect("the backend starts");
            log_at_each_level();
            panic!("to the hook");
        }),
        ("production_aborts", |path| {
            let _guard = Builder::production(path).start().expect("the backend starts");
            log_at_each_level();
            std::process::abort();
        }),
    ]);
}

fn log_at_each_level() {
    kakashi::__private::set_crash_patience(HANG);
    error!("at error");
    warn!("at warn");
    info!("at info");
    debug!("at debug");
    trace!("at trace");
}

/// Without a hook in front of this one, nothing that is queued would be written.
fn ends_in_its_panic_hook() {
    // SAFETY: ends the process, without a drain.
    std::panic::set_hook(Box::new(|_| unsafe { libc::_exit(7) }));
}

/// The words before `at error` and the like, which say which records are there and how they look.
fn records(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains(" at ")).collect()
}

#[test]
fn development_shows_debug_on_standard_error_and_flushes_in_a_panic() {
    let ended = common::scenario("development").run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    let records = records(&ended.stderr);
    assert_eq!(records.len(), 4, "{ended}");
    for (record, level) in records.iter().zip(["ERROR", "WARN ", "INFO ", "DEBUG"]) {
        assert!(record.contains(&format!("Z {level} ")) && !record.contains('\u{1b}'), "{record}");
    }
}

#[test]
fn development_is_coloured_on_a_terminal() {
    let (mut person, mut program) = (-1, -1);
    // SAFETY: the descriptors are written to, and nothing else is given.
    let made = unsafe {
        let null = std::ptr::null_mut();
        libc::openpty(&mut person, &mut program, null, std::ptr::null(), std::ptr::null())
    };
    assert_eq!(made, 0, "a terminal is made");
    // SAFETY: both are new, and nobody else's.
    let (person, program) = unsafe { (OwnedFd::from_raw_fd(person), OwnedFd::from_raw_fd(program)) };
    let ended = common::scenario("development").stderr(program).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    let (mut shown, mut person) = (Vec::new(), File::from(person));
    // Ends with EIO when nobody has the terminal any more.
    let _ = person.read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    let records = records(&shown);
    assert_eq!(records.len(), 4, "{shown}");
    assert!(records.iter().all(|record| record.contains("\u{1b}[")), "{shown}");
}

#[test]
fn production_makes_the_folder_writes_info_and_shows_errors() {
    let folder = Directory::new();
    let path = folder.file("deep").join("er").join("app.log");
    for (scenario, before) in [("production", 0), ("production_aborts", 3)] {
        let ended = common::scenario(scenario).with(&path).run();
        let text = fs::read_to_string(&path).expect("the log is there");
        let records = records(&text);
        assert_eq!(records.len(), before + 3, "{scenario}: {text}{ended}");
        assert!(records[before].contains("Z ERROR ") && records[before + 2].contains("Z INFO "), "{text}");
        let shown = self::records(&ended.stderr);
        assert!(shown.len() == 1 && shown[0].contains("Z ERROR "), "{ended}");
        if scenario == "production_aborts" {
            assert!(text.lines().last().is_some_and(|line| line.contains("SIGABRT")), "{text}");
        }
    }
}

fn old_files(folder: &Path) -> usize {
    fs::read_dir(folder).expect("the folder is read").count() - 1
}

#[test]
fn production_rotates_by_day_and_keeps_thirty_files() {
    common::alone("production_rotates_by_day_and_keeps_thirty_files", || {
        let folder = Directory::new();
        let path = folder.file("app.log");
        let mut log = File::create(&path).expect("the log is made");
        log.write_all(b"of yesterday\n").expect("it is written");
        log.set_modified(SystemTime::now() - Duration::from_secs(86_400)).expect("its time is set");
        for day in 1..=31 {
            let old = folder.file(&format!("app.log.2020-01-{day:02}T00-00-00.000000Z"));
            File::create(old).expect("an old file is made");
        }
        let guard = Builder::production(&path).start().expect("the backend starts");
        info!("of today");
        kakashi::flush(HANG).expect("all is written");
        assert_eq!(lines_of(&path).len(), 1, "yesterday's line is in a file of its own");
        let folder = path.parent().expect("it has a folder");
        until("thirty are left", || old_files(folder) == 30);
        guard.shutdown(HANG).expect("the backend stops");
    });
}

#[test]
fn production_rotates_at_a_gibibyte_and_can_be_changed() {
    common::alone("production_rotates_at_a_gibibyte_and_can_be_changed", || {
        let folder = Directory::new();
        let path = folder.file("app.log");
        let mut log = File::create(&path).expect("the log is made");
        // Without its blocks: a hole up to the last line.
        log.set_len((1 << 30) - 251).expect("it is made long");
        std::io::Seek::seek(&mut log, std::io::SeekFrom::End(0)).expect("its end is found");
        log.write_all(b"\n").expect("it is written");
        let memory = MemorySink::new();
        let builder = Builder::production(&path).level(LevelFilter::Debug).sink(memory.clone());
        let guard = builder.start().expect("the backend starts");
        debug!("fits");
        kakashi::flush(HANG).expect("all is written");
        let folder = path.parent().expect("it has a folder");
        assert_eq!(old_files(folder), 0);
        assert!(fs::metadata(&path).expect("it is there").len() > (1 << 30) - 250);
        debug!("{}", "x".repeat(250));
        kakashi::flush(HANG).expect("all is written");
        assert_eq!((old_files(folder), lines_of(&path).len()), (1, 1));
        assert_eq!(memory.lines().len(), 2);
        guard.shutdown(HANG).expect("the backend stops");
    });
}
