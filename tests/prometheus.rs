//! The statistics as Prometheus' text format, read back by a strict parser.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::collections::BTreeMap;
use std::fmt;

use kakashi::{AsyncStats, get_async_stats, info, prometheus_text};

kakashi::channel!(static SMALL: kakashi::Channel<64, 16, 2, kakashi::DropOldest>);

/// What a scrape has: the value of each sample, by its name and labels as they stand.
#[derive(Debug, PartialEq)]
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads format 0.0.4, and refuses what Prometheus' own parser would let pass: a family without HELP and TYPE, lines
    /// of a family apart from each other, a counter without `_total`.
    fn parse(text: &str) -> Scrape {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut samples = BTreeMap::new();
        let mut families = Vec::new();
        let mut lines = text.split_terminator('\n').peekable();
        while let Some(line) = lines.next() {
            let (name, help) =
                line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect("HELP comes first");
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            let kind = lines
                .next()
                .and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
            let is_counter = match kind {
                Some("counter") => true,
                Some("gauge") => false,
                _ => panic!("{name} is of type {kind:?}"),
            };
            assert_eq!(is_counter, name.ends_with("_total"), "{name}");
            assert!(!families.contains(&name), "{name} comes twice");
            families.push(name);
            let before = samples.len();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (sample, value) = line.rsplit_once(' ').expect("a value follows");
                let labels = sample.strip_prefix(name).expect("a sample is of the family above it");
                assert!(labels.is_empty() || is_label(labels), "{line}");
                let value: f64 = value.parse().expect("a value is a number");
                assert!(value.is_finite() && value >= 0.0, "{line}");
                assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} comes twice");
            }
            assert!(samples.len() > before, "{name} has no sample");
        }
        Scrape(samples)
    }

    #[track_caller]
    fn take(&mut self, sample: &str) -> f64 {
        self.0.remove(sample).unwrap_or_else(|| panic!("{sample} is missing: {:?}", self.0))
    }
}

fn is_name(name: &str) -> bool {
    let of = |char: char| char.is_ascii_lowercase() || char == '_';
    !name.is_empty() && name.chars().all(of)
}

/// `{name="value"}`, one label.
fn is_label(labels: &str) -> bool {
    labels
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix("\"}")?.split_once("=\""))
        .is_some_and(|(name, value)| is_name(name) && is_name(value))
}

/// The fields of a struct by their names, out of its `Debug`: a field that is added is among them.
fn fields(debug: &impl fmt::Debug) -> BTreeMap<String, String> {
    let text = format!("{debug:#?}");
    let field = |line: &str| {
        let (name, value) = line.strip_prefix("    ")?.strip_suffix(',')?.split_once(": ")?;
        is_name(name).then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(field).collect()
}

/// The figures by both ways, of one moment: the writer may just be telling of drops.
fn scrape() -> (AsyncStats, Scrape) {
    loop {
        let (before, text, mut after) = (get_async_stats(), prometheus_text(), get_async_stats());
        after.active_workers = before.active_workers;
        if before == after {
            return (before, Scrape::parse(&text));
        }
    }
}

/// Takes each figure of `stats` out of `scrape`, and compares it.
fn take_all(stats: &AsyncStats, scrape: &mut Scrape) {
    let causes = fields(&stats.dropped);
    assert!(causes.contains_key("exit_timeout"), "{causes:?}");
    for (cause, count) in causes {
        let value = scrape.take(&format!("kakashi_messages_dropped_total{{cause=\"{cause}\"}}"));
        assert_eq!(value.to_string(), count, "{cause}");
    }
    for (field, value) in fields(stats) {
        let sample = match field.as_str() {
            "messages_dropped" => continue, // the sum of the above
            "state" => {
                assert_eq!(value, "Running");
                assert_eq!(scrape.take("kakashi_state{state=\"running\"}"), 1.0);
                for other in ["idle", "auto_started", "stopping", "stopped", "failed"] {
                    assert_eq!(scrape.take(&format!("kakashi_state{{state=\"{other}\"}}")), 0.0, "{other}");
                }
                continue;
            }
            "blocked_ns" => {
                assert_eq!(scrape.take("kakashi_blocked_seconds_total"), stats.blocked_ns as f64 / 1e9);
                continue;
            }
            "queue_size" | "lanes" | "lanes_in_use" => format!("kakashi_{field}"),
            "max_queue_size" => "kakashi_queue_slots".to_owned(),
            "fullest" | "high_water" => format!("kakashi_queue_{field}_ratio"),
            "worker_count" => "kakashi_workers".to_owned(),
            "active_workers" => {
                // Whether it sleeps just now is another matter in each look.
                assert!(scrape.take("kakashi_workers_active") <= 1.0);
                continue;
            }
            _ => format!("kakashi_{field}_total"),
        };
        assert_eq!(Ok(scrape.take(&sample)), value.parse(), "{sample}");
    }
}

#[test]
fn every_figure_reads_back_and_counters_go_up() {
    let log = support::start();
    info!("one {}", "x".repeat(100_000));
    assert_eq!(log.messages().len(), 1);

    let (stats, mut first) = scrape();
    take_all(&stats, &mut first);
    assert!(first.0.is_empty(), "nobody knows of {:?}", first.0);

    let before = Scrape::parse(&prometheus_text());
    info!("two");
    info!("three {}", "x".repeat(100_000));
    // More than the ring has slots for, of which the writer may see some in time.
    for number in 0..10_000 {
        info!(SMALL, "{}", number);
    }
    log.text();
    let (stats, mut after) = scrape();
    for (sample, value) in before.0.iter().filter(|(sample, _)| sample.contains("_total")) {
        assert!(after.0[sample] >= *value, "{sample} went down");
    }
    let gained = |sample: &str| after.0[sample] - before.0[sample];
    assert_eq!(gained("kakashi_calls_total"), 10_002.0);
    assert_eq!(gained("kakashi_truncated_total"), 1.0);
    assert!(gained("kakashi_bytes_written_total") > 60_000.0);
    let dropped = gained("kakashi_messages_dropped_total{cause=\"oldest\"}");
    assert!(dropped > 0.0);
    assert_eq!(gained("kakashi_messages_written_total"), 10_002.0 - dropped);
    take_all(&stats, &mut after);
}

#[test]
fn a_writer_that_refuses_is_told() {
    struct Full(usize);
    impl fmt::Write for Full {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let _turn = support::start();
    assert_eq!(kakashi::write_prometheus(&mut Full(1000)), Err(fmt::Error));
    assert_eq!(kakashi::write_prometheus(&mut Full(1 << 20)), Ok(()));
}
