//! Bursts: of one thread alone, or of four by turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cases::{self, Case};
use crate::method::{BURST, CoreId, between_work, pause};

/// Threads that burst by turns.
pub const PRODUCERS: u64 = 4;
/// Records of a sample.
pub const CALLS: u64 = BURST + 1;

/// A burst and, after a pause, one call on its own: in ticks.
#[derive(Clone, Copy)]
pub struct Sample {
    pub burst: u64,
    pub single: u64,
    /// Ticks of the work beside, from which it is told whether the core was the caller's alone.
    pub work: u64,
}

impl Sample {
    pub fn take(case: &Case, base: u64) -> Self {
        let (work, burst) = between_work(|| (case.burst)(base));
        pause(Duration::from_micros(200));
        let (more, single) = between_work(|| (case.single)(base + BURST));
        pause(Duration::from_micros(100));
        Sample { burst, single, work: work.max(more) }
    }
}

struct Job {
    case: Case,
    samples: u64,
}

/// Four threads, each with a lane of its own in every channel, on the producer's core.
pub struct Workers {
    jobs: Vec<Sender<Job>>,
    results: Receiver<Vec<Sample>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(core: CoreId) -> Self {
        let turn = Arc::new(AtomicU64::new(0));
        let (give, results) = channel();
        let (mut jobs, mut threads) = (Vec::new(), Vec::new());
        for me in 0..PRODUCERS {
            let (job, todo) = channel();
            let (turn, give) = (Arc::clone(&turn), give.clone());
            jobs.push(job);
            threads.push(std::thread::spawn(move || {
                core_affinity::set_for_current(core);
                cases::prepare_thread();
                work(me, &turn, &todo, &give);
            }));
        }
        Workers { jobs, results, threads }
    }

    /// Takes `samples` of a case in each thread.
    pub fn run(&self, case: &Case, samples: u64) -> Vec<Sample> {
        for job in &self.jobs {
            job.send(Job { case: *case, samples }).expect("the worker is there");
        }
        self.jobs.iter().flat_map(|_| self.results.recv().expect("the worker answers")).collect()
    }

    pub fn end(self) {
        drop(self.jobs);
        for thread in self.threads {
            thread.join().expect("the worker ends well");
        }
    }
}

/// One thread's part. Whoever has the turn bursts; the others yield, so that no two are ever in a call at once.
fn work(me: u64, turn: &AtomicU64, todo: &Receiver<Job>, give: &Sender<Vec<Sample>>) {
    while let Ok(Job { case, samples }) = todo.recv() {
        let taken = (0..samples)
            .map(|at| {
                while turn.load(Ordering::Acquire) % PRODUCERS != me {
                    std::thread::yield_now();
                }
                let sample = Sample::take(&case, at * CALLS);
                turn.fetch_add(1, Ordering::Release);
                sample
            })
            .collect();
        if give.send(taken).is_err() {
            return;
        }
    }
}
