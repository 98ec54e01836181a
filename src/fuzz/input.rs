//! An input, read from its front as values. Behind its end all is zero, so that every input means something.
#![forbid(unsafe_code)]

/// A text that is long beside a slot, in bytes.
const LONG: usize = 2_000;

pub(super) struct Input<'b> {
    rest: &'b [u8],
    /// The longest text, in bytes.
    longest: usize,
}

impl<'b> Input<'b> {
    /// Texts have up to 2,000 bytes; one in 256 that a fuzzer begins with has up to `longest`.
    pub(super) fn new(bytes: &'b [u8], longest: usize) -> Self {
        Input { rest: bytes, longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// As many bytes as there are, `count` at most.
    pub(super) fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// A number of any length, near zero or near the type's end: the first byte says how many follow.
    pub(super) fn number(&mut self) -> u128 {
        let how = self.byte();
        let bytes = self.bytes(usize::from(how & 31).min(16));
        let number = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u128::from(byte));
        if how & 0x80 != 0 { !number } else { number }
    }

    pub(super) fn double(&mut self) -> f64 {
        let decimals = self.byte();
        match decimals {
            // The bits as they are, or a number with so many decimals.
            0..128 => f64::from_bits(self.number() as u64),
            _ => self.number() as i64 as f64 / 10_f64.powi(i32::from(decimals & 15)),
        }
    }

    pub(super) fn char(&mut self) -> char {
        let number = self.number() as u32;
        char::from_u32(number).or(char::from_u32(number % 0xD800)).unwrap_or('\0')
    }

    /// A short text as it stands there, or one that is repeated until it is long.
    pub(super) fn text(&mut self) -> String {
        let how = self.byte();
        if how < 240 {
            return String::from_utf8_lossy(self.bytes(how.into())).into_owned();
        }
        let count = self.byte();
        let piece = String::from_utf8_lossy(self.bytes(count.into()));
        let longest = if how == u8::MAX { self.longest } else { LONG };
        piece.repeat((1 << (how - 240)).min(longest / piece.len().max(1)))
    }
}
