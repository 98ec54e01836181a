//! The statistics as Prometheus reads them: the text exposition format, version 0.0.4.
#![forbid(unsafe_code)]

use core::fmt;

use crate::gate::State;
use crate::lane::Cause;
use crate::stats::{AsyncStats, get_async_stats};

/// The statistics in Prometheus' text format 0.0.4, for a handler of `/metrics` to answer with. Its content type is
/// `text/plain; version=0.0.4`. Takes no lock.
///
/// | metric | of [`AsyncStats`] |
/// |---|---|
/// | `kakashi_calls_total` | `calls` |
/// | `kakashi_messages_enqueued_total` | `messages_enqueued` |
/// | `kakashi_messages_written_total` | `messages_written` |
/// | `kakashi_messages_dropped_total{cause="oldest"}` | `dropped`, every cause, also those of 0 |
/// | `kakashi_truncated_total`, `kakashi_late_total`, `kakashi_notices_total` | the same |
/// | `kakashi_blocked_total`, `kakashi_blocked_seconds_total` | `blocked`, and `blocked_ns` in seconds |
/// | `kakashi_bytes_written_total`, `kakashi_sink_errors_total` | the same |
/// | `kakashi_queue_size`, `kakashi_queue_slots` | `queue_size` in records, `max_queue_size` in slots |
/// | `kakashi_queue_fullest_ratio`, `kakashi_queue_high_water_ratio` | `fullest`, `high_water`, 0 to 1 |
/// | `kakashi_lanes`, `kakashi_lanes_in_use` | the same |
/// | `kakashi_workers`, `kakashi_workers_active` | `worker_count`, `active_workers` |
/// | `kakashi_state{state="running"}` | 1 for the state it is in, 0 for the others |
///
/// What ends in `_total` is a counter: it only goes up, also over a shutdown and a new start, and begins anew in a new
/// process or a forked child. The rest are gauges. All figures are from one call of [`get_async_stats`].
///
/// ```
/// kakashi::info!("listening");
/// let text = kakashi::prometheus_text();
/// assert!(text.contains("\nkakashi_calls_total 1\n"));
/// ```
pub fn prometheus_text() -> String {
    let mut text = String::with_capacity(5 << 10);
    // A `String` refuses nothing.
    let _ = write_prometheus(&mut text);
    text
}

/// The same into a writer. Allocates nothing itself.
///
/// # Errors
/// Those of the writer.
///
/// ```
/// let mut text = String::new();
/// kakashi::write_prometheus(&mut text)?;
/// assert!(text.starts_with("# HELP kakashi_calls_total "));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_prometheus(out: &mut impl fmt::Write) -> fmt::Result {
    write_stats(&get_async_stats(), out)
}

const STATES: [State; 6] =
    [State::Idle, State::AutoStarted, State::Running, State::Stopping, State::Stopped, State::Failed];

fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::AutoStarted => "auto_started",
        State::Running => "running",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Failed => "failed",
    }
}

fn write_stats(stats: &AsyncStats, out: &mut impl fmt::Write) -> fmt::Result {
    // Taken apart, so that a new figure has to have its place here.
    let AsyncStats {
        state,
        queue_size,
        max_queue_size,
        fullest,
        high_water,
        worker_count,
        active_workers,
        calls,
        messages_enqueued,
        messages_written,
        messages_dropped: _, // the sum over the causes
        dropped,
        truncated,
        late,
        blocked,
        blocked_ns,
        notices,
        bytes_written,
        sink_errors,
        lanes,
        lanes_in_use,
    } = *stats;
    counter(out, "calls_total", "Log calls whose level was on.", calls)?;
    counter(out, "messages_enqueued_total", "Calls whose record went into a ring.", messages_enqueued)?;
    let help = "Records that every live sink that wants them has taken.";
    counter(out, "messages_written_total", help, messages_written)?;
    head(out, "messages_dropped_total", "counter", "Records dropped, by cause.")?;
    for cause in Cause::ALL {
        let (cause, count) = (cause.as_str(), dropped.get(cause));
        writeln!(out, "kakashi_messages_dropped_total{{cause=\"{cause}\"}} {count}")?;
    }
    counter(out, "truncated_total", "Records of which a value was cut.", truncated)?;
    counter(out, "late_total", "Records written behind a younger one.", late)?;
    counter(out, "blocked_total", "Calls that had to wait for room.", blocked)?;
    let (seconds, rest) = (blocked_ns / 1_000_000_000, blocked_ns % 1_000_000_000);
    let help = "How long calls waited for room, all together.";
    counter(out, "blocked_seconds_total", help, format_args!("{seconds}.{rest:09}"))?;
    counter(out, "notices_total", "Lines of the logger's own.", notices)?;
    let help = "Bytes that sinks have taken, summed over the sinks.";
    counter(out, "bytes_written_total", help, bytes_written)?;
    counter(out, "sink_errors_total", "Errors of sinks, retried ones included.", sink_errors)?;
    gauge(out, "queue_size", "Records in the rings and in staging.", queue_size)?;
    gauge(out, "queue_slots", "Slots of the lanes in use.", max_queue_size)?;
    gauge(out, "queue_fullest_ratio", "How full the fullest ring is, 0 to 1.", fullest)?;
    let help = "How full any ring has ever been, 0 to 1.";
    gauge(out, "queue_high_water_ratio", help, high_water)?;
    gauge(out, "lanes", "Lanes that threads can have.", lanes)?;
    gauge(out, "lanes_in_use", "Lanes that are taken or not yet drained.", lanes_in_use)?;
    gauge(out, "workers", "Writer threads.", worker_count)?;
    gauge(out, "workers_active", "Writer threads that are not asleep.", active_workers)?;
    head(out, "state", "gauge", "1 for the state that the backend is in.")?;
    for each in STATES {
        writeln!(out, "kakashi_state{{state=\"{}\"}} {}", state_name(each), u8::from(each == state))?;
    }
    Ok(())
}

fn head(out: &mut impl fmt::Write, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP kakashi_{name} {help}\n# TYPE kakashi_{name} {kind}")
}

fn counter(out: &mut impl fmt::Write, name: &str, help: &str, value: impl fmt::Display) -> fmt::Result {
    head(out, name, "counter", help)?;
    writeln!(out, "kakashi_{name} {value}")
}

fn gauge(out: &mut impl fmt::Write, name: &str, help: &str, value: impl fmt::Display) -> fmt::Result {
    head(out, name, "gauge", help)?;
    writeln!(out, "kakashi_{name} {value}")
}
