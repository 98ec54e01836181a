//! The samples of a run by series, near and far rounds apart.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::data::{Data, Throughput};
use crate::loggers::{self, Role};
use crate::message::Message;
use crate::method::{self, Distance};

/// One message of one logger in one setting, over all rounds of one distance.
pub struct Summary {
    pub name: String,
    /// Whose it is: a series of a variant has a longer name.
    pub contender: String,
    pub role: Role,
    pub message: Message,
    /// Ns per call of each burst, by round.
    pub rounds: BTreeMap<usize, Vec<f64>>,
    /// The floor's p50 of the same turns, by round.
    floors: BTreeMap<usize, f64>,
    /// Share of these turns' records that are missing in the files.
    pub dropped: f64,
    /// Why there are no samples.
    pub why: Option<String>,
    sorted: Vec<f64>,
}

impl Summary {
    /// Over the bursts of all rounds.
    pub fn at(&self, share: f64) -> f64 {
        method::at_share(&self.sorted, share)
    }

    pub fn floor(&self) -> f64 {
        median(self.floors.values().copied())
    }

    pub fn counts(&self) -> bool {
        self.why.is_none() && self.dropped == 0.0
    }

    /// The median over rounds of p50 over the floor's p50 of the same turn.
    pub fn to_floor(&self) -> f64 {
        median(self.rounds.iter().filter_map(|(round, all)| Some(p50(all) / self.floors.get(round)?)))
    }

    pub fn interval(&self, share: f64) -> (f64, f64) {
        let rounds: Vec<Vec<f64>> = self.rounds.values().cloned().collect();
        method::bootstrap(&rounds, share)
    }

    /// The median over rounds of this series' p50 over the lowest p50 of `others` in the same round.
    pub fn to_best<'a>(&self, others: impl Iterator<Item = &'a Summary> + Clone) -> Option<f64> {
        let ratios: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|(round, all)| {
                let best = others
                    .clone()
                    .filter_map(|other| Some(p50(other.rounds.get(round)?)))
                    .reduce(f64::min)?;
                Some(p50(all) / best)
            })
            .collect();
        (!ratios.is_empty()).then(|| median(ratios.into_iter()))
    }
}

/// All series of one distance.
pub struct Summaries(pub Vec<Summary>);

impl Summaries {
    pub fn of(data: &Data, distance: Distance) -> Self {
        let mut all: Vec<Summary> = Vec::new();
        let mut counted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for turn in &data.turns {
            let Ok(latency) = &turn.measured else { continue };
            if latency.place.distance() != Some(distance) {
                continue;
            }
            let counts = counted.entry(&turn.contender).or_default();
            counts.0 += latency.calls;
            counts.1 += latency.lines;
            let floor = p50(&latency.floor.iter().map(|&ns| f64::from(ns)).collect::<Vec<_>>());
            for series in &latency.series {
                let at = all
                    .iter()
                    .position(|one| one.name == series.name && one.message == series.message)
                    .unwrap_or_else(|| {
                        all.push(Summary {
                            name: series.name.clone(),
                            contender: turn.contender.clone(),
                            role: role(&turn.contender),
                            message: series.message,
                            rounds: BTreeMap::new(),
                            floors: BTreeMap::new(),
                            dropped: 0.0,
                            why: None,
                            sorted: Vec::new(),
                        });
                        all.len() - 1
                    });
                match &series.figures {
                    Ok(figures) => {
                        let figures: Vec<f64> = figures.iter().map(|&ns| f64::from(ns)).collect();
                        all[at].sorted.extend(&figures);
                        all[at].rounds.insert(turn.round, figures);
                        all[at].floors.insert(turn.round, floor);
                    }
                    Err(why) => all[at].why = Some(why.clone()),
                }
            }
        }
        for one in &mut all {
            one.sorted.sort_unstable_by(f64::total_cmp);
            let (calls, lines) = counted.get(one.contender.as_str()).copied().unwrap_or_default();
            one.dropped = calls.saturating_sub(lines) as f64 / calls.max(1) as f64;
        }
        Summaries(all)
    }

    pub fn get(&self, name: &str, message: Message) -> Option<&Summary> {
        self.0.iter().find(|one| one.name == name && one.message == message && one.why.is_none())
    }

    /// The peers' series of a message whose figures count.
    pub fn peers(&self, message: Message) -> impl Iterator<Item = &Summary> + Clone {
        self.0.iter().filter(move |one| one.role != Role::Kakashi && one.message == message && one.counts())
    }

    pub fn best_peer(&self, message: Message, share: f64) -> Option<&Summary> {
        self.peers(message).min_by(|a, b| a.at(share).total_cmp(&b.at(share)))
    }

    /// Rounds in which any logger had a turn at this distance.
    pub fn rounds(&self) -> usize {
        let rounds: std::collections::BTreeSet<usize> =
            self.0.iter().flat_map(|one| one.rounds.keys().copied()).collect();
        rounds.len()
    }
}

/// Throughput of one logger with some producers, by round, of one distance.
pub type Rates<'a> = BTreeMap<usize, &'a Throughput>;

pub fn rates<'a>(data: &'a Data, name: &str, threads: u64, distance: Distance) -> Rates<'a> {
    data.flows
        .iter()
        .filter(|flow| flow.contender == name && flow.threads == threads)
        .filter_map(|flow| Some((flow.round, flow.measured.as_ref().ok()?)))
        .filter(|(_, measured)| measured.place.distance() == Some(distance))
        .collect()
}

pub fn records_per_s(one: &Throughput) -> f64 {
    one.records as f64 / one.seconds
}

pub fn bytes_per_s(one: &Throughput) -> f64 {
    one.bytes as f64 / one.seconds
}

pub fn median_rate(rates: &Rates<'_>, of: fn(&Throughput) -> f64) -> Option<f64> {
    (!rates.is_empty()).then(|| median(rates.values().map(|one| of(one))))
}

/// The median over rounds of one rate over another in the same round.
pub fn median_ratio(over: &Rates<'_>, under: &Rates<'_>, of: fn(&Throughput) -> f64) -> Option<f64> {
    let ratios: Vec<f64> =
        over.iter().filter_map(|(round, one)| Some(of(one) / of(under.get(round)?))).collect();
    (!ratios.is_empty()).then(|| median(ratios.into_iter()))
}

/// Whether every record arrived.
pub fn complete(rates: &Rates<'_>) -> bool {
    rates.values().all(|one| one.lines == one.records)
}

fn role(contender: &str) -> Role {
    loggers::all().iter().find(|one| one.name == contender).map_or(Role::Formatting, |one| one.role)
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 0 => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
        len => sorted[len / 2],
    }
}

fn p50(values: &[f64]) -> f64 {
    median(values.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Flow, Latency, Place, Series, Turn};

    const NEAR: Place = Place { before: 40.0, after: 50.0 };
    const FAR: Place = Place { before: 230.0, after: 240.0 };
    const CHANGED: Place = Place { before: 40.0, after: 240.0 };

    fn turn(round: usize, contender: &str, place: Place, ns: f32, lines: u64) -> Turn {
        let series =
            Series { name: contender.into(), message: Message::OneInt, figures: Ok(vec![ns, ns, ns * 3.0]) };
        let measured = Latency {
            place,
            floor: vec![10.0; 3],
            series: vec![series],
            calls: 60,
            lines,
            sample: String::new(),
        };
        Turn { round, contender: contender.into(), measured: Ok(measured) }
    }

    fn data(turns: Vec<Turn>, flows: Vec<Flow>) -> Data {
        Data {
            machine: String::new(),
            command: String::new(),
            rounds: 3,
            bursts: 3,
            pause_us: 300,
            turns,
            flows,
            idles: Vec::new(),
        }
    }

    #[test]
    fn near_and_far_turns_do_not_mix() {
        let name = "kakashi deferred";
        let data = data(
            vec![
                turn(0, name, NEAR, 20.0, 60),
                turn(1, name, FAR, 60.0, 60),
                turn(2, name, CHANGED, 99.0, 60),
            ],
            Vec::new(),
        );
        let near = Summaries::of(&data, Distance::Near);
        let far = Summaries::of(&data, Distance::Far);
        assert_eq!(near.get(name, Message::OneInt).map(|one| one.at(0.5)), Some(20.0));
        assert_eq!(far.get(name, Message::OneInt).map(|one| one.to_floor()), Some(6.0));
        assert_eq!((near.rounds(), far.rounds()), (1, 1));
    }

    #[test]
    fn a_peer_that_drops_is_no_rival() {
        let data = data(
            vec![
                turn(0, "kakashi deferred", NEAR, 20.0, 60),
                turn(0, "ticklog", NEAR, 10.0, 59),
                turn(0, "inqjet", NEAR, 40.0, 60),
            ],
            Vec::new(),
        );
        let near = Summaries::of(&data, Distance::Near);
        assert_eq!(near.best_peer(Message::OneInt, 0.5).map(|one| one.name.as_str()), Some("inqjet"));
        let own = near.get("kakashi deferred", Message::OneInt).expect("it had a turn");
        assert_eq!(own.to_best(near.peers(Message::OneInt)), Some(0.5));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let flow = |round, contender: &str, seconds| Flow {
            round,
            contender: contender.into(),
            threads: 1,
            measured: Ok(Throughput { place: NEAR, records: 100, lines: 100, bytes: 1000, seconds }),
        };
        // The second round is slow for both; a third has only one of them.
        let data = data(
            Vec::new(),
            vec![
                flow(0, "a", 1.0),
                flow(0, "b", 2.0),
                flow(1, "a", 10.0),
                flow(1, "b", 20.0),
                flow(2, "a", 9.0),
            ],
        );
        let (a, b) = (rates(&data, "a", 1, Distance::Near), rates(&data, "b", 1, Distance::Near));
        assert_eq!(median_ratio(&a, &b, records_per_s), Some(2.0));
    }
}
