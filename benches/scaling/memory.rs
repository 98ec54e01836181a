//! Memory: what is reserved, and what is used, by lanes and slots.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use kakashi::{Block, Channel, Deferred, info};

use crate::method::options::Options;
use crate::method::proc::{reserved, resident};
use crate::run::{Run, file_of};

/// Lanes of each channel that are used.
const LANES: usize = 16;
const MIB: f64 = (1 << 20) as f64;

/// A channel, and what a thread does with it.
struct Size {
    slot_bytes: usize,
    slots: usize,
    prepare: fn(),
    log: fn(u64),
}

macro_rules! sizes {
    ($($name:ident: $slot_bytes:literal, $slots:literal;)*) => {
        $(kakashi::channel!(static $name: Channel<$slot_bytes, $slots, LANES, Block, Deferred>);)*
        const SIZES: &[Size] = &[$(Size {
            slot_bytes: $slot_bytes,
            slots: $slots,
            prepare: || $name.prepare_thread().expect("a lane is free"),
            log: |records| (0..records).for_each(|i| info!($name, "order {}", i)),
        },)*];
    };
}

sizes! {
    SMALL: 64, 1024;
    MEDIUM: 128, 1024;
    DEFAULT: 128, 8192;
    WIDE: 256, 8192;
    LONG: 128, 65536;
}

/// What a thread is told to do next.
enum Step {
    Log(u64),
    Prepare,
}

/// Threads that wait for steps. Their stacks are there before anything is measured.
struct Crew {
    steps: Vec<Sender<Step>>,
    done: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn of(size: &'static Size) -> Self {
        let (tell, done) = channel();
        let (mut steps, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..LANES {
            let (step, next) = channel();
            let tell = tell.clone();
            steps.push(step);
            threads.push(std::thread::spawn(move || {
                let told = || tell.send(()).expect("somebody waits for it");
                told();
                while let Ok(step) = next.recv() {
                    match step {
                        Step::Log(records) => (size.log)(records),
                        Step::Prepare => (size.prepare)(),
                    }
                    told();
                }
            }));
        }
        for _ in 0..LANES {
            done.recv().expect("the thread starts");
        }
        Crew { steps, done, threads }
    }

    /// Lets some of them do a step, one after the other; the memory that the process has then.
    fn step(&self, who: std::ops::Range<usize>, step: impl Fn() -> Step) -> u64 {
        for steps in &self.steps[who] {
            steps.send(step()).expect("the thread is there");
            self.done.recv().expect("the thread answers");
        }
        resident()
    }

    fn end(self) {
        drop(self.steps);
        for thread in self.threads {
            thread.join().expect("the thread ends well");
        }
    }
}

/// Measures, and prints. Must be the first in this process to start a backend, and to use these channels.
pub fn measure(options: &Options) {
    let path = file_of("memory");
    let (reserved_before, resident_before) = (reserved(), resident());
    let run = Run::to(&path, kakashi::builder());
    let (reserved, resident) = (reserved() - reserved_before, resident().saturating_sub(resident_before));
    println!(
        "\nmemory in MiB: at the start, all channels of this benchmark have reserved {:.0} of address space \
         (the writer's stack and arena included), and use {:.1}",
        reserved as f64 / MIB,
        resident as f64 / MIB
    );
    println!(
        "{:>10} {:>8} {:>8} | {:>9} {:>9} {:>9} {:>10} {:>10} {:>13}",
        "slot bytes",
        "slots",
        "a ring",
        "1 lane",
        "4 lanes",
        "8 lanes",
        "8 prepared",
        "all filled",
        "a filled lane"
    );
    let mut records = 0;
    for size in SIZES {
        let fill = options.count(size.slots as u64, 8);
        let crew = Crew::of(size);
        let before = crew.step(0..0, || Step::Prepare);
        let used = [
            crew.step(0..1, || Step::Log(1)),
            crew.step(1..4, || Step::Log(1)),
            crew.step(4..LANES / 2, || Step::Log(1)),
            crew.step(LANES / 2..LANES, || Step::Prepare),
            crew.step(0..LANES, || Step::Log(fill)),
        ];
        records += LANES as u64 / 2 + LANES as u64 * fill;
        let [one, four, eight, all, filled] = used.map(|used| used.saturating_sub(before) as f64 / MIB);
        let prepared = all - eight;
        let ring = (size.slot_bytes * size.slots) as f64 / MIB;
        println!(
            "{:>10} {:>8} {ring:>8.2} | {one:>9.2} {four:>9.2} {eight:>9.2} {prepared:>10.2} {filled:>10.2} {:>13.2}",
            size.slot_bytes,
            size.slots,
            filled / LANES as f64
        );
        assert!(
            options.short || filled >= ring * LANES as f64 * 0.95,
            "rings that were filled are not there"
        );
        crew.end();
    }
    run.finish(records);
    std::fs::remove_file(&path).expect("the log can be removed");
}
