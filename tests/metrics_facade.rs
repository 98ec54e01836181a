//! The statistics through the `metrics` crate: what a recorder gets, held against Prometheus' text.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kakashi::{info, prometheus_text, publish_metrics};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, SharedString, Unit};

kakashi::channel!(static DROPS: kakashi::Channel<64, 16, 2, kakashi::DropOldest>);
kakashi::channel!(static WAITS: kakashi::Channel<64, 16, 2, kakashi::Block>);

/// Notes what it is given: the metrics as Prometheus' text shows them.
#[derive(Default)]
struct Noted {
    /// Kind and help by name.
    described: Mutex<BTreeMap<String, (&'static str, String)>>,
    samples: Mutex<BTreeMap<String, (&'static str, Arc<Last>)>>,
}

/// The last value that was set.
#[derive(Default)]
struct Last(AtomicU64);

impl CounterFn for Last {
    fn increment(&self, _: u64) {
        panic!("the counts are the logger's own");
    }

    fn absolute(&self, value: u64) {
        self.0.store((value as f64).to_bits(), Ordering::Relaxed);
    }
}

impl GaugeFn for Last {
    fn increment(&self, _: f64) {
        panic!("the figures are the logger's own");
    }

    fn decrement(&self, _: f64) {
        panic!("the figures are the logger's own");
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Noted {
    fn describe(&self, kind: &'static str, name: KeyName, unit: Option<Unit>, help: SharedString) {
        assert_eq!(unit, None);
        self.described.lock().unwrap().insert(name.as_str().to_owned(), (kind, help.into_owned()));
    }

    fn register(&self, kind: &'static str, key: &Key) -> Arc<Last> {
        let label = key.labels().map(|label| format!("{{{}=\"{}\"}}", label.key(), label.value()));
        let sample = format!("{}{}", key.name(), label.collect::<String>());
        let mut samples = self.samples.lock().unwrap();
        let (known, last) = samples.entry(sample).or_insert((kind, Arc::default()));
        assert_eq!(*known, kind);
        last.clone()
    }

    /// All that was set, as `name value`, but for whether the writer sleeps just now.
    fn values(&self) -> Vec<String> {
        let samples = self.samples.lock().unwrap();
        let value = |(name, (_, last)): (&String, &(_, Arc<Last>))| {
            format!("{name} {}", f64::from_bits(last.0.load(Ordering::Relaxed)))
        };
        samples.iter().map(value).filter(|sample| is_steady(sample)).collect()
    }
}

fn is_steady(sample: &str) -> bool {
    !sample.starts_with("kakashi_workers_active")
}

impl metrics::Recorder for Noted {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("counter", name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{} is no histogram", name.as_str());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.register("counter", key).into()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.register("gauge", key).into()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{} is no histogram", key.name());
    }
}

/// The samples of Prometheus' text, sorted, each number in its shortest form.
fn shown() -> Vec<String> {
    let text = prometheus_text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a value follows");
        format!("{name} {}", value.parse::<f64>().expect("it is a number"))
    });
    let mut samples: Vec<String> = samples.filter(|sample| is_steady(sample)).collect();
    samples.sort();
    samples
}

#[test]
fn a_recorder_has_what_prometheus_has() {
    let log = support::start();
    let recorder = Noted::default();
    for round in 1..4 {
        info!("round {}", round);
        // More than the rings have slots for.
        for number in 0..10_000 {
            info!(DROPS, "{}", number);
            info!(WAITS, "{}", number);
        }
        log.text();
        // Drops may just be told of.
        support::wait_until("nothing moves", || {
            let before = shown();
            metrics::with_local_recorder(&recorder, publish_metrics);
            let published = recorder.values();
            let is_still = before == shown();
            assert!(!is_still || published == before, "{published:#?}\nis not\n{before:#?}");
            is_still
        });
    }
    let samples = recorder.samples.lock().unwrap();
    let last = |sample: &str| f64::from_bits(samples[sample].1.0.load(Ordering::Relaxed));
    assert_eq!(last("kakashi_calls_total"), 60_003.0);
    assert!(last("kakashi_messages_dropped_total{cause=\"oldest\"}") > 0.0);
    assert!(last("kakashi_blocked_seconds_total") > 0.0);
    // Kinds and helps are those of the text, but for the counter that is no whole number.
    let (text, described) = (prometheus_text(), recorder.described.lock().unwrap());
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for ((name, help), (_, kind)) in helps.clone().zip(kinds) {
        let kind = if name == "kakashi_blocked_seconds_total" { "gauge" } else { kind };
        assert_eq!(described[name], (kind, help.to_owned()), "{name}");
        let mut of_it = samples.iter().filter(|(sample, _)| sample.split('{').next() == Some(name));
        assert!(of_it.all(|(_, (registered, _))| *registered == kind), "{name}");
    }
    assert_eq!(described.len(), helps.count());
}
