//! `kakashi`: replays log files through the logger and checks, line by line, what came of it.
#![forbid(unsafe_code)]

mod args;
mod escaped;
mod input;
mod latency;
mod line;
mod output;
mod progress;
mod replay;
mod report;
mod verdict;
mod verify;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use args::Asked;

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
