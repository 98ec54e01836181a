//! Numbers by a pen: digits go where they belong eight at a time, rather than into words first (`number.rs` gives the
//! calling thread's side the same texts in words).
//!
//! Decision: sixteen digits in one SSE2 register, which every x86_64 has, take half of the instructions that twice eight
//! in two words take: a record of two integers and a double, `Deferred`, went from 470 to 423.

use super::float::{Form, form, is_plain};
use super::out::Pen;
use crate::number::{self, ASCII_ZEROS, FLOAT_BYTES, Short, decimal8};
use crate::record::PLAIN;

const EIGHT: u64 = 100_000_000;

/// # Safety
/// Eight bytes at `at` are readable.
#[inline(always)]
pub(super) unsafe fn word(at: *const u8) -> u64 {
    // SAFETY: as the caller promised.
    u64::from_le(unsafe { at.cast::<u64>().read_unaligned() })
}

/// Writes a number's text, if it is as `Display` writes it.
///
/// # Safety
/// There is room for 24 bytes.
#[inline(always)]
pub(super) unsafe fn short(pen: &mut Pen, text: Short) -> bool {
    if text.plain {
        // SAFETY: as the caller promised; no `Short` is longer.
        unsafe { pen.short(text.words, usize::from(text.len).min(24)) };
        return true;
    }
    // SAFETY: as the caller promised.
    let (after, is_plain) = unsafe { unknown(*pen, &text.bytes(), text.len) };
    *pen = after;
    is_plain
}

/// A float's text that `zmij` has written. Out of line, for the registers of what comes more often.
///
/// # Safety
/// There is room for 24 bytes.
#[inline(never)]
unsafe fn unknown(pen: Pen, text: &[u8; FLOAT_BYTES], len: u8) -> (Pen, bool) {
    if !text.get(..len.into()).is_some_and(is_plain) {
        return (pen, false);
    }
    // SAFETY: as the caller promised.
    unsafe {
        pen.put(0, *text);
        (pen.moved(len.into()), true)
    }
}

/// # Safety
/// There is room for a byte.
#[inline(always)]
pub(super) unsafe fn sign(pen: &mut Pen, negative: bool) {
    // SAFETY: as the caller promised.
    unsafe {
        pen.put(0, [b'-']);
        *pen = pen.moved(negative.into());
    }
}

/// Writes `n < 10^8`, of which [`decimal8`] gives the digits, without leading zeros; at least one digit.
///
/// Decision: how many there are is told by `n`, not by its digits. What comes next in the line waits for that alone, and
/// not for the digits, which take three times as long: an integer of ten digits went from 9 to 4 ns.
///
/// # Safety
/// There is room for eight bytes.
#[inline(always)]
unsafe fn leading(pen: &mut Pen, n: u64, digits: u64) {
    let len = length(n as u32);
    // SAFETY: as the caller promised.
    unsafe {
        pen.put(0, ((digits | ASCII_ZEROS) >> (64 - 8 * len)).to_le_bytes());
        *pen = pen.moved(len);
    }
}

/// How many digits `n` has: by its leading zero bits, one of two, of which the sum's carry into the upper half tells the
/// one (K. Willets, <https://lemire.me/blog/2021/06/03/computing-the-number-of-digits-of-an-integer-even-faster/>).
#[inline(always)]
fn length(n: u32) -> usize {
    const SUMMANDS: [u64; 32] = {
        let mut summands = [0; 32];
        let mut zeros = 0;
        while zeros < 32 {
            let (least, most) = ((1 << 31) >> zeros, u32::MAX >> zeros);
            // The power of ten that is above `least` and not above `most`, if there is one.
            let longer = 10_u64.pow(u32::ilog10(least) + 1);
            summands[zeros] =
                ((u32::ilog10(most) as u64 + 1) << 32) - if longer <= most as u64 { longer } else { 0 };
            zeros += 1;
        }
        summands
    };
    // 0 has a digit, too.
    ((u64::from(n) + SUMMANDS[(n | 1).leading_zeros() as usize]) >> 32) as usize
}

/// Writes a number in decimal, as `number::integer_text` does: digits go where they belong eight at a time, rather than
/// into words first.
///
/// # Safety
/// There is room for 24 bytes.
#[inline(always)]
pub(super) unsafe fn integer(pen: &mut Pen, n: u64) -> bool {
    // SAFETY: as the caller promised.
    unsafe {
        if n < EIGHT {
            leading(pen, n, decimal8(n as u32));
        } else if n < EIGHT * EIGHT {
            let halves = [n / EIGHT, n % EIGHT];
            let [first, second] = decimal16(halves);
            leading(pen, halves[0], first);
            pen.put(0, (second | ASCII_ZEROS).to_le_bytes());
            *pen = pen.moved(8);
        } else {
            let text = number::long_integer_text(false, n);
            pen.short(text.words, usize::from(text.len).min(24));
        }
    }
    true
}

/// Writes a float as `number::f64_text` does; for `JSON`, never without a point.
///
/// # Safety
/// There is room for 24 bytes.
#[inline(always)]
pub(super) unsafe fn float<const JSON: bool>(pen: &mut Pen, v: f64) -> bool {
    let Some(n) = number::f64_hundred_millionths(v) else {
        let text = number::f64_text(v);
        // SAFETY: as the caller promised.
        return unsafe { if JSON { json_short(pen, text) } else { short(pen, text) } };
    };
    // SAFETY: as the caller promised.
    unsafe {
        // It is below 10^7, where floats are closer than 10^-8: as it is the one next to `n / 10^8`, no whole number lies
        // between the two.
        let whole = v.abs().to_int_unchecked::<i64>() as u64;
        debug_assert_eq!(whole, n / EIGHT);
        let [digits, fraction] = decimal16([whole, n - whole * EIGHT]);
        sign(pen, v.is_sign_negative());
        leading(pen, whole, digits);
        pen.put(0, [b'.']);
        pen.put(1, (fraction | ASCII_ZEROS).to_le_bytes());
        // Without the zeros at its end; and without the point, if nothing is left.
        let len = 9 - fraction.leading_zeros() as usize / 8;
        *pen = pen.moved(match fraction {
            0 if JSON => 2,
            0 => 0,
            _ => len,
        });
    }
    true
}

#[inline(always)]
pub(super) fn bool_text(value: bool) -> Short {
    let (text, len) = if value { (*b"true\0\0\0\0", 4) } else { (*b"false\0\0\0", 5) };
    Short { words: [u64::from_le_bytes(text), 0, 0], len, plain: true }
}

/// Copies a number's text of `len` bytes from a cell of `WORDS` words; false when it is none as we write it, digits and
/// punctuation, of which a `QUOTED` text has none that would end it. What stands behind the text may be anything: a
/// short one leaves the rest of its cell as an earlier record has left it.
///
/// # Safety
/// The cell is readable, and there is room for 24 bytes.
#[inline(always)]
pub(super) unsafe fn digits<const WORDS: usize, const QUOTED: bool>(
    pen: &mut Pen,
    cell: *const u8,
    len: u8,
) -> bool {
    if usize::from(len).wrapping_sub(1) >= WORDS * 8 {
        return false;
    }
    let kinds = if QUOTED { &IN_QUOTES[usize::from(len)] } else { &KINDS[usize::from(len)] };
    let (mut words, mut odd) = ([0; 3], 0);
    for (at, to) in words.iter_mut().enumerate().take(WORDS) {
        // SAFETY: as the caller promised.
        *to = unsafe { word(cell.add(at * 8)) };
        let mut bytes = *to;
        if QUOTED {
            // One of the two bits is set in what is no quote.
            bytes |= bytes << 1 & (0x10 * ONES);
        }
        odd |= bytes & kinds.mask[at] ^ kinds.bits[at];
    }
    if odd != 0 {
        return false;
    }
    // SAFETY: as the caller promised.
    unsafe { pen.short(words, len.into()) };
    true
}

/// Copies an integer's text as [`digits`] does; false when it is any other text.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn integer_digits<const WORDS: usize>(pen: &mut Pen, cell: *const u8, len: u8) -> bool {
    if usize::from(len).wrapping_sub(1) >= WORDS * 8 {
        return false;
    }
    let kinds = &KINDS[usize::from(len)];
    let (mut words, mut odd) = ([0; 3], 0);
    let mut negative = 0;
    for (at, to) in words.iter_mut().enumerate().take(WORDS) {
        // SAFETY: as the caller promised.
        *to = unsafe { word(cell.add(at * 8)) };
        let mut digits = *to;
        if at == 0 {
            negative = u8::from(digits as u8 == b'-');
            digits ^= u64::from(negative) * u64::from(b'-' ^ b'0');
        }
        // The high bit of each byte, up to the first that is no digit: above `9` of the sum, else of the difference.
        let marks = digits.wrapping_add(0x46 * ONES) | digits.wrapping_sub(ASCII_ZEROS);
        odd |= marks & (0x80 * ONES) & kinds.mask[at];
    }
    let first = (words[0] >> (8 * negative)) as u8;
    let whole = len - negative;
    if odd != 0 || whole == 0 || (first == b'0' && whole > 1) {
        return false;
    }
    // SAFETY: as the caller promised.
    unsafe { pen.short(words, len.into()) };
    true
}

/// Copies a float's text from a cell of three words, in the form of `Display`, or for `JSON` never without a point;
/// false when it has an exponent, or is none. In its length, `PLAIN` says that it is in the form of `Display`.
///
/// # Safety
/// The cell is readable, and there is room for 26 bytes.
#[inline(always)]
pub(super) unsafe fn float_digits<const JSON: bool>(pen: &mut Pen, cell: *const u8, len: u8) -> bool {
    let (plain, len) = (len & PLAIN != 0, len & !PLAIN);
    // SAFETY: as the caller promised.
    let words = [0, 8, 16].map(|at| unsafe { word(cell.add(at)) });
    // SAFETY: as the caller promised.
    let (after, written) = unsafe { point(*pen, &words.map(u64::to_le_bytes), len, JSON, plain) };
    *pen = after;
    written
}

/// Writes a float's text with a point, as JSON has it; false when it has an exponent.
///
/// # Safety
/// There is room for 26 bytes.
#[inline(always)]
pub(super) unsafe fn json_short(pen: &mut Pen, text: Short) -> bool {
    // SAFETY: as the caller promised.
    let (after, written) = unsafe { point(*pen, &text.words.map(u64::to_le_bytes), text.len, true, false) };
    *pen = after;
    written
}

/// A float's text, in JSON's form or in that of `Display`, which it has already if it is `plain`.
///
/// # Safety
/// There is room for 26 bytes.
#[inline(never)]
unsafe fn point(pen: Pen, words: &[[u8; 8]; 3], len: u8, json: bool, plain: bool) -> (Pen, bool) {
    let Some(text) = words.as_flattened().get(..len.into()) else { return (pen, false) };
    let (missing, surplus) = match form(text) {
        Form::Whole if json => (true, 0),
        Form::ZeroFraction if !json && !plain => (false, 2),
        Form::Other => return (pen, false),
        _ => (false, 0),
    };
    // SAFETY: as the caller promised.
    unsafe {
        let mut pen = pen;
        pen.short(words.map(u64::from_le_bytes), text.len() - surplus);
        pen.put(0, [b'.', b'0']);
        (pen.moved(if missing { 2 } else { 0 }), true)
    }
}

/// A word of eight bytes that are 1.
const ONES: u64 = 0x0101_0101_0101_0101;

/// What a number's text has in common with all others of its length, in three words.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Kinds {
    /// The upper bits of its bytes.
    mask: [u64; 3],
    /// What these are.
    bits: [u64; 3],
}

/// By the text's length: the upper three bits, of 0x20 to 0x3F.
static KINDS: [Kinds; 25] = kinds(0xE0, 0x20);

/// The upper four bits, of 0x30 to 0x3F.
static IN_QUOTES: [Kinds; 25] = kinds(0xF0, 0x30);

const fn kinds(mask: u64, bits: u64) -> [Kinds; 25] {
    let mut kinds = [Kinds { mask: [0; 3], bits: [0; 3] }; 25];
    let mut len = 0;
    while len < 25 {
        let mut at = 0;
        while at < len {
            kinds[len].mask[at / 8] |= mask << (at % 8 * 8);
            kinds[len].bits[at / 8] |= bits << (at % 8 * 8);
            at += 1;
        }
        len += 1;
    }
    kinds
}

/// The eight digits of both numbers, which are below 10^8, as [`decimal8`] gives them.
#[inline(always)]
fn decimal16(halves: [u64; 2]) -> [u64; 2] {
    debug_assert!(halves.iter().all(|&half| half < EIGHT));
    #[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
    return in_lanes(halves);
    #[cfg(not(all(target_arch = "x86_64", not(kakashi_portable))))]
    return halves.map(|half| decimal8(half as u32));
}

/// The arithmetic of [`decimal8`] for both numbers at once.
#[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
#[inline(always)]
fn in_lanes(halves: [u64; 2]) -> [u64; 2] {
    use core::arch::x86_64::*;
    // SAFETY: every x86_64 has SSE2; nothing is touched but registers.
    unsafe {
        let n =
            _mm_unpacklo_epi32(_mm_cvtsi64_si128((halves[1] << 32 | halves[0]) as i64), _mm_setzero_si128());
        // Below 2^32, n / 10^4 is this.
        let high = _mm_srli_epi64::<45>(_mm_mul_epu32(n, _mm_set1_epi64x(0xD1B7_1759)));
        let fours = _mm_add_epi64(n, _mm_mul_epu32(high, _mm_set1_epi64x((1 << 32) - 10_000)));
        let hundreds = _mm_srli_epi32::<4>(_mm_mulhi_epu16(fours, _mm_set1_epi16(10_486)));
        let pairs = _mm_add_epi32(
            fours,
            _mm_sub_epi32(_mm_slli_epi32::<16>(hundreds), _mm_mullo_epi16(hundreds, _mm_set1_epi16(100))),
        );
        let tens = _mm_srli_epi16::<10>(_mm_mullo_epi16(pairs, _mm_set1_epi16(103)));
        let digits = _mm_add_epi16(pairs, _mm_mullo_epi16(tens, _mm_set1_epi16((1 << 8) - 10)));
        [_mm_cvtsi128_si64(digits) as u64, _mm_cvtsi128_si64(_mm_unpackhi_epi64(digits, digits)) as u64]
            .map(u64::swap_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Out;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Pen)) -> String {
        let mut buf = [b'.'; 24 + Pen::BEYOND];
        let mut out = Out::new(&mut buf);
        let mut pen = out.here();
        write(&mut pen);
        // SAFETY: the pen is the one that the output gave.
        unsafe { out.put_down(pen) };
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    fn check_integer(n: u64) {
        // SAFETY: there is room for 24 bytes, and what a pen may write beyond.
        assert_eq!(written(|pen| assert!(unsafe { integer(pen, n) })), n.to_string());
    }

    fn check_float(v: f64) {
        let mut done = false;
        // SAFETY: as above.
        let text = written(|pen| done = unsafe { float::<false>(pen, v) });
        assert!(done || !number::f64_text(v).plain, "{v} can be written");
        assert_eq!(text, if done { v.to_string() } else { String::new() });
        // SAFETY: as above.
        let text = written(|pen| done = unsafe { float::<true>(pen, v) });
        let short = number::f64_text(v);
        let mut expected = String::from_utf8(short.bytes()[..short.len.into()].to_vec()).unwrap();
        assert_eq!(done, v.is_finite() && !expected.contains('e'), "{v}");
        expected += if expected.contains('.') { "" } else { ".0" };
        assert_eq!(text, if done { expected } else { String::new() });
    }

    fn copied<const WORDS: usize>(cell: &[u8; 24], len: u8) -> Option<String> {
        let (mut is_text, mut is_quoted) = (false, false);
        // SAFETY: the cell has three words.
        let text = written(|pen| is_text = unsafe { digits::<WORDS, false>(pen, cell.as_ptr(), len) });
        // SAFETY: as above.
        let quoted = written(|pen| is_quoted = unsafe { digits::<WORDS, true>(pen, cell.as_ptr(), len) });
        let has_mark = text.bytes().any(|byte| byte < b'(');
        assert_eq!((is_quoted, &*quoted), (is_text && !has_mark, if has_mark { "" } else { &text }));
        is_text.then_some(text)
    }

    /// A cell holds an earlier record's bytes behind a short text.
    #[test]
    fn a_text_is_copied_whatever_stands_behind_it() {
        for text in ["7", "-1234567", "12345678", "1234567.5", "-123456789012345", "-1234567890123.456789012"]
        {
            for behind in [0, b'0', b'x', 0xFF] {
                let mut cell = [behind; 24];
                cell[..text.len()].copy_from_slice(text.as_bytes());
                let len = text.len() as u8;
                let told = [copied::<1>(&cell, len), copied::<2>(&cell, len), copied::<3>(&cell, len)];
                for (words, told) in (1..).zip(told) {
                    assert_eq!(told.as_deref(), (text.len() <= words * 8).then_some(text), "{behind}");
                }
                for mark in b'!'..b'0' {
                    cell[text.len() - 1] = mark;
                    assert!(copied::<3>(&cell, len).is_some(), "{mark}");
                }
                for odd in [b'x', 0, 0x7F, 0xFF] {
                    cell[text.len() - 1] = odd;
                    assert_eq!(copied::<3>(&cell, len), None, "{odd} is in no number");
                }
            }
        }
    }

    fn copied_integer<const WORDS: usize>(text: &str, behind: u8) -> Option<String> {
        let mut cell = [behind; 24];
        cell[..text.len()].copy_from_slice(text.as_bytes());
        let mut is_text = false;
        let written = written(|pen| {
            // SAFETY: the cell has three words.
            is_text = unsafe { integer_digits::<WORDS>(pen, cell.as_ptr(), text.len() as u8) };
        });
        is_text.then_some(written)
    }

    #[test]
    fn an_integers_text_is_copied_and_no_other() {
        for behind in [0, b'0', b'x', 0xFF] {
            for text in ["0", "-0", "7", "-7", "10", "12345678", "-1234567", "-12345678", "123456789"] {
                let expected = |words: usize| (text.len() <= words * 8).then(|| text.to_owned());
                assert_eq!(copied_integer::<1>(text, behind), expected(1), "{text}");
                assert_eq!(copied_integer::<2>(text, behind), expected(2), "{text}");
            }
            for text in [u64::MAX.to_string(), i64::MIN.to_string(), "123456789012345678901234".to_owned()] {
                assert_eq!(copied_integer::<3>(&text, behind), Some(text));
            }
            for text in
                ["", "-", "--1", "1-", "00", "01", "-01", "1.5", "/", ":", "\"", "\u{BA}", "1234567\u{E9}9"]
            {
                assert_eq!(copied_integer::<2>(text, behind), None, "{text}");
            }
        }
    }

    #[test]
    fn a_floats_text_is_brought_into_its_form() {
        for (text, display, json) in [
            ("0.5", Some("0.5"), Some("0.5")),
            ("-12345678.125", Some("-12345678.125"), Some("-12345678.125")),
            ("100.0", Some("100"), Some("100.0")),
            ("-0.0", Some("-0"), Some("-0.0")),
            ("100", Some("100"), Some("100.0")),
            (
                "123456789012345678901234",
                Some("123456789012345678901234"),
                Some("123456789012345678901234.0"),
            ),
            ("1e21", None, None),
            ("1.5e-7", None, None),
            ("NaN", None, None),
            ("1.", None, None),
            ("01.5", None, None),
            ("1\"5", None, None),
            ("", None, None),
        ] {
            let mut cell = [b'9'; 24];
            cell[..text.len()].copy_from_slice(text.as_bytes());
            let copied = |json, plain: u8| {
                let mut done = false;
                let len = text.len() as u8 | plain;
                // SAFETY: the cell has three words.
                let written = written(|pen| unsafe {
                    done = if json {
                        float_digits::<true>(pen, cell.as_ptr(), len)
                    } else {
                        float_digits::<false>(pen, cell.as_ptr(), len)
                    };
                });
                done.then_some(written)
            };
            assert_eq!(copied(false, 0).as_deref(), display, "{text}");
            assert_eq!(copied(false, PLAIN).as_deref(), display.map(|_| text), "{text}");
            assert_eq!(
                [copied(true, 0), copied(true, PLAIN)].map(|copied| copied.as_deref() == json),
                [true; 2]
            );
        }
    }

    #[test]
    fn numbers_at_the_ends_of_their_lengths() {
        for n in (0..20).map(|digits| 10_u64.pow(digits)).flat_map(|n| [n - 1, n, n + 1]).chain([u64::MAX]) {
            check_integer(n);
        }
        for v in [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            1e-8,
            9_999_999.0,
            9_999_999.99,
            1e7,
            f64::NAN,
            f64::INFINITY,
            1.0 / 3.0,
            (10_485_767_435_128_406_016_u64 >> 20) as f64 / 1e4,
        ] {
            check_float(v);
            check_float(-v);
        }
    }

    proptest! {
        #[test]
        fn numbers_read_as_display_writes_them(n: u64, shift in 0_u32..64, scale in 0_i32..9) {
            check_integer(n >> shift);
            let v = (n >> shift.max(20)) as f64 / 10_f64.powi(scale);
            check_float(v);
            check_float(-v);
        }
    }
}
