//! `kakashi config`: all settings with their defaults, and whether a file of them is valid.
#![forbid(unsafe_code)]

use kakashi::Config;

use super::config_args::ConfigCommand;
use super::{Failure, print, say};

/// Whether what was asked about is valid.
pub fn run(asked: &ConfigCommand) -> Result<bool, Failure> {
    let path = match asked {
        ConfigCommand::Show => return print(Config::default_toml()).map(|()| true),
        ConfigCommand::Check(path) => path,
    };
    match Config::from_file(path) {
        Ok(_) => {
            let valid = Failure::new(format_args!("{}: valid", path.display()));
            print(&format!("{valid}\n")).map(|()| true)
        }
        Err(error) => {
            say(format_args!("kakashi: {error}"));
            Ok(false)
        }
    }
}
