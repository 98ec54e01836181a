//! The command line, and the names of levels: any arguments are a command or a mistake that is told in one line.

// The tool's own files; what only its other parts use stands unused here.
#[allow(dead_code)]
#[path = "../../src/bin/kakashi/args.rs"]
mod args;
#[allow(dead_code)]
#[path = "../../src/bin/kakashi/box_args.rs"]
mod box_args;
#[allow(dead_code)]
#[path = "../../src/bin/kakashi/config_args.rs"]
mod config_args;

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use args::{Asked, Options};
use box_args::{BoxCommand, Color};
use config_args::ConfigCommand;
use kakashi::{Level, LevelFilter};

/// The tool's error, here as it was told.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    fn new(message: impl Display) -> Self {
        Failure(message.to_string())
    }
}

/// What a person would write; a byte chooses one, or says that what follows is to be taken as it stands.
const WORDS: [&str; 43] = [
    "replay",
    "recover",
    "stat",
    "top",
    "tail",
    "help",
    "--help",
    "--version",
    "--",
    "-",
    "--threads",
    "--policy",
    "--encoding",
    "--rate",
    "--repeat",
    "--latency-sample",
    "--out",
    "--black-box",
    "--json",
    "--once",
    "--interval",
    "--level",
    "--logger",
    "--grep",
    "--held",
    "--color",
    "--complete",
    "block",
    "block-for",
    "drop-newest",
    "drop-oldest",
    "deferred",
    "preformatted",
    "warn",
    "always",
    "1",
    "0.05",
    "a.log",
    "4294967296",
    "",
    "config",
    "--show",
    "--check",
];

fn arguments(bytes: &[u8]) -> Vec<OsString> {
    let mut args = vec![OsString::from("kakashi")];
    let mut rest = bytes;
    let mut joins = false;
    while let Some((&how, behind)) = rest.split_first() {
        rest = behind;
        let word = match WORDS.get(usize::from(how & 0x7F)) {
            Some(word) => OsString::from(word),
            None => {
                let (text, behind) = rest.split_at(usize::from(how & 0x1F).min(rest.len()));
                rest = behind;
                OsString::from_vec(text.to_vec())
            }
        };
        match args.last_mut().filter(|_| joins) {
            Some(last) => last.push(word),
            None => args.push(word),
        }
        joins = how & 0x80 != 0;
        if joins && let Some(last) = args.last_mut() {
            last.push("=");
        }
    }
    args
}

/// Arguments as the bytes choose them; and the bytes as the name of a level.
pub fn options(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    match name.parse::<LevelFilter>() {
        Ok(level) => assert!(format!("{level:?}").eq_ignore_ascii_case(&name)),
        Err(error) => assert!(is_one_line(&error.to_string()), "{error}"),
    }
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
        assert_eq!(level.to_string().parse(), Ok(LevelFilter::from(level)), "a level reads back");
    }
    let args = arguments(bytes);
    match args::parse(args.clone()) {
        Err(Failure(message)) => {
            assert!(!message.is_empty() && message.contains("--help"), "{args:?}: {message:?}");
            // `Failure` escapes what a value has of the kind; of its own the message has no line's end.
            let told = args.iter().any(|arg| !is_one_line(&arg.to_string_lossy()));
            assert!(told || is_one_line(&message), "{args:?}: {message:?}");
        }
        Ok(Asked::Text(text)) => assert!(text.ends_with('\n'), "{text:?}"),
        Ok(asked) => {
            let written = written(&asked);
            let again = args::parse(written.clone())
                .unwrap_or_else(|Failure(message)| panic!("{written:?}: {message}"));
            assert_eq!(written, self::written(&again), "{args:?}");
            // What was given stands in it, and is no default.
            let given = args.iter().take_while(|arg| *arg != "--").filter(|arg| is_kept(arg));
            given.for_each(|arg| assert!(written.contains(arg), "{arg:?} of {args:?} is not in {written:?}"));
        }
    }
}

/// Whether it is an option with its value that is kept as it was written.
fn is_kept(arg: &OsString) -> bool {
    const KEPT: [&str; 8] = ["check", "policy", "encoding", "out", "black-box", "logger", "grep", "color"];
    let text = arg.to_string_lossy();
    text.strip_prefix("--").and_then(|arg| arg.split_once('=')).is_some_and(|(name, _)| KEPT.contains(&name))
}

fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// A command as one could have written it.
fn written(asked: &Asked) -> Vec<OsString> {
    let mut args = vec![OsString::from("kakashi")];
    match asked {
        Asked::Replay(options) => replay(&mut args, options),
        Asked::Box(command) => on_box(&mut args, command),
        Asked::Config(ConfigCommand::Show) => args.extend(["config", "--show"].map(OsString::from)),
        Asked::Config(ConfigCommand::Check(path)) => {
            args.push("config".into());
            option(&mut args, "check", path);
        }
        Asked::Text(_) => {}
    }
    args
}

fn option(args: &mut Vec<OsString>, name: &str, value: impl Into<OsString>) {
    let mut arg = OsString::from(format!("--{name}="));
    arg.push(value.into());
    args.push(arg);
}

fn flag(args: &mut Vec<OsString>, name: &str, given: bool) {
    args.extend(given.then(|| format!("--{name}").into()));
}

fn replay(args: &mut Vec<OsString>, options: &Options) {
    args.push("replay".into());
    assert!((1..=1024).contains(&options.threads) && options.rate != Some(0) && !options.files.is_empty());
    assert!(options.repeat > 0 && options.latency_sample > 0);
    option(args, "threads", options.threads.to_string());
    option(args, "policy", options.policy.name());
    option(args, "encoding", options.encoding.name());
    option(args, "repeat", options.repeat.to_string());
    option(args, "latency-sample", options.latency_sample.to_string());
    if let Some(rate) = options.rate {
        option(args, "rate", rate.to_string());
    }
    for (name, path) in [("out", &options.out), ("black-box", &options.black_box)] {
        if let Some(path) = path {
            option(args, name, path);
        }
    }
    args.push("--".into());
    args.extend(options.files.iter().map(OsString::from));
}

fn on_box(args: &mut Vec<OsString>, command: &BoxCommand) {
    let target = match command {
        BoxCommand::Recover(recover) => {
            args.push("recover".into());
            assert!(recover.out.is_none() || !recover.complete, "they exclude each other");
            if let Some(out) = &recover.out {
                option(args, "out", out);
            }
            if let Some(format) = recover.format {
                assert!(!recover.complete, "they exclude each other");
                option(args, "format", name_of(format));
            }
            flag(args, "complete", recover.complete);
            recover.path.as_os_str()
        }
        BoxCommand::Stat { target, json } => {
            args.push("stat".into());
            flag(args, "json", *json);
            target
        }
        BoxCommand::Top(top) => {
            args.push("top".into());
            flag(args, "once", top.once);
            flag(args, "json", top.json);
            assert!((Duration::from_millis(50)..=Duration::from_secs(3600)).contains(&top.interval));
            option(
                args,
                "interval",
                format!("{}.{:09}", top.interval.as_secs(), top.interval.subsec_nanos()),
            );
            &top.target
        }
        BoxCommand::Tail(tail) => {
            args.push("tail".into());
            option(args, "level", format!("{:?}", tail.level));
            for (name, texts) in [("logger", &tail.loggers), ("grep", &tail.texts)] {
                texts.iter().for_each(|text| option(args, name, text));
            }
            flag(args, "held", tail.held);
            let color = match tail.color {
                Color::Auto => "auto",
                Color::Always => "always",
                Color::Never => "never",
            };
            option(args, "color", color);
            &tail.target
        }
        BoxCommand::Backtrace { target, format } => {
            args.push("backtrace".into());
            option(args, "format", name_of(*format));
            target
        }
    };
    args.extend(["--".into(), target.to_owned()]);
}

fn name_of(format: kakashi::Format) -> String {
    match format {
        kakashi::Format::JsonOtel => "json-otel".to_owned(),
        kakashi::Format::JsonEcs => "json-ecs".to_owned(),
        format => format!("{format:?}").to_lowercase(),
    }
}
