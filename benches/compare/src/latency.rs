//! A child's turn in a round of latency: bursts of each message, and the lines counted afterwards.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::data::{Latency, Piece, Place, Series};
use crate::loggers::{Case, Run, Running};
use crate::message::Message;
use crate::method::{self, BURST, Cores};
use crate::task::{Folder, contender};
use crate::threads;

/// Calls of a loop over a statement that is off, and how often it is timed.
const LOOP_CALLS: u64 = 200_000;
const LOOPS: usize = 25;

/// Bursts between two looks at the distance of the cores: some 15 ms.
const PIECE: usize = 50;

pub fn measure(name: &str, bursts: usize, warm_bursts: usize, pause: Duration) -> Result<Latency, String> {
    let contender = contender(name)?;
    let cores = Cores::take()?;
    let folder = Folder::make()?;
    let per_ns = method::ticks_per_ns();
    let per_call =
        |ticks: u64, calls: u64| (ticks as f64 / calls as f64 / per_ns * 100.0).round() as f32 / 100.0;
    let floor = (0..bursts).map(|_| per_call(method::floor_burst(), BURST)).collect();

    let Running { cases, finish, prepare, .. } = (contender.start)(&folder.setup(cores, false))?;
    prepare();
    let mut calls = warm_up(&cases, warm_bursts);
    // Some start threads on their first call.
    if contender.role != crate::loggers::Role::Kakashi {
        threads::pin_others(cores.writer);
    }
    if let Some(missing) = Message::ALL.iter().find(|&&one| cases.iter().all(|case| case.message != one)) {
        return Err(format!("{name} says nothing of {}", missing.title()));
    }
    let mut series = Vec::new();
    for case in &cases {
        let pieces = match case.run {
            Err(why) => Err(why.to_owned()),
            Ok(Run::Loop(run)) => {
                Ok(pieces(cores, per_ns, &[0; LOOPS], |_| per_call(run(LOOP_CALLS), LOOP_CALLS), || ()))
            }
            Ok(Run::Burst(run)) => {
                let numbers: Vec<u64> = (0..bursts as u64).map(|at| at * BURST).collect();
                calls += bursts as u64 * BURST;
                Ok(pieces(
                    cores,
                    per_ns,
                    &numbers,
                    |first| per_call(run(first), BURST),
                    || method::pause(pause),
                ))
            }
        };
        let name = match case.variant {
            Some(variant) => format!("{name} {variant}"),
            None => name.to_owned(),
        };
        series.push(Series { name, message: case.message, pieces });
    }
    finish()?;
    Ok(Latency { floor, series, calls, lines: folder.lines()?, sample: folder.sample() })
}

/// What `measure` finds for each number, with a `rest` behind each; in pieces with a look at the distance before and
/// behind. A backend that spins shares its core with who looks for that long, and the median of what is seen is that of
/// the looker's own slices.
fn pieces(
    cores: Cores,
    ticks_per_ns: f64,
    numbers: &[u64],
    measure: impl Fn(u64) -> f32,
    rest: impl Fn(),
) -> Vec<Piece> {
    let mut before = method::one_way(cores.writer);
    let piece = |numbers: &[u64]| {
        let one = |&number| {
            let (work, figure) = method::between_work(|| measure(number));
            rest();
            (figure, (work as f64 / ticks_per_ns).round() as f32)
        };
        let (figures, work) = numbers.iter().map(one).unzip();
        let after = method::one_way(cores.writer);
        Piece { place: Place { before: std::mem::replace(&mut before, after), after }, figures, work }
    };
    numbers.chunks(PIECE).map(piece).collect()
}

/// Some bursts of each message, so that rings, buffers and predictors are what they will be: enough in all for
/// one lap of a ring of a MiB. They count as calls, and their lines as lines.
fn warm_up(cases: &[Case], bursts: usize) -> u64 {
    let mut calls = 0;
    for case in cases {
        // A variant has a ring of its own.
        let bursts = if case.variant.is_some() { 4 * bursts } else { bursts };
        match case.run {
            Ok(Run::Burst(run)) => {
                for at in 0..bursts as u64 {
                    run(at * BURST);
                    method::pause(Duration::from_micros(100));
                }
                calls += bursts as u64 * BURST;
            }
            Ok(Run::Loop(run)) => _ = run(LOOP_CALLS / 10),
            Err(_) => {}
        }
    }
    calls
}
