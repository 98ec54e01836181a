//! The threads that a logger has started: pinned from outside, and their CPU time read.

use std::path::PathBuf;

use crate::method::CoreId;

/// All threads of the process but the calling one, as folders of /proc.
fn others() -> Vec<(libc::pid_t, PathBuf)> {
    // SAFETY: it only returns a number.
    let own = unsafe { libc::gettid() };
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|&(tid, _)| tid != own)
        .collect()
}

/// Pins all other threads of the process to `core`: for loggers that offer no way to.
pub fn pin_others(core: CoreId) {
    for (tid, _) in others() {
        // SAFETY: the set is a plain array of bits, valid when zeroed, and lives through the call.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core.id, &mut set);
            // A thread that has ended meanwhile needs no core.
            libc::sched_setaffinity(tid, size_of_val(&set), &set);
        }
    }
}

/// CPU time that all other threads have used, in ns. Threads that have ended are missing in it.
///
/// # Errors
/// Where the kernel keeps no such account.
pub fn cpu_ns_of_others() -> Result<u64, String> {
    others().iter().map(|(_, task)| cpu_ns(task)).sum()
}

/// From `schedstat`, in ns; or from `stat`, in clock ticks.
fn cpu_ns(task: &std::path::Path) -> Result<u64, String> {
    let first = |text: String| text.split_whitespace().next().and_then(|word| word.parse().ok());
    if let Some(ns) = std::fs::read_to_string(task.join("schedstat")).ok().and_then(first) {
        return Ok(ns);
    }
    let stat = std::fs::read_to_string(task.join("stat")).map_err(|error| error.to_string())?;
    // The name, in parentheses, may have spaces; user and system time are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    // SAFETY: it only returns a number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Ok(ticks * 1_000_000_000 / per_second)
}
