//! A soak: for a given time, load, policies, sinks, threads and backends change at random, and all the while it is verified
//! that no record is lost without being counted and told, doubled, out of order or altered, and that nothing leaks.
//!
//! ```sh
//! cargo run --release --example soak                      # 60 s
//! cargo run --release --example soak -- --seconds 1800    # half an hour
//! cargo run --release --example soak -- --seed 7          # the plan of an earlier run again
//! cargo run --example soak -- --seed 7 --plan 20          # prints the plan's first 20 phases
//! ```
//!
//! It prints its seed, every five seconds a line, and a summary. The exit code is 0 when all held (also after Ctrl-C, which
//! ends it early), 1 when something did not (it says what, in which phase, and keeps log and evidence), 2 for a
//! wrong command line.
//!
//! | what is verified | when | where |
//! |---|---|---|
//! | each line is one that was logged, to the byte, with its level, channel and thread | as it comes | `stream.rs`, `record.rs` |
//! | a thread's records are in order, none twice; none from before a standstill of all threads after one from behind it (`Clock::Counter`, `Ordered`) | as it comes | `stream.rs` |
//! | a flush that returned has brought the caller's record into the log | in the load | `load.rs` |
//! | `calls`, `messages_written`, `messages_dropped` within the calls under way | every 10 ms | `ledger.rs` |
//! | `calls = messages_written + queue_size + messages_dropped`; what is missing in the log is what was dropped, in all and by channel; drops are of causes that the policy may have, and told in the log by channel, cause and thread | when all threads stand still | `ledger.rs` |
//! | every sink has the same records as the reference, or has told what it missed; bytes as counted | likewise, and after a shutdown | `backend.rs` |
//! | lanes belong to threads that live | likewise | `ledger.rs` |
//! | a forked child's records are somewhere once | when it has ended | `fork.rs` |
//! | heap, memory, descriptors and threads are flat | between two backends | `process.rs` |
//!
//! Decision: an example. `cargo test` builds it, so that it does not rot, and does not run it; the command is one line, takes
//! its options plainly, and prints as it goes. As a test without the harness it would run in every `cargo test`, and get
//! that one's options.
#![cfg_attr(
    any(
        feature = "max_level_off",
        feature = "max_level_error",
        feature = "max_level_warn",
        feature = "max_level_info"
    ),
    allow(dead_code, unused)
)]

mod args;
mod backend;
mod channels;
mod fork;
mod gate;
mod ledger;
mod line;
mod load;
mod plan;
mod process;
mod random;
mod record;
mod report;
mod run;
mod signals;
mod sinks;
mod stream;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::Options;
use crate::run::Run;

/// Fires only when something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = match args::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            eprintln!("soak: {what}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    if !kakashi::enabled!(kakashi::Level::Info) || cfg!(feature = "max_level_info") {
        eprintln!(
            "soak: levels are compiled out by a feature `max_level_*`: there would be nothing to verify"
        );
        return ExitCode::from(2);
    }
    if let Some(phases) = options.plan {
        println!("black box: {}", plan::has_black_box(options.seed));
        for index in 0..phases {
            let phase = plan::phase(options.seed, index);
            println!("{phase}\n    {:?}\n    {:?}\n    {:?}", phase.backend, phase.workers, phase.events);
        }
        return ExitCode::SUCCESS;
    }
    soak(&options)
}

/// One line; nobody need read it.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn soak(options: &Options) -> ExitCode {
    let pid = std::process::id();
    let folder = options.folder.join(format!("kakashi-soak-{pid}"));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        eprintln!("soak: {}: {error}", folder.display());
        return ExitCode::from(2);
    }
    process::settle_allocator();
    signals::install();
    let black_box: Option<PathBuf> =
        plan::has_black_box(options.seed).then(|| format!("/dev/shm/kakashi-soak-{pid}.box").into());
    say(format_args!(
        "soak of {} s, --seed {}, {} black box, files in {}",
        options.seconds,
        options.seed,
        if black_box.is_some() { "with a" } else { "without a" },
        folder.display()
    ));
    let mut run = Run::new(folder.clone(), black_box.clone(), Duration::from_secs(options.seconds));
    run.run(options.seed);

    run.say("the end");
    let flat = run.flat.most();
    say(format_args!(
        "{} phases, the books closed {} times; {:?}; {}\nat rest, looked at {} times; in the warm-up at most {} KiB of heap, \
         {:.1} MiB of memory, {} descriptors, {} thread\n{}",
        run.phase,
        run.checks(),
        run.happened,
        run::sinks(),
        run.flat.looks,
        flat.heap >> 10,
        flat.resident as f64 / f64::from(1 << 20),
        flat.descriptors,
        flat.threads,
        kakashi::get_async_stats(),
    ));
    let violations = report::take();
    if violations.is_empty() {
        let _ = std::fs::remove_dir_all(&folder);
        if let Some(path) = black_box {
            // It stays by itself when the last sink was one that died.
            let _ = std::fs::remove_file(path);
        }
        let early = if signals::interrupted() { " up to the interruption" } else { "" };
        say(format_args!(
            "verified{early}: everything is accounted for, and nothing leaks (--seed {})",
            options.seed
        ));
        return ExitCode::SUCCESS;
    }
    for violation in &violations {
        let phase = run.phase.saturating_sub(1);
        say(format_args!("VIOLATION in phase {phase} of --seed {}: {}", options.seed, violation.what));
        report::keep(&folder, violation);
    }
    say(format_args!("what there is to look at is kept in {}", folder.display()));
    ExitCode::FAILURE
}
