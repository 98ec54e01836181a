//! What a run leaves behind: everything the report is made of, as JSON.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::method::{self, Distance, State};

/// A whole run.
#[derive(Serialize, Deserialize)]
pub struct Data {
    pub machine: String,
    pub command: String,
    pub rounds: usize,
    pub bursts: usize,
    pub pause_us: u64,
    pub turns: Vec<Turn>,
    pub flows: Vec<Flow>,
    pub idles: Vec<Idle>,
}

impl Data {
    /// Of a run that has not begun.
    pub fn new(bursts: usize, pause_us: u64) -> Self {
        Data {
            machine: method::machine(),
            command: String::new(),
            rounds: 0,
            bursts,
            pause_us,
            turns: Vec::new(),
            flows: Vec::new(),
            idles: Vec::new(),
        }
    }

    /// Ns that the work between bursts takes alone: what one in a hundred took at the most, since a moment of a higher clock
    /// is no measure.
    pub fn least_work(&self) -> f32 {
        let latencies = self.turns.iter().filter_map(|turn| turn.measured.as_ref().ok());
        let pieces =
            latencies.flat_map(|latency| &latency.series).filter_map(|series| series.pieces.as_ref().ok());
        let mut all: Vec<f32> = pieces.flatten().flat_map(|piece| &piece.work).copied().collect();
        all.sort_unstable_by(f32::total_cmp);
        method::at_share(&all, 0.01)
    }

    /// Whether rounds of both can stand in one table.
    pub fn is_like(&self, other: &Data) -> bool {
        self.machine == other.machine && self.bursts == other.bursts && self.pause_us == other.pause_us
    }
}

/// One logger's turn in one round of latency: one process.
#[derive(Serialize, Deserialize)]
pub struct Turn {
    pub round: usize,
    pub contender: String,
    pub measured: Result<Latency, String>,
}

#[derive(Serialize, Deserialize)]
pub struct Latency {
    /// Ns per bare read of the counter, of each burst.
    pub floor: Vec<f32>,
    pub series: Vec<Series>,
    pub calls: u64,
    pub lines: u64,
    /// A line that the logger wrote.
    pub sample: String,
}

/// The bursts of one message, or why there are none.
#[derive(Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub message: Message,
    pub pieces: Result<Vec<Piece>, String>,
}

/// Some bursts one behind the other. A turn takes seconds, in which a machine may change its state there and back.
#[derive(Serialize, Deserialize)]
pub struct Piece {
    pub place: Place,
    /// Ns per call of each burst.
    pub figures: Vec<f32>,
    /// By each burst, ns that a piece of work took, from which it is told whether the core was the caller's alone.
    pub work: Vec<f32>,
}

impl Piece {
    /// The bursts of a state, where the work takes `least` alone.
    pub fn of(&self, state: State, least: f32) -> impl Iterator<Item = f32> {
        let distance = self.place.distance();
        self.figures.iter().zip(&self.work).filter_map(move |(&figure, &work)| {
            let alone = method::is_alone(work.into(), least.into());
            (State::of(distance?, alone) == state).then_some(figure)
        })
    }
}

/// One logger's turn in one round of throughput: one process.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    pub round: usize,
    pub contender: String,
    pub threads: u64,
    pub measured: Result<Throughput, String>,
}

#[derive(Serialize, Deserialize)]
pub struct Throughput {
    pub place: Place,
    pub records: u64,
    pub lines: u64,
    pub bytes: u64,
    pub seconds: f64,
}

/// CPU time of a logger's own threads while nothing is logged.
#[derive(Serialize, Deserialize)]
pub struct Idle {
    pub contender: String,
    /// Share of one core.
    pub measured: Result<f64, String>,
}

/// The one-way latency between the two cores, in ns, before and after what was measured.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Place {
    pub before: f64,
    pub after: f64,
}

impl Place {
    /// None when the machine changed its state meanwhile: it belongs to neither table.
    pub fn distance(self) -> Option<Distance> {
        let (before, after) = (Distance::of(self.before), Distance::of(self.after));
        (before == after).then_some(before)
    }
}
