//! What is counted in a process, as text: totals, then a row for each thread.
#![forbid(unsafe_code)]

use std::fmt::Write;

use kakashi::__box::{LaneInfo, Life, View};
use kakashi::DropCauses;

use crate::sample::{Rates, Sample, causes};
use crate::target;

/// Cells of a bar.
const BAR: usize = 10;

/// The lines, without their ends. Nothing in them moves a terminal's cursor.
pub fn lines(view: &View, sample: &Sample, rates: Option<&Rates>) -> Vec<String> {
    let mut lines = totals(view, sample, rates);
    lines.push(String::new());
    let any_dropped = sample.lanes.iter().any(|lane| lane.stats.dropped.total() != 0);
    lines.push(header(rates.is_some(), any_dropped));
    lines.extend(by_rate(sample, rates).into_iter().map(|lane| row(lane, rates)));
    lines
}

/// The busiest first.
fn by_rate<'s>(sample: &'s Sample, rates: Option<&Rates>) -> Vec<&'s LaneInfo> {
    let mut lanes: Vec<_> = sample.lanes.iter().collect();
    let rate = |lane: &LaneInfo| rates.map_or(0.0, |rates| rates.of(lane));
    lanes.sort_by(|a, b| {
        let by_rate = rate(b).total_cmp(&rate(a));
        b.stats.in_use.cmp(&a.stats.in_use).then(by_rate).then(a.place.cmp(&b.place))
    });
    lanes
}

fn totals(view: &View, sample: &Sample, rates: Option<&Rates>) -> Vec<String> {
    let stats = &sample.stats;
    let life = match sample.life {
        Life::Alive => "alive".to_owned(),
        Life::Died => format!("died: `kakashi recover {}` prints what it has left", view.path().display()),
        life => target::life(life).to_owned(),
    };
    let mut lines = vec![
        format!(
            "process  {} ({}), kakashi-log {}, {}, {life}",
            view.pid(),
            view.program(),
            view.build(),
            view.path().display()
        ),
        format!(
            "calls    {} logged, {} written, {} queued, {} truncated, {} late",
            stats.calls, stats.messages_written, stats.queue_size, stats.truncated, stats.late
        ),
        format!(
            "queue    {} the fullest ring now, {} any ever; {} of {} slots",
            part_bar(stats.fullest),
            part_bar(stats.high_water),
            stats.queue_size,
            stats.max_queue_size
        ),
        format!(
            "dropped  {}; {} calls waited, {:.3} s in all",
            dropped(&stats.dropped),
            stats.blocked,
            stats.blocked_ns as f64 / 1e9
        ),
        format!(
            "writer   {}; {} bytes written, {} lines of its own, {} sink errors",
            sample.writer(),
            stats.bytes_written,
            stats.notices,
            stats.sink_errors
        ),
    ];
    if let Some(rates) = rates {
        let now = format!(
            "now      {:.0} records/s logged, {:.0} written, {:.0} dropped; {}",
            rates.logged,
            rates.written,
            rates.dropped,
            bytes(rates.bytes)
        );
        lines.insert(1, now);
    }
    for (name, staged) in &sample.sinks {
        lines.push(format!("sink     {name}: {staged} bytes on their way"));
    }
    lines.extend(view.damage().map(|damage| format!("damaged  {damage}")));
    lines.iter().map(|line| plain(line)).collect()
}

fn dropped(causes_of: &DropCauses) -> String {
    let total = causes_of.total();
    let named = causes(causes_of).into_iter().filter(|&(_, count)| count != 0);
    let named: Vec<_> = named.map(|(name, count)| format!("{name}={count}")).collect();
    if named.is_empty() { "0".to_owned() } else { format!("{total} ({})", named.join(" ")) }
}

fn bytes(per_second: f64) -> String {
    format!("{:.1} MB/s", per_second / 1e6)
}

fn header(with_rates: bool, with_causes: bool) -> String {
    let mut line = format!("{:<20} {:<16} {:>8} ", "CHANNEL", "THREAD", "ID");
    if with_rates {
        let _ = write!(line, "{:>10} {:>8} ", "RECORDS/S", "MB/S");
    }
    let _ = write!(
        line,
        "{:>12}  {:<14}  {:<15}  {:>10}  {:>8}",
        "LOGGED", "QUEUE", "MOST QUEUED", "DROPPED", "WAITED"
    );
    if with_causes {
        line += "  DROPPED BY CAUSE";
    }
    line
}

fn row(lane: &LaneInfo, rates: Option<&Rates>) -> String {
    let stats = &lane.stats;
    let (name, id) = match (stats.shared, stats.in_use) {
        (true, _) => ("(shared)".to_owned(), String::new()),
        (false, true) => (lane.thread.clone(), stats.thread_id.to_string()),
        (false, false) => (lane.thread.clone(), "ended".to_owned()),
    };
    let mut line = format!("{:<20} {:<16} {:>8} ", fit(&lane.channel, 20), fit(&name, 16), id);
    if let Some(rates) = rates {
        let _ = write!(line, "{:>10.0} {:>8.1} ", rates.of(lane), rates.bytes_of(lane) / 1e6);
    }
    let _ = write!(
        line,
        "{:>12}  {}  {}  {:>10}  {:>8}",
        stats.messages_enqueued,
        bar(stats.occupied, stats.slots),
        bar(stats.high_water, stats.slots),
        stats.dropped.total(),
        stats.blocked
    );
    for (name, count) in causes(&stats.dropped).into_iter().filter(|&(_, count)| count != 0) {
        let _ = write!(line, "  {name}={count}");
    }
    line
}

/// How full a ring is: `###....... 27%`.
fn bar(filled: u64, of: u64) -> String {
    part_bar(if of == 0 { 0.0 } else { filled as f64 / of as f64 })
}

fn part_bar(part: f64) -> String {
    let part = part.clamp(0.0, 1.0);
    // What is not empty shows.
    let cells = (part * BAR as f64).ceil() as usize;
    format!("{}{} {:>3.0}%", "#".repeat(cells), ".".repeat(BAR - cells), part * 100.0)
}

/// A name in so many columns.
fn fit(name: &str, columns: usize) -> String {
    let name = plain(name);
    if name.chars().count() <= columns {
        return name;
    }
    name.chars().take(columns - 1).chain(['…']).collect()
}

/// A text as a terminal may have it: names come from the process that is looked at.
pub fn plain(text: &str) -> String {
    let escape = |char: char| {
        let moves = char.is_control()
            || matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if moves { char.escape_unicode().to_string() } else { char.to_string() }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_what_is_not_empty() {
        assert_eq!(bar(0, 8), "..........   0%");
        assert_eq!(bar(1, 8192), "#.........   0%");
        assert_eq!(bar(4, 8), "#####.....  50%");
        assert_eq!(bar(8, 8), "########## 100%");
        assert_eq!(bar(9, 8), "########## 100%");
        assert_eq!(bar(1, 0), "..........   0%");
    }

    #[test]
    fn names_fit_and_do_nothing_to_a_terminal() {
        assert_eq!(fit("main", 4), "main");
        assert_eq!(fit("worker", 4), "wor…");
        assert_eq!(plain("a\x1b[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }
}
