//! Compares kakashi with its peers, in one run: latency of a call, throughput, what an idle backend costs.
//!
//! Every logger has, in every round, a process of its own: `driver` starts them by turns, `child` is such a
//! process. `rows` holds the figures against what the library is to reach. How latency is measured stands in
//! `../method`.

use std::process::ExitCode;

mod args;
mod child;
mod data;
mod driver;
mod idle;
mod latency;
mod loggers;
mod message;
#[path = "../../method/mod.rs"]
mod method;
mod task;
mod threads;
mod throughput;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(args::Command::Child(task)) => child::run(&task),
        Ok(args::Command::Compare(options)) => match driver::run(&options) {
            Ok(data) => {
                for t in &data.turns {
                    match &t.measured {
                        Err(e) => println!("{} {e}", t.contender),
                        Ok(l) => {
                            println!("{} {} {} {}", t.contender, l.calls, l.lines, l.sample);
                            for s in &l.series {
                                let mut f = match &s.figures {
                                    Ok(f) => f.clone(),
                                    Err(e) => {
                                        println!("   {} {}", s.name, e);
                                        continue;
                                    }
                                };
                                f.sort_by(f32::total_cmp);
                                println!(
                                    "   {:30} {:25} {:8.1} {:8.1}",
                                    s.name,
                                    s.message.title(),
                                    method::at_share(&f, 0.5),
                                    method::at_share(&f, 0.999)
                                );
                            }
                        }
                    }
                }
                for f in &data.flows {
                    match &f.measured {
                        Err(e) => println!("{} {} {e}", f.contender, f.threads),
                        Ok(t) => println!(
                            "{} {} {:.2} M/s {} of {} lines, {:.0} MB/s",
                            f.contender,
                            f.threads,
                            t.records as f64 / t.seconds / 1e6,
                            t.lines,
                            t.records,
                            t.bytes as f64 / t.seconds / 1e6
                        ),
                    }
                }
                for i in &data.idles {
                    println!("{} {:?}", i.contender, i.measured);
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
