//! A line by its plan: texts that are ready, and the record's values between them.
//!
//! Nearly all values are a number whose text is in the cell, a number to be written, or a text of printable ASCII: these
//! are written by a pen, which asks for room once a line. What is odd about a value is found while it is copied, and it
//! is then written over by all the rules.

use super::Format;
use super::digits::{
    bool_text, digits, float, float_digits, integer, integer_digits, json_short, short, sign, word,
};
use super::escape::{clean_of, is_printable};
use super::grammar::{Grammar, Text};
use super::json::Json;
use super::keys::Limits;
use super::logfmt::Logfmt;
use super::odd::{FIELD, MESSAGE, STRING, Seen};
use super::out::{Out, Pen};
use super::plan::{Plan, STEPS, Step};
use super::what::What;
use crate::number;
use crate::record::{PLAIN, Record, Value};

impl Plan {
    /// Writes a record's line, from behind the time on, and returns the pen behind it; `None`, of a `QUOTED` one, when
    /// there is no room for it after all. `QUOTED` are the formats other than text: there, the message stands in quotes,
    /// and what a damaged record has in a number's place is looked at more closely.
    ///
    /// # Safety
    /// `pen` is one of `out`, with room for [`Plan::most`] bytes, of which at most a start is written. The record
    /// [fits](Plan::takes), and the plan's format is text if not `QUOTED`.
    #[inline(always)]
    pub(super) unsafe fn line<const QUOTED: bool>(
        &self,
        out: &mut Out<'_>,
        mut pen: Pen,
        record: &[u8],
    ) -> Option<Pen> {
        let (texts, bytes) = (self.texts.as_ptr(), record.as_ptr());
        let mut behind = usize::from(self.cells_end);
        for step in &self.steps[..usize::from(self.count).min(STEPS)] {
            // SAFETY: the texts of a line are `TEXT` bytes at most, and as many are readable, and a pen's `BEYOND`. The
            // record fits, so that its metas are there, and cells of the sizes that belong to the steps.
            let (len, cell) = unsafe {
                pen.wide(texts.add(step.start.into()), step.text.into());
                (*bytes.add(step.len.into()), bytes.add(step.cell.into()))
            };
            // SAFETY: as above; a number has at most 26 bytes, a text no more than the record and two quotes, and there is
            // room for all of them.
            let written = unsafe {
                // No arm but `Odd` without a branch of its own: else each value would pay for a look at the range.
                match step.what {
                    What::Integer24 if QUOTED => integer_digits::<3>(&mut pen, cell, len),
                    What::Integer16 if QUOTED => integer_digits::<2>(&mut pen, cell, len),
                    What::Integer8 if QUOTED => integer_digits::<1>(&mut pen, cell, len),
                    What::Decimal if QUOTED => float_digits::<false>(&mut pen, cell, len),
                    What::JsonDecimal if QUOTED => float_digits::<true>(&mut pen, cell, len),
                    What::JsonF64 if QUOTED => float::<true>(&mut pen, f64::from_bits(word(cell))),
                    What::JsonF32 if QUOTED => {
                        json_short(&mut pen, number::f32_text(f32::from_bits(word(cell) as u32)))
                    }
                    What::Digits24 | What::Integer24 => digits::<3, QUOTED>(&mut pen, cell, len),
                    What::Digits16 | What::Integer16 => digits::<2, QUOTED>(&mut pen, cell, len),
                    What::Digits8 | What::Integer8 => digits::<1, QUOTED>(&mut pen, cell, len),
                    What::FloatDigits if QUOTED && len & PLAIN == 0 => {
                        float_digits::<false>(&mut pen, cell, len)
                    }
                    What::FloatDigits | What::Decimal | What::JsonDecimal => {
                        len & PLAIN != 0 && digits::<3, QUOTED>(&mut pen, cell, len & !PLAIN)
                    }
                    What::Unsigned => integer(&mut pen, word(cell)),
                    What::Signed => {
                        let value = word(cell) as i64;
                        sign(&mut pen, value < 0);
                        integer(&mut pen, value.unsigned_abs())
                    }
                    What::F64 | What::JsonF64 => float::<false>(&mut pen, f64::from_bits(word(cell))),
                    What::F32 | What::JsonF32 => {
                        short(&mut pen, number::f32_text(f32::from_bits(word(cell) as u32)))
                    }
                    What::Bool => short(&mut pen, bool_text(len != 0)),
                    What::Text | What::Field | What::JsonText => {
                        let (after, next) = match step.what {
                            What::JsonText if QUOTED => quoted_text(pen, record, word(cell), behind),
                            What::Text if QUOTED => copy_text::<STRING>(pen, record, word(cell), behind),
                            What::Text => copy_text::<MESSAGE>(pen, record, word(cell), behind),
                            _ => copy_text::<FIELD>(pen, record, word(cell), behind),
                        };
                        pen = after;
                        behind = if next != 0 { next } else { behind };
                        next != 0
                    }
                    What::Odd => false,
                }
            };
            if !written {
                // SAFETY: the pen is the one that the output gave.
                unsafe { out.put_down(pen) };
                behind = self.push_odd(out, record, step, behind);
                if out.remaining() < Self::rest(record.len()) {
                    // Never with a record of ours: a value that is longer than its cell says is a float written out, of
                    // at most 400 bytes, or a text with escapes, which staging keeps room for behind the longest record.
                    if QUOTED {
                        return None;
                    }
                    // Text ends as it is: to come back from here would cost each line a few instructions.
                    out.end_line();
                    return Some(out.here());
                }
                pen = out.here();
            }
        }
        // SAFETY: as above.
        unsafe { pen.wide(texts.add(self.last.0.into()), self.last.1.into()) };
        Some(pen)
    }

    /// The value of a step by all the rules; `behind` is where the next text begins, which is returned for the one
    /// after.
    #[cold]
    #[inline(never)]
    fn push_odd(&self, out: &mut Out<'_>, record: &[u8], step: &Step, behind: usize) -> usize {
        let quotes = match step.what {
            What::Field | What::JsonText => 1,
            // Within the message's.
            What::Text if self.format.is_quoted() => 0,
            _ => return self.push_by_rules(out, record, step, behind),
        };
        match push_backslashed(out, record, step, behind, quotes) {
            Some(next) => next,
            None => self.push_by_rules(out, record, step, behind),
        }
    }

    fn push_by_rules(&self, out: &mut Out<'_>, record: &[u8], step: &Step, behind: usize) -> usize {
        let record = Record::new(record);
        let raw = record.raw_at(usize::from(step.len) - 1, step.cell.into());
        let (value, padded) =
            if raw.is_text() { record.text_at(raw, behind) } else { (record.value(raw), 0) };
        let field = self.fields >> self.place_of(step) & 1 != 0;
        match self.format {
            Format::Json | Format::JsonEcs | Format::JsonOtel => push_as::<Json>(out, &value, field),
            Format::Logfmt => push_as::<Logfmt>(out, &value, field),
            _ => push_as::<Text>(out, &value, field),
        }
        behind + padded
    }
}

/// A text of printable ASCII between so many `quotes`, one or none, with a backslash in front of each `"` and `\`: a field's that is no
/// bare word, what `Debug` makes of most structs, a path of other systems. `None` when it is another, or there is no room.
fn push_backslashed(
    out: &mut Out<'_>,
    record: &[u8],
    step: &Step,
    behind: usize,
    quotes: usize,
) -> Option<usize> {
    let cell = u64::from_le_bytes(*record.get(usize::from(step.cell)..)?.first_chunk()?);
    let words = words_of(record, cell, behind)?;
    let text = words.get(..cell as usize)?;
    if out.remaining() < 2 * text.len() + 2 + Pen::BEYOND || !is_printable(text) {
        return None;
    }
    // SAFETY: there is room for a backslash with each byte and for two quotes, and the pen goes no further.
    unsafe {
        let mut pen = out.here();
        pen.put(0, [b'"']);
        pen = pen.moved(quotes);
        let mut rest = text;
        while !rest.is_empty() {
            let (word, clean) = clean_of(rest);
            pen.put(0, word);
            pen = pen.moved(clean);
            rest = match rest.get(clean..) {
                Some(&[marked, ref behind @ ..]) if clean < 8 => {
                    pen.put(0, [b'\\', marked]);
                    pen = pen.moved(2);
                    behind
                }
                Some(behind) => behind,
                None => &[],
            };
        }
        pen.put(0, [b'"']);
        out.put_down(pen.moved(quotes));
    }
    Some(behind + words.len())
}

fn push_as<G: Grammar>(out: &mut Out<'_>, value: &Value<'_>, field: bool) {
    if field { G::push_value(out, Limits::NONE, value) } else { G::push_said(out, value) }
}

/// A text in quotes, as [`copy_text`].
///
/// # Safety
/// As there, and for two more.
#[inline(always)]
unsafe fn quoted_text(pen: Pen, record: &[u8], cell: u64, behind: usize) -> (Pen, usize) {
    // SAFETY: as the caller promised.
    unsafe {
        pen.put(0, [b'"']);
        let (after, next) = copy_text::<STRING>(pen.moved(1), record, cell, behind);
        if next == 0 {
            return (pen, 0);
        }
        after.put(0, [b'"']);
        (after.moved(1), next)
    }
}

/// The words of the text at `behind`, of which `cell` says the length.
#[inline(always)]
fn words_of(record: &[u8], cell: u64, behind: usize) -> Option<&[u8]> {
    // What was cut makes it longer than any record.
    let padded = (cell as usize).checked_next_multiple_of(8)?;
    record.get(behind..)?.get(..padded)
}

/// Copies the text at `behind`, of which `cell` says the length, and returns where the next one is; 0, with the pen where
/// it was, when the text is not there, was cut, or is not to stand in a line as it is.
///
/// # Safety
/// There is room for as many bytes as the record has.
#[inline(never)]
unsafe fn copy_text<const PLACE: u8>(pen: Pen, record: &[u8], cell: u64, behind: usize) -> (Pen, usize) {
    let none = (pen, 0);
    let len = cell as usize;
    let Some(words) = words_of(record, cell, behind) else { return none };
    let text = words.get(..len).unwrap_or_default();
    let seen = Seen::<PLACE>::nothing();
    // The last piece goes over some of what was copied already.
    let seen = if let Some(last) = text.last_chunk::<32>() {
        for (at, piece) in text.as_chunks::<32>().0.iter().enumerate() {
            // SAFETY: the text is shorter than the record, and there is room for that.
            unsafe { pen.put(32 * at, *piece) };
            // Looked at here, or the loop would be taken for two, of which the one calls `memcpy`.
            if seen.and_both(piece).is_odd() {
                return none;
            }
        }
        // SAFETY: as above.
        unsafe { pen.put(len - 32, *last) };
        seen.and_both(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        // SAFETY: as above.
        unsafe {
            pen.put(0, *first);
            pen.put(len - 16, *last);
        }
        seen.and(*first).and(*last)
    } else {
        let word = |at: usize| {
            words.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
        };
        let short = u128::from(word(0)) | u128::from(word(8)) << 64;
        // What is behind it is no part of it.
        let kept = (1_u128 << (8 * len)) - 1;
        if PLACE == FIELD && len == 0 {
            // A value that is empty stands in quotes.
            return none;
        }
        // SAFETY: a pen writes up to `BEYOND` bytes beyond a text.
        unsafe { pen.put(0, short.to_le_bytes()) };
        seen.and((short & kept | DOTS & !kept).to_le_bytes())
    };
    if seen.is_odd() {
        return none;
    }
    // SAFETY: as above.
    (unsafe { pen.moved(len) }, behind + words.len())
}

/// What asks for nothing.
const DOTS: u128 = u128::MAX / 255 * b'.' as u128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HEADER;

    /// Copies a text, behind which other bytes stand, as the first of a record.
    fn copied<const PLACE: u8>(text: &[u8]) -> Option<Vec<u8>> {
        let mut record = [&[0; HEADER], text].concat();
        record.resize(record.len().next_multiple_of(8), b'"');
        let mut buf = vec![0xA5; record.len() + 2 * Pen::BEYOND];
        let mut out = Out::new(&mut buf);
        // SAFETY: there is room for the record.
        let (pen, next) = unsafe { copy_text::<PLACE>(out.here(), &record, text.len() as u64, HEADER) };
        // SAFETY: the pen has written so much.
        unsafe { out.put_down(pen) };
        assert!(next == 0 || next == record.len(), "the next text is behind this one");
        assert!(next != 0 || out.len() == 0, "the pen stays where it was");
        (next != 0).then(|| out.bytes().to_vec())
    }

    /// At each place of texts of each length around the pieces'.
    #[test]
    fn a_text_is_copied_unless_one_byte_is_odd() {
        for len in 0..100 {
            let mut text: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
            let whole = Some(text.clone());
            assert_eq!(copied::<MESSAGE>(&text), whole);
            assert_eq!(copied::<STRING>(&text), whole);
            assert_eq!(copied::<FIELD>(&text), whole.filter(|text| !text.is_empty()));
            for at in 0..len {
                let kept = std::mem::replace(&mut text[at], b'\\');
                assert_eq!(copied::<MESSAGE>(&text).as_ref(), Some(&text), "at {at} of {len}");
                assert_eq!(copied::<STRING>(&text), None, "at {at} of {len}");
                text[at] = b'=';
                assert_eq!(copied::<STRING>(&text).as_ref(), Some(&text), "at {at} of {len}");
                assert_eq!(copied::<FIELD>(&text), None, "at {at} of {len}");
                text[at] = 0x7F;
                assert_eq!(copied::<MESSAGE>(&text), None, "at {at} of {len}");
                text[at] = kept;
            }
        }
        // Not there, and cut.
        let record = [0; HEADER + 8];
        let mut buf = [0; 64];
        let mut out = Out::new(&mut buf);
        for (cell, behind) in
            [(9, HEADER), (1, HEADER + 8), (1, usize::MAX), (u64::MAX, HEADER), (1 << 32 | 1, HEADER)]
        {
            // SAFETY: there is room for the record.
            let (_, next) = unsafe { copy_text::<STRING>(out.here(), &record, cell, behind) };
            assert_eq!(next, 0, "{cell} at {behind}");
        }
    }
}
