//! A configuration: what it reads, what it refuses and how it says so, and what a backend does by it.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::{Directory, HANG, lines_of};
use kakashi::config::{
    BlackBoxConfig, FormatName, RetentionConfig, RotationConfig, SinkConfig, SinkKind, WriterCore,
};
use kakashi::{Clock, Config, ConfigError, Filter, Idle, LevelFilter, Period, debug, error, info, trace};
use proptest::prelude::*;

fn refused(text: &str) -> ConfigError {
    Config::from_toml(text).expect_err(text)
}

/// The default text with what stands behind a `#` brought out.
fn brought_out(without: &str) -> String {
    let is_key =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.starts_with(' ') && !rest.is_empty());
    let lines = Config::default_toml().lines().filter(|line| !line.starts_with(without));
    lines.map(|line| if is_key(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_text_has_each_key_and_its_default() {
    let shown = Config::default_toml();
    assert_eq!(Config::from_toml(shown), Ok(Config::default()));
    assert_eq!(Config::from_toml(""), Ok(Config::default()));
    assert_eq!(Config::from_toml("[retry]"), Ok(Config::default()));
    // Not by leaving them out.
    let table = |text: &str| toml::from_str::<toml::Table>(text).expect("it is TOML");
    let default = toml::to_string(&Config::default()).expect("it can be written");
    assert_eq!(table(shown), table(&default));
    // Each one has a comment of its own above it, but for the second of a pair.
    let lines: Vec<&str> = shown.lines().collect();
    for at in 1..lines.len() {
        let key = lines[at].trim_start_matches('#').split(" = ").next().unwrap_or_default();
        let is_key = lines[at].contains(" = ") && !lines[at].starts_with("# ") && key != "longest_pause";
        assert!(!is_key || lines[at - 1].starts_with("# "), "{key} has no comment");
    }
    // What has no default is there as well, and nothing else is.
    let with = |without: &str| table(&brought_out(without));
    for without in ["#format", "#pattern"] {
        Config::from_toml(&brought_out(without)).expect("it is valid");
    }
    let mut most = with("#pattern");
    let sink = most["sinks"][0].as_table_mut().expect("it is a table");
    sink.insert("pattern".to_owned(), with("#format")["sinks"][0]["pattern"].clone());
    let keys =
        |value: &toml::Value| value.as_table().expect("it is a table").keys().cloned().collect::<Vec<_>>();
    let full = toml::Table::try_from(full()).expect("it can be written");
    assert_eq!(most.keys().collect::<Vec<_>>(), full.keys().collect::<Vec<_>>());
    for key in ["backtrace", "retry", "black_box"] {
        assert_eq!(keys(&most[key]), keys(&full[key]));
    }
    assert_eq!(keys(&most["sinks"][0]), keys(&full["sinks"][0]));
    for key in ["rotation", "retention"] {
        assert_eq!(keys(&most["sinks"][0][key]), keys(&full["sinks"][0][key]));
    }
    // The sink's defaults are those that it says.
    let sink = brought_out("#path")
        .replace("rotation =", "# ")
        .replace("retention =", "# ")
        .replace("latest =", "# ");
    let sink = sink.lines().filter(|line| !line.starts_with("pattern")).collect::<Vec<_>>().join("\n");
    let sink = sink.replace("[black_box]", "").replace("on_disk = false", "");
    let sink = sink.replace("kind = \"file\"", "kind = \"file\"\npath = \"a\"");
    let mut plain = SinkConfig::default();
    (plain.path, plain.format) = (Some("a".into()), Some(FormatName::Text));
    assert_eq!(Config::from_toml(&sink).expect("it is valid").sinks, [plain]);
}

/// A configuration in which everything is set.
fn full() -> Config {
    let mut config = Config::default();
    config.level = LevelFilter::Trace;
    config.filter = "warn,orders=debug".parse().expect("it is a filter");
    (config.backtrace.level, config.backtrace.records) = (LevelFilter::Debug, 7);
    config.idle = Idle::Spin;
    config.writer_core = WriterCore::Core(0);
    config.clock = Clock::Ordered;
    config.shutdown_timeout = Duration::from_millis(1500);
    (config.crash_handler, config.panic_hook, config.log_facade) = (true, true, true);
    config.retry = kakashi::Retry::default().limit(HANG).pauses(Duration::from_micros(7), HANG);
    let mut black_box = BlackBoxConfig::default();
    (black_box.path, black_box.on_disk) = ("/dev/shm/a.box".into(), true);
    config.black_box = Some(black_box);
    let mut sink = SinkConfig::default();
    (sink.path, sink.latest) = (Some("/tmp/a \"log\"".into()), Some("latest".into()));
    (sink.format, sink.pattern) = (Some(FormatName::JsonEcs), Some("{message}".to_owned()));
    sink.filter = "off,orders".parse().expect("it is a filter");
    (sink.level, sink.zone) = (LevelFilter::Off, "Europe/Berlin".to_owned());
    (sink.truncate, sink.mode, sink.follow_links, sink.make_folder) = (true, 0o600, false, true);
    let (mut rotation, mut retention) = (RotationConfig::default(), RetentionConfig::default());
    (rotation.period, rotation.bytes) = (Some(Period::Week), Some(1 << 30));
    (retention.files, retention.age, retention.bytes) = (Some(3), Some(HANG), Some(1_000_001));
    (sink.rotation, sink.retention, sink.compress) = (Some(rotation), Some(retention), true);
    config.sinks = vec![sink];
    config
}

#[test]
fn what_is_written_is_read_as_toml_and_json() {
    let mut config = full();
    let json = serde_json::to_string(&config).expect("it can be written");
    assert_eq!(serde_json::from_str::<Config>(&json).expect("it is read"), config);
    config.sinks[0].format = None;
    let text = toml::to_string(&config).expect("it can be written");
    assert_eq!(Config::from_toml(&text), Ok(config), "{text}");
    let json = r#"{"writer_core": 0, "black_box": null, "sinks": [{"kind": "stdout", "format": null}]}"#;
    let read: Config = serde_json::from_str(json).expect("it is read");
    assert_eq!((read.writer_core, read.sinks[0].kind), (WriterCore::Core(0), SinkKind::Stdout));
    for (json, reason) in [
        (r#"{"level": "loud"}"#, "`loud` is no level"),
        (r#"{"levle": "info"}"#, "unknown field `levle`"),
        (r#"{"shutdown_timeout": 5}"#, "a duration in a text"),
    ] {
        let error = serde_json::from_str::<Config>(json).expect_err(json).to_string();
        assert!(error.contains(reason) && error.contains("line 1"), "{error}");
    }
}

#[test]
fn an_error_names_key_value_reason_and_line() {
    for (text, key, value, reason, line) in [
        // Unknown keys.
        ("\nlevle = 'info'", "levle", "'info'", "unknown field `levle`, expected one of `level`", 2),
        ("[retry]\nlimits = '1s'", "retry.limits", "'1s'", "unknown field `limits`", 2),
        ("retry = {limits = '1s'}", "retry.limits", "'1s'", "unknown field `limits`", 1),
        ("[[sinks]]\nkind = 'stderr'\n[[sinks]]\ncolour = 1", "sinks[1].colour", "1", "unknown field", 4),
        ("[[sinks]]\npath = 'a'\nrotation = {hours = 1}", "sinks[0].rotation.hours", "1", "unknown field", 3),
        ("[sink]\npath = 'a'", "sink", "", "unknown field `sink`", 1),
        // Wrong types.
        ("level = 5", "level", "5", "invalid type: integer `5`, expected a level's name", 1),
        ("crash_handler = 'yes'", "crash_handler", "'yes'", "expected a boolean", 1),
        ("shutdown_timeout = 5", "shutdown_timeout", "5", "expected a duration in a text", 1),
        ("sinks = 'a.log'", "sinks", "'a.log'", "expected a sequence", 1),
        ("writer_core = -1", "writer_core", "-1", "\"last\", \"any\" or a core's number", 1),
        ("writer_core = 1.5", "writer_core", "1.5", "\"last\", \"any\" or a core's number", 1),
        ("[[sinks]]\npath = 'a'\nmode = 640", "sinks[0].mode", "640", "an octal mode in a text", 3),
        ("[[sinks]]\npath = 'a'\nretention.files = -1", "sinks[0].retention.files", "-1", "-1", 3),
        // Wrong values.
        ("level = 'loud'", "level", "'loud'", "`loud` is no level: off, error", 1),
        ("filter = 'info,a=loud'", "filter", "'info,a=loud'", "`loud` is no level (at byte 7 of", 1),
        (
            "filter = 'info,[x]=debug'",
            "filter",
            "'info,[x]=debug'",
            "with a field of any value it is `[{field}]`, with a span's `[span{field}]` (at byte 6",
            1,
        ),
        ("clock = 'sundial'", "clock", "'sundial'", "none of counter, ordered, coarse, none", 1),
        ("idle = 'Spin'", "idle", "'Spin'", "`Spin` is none of backoff, spin", 1),
        ("writer_core = 'first'", "writer_core", "'first'", "neither \"last\" nor \"any\" nor", 1),
        ("# a\n[retry]\nlimit = '5'", "retry.limit", "'5'", "`5` lacks a unit", 3),
        ("[[sinks]]\npath = 'a'\nmode = 'rw'", "sinks[0].mode", "'rw'", "`rw` is no mode", 3),
        ("[[sinks]]\npath = 'a'\nformat = 'xml'", "sinks[0].format", "'xml'", "none of text, json", 3),
        ("[[sinks]]\nkind = 'syslog'", "sinks[0].kind", "'syslog'", "none of file, stderr, stdout", 2),
        ("[[sinks]]\npath='a'\nrotation.bytes='1G'", "sinks[0].rotation.bytes", "'1G'", "no unit of size", 3),
        (
            "[[sinks]]\npath='a'\nrotation.period='daily'",
            "sinks[0].rotation.period",
            "'daily'",
            "hour, day",
            3,
        ),
        // What does not go together, or lacks something.
        ("[retry]\nlongest_pause = '1us'", "retry.longest_pause", "\"1us\"", "shorter than `first_pause`", 2),
        ("retry.first_pause = '1s'", "retry.longest_pause", "\"250ms\"", "shorter than `first_pause`, 1s", 1),
        ("[black_box]\non_disk = true", "black_box", "", "missing field `path`", 1),
        ("black_box.path = ''", "black_box.path", "\"\"", "needs a path", 1),
        ("\n[[sinks]]\nlevel = 'error'", "sinks[0].path", "", "a file needs a path", 2),
        (
            "[[sinks]]\npath = 'a'\nfilter = '[id=7]'",
            "sinks[0].filter",
            "\"[{id=\\\"7\\\"}]=trace\"",
            "goes by targets",
            3,
        ),
        ("[[sinks]]\npath = 'a'\nfilter = 'a=b'", "sinks[0].filter", "'a=b'", "`b` is no level", 3),
        ("[[sinks]]\npath = ''", "sinks[0].path", "\"\"", "a file needs a path", 2),
        ("[[sinks]]\nkind='stderr'\npath='a'", "sinks[0].path", "", "of the kind \"stderr\"", 3),
        ("[[sinks]]\nkind='stdout'\nrotation.bytes=1", "sinks[0].rotation", "", "it is of files", 3),
        ("[[sinks]]\npath='a'\npattern='{lvl}'", "sinks[0].pattern", "\"{lvl}\"", "unknown name `lvl`", 3),
        (
            "[[sinks]]\npath='a'\npattern='x'\nformat='json'",
            "sinks[0].format",
            "\"json\"",
            "`pattern`, too",
            4,
        ),
        ("[[sinks]]\npath='a'\nrotation={}", "sinks[0].rotation", "", "a `period`, or `bytes`", 3),
        ("[[sinks]]\npath='a'\nrotation.bytes=0", "sinks[0].rotation.bytes", "0", "0 bytes", 3),
        // No TOML.
        ("level = \n", "", "", "", 1),
        ("level = 'info'\nlevel = 'warn'", "", "", "duplicate key", 2),
    ] {
        let error = refused(text);
        let told = (error.key(), error.value(), error.line());
        let (key, value) = if key.is_empty() { (told.0, told.1) } else { (key, value) };
        assert_eq!(told, (key, value, Some(line)), "{text}: {error}");
        assert!(error.reason().contains(reason), "{text}: {error}");
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("line {line}: ")) && shown.contains(key), "{shown}");
        assert!(shown.contains(value), "{shown}");
    }
    let many = "[[sinks]]\nkind = 'stderr'\n".repeat(9);
    let error = refused(&many);
    assert_eq!(error.to_string(), "line 1: `sinks`: 9 sinks are named, and at most 8 can be");
    // One line, which does nothing to a terminal.
    let shown = refused("\"a\\u001b[2Jb\" = 1").to_string();
    assert!(!shown.contains(char::is_control), "{shown}");
    let shown = refused("filter = \"a\\u001b[2Jb\\n=debug\"").to_string();
    assert!(!shown.contains(char::is_control), "{shown}");
    let shown = refused(&format!("level = '''\n{}'''", "x\u{202e}".repeat(500))).to_string();
    assert!(!shown.contains(['\n', '\u{202e}']), "{shown}");
}

#[test]
fn a_builder_refuses_what_a_text_could_not_say() {
    let mut config = full();
    config.sinks[0].pattern = None;
    config.sinks[0].mode = 0o17777;
    let error = config.builder().expect_err("there is no such mode");
    assert_eq!((error.key(), error.value(), error.line()), ("sinks[0].mode", "0o17777", None));
    config.sinks[0].mode = 0o640;
    let built = config.builder();
    for (feature, key, value) in [
        (cfg!(feature = "log"), "log_facade", "true"),
        (cfg!(feature = "zones"), "zone", "\"Europe/Berlin\""),
        (cfg!(feature = "compress"), "compress", "true"),
    ] {
        if !feature {
            let error = config.builder().expect_err("the feature is missing");
            assert!(error.key().ends_with(key) && error.reason().contains("without the feature"), "{error}");
            assert_eq!(error.value(), value);
            return;
        }
    }
    assert!(built.is_ok(), "this build has all features: {built:?}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let folder = Directory::new();
    let named = |name: &str, bytes: &[u8]| {
        let path = folder.file(name);
        fs::write(&path, bytes).expect("the file is written");
        let error = Config::from_file(&path).expect_err("it is no configuration");
        assert_eq!(error.path(), Some(path.as_path()));
        (error.to_string(), path.display().to_string())
    };
    let (error, path) = named("a.toml", b"level = 'info'\nclock = 'sundial'\n");
    assert!(error.starts_with(&format!("{path}:2: `clock` = 'sundial': `sundial` is none of ")), "{error}");
    let (error, path) = named("b.toml", b"# one\n# two\nlevel = '\xFF'\n");
    assert_eq!(error, format!("{path}:3: it is not UTF-8"));
    let (error, path) = named("c.toml", &[b'#'; (1 << 20) + 1]);
    assert_eq!(error, format!("{path}: it is longer than 1 MiB, and no configuration"));
    let error = Config::from_file(folder.file("d.toml")).expect_err("there is none").to_string();
    assert!(error.contains("d.toml: it cannot be read: No such file"), "{error}");
    fs::write(folder.file("e.toml"), "level = 'warn'").expect("the file is written");
    let config = Config::from_file(folder.file("e.toml")).expect("it is valid");
    assert_eq!(config.level, LevelFilter::Warn);
}

#[test]
fn each_setting_reaches_the_builder() {
    let shown = |config: &Config| format!("{:?}", config.builder().expect("it is valid"));
    let mut config = full();
    config.log_facade = false;
    config.sinks[0].compress = false;
    config.sinks[0].pattern = None;
    config.sinks[0].zone = "UTC".to_owned();
    let all = shown(&config);
    let by_hand = kakashi::builder()
        .level(LevelFilter::Trace)
        .filter("warn,orders=debug".parse().expect("it is a filter"))
        .backtrace(LevelFilter::Debug, 7)
        .sink(kakashi::FileSink::append("/tmp/a \"log\""))
        .idle(Idle::Spin)
        .writer_core(Some(0))
        .clock(Clock::Ordered)
        .shutdown_timeout(Duration::from_millis(1500))
        .retry(kakashi::Retry::default().limit(HANG).pauses(Duration::from_micros(7), HANG))
        .black_box_on_disk("/dev/shm/a.box")
        .crash_handler(true)
        .panic_hook(true);
    assert_eq!(all, format!("{by_hand:?}"));
    let none =
        kakashi::builder().level(LevelFilter::Info).filter(Filter::default()).backtrace(LevelFilter::Off, 32);
    assert_eq!(shown(&Config::default()), format!("{none:?}"));
    let text = "writer_core = 'any'\nblack_box.path = '/dev/shm/b.box'\n[[sinks]]\nkind = 'stdout'\n[[sinks]]\nkind = 'stderr'";
    let by_hand = none
        .writer_core(None)
        .black_box("/dev/shm/b.box")
        .sink(kakashi::ConsoleSink::stdout())
        .sink(kakashi::ConsoleSink::stderr());
    assert_eq!(shown(&Config::from_toml(text).expect("it is valid")), format!("{by_hand:?}"));
}

#[test]
fn names_mean_what_the_documentation_says() {
    let read = |text: &str| Config::from_toml(text).expect(text);
    for (name, idle) in [("backoff", Idle::Backoff), ("spin", Idle::Spin)] {
        assert_eq!(read(&format!("idle = '{name}'")).idle, idle);
    }
    let clocks = [
        ("counter", Clock::Counter),
        ("ordered", Clock::Ordered),
        ("coarse", Clock::Coarse),
        ("none", Clock::None),
    ];
    for (name, clock) in clocks {
        assert_eq!(read(&format!("clock = '{name}'")).clock, clock);
    }
    let periods = [
        ("minute", Period::Minute),
        ("hour", Period::Hour),
        ("day", Period::Day),
        ("week", Period::Week),
        ("month", Period::Month),
    ];
    for (name, period) in periods {
        let config = read(&format!("[[sinks]]\npath = 'a'\nrotation.period = '{name}'"));
        assert_eq!(config.sinks[0].rotation.as_ref().and_then(|rotation| rotation.period), Some(period));
    }
}

#[test]
fn each_format_is_the_one_of_its_name() {
    common::alone("each_format_is_the_one_of_its_name", || {
        let folder = Directory::new();
        let begins = [
            ("text", "20"),
            ("json", "{\"time\":"),
            ("json-otel", "{\"Timestamp\":"),
            ("json-ecs", "{\"@timestamp\":"),
            ("logfmt", "time="),
        ];
        let sink =
            |name: &str| format!("[[sinks]]\npath = '{}'\nformat = '{name}'\n", folder.file(name).display());
        let text: String = begins.iter().map(|(name, _)| sink(name)).chain([sink("console")]).collect();
        let config = Config::from_toml(&text).expect("it is valid");
        let guard = config.builder().expect("it is valid").start().expect("the backend starts");
        info!("a line");
        guard.shutdown(HANG).expect("all is written");
        for (name, begin) in begins {
            let line = fs::read_to_string(folder.file(name)).expect("it is read");
            assert!(line.starts_with(begin), "{name}: {line}");
        }
        let line = fs::read_to_string(folder.file("console")).expect("it is read");
        assert!(line.contains("\u{1b}["), "{line:?}");
    });
}

#[cfg(feature = "compress")]
#[test]
fn old_files_are_compressed() {
    common::alone("old_files_are_compressed", || {
        let folder = Directory::new();
        let text = "compress = true\nrotation = { bytes = 1 }";
        let text = format!("[[sinks]]\npath = '{}'\n{text}", folder.file("app.log").display());
        let config = Config::from_toml(&text).expect("it is valid");
        let guard = config.builder().expect("it is valid").start().expect("the backend starts");
        info!("one");
        info!("two");
        let folder = folder.file("app.log").parent().expect("it has a folder").to_owned();
        common::until("it is compressed", || files(&folder).iter().any(|name| name.ends_with("Z.gz")));
        guard.shutdown(HANG).expect("all is written");
    });
}

#[cfg(feature = "zones")]
#[test]
fn a_zone_is_looked_up_when_it_is_read() {
    let error = refused("[[sinks]]\nkind = 'stderr'\nzone = 'Europe/Berlim'");
    assert_eq!((error.key(), error.value(), error.line()), ("sinks[0].zone", "\"Europe/Berlim\"", Some(3)));
    assert!(
        error.reason().starts_with("there is no time zone `Europe/Berlim`: names are such as")
            && error.reason().ends_with("/usr/share/zoneinfo"),
        "{error}"
    );
    for zone in ["UTC", "local", "Europe/Berlin"] {
        Config::from_toml(&format!("[[sinks]]\nkind = 'stderr'\nzone = '{zone}'")).expect(zone);
    }
}

/// Fourteen hours before UTC: its days begin at ten.
#[cfg(feature = "zones")]
#[test]
fn a_sinks_zone_is_that_of_its_lines_and_of_its_rotation() {
    common::alone("a_sinks_zone_is_that_of_its_lines_and_of_its_rotation", || {
        const DAY: i64 = 86_400_000_000_000;
        let folder = Directory::new();
        let log = folder.file("app.log");
        let text = "zone = 'Etc/GMT-14'\nrotation.period = 'day'";
        let config = Config::from_toml(&format!("[[sinks]]\npath = '{}'\n{text}", log.display()));
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970").as_nanos() as i64;
        let ten = DAY - now % DAY + 10 * DAY / 24;
        kakashi::__private::shift_wall_clock(ten - 60_000_000_000);
        let builder = config.expect("it is valid").builder().expect("it is valid");
        let guard = builder.start().expect("the backend starts");
        info!("in the old day");
        kakashi::flush(HANG).expect("it is written");
        kakashi::__private::shift_wall_clock(ten);
        info!("in the new one");
        guard.shutdown(HANG).expect("all is written");
        let names = files(log.parent().expect("it has a folder"));
        assert_eq!(names.len(), 2, "{names:?}");
        let text = fs::read_to_string(&log).expect("it is read");
        assert!(text[29..].starts_with("+14:00 "), "{text}");
        assert!(text.ends_with("in the new one\n") && text.lines().count() == 1, "{text}");
    });
}

#[cfg(feature = "log")]
#[test]
fn records_of_the_log_crate_are_taken() {
    common::alone("records_of_the_log_crate_are_taken", || {
        let config = Config::from_toml("log_facade = true").expect("it is valid");
        let memory = kakashi::MemorySink::new();
        let guard = config.builder().expect("it is valid").sink(memory.clone()).start();
        log::info!("from a library");
        guard.expect("the backend starts").shutdown(HANG).expect("all is written");
        assert_eq!(common::messages(&memory.lines()), ["from a library"]);
    });
}

/// Names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("the folder is read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_program_rotates_a_json_log_as_its_file_says() {
    common::alone("a_program_rotates_a_json_log_as_its_file_says", || {
        let folder = Directory::new();
        let (file, logs) = (folder.file("log.toml"), folder.file("deep").join("er"));
        let text = format!(
            "level = 'debug'\nfilter = 'quiet=off'\n[[sinks]]\npath = '{logs}/app.json'\nformat = 'json'\n\
             make_folder = true\nmode = '0600'\nlatest = '{logs}/latest'\nrotation = {{ bytes = '1KiB' }}\n\
             retention = {{ files = 2 }}\n\
             [[sinks]]\npath = '{logs}/errors.log'\npattern = '{{level}}|{{message}}'\nlevel = 'error'",
            logs = logs.display()
        );
        fs::write(&file, text).expect("the file is written");
        let config = Config::from_file(&file).expect("it is valid");
        let guard = config.builder().expect("it is valid").start().expect("the backend starts");
        let quiet = kakashi::get_async_logger("quiet");
        for number in 0..100 {
            debug!("record {}", number, number = number);
            trace!("below");
            error!(quiet, "off");
        }
        error!("the last");
        guard.shutdown(HANG).expect("all is written");
        let of_the_log = || files(&logs).into_iter().filter(|name| name.starts_with("app.json")).count();
        common::until("the oldest files are removed", || of_the_log() == 3);
        let names = files(&logs);
        let mut numbers = Vec::new();
        // The log, then the old ones: the oldest first.
        for name in names.iter().filter(|name| name.starts_with("app.json.")).chain([&"app.json".to_owned()])
        {
            let path = logs.join(name);
            let data = fs::metadata(&path).expect("it is there");
            assert!(data.len() <= 1024 && data.permissions().mode() & 0o777 == 0o600, "{name}: {data:?}");
            for line in fs::read_to_string(&path).expect("it is read").lines() {
                let record: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
                assert_ne!(record["message"], "below");
                numbers.extend(record["number"].as_u64());
            }
        }
        let expected: Vec<u64> = (100 - numbers.len() as u64..100).collect();
        assert!(numbers == expected && numbers.len() > 5, "{numbers:?}");
        assert_eq!(fs::read_link(logs.join("latest")).expect("it is a link"), logs.join("app.json"));
        assert_eq!(lines_of_pattern(&logs.join("errors.log")), ["ERROR|the last"]);
    });
}

fn lines_of_pattern(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("it is read").lines().map(str::to_owned).collect()
}

#[test]
fn a_file_is_emptied_appended_to_and_reached_by_a_link_as_is_said() {
    common::alone("a_file_is_emptied_appended_to_and_reached_by_a_link_as_is_said", || {
        let folder = Directory::new();
        let path = folder.file("app.log");
        for (truncate, lines) in [(false, 1), (false, 2), (true, 1)] {
            let text = format!("[[sinks]]\npath = '{}'\ntruncate = {truncate}", path.display());
            let config = Config::from_toml(&text).expect("it is valid");
            let guard = config.builder().expect("it is valid").start().expect("the backend starts");
            info!("a line");
            guard.shutdown(HANG).expect("all is written");
            assert_eq!(lines_of(&path).len(), lines);
        }
        symlink(&path, folder.file("link")).expect("a link is made");
        let text = format!("[[sinks]]\npath = '{}'\nfollow_links = false", folder.file("link").display());
        let config = Config::from_toml(&text).expect("it is valid");
        let error = config.builder().expect("it is valid").start().expect_err("it is a link");
        assert!(error.to_string().contains("symbolic link"), "{error}");
    });
}

#[test]
fn the_environment_counts_rather_than_the_file() {
    common::alone("the_environment_counts_rather_than_the_file", || {
        // SAFETY: no other thread of this process looks at its environment.
        unsafe {
            std::env::set_var("KAKASHI_LEVEL", "trace");
            std::env::set_var("OTHER_SHUTDOWN_TIMEOUT", "soon");
        }
        let file = Config::from_toml("level = 'warn'\nclock = 'coarse'").expect("it is valid");
        let config = file.clone().with_env("KAKASHI").expect("it is valid");
        assert_eq!((config.level, config.clock), (LevelFilter::Trace, Clock::Coarse));
        let error = file.with_env("OTHER").expect_err("it is no duration").to_string();
        assert!(error.starts_with("`OTHER_SHUTDOWN_TIMEOUT` = \"soon\": `soon` is no duration"), "{error}");
    });
}

proptest! {
    #[test]
    fn garbage_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Config::from_toml(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn a_damaged_text_is_read_or_refused(at in any::<prop::sample::Index>(), len in 0_usize..40, new in "[a-z0-9\\[\\]{}=.,'\"#\\n é-]{0,12}") {
        let text: Vec<char> = brought_out("#format").chars().collect();
        let at = at.index(text.len());
        let end = (at + len).min(text.len());
        let damaged: String = text[..at].iter().copied().chain(new.chars()).chain(text[end..].iter().copied()).collect();
        match Config::from_toml(&damaged) {
            Ok(config) => drop(config.builder().map_err(|error| error.to_string())),
            Err(error) => {
                prop_assert!(error.line().is_some_and(|line| line <= damaged.lines().count() + 1), "{}", error);
                prop_assert!(!error.to_string().contains(char::is_control), "{}", error);
            }
        }
    }

    #[test]
    fn any_values_are_written_and_read(
        level in 0_usize..6, seconds in 0_u64..1 << 62, ns in 0_u32..1_000_000_000, bytes in 1_u64.., core in prop::option::of(0_usize..1 << 20),
        files in prop::option::of(0_usize..1 << 40), mode in 0_u32..=0o7777, path in "[^\u{0}]{1,20}",
    ) {
        let mut config = full();
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        config.level = levels[level].parse().expect("it is a level");
        config.shutdown_timeout = Duration::new(seconds, ns);
        config.writer_core = core.map_or(WriterCore::Any, WriterCore::Core);
        let sink = &mut config.sinks[0];
        (sink.format, sink.mode, sink.path) = (None, mode, Some(path.into()));
        sink.rotation.as_mut().expect("it rotates").bytes = Some(bytes);
        sink.retention.as_mut().expect("it keeps").files = files;
        let text = toml::to_string(&config).expect("it can be written");
        prop_assert_eq!(Config::from_toml(&text), Ok(config.clone()));
        let json = serde_json::to_string(&config).expect("it can be written");
        prop_assert_eq!(serde_json::from_str::<Config>(&json).expect("it is read"), config);
    }
}
