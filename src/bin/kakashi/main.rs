//! `kakashi`: replays log files through the logger and checks, line by line, what came of it; looks into the black boxes
//! of running processes, and recovers those of dead ones; shows and checks configurations.
#![forbid(unsafe_code)]

mod args;
mod backtrace;
mod box_args;
mod config;
mod config_args;
mod escaped;
mod input;
mod json;
mod latency;
mod line;
mod output;
mod progress;
mod recover;
mod replay;
mod report;
mod sample;
mod screen;
mod table;
mod tail;
mod target;
mod top;
mod verdict;
mod verify;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use args::Asked;
use box_args::BoxCommand;

/// Why there is no result: what is wrong, where, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Failure(message.to_string())
    }
}

impl fmt::Display for Failure {
    /// One line, whatever a path in it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if char.is_control() { write!(f, "{}", char.escape_default()) } else { write!(f, "{char}") }
        })
    }
}

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os()) {
        Ok(Asked::Replay(options)) => replay(&options),
        Ok(Asked::Box(command)) => on_box(&command).map(|()| true),
        Ok(Asked::Config(asked)) => config::run(&asked),
        Ok(Asked::Text(text)) => print(&text).map(|()| true),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "kakashi: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Replays, verifies and reports. Whether it was verified.
fn replay(options: &args::Options) -> Result<bool, Failure> {
    let input = input::Input::read(&options.files)?;
    let output = output::Output::choose(options.out.as_deref(), &input)?;
    let mut verifier = verify::Verifier::new(&input, options)?;
    let outcome = replay::run(options, &input, &output)?;
    let file = output.read()?;
    verifier.read(file).map_err(|error| Failure::new(format_args!("cannot read {output} back: {error}")))?;
    let verdict = verifier.finish(&verify::Counts::from(&outcome.stats));
    print(
        &report::Report { options, input: &input, output: &output, outcome: &outcome, verdict: &verdict }
            .to_string(),
    )?;
    Ok(verdict.holds())
}

fn on_box(command: &BoxCommand) -> Result<(), Failure> {
    match command {
        BoxCommand::Recover(asked) => recover::run(asked),
        BoxCommand::Stat { target, json } => top::stat(target, *json),
        BoxCommand::Top(asked) => top::top(asked),
        BoxCommand::Tail(asked) => tail::run(asked),
        BoxCommand::Backtrace { target, format } => backtrace::run(target, *format),
    }
}

/// Tells on standard error, in one line.
fn say(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", Failure::new(message));
}

/// Prints to standard output. That nobody reads to the end is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
