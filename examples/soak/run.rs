//! The run: phase after phase, and what is checked in between.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kakashi::{FlushError, LevelFilter};

use crate::backend::{self, Backend};
use crate::channels::{causes, show};
use crate::ledger::Ledger;
use crate::load::{self, GATE, Load};
use crate::plan::{self, BackendPlan, Event, Phase};
use crate::process::{Flat, resident};
use crate::random::Random;
use crate::record::STRETCH;
use crate::{PATIENCE, fork, report, signals};

/// How often a line says how it goes.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How often the statistics are looked at while threads log.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub struct Run {
    folder: PathBuf,
    black_box: Option<PathBuf>,
    backend: Option<Backend>,
    ledger: Ledger,
    pub flat: Flat,
    began: Instant,
    end: Instant,
    said: Instant,
    pub phase: u64,
    pub happened: Happened,
}

/// What was done.
#[derive(Default, Debug)]
pub struct Happened {
    pub backends: u64,
    pub standstills: u64,
    pub forks: u64,
    pub signals: u64,
    pub flushes: u64,
    pub levels: u64,
    pub threads: u64,
}

impl Run {
    pub fn new(folder: PathBuf, black_box: Option<PathBuf>, length: Duration) -> Self {
        let began = Instant::now();
        Run {
            folder,
            black_box,
            backend: None,
            ledger: Ledger::default(),
            flat: Flat::new((length / 4).min(Duration::from_secs(120))),
            began,
            end: began + length,
            said: began,
            phase: 0,
            happened: Happened::default(),
        }
    }

    fn is_over(&self) -> bool {
        report::failed() || signals::interrupted() || Instant::now() >= self.end
    }

    /// Runs until the time is over, or something is wrong.
    pub fn run(&mut self, seed: u64) {
        load::set_level(LevelFilter::Info);
        while !self.is_over() {
            let phase = plan::phase(seed, self.phase);
            if let Err(what) = self.phase(&phase) {
                report::violation(what);
            }
            self.phase += 1;
        }
        if let Err(what) = self.stop(false) {
            report::violation(what);
        }
    }

    fn phase(&mut self, phase: &Phase) -> Result<(), String> {
        if let Some(plan) = &phase.backend {
            self.stop(false)?;
            if self.phase != 0
                && let Some(grown) = self.flat.look()
            {
                report::violation(grown);
            }
            self.start(plan)?;
        }
        signals::restart_calls(phase.restart_calls);
        let began = Instant::now();
        let mut random = Random::new(phase.seed);
        let mut load = Load::start(&phase.workers, phase.seed);
        let mut events = phase.events.iter().peekable();
        let mut result = Ok(());
        while result.is_ok() && began.elapsed() < phase.length && !self.is_over() {
            while let Some((_, event)) = events.next_if(|(at, _)| *at <= began.elapsed()) {
                result = self.happen(event, &load, &mut random);
                if result.is_err() || report::failed() {
                    break;
                }
            }
            self.look(phase, &load);
            std::thread::sleep(LOOK_EVERY);
        }
        if result.is_ok() && !report::failed() {
            self.stand_still(&load, true, || ())?;
        }
        load.end();
        self.happened.threads += load.senders().len() as u64;
        result?;
        if !report::failed() {
            self.check(&load);
        }
        if let Some(backend) = &self.backend {
            backend.forget_senders();
        }
        Ok(())
    }

    fn look(&mut self, phase: &Phase, load: &Load) {
        self.ledger.sample(load.threads() as u64);
        if let Some(backend) = &mut self.backend {
            backend.read_on();
        }
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            self.say(&phase.to_string());
        }
    }

    /// One line that says how it goes.
    pub fn say(&self, what: &str) {
        let stats = kakashi::get_async_stats();
        let line = format!(
            "{:5.0} s  {} records, {} written, {} dropped ({}), rss {:.1} MiB; {what}",
            self.began.elapsed().as_secs_f64(),
            stats.calls,
            stats.messages_written,
            stats.messages_dropped,
            show(&causes(&stats.dropped)),
            resident() as f64 / f64::from(1 << 20),
        );
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    pub fn checks(&self) -> u64 {
        self.ledger.checks
    }

    fn start(&mut self, plan: &BackendPlan) -> Result<(), String> {
        let first = self.happened.backends == 0;
        // Asked for by the first one, and after that whenever the plan says so: the process keeps it.
        let black_box = self.black_box.clone().filter(|_| first || plan.black_box);
        let start = || Backend::start(plan, &self.folder, black_box.as_ref());
        // The default backend knows no black box, which must be there before the first call.
        let takes_over = first && black_box.is_none();
        let backend = if takes_over { fork::take_over(&self.folder, start)? } else { start()? };
        self.happened.backends += 1;
        if !backend.is_doomed() {
            self.ledger.end_silence();
        }
        self.backend = Some(backend);
        Ok(())
    }

    fn stop(&mut self, impatient: bool) -> Result<(), String> {
        self.ledger.begin_silence();
        self.backend.take().map_or(Ok(()), |backend| backend.stop(impatient))
    }

    /// Lets all threads stand still, and does something; `check` closes the books before.
    fn stand_still(&mut self, load: &Load, check: bool, then: impl FnOnce()) -> Result<(), String> {
        self.happened.standstills += 1;
        if !GATE.pause(load.threads(), PATIENCE) {
            return Err(format!("threads that log hang: {}", kakashi::get_async_stats()));
        }
        if check {
            self.check(load);
        }
        STRETCH.fetch_add(1, Ordering::SeqCst);
        then();
        GATE.run();
        Ok(())
    }

    /// Flushes, and closes the books. Nothing is under way.
    fn check(&mut self, load: &Load) {
        let Some(backend) = &mut self.backend else { return };
        match kakashi::flush(PATIENCE) {
            Ok(()) => {}
            Err(FlushError::Sink(_)) if backend.is_doomed() => {}
            Err(error) => return report::violation(format!("a flush: {error}")),
        }
        let senders = load.senders();
        self.ledger.check(&senders);
        self.ledger.check_lanes(&senders);
        backend.check();
    }

    fn happen(&mut self, event: &Event, load: &Load, random: &mut Random) -> Result<(), String> {
        match event {
            Event::Standstill => self.stand_still(load, false, || ())?,
            Event::Check => self.stand_still(load, true, || ())?,
            Event::Level(level) => {
                self.happened.levels += 1;
                self.stand_still(load, true, || load::set_level(*level))?;
            }
            Event::Flush | Event::Sync => {
                self.happened.flushes += 1;
                let sync = matches!(event, Event::Sync);
                let result = if sync { kakashi::sync(PATIENCE) } else { kakashi::flush(PATIENCE) };
                let doomed = self.backend.as_ref().is_some_and(Backend::is_doomed);
                match result {
                    Ok(()) => {}
                    Err(FlushError::Sink(_)) if doomed => {}
                    Err(error) => return Err(format!("{event:?}: {error}")),
                }
            }
            Event::Restart { backend, silent, impatient } => {
                self.stop(*impatient)?;
                // The threads log on, into closed rings.
                std::thread::sleep(*silent);
                self.start(backend)?;
            }
            Event::Fork { records, own } => {
                self.happened.forks += 1;
                if let Some(backend) = &mut self.backend {
                    fork::child(backend, &self.folder, *records, *own)
                        .map_err(|error| format!("a fork: {error}"))?;
                }
            }
            Event::Signals(count) => {
                let senders = load.senders();
                let live: Vec<_> =
                    senders.iter().filter(|sender| sender.tid.load(Ordering::Acquire) != 0).collect();
                for _ in 0..*count {
                    if let Some(sender) = live.get(random.below(live.len() as u64) as usize) {
                        signals::send(sender);
                        self.happened.signals += 1;
                        std::thread::yield_now();
                    }
                }
            }
        }
        Ok(())
    }
}

/// What sinks went through, for the summary.
pub fn sinks() -> String {
    let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    format!(
        "{} sinks retired, {} suspended, {} back again",
        get(&backend::RETIRED),
        get(&backend::SUSPENDED),
        get(&backend::RESUMED)
    )
}
