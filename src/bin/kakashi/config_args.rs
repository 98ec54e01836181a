//! The command line of `kakashi config`.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

/// What is to be done with configurations.
pub enum ConfigCommand {
    Show,
    Check(PathBuf),
}

pub fn parse(matches: &ArgMatches) -> ConfigCommand {
    matches.get_one::<PathBuf>("check").map_or(ConfigCommand::Show, |path| ConfigCommand::Check(path.clone()))
}

pub fn command() -> Command {
    Command::new("config")
        .about("Shows all settings that a configuration can have, or says whether a file of them is valid")
        .arg(
            Arg::new("show")
                .long("show")
                .action(ArgAction::SetTrue)
                .help("Prints TOML with every key, its default, and what it does"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Says whether FILE is valid, and if not, which key in which line, and why"),
        )
        .group(ArgGroup::new("what").args(["show", "check"]).required(true))
        .after_help(
            "What --check cannot see: the program's cargo features, its environment, and whether its files can be opened.\n\
             Exit status: 0 shown or valid, 1 not valid, 2 a wrong option.",
        )
}
