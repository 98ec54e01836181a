//! The messages that every logger is asked to log.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// One kind of log call. The values are those of `method::values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Message {
    StaticText,
    OneInt,
    IntsDouble,
    IntsPrice,
    IntsStr,
    Fields,
    Aligned,
    Debug,
    LevelOff,
}

impl Message {
    pub const ALL: [Message; 9] = [
        Message::StaticText,
        Message::OneInt,
        Message::IntsDouble,
        Message::IntsPrice,
        Message::IntsStr,
        Message::Fields,
        Message::Aligned,
        Message::Debug,
        Message::LevelOff,
    ];

    /// As the tables name it.
    pub fn title(self) -> &'static str {
        match self {
            Message::StaticText => "static text",
            Message::OneInt => "1 int",
            Message::IntsDouble => "2 ints + double",
            Message::IntsPrice => "2 ints + price",
            Message::IntsStr => "2 ints + 43-byte str",
            Message::Fields => "4 key = value fields",
            Message::Aligned => "{:>10.3} of a double",
            Message::Debug => "a struct's Debug",
            Message::LevelOff => "level off",
        }
    }
}
