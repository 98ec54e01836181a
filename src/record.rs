//! The record: what a call leaves in its lane, byte by byte. Encoder and decoder share this file.
//!
//! ```text
//! offset  0      frame word: 15 bits slots, filler bit, 31 bits callsite, context bit, 16 bits logger
//!         8      tick
//!        (16     in a shared lane: thread id (8), thread name (16))
//!         H      one 16-bit meta per value, four to a word: tag (8) | length (8) << 8
//!         ...    one cell per value, of a size that the tag tells, a multiple of 8
//!         ...    the texts of string values, in order, each padded to a multiple of 8
//! ```
//!
//! | value | cell, `Deferred` | cell, `Preformatted` |
//! |---|---|---|
//! | bool | none: the length is 0 or 1 | the same |
//! | char | 8: code point | the same |
//! | integers to 64 bits | 8: the value | 8, 16 or 24: decimal text, its length in the meta |
//! | 128-bit integers | 16: the value | 40: decimal text |
//! | floats | 8: the bits | 24: its shortest text, its length and the bit `PLAIN` in the meta |
//! | `None` | that of the missing value; its words are the meta's length | the same |
//! | text | 8: length (u32), bytes cut (u32) | the same |
//!
//! With the context bit, the first value is the thread's context (`context.rs`): a text of entries as a facade's fields
//! are one (`record/foreign.rs`). The statement's own values are those behind it.
//!
//! So every offset but those of texts is a constant of the call, each value is stored without looking at
//! the one before, and an integer or float never waits for a length. A record says itself how its
//! values are encoded: the decoder needs no channel, and any bytes decode to something without harm.
//!
//! Decision: cells of constant size instead of texts one behind the other: each append waits for the
//! length before it, about 10 ns for three values; the price is some bytes, which cost nothing within
//! a cache line.
#![forbid(unsafe_code)]

pub(crate) mod foreign;

use crate::lane::ThreadId;
use crate::ring::Frame;

/// Where the values begin.
pub(crate) const HEADER: usize = 16;
/// The same in a shared lane, where the thread stands between.
pub(crate) const SHARED_HEADER: usize = HEADER + 24;
/// The most values of a record.
pub(crate) const MAX_VALUES: usize = 32;

/// What a value is: the low seven bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    None = 0,
    Bool,
    Char,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Str,
    Display,
    Debug,
}

impl Kind {
    const ALL: [Kind; 18] = [
        Kind::None,
        Kind::Bool,
        Kind::Char,
        Kind::U8,
        Kind::U16,
        Kind::U32,
        Kind::U64,
        Kind::U128,
        Kind::I8,
        Kind::I16,
        Kind::I32,
        Kind::I64,
        Kind::I128,
        Kind::F32,
        Kind::F64,
        Kind::Str,
        Kind::Display,
        Kind::Debug,
    ];

    /// The kind of a tag; `None` of one that is not ours.
    #[inline(always)]
    pub(crate) fn of(tag: u8) -> Kind {
        Kind::ALL.get((tag & !PREFORMATTED) as usize).copied().unwrap_or(Kind::None)
    }

    /// Bytes of the cell.
    pub(crate) const fn cell(self, preformatted: bool) -> usize {
        match (self, preformatted) {
            (Kind::None | Kind::Bool, _) => 0,
            (Kind::U128 | Kind::I128, true) => 40,
            (Kind::U128 | Kind::I128, false) => 16,
            (Kind::U32 | Kind::I32, true) => 16,
            (Kind::U64 | Kind::I64 | Kind::F32 | Kind::F64, true) => 24,
            _ => 8,
        }
    }

    const fn is_text(self) -> bool {
        matches!(self, Kind::Str | Kind::Display | Kind::Debug)
    }
}

/// A tag's bit: the cell holds text.
pub(crate) const PREFORMATTED: u8 = 0x80;
/// A bit of the length of a float's text: it is as `Display` writes it.
pub(crate) const PLAIN: u8 = 0x80;

/// One 16-bit meta.
#[inline(always)]
pub(crate) const fn meta(kind: Kind, preformatted: bool, len: u8) -> u16 {
    (kind as u8 | if preformatted { PREFORMATTED } else { 0 }) as u16 | (len as u16) << 8
}

/// Bytes of the metas of `values` values.
pub(crate) const fn metas(values: usize) -> usize {
    values.div_ceil(4) * 8
}

/// The user's 48 bits of the frame word.
#[inline(always)]
pub(crate) fn frame_user(callsite: u32, logger: u16) -> u64 {
    callsite as u64 | (logger as u64) << 32
}

/// A decoded value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Char(char),
    Unsigned(u64),
    Signed(i64),
    Unsigned128(u128),
    Signed128(i128),
    F32(f32),
    F64(f64),
    /// An integer of up to 64 bits as it stands in a line; of a damaged record, some digits and punctuation.
    Number(&'a [u8]),
    /// The same of 128 bits.
    Wide(&'a [u8]),
    /// The same of a float.
    PlainFloat(&'a [u8]),
    /// A float as `zmij` wrote it.
    Float(&'a [u8]),
    Text {
        kind: Kind,
        bytes: &'a [u8],
        /// Bytes that did not fit.
        cut: u32,
    },
    /// Not a value of ours.
    Damaged,
}

/// The bit of a record's callsite that says that a context is the first value.
pub(crate) const CONTEXT: u32 = 1 << 31;

/// A record, taken apart as far as its first word.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) callsite: u32,
    pub(crate) logger: u16,
    pub(crate) has_context: bool,
    bytes: &'a [u8],
}

/// The word at `at`; 0 where there is none.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8) {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8])),
        None => 0,
    }
}

impl<'a> Record<'a> {
    /// Takes apart any bytes; what is not there reads as zero.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let user = Frame(word(bytes, 0)).user();
        let callsite = user as u32;
        Record {
            callsite: callsite & !CONTEXT,
            logger: (user >> 32) as u16,
            has_context: callsite & CONTEXT != 0,
            bytes,
        }
    }

    /// Callsite and logger of a record without context, as they stand in the first word.
    #[inline(always)]
    pub(crate) fn key(&self) -> u64 {
        frame_user(self.callsite, self.logger)
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of its slots.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The thread of a record in a shared lane.
    pub(crate) fn thread(&self) -> ThreadId {
        let mut thread = ThreadId { tid: word(self.bytes, HEADER) as u32, name: [0; 16] };
        if let Some(name) = self.bytes.get(HEADER + 8..SHARED_HEADER) {
            thread.name.copy_from_slice(name);
        }
        thread
    }

    /// The cells of the values one after the other, of which there are `count`, at most eight. Not of a shared lane's
    /// record.
    pub(crate) fn stream(&self, count: usize) -> Stream {
        let (low, high) = (word(self.bytes, HEADER), word(self.bytes, HEADER + 8));
        Stream { metas: u128::from(low) | u128::from(high) << 64, cell: HEADER + metas(count) }
    }

    /// The value whose meta is at `meta`, and whose cell at `cell`.
    pub(crate) fn raw_at(&self, meta: usize, cell: usize) -> Raw {
        let (tag, len) = match self.bytes.get(meta..) {
            Some(&[tag, len, ..]) => (tag, len),
            _ => (0, 0),
        };
        Raw { tag, len, cell, size: cell_size(Kind::of(tag), tag & PREFORMATTED != 0, len) }
    }

    /// A value, if it is no text; `Damaged` where the record is too short.
    pub(crate) fn value(&self, raw: Raw) -> Value<'a> {
        match self.bytes.get(raw.cell..raw.cell + raw.size) {
            Some(cell) => decode(Kind::of(raw.tag), raw.tag & PREFORMATTED != 0, raw.len, cell),
            None => Value::Damaged,
        }
    }

    /// A text that begins at `at`, and how many bytes it takes up there; `Damaged` where the record is too short.
    pub(crate) fn text_at(&self, raw: Raw, at: usize) -> (Value<'a>, usize) {
        self.text(Kind::of(raw.tag), word(self.bytes, raw.cell), at)
    }

    /// Decodes the statement's `count` values into `out`, or as many as it has room for, and returns how many.
    pub(crate) fn values(&self, shared: bool, count: usize, out: &mut [Value<'a>]) -> usize {
        let count = count.min(out.len());
        let context = usize::from(self.has_context);
        self.each_value(shared, context + count, |at, value| {
            if let Some(out) = at.checked_sub(context).and_then(|at| out.get_mut(at)) {
                *out = value;
            }
        });
        count
    }

    /// The fields of the context, given how many values the statement has.
    pub(crate) fn context(&self, shared: bool, count: usize) -> foreign::Shown<'a> {
        let mut context = (&[][..], 0);
        if self.has_context {
            self.each_value(shared, 1 + count.min(MAX_VALUES), |at, value| {
                if let (0, Value::Text { bytes, cut, .. }) = (at, value) {
                    context = (bytes, cut);
                }
            });
        }
        foreign::Shown(foreign::Fields::new(context.0, context.1))
    }

    #[inline(always)]
    fn each_value(&self, shared: bool, count: usize, mut found: impl FnMut(usize, Value<'a>)) {
        let header = if shared { SHARED_HEADER } else { HEADER };
        let mut cell = header + metas(count);
        // Texts begin behind the last cell.
        let mut text = cell;
        for at in 0..count {
            let (kind, preformatted, len) = self.meta(header, at);
            text += cell_size(kind, preformatted, len);
        }
        for at in 0..count {
            let (kind, preformatted, len) = self.meta(header, at);
            let size = cell_size(kind, preformatted, len);
            let value = match self.bytes.get(cell..cell + size) {
                None => Value::Damaged,
                Some(bytes) if kind.is_text() => {
                    let (value, padded) = self.text(kind, word(bytes, 0), text);
                    text += padded;
                    value
                }
                Some(bytes) => decode(kind, preformatted, len, bytes),
            };
            found(at, value);
            cell += size;
        }
    }

    #[inline]
    fn meta(&self, header: usize, at: usize) -> (Kind, bool, u8) {
        let at = header + at * 2;
        let Some(&[tag, len]) = self.bytes.get(at..at + 2) else {
            return (Kind::None, false, 0);
        };
        (Kind::of(tag), tag & PREFORMATTED != 0, len)
    }

    fn text(&self, kind: Kind, cell: u64, at: usize) -> (Value<'a>, usize) {
        let (len, cut) = (cell as u32 as usize, (cell >> 32) as u32);
        match at.checked_add(len).and_then(|end| self.bytes.get(at..end)) {
            Some(bytes) => (Value::Text { kind, bytes, cut }, len.next_multiple_of(8)),
            None => (Value::Damaged, 0),
        }
    }
}

/// Walks over the cells of a record in their order.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    /// The metas of the values to come, the next one's in the low bits.
    metas: u128,
    cell: usize,
}

/// A value as it lies in the record.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raw {
    pub(crate) tag: u8,
    pub(crate) len: u8,
    /// Where its cell is, and how many bytes it has.
    pub(crate) cell: usize,
    pub(crate) size: usize,
}

impl Raw {
    pub(crate) fn is_text(self) -> bool {
        Kind::of(self.tag).is_text()
    }

    /// Whether the cell's size is not told by the tag alone.
    pub(crate) fn size_is_in_meta(self) -> bool {
        Kind::of(self.tag) == Kind::None
    }
}

impl Stream {
    /// The next value. There is always one: behind the last one, nonsense.
    pub(crate) fn next(&mut self) -> Raw {
        let (tag, len) = (self.metas as u8, (self.metas >> 8) as u8);
        self.metas >>= 16;
        let size = cell_size(Kind::of(tag), tag & PREFORMATTED != 0, len);
        let cell = self.cell;
        self.cell += size;
        Raw { tag, len, cell, size }
    }

    /// Where the next cell is; behind the last one, where the texts begin.
    pub(crate) fn cell(&self) -> usize {
        self.cell
    }
}

/// Bytes of a number's text that are harmless: digits and punctuation. A damaged record's number may be none.
#[inline(always)]
pub(crate) fn is_of_number(byte: u8) -> bool {
    byte & 0xE0 == 0x20
}

/// Bytes of the cell behind a meta. A `None` keeps the place of the value that is not there, and its
/// meta's length says how many words that is.
#[inline]
fn cell_size(kind: Kind, preformatted: bool, len: u8) -> usize {
    if kind == Kind::None { len as usize * 8 } else { kind.cell(preformatted) }
}

/// Decodes a cell that is not a text's.
#[inline]
fn decode(kind: Kind, preformatted: bool, len: u8, cell: &[u8]) -> Value<'_> {
    if preformatted {
        let float = matches!(kind, Kind::F32 | Kind::F64);
        let plain = !float || len & PLAIN != 0;
        let len = if float { len & !PLAIN } else { len };
        let Some(text) = cell.get(..len as usize) else { return Value::Damaged };
        return match kind {
            // Whatever else stands there was not written by us.
            _ if plain && len > 0 && text.iter().all(|&byte| is_of_number(byte)) => match kind {
                Kind::U128 | Kind::I128 => Value::Wide(text),
                _ if float => Value::PlainFloat(text),
                _ => Value::Number(text),
            },
            _ if float => Value::Float(text),
            _ => Value::Damaged,
        };
    }
    let low = word(cell, 0);
    let wide = || low as u128 | (word(cell, 8) as u128) << 64;
    match kind {
        Kind::None => Value::None,
        Kind::Bool => Value::Bool(len != 0),
        Kind::Char => char::from_u32(low as u32).map_or(Value::Damaged, Value::Char),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Value::Unsigned(low),
        Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => Value::Signed(low as i64),
        Kind::U128 => Value::Unsigned128(wide()),
        Kind::I128 => Value::Signed128(wide() as i128),
        Kind::F32 => Value::F32(f32::from_bits(low as u32)),
        Kind::F64 => Value::F64(f64::from_bits(low)),
        Kind::Str | Kind::Display | Kind::Debug => Value::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_decode_to_something() {
        let mut bytes = vec![0_u8; 256];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 33) as u8;
            }
            let len = (state >> 40) as usize % 257;
            let record = Record::new(&bytes[..len]);
            let mut values = [Value::None; MAX_VALUES];
            for shared in [false, true] {
                assert!(record.values(shared, 40, &mut values) <= MAX_VALUES);
            }
            let _ = record.thread();
        }
    }
}
