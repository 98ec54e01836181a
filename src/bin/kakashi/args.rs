//! The command line.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, value_parser};

use super::Failure;
use super::box_args::{self, BoxCommand};
use super::config_args::{self, ConfigCommand};

/// The most threads.
const MAX_THREADS: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Block,
    BlockFor,
    DropNewest,
    DropOldest,
}

impl Policy {
    const ALL: [Policy; 4] = [Policy::Block, Policy::BlockFor, Policy::DropNewest, Policy::DropOldest];

    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::BlockFor => "block-for",
            Policy::DropNewest => "drop-newest",
            Policy::DropOldest => "drop-oldest",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Policy::Block => "Wait until there is room",
            Policy::BlockFor => "Wait for at most a second, then drop the record",
            Policy::DropNewest => "Drop the record",
            Policy::DropOldest => "Drop the oldest records of the ring",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Preformatted,
    Deferred,
}

impl Encoding {
    const ALL: [Encoding; 2] = [Encoding::Preformatted, Encoding::Deferred];

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Preformatted => "preformatted",
            Encoding::Deferred => "deferred",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Encoding::Preformatted => "In the call",
            Encoding::Deferred => "In the writer",
        }
    }
}

/// What `kakashi replay` was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    pub files: Vec<PathBuf>,
    pub threads: u32,
    pub policy: Policy,
    pub encoding: Encoding,
    /// Records a second, in all.
    pub rate: Option<u64>,
    pub repeat: u32,
    /// One call in so many is timed.
    pub latency_sample: u64,
    pub out: Option<PathBuf>,
    pub black_box: Option<PathBuf>,
}

pub enum Asked {
    Replay(Options),
    Box(BoxCommand),
    Config(ConfigCommand),
    /// Help, or the version.
    Text(String),
}

pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, Failure> {
    let args: Vec<_> = args.into_iter().collect();
    let matches = match command().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Asked::Text(error.to_string()));
        }
        Err(error) => {
            let asked = args.get(1).and_then(|arg| arg.to_str());
            let known = asked.filter(|asked| command().find_subcommand(asked).is_some());
            let command = known.map_or_else(|| "kakashi".to_owned(), |name| format!("kakashi {name}"));
            let message = one_line(&error.to_string());
            return Err(Failure::new(format_args!("{message}: see `{command} --help`")));
        }
    };
    match matches.subcommand() {
        Some(("replay", matches)) => Ok(Asked::Replay(options(matches))),
        Some(("config", matches)) => Ok(Asked::Config(config_args::parse(matches))),
        Some((name, matches)) => Ok(Asked::Box(box_args::parse(name, matches))),
        _ => Err(Failure::new("no command was given: see `kakashi --help`")),
    }
}

/// The parser's message without its usage and advice.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let told =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let text = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    text.strip_prefix("error: ").map_or(text.clone(), str::to_owned)
}

fn options(matches: &ArgMatches) -> Options {
    // The parser has checked every value, and there are defaults; what it cannot mean is never seen.
    let name = |id: &str| matches.get_one::<String>(id).map_or("", String::as_str);
    Options {
        files: matches.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect(),
        threads: matches.get_one("threads").copied().unwrap_or(1),
        policy: Policy::ALL
            .into_iter()
            .find(|policy| policy.name() == name("policy"))
            .unwrap_or(Policy::BlockFor),
        encoding: Encoding::ALL
            .into_iter()
            .find(|encoding| encoding.name() == name("encoding"))
            .unwrap_or(Encoding::Preformatted),
        rate: matches.get_one("rate").copied(),
        repeat: matches.get_one("repeat").copied().unwrap_or(1),
        latency_sample: matches.get_one("latency-sample").copied().unwrap_or(16),
        out: matches.get_one("out").cloned(),
        black_box: matches.get_one("black-box").cloned(),
    }
}

fn command() -> Command {
    Command::new("kakashi")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Tools of the kakashi logger")
        .subcommand_required(true)
        .subcommand(replay())
        .subcommands(box_args::commands())
        .subcommand(config_args::command())
        .after_help(EXAMPLES)
}

fn replay() -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("replay")
        .about(
            "Logs the lines of real log files through the logger, and verifies every line that was written",
        )
        .long_about(ABOUT)
        .after_help(EXAMPLES)
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Log files, in this order; each line is a record"),
        )
        .arg(
            option("threads", "N")
                .value_parser(value_parser!(u32).range(1..=i64::from(MAX_THREADS)))
                .default_value("1")
                .help("Threads that log: thread t takes every line i with i % N = t; on the cores that are not the writer's, if there are any"),
        )
        .arg(
            option("policy", "POLICY")
                .value_parser(values(Policy::ALL.map(|policy| (policy.name(), policy.meaning()))))
                .default_value("block-for")
                .help("What a call does that finds its ring full"),
        )
        .arg(
            option("encoding", "ENCODING")
                .value_parser(values(Encoding::ALL.map(|encoding| (encoding.name(), encoding.meaning()))))
                .default_value("preformatted")
                .help("Where numbers become text"),
        )
        .arg(
            option("rate", "R")
                .value_parser(value_parser!(u64).range(1..))
                .help("Records a second, of all threads together [default: as fast as they can]"),
        )
        .arg(
            option("repeat", "K")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("1")
                .help("Replays everything K times"),
        )
        .arg(
            option("latency-sample", "N")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("16")
                .help("Times one call in N of each thread"),
        )
        .arg(
            option("out", "PATH")
                .value_parser(value_parser!(PathBuf))
                .help("Writes the log to PATH and keeps it [default: a temporary file, removed at the end]"),
        )
        .arg(option("black-box", "PATH").value_parser(value_parser!(PathBuf)).help(
            "Keeps rings and statistics in the file PATH (1.2 GB), as /dev/shm/replay.box: for `kakashi \
                     top` and `tail`",
        ))
}

fn values<const N: usize>(values: [(&'static str, &'static str); N]) -> PossibleValuesParser {
    PossibleValuesParser::new(values.map(|(name, meaning)| PossibleValue::new(name).help(meaning)))
}

const ABOUT: &str = "\
Logs the lines of real log files through the logger, and verifies every line that was written.

Each line is one record: its text, and the fields `file` and `line` (both from 1) and `pass` (from 0).
The written log is then read back: every record must be there exactly once or be counted as dropped,
each thread's records in order, all in the order of time but for those counted as late, each text as it
was, after the logger's escaping.

Exit status: 0 verified, 1 not verified, 2 nothing to verify (a wrong option, an unreadable file).";

const EXAMPLES: &str = "\
Examples:
  kakashi replay /var/log/syslog
  kakashi replay access.log error.log --threads 8 --policy drop-oldest
  kakashi replay access.log --encoding deferred --rate 100000 --repeat 10
  kakashi replay access.log --policy block --out /dev/shm/replayed.log
  kakashi replay access.log --rate 50000 --repeat 1000 --black-box /dev/shm/replay.box";
