//! The report: tables for the terminal and for Markdown, and the charts.

#![forbid(unsafe_code)]

use std::path::Path;

use crate::data::Data;
use crate::driver::{THREADS, TO_NULL, WRITE};
use crate::loggers::{self, Role};
use crate::message::Message;
use crate::method::{BURST, Distance, SHARES, State};
use crate::stats::{
    Summaries, Summary, bytes_per_s, complete, median_rate, median_ratio, rates, records_per_s,
};
use crate::table::Table;
use crate::{charts, rows, versions};

/// Prints the report and writes it into a folder: `tables.md`, `latency.svg`, `throughput.svg`.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(data: &Data, into: &Path) -> Result<(), String> {
    let summaries = State::ALL.map(|state| Summaries::of(data, state));
    let mut tables = Vec::new();
    for (state, summaries) in State::ALL.into_iter().zip(&summaries) {
        for message in Message::ALL {
            tables.extend(latency(summaries, state, message));
        }
    }
    for distance in [Distance::Near, Distance::Far] {
        tables.extend(throughput(data, distance));
    }
    tables.push(idle(data));
    tables.extend(failures(data));
    let rows = rows::table(data, &summaries);

    let about = about(data, &summaries);
    println!("{about}");
    // The verdict stands last on a terminal, first in a document.
    for table in tables.iter().chain([&rows]) {
        print!("{}", table.text());
    }
    let mut markdown = format!("# kakashi and its peers\n\n{about}\n\n{}", contenders(data).markdown());
    for table in std::iter::once(&rows).chain(&tables) {
        markdown.push_str(&format!("\n{}", table.markdown()));
    }
    // The charts show the first state that there is anything of.
    let shown = summaries.iter().position(|one| one.rounds() != 0).unwrap_or_default();
    let distance = if State::ALL[shown] == State::Far { Distance::Far } else { Distance::Near };
    for (name, text) in [
        ("tables.md", markdown),
        ("latency.svg", charts::latency(data, &summaries[shown], State::ALL[shown])),
        ("throughput.svg", charts::throughput(data, distance)),
    ] {
        let path = into.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn about(data: &Data, summaries: &[Summaries; 3]) -> String {
    let latencies = data.turns.iter().filter_map(|turn| turn.measured.as_ref().ok());
    let pieces =
        latencies.flat_map(|latency| &latency.series).filter_map(|series| series.pieces.as_ref().ok());
    let least = data.least_work();
    let mut all = 0;
    let mut of = [0; State::ALL.len()];
    for piece in pieces.flatten() {
        all += piece.figures.len();
        of.iter_mut().zip(State::ALL).for_each(|(of, state)| *of += piece.of(state, least).count());
    }
    let part = |count: usize| format!("{:.0} %", 100.0 * count as f64 / all.max(1) as f64);
    let states: Vec<String> = State::ALL
        .iter()
        .zip(of)
        .zip(summaries)
        .map(|((state, of), summaries)| {
            format!("{} {} in {} rounds", part(of), state.name(), summaries.rounds())
        })
        .collect();
    format!(
        "Machine: {}.\nCommand: `{}`.\n{} rounds of {} bursts of {BURST} calls for each message, {} µs apart; ns per call. \
         Of the bursts, {}; the others in neither, since the distance of the cores changed meanwhile.\n\
         A backend has the last core for itself, the callers have the others.",
        data.machine,
        data.command,
        data.rounds,
        data.bursts,
        data.pause_us,
        states.join(", "),
    )
}

/// Versions, settings, and a line of each.
fn contenders(data: &Data) -> Table {
    let mut table = Table::new("Contenders", &["name", "versions", "setting", "a line of it"]);
    for one in loggers::all() {
        let sample = data
            .turns
            .iter()
            .filter(|turn| turn.contender == one.name)
            .find_map(|turn| turn.measured.as_ref().ok())
            .map(|latency| format!("`{}`", latency.sample));
        let Some(sample) = sample else { continue };
        let versions: Vec<String> = one.crates.iter().map(|name| versions::of(name)).collect();
        table.rows.push(vec![one.name.to_owned(), versions.join(", "), one.setting.to_owned(), sample]);
    }
    table
}

fn latency(summaries: &Summaries, state: State, message: Message) -> Option<Table> {
    let mut all: Vec<&Summary> = summaries.0.iter().filter(|one| one.message == message).collect();
    if all.iter().all(|one| one.why.is_some()) {
        return None;
    }
    all.sort_by(|a, b| {
        (a.why.is_some(), a.at(0.5)).partial_cmp(&(b.why.is_some(), b.at(0.5))).expect("no NaN")
    });
    let best = summaries.best_peer(message, 0.5).map(|best| best.at(0.5));
    let mut table = Table::new(format!("{}, ns per call, {}", message.title(), state.name()), &["logger"]);
    table.head.extend(SHARES.iter().map(|&(_, name)| name.to_owned()));
    table.head.extend(["/ bare".to_owned(), "/ best peer".to_owned()]);
    for one in all {
        let mut cells = vec![one.name.clone()];
        if let Some(why) = &one.why {
            cells.push(format!("no: {why}"));
            table.rows.push(cells);
            continue;
        }
        // In parentheses: a logger that drops has less to do.
        let figure = |text: String| if one.counts() { text } else { format!("({text})") };
        if !one.counts() {
            cells[0].push_str(&format!(", dropped {:.1} %", one.dropped * 100.0));
        }
        let digits = usize::from(one.at(0.5) < 1000.0) + usize::from(message == Message::LevelOff);
        cells.extend(SHARES.iter().map(|&(share, _)| figure(format!("{:.digits$}", one.at(share)))));
        cells.push(figure(format!("{:.2}", one.at(0.5) / one.floor())));
        cells.push(best.map_or_else(String::new, |best| figure(format!("{:.2}", one.at(0.5) / best))));
        table.rows.push(cells);
    }
    let floors: Vec<f64> = summaries.0.iter().map(Summary::floor).filter(|&ns| ns > 0.0).collect();
    table.note = format!("bare counter: {:.1} ns", crate::stats::median(floors.into_iter()));
    if message == Message::LevelOff {
        table.note.push_str("; the loop around the call is included");
    }
    Some(table)
}

fn throughput(data: &Data, distance: Distance) -> Option<Table> {
    let mut table = Table::new(
        format!("2 ints + double back to back until all is in the file, {} rounds", distance.name()),
        &["logger"],
    );
    for threads in THREADS {
        let producers = if threads == 1 { "1 producer".into() } else { format!("{threads} producers") };
        table.head.extend([format!("{producers}, M/s"), "MB/s".to_owned()]);
    }
    table.head.push("/ write(2)".to_owned());
    let alone = rates(data, WRITE, 1, distance);
    for name in contenders_of_throughput(data) {
        let mut cells = vec![name.clone()];
        for threads in THREADS {
            let rates = rates(data, &name, threads, distance);
            let Some(records) = median_rate(&rates, records_per_s) else {
                cells.extend([String::new(), String::new()]);
                continue;
            };
            let bytes = median_rate(&rates, bytes_per_s).filter(|&bytes| bytes > 0.0);
            let figure = |text: String| if complete(&rates) { text } else { format!("({text})") };
            cells.push(figure(format!("{:.2}", records / 1e6)));
            cells.push(bytes.map_or_else(String::new, |bytes| figure(format!("{:.0}", bytes / 1e6))));
        }
        let own = rates(data, &name, 1, distance);
        let ratio = median_ratio(&own, &alone, bytes_per_s).filter(|&ratio| ratio > 0.0);
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
        if cells[1..].iter().any(|cell| !cell.is_empty()) {
            table.rows.push(cells);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    for one in loggers::all() {
        let had_a_turn = data.turns.iter().any(|turn| turn.contender == one.name);
        if let (Err(why), true) = (one.lossless, had_a_turn) {
            table.rows.push(vec![one.name.to_owned(), format!("no: {why}")]);
        }
    }
    table.note =
        "Medians over rounds; in parentheses where lines were missing. / write(2): bytes per second over \
                  those of write(2) alone, in 256 KiB pieces, in the same round."
            .to_owned();
    Some(table)
}

/// In the order of their turns, each once.
pub fn contenders_of_throughput(data: &Data) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for flow in &data.flows {
        if !names.contains(&flow.contender) {
            names.push(flow.contender.clone());
        }
    }
    // Those into /dev/null and write(2) stand last.
    names.sort_by_key(|name| (name == WRITE, name.ends_with(TO_NULL)));
    names
}

fn idle(data: &Data) -> Table {
    let mut table = Table::new("CPU time of an idle backend", &["logger", "% of a core"]);
    for idle in &data.idles {
        let share = match &idle.measured {
            Ok(share) => format!("{:.2}", share * 100.0),
            Err(why) => format!("no: {why}"),
        };
        table.rows.push(vec![idle.contender.clone(), share]);
    }
    table
}

/// Turns that ended in an error, and peers' runs that lost lines where they should not.
fn failures(data: &Data) -> Option<Table> {
    let mut table = Table::new("What went wrong", &["logger", "what"]);
    for turn in &data.turns {
        if let Err(why) = &turn.measured {
            table
                .rows
                .push(vec![turn.contender.clone(), format!("no: latency, round {}: {why}", turn.round + 1)]);
        }
    }
    for flow in &data.flows {
        let why = match &flow.measured {
            Err(why) => why.clone(),
            Ok(one) if one.lines != one.records => format!("{} lines of {} records", one.lines, one.records),
            Ok(_) => continue,
        };
        let what = format!("no: {} producers, round {}: {why}", flow.threads, flow.round + 1);
        table.rows.push(vec![flow.contender.clone(), what]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Whether a name is one of kakashi's.
pub fn is_kakashi(name: &str) -> bool {
    loggers::all().iter().any(|one| one.role == Role::Kakashi && name.starts_with(one.name))
}
