//! What is counted in a process, as a JSON object for scripts. `kakashi top --help` names its keys.
#![forbid(unsafe_code)]

use kakashi::__box::{LaneInfo, View};
use kakashi::DropCauses;
use serde_json::{Map, Value, json};

use crate::sample::{Rates, Sample, causes};
use crate::target;

/// One line, with its end.
pub fn object(view: &View, sample: &Sample, rates: Option<&Rates>) -> String {
    let stats = &sample.stats;
    let mut object = json!({
        "process": {
            "pid": view.pid(),
            "program": view.program(),
            "version": view.build(),
            "box": view.path().to_string_lossy(),
            "life": target::life(sample.life),
            "damage": view.damage(),
        },
        "state": format!("{:?}", stats.state).to_lowercase(),
        "writer": sample.writer(),
        "logged": stats.calls,
        "enqueued": stats.messages_enqueued,
        "written": stats.messages_written,
        "queued": stats.queue_size,
        "dropped": dropped(&stats.dropped),
        "truncated": stats.truncated,
        "late": stats.late,
        "blocked": stats.blocked,
        "blocked_ns": stats.blocked_ns,
        "notices": stats.notices,
        "bytes": stats.bytes_written,
        "sink_errors": stats.sink_errors,
        "lanes": stats.lanes,
        "lanes_in_use": stats.lanes_in_use,
        "fullest": stats.fullest,
        "high_water": stats.high_water,
        "sinks": sample.sinks.iter().map(|(name, staged)| json!({ "name": name, "staged_bytes": staged })).collect::<Vec<_>>(),
        "threads": sample.lanes.iter().map(|lane| thread(lane, rates)).collect::<Vec<_>>(),
    });
    if let Some(rates) = rates {
        object["rates"] = json!({
            "seconds": rates.seconds,
            "logged": rates.logged,
            "written": rates.written,
            "bytes": rates.bytes,
            "dropped": rates.dropped,
        });
    }
    format!("{object}\n")
}

fn dropped(dropped: &DropCauses) -> Value {
    let mut object: Map<_, _> =
        causes(dropped).into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    object.insert("total".to_owned(), dropped.total().into());
    object.into()
}

fn thread(lane: &LaneInfo, rates: Option<&Rates>) -> Value {
    let stats = &lane.stats;
    let mut object = json!({
        "channel": lane.channel,
        "policy": lane.policy,
        "name": lane.thread,
        "id": stats.thread_id,
        "in_use": stats.in_use,
        "shared": stats.shared,
        "logged": stats.messages_enqueued,
        "queued": stats.queue_size,
        "occupied": stats.occupied,
        "high_water": stats.high_water,
        "slots": stats.slots,
        "dropped": dropped(&stats.dropped),
        "truncated": stats.truncated,
        "blocked": stats.blocked,
        "blocked_ns": stats.blocked_ns,
    });
    if let Some(rates) = rates {
        object["records_per_second"] = rates.of(lane).into();
        object["bytes_per_second"] = rates.bytes_of(lane).into();
    }
    object
}
