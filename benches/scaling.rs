//! How cost, memory and delay change with threads, lanes, slots and the writer's way to wait.
//!
//! `cargo bench --bench scaling -- [--rounds N] [--only TEXT]`; about three minutes. The sections are `memory`, `threads`,
//! `shapes`, `idle` and `delay`, which `--only` can choose from; each runs in a process of its own.
//!
//! * *memory*: the process' resident memory when eight threads, one after the other, make their first call, eight
//!   more prepare, and all fill their rings, for channels of several sizes; stacks are there before. Reserved address space costs no memory.
//! * *threads*: 1 to 64 producers, which the scheduler places on all cores, with the writer pinned to the last. With
//!   full rings for a fixed time: records a second, the processor's time of both sides (a waiting call spins for at most
//!   20 µs of it), and the least and the largest share of a thread, 1 being a fair one. With the same number of
//!   records each: when the first thread ended, over when the last did, 1 being fair. With bursts and
//!   sleep between: what a call costs when nothing is full. On few cores, shares tell of the scheduler as
//!   well as of the logger; and the worst burst is one in which the thread lost the processor.
//! * *shapes*: bursts by slot size and ring size, as in `latency`, with 1 ms between bursts: figures are those of
//!   a ring whose next slots have left the nearest cache, if it is large.
//! * *idle*: the processor's time of the writer when nobody logs, when one thread has logged before, and when 64 have: the
//!   writer looks at every lane that was ever used.
//! * *delay*: from the call to the line in a sink, which reads the counter and compares it with the one in the
//!   line. The sink's own work, some 100 ns, is not in it. It needs a counter that is the same on all cores.
//!
//! The run fails if a record was dropped, or if there are not as many lines as there were calls.

#[path = "scaling/memory.rs"]
mod memory;
mod method;
#[path = "method/run.rs"]
mod run;
#[path = "scaling/shapes.rs"]
mod shapes;
#[path = "scaling/threads.rs"]
mod threads;
#[path = "scaling/writer.rs"]
mod writer;

use std::process::Command;

use method::Cores;
use method::options::Options;

const SECTIONS: [&str; 5] = ["memory", "threads", "shapes", "idle", "delay"];

fn main() {
    let options = Options::read(5, &["--section"]);
    if let Some(section) = options.value("--section") {
        return measure(section, &options);
    }
    println!("{}", method::machine());
    // Each in a process of its own: lanes that one section has used would be polled during the next.
    let own = std::env::current_exe().expect("a program knows its file");
    for section in SECTIONS.into_iter().filter(|section| options.wants(section)) {
        let mut child = Command::new(&own);
        child.args(std::env::args().skip(1)).args(["--section", section]);
        let status = child.status().expect("it can be started once more");
        assert!(status.success(), "the section {section} failed");
    }
    options.require_a_case();
}

fn measure(section: &str, options: &Options) {
    let per_ns = method::ticks_per_ns();
    // These two before this thread, and those it makes, are pinned.
    match section {
        "memory" => return memory::measure(options),
        "threads" => return threads::measure(options, per_ns),
        _ => {}
    }
    let cores = Cores::take().expect("two cores");
    match section {
        "shapes" => shapes::measure(options, cores, per_ns),
        "idle" => writer::idle(options, cores),
        "delay" => writer::delay(options, cores, per_ns),
        unknown => panic!("there is no section {unknown}"),
    }
}
