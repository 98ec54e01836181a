//! The samples of a run by series, each state of the machine apart.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::data::{Data, Throughput};
use crate::loggers::{self, Role};
use crate::message::Message;
use crate::method::{self, Distance, State};

/// One message of one logger in one setting, over what of all rounds was measured in one state.
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
    /// Share of the contender's records that are missing in the files.
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

    /// This series' p50 over that of the best of `others`: for each of these the median of the ratios of rounds that
    /// both have figures of, and the largest of them. Whoever has fewer than half of the rounds that another one has
    /// says too little.
    pub fn to_best<'a>(&self, others: impl Iterator<Item = &'a Summary>) -> Option<f64> {
        let ratios: Vec<Vec<f64>> = others
            .map(|other| {
                let both =
                    self.rounds.iter().filter_map(|(round, all)| Some((all, other.rounds.get(round)?)));
                both.map(|(own, theirs)| p50(own) / p50(theirs)).collect()
            })
            .collect();
        let most = ratios.iter().map(Vec::len).max().filter(|&most| most > 0)?;
        let enough = ratios.into_iter().filter(|ratios| ratios.len() * 2 >= most);
        enough.map(|ratios| median(ratios.into_iter())).reduce(f64::max)
    }
}

/// All series of one state.
pub struct Summaries(pub Vec<Summary>);

impl Summaries {
    pub fn of(data: &Data, state: State) -> Self {
        let least = data.least_work();
        let mut all: Vec<Summary> = Vec::new();
        let mut counted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for turn in &data.turns {
            let Ok(latency) = &turn.measured else { continue };
            let counts = counted.entry(&turn.contender).or_default();
            counts.0 += latency.calls;
            counts.1 += latency.lines;
            let floor = p50(&latency.floor.iter().map(|&ns| f64::from(ns)).collect::<Vec<_>>());
            for series in &latency.series {
                let figures = series.pieces.as_ref().map(|pieces| {
                    let figures: Vec<f64> =
                        pieces.iter().flat_map(|piece| piece.of(state, least)).map(f64::from).collect();
                    let all = pieces.iter().map(|piece| piece.figures.len()).sum::<usize>();
                    (figures, all)
                });
                // What was in the state for a moment only says nothing of the round.
                if figures
                    .as_ref()
                    .is_ok_and(|(figures, all)| figures.is_empty() || figures.len() * 10 < *all)
                {
                    continue;
                }
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
                match figures {
                    Ok((figures, _)) => {
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

    /// Rounds in which any logger was measured in this state.
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
    use crate::data::{Flow, Latency, Piece, Place, Series, Turn};

    const NEAR: Place = Place { before: 40.0, after: 50.0 };
    const FAR: Place = Place { before: 230.0, after: 240.0 };
    const CHANGED: Place = Place { before: 40.0, after: 240.0 };

    fn turn(round: usize, contender: &str, place: Place, ns: f32, lines: u64) -> Turn {
        let figures = vec![ns, ns, ns * 3.0, ns * 7.0, ns * 7.0, ns * 7.0];
        let pieces =
            Ok(vec![Piece { place, figures, work: vec![1000.0, 1050.0, 1100.0, 1500.0, 2000.0, 1800.0] }]);
        let series = Series { name: contender.into(), message: Message::OneInt, pieces };
        let measured =
            Latency { floor: vec![10.0; 3], series: vec![series], calls: 60, lines, sample: String::new() };
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
    fn near_and_far_pieces_do_not_mix() {
        let name = "kakashi deferred";
        let mut of_both = turn(0, name, NEAR, 20.0, 60);
        for other in [turn(0, name, FAR, 60.0, 60), turn(0, name, CHANGED, 99.0, 60)] {
            if let (Ok(latency), Ok(other)) = (&mut of_both.measured, other.measured)
                && let (Ok(pieces), Ok(other)) = (&mut latency.series[0].pieces, &other.series[0].pieces)
            {
                pieces.extend(other.iter().map(|piece| Piece {
                    figures: piece.figures.clone(),
                    work: piece.work.clone(),
                    ..*piece
                }));
            }
        }
        let data = data(vec![of_both, turn(1, name, CHANGED, 99.0, 60)], Vec::new());
        let [near, shared, far] = State::ALL.map(|state| Summaries::of(&data, state));
        let p50 = |of: &Summaries| of.get(name, Message::OneInt).map(|one| one.at(0.5));
        assert_eq!((p50(&near), p50(&shared)), (Some(20.0), Some(140.0)));
        // All of a far piece.
        assert_eq!(
            far.get(name, Message::OneInt).map(|one| one.to_floor()),
            Some((180.0 + 420.0) / 2.0 / 10.0)
        );
        assert_eq!([near, shared, far].map(|of| of.rounds()), [1, 1, 1]);
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
        let near = Summaries::of(&data, State::Near);
        assert_eq!(near.best_peer(Message::OneInt, 0.5).map(|one| one.name.as_str()), Some("inqjet"));
        let own = near.get("kakashi deferred", Message::OneInt).expect("it had a turn");
        assert_eq!(own.to_best(near.peers(Message::OneInt)), Some(0.5));
    }

    /// Rounds in which the fastest peer was not measured do not make another one the fastest.
    #[test]
    fn the_best_peer_is_so_in_all_rounds() {
        let own = |round| turn(round, "kakashi deferred", NEAR, 20.0, 60);
        let slow = |round| turn(round, "inqjet", NEAR, 80.0, 60);
        let fast = |round| turn(round, "ticklog", NEAR, 40.0, 60);
        let turns = vec![own(0), slow(0), own(1), slow(1), fast(1), own(2), slow(2), fast(2)];
        let near = Summaries::of(&data(turns, Vec::new()), State::Near);
        let deferred = near.get("kakashi deferred", Message::OneInt).expect("it had turns");
        assert_eq!(deferred.to_best(near.peers(Message::OneInt)), Some(0.5));
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
