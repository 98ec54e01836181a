//! A line by its plan: texts that are ready, and the record's values between them.
//!
//! Nearly all values are a number whose text is in the cell, a number to be written, or a text of printable ASCII: these
//! are written by a pen, which asks for room once a line. What is odd about a value is found while it is copied, and it
//! is then written over by all the rules.

use super::digits::{bool_text, digits, float, integer, short, sign, word};
use super::escape::{push_escaped, push_quoted};
use super::out::{Out, Pen};
use super::plan::{Plan, Step, VALUES, What};
use super::push_value;
use crate::number;
use crate::record::{PLAIN, Record, Value};

impl Plan {
    /// Writes a record's line, but for the time, and returns the pen behind it.
    ///
    /// # Safety
    /// `pen` is one of `out`, with room for [`Plan::most`] bytes, of which at most a time is written. The record
    /// [fits](Plan::takes).
    #[inline(always)]
    pub(super) unsafe fn line(&self, out: &mut Out<'_>, mut pen: Pen, record: &[u8]) -> Pen {
        let (texts, bytes) = (self.texts.as_ptr(), record.as_ptr());
        let mut behind = usize::from(self.cells_end);
        for step in &self.steps[..usize::from(self.values).min(VALUES)] {
            // SAFETY: the texts of a line are `TEXT` bytes at most, and as many are readable, and a pen's `BEYOND`. The
            // record fits, so that its metas are there, and cells of the sizes that belong to the steps.
            let (len, cell) = unsafe {
                pen.wide(texts.add(step.start.into()), step.text.into());
                (*bytes.add(step.len.into()), bytes.add(step.cell.into()))
            };
            // SAFETY: as above; a number has at most 24 bytes, a text no more than the record, and there is room for
            // all of them.
            let written = unsafe {
                match step.what {
                    What::Digits24 => digits::<3>(&mut pen, cell, len),
                    What::Digits16 => digits::<2>(&mut pen, cell, len),
                    What::Digits8 => digits::<1>(&mut pen, cell, len),
                    What::FloatDigits => len & PLAIN != 0 && digits::<3>(&mut pen, cell, len & !PLAIN),
                    What::Unsigned => integer(&mut pen, word(cell)),
                    What::Signed => {
                        let value = word(cell) as i64;
                        sign(&mut pen, value < 0);
                        integer(&mut pen, value.unsigned_abs())
                    }
                    What::F64 => float(&mut pen, f64::from_bits(word(cell))),
                    What::F32 => short(&mut pen, number::f32_text(f32::from_bits(word(cell) as u32))),
                    What::Bool => short(&mut pen, bool_text(len != 0)),
                    What::Text | What::Field => {
                        let (after, next) = match step.what {
                            What::Text => copy_text::<false>(pen, record, word(cell), behind),
                            _ => copy_text::<true>(pen, record, word(cell), behind),
                        };
                        pen = after;
                        behind = if next != 0 { next } else { behind };
                        next != 0
                    }
                    What::Odd | What::OddField => false,
                }
            };
            if !written {
                // SAFETY: the pen is the one that the output gave.
                unsafe { out.put_down(pen) };
                behind = push_odd(out, record, step, behind);
                if out.remaining() < Self::TEXTS_AND_NUMBERS + record.len() + Pen::BEYOND {
                    // Never with a record of ours: a value that is longer than its cell says is a float written out, of
                    // at most 400 bytes, which staging keeps room for behind the longest record. The line ends as it is.
                    out.end_line();
                    return out.here();
                }
                pen = out.here();
            }
        }
        // SAFETY: as above.
        unsafe { pen.wide(texts.add(self.last.0.into()), self.last.1.into()) };
        pen
    }
}

/// A value by all the rules; `behind` is where the next text begins, which is returned for the one after.
#[cold]
#[inline(never)]
fn push_odd(out: &mut Out<'_>, record: &[u8], step: &Step, behind: usize) -> usize {
    let record = Record::new(record);
    let raw = record.raw_at(usize::from(step.len) - 1, step.cell.into());
    let field = matches!(step.what, What::Field | What::OddField);
    let push_text = if field { push_quoted } else { push_escaped };
    let (value, padded) = if raw.is_text() { record.text_at(raw, behind) } else { (record.value(raw), 0) };
    match value {
        Value::Text { bytes, cut: 0, .. } => push_text(out, bytes),
        value => push_value(out, &value, push_text),
    }
    behind + padded
}

/// Copies the text at `behind`, of which `cell` says the length, and returns where the next one is; 0, with the pen where
/// it was, when the text is not there, was cut, or is not to stand in a line as it is.
///
/// # Safety
/// There is room for as many bytes as the record has.
#[inline(never)]
unsafe fn copy_text<const FIELD: bool>(pen: Pen, record: &[u8], cell: u64, behind: usize) -> (Pen, usize) {
    let none = (pen, 0);
    // What was cut makes it longer than any record.
    let len = cell as usize;
    let Some(padded) = len.checked_next_multiple_of(8) else { return none };
    let Some(text) = record.get(behind..).and_then(|rest| rest.get(..padded)) else { return none };
    let mut odd = [0; 16];
    if len >= 16 {
        let mut copy = |at: usize| {
            let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk()) else { return };
            // SAFETY: the text is shorter than the record, and there is room for that.
            unsafe { pen.put(at, *chunk) };
            for (odd, more) in odd.iter_mut().zip(odd_bytes::<FIELD>(chunk)) {
                *odd |= more;
            }
        };
        for at in (0..len - 15).step_by(16) {
            copy(at);
        }
        // Over some of what was copied already.
        copy(len - 16);
    } else {
        // What is behind it is no part of it.
        let kept = (1_u128 << (8 * len)) - 1;
        let word = |at: usize| {
            text.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
        };
        let short = u128::from(word(0)) | u128::from(word(8)) << 64;
        odd = odd_bytes::<FIELD>(&(short & kept | DOTS & !kept).to_le_bytes());
        // A field's value that is empty stands in quotes.
        odd[0] |= u8::from(FIELD && len == 0);
        // SAFETY: a pen writes up to `BEYOND` bytes beyond a text.
        unsafe { pen.put(0, short.to_le_bytes()) };
    }
    if odd != [0; 16] {
        return none;
    }
    // SAFETY: as above.
    (unsafe { pen.moved(len) }, behind + padded)
}

/// What asks for nothing.
const DOTS: u128 = u128::MAX / 255 * b'.' as u128;

/// Not 0: bytes that are not printable ASCII, and for a field those that ask for quotes.
#[inline(always)]
fn odd_bytes<const FIELD: bool>(text: &[u8; 16]) -> [u8; 16] {
    let mut odd = [0; 16];
    for (odd, &byte) in odd.iter_mut().zip(text) {
        let mut is_odd = byte.wrapping_sub(b' ') > b'~' - b' ';
        if FIELD {
            is_odd |= (byte == b' ') | (byte == b'"') | (byte == b'=') | (byte == b'\\');
        }
        *odd = u8::from(is_odd);
    }
    odd
}
