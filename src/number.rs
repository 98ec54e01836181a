//! Floats: a text of at most 24 bytes on the calling thread, the form of `core::fmt::Display` on
//! the writer thread.
//!
//! `Display` writes exponents out, up to 327 characters for an `f64`; a cell has room for the
//! shortest digits only, so the caller stores `1.5e-7` and the writer expands it to `0.00000015`.
//!
//! Decision: one exactness test, then `ryu`. Trying 0, 1, 2, ... decimals costs a division each and
//! finds prices late; scaling once to as many decimals as leave at most 15 digits (8 below 10^7),
//! and dropping trailing zeros from the digits, costs one division for every float, short or not.
//!
//! # Why the digits are those of `Display`
//!
//! `Display` and `ryu` give the shortest decimal that reads back as the float, and the nearest to
//! it among these. Let `a` be the magnitude of an `f64`, `s = 10^k` with `k <= 8`, and `n` an
//! integer with `n < 10^15`.
//!
//! - *It reads back.* `n < 2^53` and `s` are exact as `f64`, and IEEE 754 rounds a quotient
//!   correctly: `n / s == a` in floating point says that the real number `n / 10^k` rounds to `a`
//!   (Clinger 1990, the "fast path").
//! - *It is the shortest, and the only one of its length.* `a` is normal (or zero), and decimals of
//!   at most 15 digits are told apart by an `f64`, because `10^15 < 2^52` (Matula 1968;
//!   `f64::DIGITS`). A decimal as short as `n / 10^k`, or shorter, that reads back as `a` is
//!   therefore the same real number, and without its trailing zeros the same text.
//! - *It is found.* If such an `n` exists, `a = n / s * (1 + e)` and the product is `a * s * (1 +
//!   e')` with `|e|, |e'| <= 2^-53`; it is off by less than `n * 2^-51.9 < 1/4`, so that rounding
//!   to the nearest integer gives `n`. Not finding one would still be right: `ryu` is the answer to
//!   every other float.
//!
//! `ryu` differs from `Display` in ties, where `a` is exactly between the two shortest decimals: it
//! takes the even one, `Display` the upper (`2^-25`, `831157300324114.25`). [`may_tie`] sends these
//! to `core::fmt`. Let a tie be `a = (d + 1/2) * 10^q`, for an `m` bit significand:
//!
//! - Both decimals read back, so that `10^q` is at most the distance between floats, and `2d + 1 >=
//!   2^m`. For `q >= 0` the odd factor of `a` is a multiple of `2d + 1`, too large for the
//!   significand: there are no ties.
//! - For `q < 0`, `a` has a finite expansion of `1 - q >= 2` decimals that ends in 5, with one
//!   digit more than the shortest: at most 18, or 10 of an `f32`. With `a = c / 2^j`, `c` odd, it
//!   is `c * 5^j` with the point `j` from its end.
//!
//! For `f32` the same holds with `k <= 6`, `n < 10^6 < 2^22` (`f32::DIGITS` is 6, `10^6 = 2^6 *
//! 5^6` is exact) and all arithmetic in `f32`: in `f64` the quotient would be rounded twice on its
//! way to an `f32`.

#![forbid(unsafe_code)]

use core::fmt::LowerExp;
use std::io::Write;

use crate::format::escape::{load_short, push_escaped};
use crate::format::out::Out;

/// Bytes of a float's text at most: `-2.2250738585072014e-308`.
pub(crate) const FLOAT_BYTES: usize = 24;

/// Its last place is 1: adding it rounds a smaller positive number to an integer, which the low
/// bits then hold.
const ROUND_F64: f64 = (1_u64 << 52) as f64;
const ROUND_F32: f32 = (1_u32 << 23) as f32;

/// The text of `v`, padded with zero bytes, and its length. [`push_float`] expands it.
#[inline]
pub(crate) fn f64_cell(v: f64) -> ([u8; FLOAT_BYTES], u8) {
    let a = v.abs();
    let rounded = a * 1e8 + ROUND_F64;
    // NaN and infinity are not below the bound.
    if a < 1e7 && (rounded - ROUND_F64) / 1e8 == a {
        short_cell(v.is_sign_negative(), rounded.to_bits() - ROUND_F64.to_bits())
    } else {
        f64_long_cell(v)
    }
}

/// As [`f64_cell`], with the shortest digits of an `f32`.
#[inline]
pub(crate) fn f32_cell(v: f32) -> ([u8; FLOAT_BYTES], u8) {
    const SCALES: [f32; 7] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    /// From that many decimals to eight.
    const FACTORS: [u64; 7] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100];
    let a = v.abs();
    // As many as leave six digits. Counted rather than searched for: there is no branch to
    // mispredict.
    let decimals: usize = SCALES[..6].iter().map(|bound| usize::from(a < *bound)).sum();
    let scale = SCALES[decimals];
    let rounded = a * scale + ROUND_F32;
    if a < 1e6 && (rounded - ROUND_F32) / scale == a {
        let n = rounded.to_bits() - ROUND_F32.to_bits();
        short_cell(v.is_sign_negative(), u64::from(n) * FACTORS[decimals])
    } else {
        f32_ryu(v)
    }
}

/// Large numbers with few decimals, times and counts among them, and all that have too many digits.
#[inline(never)]
fn f64_long_cell(v: f64) -> ([u8; FLOAT_BYTES], u8) {
    let a = v.abs();
    if a < 1e7 {
        return f64_ryu(v);
    }
    let (scale, decimals) = if a < 1e9 {
        (1e6, 6)
    } else if a < 1e12 {
        (1e3, 3)
    } else if a < 1e15 {
        (1e0, 0)
    } else {
        return f64_ryu(v);
    };
    let rounded = a * scale + ROUND_F64;
    if (rounded - ROUND_F64) / scale != a {
        return f64_ryu(v);
    }
    let n = rounded.to_bits() - ROUND_F64.to_bits();
    long_cell(v.is_sign_negative(), n, decimals)
}

fn f64_ryu(v: f64) -> ([u8; FLOAT_BYTES], u8) {
    static TIES: [u64; 26] = ties(18);
    if may_tie(v, &TIES) {
        cell_by_core(&v)
    } else {
        cell(ryu::Buffer::new().format(v))
    }
}

#[inline(never)]
fn f32_ryu(v: f32) -> ([u8; FLOAT_BYTES], u8) {
    static TIES: [u64; 26] = ties(10);
    if may_tie(v.into(), &TIES) {
        cell_by_core(&v)
    } else {
        cell(ryu::Buffer::new().format(v))
    }
}

/// Whether the float has at least two decimals, and all its digits are an integer that `ties`
/// admits.
#[inline]
fn may_tie(v: f64, ties: &[u64; 26]) -> bool {
    let bits = v.abs().to_bits();
    let significand = bits & ((1 << 52) - 1) | 1 << 52;
    let zeros = significand.trailing_zeros();
    // Subnormal numbers, infinity and NaN are far out of the range.
    let decimals = (1075 - zeros as i32 - (bits >> 52) as i32) as usize;
    decimals >= 2 && ties.get(decimals).is_some_and(|&most| significand >> zeros <= most)
}

/// By `j`, the largest `c` with `c * 5^j < 10^digits`.
const fn ties(digits: u32) -> [u64; 26] {
    let mut most = [10_u64.pow(digits) - 1; 26];
    let mut j = 1;
    while j < 26 {
        most[j] = most[j - 1] / 5;
        j += 1;
    }
    most
}

/// Scientific notation has the digits of `Display`, and fits.
#[cold]
fn cell_by_core(v: &dyn LowerExp) -> ([u8; FLOAT_BYTES], u8) {
    let mut cell = [0; FLOAT_BYTES];
    let mut rest = &mut cell[..];
    let fits = write!(rest, "{v:e}");
    debug_assert!(fits.is_ok());
    let len = FLOAT_BYTES - rest.len();
    (cell, len as u8)
}

#[inline]
fn cell(text: &str) -> ([u8; FLOAT_BYTES], u8) {
    let mut cell = [0; FLOAT_BYTES];
    cell[..text.len()].copy_from_slice(text.as_bytes());
    (cell, text.len() as u8)
}

/// The text of `n / 10^8` without trailing zeros, for `n < 10^15`.
#[inline]
fn short_cell(negative: bool, n: u64) -> ([u8; FLOAT_BYTES], u8) {
    let whole = decimal8((n / 100_000_000) as u32);
    let fraction = decimal8((n % 100_000_000) as u32);
    // A whole number has one to seven digits, and thus a byte left for the point.
    let leading = (whole | 1 << 56).trailing_zeros() & !7;
    let trailing = fraction.leading_zeros() & !7;
    let whole_bits = 64 - leading;
    let (point, fraction) = match fraction {
        0 => (0, 0),
        _ => (u64::from(b'.') << whole_bits, fraction | ASCII_ZEROS >> trailing),
    };
    let low = (whole | ASCII_ZEROS) >> leading | point | fraction << whole_bits << 8;
    let high = fraction >> (56 - whole_bits);
    let len = whole_bits / 8 + if fraction == 0 { 0 } else { 9 - trailing / 8 };
    signed_cell(negative, low, high, len)
}

/// The text of `n / 10^decimals` without trailing zeros, for `n < 10^15` and at most 14 decimals.
fn long_cell(negative: bool, n: u64, decimals: u32) -> ([u8; FLOAT_BYTES], u8) {
    // Sixteen digits, the first in the low byte. Their ASCII bits come last, so that dropped zeros
    // are zero bytes.
    let (high, low) = ((n / 100_000_000) as u32, (n % 100_000_000) as u32);
    let digits = u128::from(decimal8(high)) | u128::from(decimal8(low)) << 64;
    let leading = (digits.trailing_zeros() / 8).min(15 - decimals);
    let fraction = decimals - (digits.leading_zeros() / 8).min(decimals);
    let whole = 16 - decimals - leading;

    // `n` has at most 15 digits, so that one byte is left for the point.
    let digits = digits >> (8 * leading);
    let whole_mask = (1_u128 << (8 * whole)) - 1;
    let (len, point) = if fraction == 0 {
        (whole, 0)
    } else {
        (whole + 1 + fraction, b'0' ^ b'.')
    };
    let ascii = (u128::MAX / 255 * u128::from(b'0')) >> (8 * (16 - len));
    let text = (digits & whole_mask | (digits & !whole_mask) << 8 | ascii) ^ u128::from(point) << (8 * whole);
    signed_cell(negative, text as u64, (text >> 64) as u64, len)
}

/// A cell of sixteen bytes of text, the first in the low byte of `low`, behind a sign.
///
/// Whole words: the caller copies the cell at once, and wide loads of bytes just stored narrowly
/// would wait for the stores.
#[inline]
fn signed_cell(negative: bool, low: u64, high: u64, len: u32) -> ([u8; FLOAT_BYTES], u8) {
    let words = match negative {
        false => [low, high, 0],
        true => [low << 8 | u64::from(b'-'), high << 8 | low >> 56, high >> 56],
    };
    let mut cell = [0; FLOAT_BYTES];
    for (bytes, word) in cell.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    (cell, len as u8 + u8::from(negative))
}

pub(crate) const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight decimal digits of `n < 10^8` as bytes `0..=9`, the first in the low byte.
///
/// Two, four and eight digits are split in parallel lanes of one word; the reciprocals are exact in
/// their ranges (`10486 / 2^20` below 10^4, `103 / 2^10` below 100).
#[inline]
pub(crate) fn decimal8(n: u32) -> u64 {
    debug_assert!(n < 100_000_000);
    let n = u64::from(n);
    let fours = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7F_0000_007F;
    let pairs = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    tens | (pairs - tens * 10) << 8
}

/// Appends a cell's text as `Display` writes the float: no `.0`, exponents written out.
///
/// At most 400 bytes for any cell, and no panic: what is not a float's text is appended escaped.
#[inline]
pub(crate) fn push_float(out: &mut Out, cell_text: &[u8]) {
    if is_plain(cell_text) {
        out.push(cell_text)
    } else {
        push_converted(out, cell_text)
    }
}

#[inline(never)]
fn push_converted(out: &mut Out, cell_text: &[u8]) {
    match Decimal::read(cell_text) {
        Some(Decimal {
            exponent: None,
            fraction: b"0",
            ..
        }) => out.push(&cell_text[..cell_text.len() - 2]),
        Some(Decimal { exponent: None, .. }) => out.push(cell_text),
        Some(Decimal {
            negative,
            whole,
            fraction,
            exponent: Some(exponent),
        }) => {
            push_expanded(out, negative, whole, fraction, exponent);
        }
        None if matches!(cell_text, b"NaN" | b"inf" | b"-inf") => out.push(cell_text),
        None => push_escaped(out, cell_text),
    }
}

/// Whether the cell's text is a number, so that what [`push_float`] makes of it is one in JSON's
/// grammar, too.
#[inline]
pub(crate) fn is_number(cell_text: &[u8]) -> bool {
    is_plain(cell_text) || Decimal::read(cell_text).is_some()
}

/// Whether the text is `[-]whole[.fraction]` in the form of `Display`, but for zeros at the end of
/// a longer fraction.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let len = text.len();
    // A bit for each byte that is not a digit.
    let others = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) if len <= 16 => others(*first) | others(*last) << (len - 8),
        (Some(first), Some(last)) if len <= FLOAT_BYTES => {
            let middle = text[8..].first_chunk().map_or(0, |middle| others(*middle));
            others(*first) | middle << 8 | others(*last) << (len - 8)
        }
        (None, _) if len > 0 => others(load_short(text).to_le_bytes()) & !(u32::MAX << len),
        _ => return false,
    };
    let start = usize::from(text[0] == b'-');
    let others = others >> start << start;
    let point = if others == 0 {
        len
    } else {
        others.trailing_zeros() as usize
    };
    if point == start || text[start] == b'0' && point > start + 1 {
        return false;
    }
    match text[point..] {
        [] => true,
        [b'.', b'0'] => false,
        [b'.', _, ..] => others.is_power_of_two(),
        _ => false,
    }
}

/// One bit per byte, the first in the lowest: set if it is not a digit.
#[inline]
fn others(bytes: [u8; 8]) -> u32 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let offset = u64::from_le_bytes(bytes) ^ ASCII_ZEROS;
    // Above 9, adding 0x76 reaches the high bit; no sum leaves its byte.
    let marks = (((offset & !HIGH) + 0x7676_7676_7676_7676) | offset) & HIGH;
    // Gathers the bits in the top byte: all products fall on different bits.
    ((marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// `[-]whole[.fraction][e[-]exponent]`
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    /// Empty without a point.
    fraction: &'a [u8],
    exponent: Option<i32>,
}

impl<'a> Decimal<'a> {
    /// The largest exponent of a float's text, by magnitude (`5e-324`).
    const MAX_EXPONENT: usize = 324;

    #[inline]
    fn read(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(rest)?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest)?,
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => None,
            [b'e', rest @ ..] if whole != b"0" => Some(Self::read_exponent(rest)?),
            _ => return None,
        };
        Some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    #[cold]
    fn read_exponent(text: &[u8]) -> Option<i32> {
        let (sign, rest) = match text {
            [b'-', rest @ ..] => (-1, rest),
            _ => (1, text),
        };
        let (digits, rest) = split_digits(rest)?;
        if !rest.is_empty() || digits.len() > 3 {
            return None;
        }
        let magnitude = digits
            .iter()
            .fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
        (magnitude <= Self::MAX_EXPONENT).then_some(sign * magnitude as i32)
    }
}

#[cold]
#[inline(never)]
fn push_expanded(out: &mut Out, negative: bool, whole: &[u8], fraction: &[u8], exponent: i32) {
    if negative {
        out.push_byte(b'-');
    }
    let shift = exponent.unsigned_abs() as usize;
    if exponent >= 0 {
        // The point moves right, over the fraction and then over zeros.
        let (passed, rest) = fraction.split_at(shift.min(fraction.len()));
        out.push(whole);
        out.push(passed);
        push_zeros(out, shift - passed.len());
        if !rest.is_empty() {
            out.push_byte(b'.');
            out.push(rest);
        }
    } else {
        let (rest, passed) = whole.split_at(whole.len() - shift.min(whole.len()));
        if rest.is_empty() {
            out.push_byte(b'0');
        }
        out.push(rest);
        out.push_byte(b'.');
        push_zeros(out, shift - passed.len());
        out.push(passed);
        out.push(fraction);
    }
}

/// Splits `text` behind its leading digits, of which there is at least one.
#[inline]
fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    if digits == 0 {
        None
    } else {
        text.split_at_checked(digits)
    }
}

fn push_zeros(out: &mut Out, count: usize) {
    const ZEROS: [u8; Decimal::MAX_EXPONENT] = [b'0'; Decimal::MAX_EXPONENT];
    out.push(&ZEROS[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Random floats per test: `KAKASHI_FLOAT_CASES=50000000 cargo test --release number`.
    fn cases() -> u64 {
        let cases = std::env::var("KAKASHI_FLOAT_CASES").ok();
        cases.map_or(200_000, |cases| cases.parse().expect("KAKASHI_FLOAT_CASES is a number"))
    }

    /// SplitMix64: equidistributed, and a failing case is found again.
    struct Bits(u64);

    impl Bits {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ z >> 31
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }
    }

    fn expanded(cell: &[u8]) -> String {
        let mut buf = [0; 400];
        let mut out = Out::new(&mut buf);
        push_float(&mut out, cell);
        assert!(!out.overflowed());
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    fn check(cell: ([u8; FLOAT_BYTES], u8), display: &str, debug: &dyn std::fmt::Debug) {
        let (text, rest) = cell.0.split_at(cell.1.into());
        assert_eq!(expanded(text), display, "{debug:?}");
        assert!(rest.iter().all(|&byte| byte == 0), "{debug:?}");
    }

    fn check_f64(v: f64) {
        check(f64_cell(v), &v.to_string(), &v);
        check(f64_cell(-v), &(-v).to_string(), &-v);
    }

    fn check_f32(v: f32) {
        check(f32_cell(v), &v.to_string(), &v);
        check(f32_cell(-v), &(-v).to_string(), &-v);
    }

    #[test]
    fn any_bits_read_as_display() {
        let mut bits = Bits(1);
        for _ in 0..cases() {
            check_f64(f64::from_bits(bits.next()));
        }
        (0..cases()).for_each(|_| check_f32(f32::from_bits(bits.next() as u32)));
    }

    #[test]
    #[ignore = "takes half an hour"]
    fn every_f32_reads_as_display() {
        (0..=u32::MAX >> 1).for_each(|bits| check_f32(f32::from_bits(bits)));
    }

    /// Decimals with few digits, the fast path, and their neighbours, which are just not on it.
    #[test]
    fn prices_read_as_display() {
        let mut bits = Bits(2);
        for _ in 0..cases() {
            let size = bits.below(18) as u32;
            let n = bits.below(10_u64.pow(size)) as f64;
            let price = n / 10_f64.powi(bits.below(12) as i32);
            check_f64(price);
            check_f64(f64::from_bits(price.to_bits() + bits.below(3)));
            check_f32(price as f32);
            check_f32(f32::from_bits((price as f32).to_bits() + bits.below(3) as u32));
        }
    }

    /// Where rounding changes: powers of two and of ten, halves, and the bounds of the tiers, with
    /// their neighbours.
    #[test]
    fn edges_read_as_display() {
        let wide = (-1080..1024)
            .map(|e| 2_f64.powi(e))
            .chain((-330..309).map(|e| format!("1e{e}").parse().unwrap()));
        for edge in wide
            .chain((0..1000).map(|n| f64::from(n) / 8.0))
            .chain([f64::MAX, f64::MIN_POSITIVE])
        {
            for bits in edge.to_bits().saturating_sub(2)..=edge.to_bits() + 2 {
                check_f64(f64::from_bits(bits));
            }
            let edge = edge as f32;
            for bits in edge.to_bits().saturating_sub(2)..=edge.to_bits() + 2 {
                check_f32(f32::from_bits(bits));
            }
        }
        for v in [
            f64::NAN,
            f64::INFINITY,
            0.0,
            0.1 + 0.2,
            1e15,
            1e16,
            1e21,
            1.5e-7,
            (1_u64 << 53) as f64,
        ] {
            check_f64(v);
            check_f32(v as f32);
        }
    }

    /// Exact halves of a decimal place, with around as many digits as a float has.
    #[test]
    fn ties_read_as_display() {
        let mut bits = Bits(3);
        for _ in 0..cases() {
            let places = bits.below(30) as i32;
            let significand = bits.next() >> bits.below(53) | 1;
            check_f64((significand >> 11 | 1) as f64 / 2_f64.powi(places));
            check_f32((significand >> 40 | 1) as f32 / 2_f32.powi(places));
        }
        let tie = 831_157_300_324_114_f64 + 0.25;
        assert_eq!(f64_cell(tie).0[..20], *b"8.311573003241143e14");
    }

    #[test]
    fn short_decimals_take_the_fast_path() {
        // `ryu` would have left its mark.
        assert_eq!(f64_cell(100.0).0[..4], *b"100\0");
        assert_eq!(f64_cell(-101.25).0[..8], *b"-101.25\0");
        assert_eq!(f64_cell(-0.0).0[..3], *b"-0\0");
        assert_eq!(f32_cell(100.0).0[..4], *b"100\0");
        assert_eq!(f32_cell(1.1).0[..4], *b"1.1\0");
    }

    #[test]
    fn exponents_are_written_out() {
        for (cell, text) in [
            ("1e21", "1000000000000000000000"),
            ("1.5e-7", "0.00000015"),
            ("1e0", "1"),
            ("2.5e0", "2.5"),
            ("-1.25e1", "-12.5"),
            ("1.25e2", "125"),
            ("123.5e-2", "1.235"),
            ("100.0", "100"),
            ("-0.0", "-0"),
            ("5e-324", &format!("0.{}5", "0".repeat(323))),
        ] {
            assert_eq!(expanded(cell.as_bytes()), text);
            assert!(is_number(cell.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_a_number_stays_as_it_is() {
        for cell in [
            "", "-", ".", ".5", "5.", "1.2.3", "--1", "1-", "01", "1e", "1e-", "0e5", "1e325", "1e9999", "1e+5", "e5",
            "NaN", "inf", "-inf", "-NaN", "infinity", "1 ",
        ] {
            assert_eq!(expanded(cell.as_bytes()), cell);
            assert!(!is_number(cell.as_bytes()));
        }
        assert_eq!(expanded(b"1\n\xFF"), "1\\n\u{FFFD}");
    }

    proptest! {
        #[test]
        fn garbage_is_bounded(
            bytes in prop::collection::vec(any::<u8>(), 0..=FLOAT_BYTES),
            almost in "-?[0-9.e-]{0,23}",
        ) {
            for cell in [&bytes, almost.as_bytes()] {
                let text = expanded(cell);
                if is_number(cell) {
                    let cell: f64 = std::str::from_utf8(cell).unwrap().parse().unwrap();
                    prop_assert_eq!(text.parse::<f64>().unwrap(), cell);
                }
            }
        }

        #[test]
        fn decimal8_is_the_eight_digits(n in 0_u32..100_000_000) {
            let digits = decimal8(n).to_le_bytes().map(|digit| char::from(digit + b'0'));
            prop_assert_eq!(String::from_iter(digits), format!("{n:08}"));
        }
    }
}
