//! What a log call costs on the calling thread.
//!
//! `cargo bench --bench latency -- [--rounds N] [--only TEXT] [--clock NAME] [--black-box PATH]`; some five
//! minutes, in default.
//!
//! Method: that of `method`. Every case is a message through one channel; policies and encodings have a channel each.
//! A sample is a burst of 20 calls, a pause of 200 µs, one call timed on its own, and a pause of 100 µs, in which the
//! writer catches up. All cases take turns within a round, and the floors with them: a burst of bare reads of the
//! counter, and two serialised reads with nothing between. Forty samples are near or far by the latency right before and
//! behind them, and left out where these differ; near ones are told apart by whether the caller's core was its own.
//!
//! * *In bursts*: the time of a burst by 20, in ns. It is what a call adds to code that goes on; neighbouring calls
//!   overlap, as they do with other code. A percentile is one over bursts: a single slow call among 20 shows as a
//!   twentieth. The two reads around a burst are in it (30 ns by 20, on one machine), and so are the cache misses of its
//!   first call: of a level that is off, they are most of the figure. The last column is p50 over that of a bare read.
//! * *On its own*: one call between two serialising reads, which are part of the figure; their own cost is the
//!   first line. Nothing overlaps, and the pause before has let caches cool: it is an upper bound. Some processors'
//!   counters go on in steps (of 10 ns, on one machine), and so do these figures.
//! * *First calls*: 256 callsites that stand in a row in a warm thread, each called once; and fresh threads, 64 of which
//!   live at a time so that each claims a lane of its own.
//! * *4 producers*: four threads on the producer's core burst by turns; the samples are pooled. It shows what more
//!   lanes and a switch of threads before each burst cost. It does not show threads that log at the same time: with two
//!   cores, one of which is the writer's, there are none.
//!
//! The run fails if a record was dropped, or if the file has not as many lines as there were calls.

#[path = "latency/cases.rs"]
mod cases;
#[path = "latency/first.rs"]
mod first;
#[path = "method/messages.rs"]
mod messages;
mod method;
#[path = "method/run.rs"]
mod run;
#[path = "latency/workers.rs"]
mod workers;

use kakashi::Clock;
use method::options::Options;
use method::{BURST, Cores, Distance, OneWays, State, is_alone, table};
use workers::{CALLS, PRODUCERS, Sample, Workers};

/// What `--clock` can choose, by its name in lower case.
const CLOCKS: &[Clock] = &[Clock::Counter, Clock::Ordered, Clock::Coarse, Clock::None];

/// Samples of a case in a round.
const SAMPLES: u64 = 400;
/// Samples before a case's turn, which do not count: a kernel may have taken back the pages of code and rings since the last
/// one, some 25 s ago.
const WARM: u64 = 20;
/// Those between two looks at the distance of the cores: some 15 ms. A multiple of the producers, and a divisor of the
/// samples.
const PIECE: u64 = 40;

/// Samples, near and far.
#[derive(Default)]
struct Samples([Vec<Sample>; 2]);

impl Samples {
    fn of(&self, distance: Distance) -> &[Sample] {
        &self.0[distance as usize]
    }

    fn add(&mut self, distance: Distance, samples: impl IntoIterator<Item = Sample>) {
        self.0[distance as usize].extend(samples);
    }

    /// Those of a state, where the work takes `least` ticks alone.
    fn in_state(&self, state: State, least: u64) -> impl Iterator<Item = &Sample> {
        let of = move |distance| {
            let state_of = move |one: &Sample| State::of(distance, is_alone(one.work as f64, least as f64));
            self.of(distance).iter().filter(move |one| state_of(one) == state)
        };
        of(Distance::Near).chain(of(Distance::Far))
    }
}

/// The samples of a case with 1 and with 4 producers.
type Figures = [Samples; 2];

fn main() {
    let options = Options::read(9, &["--clock", "--black-box"]);
    let clock = options.value("--clock").map_or_else(Clock::default, clock_of);
    let samples = options.count(SAMPLES, 8);
    let cases: Vec<_> = cases::all().into_iter().filter(|case| options.wants(case.name)).collect();
    let first_calls = options.wants("first calls");
    options.require_a_case();
    let cores = Cores::take().expect("two cores");
    let path = run::file_of("latency");
    let mut builder = kakashi::builder().writer_core(Some(cores.writer.id)).clock(clock);
    if let Some(path) = options.value("--black-box") {
        builder = builder.black_box(path);
    }
    let run = run::Run::to(&path, builder);
    cases::prepare_thread();
    let per_ns = method::ticks_per_ns();
    let workers = Workers::start(cores.producer);

    let mut figures: Vec<Figures> = cases.iter().map(|_| Figures::default()).collect();
    let mut floors = Samples::default();
    let mut one_ways = OneWays::default();
    let mut records = 0;
    for _ in 0..options.rounds {
        one_ways.begin_round();
        for (case, [alone, _]) in cases.iter().zip(&mut figures) {
            (0..WARM).for_each(|at| _ = Sample::take(case, at * CALLS));
            for first in (0..samples).step_by(PIECE as usize) {
                let numbers = first..samples.min(first + PIECE);
                let (distance, (taken, floor)) = one_ways.during(cores.writer, || {
                    let floor: Vec<_> = numbers.clone().step_by(4).map(|_| floor()).collect();
                    let taken: Vec<_> = numbers.map(|at| Sample::take(case, at * CALLS)).collect();
                    run.flush();
                    (taken, floor)
                });
                if let Some(distance) = distance {
                    alone.add(distance, taken);
                    floors.add(distance, floor);
                }
            }
        }
        for (case, [_, by_turns]) in cases.iter().zip(&mut figures) {
            for first in (0..samples).step_by(PIECE as usize) {
                let each = samples.min(first + PIECE).saturating_sub(first) / PRODUCERS;
                let (distance, (taken, floor)) = one_ways.during(cores.writer, || {
                    let floor: Vec<_> = (0..each).map(|_| floor()).collect();
                    let taken = workers.run(case, each);
                    run.flush();
                    (taken, floor)
                });
                if let Some(distance) = distance {
                    by_turns.add(distance, taken);
                    floors.add(distance, floor);
                }
            }
        }
        records += cases.iter().filter(|case| case.logs).count() as u64
            * (WARM + samples + samples / PRODUCERS * PRODUCERS)
            * CALLS;
    }
    workers.end();

    println!("{}", method::machine());
    if !cases.is_empty() {
        println!("clock {clock:?}; {one_ways}");
    }
    let all = figures.iter().flatten().chain([&floors]).flat_map(|samples| samples.0.iter().flatten());
    let mut work: Vec<u64> = all.map(|sample| sample.work).collect();
    work.sort_unstable();
    let least = method::at_share(&work, 0.01);
    for state in State::ALL {
        if floors.in_state(state, least).next().is_some() {
            print(&cases, &figures, &floors, (state, least), per_ns);
        }
    }
    if first_calls {
        records += first::measure(options.rounds, per_ns);
    }
    run.finish(records);
    std::fs::remove_file(&path).expect("the log can be removed");
}

fn clock_of(name: &str) -> Clock {
    let called = |clock: &Clock| format!("{clock:?}").to_lowercase();
    CLOCKS.iter().copied().find(|clock| called(clock) == name.to_lowercase()).unwrap_or_else(|| {
        eprintln!("--clock: there are {:?}", CLOCKS.iter().map(called).collect::<Vec<_>>());
        std::process::exit(2)
    })
}

fn floor() -> Sample {
    let (work, (burst, single)) = method::between_work(|| (method::floor_burst(), method::single(|| ())));
    Sample { burst, single, work }
}

/// What a sample says by one of the two methods.
type Ns<'a> = &'a dyn Fn(&Sample) -> f64;

/// The tables of one state of the machine, where the work takes `least` ticks alone.
fn print(
    cases: &[cases::Case],
    figures: &[Figures],
    floors: &Samples,
    (state, least): (State, u64),
    per_ns: f64,
) {
    let in_bursts = |sample: &Sample| sample.burst as f64 / BURST as f64 / per_ns;
    let on_its_own = |sample: &Sample| sample.single as f64 / per_ns;
    let methods: [(&str, &str, Ns<'_>); 2] = [
        ("in bursts of 20", "a bare read of the counter", &in_bursts),
        ("on its own", "two reads, nothing between", &on_its_own),
    ];
    for (at, producers) in ["1 producer", "4 producers"].into_iter().enumerate() {
        for (method, floor_name, ns) in methods {
            let mut floor: Vec<f64> = floors.in_state(state, least).map(ns).collect();
            println!("\n{}, {producers}, a call {method}", state.name());
            table::heading("ns", "/ floor");
            table::row(floor_name, &mut floor, None);
            let floor = method::at_share(&floor, 0.5);
            for (case, of) in cases.iter().zip(figures) {
                let mut all: Vec<f64> = of[at].in_state(state, least).map(ns).collect();
                table::row(case.name, &mut all, Some(floor));
            }
        }
    }
}
