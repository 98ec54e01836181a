//! The ways in which a value of a record becomes text.
#![forbid(unsafe_code)]

use super::Format;
use crate::record::{Kind, PREFORMATTED};

/// How a value becomes text.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Not as one of the following: by all the rules (`grammar.rs`).
    Odd,
    /// A number's text in one, two or three words.
    Digits8,
    Digits16,
    Digits24,
    /// The same of a float, which may have to be brought into another form.
    FloatDigits,
    Unsigned,
    Signed,
    F32,
    F64,
    Bool,
    /// A text in the message, and a field's, which is quoted if it must be.
    Text,
    Field,
    /// A field's number, where a value that stands in quotes is none: the same texts, and nothing else.
    Integer8,
    Integer16,
    Integer24,
    Decimal,
    /// A float as JSON has it, never without a point, and a text in quotes.
    JsonDecimal,
    JsonF32,
    JsonF64,
    JsonText,
}

impl What {
    pub(super) fn of(tag: u8, field: bool, format: Format) -> Self {
        let typed = field && format.is_quoted();
        let json = typed && format != Format::Logfmt;
        match (Kind::of(tag), tag & PREFORMATTED != 0) {
            (Kind::Str | Kind::Display | Kind::Debug, _) if json => What::JsonText,
            (Kind::F32 | Kind::F64, true) if json => What::JsonDecimal,
            (Kind::F32, false) if json => What::JsonF32,
            (Kind::F64, false) if json => What::JsonF64,
            (Kind::Str | Kind::Display | Kind::Debug, _) if field => What::Field,
            (Kind::Str | Kind::Display | Kind::Debug, _) => What::Text,
            (Kind::U8 | Kind::U16 | Kind::I8 | Kind::I16, true) if typed => What::Integer8,
            (Kind::U32 | Kind::I32, true) if typed => What::Integer16,
            (Kind::U64 | Kind::I64, true) if typed => What::Integer24,
            (Kind::F32 | Kind::F64, true) if typed => What::Decimal,
            (Kind::U8 | Kind::U16 | Kind::I8 | Kind::I16, true) => What::Digits8,
            (Kind::U32 | Kind::I32, true) => What::Digits16,
            (Kind::U64 | Kind::I64, true) => What::Digits24,
            (Kind::F32 | Kind::F64, true) => What::FloatDigits,
            (Kind::Bool, false) => What::Bool,
            (Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64, false) => What::Unsigned,
            (Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64, false) => What::Signed,
            (Kind::F32, false) => What::F32,
            (Kind::F64, false) => What::F64,
            _ => What::Odd,
        }
    }
}
