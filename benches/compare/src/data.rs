//! What a run leaves behind: everything the report is made of, as JSON.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::method::{self, Distance};

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
    pub place: Place,
    /// Ns per bare read of the counter, of each burst.
    pub floor: Vec<f32>,
    pub series: Vec<Series>,
    pub calls: u64,
    pub lines: u64,
    /// A line that the logger wrote.
    pub sample: String,
}

/// Ns per call of each burst of one message, or why there are none.
#[derive(Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub message: Message,
    pub figures: Result<Vec<f32>, String>,
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

/// The one-way latency between the two cores, in ns, before and after a turn.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Place {
    pub before: f64,
    pub after: f64,
}

impl Place {
    /// None when the machine changed its state meanwhile: such a turn belongs to neither table.
    pub fn distance(self) -> Option<Distance> {
        let (before, after) = (Distance::of(self.before), Distance::of(self.after));
        (before == after).then_some(before)
    }
}
