//! Logs that go on in new files: nothing is lost, doubled or split, whatever the limits, and whatever goes wrong meanwhile.

mod common;

use std::fs::{self, File};

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use common::black_box::{Counts, Files, box_of, log_of};
use common::ledger::{Ledger, record};
use common::{Directory, HANG, Over, alone, dispatch, lines_of, size, until};
use kakashi::{BackendError, Block, Channel, FileSink, Period, Retention, Rotation, Sink, StartError, info};

kakashi::channel!(static PATIENT: Channel<64, 256, 8, Block>);

const MINUTE: i64 = 60_000_000_000;

#[test]
fn child() {
    dispatch(&[("rotates", rotates), ("recovers", |directory| drop(start_in(directory)))]);
}

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(error: &BackendError<'_>) {
    told().push(error.to_string());
}

fn told() -> MutexGuard<'static, Vec<String>> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The old files of a log, from the oldest on, and the log.
fn files_of(log: &Path) -> Vec<PathBuf> {
    let is_of = |path: &PathBuf| {
        path.to_string_lossy().starts_with(&*log.to_string_lossy())
            && path.extension().is_none_or(|end| end != "tmp")
    };
    let folder = fs::read_dir(log.parent().expect("it is in a folder")).expect("the folder is read");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("it is read").path()).filter(is_of).collect();
    // The log's own name is the shortest, and its file the newest.
    files.sort();
    let begins = files.first().is_some_and(|first| first == log);
    files.rotate_left(usize::from(begins));
    files
}

fn all_lines(log: &Path) -> Vec<String> {
    files_of(log).iter().flat_map(lines_of).collect()
}

fn start(sink: FileSink) -> kakashi::Guard {
    kakashi::builder().sink(sink).on_error(note).start().expect("the backend starts")
}

/// Two threads log as many records each.
fn log(from: u64, count: u64) {
    std::thread::scope(|scope| {
        for maker in 0..2 {
            scope.spawn(move || (from..from + count).for_each(|n| record!(PATIENT, maker, n)));
        }
    });
    kakashi::flush(HANG).expect("it is written");
}

#[test]
fn no_file_is_larger_and_no_line_split_or_lost() {
    alone("no_file_is_larger_and_no_line_split_or_lost", || {
        let directory = Directory::new();
        for most in [1, 300, 4096, 100_000] {
            let path = directory.file(&format!("log{most}"));
            let guard = start(FileSink::append(&path).rotate(Rotation::bytes(most)));
            let count = if most == 1 { 300 } else { 4000 };
            log(0, count);
            guard.shutdown(HANG).expect("it is written");
            let files = files_of(&path);
            for file in &files {
                let text = fs::read_to_string(file).expect("it is read");
                assert!(text.ends_with('\n'), "{file:?} ends in the middle of a line");
                assert!(text.len() as u64 <= most || text.lines().count() == 1, "{file:?}: {}", text.len());
            }
            let total: u64 = files.iter().map(|file| fs::metadata(file).expect("it is there").len()).sum();
            assert!(files.len() as u64 >= total / most.max(120) / 2, "{} files", files.len());
            let lines = all_lines(&path);
            let ledger = Ledger::of(&lines);
            (0..2).for_each(|maker| ledger.has_all(maker, count));
            assert_eq!(lines.len() as u64, 2 * count);
        }
        assert!(told().is_empty(), "{:?}", told());
    });
}

#[test]
fn a_period_has_its_own_file() {
    alone("a_period_has_its_own_file", || {
        let directory = Directory::new();
        let path = directory.file("log");
        // In the middle of a minute, so that none ends by itself.
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970").as_nanos()
                as i64;
        let middle = MINUTE / 2 - now % MINUTE;
        let shift = |minute: i64| kakashi::__private::shift_wall_clock(middle + minute * MINUTE);
        shift(0);
        let guard = start(FileSink::append(&path).rotate(Rotation::every(Period::Minute)));
        // A period passes before the first record.
        for minute in 1..6 {
            shift(minute);
            log(minute as u64 * 10 - 10, 5);
            log(minute as u64 * 10 - 5, 5);
        }
        // Nothing is logged for hours: there is no file without a line.
        shift(300);
        kakashi::flush(HANG).expect("it is written");
        shift(600);
        log(50, 10);
        // The clock is set back: the file goes on.
        shift(500);
        log(60, 10);
        guard.shutdown(HANG).expect("it is written");
        let counts: Vec<_> = files_of(&path).iter().map(|file| lines_of(file).len()).collect();
        assert_eq!(counts, [20, 20, 20, 20, 20, 40]);
        let ledger = Ledger::of(&all_lines(&path));
        (0..2).for_each(|maker| ledger.has_all(maker, 70));
    });
}

/// What an earlier process has written goes into the period in which it was written.
#[test]
fn yesterdays_log_is_closed_by_the_first_record() {
    alone("yesterdays_log_is_closed_by_the_first_record", || {
        let directory = Directory::new();
        let path = directory.file("log");
        fs::write(&path, "yesterday\n").expect("it is written");
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(yesterday))
            .expect("it is set");
        let guard = start(FileSink::append(&path).rotate(Rotation::every(Period::Day)));
        assert_eq!(files_of(&path).len(), 1, "not before there is a record");
        log(0, 10);
        guard.shutdown(HANG).expect("it is written");
        let files = files_of(&path);
        assert_eq!(lines_of(&files[0]), ["yesterday"]);
        assert_eq!(files.len(), 2);
        Ledger::of(&lines_of(&path)).has_all(1, 10);
    });
}

#[test]
fn the_log_goes_on_in_its_file_when_a_new_one_cannot_be_made() {
    alone("the_log_goes_on_in_its_file_when_a_new_one_cannot_be_made", || {
        let directory = Directory::new();
        let folder = directory.file("folder");
        let path = folder.join("log");
        let guard = start(FileSink::append(&path).make_folder(true).rotate(Rotation::bytes(20_000)));
        log(0, 10);
        // A folder in the way of the log's own name: it can be moved nowhere, and nothing can be opened there.
        let aside = directory.file("aside");
        fs::rename(&folder, &aside).expect("it is moved");
        fs::write(&folder, "in the way").expect("it is written");
        log(10, 1000);
        assert!(
            !told().is_empty() && told().iter().all(|told| told.contains("goes on in the file")),
            "{:?}",
            told()
        );
        fs::remove_file(&folder).expect("it is removed");
        fs::rename(&aside, &folder).expect("it is moved back");
        let mut n = 1010;
        until("the log goes on in a new file", || {
            log(n, 1);
            n += 1;
            files_of(&path).len() == 2
        });
        guard.shutdown(HANG).expect("it is written");
        let ledger = Ledger::of(&all_lines(&path));
        (0..2).for_each(|maker| ledger.has_all(maker, n));
        ledger.settle(2 * n);
    });
}

/// No descriptor is free: the file has been renamed already when the new one cannot be opened, and gets its name back.
#[test]
fn without_a_descriptor_the_log_keeps_its_name() {
    alone("without_a_descriptor_the_log_keeps_its_name", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = start(FileSink::append(&path).rotate(Rotation::bytes(20_000)));
        log(0, 10);
        let mut held = Vec::new();
        let error = loop {
            match File::open("/dev/null") {
                Ok(file) => held.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        log(10, 1000);
        drop(held);
        assert!(told().iter().any(|told| told.contains("Too many open files")), "{:?}", told());
        assert_eq!(files_of(&path), [&*path]);
        let mut n = 1010;
        until("the log goes on in a new file", || {
            log(n, 1);
            n += 1;
            files_of(&path).len() == 2
        });
        guard.shutdown(HANG).expect("it is written");
        let ledger = Ledger::of(&all_lines(&path));
        (0..2).for_each(|maker| ledger.has_all(maker, n));
    });
}

#[test]
fn reopen_leaves_a_renamed_file_alone() {
    alone("reopen_leaves_a_renamed_file_alone", || {
        let directory = Directory::new();
        let [path, old] = ["log", "old"].map(|name| directory.file(name));
        let guard = start(FileSink::append(&path));
        let (over, made) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 2]);
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            for (maker, made) in made.iter().enumerate() {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        record!(PATIENT, maker as u64, made.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
            let _over = Over(&over);
            for _ in 0..50 {
                let before: u64 = made.iter().map(|made| made.load(Ordering::Relaxed)).sum();
                until("they log", || {
                    made.iter().map(|made| made.load(Ordering::Relaxed)).sum::<u64>() > before + 500
                });
                fs::rename(&path, &old).expect("it is renamed");
                kakashi::reopen(HANG).expect("it is opened anew");
                let text = fs::read_to_string(&old).expect("it is read");
                assert!(text.is_empty() || text.ends_with('\n'), "it ends in the middle of a line");
                all.extend(text.lines().map(str::to_owned));
                fs::remove_file(&old).expect("nobody writes to it");
            }
        });
        guard.shutdown(HANG).expect("it is written");
        all.extend(lines_of(&path));
        let ledger = Ledger::of(&all);
        for (maker, made) in (0..).zip(&made) {
            ledger.has_all(maker, made.load(Ordering::Relaxed));
        }
        assert!(told().is_empty(), "{:?}", told());
    });
}

#[test]
fn a_reopening_without_a_record_makes_the_file() {
    alone("a_reopening_without_a_record_makes_the_file", || {
        let directory = Directory::new();
        let [path, old] = ["log", "old"].map(|name| directory.file(name));
        let guard = start(FileSink::append(&path));
        log(0, 1);
        fs::rename(&path, &old).expect("it is renamed");
        kakashi::request_reopen();
        until("the file is made", || path.exists());
        assert_eq!((lines_of(&old).len(), lines_of(&path).len()), (2, 0));
        // Nothing to be done: the file is where it should be.
        kakashi::reopen(HANG).expect("it is open");
        log(1, 1);
        kakashi::sync(HANG).expect("both are on the disk");
        guard.shutdown(HANG).expect("it is written");
        assert_eq!((lines_of(&old).len(), lines_of(&path).len()), (2, 2));
        assert!(told().is_empty(), "{:?}", told());
    });
}

/// A line of which a part was taken is ended where it was begun.
#[test]
fn a_line_is_not_split_between_two_files() {
    let directory = Directory::new();
    let [path, old] = ["log", "old"].map(|name| directory.file(name));
    let mut sink = FileSink::append(&path).rotate(Rotation::bytes(20));
    sink.open().expect("it is opened");
    let mut put = |bytes: &str| {
        sink.prepare(bytes.as_bytes()).expect("it is prepared");
        sink.write_batch(bytes.as_bytes()).expect("it is written")
    };
    assert_eq!(put("one\ntw"), 6);
    fs::rename(&path, &old).expect("it is renamed");
    kakashi::request_reopen();
    // Of a line that is too long, all goes there, and of what comes behind it nothing.
    assert_eq!(put("o, which is a long line\nthree\n"), 24);
    assert_eq!(put("three\n"), 6);
    assert_eq!(lines_of(&old), ["one", "two, which is a long line"]);
    assert_eq!(lines_of(&path), ["three"]);
}

#[test]
fn what_is_beyond_a_limit_is_removed_and_nothing_else() {
    alone("what_is_beyond_a_limit_is_removed_and_nothing_else", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let others =
            ["log.1", "log.bak", "log2.2026-11-25T19-22-01.000000Z", "xlog.2026-11-25T19-22-01.000000Z"]
                .map(|name| directory.file(name));
        others.iter().for_each(|other| fs::write(other, "mine").expect("it is written"));
        let sink = || FileSink::append(&path).rotate(Rotation::bytes(2000));
        let guard = start(sink());
        log(0, 300);
        guard.shutdown(HANG).expect("it is written");
        let of_log = || {
            let mut files = files_of(&path);
            files.retain(|file| !others.contains(file));
            files
        };
        let newest = |files: Vec<PathBuf>, count: usize| files[files.len() - count..].to_vec();
        let kept = newest(of_log(), 4);
        assert!(of_log().len() > 10);
        // At the start already; the one that is written to does not count.
        let guard = start(sink().keep(Retention::default().files(3)));
        until("the old ones are gone", || of_log() == kept);
        log(300, 300);
        until("and those of this process", || of_log().len() == 4);
        guard.shutdown(HANG).expect("it is written");
        assert!(others.iter().all(|other| other.exists()), "another file was removed");
        let lines = of_log().iter().flat_map(lines_of).collect::<Vec<_>>();
        assert!(lines.last().is_some_and(|line| line.contains("599")), "{:?}", lines.last());
    });
}

#[test]
fn what_cannot_be_rotated_or_linked_to_is_refused() {
    alone("what_cannot_be_rotated_or_linked_to_is_refused", || {
        let directory = Directory::new();
        let refused = |sink: FileSink| match kakashi::builder().sink(sink).start() {
            Err(StartError::Sink { source, .. }) => source.to_string(),
            other => panic!("{other:?}"),
        };
        let pipe = refused(FileSink::append("/dev/null").rotate(Rotation::bytes(1)));
        assert!(pipe.contains("regular file"), "{pipe}");
        let in_the_way = directory.file("in the way");
        fs::write(&in_the_way, "mine").expect("it is written");
        let path = directory.file("log");
        let link = refused(FileSink::append(&path).latest(&in_the_way));
        assert!(link.contains("no symbolic link"), "{link}");
        let nowhere = refused(FileSink::append(directory.file("no/log")));
        assert!(nowhere.contains("No such file"), "{nowhere}");
        let latest = directory.file("latest");
        let guard = start(FileSink::append(&path).rotate(Rotation::bytes(2000)).latest(&latest));
        log(0, 100);
        guard.shutdown(HANG).expect("it is written");
        assert_eq!(lines_of(&latest), lines_of(&path));
    });
}

fn start_in(directory: &str) -> kakashi::Guard {
    let sink = FileSink::append(log_of(directory)).rotate(Rotation::bytes(3000));
    kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("the backend starts")
}

/// Logs until it is killed, with a new file every few lines.
fn rotates(directory: &str) {
    let counts = Counts::open(&Path::new(directory).join("counts"));
    let sink = FileSink::append(log_of(directory)).rotate(Rotation::bytes(3000));
    let _guard =
        kakashi::builder().sink(sink).black_box(box_of(directory)).start().expect("the backend starts");
    std::thread::scope(|scope| {
        for maker in 0..4 {
            let counts = &counts;
            scope.spawn(move || {
                let next = counts.of(maker).load(Ordering::Relaxed);
                for n in next.. {
                    info!(PATIENT, "from {maker}: {n}.");
                    counts.of(maker).store(n + 1, Ordering::Release);
                }
            });
        }
    });
}

/// `KAKASHI_KILLS=1000` makes it as many.
#[test]
fn a_kill_amid_rotations_loses_and_doubles_nothing() {
    for round in 0..size("KAKASHI_KILLS", 10) {
        let files = Files::new();
        let counts = Counts::open(&files.directory.file("counts"));
        let total = || (0..4).map(|maker| counts.of(maker).load(Ordering::Acquire)).sum::<u64>();
        let mut child = Command::new(std::env::current_exe().expect("the test knows its binary"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1", "-q"])
            .env("KAKASHI_TEST_SCENARIO", "rotates")
            .env("KAKASHI_TEST_ARGUMENT", files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let some = 1 + (round + 1).wrapping_mul(0x9E37_79B9) % 3000;
        until("the child logs", || total() >= some);
        child.kill().and_then(|()| child.wait()).expect("it is killed");
        // By the log's own sink: a recovery rotates, too.
        let ended = common::scenario("recovers").with(files.path()).run();
        assert!(ended.status.success(), "{ended}");
        let mut seen = [0; 4];
        for line in all_lines(&files.log()) {
            let Some((_, told)) = line.split_once("from ").filter(|_| !common::is_notice(&line)) else {
                continue;
            };
            let (maker, n) = told.trim_end_matches('.').split_once(": ").expect("it is a whole line");
            let seen = &mut seen[maker.parse::<usize>().expect("it is a number")];
            assert_eq!(n.parse::<u64>().ok(), Some(*seen), "the next one: {line}");
            *seen += 1;
        }
        for (maker, &seen) in seen.iter().enumerate() {
            let returned = counts.of(maker).load(Ordering::Relaxed);
            assert!(
                seen == returned || seen == returned + 1,
                "{maker}: {seen} in the log, {returned} returned"
            );
        }
    }
}

#[cfg(feature = "compress")]
fn unpacked(path: &Path) -> std::io::Result<String> {
    use std::io::Read;

    let mut text = String::new();
    match path.extension().is_some_and(|end| end == "gz") {
        true => flate2::read::GzDecoder::new(File::open(path)?).read_to_string(&mut text)?,
        false => File::open(path)?.read_to_string(&mut text)?,
    };
    Ok(text)
}

/// Compressed while the log goes on; what an earlier process has left undone is done by the next one.
#[cfg(feature = "compress")]
#[test]
fn old_files_are_compressed_and_nothing_is_lost() {
    alone("old_files_are_compressed_and_nothing_is_lost", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let sink = || FileSink::append(&path).rotate(Rotation::bytes(20_000));
        let guard = start(sink());
        log(0, 1000);
        guard.shutdown(HANG).expect("it is written");
        let left = files_of(&path);
        // As a process leaves it that dies in the middle: a part of the packed file; and with both there.
        let end = |path: &Path, end: &str| PathBuf::from(format!("{}{end}", path.display()));
        fs::write(end(&left[0], ".gz.tmp"), "a part").expect("it is written");
        let mut packed = flate2::write::GzEncoder::new(
            File::create(end(&left[1], ".gz")).expect("it is made"),
            flate2::Compression::fast(),
        );
        std::io::copy(&mut File::open(&left[1]).expect("it is there"), &mut packed).expect("it is packed");
        packed.finish().expect("it is packed");
        // Somebody is at work on a third one.
        let third = File::open(&left[2]).expect("it is there");
        third.lock().expect("it is locked");
        let guard = start(sink().compress(true));
        log(1000, 1000);
        until("the first ones are packed", || !left[0].exists() && !left[1].exists());
        assert!(left[2].exists());
        drop(third);
        log(2000, 1000);
        let is_packed = |file: &PathBuf| file == &path || file.extension().is_some_and(|end| end == "gz");
        until("all old ones are packed", || files_of(&path).iter().all(is_packed));
        guard.shutdown(HANG).expect("it is written");
        assert!(!end(&left[0], ".gz.tmp").exists());
        let text: String = files_of(&path).iter().map(|file| unpacked(file).expect("it is whole")).collect();
        let ledger = Ledger::of(&text.lines().collect::<Vec<_>>());
        (0..2).for_each(|maker| ledger.has_all(maker, 3000));
        assert_eq!(text.lines().count(), 6000);
        assert!(told().is_empty(), "{:?}", told());
    });
}

#[cfg(feature = "compress")]
#[test]
fn the_keeper_takes_no_signal_and_lets_others_run_first() {
    alone("the_keeper_takes_no_signal_and_lets_others_run_first", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = start(FileSink::append(&path).rotate(Rotation::bytes(1000)).compress(true));
        log(0, 100);
        until("something was packed", || {
            files_of(&path).iter().any(|file| file.extension().is_some_and(|end| end == "gz"))
        });
        let tasks = fs::read_dir("/proc/self/task").expect("it is Linux");
        let keeper = tasks
            .map(|task| task.expect("it is read").path())
            .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "kakashi-files\n"))
            .expect("there is a keeper");
        let status = fs::read_to_string(keeper.join("status")).expect("it is read");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
            line.trim_start_matches(':').trim().to_owned()
        };
        let blocked = u64::from_str_radix(&field("SigBlk"), 16).expect("it is a number");
        assert!(
            [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1]
                .iter()
                .all(|&signal| blocked >> (signal - 1) & 1 == 1)
        );
        let stat = fs::read_to_string(keeper.join("stat")).expect("it is read");
        let nice = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16));
        assert_eq!(nice, Some("19"), "{stat}");
        guard.shutdown(HANG).expect("it is written");
    });
}
