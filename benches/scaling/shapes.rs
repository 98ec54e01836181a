//! Latency by the size of slots and of rings.

use std::time::Duration;

use kakashi::{Block, Channel, Deferred, Preformatted, info};

use crate::method::options::Options;
use crate::method::values::double;
use crate::method::{BURST, Cores, Distance, OneWays, burst, floor_burst, pause, table};
use crate::run::{Run, file_of};

struct Shape {
    name: &'static str,
    prepare: fn(),
    burst: fn(u64) -> u64,
    /// ns per call, near and far.
    samples: [Vec<f64>; 2],
}

macro_rules! shapes {
    ($($name:ident: $slot_bytes:literal, $slots:literal, $encoding:ident;)*) => {
        // One thread logs, and has a lane.
        $(kakashi::channel!(static $name: Channel<$slot_bytes, $slots, 1, Block, $encoding>);)*
        fn all() -> Vec<Shape> {
            vec![$(Shape {
                name: concat!(stringify!($encoding), ", ", $slot_bytes, " bytes x ", $slots, " slots"),
                prepare: || $name.prepare_thread().expect("a lane is free"),
                burst: |base| burst(base, |i| info!($name, "order {} filled {} @ {}", i, i * 7919, double(i))),
                samples: Default::default(),
            },)*]
        }
    };
}

shapes! {
    D_64_64: 64, 64, Deferred;
    D_64_1K: 64, 1024, Deferred;
    D_64_8K: 64, 8192, Deferred;
    D_64_64K: 64, 65536, Deferred;
    D_128_64: 128, 64, Deferred;
    D_128_1K: 128, 1024, Deferred;
    D_128_8K: 128, 8192, Deferred;
    D_128_64K: 128, 65536, Deferred;
    D_256_64: 256, 64, Deferred;
    D_256_1K: 256, 1024, Deferred;
    D_256_8K: 256, 8192, Deferred;
    D_256_64K: 256, 65536, Deferred;
    P_64_64: 64, 64, Preformatted;
    P_64_1K: 64, 1024, Preformatted;
    P_64_8K: 64, 8192, Preformatted;
    P_64_64K: 64, 65536, Preformatted;
    P_128_64: 128, 64, Preformatted;
    P_128_1K: 128, 1024, Preformatted;
    P_128_8K: 128, 8192, Preformatted;
    P_128_64K: 128, 65536, Preformatted;
    P_256_64: 256, 64, Preformatted;
    P_256_1K: 256, 1024, Preformatted;
    P_256_8K: 256, 8192, Preformatted;
    P_256_64K: 256, 65536, Preformatted;
}

/// Measures, and prints. The calling thread is pinned.
pub fn measure(options: &Options, cores: Cores, per_ns: f64) {
    let samples = options.count(150, 4);
    let path = file_of("shapes");
    let run = Run::to(&path, kakashi::builder().writer_core(Some(cores.writer.id)));
    let mut shapes = all();
    for shape in &shapes {
        (shape.prepare)();
    }
    let ns = |ticks: u64| ticks as f64 / BURST as f64 / per_ns;
    let mut floors: [Vec<f64>; 2] = Default::default();
    let mut one_ways = OneWays::default();
    for _ in 0..options.rounds {
        one_ways.begin_round();
        for shape in &mut shapes {
            let (distance, taken) = one_ways.during(cores.writer, || {
                let sample = |at| {
                    let taken = ns((shape.burst)(at * BURST));
                    // Longer than the writer's nap: rings of 64 slots have to be empty again.
                    pause(Duration::from_millis(1));
                    taken
                };
                let taken: Vec<f64> = (0..samples).map(sample).collect();
                run.flush();
                taken
            });
            if let Some(distance) = distance {
                shape.samples[distance as usize].extend(taken);
                floors[distance as usize].extend((0..samples).map(|_| ns(floor_burst())));
            }
        }
    }
    let records = shapes.len() as u64 * samples * BURST * options.rounds as u64;
    let blocked = run.finish(records).blocked;
    std::fs::remove_file(&path).expect("the log can be removed");
    for distance in [Distance::Near, Distance::Far] {
        let floor = &mut floors[distance as usize];
        if floor.is_empty() {
            continue;
        }
        println!("\nby the size of slots and rings: 2 ints + double, bursts of 20, {}", distance.name());
        table::heading("ns per call", "/ floor");
        table::row("a bare read of the counter", floor, None);
        let floor = table::median(floor);
        for shape in &mut shapes {
            table::row(shape.name, &mut shape.samples[distance as usize], Some(floor));
        }
    }
    println!("{one_ways}");
    println!("calls that found their ring full and had to wait: {blocked}");
}
