//! The writer alone: rings that were filled while it could not run, and how long it takes to drain them.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use kakashi::{
    Block, Channel, Deferred, Format, LevelFilter, NullSink, Preformatted, Sink, SinkOptions, Zone,
};

use crate::floor::write_alone;
use crate::messages::messages;
use crate::method::options::Options;
use crate::method::table::median;
use crate::method::{CoreId, Cores, Distance, OneWays};
use crate::run::Run;

/// Slots of a lane.
const SLOTS: usize = 1 << 17;
/// Records of all lanes together, few enough for records of two slots to fit into one lane.
const RECORDS: u64 = SLOTS as u64 / 2 - 1;
const LANES: usize = 4;

kakashi::channel!(static PREFORMATTED: Channel<128, SLOTS, LANES, Block, Preformatted>);
kakashi::channel!(static DEFERRED: Channel<128, SLOTS, LANES, Block, Deferred>);

/// A message through one of the two channels.
#[derive(Clone, Copy)]
struct Case {
    encoding: &'static str,
    message: &'static str,
    format: Format,
    zone: Zone,
    /// The sink's own, which lets all of it through.
    filter: &'static str,
    /// There is a second sink, for errors, of which there are none.
    errors_apart: bool,
    log: fn(std::ops::Range<u64>),
}

impl Case {
    fn name(&self) -> String {
        let Case { encoding, message, .. } = self;
        let format = match self.format {
            Format::Text => String::new(),
            Format::Pattern(_) => ", a pattern".to_owned(),
            format => format!(", {format:?}"),
        };
        let zone = if self.zone == Zone::UTC { "" } else { ", local" };
        let filter = if self.filter.is_empty() { "" } else { ", filtered" };
        let second = if self.errors_apart { ", a second sink for errors" } else { "" };
        format!("{encoding}, {message}{format}{zone}{filter}{second}")
    }
}

macro_rules! case {
    ($channel:ident, $encoding:tt; $message:literal, $i:ident, $($statement:tt)+) => {
        Case {
            encoding: $encoding,
            message: $message,
            format: Format::Text,
            zone: Zone::UTC,
            filter: "",
            errors_apart: false,
            log: |numbers| {
                $channel.prepare_thread().expect("a lane is free");
                for $i in numbers {
                    $($statement)+;
                }
            },
        }
    };
}

/// What the gate knows.
#[derive(Default)]
struct Times {
    /// The writer stands in the gate.
    arrived: bool,
    /// It may go on.
    open: bool,
    began: Option<Instant>,
    ended: Option<Instant>,
}

type Gate = Arc<(Mutex<Times>, Condvar)>;

/// A sink that stops the writer at the first batch until it is let go, and knows when the last one was taken.
struct Gated {
    gate: Gate,
    file: Option<File>,
}

impl Sink for Gated {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (times, changed) = &*self.gate;
        {
            let mut times = times.lock().expect("nobody panics with it");
            if times.began.is_none() {
                times.arrived = true;
                changed.notify_all();
                while !times.open {
                    times = changed.wait(times).expect("nobody panics with it");
                }
                times.began = Some(Instant::now());
            }
        }
        let taken = match &mut self.file {
            Some(file) => io::Write::write(file, bytes)?,
            None => bytes.len(),
        };
        times.lock().expect("nobody panics with it").ended = Some(Instant::now());
        Ok(taken)
    }
}

/// Fills the rings and lets the writer drain them: the time a record took, and its bytes.
fn drain(case: &Case, lanes: u64, path: Option<&Path>, cores: Cores, records: u64) -> (f64, f64) {
    let gate = Gate::default();
    let file = path.map(|path| File::create(path).expect("tmpfs takes a file"));
    let sink = Gated { gate: Arc::clone(&gate), file };
    let filter = case.filter.parse().expect("it is a filter");
    let options = SinkOptions::default().format(case.format).zone(case.zone).filter(filter);
    let mut builder = kakashi::builder().sink_with(sink, options).writer_core(Some(cores.writer.id));
    if case.errors_apart {
        builder = builder.sink_with(NullSink, SinkOptions::default().level(LevelFilter::Error));
    }
    let run = Run::with(builder);
    let (times, changed) = &*gate;
    // One record that brings the writer to the gate.
    (case.log)(0..1);
    let arrived = times.lock().expect("nobody panics with it");
    let (arrived, late) = changed
        .wait_timeout_while(arrived, Duration::from_secs(10), |times| !times.arrived)
        .expect("nobody panics with it");
    assert!(!late.timed_out(), "the writer does not come to its sink");
    drop(arrived);
    let each = records / lanes;
    std::thread::scope(|scope| {
        // Lanes are merged by time: threads that take the processor from each other fill them by turns.
        for lane in 1..lanes {
            scope.spawn(move || (case.log)(lane * each..(lane + 1) * each));
        }
        (case.log)(0..each);
    });
    times.lock().expect("nobody panics with it").open = true;
    changed.notify_all();
    run.flush();
    let finished = run.finish(each * lanes + 1);
    assert_eq!(finished.blocked, 0, "the rings were too small for what they were to hold");
    if let Some(path) = path {
        let lines = crate::method::count_lines(path).expect("the log can be read");
        assert_eq!(lines, each * lanes + 1, "lines of the log, and calls made, differ");
    }
    let times = times.lock().expect("nobody panics with it");
    let (Some(began), Some(ended)) = (times.began, times.ended) else { panic!("nothing was written") };
    let records = (each * lanes) as f64;
    ((ended - began).as_nanos() as f64 / records, finished.bytes as f64 / (records + 1.0))
}

/// Measures all messages, and prints.
pub fn measure(options: &Options, cores: Cores, path: &Path) {
    let records = options.count(RECORDS, 2_000);
    let mut cases: Vec<(Case, u64)> = Vec::new();
    cases.extend(messages!(case, PREFORMATTED, "preformatted").map(|case| (case, 1)));
    cases.extend(messages!(case, DEFERRED, "deferred").map(|case| (case, 1)));
    for at in 0..cases.len() {
        if cases[at].0.message == "2 ints + double" {
            cases.push((cases[at].0, LANES as u64));
        }
    }
    let preformatted = |(case, lanes): &&(Case, u64)| {
        case.encoding == "preformatted" && case.message == "2 ints + double" && *lanes == 1
    };
    if let Some(&(case, lanes)) = cases.iter().find(preformatted) {
        let pattern = Format::pattern("[{time}] [{level}] [{thread}] {message}{fields}").expect("it is one");
        let formats =
            [Format::Json, Format::JsonOtel, Format::JsonEcs, Format::Logfmt, pattern, Format::Console];
        cases.extend(formats.map(|format| (Case { format, ..case }, lanes)));
        cases.push((Case { filter: "info,net=off,net::tcp=warn", ..case }, lanes));
        cases.push((Case { errors_apart: true, ..case }, lanes));
        #[cfg(feature = "zones")]
        {
            let zone = Zone::named("Europe/Berlin").expect("tzdata is installed");
            cases.extend([Format::Text, Format::Json].map(|format| (Case { format, zone, ..case }, lanes)));
        }
    }
    cases.retain(|(case, _)| options.wants(&format!("writer alone, {}", case.name())));
    if cases.is_empty() {
        return;
    }
    let mut rows: Vec<Row> = cases.into_iter().map(|(case, lanes)| Row::new(case, lanes)).collect();
    let mut one_ways = OneWays::default();
    for _ in 0..options.rounds {
        one_ways.begin_round();
        for row in &mut rows {
            let (distance, figures) = one_ways.during(cores.writer, || {
                let nothing = drain(&row.case, row.lanes, None, cores, records).0;
                let (tmpfs, bytes) = drain(&row.case, row.lanes, Some(path), cores, records);
                row.bytes = bytes;
                [nothing, tmpfs, floor(path, bytes * records as f64, cores.writer) / records as f64]
            });
            let Some(distance) = distance else { continue };
            for (all, figure) in row.figures[distance as usize].iter_mut().zip(figures) {
                all.push(figure);
            }
        }
    }
    println!("\n{one_ways}");
    for distance in [Distance::Near, Distance::Far] {
        print(&mut rows, distance, records);
    }
}

/// A case, and its figures.
struct Row {
    case: Case,
    lanes: u64,
    /// Of a line.
    bytes: f64,
    /// ns per record: to a sink that does nothing, to a file, by `write(2)` alone; near and far.
    figures: [[Vec<f64>; 3]; 2],
}

impl Row {
    fn new(case: Case, lanes: u64) -> Self {
        Row { case, lanes, bytes: 0.0, figures: Default::default() }
    }
}

/// The table of one state of the machine.
fn print(rows: &mut [Row], distance: Distance, records: u64) {
    if rows.iter().all(|row| row.figures[distance as usize][0].is_empty()) {
        return;
    }
    println!(
        "\nthe writer alone, {records} records at hand, ns per record; {}, medians of rounds",
        distance.name()
    );
    println!(
        "{:<40} {:>6} {:>6} {:>8} {:>10} {:>10} {:>12} {:>6}",
        "", "rounds", "lanes", "bytes", "to nothing", "to tmpfs", "write alone", "of it"
    );
    for row in rows {
        let rounds = row.figures[distance as usize][0].len();
        if rounds == 0 {
            continue;
        }
        let [nothing, tmpfs, write] = row.figures[distance as usize].each_mut().map(|all| median(all));
        println!(
            "{:<40} {rounds:>6} {:>6} {:>8.0} {nothing:>10.1} {tmpfs:>10.1} {write:>12.1} {:>6.2}",
            row.case.name(),
            row.lanes,
            row.bytes,
            write / tmpfs
        );
    }
}

/// ns that `write(2)` takes for as many bytes, of what stands in the file.
fn floor(path: &Path, bytes: f64, core: CoreId) -> f64 {
    write_alone(path, path, bytes as u64, core).as_nanos() as f64
}
