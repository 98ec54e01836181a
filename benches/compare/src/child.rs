//! A child process: one task, one answer.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::task::Task;
use crate::{idle, latency, throughput};

/// A logger that hangs is ended by the kernel after so many seconds.
const LIMIT_S: u32 = 120;

/// Does the task and prints its answer as a line of JSON, the last of the output.
pub fn run(task: &str) -> ExitCode {
    // SAFETY: it only sets a timer; SIGALRM's default ends the process.
    unsafe { libc::alarm(LIMIT_S) };
    match serde_json::from_str(task) {
        Ok(Task::Latency { contender, bursts, warm_bursts, pause_us }) => {
            answer(latency::measure(&contender, bursts, warm_bursts, Duration::from_micros(pause_us)))
        }
        Ok(Task::Throughput { contender, threads, records, discard }) => {
            answer(throughput::measure(&contender, threads, records, discard))
        }
        Ok(Task::WriteAlone { bytes }) => answer(throughput::write_alone(bytes)),
        Ok(Task::Idle { contender, ms }) => answer(idle::measure(&contender, Duration::from_millis(ms))),
        Err(error) => answer(Err::<(), _>(error.to_string())),
    }
}

fn answer(result: Result<impl Serialize, String>) -> ExitCode {
    match result.and_then(|value| serde_json::to_string(&value).map_err(|error| error.to_string())) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
