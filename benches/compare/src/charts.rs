//! The two charts: what a call costs, and how much goes through.

#![forbid(unsafe_code)]

use crate::data::Data;
use crate::driver::{TO_NULL, WRITE};
use crate::loggers::Role;
use crate::message::Message;
use crate::method::{Distance, State};
use crate::report::{contenders_of_throughput, is_kakashi};
use crate::stats::{Summaries, Summary, complete, median_rate, rates, records_per_s};
use crate::svg::{Chart, Group, Scale};

/// The message that both charts show.
const MESSAGE: Message = Message::IntsDouble;

pub fn latency(data: &Data, summaries: &Summaries, state: State) -> String {
    let mut shown: Vec<&Summary> = summaries
        .0
        .iter()
        // Policies differ too little to be seen here: the tables have them.
        .filter(|one| one.message == MESSAGE && one.counts() && one.name == one.contender)
        .collect();
    shown.sort_by(|a, b| a.at(0.5).total_cmp(&b.at(0.5)));
    let floor = shown.first().map_or(0.0, |one| one.floor());
    Chart {
        title: format!("A log call with {}, on the calling thread (logarithmic)", MESSAGE.title()),
        subtitle: subtitle(data, state.name()),
        kinds: vec!["p50".to_owned(), "p99.9".to_owned()],
        scale: Scale::Logarithmic,
        unit: "ns",
        mark: (floor > 0.0).then(|| (floor, format!("reading the counter, {floor:.1} ns"))),
        groups: shown
            .into_iter()
            .map(|one| Group {
                label: one.name.clone(),
                ours: one.role == Role::Kakashi,
                values: vec![one.at(0.5), one.at(0.999)],
            })
            .collect(),
    }
    .svg()
}

pub fn throughput(data: &Data, distance: Distance) -> String {
    let rate = |name: &str, threads| {
        let rates = rates(data, name, threads, distance);
        let rate = median_rate(&rates, records_per_s).filter(|_| complete(&rates));
        rate.unwrap_or_default() / 1e6
    };
    let mut groups: Vec<Group> = contenders_of_throughput(data)
        .into_iter()
        .filter(|name| !name.ends_with(TO_NULL))
        .map(|name| Group {
            values: vec![rate(&name, 1), rate(&name, 4)],
            ours: is_kakashi(&name),
            label: name,
        })
        .filter(|group| group.values.iter().any(|&value| value > 0.0))
        .collect();
    groups.sort_by(|a, b| {
        (a.label == WRITE, b.values[0]).partial_cmp(&(b.label == WRITE, a.values[0])).expect("no NaN")
    });
    Chart {
        title: format!("{} into a file, nothing lost", MESSAGE.title()),
        subtitle: subtitle(data, distance.name()),
        kinds: vec!["1 producer".to_owned(), "4 producers".to_owned()],
        scale: Scale::Linear,
        unit: "M/s",
        mark: None,
        groups,
    }
    .svg()
}

fn subtitle(data: &Data, state: &str) -> String {
    format!("{}; {state}", data.machine)
}
