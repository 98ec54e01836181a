//! The command line of what looks into black boxes.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use kakashi::{Format, LevelFilter};

/// What is to be done with a box.
pub enum BoxCommand {
    Recover(Recover),
    Stat { target: OsString, json: bool },
    Top(Top),
    Tail(Tail),
    Backtrace { target: OsString, format: Format },
}

pub struct Recover {
    pub path: PathBuf,
    pub out: Option<PathBuf>,
    pub complete: bool,
    /// Of what is printed; the sinks' own when there is none.
    pub format: Option<Format>,
}

pub struct Top {
    pub target: OsString,
    pub once: bool,
    pub json: bool,
    pub interval: Duration,
}

pub struct Tail {
    pub target: OsString,
    pub level: LevelFilter,
    pub loggers: Vec<String>,
    pub texts: Vec<String>,
    pub held: bool,
    pub color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Auto,
    Always,
    Never,
}

pub fn parse(name: &str, matches: &ArgMatches) -> BoxCommand {
    // The parser has checked every value; what it cannot mean is never seen.
    let target = || matches.get_one::<OsString>("target").cloned().unwrap_or_default();
    let texts = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned().collect();
    match name {
        "recover" => BoxCommand::Recover(Recover {
            path: matches.get_one::<PathBuf>("path").cloned().unwrap_or_default(),
            out: matches.get_one("out").cloned(),
            complete: matches.get_flag("complete"),
            format: matches.get_one("format").copied(),
        }),
        "stat" => BoxCommand::Stat { target: target(), json: matches.get_flag("json") },
        "top" => BoxCommand::Top(Top {
            target: target(),
            once: matches.get_flag("once"),
            json: matches.get_flag("json"),
            interval: matches.get_one("interval").copied().unwrap_or(Duration::from_secs(1)),
        }),
        "backtrace" => BoxCommand::Backtrace {
            target: target(),
            format: matches.get_one("format").copied().unwrap_or_default(),
        },
        _ => BoxCommand::Tail(Tail {
            target: target(),
            level: matches.get_one("level").copied().unwrap_or(LevelFilter::Trace),
            loggers: texts("logger"),
            texts: texts("grep"),
            held: matches.get_flag("held"),
            color: match matches.get_one::<String>("color").map_or("", String::as_str) {
                "always" => Color::Always,
                "never" => Color::Never,
                _ => Color::Auto,
            },
        }),
    }
}

pub fn commands() -> [Command; 5] {
    [recover(), stat(), top(), tail(), backtrace()]
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn target() -> Arg {
    Arg::new("target")
        .value_name("PATH|PID")
        .required(true)
        .value_parser(OsStringValueParser::new())
        .help("A black box, or the number of a process that has one (a file with such a name: ./123)")
}

fn recover() -> Command {
    Command::new("recover")
        .about("Prints the records that a dead process has left in its black box and not in its log")
        .arg(
            Arg::new("path")
                .value_name("PATH")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The black box"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("complete")
                .help("Writes them to FILE, which must be new [default: standard output]"),
        )
        .arg(format_arg("those of the log").conflicts_with("complete"))
        .arg(flag("complete", "Completes the log files of the process instead, each record exactly once"))
        .after_help(
            "The log's own format is that of its sinks, or text if they have several.\n\
             What its threads held back for an error (`Builder::backtrace`) is among them.\n\
             Printing changes nothing. What was found is told on standard error, and the box stays where it is.\n\
             The next start of the program on the same path completes its log by itself.",
        )
}

fn stat() -> Command {
    Command::new("stat")
        .about("Prints what a process has logged, dropped and written, from its black box")
        .arg(target())
        .arg(flag("json", "Prints one JSON object: that of `kakashi top --once --json`, without `rates`"))
}

fn top() -> Command {
    Command::new("top")
        .about("Shows what a process logs, live: rates, queues and drops of each thread")
        .arg(target())
        .arg(flag("once", "Prints one table, with the rates of one interval, and ends"))
        .arg(flag("json", "The same as one JSON object; implies --once"))
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("SECONDS")
                .value_parser(seconds)
                .default_value("1")
                .help("Looks so often, 0.05 to 3600"),
        )
        .after_help(KEYS)
}

fn tail() -> Command {
    let many = |name: &'static str, value: &'static str| {
        Arg::new(name).long(name).value_name(value).action(ArgAction::Append)
    };
    Command::new("tail")
        .about("Prints the records of a running process as they come, whatever its sinks do with them")
        .arg(target())
        .arg(
            Arg::new("level")
                .long("level")
                .value_name("LEVEL")
                .value_parser(level)
                .help("Shows error, warn, info, debug or trace and what is graver"),
        )
        .arg(many("logger", "NAME").help("Shows this logger, channel or module, and the modules in it only"))
        .arg(many("grep", "TEXT").help("Shows lines that hold TEXT; with several, lines that hold any of them"))
        .arg(flag("held", "Shows what stands in the rings unwritten first"))
        .arg(
            Arg::new("color")
                .long("color")
                .value_name("WHEN")
                .value_parser(["auto", "always", "never"])
                .default_value("auto")
                .help("Colours the levels; auto: on a terminal, unless NO_COLOR is set"),
        )
        .after_help(
            "Reading changes nothing in the process, which does not wait for it: what comes faster than it can be\n\
             read is overtaken, counted, and told on standard error.",
        )
}

fn backtrace() -> Command {
    Command::new("backtrace")
        .about("Prints the last records that each thread of a process holds back until its next error")
        .arg(target())
        .arg(format_arg("text"))
        .after_help(
            "What is held back, and how much of it, is the program's choice: `Builder::backtrace`, `set_backtrace`.\n\
             Reading changes nothing, whether the process runs, hangs or has died.",
        )
}

fn format_arg(default: &str) -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(format)
        .help(format!("Prints text, json, json-otel, json-ecs, logfmt or console lines [default: {default}]"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.05 to 3600 are expected".to_owned())
}

fn format(text: &str) -> Result<Format, String> {
    Ok(match text {
        "text" => Format::Text,
        "json" => Format::Json,
        "json-otel" => Format::JsonOtel,
        "json-ecs" => Format::JsonEcs,
        "logfmt" => Format::Logfmt,
        "console" => Format::Console,
        _ => return Err("text, json, json-otel, json-ecs, logfmt or console is expected".to_owned()),
    })
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "error, warn, info, debug or trace is expected".to_owned())
}

const KEYS: &str = "\
In the terminal, q, Esc or Ctrl-C ends it. Where standard output is none, it prints once.

Keys of the JSON object:
  process   pid, program, version, box, life (alive, ended, died, replaced), damage (text or null)
  rates     seconds (the interval), logged, written, bytes, dropped: a second each
  writer    asleep, at work, or none
  state     the backend's
  logged (calls whose level was on), enqueued, written, queued, truncated, late, blocked, blocked_ns, notices,
  bytes, sink_errors: numbers since the start
  dropped   total, and a number for each cause
  lanes, lanes_in_use, fullest and high_water (0 to 1)
  sinks     a list of name, staged_bytes (rendered and not yet taken)
  threads   a list of channel, policy, name, id, in_use, shared, logged, queued, occupied and high_water (slots),
            slots, dropped (as above), truncated, blocked, blocked_ns, and with rates records_per_second
            and bytes_per_second (of the slots that its records took)";
