//! The whole run: a fresh process for each turn of each logger, so that none disturbs another.

#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

use crate::args::Options;
use crate::data::{Data, Flow, Idle, Throughput, Turn};
use crate::loggers::{Contender, Role};
use crate::task::{Folder, Task};

/// `write(2)` alone, among the contenders of throughput.
pub const WRITE: &str = "write(2) alone";
/// What is added to a contender's name when its lines go to /dev/null.
pub const TO_NULL: &str = " to /dev/null";

/// Bytes of memory that are written to for each record before a round of throughput: more than a line's.
const WARM_BYTES: u64 = 256;

/// Producers.
pub const THREADS: [u64; 3] = [1, 2, 4];

/// Runs all rounds, adds them to `data`, and has it saved after each.
///
/// # Errors
/// When kakashi dropped a record or failed: its figures would mean nothing.
pub fn run(
    options: &Options,
    mut data: Data,
    save: impl Fn(&Data) -> Result<(), String>,
) -> Result<Data, String> {
    let contenders: Vec<Contender> =
        crate::loggers::all().into_iter().filter(|one| options.wants(one.name)).collect();
    if contenders.is_empty() {
        return Err("no contender has such a name".to_owned());
    }
    let first = data.rounds;
    for round in first..first + options.rounds {
        eprintln!("round {} of {}", round + 1, first + options.rounds);
        // Nobody is always first, or always after the same one.
        for at in 0..contenders.len() {
            let contender = &contenders[(at + round * 5) % contenders.len()];
            data.turns.push(turn(options, round, contender)?);
        }
        flows(options, round, &contenders, &mut data.flows)?;
        data.rounds = round + 1;
        data.command = options.command(data.rounds);
        save(&data)?;
    }
    eprintln!("idle");
    for contender in &contenders {
        let ms = if contender.role == Role::Kakashi { options.idle_ms } else { options.idle_ms / 10 };
        let measured = ask(&Task::Idle { contender: contender.name.into(), ms });
        data.idles.retain(|idle| idle.contender != contender.name);
        data.idles.push(Idle { contender: contender.name.into(), measured });
    }
    save(&data)?;
    Ok(data)
}

fn turn(options: &Options, round: usize, contender: &Contender) -> Result<Turn, String> {
    let measured = ask::<crate::data::Latency>(&Task::Latency {
        contender: contender.name.into(),
        bursts: options.bursts,
        warm_bursts: options.warm_bursts,
        pause_us: options.pause_us,
    });
    if contender.role == Role::Kakashi {
        match &measured {
            Err(error) => return Err(format!("{}: {error}", contender.name)),
            Ok(latency) if latency.lines != latency.calls => {
                let (lines, calls) = (latency.lines, latency.calls);
                return Err(format!("{}: {lines} lines of {calls} calls", contender.name));
            }
            Ok(_) => {}
        }
    }
    Ok(Turn { round, contender: contender.name.into(), measured })
}

/// One round of throughput: everybody with every number of producers, then `write(2)` alone.
///
/// Before that, as many pages as any of them fills are filled once, and nobody is always first: on a virtual machine, pages
/// that were not used while latency was measured may be the host's again, and who takes them back first pays for all.
fn flows(
    options: &Options,
    round: usize,
    contenders: &[Contender],
    flows: &mut Vec<Flow>,
) -> Result<(), String> {
    let mut bytes = 0;
    let lossless: Vec<_> = contenders.iter().filter(|one| one.lossless.is_ok()).collect();
    ask::<Throughput>(&Task::WriteAlone { bytes: options.records * WARM_BYTES })?;
    for at in 0..lossless.len() {
        let contender = lossless[(at + round * 5) % lossless.len()];
        for threads in THREADS {
            let flow = flow(options, round, contender, threads, false)?;
            if let (Role::Kakashi, Ok(measured)) = (contender.role, &flow.measured) {
                bytes = bytes.max(measured.bytes);
            }
            flows.push(flow);
        }
        if contender.role == Role::Kakashi {
            flows.push(flow(options, round, contender, 1, true)?);
        }
    }
    let measured = ask(&Task::WriteAlone { bytes: bytes.max(1 << 20) });
    flows.push(Flow { round, contender: WRITE.into(), threads: 1, measured });
    Ok(())
}

fn flow(
    options: &Options,
    round: usize,
    contender: &Contender,
    threads: u64,
    discard: bool,
) -> Result<Flow, String> {
    let records = if contender.role == Role::Formatting { options.slow_records } else { options.records };
    let task = Task::Throughput { contender: contender.name.into(), threads, records, discard };
    let measured = ask::<Throughput>(&task);
    let name = format!("{}{}", contender.name, if discard { TO_NULL } else { "" });
    if contender.role == Role::Kakashi {
        match &measured {
            Err(error) => return Err(format!("{name}: {error}")),
            Ok(flow) if flow.lines != flow.records => {
                return Err(format!("{name}: {} lines of {} records", flow.lines, flow.records));
            }
            Ok(_) => {}
        }
    }
    Ok(Flow { round, contender: name, threads, measured })
}

/// Starts a child, waits, and reads its answer.
fn ask<T: DeserializeOwned>(task: &Task) -> Result<T, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let own = std::env::current_exe().map_err(|error| text(&error))?;
    let task = serde_json::to_string(task).map_err(|error| text(&error))?;
    let child = Command::new(own)
        .args(["child", &task])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| text(&error))?;
    let pid = child.id();
    let output = child.wait_with_output().map_err(|error| text(&error))?;
    // Left behind by a child that was ended.
    let _ = std::fs::remove_dir_all(Folder::of(pid));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} {}", output.status, said.trim().lines().last().unwrap_or_default()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(said.trim().lines().last().unwrap_or_default()).map_err(|error| text(&error))
}
