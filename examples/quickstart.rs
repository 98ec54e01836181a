//! A program that logs to a file and ends without a word about its logger.
//!
//! Run it with `cargo run --example quickstart`, and look into the file that it names.

kakashi::channel!(static FILLS: kakashi::Channel<128, 1024, 4, kakashi::DropOldest>);

/// Starts a backend, logs, and returns: the guard writes what is queued.
pub fn main() -> Result<(), kakashi::StartError> {
    let path = std::env::var_os("QUICKSTART_LOG").unwrap_or_else(|| "quickstart.log".into());
    let _guard = kakashi::builder().sink(kakashi::FileSink::append(&path)).start()?;
    let orders = kakashi::get_async_logger("orders");

    kakashi::info!("listening", port = 4001);
    for id in 0..100_000 {
        kakashi::info!(orders, "order {} of {:.2} EUR", id, f64::from(id) / 100.0);
    }
    kakashi::warn!(FILLS, "filled {} @ {}", 7, 101.25, venue = "XETR");

    println!("{}: {}", path.display(), kakashi::get_async_stats());
    Ok(())
}
