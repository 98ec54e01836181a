//! What a line should say, computed from the values' own `Display`, the statement's pieces, and the table of sizes in
//! `record.rs`.
#![forbid(unsafe_code)]

use std::fmt;

use super::text::{escaped, quoted};
use crate::arg::Encoding;
use crate::callsite::{Callsite, Piece};
use crate::channel::ChannelSpec;
use crate::spec::{Fit, Spec};

/// A value by what it shows, and by the bytes that it takes.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) text: String,
    /// Bytes of its cell, by whether it is preformatted.
    pub(super) cell: [usize; 2],
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    /// As it is, whatever room there is.
    Fixed,
    /// A text of the program's, or one that is made without `core::fmt`.
    Text,
    /// A text that `core::fmt` makes in the arena.
    Formatted,
}

pub(super) trait Tell: fmt::Display {
    const CELL: [usize; 2];
    const HOW: How = How::Fixed;

    fn told(&self) -> Told {
        Told { text: self.to_string(), cell: Self::CELL, how: Self::HOW }
    }
}

macro_rules! tell {
    ($($type:ty: $cell:expr;)*) => {$(
        impl Tell for $type {
            const CELL: [usize; 2] = $cell;
        }
    )*};
}

// Deferred, preformatted.
tell! {
    bool: [0, 0];
    char: [8, 8];
    u8: [8, 8];
    i8: [8, 8];
    u16: [8, 8];
    i16: [8, 8];
    u32: [8, 16];
    i32: [8, 16];
    u64: [8, 24];
    i64: [8, 24];
    usize: [8, 24];
    isize: [8, 24];
    u128: [16, 40];
    i128: [16, 40];
    f32: [8, 24];
    f64: [8, 24];
}

impl Tell for str {
    const CELL: [usize; 2] = [8, 8];
    const HOW: How = How::Text;
}

/// A value that is there only sometimes: its cell always is.
pub(super) fn optional<T: Tell>(value: &Option<T>) -> Told {
    match value {
        Some(value) => value.told(),
        None => Told { text: "None".to_owned(), cell: T::CELL, how: How::Fixed },
    }
}

/// What `core::fmt` makes of a value.
pub(super) fn formatted(text: String) -> Told {
    Told { text, cell: [8, 8], how: How::Formatted }
}

/// What there is of a value with a format of its own: it needs no arena if it is short.
pub(super) fn specified(value: &(impl Fit + ?Sized), spec: Spec, text: String) -> Told {
    let how = if value.fitted(spec).is_some() { How::Text } else { How::Formatted };
    Told { text, cell: [8, 8], how }
}

/// What a line should say.
pub(super) struct Expected {
    /// The message as `format!` makes it.
    pub(super) message: String,
    /// Names of the fields behind it.
    pub(super) fields: &'static [&'static str],
    /// The values in the record's order.
    pub(super) values: Vec<Told>,
    /// Room for what `core::fmt` makes.
    pub(super) arena: usize,
    pub(super) tick: u64,
    pub(super) logger: u16,
}

impl Expected {
    /// The values as far as they are kept, with the bytes that are missing: first where they are formatted, then by
    /// the record's most bytes for a text. `None` when even without texts there is no room.
    pub(super) fn kept<C: ChannelSpec>(&self, shared: bool) -> Option<Vec<(String, usize)>> {
        let mut room = self.arena;
        let kept = self.values.iter().map(|value| match value.how {
            How::Formatted => {
                let text = &value.text[..value.text.floor_char_boundary(room)];
                room -= text.len();
                (text, value.text.len() - text.len())
            }
            _ => (&value.text[..], 0),
        });
        let kept: Vec<_> = kept.collect();
        let most_slots = (68 * 1024 + C::PREFIX).div_ceil(C::SLOT_BYTES).min(C::SLOTS / 2);
        let cells = self.values.iter().map(|value| value.cell[usize::from(C::Encoding::PREFORMATTED)]);
        let fixed = if shared { 40 } else { 16 } + self.values.len().div_ceil(4) * 8 + cells.sum::<usize>();
        let room = (most_slots * C::SLOT_BYTES).checked_sub(C::PREFIX + fixed)?;
        let texts = || kept.iter().zip(&self.values).filter(|(_, value)| value.how != How::Fixed);
        let fits = |cap: usize| {
            texts().map(|((text, _), _)| text.len().min(cap).next_multiple_of(8)).sum::<usize>() <= room
        };
        let longest = texts().map(|((text, _), _)| text.len()).max().unwrap_or(0);
        // Texts take whole words.
        let cap = if fits(longest) {
            longest
        } else {
            (0..=longest).step_by(8).take_while(|&cap| fits(cap)).last()?
        };
        let shown = kept.iter().zip(&self.values).map(|(&(text, cut), value)| match value.how {
            How::Fixed => (text.to_owned(), 0),
            _ => {
                let short = &text[..text.floor_char_boundary(cap)];
                (short.to_owned(), cut + text.len() - short.len())
            }
        });
        Some(shown.collect())
    }

    /// The line's message and fields, of values as far as they were kept.
    pub(super) fn text(&self, callsite: &Callsite, kept: &[(String, usize)]) -> String {
        let statement = callsite.statement();
        let value = |at: u8, show: fn(&str) -> String| {
            let (text, cut) = &kept[usize::from(at)];
            let mark = if *cut == 0 { String::new() } else { format!("…[+{cut} bytes]") };
            show(text) + &mark
        };
        let mut line = String::new();
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => line += &escaped(text),
                Piece::Value(at) => line += &value(at, escaped),
            }
        }
        let fields = statement.fields.iter().filter(|field| !field.in_message);
        for (field, name) in fields.zip(self.fields) {
            assert_eq!(field.name, *name);
            line += &format!(" {name}={}", value(field.value, quoted));
        }
        line
    }
}
