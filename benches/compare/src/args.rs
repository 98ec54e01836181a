//! The command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;

pub const USAGE: &str = "\
cargo run --release --manifest-path benches/compare/Cargo.toml [-- [report] OPTIONS]

  (nothing)        compares, and then reports
  report           reports from the data of the last run
  --rounds N       rounds, 9 by default
  --quick          a smoke run: two short rounds
  --more           adds rounds to those of the last comparison: until enough of them are near, say
  --only NAME,...  contenders whose name begins with one of these
  --into DIR       where tables.md and the charts go, and a comparison's data.json: target/compare by default";

/// What to do.
pub enum Command {
    Compare(Options),
    Report {
        from: PathBuf,
        into: PathBuf,
    },
    /// A child's task, as JSON.
    Child(String),
    Help,
}

/// How much of it.
pub struct Options {
    pub rounds: usize,
    pub bursts: usize,
    pub warm_bursts: usize,
    pub pause_us: u64,
    /// Of throughput; peers whose callers format, ten times slower, get `slow_records`.
    pub records: u64,
    pub slow_records: u64,
    pub idle_ms: u64,
    pub into: PathBuf,
    /// Goes on where the data that is there ends.
    pub more: bool,
    only: Vec<String>,
    quick: bool,
}

impl Options {
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| name.starts_with(one.as_str()))
    }

    /// The command that repeats the run, of `rounds` in all.
    pub fn command(&self, rounds: usize) -> String {
        let mut command = "cargo run --release --manifest-path benches/compare/Cargo.toml".to_owned();
        let mut options = Vec::new();
        if self.quick {
            options.push("--quick".to_owned());
        }
        if rounds != if self.quick { QUICK_ROUNDS } else { ROUNDS } {
            options.push(format!("--rounds {rounds}"));
        }
        if !self.only.is_empty() {
            options.push(format!("--only '{}'", self.only.join(",")));
        }
        if !options.is_empty() {
            command = format!("{command} -- {}", options.join(" "));
        }
        command
    }
}

const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 2;

/// # Errors
/// Says what it did not understand.
pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut rounds, mut only) = (None, Vec::new());
    let (mut report, mut quick, mut more) = (false, false, false);
    // In the library's own target folder, wherever this is started from.
    let usual = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/compare"));
    let mut into = usual.clone();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "child" => return value().map(Command::Child),
            "report" => report = true,
            "--quick" => quick = true,
            "--more" => more = true,
            "--rounds" => rounds = Some(value()?.parse().map_err(|_| "--rounds needs a number")?),
            "--only" => only = value()?.split(',').map(|name| name.trim().to_owned()).collect(),
            "--into" => into = PathBuf::from(value()?),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(format!("what is {arg}?\n\n{USAGE}")),
        }
    }
    if report {
        return Ok(Command::Report { from: usual.join("data.json"), into });
    }
    let rounds = rounds.unwrap_or(if quick { QUICK_ROUNDS } else { ROUNDS });
    Ok(Command::Compare(if quick {
        Options {
            rounds,
            bursts: 100,
            warm_bursts: 100,
            pause_us: 300,
            records: 100_000,
            slow_records: 100_000,
            idle_ms: 1000,
            into,
            more,
            only,
            quick,
        }
    } else {
        Options {
            rounds,
            bursts: 650,
            warm_bursts: 100,
            pause_us: 300,
            records: 1_000_000,
            slow_records: 300_000,
            idle_ms: 10_000,
            into,
            more,
            only,
            quick,
        }
    }))
}
