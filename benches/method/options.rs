//! A benchmark's command line, and whether it is to be short.

use std::cell::Cell;
use std::process::exit;

/// What `cargo bench --bench NAME -- ...` was given.
#[derive(Debug)]
pub struct Options {
    /// Started by `cargo test`: one short round, which shows that the benchmark works and measures nothing.
    pub short: bool,
    pub rounds: usize,
    only: Option<String>,
    /// A case was wanted.
    found: Cell<bool>,
    values: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line: `--rounds N`, `--only TEXT`, and `more` options, each with a value. Says what is
    /// wrong with it and exits.
    pub fn read(rounds: usize, more: &[&str]) -> Self {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let short = !given.iter().any(|arg| arg == "--bench");
        let mut options = Options {
            short,
            rounds: if short { 1 } else { rounds },
            only: None,
            found: Cell::new(false),
            values: Vec::new(),
        };
        let mut args = given.into_iter();
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| args.next())
                    .unwrap_or_else(|| refuse(&name, "it needs a value", more))
            };
            match name.as_str() {
                "--bench" => {}
                "--rounds" => match value().parse() {
                    Ok(rounds) if rounds > 0 => options.rounds = rounds,
                    _ => refuse(&name, "it needs a number from 1 on", more),
                },
                "--only" => options.only = Some(value()),
                known if more.contains(&known) => {
                    let value = value();
                    options.values.push((name, value));
                }
                // What `cargo test` passes on is for other tests.
                _ if short => {}
                unknown => refuse(unknown, "there is no such option", more),
            }
        }
        options
    }

    /// Whether `--only` lets a case of this name run.
    pub fn wants(&self, name: &str) -> bool {
        let wanted = self.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
        self.found.set(self.found.get() || wanted);
        wanted
    }

    /// Says so and exits if `--only` has let no case run of all that were asked about.
    pub fn require_a_case(&self) {
        if let (Some(text), false) = (&self.only, self.found.get()) {
            eprintln!("--only: no case has {text:?} in its name; without --only, the tables have all names");
            exit(2)
        }
    }

    /// The value of one of the further options.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// One number for a real run, another one for a short one.
    pub fn count<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }
}

fn refuse(option: &str, why: &str, more: &[&str]) -> ! {
    eprintln!(
        "{option}: {why}; known are --rounds N, --only TEXT{}",
        more.iter().fold(String::new(), |all, name| all + ", " + name + " NAME")
    );
    exit(2)
}
