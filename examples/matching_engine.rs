//! A matching engine whose thread must not stall: a channel of its own, claimed ahead, on a core of its own, with numbers
//! that the writer makes into text.
//!
//! `cargo run --release --example matching_engine` shows what a log call cost among a million orders.

use std::time::{Duration, Instant};

use kakashi::{BlockFor, Channel, Deferred, FileSink, info, warn};

kakashi::channel!(
    /// 64 bytes hold an order's record; the ring holds what comes while the writer is in the kernel. A call waits 50 µs at
    /// most, and drops then, which is counted and told.
    static FILLS: Channel<64, 65_536, 1, BlockFor<50>, Deferred>;
);

/// A book of one price level.
#[derive(Default)]
struct Book {
    resting: i64,
}

impl Book {
    fn take(&mut self, qty: i64) -> i64 {
        let filled = qty.min(self.resting);
        self.resting -= filled;
        filled
    }
}

/// Runs it.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("kakashi-fills-{}.log", std::process::id()));
    // The writer has the last core; this thread keeps away from it.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let guard = kakashi::builder().sink(FileSink::create(&path)).start()?;
    if let Some(core) = cores.first().filter(|_| cores.len() > 1) {
        core_affinity::set_for_current(*core);
    }
    // All memory of this thread's ring is there before the first order.
    FILLS.prepare_thread()?;

    let mut book = Book::default();
    let mut costs = Vec::with_capacity(1_000_000);
    for order in 0..1_000_000_i64 {
        book.resting += order % 7;
        let filled = book.take(order % 5);
        let began = Instant::now();
        info!(FILLS, "order {} filled {} @ {}", order, filled, 101.25);
        costs.push(began.elapsed().as_nanos() as u32);
        if order % 250_000 == 0 {
            warn!(FILLS, "book is thin", resting = book.resting);
        }
    }
    guard.shutdown(Duration::from_secs(10))?;

    costs.sort_unstable();
    let at = |share: f64| costs[(share * (costs.len() - 1) as f64) as usize];
    println!(
        "a call with two readings of the clock, ns: p50 {}, p99 {}, p99.9 {}",
        at(0.5),
        at(0.99),
        at(0.999)
    );
    let stats = kakashi::get_async_stats();
    println!(
        "{} written, {} dropped, the ring was {:.0} % full at most",
        stats.messages_written,
        stats.messages_dropped,
        100.0 * stats.high_water
    );
    let lines = std::fs::read_to_string(&path)?.lines().count() as u64;
    assert!(lines >= stats.messages_written, "{lines} lines of {} records", stats.messages_written);
    std::fs::remove_file(path)?;
    Ok(())
}
