//! A child's turn in a round of latency: bursts of each message, and the lines counted afterwards.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::data::{Latency, Place, Series};
use crate::loggers::{Case, Run, Running};
use crate::message::Message;
use crate::method::{self, BURST, Cores};
use crate::task::{Folder, contender};
use crate::threads;

/// Calls of a loop over a statement that is off, and how often it is timed.
const LOOP_CALLS: u64 = 1_000_000;
const LOOPS: usize = 5;

pub fn measure(name: &str, bursts: usize, warm_bursts: usize, pause: Duration) -> Result<Latency, String> {
    let contender = contender(name)?;
    let cores = Cores::take()?;
    let folder = Folder::make()?;
    // Before there is a backend that could spin.
    let before = method::one_way(cores.writer);
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
        let figures = match case.run {
            Err(why) => Err(why.to_owned()),
            Ok(Run::Loop(run)) => Ok((0..LOOPS).map(|_| per_call(run(LOOP_CALLS), LOOP_CALLS)).collect()),
            Ok(Run::Burst(run)) => {
                let ticks: Vec<u64> = (0..bursts as u64)
                    .map(|at| {
                        let ticks = run(at * BURST);
                        method::pause(pause);
                        ticks
                    })
                    .collect();
                calls += bursts as u64 * BURST;
                Ok(ticks.into_iter().map(|ticks| per_call(ticks, BURST)).collect())
            }
        };
        let name = match case.variant {
            Some(variant) => format!("{name} {variant}"),
            None => name.to_owned(),
        };
        series.push(Series { name, message: case.message, figures });
    }
    finish()?;
    let place = Place { before, after: method::one_way(cores.writer) };
    Ok(Latency { place, floor, series, calls, lines: folder.lines()?, sample: folder.sample() })
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
