//! Compares kakashi with its peers, in one run: latency of a call, throughput, what an idle backend costs.
//!
//! Every logger has, in every round, a process of its own: `driver` starts them by turns, `child` is such a
//! process. `report` makes tables and charts of what they measured; `rows` holds it against what the library is
//! to reach. How latency is measured stands in `../method`.

use std::path::Path;
use std::process::ExitCode;

mod args;
mod charts;
mod child;
mod data;
mod driver;
mod idle;
mod latency;
mod loggers;
mod message;
#[path = "../../method/mod.rs"]
mod method;
mod report;
mod rows;
mod stats;
mod svg;
mod table;
mod task;
mod threads;
mod throughput;
mod versions;

use args::Command;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args().skip(1)) {
        Ok(Command::Child(task)) => return child::run(&task),
        Ok(Command::Compare(options)) => compare(&options),
        Ok(Command::Report { from, into }) => {
            read(&from).and_then(|data| create(&into).and_then(|()| report::write(&data, &into)))
        }
        Ok(Command::Help) => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &args::Options) -> Result<(), String> {
    let into = &options.into;
    let path = into.join("data.json");
    let mut data = data::Data::new(options.bursts, options.pause_us);
    if options.more && path.exists() {
        let before = read(&path)?;
        if !before.is_like(&data) {
            return Err(format!("{}: of another machine, or of other rounds", path.display()));
        }
        data = before;
    }
    create(into)?;
    let data = driver::run(options, data, |data| {
        let json = serde_json::to_string(data).map_err(|error| error.to_string())?;
        std::fs::write(&path, json).map_err(|error| format!("{}: {error}", path.display()))
    })?;
    report::write(&data, into)
}

fn create(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn read(from: &Path) -> Result<data::Data, String> {
    let json = std::fs::read_to_string(from)
        .map_err(|error| format!("{}: {error}: compare first", from.display()))?;
    serde_json::from_str(&json)
        .map_err(|error| format!("{}: {error}: not of this version, compare anew", from.display()))
}
