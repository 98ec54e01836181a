//! From 1 to 64 producers: what a record costs, and whether all get their share.

use std::ops::ControlFlow;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kakashi::{Block, Channel, Deferred, info};

use crate::method::options::Options;
use crate::method::table::median;
use crate::method::values::double;
use crate::method::{BURST, at_share, burst, count_lines, proc};
use crate::run::{Run, file_of};

const THREADS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

kakashi::channel!(static CROWD: Channel<128, 1024, 64, Block, Deferred>);

/// Figures of a number of threads, one of each per round.
#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    producers_cpu: Vec<f64>,
    writer_cpu: Vec<f64>,
    least_share: Vec<f64>,
    most_share: Vec<f64>,
    spread: Vec<f64>,
    /// ns per call in bursts, of all rounds.
    bursts: Vec<f64>,
}

#[inline(always)]
fn log(i: u64) {
    info!(CROWD, "order {} filled {} @ {}", i, i * 7919, double(i));
}

/// What a thread did: how many records, from when to when, with how much of the processor's time.
struct Done {
    records: u64,
    began: Instant,
    ended: Instant,
    cpu: Duration,
}

/// Logs from `threads` threads at once, in each until `next`, which is given the number of records so far, breaks.
fn crowd<N: FnMut(u64) -> ControlFlow<()>>(threads: usize, next: impl Fn() -> N + Sync) -> Vec<Done> {
    let ready = Barrier::new(threads);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    CROWD.prepare_thread().expect("a lane is free");
                    let mut next = next();
                    ready.wait();
                    let (began, cpu, mut records) = (Instant::now(), proc::own_cpu(), 0);
                    while next(records).is_continue() {
                        log(records);
                        records += 1;
                    }
                    Done { records, began, ended: Instant::now(), cpu: proc::own_cpu() - cpu }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread logs")).collect()
    })
}

/// Waits until the lanes of threads that have ended are free again.
fn until_lanes_are_free() {
    let began = Instant::now();
    while CROWD.stats().snapshot().lanes_in_use != 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "lanes of threads that have ended are not freed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// As many as go through in a fixed time.
fn fixed_time(threads: usize, time: Duration, figures: &mut Figures) {
    let (run, path) = start();
    let writer_before = proc::cpu_of("kakashi-writer");
    let over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(time);
            over.store(true, Ordering::Relaxed);
        });
        crowd(threads, || {
            |_| if over.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    run.flush();
    let writer = proc::cpu_of("kakashi-writer") - writer_before;
    let taken = done.iter().map(|done| done.ended).max().zip(done.iter().map(|done| done.began).min());
    let taken = taken.map_or(Duration::ZERO, |(ended, began)| ended - began);
    let records: u64 = done.iter().map(|done| done.records).sum();
    let cpu: Duration = done.iter().map(|done| done.cpu).sum();
    let share = |records: u64, of: u64| records as f64 * threads as f64 / of as f64;
    figures.per_second.push(records as f64 / taken.as_secs_f64());
    figures.producers_cpu.push(cpu.as_nanos() as f64 / records as f64);
    figures.writer_cpu.push(writer.as_nanos() as f64 / records as f64);
    figures.least_share.push(share(done.iter().map(|done| done.records).min().unwrap_or(0), records));
    figures.most_share.push(share(done.iter().map(|done| done.records).max().unwrap_or(0), records));
    end(run, &path, records);
}

/// The same number of records from each: how far apart do they end?
fn fixed_work(threads: usize, records: u64, figures: &mut Figures) {
    let (run, path) = start();
    let each = records / threads as u64;
    let done = crowd(threads, || {
        |so_far| if so_far == each { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let first = done.iter().map(|done| done.began).min().expect("there are threads");
    let times: Vec<f64> = done.iter().map(|done| (done.ended - first).as_secs_f64()).collect();
    let (least, most) =
        times.iter().fold((f64::MAX, 0.0_f64), |(low, high), &time| (low.min(time), high.max(time)));
    figures.spread.push(least / most);
    end(run, &path, each * threads as u64);
}

/// Bursts with sleep between, so that no ring is ever full: what a call costs with so many lanes.
fn bursts(threads: usize, each: u64, per_ns: f64, figures: &mut Figures) {
    let (run, path) = start();
    let ready = Barrier::new(threads);
    let ticks: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    CROWD.prepare_thread().expect("a lane is free");
                    ready.wait();
                    let one = |at| {
                        std::thread::sleep(Duration::from_millis(1));
                        burst(at * BURST, log)
                    };
                    (0..each).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the thread logs")).collect()
    });
    figures.bursts.extend(ticks.iter().map(|&ticks| ticks as f64 / BURST as f64 / per_ns));
    end(run, &path, each * threads as u64 * BURST);
}

fn start() -> (Run, std::path::PathBuf) {
    let path = file_of("scaling");
    (Run::to(&path, kakashi::builder()), path)
}

fn end(run: Run, path: &std::path::Path, records: u64) {
    until_lanes_are_free();
    run.finish(records);
    assert_eq!(count_lines(path).expect("the log can be read"), records, "every call is a line");
    std::fs::remove_file(path).expect("the log can be removed");
}

/// Measures, and prints.
pub fn measure(options: &Options, per_ns: f64) {
    let time = options.count(Duration::from_millis(200), Duration::from_millis(10));
    let records = options.count(400_000, 6_400);
    let samples = options.count(1_600, 64);
    let mut figures: Vec<Figures> = THREADS.iter().map(|_| Figures::default()).collect();
    for _ in 0..options.rounds {
        for (&threads, figures) in THREADS.iter().zip(&mut figures) {
            fixed_time(threads, time, figures);
            fixed_work(threads, records, figures);
            bursts(threads, (samples / threads as u64).max(25), per_ns, figures);
        }
    }
    println!(
        "\nproducers on all cores, 2 ints + double, deferred, Block, 1024 slots; medians of {} rounds",
        options.rounds
    );
    println!(
        "{:>8} | {:>10} {:>14} {:>14} {:>12} {:>12} | {:>14} | {:>9} {:>9} {:>9}",
        "",
        "full rings",
        "producers' CPU",
        "writer's CPU",
        "least share",
        "most share",
        "first to end /",
        "bursts",
        "",
        ""
    );
    println!(
        "{:>8} | {:>10} {:>14} {:>14} {:>12} {:>12} | {:>14} | {:>9} {:>9} {:>9}",
        "threads",
        "records/s",
        "ns/record",
        "ns/record",
        "of 1",
        "of 1",
        "last to end",
        "p50, ns",
        "p99, ns",
        "worst, ns"
    );
    for (threads, figures) in THREADS.iter().zip(&mut figures) {
        figures.bursts.sort_unstable_by(f64::total_cmp);
        println!(
            "{threads:>8} | {:>10.0} {:>14.0} {:>14.0} {:>12.2} {:>12.2} | {:>14.2} | {:>9.1} {:>9.1} {:>9.1}",
            median(&mut figures.per_second),
            median(&mut figures.producers_cpu),
            median(&mut figures.writer_cpu),
            median(&mut figures.least_share),
            median(&mut figures.most_share),
            median(&mut figures.spread),
            at_share(&figures.bursts, 0.5),
            at_share(&figures.bursts, 0.99),
            at_share(&figures.bursts, 1.0),
        );
    }
}
