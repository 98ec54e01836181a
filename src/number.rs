//! Floats on the calling thread: a text of at most 24 bytes. The writer brings it into the form of
//! `core::fmt::Display` (`format/float.rs`).
//!
//! `Display` writes exponents out, up to 327 characters for an `f64`; a cell has room for the
//! shortest digits only, so the caller stores `1.5e-7` and the writer expands it to `0.00000015`.
//!
//! Decision: one exactness test, then `zmij` (Schubfach and its successors, the algorithm of `serde_json`): it finds the
//! digits of a double with seventeen of them in 18 ns where `ryu` takes 36, random ones in 24 where it takes 46, and
//! differs from it only in writing `e+21`. Trying 0, 1, 2, ... decimals costs a division each and
//! finds prices late; scaling once to as many decimals as leave at most 15 digits (8 below 10^7),
//! and dropping trailing zeros from the digits, costs one division for every float, short or not.
//!
//! # Why the digits are those of `Display`
//!
//! `Display` and `zmij` give the shortest decimal that reads back as the float, and the nearest to
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
//!   to the nearest integer gives `n`. Not finding one would still be right: `zmij` is the answer to
//!   every other float.
//!
//! `zmij`, as `ryu`, differs from `Display` in ties, where `a` is exactly between the two shortest decimals: it
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

/// Bytes of a float's text at most: `-2.2250738585072014e-308`.
pub(crate) const FLOAT_BYTES: usize = 24;

/// Its last place is 1: adding it rounds a smaller positive number to an integer, which the low
/// bits then hold.
const ROUND_F64: f64 = (1_u64 << 52) as f64;
const ROUND_F32: f32 = (1_u32 << 23) as f32;

/// A text of at most 24 bytes as three words, its first byte in the lowest; zero bytes behind it.
///
/// Words rather than bytes in memory: they stay in registers until they are stored where they belong, and wide
/// loads of bytes just stored narrowly would wait for the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) words: [u64; 3],
    pub(crate) len: u8,
    /// It is a number as `Display` writes it: nothing is left to be done to it.
    pub(crate) plain: bool,
}

impl Short {
    /// Sixteen bytes of text behind a sign.
    #[inline(always)]
    fn signed(negative: bool, low: u64, high: u64, len: u32) -> Self {
        let words = match negative {
            false => [low, high, 0],
            true => [low << 8 | u64::from(b'-'), high << 8 | low >> 56, high >> 56],
        };
        Short { words, len: len as u8 + u8::from(negative), plain: true }
    }

    fn of(text: &[u8]) -> Self {
        let (whole, rest) = text.as_chunks::<8>();
        let word = |at: usize| match whole.get(at) {
            Some(word) => u64::from_le_bytes(*word),
            None if at == whole.len() && !rest.is_empty() => load_short(rest),
            None => 0,
        };
        Short { words: [word(0), word(1), word(2)], len: text.len() as u8, plain: false }
    }

    /// The bytes; those from `len` on are zero.
    #[inline]
    pub(crate) fn bytes(&self) -> [u8; FLOAT_BYTES] {
        let mut bytes = [0; FLOAT_BYTES];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }
}

/// The text of `v`. [`push_float`](crate::format) expands it.
#[inline(always)]
pub(crate) fn f64_text(v: f64) -> Short {
    match f64_hundred_millionths(v) {
        Some(n) => short_text(v.is_sign_negative(), n),
        None => f64_long_text(v),
    }
}

/// The magnitude of `v` times 10^8, if it is below 10^7 and has no more decimals.
#[inline(always)]
pub(crate) fn f64_hundred_millionths(v: f64) -> Option<u64> {
    let a = v.abs();
    let rounded = a * 1e8 + ROUND_F64;
    // NaN and infinity are not below the bound.
    (a < 1e7 && (rounded - ROUND_F64) / 1e8 == a).then(|| rounded.to_bits() - ROUND_F64.to_bits())
}

/// As [`f64_text`], with the shortest digits of an `f32`.
#[inline]
pub(crate) fn f32_text(v: f32) -> Short {
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
        short_text(v.is_sign_negative(), u64::from(n) * FACTORS[decimals])
    } else {
        f32_digits(v)
    }
}

/// Large numbers with few decimals, times and counts among them, and all that have too many digits.
#[inline(never)]
fn f64_long_text(v: f64) -> Short {
    let a = v.abs();
    if a < 1e7 {
        return f64_digits(v);
    }
    let (scale, decimals) = if a < 1e9 {
        (1e6, 6)
    } else if a < 1e12 {
        (1e3, 3)
    } else if a < 1e15 {
        (1e0, 0)
    } else {
        return f64_digits(v);
    };
    let rounded = a * scale + ROUND_F64;
    if (rounded - ROUND_F64) / scale != a {
        return f64_digits(v);
    }
    let n = rounded.to_bits() - ROUND_F64.to_bits();
    long_text(v.is_sign_negative(), n, decimals)
}

fn f64_digits(v: f64) -> Short {
    static TIES: [u64; 26] = ties(18);
    if may_tie(v, &TIES) {
        return text_by_core(&v);
    }
    let text = Short::of(zmij::Buffer::new().format(v).as_bytes());
    // There, `zmij` writes no exponent, and nothing whole comes here, to which it would add `.0`.
    Short { plain: (1e-5..1e15).contains(&v.abs()), ..text }
}

#[inline(never)]
fn f32_digits(v: f32) -> Short {
    static TIES: [u64; 26] = ties(10);
    if may_tie(v.into(), &TIES) {
        return text_by_core(&v);
    }
    let text = Short::of(zmij::Buffer::new().format(v).as_bytes());
    // As in `f64_digits`.
    Short { plain: (1e-6..1e6).contains(&v.abs()), ..text }
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
fn text_by_core(v: &dyn LowerExp) -> Short {
    let mut bytes = [0; FLOAT_BYTES];
    let mut rest = &mut bytes[..];
    let fits = write!(rest, "{v:e}");
    debug_assert!(fits.is_ok());
    let len = FLOAT_BYTES - rest.len();
    Short::of(&bytes[..len])
}

/// The text of `n / 10^8` without trailing zeros, for `n < 10^15`.
#[inline]
fn short_text(negative: bool, n: u64) -> Short {
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
    Short::signed(negative, low, high, len)
}

/// The text of `n / 10^decimals` without trailing zeros, for `n < 10^15` and at most 14 decimals.
fn long_text(negative: bool, n: u64, decimals: u32) -> Short {
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
    let (len, point) = if fraction == 0 { (whole, 0) } else { (whole + 1 + fraction, b'0' ^ b'.') };
    let ascii = (u128::MAX / 255 * u128::from(b'0')) >> (8 * (16 - len));
    let text = (digits & whole_mask | (digits & !whole_mask) << 8 | ascii) ^ u128::from(point) << (8 * whole);
    Short::signed(negative, text as u64, (text >> 64) as u64, len)
}

/// The decimal digits of `n` behind a sign, for `n` below 10^16.
///
/// Decision: digits are made eight at a time in a register rather than by `itoa`, which stores pairs of them: a
/// word load of what narrow stores have just written waits until they have left the store queue. Three values, as
/// text, took 57 ns a call with it and 38 without. `itoa` serves what is longer.
#[inline(always)]
pub(crate) fn integer_text(negative: bool, n: u64) -> Short {
    debug_assert!(n < 10_000_000_000_000_000);
    let (low, high, len);
    if n < 100_000_000 {
        // At least one digit: the bit keeps the last byte out of the count of leading zeros.
        let digits = decimal8(n as u32);
        let zeros = (digits | 1 << 56).trailing_zeros() & !7;
        (low, high, len) = ((digits | ASCII_ZEROS) >> zeros, 0, 8 - zeros / 8);
    } else {
        let (first, second) = (decimal8((n / 100_000_000) as u32), decimal8((n % 100_000_000) as u32));
        let zeros = first.trailing_zeros() & !7;
        let digits = (u128::from(first | ASCII_ZEROS) | u128::from(second | ASCII_ZEROS) << 64) >> zeros;
        (low, high, len) = (digits as u64, (digits >> 64) as u64, 16 - zeros / 8);
    }
    Short::signed(negative, low, high, len)
}

/// The same for any `n`.
#[inline(never)]
pub(crate) fn long_integer_text(negative: bool, n: u64) -> Short {
    let mut bytes = [b'-'; FLOAT_BYTES];
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(n).as_bytes();
    let sign = usize::from(negative);
    bytes[sign..][..digits.len()].copy_from_slice(digits);
    Short::of(&bytes[..sign + digits.len()])
}

pub(crate) const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight decimal digits of `n < 10^8` as bytes `0..=9`, the first in the low byte.
///
/// Two, four and eight digits are split in parallel lanes of one word: `x + q * (2^k - d)` is the quotient `q` of `x` by
/// `d` in the upper `k` bits of a lane, and the rest in the lower ones. The reciprocals are exact in their ranges
/// (`10486 / 2^20` below 10^4, `103 / 2^10` below 100).
#[inline]
pub(crate) fn decimal8(n: u32) -> u64 {
    debug_assert!(n < 100_000_000);
    let n = u64::from(n);
    let fours = n + n / 10_000 * ((1 << 32) - 10_000);
    let hundreds = ((fours * 10_486) >> 20) & 0x7F_0000_007F;
    let pairs = fours + hundreds * ((1 << 16) - 100);
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    // The first digit is the highest byte.
    (pairs + tens * ((1 << 8) - 10)).swap_bytes()
}

/// One to seven bytes, and zeros beyond them.
#[inline]
pub(crate) fn load_short(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Both hold the bytes in the middle, at the same place.
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        u64::from(low) | u64::from(high) << (8 * (len - 4))
    } else {
        let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
        byte(0) | byte(len / 2) | byte(len - 1)
    }
}
