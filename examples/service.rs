//! An HTTP service whose handlers log through `tracing`, whose client logs through `log`, and whose own code logs through
//! our macros: one stream of JSON, one order, one shutdown, with rotation.
//!
//! `cargo run --example service --features log,tracing`; it asks itself a hundred times, and shows what a request left.

use std::thread;
use std::time::Duration;

use kakashi::{FileSink, Format, Rotation, SinkOptions, context, info};

type Failure = Box<dyn std::error::Error>;

fn handle(request: tiny_http::Request) {
    let _span = tracing::info_span!("request", path = request.url()).entered();
    let id: u32 = request.url().trim_start_matches("/orders/").parse().unwrap_or(0);
    // In every record of this thread until the end of the request, whoever logs it.
    let _context = context!(request_id = id);
    tracing::debug!("looked up");
    let total = f64::from(id) * 0.5;
    info!("order filled", order = id, total = total);
    if let Err(error) = request.respond(tiny_http::Response::from_string(format!("{total}"))) {
        tracing::warn!(%error, "the client has gone");
    }
}

/// Runs it.
pub fn main() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("kakashi-service-{}", std::process::id()));
    let log =
        FileSink::append(folder.join("service.jsonl")).make_folder(true).rotate(Rotation::bytes(64 << 10));
    kakashi::init_tracing()?;
    let guard = kakashi::builder()
        .sink_with(log, SinkOptions::default().format(Format::Json))
        .level(kakashi::LevelFilter::Debug)
        .log_facade(true)
        .start()?;

    let server = tiny_http::Server::http("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = server.server_addr().to_ip().ok_or("it has no address")?;
    info!("listening", address = %address);
    thread::scope(|scope| {
        let serving = thread::Builder::new().name("server".into()).spawn_scoped(scope, || {
            server.incoming_requests().take(100).for_each(handle);
        })?;
        for order in 1..=100 {
            ureq::get(format!("http://{address}/orders/{order}")).call()?;
        }
        serving.join().map_err(|_| "the server has panicked")?;
        Ok::<(), Failure>(())
    })?;
    guard.shutdown(Duration::from_secs(5))?;

    let mut lines = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        lines.extend(text.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    let of_seven: Vec<_> = lines.iter().filter(|line| line.contains("\"request_id\":7}")).collect();
    of_seven.iter().for_each(|line| println!("{line}"));
    assert_eq!(of_seven.len(), 2, "what the handler has logged through `tracing`, and through our macro");
    println!("{} lines in {}", lines.len(), folder.display());
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
