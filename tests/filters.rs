//! Filters: which records pass, by level and target, and that what is set last counts from the next call on.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use kakashi::{Filter, Level, LevelFilter, callsites, enabled, get_async_logger, set_filter, set_level};
use proptest::prelude::*;
use support::WATCHDOG;

kakashi::channel!(static CHANNEL: kakashi::Channel<64, 256, 2>);

/// Logs at every level, plainly, to a channel and through a logger.
macro_rules! all {
    ($logger:expr) => {
        pub fn all() {
            kakashi::error!("plain");
            kakashi::warn!("plain");
            kakashi::info!("plain");
            kakashi::debug!("plain");
            kakashi::trace!("plain");
            kakashi::error!(crate::CHANNEL, "channel");
            kakashi::trace!(crate::CHANNEL, "channel");
            let logger = kakashi::get_async_logger($logger);
            kakashi::error!(logger, "logger");
            kakashi::warn!(logger, "logger");
            kakashi::info!(logger, "logger");
            kakashi::debug!(logger, "logger");
            kakashi::trace!(logger, "logger");
        }
    };
}

mod net {
    all!("orders");

    pub mod tcp {
        all!("orders::fills");
    }
}

mod network {
    all!("audit");
}

fn filter(text: &str) {
    set_filter(text.parse().expect("it is a filter"));
}

/// How many records passed: of each module those without logger, of each logger; and those of the channel.
fn passed(log: &support::Log) -> [usize; 7] {
    net::all();
    net::tcp::all();
    network::all();
    let lines = log.lines();
    let count = |target: &str| lines.iter().filter(|line| line.target == target).count();
    [
        count("filters::net"),
        count("filters::net::tcp"),
        count("filters::network"),
        count("orders"),
        count("orders::fills"),
        count("audit"),
        count("CHANNEL"),
    ]
}

#[test]
fn records_pass_by_their_logger_or_their_module() {
    let log = support::start();
    filter("info");
    assert_eq!(passed(&log), [3, 3, 3, 3, 3, 3, 3]);
    filter("warn,filters::net=error,filters::net::tcp=trace,orders=debug,audit=off");
    // The channel's records go by their module: two of `tcp`, one of each other one.
    assert_eq!(passed(&log), [1, 5, 2, 4, 4, 0, 4]);
    // Loggers that no directive names, by their module.
    filter("off,filters::net::tcp=info");
    assert_eq!(passed(&log), [0, 3, 0, 0, 3, 0, 1]);
    filter("orders::fills");
    assert_eq!(passed(&log), [0, 0, 0, 0, 5, 0, 0], "without a bare level, what was set stays");
    filter("info,filters=warn,filters::net=trace,filters::net=off");
    assert_eq!(passed(&log), [0, 0, 2, 0, 0, 2, 1]);
    filter("info");
}

#[test]
fn what_is_set_last_counts() {
    let log = support::start();
    let (orders, audit) = (get_async_logger("orders"), get_async_logger("audit"));
    filter("info");
    orders.set_level(LevelFilter::Trace);
    audit.set_level(LevelFilter::Off);
    filter("warn,orders=error");
    assert_eq!(passed(&log)[3..6], [1, 1, 0], "the filter names one of the loggers, and not the other");
    orders.set_level(LevelFilter::Debug);
    set_level(LevelFilter::Error);
    assert_eq!(passed(&log)[..6], [1, 1, 1, 4, 1, 0], "the filter still stands for `orders::fills`");
    filter("trace,audit=trace");
    assert_eq!(passed(&log)[..6], [5, 5, 5, 4, 5, 5]);
    filter("info,orders=info");
    assert_eq!(passed(&log)[..6], [3, 3, 3, 3, 3, 3]);
}

#[test]
fn a_logger_that_comes_later_is_filtered_from_its_first_call_on() {
    let log = support::start();
    filter("info,later=trace,never=off");
    let (later, never, other) =
        (get_async_logger("later::of_all"), get_async_logger("never"), get_async_logger("neverland"));
    for logger in [later, never, other] {
        kakashi::trace!(logger, "a trace");
        kakashi::error!(logger, "an error");
    }
    assert_eq!(log.messages(), ["a trace", "an error", "an error"]);
    assert!(later.is_enabled(Level::Trace) && !never.is_enabled(Level::Error));
    filter("info");
}

/// `enabled!` is never wrong about what is off.
#[test]
fn enabled_denies_nothing_that_is_written() {
    let log = support::start();
    filter("off,filters::net::tcp=debug");
    assert!(enabled!(Level::Debug) && !enabled!(Level::Trace));
    assert_eq!(passed(&log)[1], 4);
    filter("info");
}

/// A thread that sees that the filter was set logs by it.
#[test]
fn a_filter_counts_from_the_next_call_on() {
    const ROUNDS: u64 = 400;
    let log = support::start();
    let (set, seen) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                while set.load(Ordering::Acquire) != round {
                    std::hint::spin_loop();
                }
                kakashi::debug!("debug in {round}", round = round);
                let logger = get_async_logger(if round % 4 < 2 { "left" } else { "right" });
                kakashi::debug!(logger, "logged in {round}", round = round);
                seen.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            filter(if round % 2 == 0 {
                "filters=debug,left=off,right=debug"
            } else {
                "info,left=debug,right=off"
            });
            set.store(round, Ordering::Release);
            while seen.load(Ordering::Acquire) != round {
                std::hint::spin_loop();
            }
        }
    });
    let wanted: Vec<String> = (1..=ROUNDS)
        .flat_map(|round| {
            let plain = (round % 2 == 0).then(|| format!("debug in {round}"));
            let logged = (round % 4 == 1 || round % 4 == 2).then(|| format!("logged in {round}"));
            plain.into_iter().chain(logged)
        })
        .collect();
    assert_eq!(log.messages(), wanted);
    filter("info");
}

kakashi::channel!(static DEFERRED: kakashi::Channel<64, 256, 2, kakashi::DropOldest, kakashi::Deferred>);

/// A `Display` of one piece more.
struct Shown(u32);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no. {}", self.0)
    }
}

/// The messages that a directive `[field]=debug` lets pass beside those of `warn`, of records with a field of each type.
fn with_field(log: &support::Log, field: &str) -> Vec<String> {
    filter(&format!("warn,{field}=debug"));
    let unit = "µs";
    kakashi::debug!("int", id = 7);
    kakashi::debug!(DEFERRED, "int in a channel", id = 7_u8, other = -1.5);
    kakashi::debug!("negative", id = -7_i64, other = -1.5);
    kakashi::debug!(DEFERRED, "float", id = 7.0);
    kakashi::debug!("wide", id = 7_u128, other = i128::MIN);
    kakashi::debug!("bool {}", 7, other = true, id = 8, unit = unit);
    kakashi::debug!(get_async_logger("orders"), "char", other = 'x', id = 70);
    kakashi::debug!(DEFERRED, "text", other = "a, b]", id = "seven");
    kakashi::debug!("shown", other = Shown(7), id = ?Some(7));
    kakashi::debug!("none", other = None::<u8>);
    kakashi::debug!("by argument {id}", id = 7);
    kakashi::trace!("too fine", id = 7, other = true);
    kakashi::info!("plain {}", 7);
    kakashi::warn!("passes anyway {}", 1, id = 1);
    let mut messages: Vec<String> = log
        .lines()
        .iter()
        .map(|line| line.message.split([' ', '=']).next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(messages.pop().as_deref(), Some("passes"));
    messages
}

#[test]
fn fields_let_records_pass() {
    let log = support::start();
    for (field, passes) in [
        ("[id=7]", "int int float wide by"),
        ("[{id=7}]", "int int float wide by"),
        ("[id=-7]", "negative"),
        ("[id=7.0]", "int int float wide by"),
        ("[id=seven]", "text"),
        ("[id=\"Some(7)\"]", "shown"),
        ("[{id}]", "int int negative float wide bool char text shown by"),
        ("[{other, id=7}]", "int wide"),
        ("[other=-1.5]", "int negative"),
        ("[other=true]", "bool"),
        ("[other=x]", "char"),
        ("[other=\"a, b]\"]", "text"),
        ("[other=\"no. 7\"]", "shown"),
        ("[other=-170141183460469231731687303715884105728]", "wide"),
        ("[other=null]", "none"),
        ("[unit=µs]", "bool"),
        ("filters[id=7]", "int int float wide by"),
        ("orders[{id}]", "char"),
        ("net[{id}]", ""),
        ("[id=70]=off,[id=8]", "bool"),
        ("[i=7]", ""),
        ("[user{id=7}]", ""),
    ] {
        assert_eq!(with_field(&log, field).join(" "), passes, "{field}");
    }
    filter("info");
    kakashi::debug!("not any more", id = 7);
    kakashi::info!("as before", id = 7);
    assert_eq!(log.messages(), ["as before id=7"]);
}

#[test]
fn fields_of_a_context_let_records_pass() {
    let log = support::start();
    filter("warn,[user_id=7]=trace");
    let record = |name: &str| {
        kakashi::trace!("{name}");
        kakashi::trace!(DEFERRED, "{name}, a channel's");
    };
    record("without");
    {
        let _context = kakashi::context!(user_id = 7, request.id = "x");
        record("with");
        {
            let _inner = kakashi::context!(more = 1);
            record("within");
        }
        net::all();
    }
    {
        let _context = kakashi::context!(user_id = 8);
        record("another's");
    }
    let bound = get_async_logger("orders").with("user_id", 7_u32);
    kakashi::trace!(bound, "bound");
    let lines = log.lines();
    let of = |target: &str| lines.iter().filter(|line| line.target == target).count();
    assert_eq!((of("filters"), of("filters::net"), of("orders")), (2, 5, 6), "{lines:?}");
    assert_eq!(of("DEFERRED"), 2);
    let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
    for wanted in [
        "with user_id=7 request.id=x",
        "within, a channel's user_id=7 request.id=x more=1",
        "bound user_id=7",
    ] {
        assert!(messages.contains(&wanted), "{wanted}: {messages:?}");
    }
    assert!(!messages.iter().any(|message| message.contains("without") || message.contains("another")));
    filter("info");
}

/// What is looked at is a cut copy; the record is whole.
#[test]
fn long_ones_are_looked_at() {
    let log = support::start();
    let long = "x".repeat(20_000);
    filter("off,[id=7]=info");
    let truncated = kakashi::get_async_stats().truncated;
    kakashi::info!("{}", &*long, id = 7);
    kakashi::info!(CHANNEL, "{}", &*long, id = 8);
    let messages = log.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0] == format!("{long} id=7"), "{}", messages[0].len());
    assert_eq!(kakashi::get_async_stats().truncated, truncated);
    filter("info");
}

/// What a list of directives means for a target, by going over all of it.
fn naive(directives: &[(String, LevelFilter)], target: &str) -> Option<LevelFilter> {
    let path: Vec<&str> = target.split("::").collect();
    let named = directives.iter().filter_map(|(name, level)| {
        let name: Vec<&str> = name.split("::").collect();
        path.starts_with(&name).then_some((name.len(), *level))
    });
    // Of equal ones, the last.
    named.max_by_key(|(length, _)| *length).map(|(_, level)| level)
}

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// The switches of all statements, and the loggers, are as a naive reading of the filter says.
    #[test]
    fn switches_are_as_a_naive_reading_says(
        directives in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "filters", "filters::net", "filters::net::tcp", "filters::network", "filters::net::tcp::x",
                    "filter", "kakashi", "orders", "orders::fills", "audit",
                ]),
                0_usize..6,
            ),
            0..6,
        ),
        rest in 0_usize..6,
    ) {
        let _log = support::start();
        let mut texts: Vec<String> =
            directives.iter().map(|(target, level)| format!("{target}={}", LEVELS[*level].0)).collect();
        texts.push(LEVELS[rest].0.to_owned());
        filter(&texts.join(","));
        let directives: Vec<(String, LevelFilter)> =
            directives.iter().map(|(target, level)| ((*target).to_owned(), LEVELS[*level].1)).collect();
        let level_of = |target: &str| naive(&directives, target).unwrap_or(LEVELS[rest].1);
        let loggers = directives.iter().filter_map(|(target, _)| naive(&directives, target)).max();
        let mut seen = 0;
        for callsite in callsites().iter().filter(|callsite| callsite.module_path().starts_with("filters")) {
            let wanted = level_of(callsite.module_path()).allows(callsite.level());
            match callsite.template() {
                "plain" => prop_assert_eq!(callsite.is_enabled(), wanted, "{:?}", callsite),
                // Some logger of its level may want it.
                "logger" => {
                    prop_assert_eq!(callsite.is_enabled(), wanted || loggers.is_some_and(|most| most.allows(callsite.level())));
                }
                _ => continue,
            }
            seen += 1;
        }
        prop_assert_eq!(seen, 30);
        for name in ["orders", "orders::fills", "audit"] {
            if let Some(wanted) = naive(&directives, name) {
                for (level, filter) in [(Level::Error, LEVELS[1].1), (Level::Info, LEVELS[3].1), (Level::Trace, LEVELS[5].1)] {
                    prop_assert_eq!(get_async_logger(name).is_enabled(level), wanted >= filter);
                }
            }
        }
        set_filter(LevelFilter::Info.into());
    }
}

const VARIABLE: &str = "KAKASHI_FILTERS_TEST";

/// The process that [`a_filter_comes_from_the_environment`] runs, with a variable set.
#[test]
fn environment() {
    let Some(given) = std::env::var_os(VARIABLE) else { return };
    let sink = kakashi::MemorySink::new();
    let builder = kakashi::builder().level(LevelFilter::Off).sink(sink.clone());
    match builder.filter_from_env(VARIABLE) {
        Ok(builder) => {
            let guard = builder.start().expect("it starts");
            net::all();
            guard.shutdown(WATCHDOG).expect("all is written");
            println!("given {given:?}: {} lines", sink.lines().len());
        }
        Err(error) => println!("{error}"),
    }
}

#[test]
fn a_filter_comes_from_the_environment() {
    let run = |value: Option<&std::ffi::OsStr>| {
        let mut command = Command::new(std::env::current_exe().expect("the test knows its binary"));
        command.args(["--exact", "environment", "--nocapture"]).env_remove(VARIABLE);
        if let Some(value) = value {
            command.env(VARIABLE, value);
        }
        String::from_utf8_lossy(
            &command.stdout(Stdio::piped()).spawn().map(support::wait_for).expect("it runs").stdout,
        )
        .into_owned()
    };
    assert!(run(Some("warn,orders=trace".as_ref())).contains(": 8 lines"));
    assert!(run(Some("".as_ref())).contains(": 0 lines"), "an empty filter changes nothing");
    let error = run(Some("warn,orders=loud".as_ref()));
    assert!(error.contains("KAKASHI_FILTERS_TEST: no filter: `loud` is no level"), "{error}");
    assert!(error.contains("  warn,orders=loud\n              ^^^^\n"), "{error}");
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"info,\xff");
    assert!(run(Some(odd)).contains("it is not UTF-8"));
    assert!(kakashi::builder().filter_from_env("KAKASHI_NO_SUCH_VARIABLE").is_ok());
    assert!("info".parse::<Filter>().is_ok());
}
