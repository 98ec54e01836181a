//! An audio callback: every few milliseconds a thread of the driver's calls it, and it must be done in time. It logs what
//! it notices, drops the oldest records rather than wait, and never more than one line in a hundred blocks.
//!
//! `cargo run --example audio_callback`

use std::time::{Duration, Instant};

use kakashi::{Channel, DropOldest, MemorySink, info, warn};

kakashi::channel!(
    /// A call with a ring of its own never waits under `DropOldest`.
    static AUDIO: Channel<64, 256, 1, DropOldest>;
);

const FRAMES: usize = 64;

/// What the driver calls: no allocation, no lock, no system call.
fn process(block: u64, out: &mut [f32; FRAMES]) -> f32 {
    let mut peak = 0.0_f32;
    for (at, sample) in out.iter_mut().enumerate() {
        let phase = (block as f32 * FRAMES as f32 + at as f32) * 0.03;
        *sample = phase.sin() * (1.0 + block as f32 / 900.0);
        peak = peak.max(sample.abs());
    }
    if peak > 1.9 {
        kakashi::warn_every!(Duration::from_secs(3600), AUDIO, "clipping", peak = peak);
    }
    kakashi::info_sample!(100, AUDIO, "block {} peaks at {:.3}", block, peak);
    peak
}

/// Runs it.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start()?;
    let driver = std::thread::Builder::new().name("audio".into()).spawn(|| {
        // Where the driver says that the stream begins.
        AUDIO.prepare_thread()?;
        let mut block = [0.0; FRAMES];
        let mut longest = Duration::ZERO;
        for at in 0..1000 {
            let began = Instant::now();
            process(at, &mut block);
            longest = longest.max(began.elapsed());
        }
        warn!(AUDIO, "stream ended", longest_us = longest.as_micros());
        Ok::<(), kakashi::PrepareError>(())
    })?;
    driver.join().map_err(|_| "the callback has panicked")??;
    info!("driver closed");
    guard.shutdown(Duration::from_secs(5))?;

    let lines = sink.lines();
    print!("{}", sink.text());
    assert_eq!(lines.iter().filter(|line| line.contains(" peaks at ")).count(), 10);
    assert_eq!(lines.iter().filter(|line| line.contains("clipping")).count(), 1);
    Ok(())
}
