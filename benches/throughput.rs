//! How many records a second go through, with nothing lost, and what a record costs the writer.
//!
//! `cargo bench --bench throughput -- [--rounds N] [--only TEXT]`; about a minute and a half.
//!
//! Method: all cases take turns within a round, and figures are medians of rounds, near and far ones apart. Two parts:
//!
//! * *Producers back to back*: threads log 1 000 000 records of two integers and a double among them under `Block`,
//!   as fast as they can. The time is from the first call to the end of a flush: until the file is complete. Beside
//!   it, in the same round, `write(2)` of as many bytes in pieces of 256 KiB that are ready: the limit of whoever
//!   writes that log. Producers share the cores that are not the writer's: with two cores, all of them the one, so
//!   that 2 and 4 threads show what merging lanes and switching threads cost, and no gain. It says nothing about the
//!   latency of a call: most wait.
//! * *The writer alone*: a sink stops the writer at its first batch, a thread fills its ring meanwhile, and the time
//!   is from there to the end of the last batch. The records come out of the caches of another core or out of memory,
//!   as they do after a stall; the writer's cost with fresh records can be lower. `to nothing` is a sink that takes
//!   lines and does nothing. With the feature `zones`, some of the lines have local time, too.
//!
//! The run fails if a record was dropped, or if a file has not as many lines as there were calls.

#[path = "throughput/backlog.rs"]
mod backlog;
#[path = "throughput/floor.rs"]
mod floor;
#[path = "method/messages.rs"]
mod messages;
mod method;
#[path = "method/run.rs"]
mod run;

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use kakashi::{Block, Channel, Deferred, Preformatted, info};
use method::options::Options;
use method::table::median;
use method::values::double;
use method::{CoreId, Cores, Distance, OneWays};
use run::Run;

const RECORDS: u64 = 1_000_000;
const MOST_THREADS: usize = 4;

kakashi::channel!(static PREFORMATTED: Channel<128, 8192, MOST_THREADS, Block, Preformatted>);
kakashi::channel!(static DEFERRED: Channel<128, 8192, MOST_THREADS, Block, Deferred>);

macro_rules! back_to_back {
    ($channel:ident) => {
        |calls| {
            for i in 0..calls {
                info!($channel, "order {} filled {} @ {}", i, i * 7919, double(i));
            }
        }
    };
}

/// An encoding: its name, how a thread prepares, and how it logs a number of records.
type Encoding = (&'static str, fn(), fn(u64));

const ENCODINGS: [Encoding; 2] = [
    ("preformatted", || PREFORMATTED.prepare_thread().expect("a lane is free"), back_to_back!(PREFORMATTED)),
    ("deferred", || DEFERRED.prepare_thread().expect("a lane is free"), back_to_back!(DEFERRED)),
];

struct Case {
    name: String,
    encoding: Encoding,
    threads: u64,
    to: PathBuf,
    /// Records a second, bytes a second, bytes a second of `write(2)`; near and far.
    figures: [[Vec<f64>; 3]; 2],
}

fn main() {
    // Before this thread is pinned: these are the machine's.
    let all = core_affinity::get_core_ids().unwrap_or_default();
    let options = Options::read(9, &[]);
    let cores = Cores::take().expect("two cores");
    let others: Vec<CoreId> = all.into_iter().filter(|core| core.id != cores.writer.id).collect();
    let file = run::file_of("throughput");
    let log = run::file_of("throughput-sample");
    let records = options.count(RECORDS, 4_000);

    let mut cases = Vec::new();
    for (target, to) in [("tmpfs", file.clone()), ("/dev/null", "/dev/null".into())] {
        for encoding in ENCODINGS {
            for threads in [1, 2, MOST_THREADS as u64] {
                let plural = if threads == 1 { "" } else { "s" };
                let name = format!("{}, {threads} producer{plural} to {target}", encoding.0);
                cases.push(Case { name, encoding, threads, to: to.clone(), figures: Default::default() });
            }
        }
    }
    cases.retain(|case| options.wants(&case.name));
    let mut one_ways = OneWays::default();
    for _ in 0..options.rounds {
        one_ways.begin_round();
        for case in &mut cases {
            let (distance, (time, bytes, alone)) = one_ways.during(cores.writer, || {
                let (time, bytes) = flood(case, records, &others, cores.writer);
                if case.to.is_file() {
                    std::fs::rename(&case.to, &log).expect("the log can be renamed");
                }
                let sample = if log.is_file() { log.as_path() } else { Path::new("/proc/self/exe") };
                (time, bytes, floor::write_alone(sample, &case.to, bytes, cores.writer))
            });
            let Some(distance) = distance else { continue };
            let per_s = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
            let figures = [per_s(records, time), per_s(bytes, time), per_s(bytes, alone)];
            for (all, figure) in case.figures[distance as usize].iter_mut().zip(figures) {
                all.push(figure);
            }
        }
    }

    println!("{}", method::machine());
    if !cases.is_empty() {
        println!("{one_ways}");
    }
    for distance in [Distance::Near, Distance::Far] {
        print(&mut cases, distance, records);
    }
    backlog::measure(&options, cores, &file);
    options.require_a_case();
    for path in [file, log] {
        let _ = std::fs::remove_file(path);
    }
}

/// The table of one state of the machine.
fn print(cases: &mut [Case], distance: Distance, records: u64) {
    if cases.iter().all(|case| case.figures[distance as usize][0].is_empty()) {
        return;
    }
    println!(
        "\nproducers back to back, {records} records, nothing lost; {}, medians of rounds",
        distance.name()
    );
    println!(
        "{:<40} {:>6} {:>12} {:>8} {:>15} {:>6}",
        "", "rounds", "records/s", "MB/s", "write(2), MB/s", "of it"
    );
    for case in cases {
        let rounds = case.figures[distance as usize][0].len();
        if rounds == 0 {
            continue;
        }
        let [records, bytes, alone] = case.figures[distance as usize].each_mut().map(|all| median(all));
        // A device that does not look at the bytes is no limit.
        let share = if case.to.starts_with(method::tmpfs()) {
            format!("{:.2}", bytes / alone)
        } else {
            "-".to_owned()
        };
        println!(
            "{:<40} {rounds:>6} {records:>12.0} {:>8.0} {:>15.0} {share:>6}",
            case.name,
            bytes / 1e6,
            alone / 1e6
        );
    }
}

/// Logs from all threads at once, and verifies; the time from the first call until all is in the file, and the bytes.
fn flood(case: &Case, records: u64, cores: &[CoreId], writer: CoreId) -> (Duration, u64) {
    let _ = case.to.is_file().then(|| std::fs::remove_file(&case.to));
    let run = Run::to(&case.to, kakashi::builder().writer_core(Some(writer.id)));
    let (_, prepare, log) = case.encoding;
    let each = records / case.threads;
    let ready = Barrier::new(case.threads as usize);
    let began = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..case.threads as usize)
            .map(|at| {
                let (ready, core) = (&ready, cores[at % cores.len()]);
                scope.spawn(move || {
                    core_affinity::set_for_current(core);
                    prepare();
                    ready.wait();
                    let began = Instant::now();
                    log(each);
                    began
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread logs")).min()
    });
    run.flush();
    let time = began.expect("there are threads").elapsed();
    (time, run.finish(each * case.threads).bytes)
}
