//! What the library is to reach, and what it has reached: near, with the other states and clocks beside.

#![forbid(unsafe_code)]

use crate::data::Data;
use crate::driver::WRITE;
use crate::loggers::kakashi::{CLOCKS, DEFERRED, PREFORMATTED};
use crate::loggers::{self, Role};
use crate::message::Message;
use crate::method::{Distance, State};
use crate::stats::{Rates, Summaries, Summary, bytes_per_s, complete, median_ratio, rates, records_per_s};
use crate::table::Table;

/// A figure, and whether it is what was required. None: not measured.
type Reached = Option<(String, bool)>;

/// Where rows take their figures from.
struct View<'a> {
    data: &'a Data,
    summaries: &'a Summaries,
    /// Of throughput, which is not told apart by shared cores, since it takes longer than a core stays so.
    distance: Option<Distance>,
    /// What kakashi's names end in for the clock that is looked at.
    clock: &'static str,
}

struct Row {
    what: String,
    required: &'static str,
    reached: Box<dyn Fn(&View<'_>) -> Reached>,
}

fn row(
    what: impl Into<String>,
    required: &'static str,
    reached: impl Fn(&View<'_>) -> Reached + 'static,
) -> Row {
    Row { what: what.into(), required, reached: Box::new(reached) }
}

impl View<'_> {
    fn kakashi(&self, name: &str, variant: &str, message: Message) -> Option<&Summary> {
        self.summaries.get(&format!("{name}{}{variant}", self.clock), message)
    }

    fn rates(&self, name: &str, threads: u64) -> Rates<'_> {
        self.rates_of(&format!("{name}{}", self.clock), threads)
    }

    fn rates_of(&self, name: &str, threads: u64) -> Rates<'_> {
        self.distance.map_or_else(Rates::new, |distance| rates(self.data, name, threads, distance))
    }

    /// p50 against the fastest deferring peer in the same round.
    fn to_deferring(&self, name: &str, message: Message, most: f64) -> Reached {
        let own = self.kakashi(name, "", message)?;
        let deferring = self.summaries.peers(message).filter(|one| one.role == Role::Deferring);
        let ratio = own.to_best(deferring)?;
        Some((format!("{ratio:.2} ×"), ratio <= most))
    }

    fn tail(&self, name: &str, variant: &str, message: Message) -> Reached {
        const SHARE: f64 = 0.999;
        let own = self.kakashi(name, variant, message)?.interval(SHARE);
        let peer = self.summaries.best_peer(message, SHARE)?;
        let best = peer.interval(SHARE);
        let text = format!("{:.0} to {:.0} ns; {} {:.0} to {:.0}", own.0, own.1, peer.name, best.0, best.1);
        Some((text, own.0 <= best.1))
    }
}

fn all() -> Vec<Row> {
    let mut rows = vec![
        row("Deferred, 2 ints + double, p50", "≤ 1.5 × bare", |view| {
            let ratio = view.kakashi(DEFERRED, "", Message::IntsDouble)?.to_floor();
            Some((format!("{ratio:.2} ×"), ratio <= 1.5))
        }),
        row("the same", "ahead of every peer", |view| {
            let own = view.kakashi(DEFERRED, "", Message::IntsDouble)?;
            let ratio = own.to_best(view.summaries.peers(Message::IntsDouble))?;
            Some((format!("{ratio:.2} × best"), ratio < 1.0))
        }),
        row("Preformatted, static text, p50", "≤ 1.3 × bare", |view| {
            let ratio = view.kakashi(PREFORMATTED, "", Message::StaticText)?.to_floor();
            Some((format!("{ratio:.2} ×"), ratio <= 1.3))
        }),
        row("Preformatted, 2 ints + 43-byte str, p50", "≤ 1 × fastest deferring peer", |view| {
            view.to_deferring(PREFORMATTED, Message::IntsStr, 1.0)
        }),
        row("Preformatted, 2 ints + double, p50", "≤ 1.3 × fastest deferring peer", |view| {
            view.to_deferring(PREFORMATTED, Message::IntsDouble, 1.3)
        }),
    ];
    for (name, what) in [(PREFORMATTED, "Preformatted"), (DEFERRED, "Deferred")] {
        rows.push(row(format!("{what}, DropOldest, p50"), "≤ 1.5 × Block", move |view| {
            let block = view.kakashi(name, "", Message::IntsDouble)?;
            let oldest = view.kakashi(name, " DropOldest", Message::IntsDouble)?;
            let ratio = oldest.to_best(std::iter::once(block))?;
            Some((format!("{ratio:.2} ×"), ratio <= 1.5))
        }));
    }
    for (name, variant, message, what) in [
        (DEFERRED, "", Message::IntsDouble, "Deferred, 2 ints + double"),
        (PREFORMATTED, "", Message::StaticText, "Preformatted, static text"),
        (PREFORMATTED, "", Message::IntsStr, "Preformatted, 2 ints + 43-byte str"),
        (PREFORMATTED, "", Message::IntsDouble, "Preformatted, 2 ints + double"),
        (PREFORMATTED, " DropOldest", Message::IntsDouble, "Preformatted, DropOldest"),
        (DEFERRED, " DropOldest", Message::IntsDouble, "Deferred, DropOldest"),
    ] {
        rows.push(row(format!("{what}, p99.9"), "overlaps or beats the best peer's", move |view| {
            view.tail(name, variant, message)
        }));
    }
    rows.push(row("a call whose level is off", "≤ 1 ns", |view| {
        let ns = view.kakashi(PREFORMATTED, "", Message::LevelOff)?.at(0.5);
        Some((format!("{ns:.2} ns"), ns <= 1.0))
    }));
    for (name, what) in [(PREFORMATTED, "Preformatted"), (DEFERRED, "Deferred")] {
        rows.extend(sustained(name, what));
    }
    rows.push(row("idle writer", "< 1 % of a core", |view| {
        let name = format!("{PREFORMATTED}{}", view.clock);
        let idle = view.data.idles.iter().find(|idle| idle.contender == name)?;
        // It is measured once, whatever the state.
        let share = *idle.measured.as_ref().ok().filter(|_| view.distance == Some(Distance::Near))?;
        Some((format!("{:.2} %", share * 100.0), share < 0.01))
    }));
    rows
}

/// Rounds that have both.
fn shared(one: &Rates<'_>, other: &Rates<'_>) -> usize {
    one.keys().filter(|round| other.contains_key(round)).count()
}

fn sustained(name: &'static str, what: &'static str) -> [Row; 3] {
    [
        row(format!("{what}, sustained, 1 producer"), "≥ 3 × best lossless peer", move |view| {
            let own = view.rates(name, 1);
            let (ratio, best, rounds) = loggers::all()
                .iter()
                .filter(|one| one.role != Role::Kakashi && one.lossless.is_ok())
                .filter_map(|one| {
                    let theirs = view.rates_of(one.name, 1);
                    let ratio = complete(&theirs).then(|| median_ratio(&own, &theirs, records_per_s))??;
                    Some((ratio, one.name, shared(&own, &theirs)))
                })
                .min_by(|a, b| a.0.total_cmp(&b.0))?;
            Some((format!("{ratio:.2} × {best} ({rounds})"), ratio >= 3.0))
        }),
        row(format!("{what}, sustained, 1 producer"), "≥ 0.6 × write(2) alone", move |view| {
            let alone = view.rates_of(WRITE, 1);
            let own = view.rates(name, 1);
            let ratio = median_ratio(&own, &alone, bytes_per_s)?;
            Some((format!("{ratio:.2} × ({})", shared(&own, &alone)), ratio >= 0.6))
        }),
        row(format!("{what}, sustained, 4 producers"), "≥ 1 × 1 producer", move |view| {
            let (four, one) = (view.rates(name, 4), view.rates(name, 1));
            let ratio = median_ratio(&four, &one, records_per_s)?;
            Some((format!("{ratio:.2} × ({})", shared(&four, &one)), ratio >= 1.0))
        }),
    ]
}

/// Every row, judged by the first state and the default clock.
pub fn table(data: &Data, summaries: &[Summaries; 3]) -> Table {
    let mut table = Table::new("What must be reached", &["row", "required", State::Near.name(), ""]);
    let others = &CLOCKS[1..];
    table.head.extend(State::ALL[1..].iter().map(|state| state.name().to_owned()));
    table.head.extend(others.iter().map(|clock| format!("near, Clock::{}", clock.trim())));
    let view = |state: State, clock| View {
        data,
        summaries: &summaries[state as usize],
        distance: match state {
            State::Near => Some(Distance::Near),
            State::Shared => None,
            State::Far => Some(Distance::Far),
        },
        clock,
    };
    for row in all() {
        let judged = (row.reached)(&view(State::Near, CLOCKS[0]));
        let verdict = match &judged {
            Some((_, true)) => "reached",
            Some((_, false)) => "NOT reached",
            None => "not measured",
        };
        let beside = |reached: Reached| match reached {
            Some((text, true)) => text,
            Some((text, false)) => format!("{text} (not reached)"),
            None => "-".to_owned(),
        };
        let mut cells = vec![
            row.what.clone(),
            row.required.to_owned(),
            judged.map_or_else(|| "-".to_owned(), |(text, _)| text),
            verdict.to_owned(),
        ];
        cells.extend(State::ALL[1..].iter().map(|&state| beside((row.reached)(&view(state, CLOCKS[0])))));
        cells.extend(others.iter().map(|&clock| beside((row.reached)(&view(State::Near, clock)))));
        table.rows.push(cells);
    }
    table.note =
        "Ratios of p50 and of rates are medians over rounds of the ratio within the round; p99.9 is \
                  a 95 % interval by resampling rounds, beside the best peer's. Near cores, the caller's its \
                  own, and the default clock decide; rates are over all that was near, with the number of rounds. A round \
                  counts where a tenth of its bursts were in the state."
            .to_owned();
    table
}
