//! The writer at rest, and how soon it is there.

use std::io;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use kakashi::{Block, Channel, Deferred, Idle, NullSink, Sink};

use crate::method::options::Options;
use crate::method::{Cores, Distance, SHARES, at_share, one_way, pause, proc, serialised};
use crate::run::Run;

const KINDS: [(&str, Idle); 2] = [("Backoff", Idle::Backoff), ("Spin", Idle::Spin)];

kakashi::channel!(static MANY: Channel<64, 64, LANES, Block, Deferred>);

/// Lanes of a program with many threads.
const LANES: usize = 64;

/// The processor's time that a writer uses when nobody logs, with one lane and when many have been used.
pub fn idle(options: &Options, cores: Cores) {
    let time = options.count(Duration::from_secs(10), Duration::from_millis(200));
    println!("\nthe idle writer, over {time:?}");
    println!("{:<10} {:>12} {:>12} {:>16}", "", "lanes used", "CPU, ms", "share of a core");
    for lanes in [1, LANES] {
        for (name, idle) in KINDS {
            let run =
                Run::with(kakashi::builder().sink(NullSink).idle(idle).writer_core(Some(cores.writer.id)));
            // All at a time, so that each has a lane of its own.
            let ready = Barrier::new(lanes);
            std::thread::scope(|scope| {
                for _ in 0..lanes {
                    scope.spawn(|| {
                        kakashi::info!(MANY, "here");
                        ready.wait();
                    });
                }
            });
            run.flush();
            // Past the naps of a writer that has just had records.
            std::thread::sleep(options.count(Duration::from_millis(500), Duration::ZERO));
            let (began, before) = (Instant::now(), proc::cpu_of("kakashi-writer"));
            std::thread::sleep(time);
            let used = proc::cpu_of("kakashi-writer") - before;
            let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
            println!("{name:<10} {lanes:>12} {:>12.2} {:>14.3} %", used.as_secs_f64() * 1e3, share * 100.0);
            run.finish(lanes as u64);
        }
    }
}

/// Notes how old the lines are that it is given, in ticks: each ends with the counter as it was before its call.
struct Ages(Arc<Mutex<Vec<u64>>>);

impl Sink for Ages {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = serialised();
        let mut ages = self.0.lock().expect("nobody panics with it");
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let digits = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
            let then = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
            let then = then.ok_or_else(|| io::Error::other("a line that does not end with a number"))?;
            ages.push(now.saturating_sub(then));
        }
        Ok(bytes.len())
    }
}

/// The time from a call to its line in the sink. The calling thread is pinned.
pub fn delay(options: &Options, cores: Cores, per_ns: f64) {
    let patterns = [
        ("a record per ms", Duration::from_millis(1), options.count(2_000, 20)),
        ("a record per 150 ms", Duration::from_millis(150), options.count(40, 2)),
    ];
    println!("\nfrom the call to the line in the sink, us");
    print!("{:<32} {:>5}", "", "state");
    SHARES.iter().for_each(|(_, name)| print!(" {name:>8}"));
    println!();
    for (name, idle) in KINDS {
        for (pattern, every, records) in patterns {
            let ages = Arc::new(Mutex::new(Vec::with_capacity(records as usize)));
            let distance = Distance::of(one_way(cores.writer));
            let sink = Ages(Arc::clone(&ages));
            let run = Run::with(kakashi::builder().sink(sink).idle(idle).writer_core(Some(cores.writer.id)));
            kakashi::prepare_thread().expect("a lane is free");
            for _ in 0..records {
                kakashi::info!("at {}", serialised());
                pause(every);
            }
            run.finish(records);
            let mut ages = ages.lock().expect("nobody panics with it");
            assert_eq!(ages.len() as u64, records, "every call is a line");
            ages.sort_unstable();
            print!("{:<32} {:>5}", format!("{name}, {pattern}"), distance.name());
            for (share, _) in SHARES {
                print!(" {:>8.1}", at_share(&ages, share) as f64 / per_ns / 1e3);
            }
            println!();
        }
    }
}
