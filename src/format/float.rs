//! Floats in the form of `core::fmt::Display`, from the texts that `number.rs` makes.
#![forbid(unsafe_code)]

use super::escape::push_escaped;
use super::out::Out;
use crate::number::{ASCII_ZEROS, FLOAT_BYTES, load_short};

/// Appends a cell's text as `Display` writes the float: no `.0`, exponents written out.
///
/// At most 400 bytes for any cell, and no panic: what is not a float's text is appended escaped.
#[inline]
pub(crate) fn push_float(out: &mut Out, cell_text: &[u8]) {
    if is_plain(cell_text) { out.push(cell_text) } else { push_converted(out, cell_text) }
}

#[inline(never)]
fn push_converted(out: &mut Out, cell_text: &[u8]) {
    match Decimal::read(cell_text) {
        Some(Decimal { exponent: None, fraction: b"0", .. }) => out.push(&cell_text[..cell_text.len() - 2]),
        Some(Decimal { exponent: None, .. }) => out.push(cell_text),
        Some(Decimal { negative, whole, fraction, exponent: Some(exponent) }) => {
            push_expanded(out, negative, whole, fraction, exponent);
        }
        None if matches!(cell_text, b"NaN" | b"inf" | b"-inf") => out.push(cell_text),
        None => push_escaped(out, cell_text),
    }
}

/// Whether the text is `[-]whole[.fraction]` in the form of `Display`, but for zeros at the end of
/// a longer fraction.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    matches!(form(text), Form::Whole | Form::Fraction)
}

/// The form of a float's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `[-]whole`
    Whole,
    /// `[-]whole.fraction`
    Fraction,
    /// `[-]whole.0`
    ZeroFraction,
    /// Any other, and what is no float's text.
    Other,
}

#[inline]
pub(super) fn form(text: &[u8]) -> Form {
    let len = text.len();
    // A bit for each byte that is not a digit.
    let others = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) if len <= 16 => others(*first) | others(*last) << (len - 8),
        (Some(first), Some(last)) if len <= FLOAT_BYTES => {
            let middle = text[8..].first_chunk().map_or(0, |middle| others(*middle));
            others(*first) | middle << 8 | others(*last) << (len - 8)
        }
        (None, _) if len > 0 => others(load_short(text).to_le_bytes()) & !(u32::MAX << len),
        _ => return Form::Other,
    };
    let start = usize::from(text[0] == b'-');
    let others = others >> start << start;
    let point = if others == 0 { len } else { others.trailing_zeros() as usize };
    if point == start || text[start] == b'0' && point > start + 1 {
        return Form::Other;
    }
    match text[point..] {
        [] => Form::Whole,
        [b'.', b'0'] => Form::ZeroFraction,
        [b'.', _, ..] if others.is_power_of_two() => Form::Fraction,
        _ => Form::Other,
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

/// `[-]whole[.fraction][e[+-]exponent]`
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
        Some(Self { negative, whole, fraction, exponent })
    }

    #[cold]
    fn read_exponent(text: &[u8]) -> Option<i32> {
        let (sign, rest) = match text {
            [b'-', rest @ ..] => (-1, rest),
            [b'+', rest @ ..] => (1, rest),
            _ => (1, text),
        };
        let (digits, rest) = split_digits(rest)?;
        if !rest.is_empty() || digits.len() > 3 {
            return None;
        }
        let magnitude = digits.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
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
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 { None } else { text.split_at_checked(digits) }
}

fn push_zeros(out: &mut Out, count: usize) {
    const ZEROS: [u8; Decimal::MAX_EXPONENT] = [b'0'; Decimal::MAX_EXPONENT];
    out.push(&ZEROS[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Short, decimal8, f32_text, f64_text, integer_text, long_integer_text};
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

    fn check(cell: Short, display: &str, debug: &dyn std::fmt::Debug) {
        let bytes = cell.bytes();
        let (text, rest) = bytes.split_at(cell.len.into());
        assert_eq!(expanded(text), display, "{debug:?}");
        assert!(!cell.plain || text == display.as_bytes(), "{debug:?}");
        assert!(rest.iter().all(|&byte| byte == 0), "{debug:?}");
    }

    fn check_f64(v: f64) {
        check(f64_text(v), &v.to_string(), &v);
        check(f64_text(-v), &(-v).to_string(), &-v);
    }

    fn check_f32(v: f32) {
        check(f32_text(v), &v.to_string(), &v);
        check(f32_text(-v), &(-v).to_string(), &-v);
    }

    #[test]
    fn any_bits_read_as_display() {
        let mut bits = Bits(1);
        for _ in 0..cases() {
            check_f64(f64::from_bits(bits.next()));
        }
        (0..cases()).for_each(|_| check_f32(f32::from_bits(bits.next() as u32)));
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
        for edge in wide.chain((0..1000).map(|n| f64::from(n) / 8.0)).chain([f64::MAX, f64::MIN_POSITIVE]) {
            for bits in edge.to_bits().saturating_sub(2)..=edge.to_bits() + 2 {
                check_f64(f64::from_bits(bits));
            }
            let edge = edge as f32;
            for bits in edge.to_bits().saturating_sub(2)..=edge.to_bits() + 2 {
                check_f32(f32::from_bits(bits));
            }
        }
        for v in [f64::NAN, f64::INFINITY, 0.0, 0.1 + 0.2, 1e15, 1e16, 1e21, 1.5e-7, (1_u64 << 53) as f64] {
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
        assert_eq!(f64_text(tie).bytes()[..20], *b"8.311573003241143e14");
    }

    #[test]
    fn short_decimals_take_the_fast_path() {
        // `zmij` would have left its mark.
        assert_eq!(f64_text(100.0).bytes()[..4], *b"100\0");
        assert_eq!(f64_text(-101.25).bytes()[..8], *b"-101.25\0");
        assert_eq!(f64_text(-0.0).bytes()[..3], *b"-0\0");
        assert_eq!(f32_text(100.0).bytes()[..4], *b"100\0");
        assert_eq!(f32_text(1.1).bytes()[..4], *b"1.1\0");
    }

    #[test]
    fn exponents_are_written_out() {
        for (cell, text) in [
            ("1e21", "1000000000000000000000"),
            ("1e+21", "1000000000000000000000"),
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
        }
    }

    #[test]
    fn what_is_not_a_number_stays_as_it_is() {
        for cell in [
            "", "-", ".", ".5", "5.", "1.2.3", "--1", "1-", "01", "1e", "1e-", "0e5", "1e325", "1e9999",
            "1e+", "1e+-5", "e5", "NaN", "inf", "-inf", "-NaN", "infinity", "1 ",
        ] {
            assert_eq!(expanded(cell.as_bytes()), cell);
        }
        assert_eq!(expanded(b"1\n\xFF"), "1\\n\u{FFFD}");
    }

    proptest! {
        #[test]
        fn garbage_is_bounded(
            bytes in prop::collection::vec(any::<u8>(), 0..=FLOAT_BYTES),
            almost in "-?[0-9.e+-]{0,23}",
        ) {
            for cell in [&bytes, almost.as_bytes()] {
                let text = expanded(cell);
                if is_plain(cell) || Decimal::read(cell).is_some() {
                    let cell: f64 = std::str::from_utf8(cell).unwrap().parse().unwrap();
                    prop_assert_eq!(text.parse::<f64>().unwrap(), cell);
                }
            }
        }

        #[test]
        fn integers_read_as_display(n: u64, bits in 0_u32..64) {
            let n = n >> bits;
            for negative in [false, true] {
                let expected = if negative { format!("-{n}") } else { n.to_string() };
                let short = (n < 10_000_000_000_000_000).then(|| integer_text(negative, n));
                for text in short.into_iter().chain([long_integer_text(negative, n)]) {
                    prop_assert_eq!(&text.bytes()[..text.len.into()], expected.as_bytes());
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
