//! What the kernel knows of this process: memory, and the processor's time of its threads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of memory that the process has now: exact, other than what `statm` says.
pub fn resident() -> u64 {
    let rollup =
        std::fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel tells a process its memory");
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .expect("smaps_rollup has a line `Rss: N kB`");
    kib << 10
}

/// Bytes of address space that the process has taken.
pub fn reserved() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells a process its memory");
    let pages = statm.split(' ').next().and_then(|first| first.parse::<u64>().ok());
    // SAFETY: a question about the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.expect("statm begins with a number") * page.max(1) as u64
}

/// The processor's time that the thread of this name has used so far.
pub fn cpu_of(thread: &str) -> Duration {
    let began = Instant::now();
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").expect("the kernel lists a process' threads");
        let named = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
        };
        if let Some(task) = tasks.flatten().map(|task| task.path()).find(named) {
            let stat =
                std::fs::read_to_string(task.join("schedstat")).expect("the kernel counts threads' time");
            let ns = stat.split(' ').next().and_then(|first| first.parse().ok());
            return Duration::from_nanos(ns.expect("schedstat begins with a number"));
        }
        // A thread gives itself its name when it first runs.
        assert!(began.elapsed() < Duration::from_secs(10), "there is no thread called {thread}");
        std::thread::yield_now();
    }
}

/// The processor's time that the calling thread has used so far.
pub fn own_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the one struct that it is given.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "a thread can ask for its processor's time");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
