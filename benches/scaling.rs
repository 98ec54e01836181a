//! How cost, memory and delay change with threads, lanes, slots and the writer's way to wait.
//!
//! `cargo bench --bench scaling -- [--rounds N] [--only TEXT]`; about three minutes. `--only` takes one of `memory`,
//! `threads`, `shapes`, `idle`, `delay`.
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
//! * *idle*: the processor's time of the writer when nobody logs.
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

use method::Cores;
use method::options::Options;

fn main() {
    let options = Options::read(5, &[]);
    let per_ns = method::ticks_per_ns();
    println!("{}", method::machine());
    // Before anything else has touched memory, and before this thread, and those it makes, are pinned.
    if options.wants("memory") {
        memory::measure(&options);
    }
    if options.wants("threads") {
        threads::measure(&options, per_ns);
    }
    let cores = Cores::take().expect("two cores");
    if options.wants("shapes") {
        shapes::measure(&options, cores, per_ns);
    }
    if options.wants("idle") {
        writer::idle(&options, cores);
    }
    if options.wants("delay") {
        writer::delay(&options, cores, per_ns);
    }
}
