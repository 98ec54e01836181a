//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub const HELP: &str = "\
Usage: soak [--seconds N] [--seed N] [--dir PATH] [--plan N]

  --seconds N   how long, 60 if not given
  --seed N      the plan, a new one if not given
  --dir PATH    where files go, the system's temporary folder if not given
  --plan N      print the first N phases, and do nothing";

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub seconds: u64,
    pub seed: u64,
    pub folder: PathBuf,
    pub plan: Option<u64>,
}

/// `None` when help was asked for.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let mut options =
        Options { seconds: 60, seed: now % 1_000_000_007, folder: std::env::temp_dir(), plan: None };
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if matches!(&*name, "-h" | "--help") {
            return Ok(None);
        }
        if !matches!(&*name, "--seconds" | "--seed" | "--dir" | "--plan") {
            return Err(format!("there is no option `{name}`"));
        }
        let value = value.or_else(|| words.next()).ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} needs a number, and got `{value}`"));
        match &*name {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--plan" => options.plan = Some(number()?),
            _ => options.folder = PathBuf::from(&value),
        }
    }
    // A year: more than that is a slip, and would overflow.
    match options.seconds {
        1..=31_536_000 => Ok(Some(options)),
        seconds => Err(format!("--seconds needs 1 to 31536000, and got {seconds}")),
    }
}
