//! Values with a format of their own, `{:>10.3}`, `{:#06x}`, `{name:<8}`, without `core::fmt`: a text of at most sixteen
//! bytes, made in registers. What is longer, or not known here, is `core::fmt`'s ([`Fit::fitted`] says `None`).
//!
//! Decision: the calling thread makes the text, whatever the encoding. Storing number and spec for the writer would
//! save a `Deferred` call some ten nanoseconds, and cost a kind of cell that every reader of records has to know.
//! With `core::fmt` such a call took 1211 instructions, most of them for the digits of a double.
//!
//! # Why the digits are those of `core::fmt`
//!
//! A precision asks for the decimal with so many places that is nearest to the float, and of two equally near ones for
//! that with an even last digit. A double is `m * 2^-s` with an integer `m` of 53 bits. Times `10^p` it is `m * 10^p`,
//! below `2^100` for `p <= 14` and so exact in 128 bits, over `2^s`; adding one less than half of `2^s`, and one more if the
//! quotient is odd, and dropping `s` bits rounds it that way. Nothing is approximated anywhere. For `s` above 127 (the
//! float is below `2^-74`) the quotient is 0 and the rest below a half also with `s = 127`. For `p <= 3` 64 bits do.

#![forbid(unsafe_code)]

use crate::number::{ASCII_ZEROS, Short, decimal8, f32_text, f64_text, load_short};

/// Bytes of the longest text.
const BYTES: u32 = 16;
/// What has more digits is left to `core::fmt`.
const MOST: u64 = 10_u64.pow(15);

/// What stands behind the colon of a placeholder.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    fill: u8,
    /// None was given: numbers stand at the right, texts at the left.
    align: Option<Align>,
    plus: bool,
    alternate: bool,
    zero: bool,
    base: Base,
    width: usize,
    precision: usize,
    /// False if there is a fill character of more than a byte, or an unknown size.
    known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Align {
    Left,
    Center,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    Decimal,
    LowerHex,
    UpperHex,
}

impl Spec {
    /// As a precision: there is none.
    pub const NONE: usize = usize::MAX;
    /// A width or precision that only `core::fmt` knows.
    pub const UNKNOWN: usize = usize::MAX - 1;

    /// Of `[[fill]align][sign]['#']['0']`, and of the type: nothing, `x` or `X`.
    pub const fn new(flags: &str, kind: &str) -> Self {
        let mut spec = Spec {
            fill: b' ',
            align: None,
            plus: false,
            alternate: false,
            zero: false,
            base: match kind.as_bytes() {
                b"x" => Base::LowerHex,
                b"X" => Base::UpperHex,
                _ => Base::Decimal,
            },
            width: 0,
            precision: Self::NONE,
            known: true,
        };
        let mut rest = flags.as_bytes();
        match rest {
            [fill, align @ (b'<' | b'^' | b'>'), more @ ..] => {
                (spec.fill, spec.align, rest) = (*fill, Self::align(*align), more);
            }
            [align @ (b'<' | b'^' | b'>'), more @ ..] => (spec.align, rest) = (Self::align(*align), more),
            _ => {}
        }
        while let [flag, more @ ..] = rest {
            match flag {
                b'+' => spec.plus = true,
                b'-' => {}
                b'#' => spec.alternate = true,
                b'0' => spec.zero = true,
                _ => spec.known = false,
            }
            rest = more;
        }
        spec
    }

    const fn align(byte: u8) -> Option<Align> {
        Some(match byte {
            b'<' => Align::Left,
            b'^' => Align::Center,
            _ => Align::Right,
        })
    }

    /// With a width (0: none) and a precision.
    #[inline(always)]
    pub const fn sized(self, width: usize, precision: usize) -> Self {
        let known = self.known && width != Self::UNKNOWN && precision != Self::UNKNOWN;
        Spec { width, precision, known, ..self }
    }

    #[inline(always)]
    fn sign(self, negative: bool) -> Prefix {
        match (negative, self.plus) {
            (true, _) => Prefix { bytes: b'-' as u128, len: 1 },
            (false, true) => Prefix { bytes: b'+' as u128, len: 1 },
            (false, false) => Prefix { bytes: 0, len: 0 },
        }
    }

    /// A number: a prefix, and the last `len` of the sixteen bytes of `body`, before which are zero digits.
    #[inline(always)]
    fn place(self, prefix: Prefix, body: u128, len: u32) -> Option<Fitted> {
        // Checked again below: here so that what follows is within bounds.
        let width = self.width.min(BYTES as usize) as u32;
        let len = if self.zero { len.max(width.saturating_sub(prefix.len)) } else { len };
        let shown = len + prefix.len;
        if shown > BYTES {
            return None;
        }
        let text = body >> (8 * (BYTES - len)) << (8 * prefix.len) | prefix.bytes;
        self.pad(text, shown, Align::Right)
    }

    /// A text of `len` bytes in the width.
    #[inline(always)]
    fn pad(self, text: u128, len: u32, align: Align) -> Option<Fitted> {
        if !self.known || self.width > BYTES as usize {
            return None;
        }
        let width = self.width as u32;
        let missing = width.saturating_sub(len);
        if missing == 0 {
            return Some(Fitted { text, len });
        }
        let align = match self.align {
            Some(align) => align,
            None => align,
        };
        let before = match align {
            Align::Left => 0,
            Align::Center => missing / 2,
            Align::Right => missing,
        };
        let fill = (ONES * u128::from(self.fill)) >> (8 * (BYTES - width));
        let in_front = fill & !(u128::MAX << (8 * before));
        let behind = match align {
            Align::Right => 0,
            _ => fill & u128::MAX << (8 * (width - (missing - before))),
        };
        Some(Fitted { text: text << (8 * before) | in_front | behind, len: width })
    }
}

/// A sign, or `0x` behind one.
#[derive(Clone, Copy)]
struct Prefix {
    bytes: u128,
    len: u32,
}

/// A text of at most sixteen bytes, the first in the lowest; zeros behind it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Fitted {
    pub(crate) text: u128,
    pub(crate) len: u32,
}

/// What has a text of its own for a [`Spec`].
#[doc(hidden)]
pub trait Fit {
    /// The text, as `core::fmt` makes it, or `None`: ask `core::fmt`. It has a byte at least.
    fn fitted(&self, spec: Spec) -> Option<Fitted>;
}

impl<T: Fit + ?Sized> Fit for &T {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        (**self).fitted(spec)
    }
}

macro_rules! integers {
    ($($int:ty as $unsigned:ty;)*) => {$(
        impl Fit for $int {
            #[inline(always)]
            fn fitted(&self, spec: Spec) -> Option<Fitted> {
                match spec.base {
                    #[allow(unused_comparisons)] // of unsigned types
                    Base::Decimal => decimal(spec, *self < 0, (*self as i128).unsigned_abs() as u64),
                    _ => hexadecimal(spec, (*self as $unsigned).into()),
                }
            }
        }
    )*};
}

integers! {
    u8 as u8;
    u16 as u16;
    u32 as u32;
    u64 as u64;
    i8 as u8;
    i16 as u16;
    i32 as u32;
    i64 as u64;
}

impl Fit for usize {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        (*self as u64).fitted(spec)
    }
}

impl Fit for isize {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        (*self as i64).fitted(spec)
    }
}

impl Fit for f64 {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        match spec.precision {
            Spec::NONE => shortest(spec, self.is_sign_negative(), f64_text(self.abs())),
            _ => fixed(spec, *self),
        }
    }
}

impl Fit for f32 {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        match spec.precision {
            Spec::NONE => shortest(spec, self.is_sign_negative(), f32_text(self.abs())),
            // The same number: only its shortest digits are others.
            _ => fixed(spec, (*self).into()),
        }
    }
}

impl Fit for str {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        // Of ASCII a byte is a character; and `x` is nothing that a text has.
        if self.len() > BYTES as usize || !self.is_ascii() {
            return None;
        }
        let bytes = &self.as_bytes()[..self.len().min(spec.precision)];
        let len = bytes.len() as u32;
        let text = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                u128::from(u64::from_le_bytes(*first))
                    | u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8))
            }
            _ if bytes.is_empty() => return None,
            _ => load_short(bytes).into(),
        };
        spec.pad(text, len, Align::Left)
    }
}

impl Fit for String {
    #[inline(always)]
    fn fitted(&self, spec: Spec) -> Option<Fitted> {
        self.as_str().fitted(spec)
    }
}

#[inline(always)]
fn decimal(spec: Spec, negative: bool, n: u64) -> Option<Fitted> {
    if n >= MOST {
        return None;
    }
    let digits = digits(n);
    spec.place(spec.sign(negative), digits | ZEROS, significant(digits))
}

#[inline(always)]
fn hexadecimal(spec: Spec, n: u64) -> Option<Fitted> {
    let letter = match spec.base {
        Base::UpperHex => b'A',
        _ => b'a',
    };
    let digits = u128::from(nibbles((n >> 32) as u32)) | u128::from(nibbles(n as u32)) << 64;
    let letters = (digits + ONES * 6) >> 4 & ONES;
    let text = digits + ZEROS + letters * u128::from(letter - b'0' - 10);
    let sign = spec.sign(false);
    let prefix = if spec.alternate {
        Prefix {
            bytes: sign.bytes | u128::from(u16::from_le_bytes(*b"0x")) << (8 * sign.len),
            len: sign.len + 2,
        }
    } else {
        sign
    };
    spec.place(prefix, text, significant(digits))
}

/// `v` with as many decimals as the spec's precision.
#[inline(always)]
fn fixed(spec: Spec, v: f64) -> Option<Fitted> {
    const POWERS: [u64; 15] = {
        let mut powers = [1; 15];
        let mut at = 1;
        while at < 15 {
            powers[at] = powers[at - 1] * 10;
            at += 1;
        }
        powers
    };
    let bits = v.abs().to_bits();
    // 0 from 2^52 on, also for NaN and infinity.
    let shift = (1075_u32).saturating_sub((bits >> 52) as u32).min(127);
    let power = *POWERS.get(spec.precision)?;
    if shift == 0 {
        return None;
    }
    // Of a subnormal number the bit is too much: it makes no difference.
    let significand = bits & ((1 << 52) - 1) | 1 << 52;
    let rounded = if power <= 1000 {
        // The product is below 2^63. Without a shift that leaves some of it, it is not even a half.
        let product = if shift < 64 { significand * power } else { 0 };
        let shift = shift.min(63);
        let odd = product >> shift & 1;
        u128::from((product + ((1 << (shift - 1)) - 1) + odd) >> shift)
    } else {
        let product = u128::from(significand) * u128::from(power);
        let odd = product >> shift & 1;
        (product + ((1 << (shift - 1)) - 1) + odd) >> shift
    };
    if rounded >= u128::from(MOST) {
        return None;
    }
    let digits = digits(rounded as u64);
    let (body, len) = match spec.precision as u32 {
        0 => (digits | ZEROS, significant(digits)),
        places => {
            // The first of the sixteen digits is a zero, and makes room for the point.
            let fraction = u128::MAX << (8 * (BYTES - places));
            let ascii = digits | ZEROS;
            let point = u128::from(b'.') << (8 * (BYTES - places - 1));
            let whole = (ascii & !fraction) >> 8;
            (whole | point | ascii & fraction, significant(digits).max(places + 1) + 1)
        }
    };
    spec.place(spec.sign(v.is_sign_negative()), body, len)
}

/// A float's shortest text, if it is as `Display` writes it.
#[inline(always)]
fn shortest(spec: Spec, negative: bool, text: Short) -> Option<Fitted> {
    let len = u32::from(text.len);
    if !text.plain || len > BYTES {
        return None;
    }
    let front = BYTES - len;
    let text = u128::from(text.words[0]) | u128::from(text.words[1]) << 64;
    let zeros = ZEROS & !(u128::MAX.checked_shl(8 * front).unwrap_or(0));
    spec.place(spec.sign(negative), text << (8 * front) | zeros, len)
}

const ONES: u128 = u128::MAX / 255;
const ZEROS: u128 = ASCII_ZEROS as u128 | (ASCII_ZEROS as u128) << 64;

/// The sixteen digits of `n < 10^16`, as bytes `0..=9`, the first in the lowest.
#[inline(always)]
fn digits(n: u64) -> u128 {
    const SPLIT: u64 = 100_000_000;
    if n < SPLIT {
        u128::from(decimal8(n as u32)) << 64
    } else {
        u128::from(decimal8((n / SPLIT) as u32)) | u128::from(decimal8((n % SPLIT) as u32)) << 64
    }
}

/// How many of sixteen digits there are without leading zeros, one at least.
#[inline(always)]
fn significant(digits: u128) -> u32 {
    16 - (digits | 1 << 120).trailing_zeros() / 8
}

/// The eight hexadecimal digits of `n`, as bytes `0..=15`, the first in the lowest.
#[inline(always)]
fn nibbles(n: u32) -> u64 {
    let bytes = u64::from(n.swap_bytes());
    let pairs = (bytes | bytes << 16) & 0x0000_FFFF_0000_FFFF;
    let lanes = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
    (lanes >> 4 | lanes << 8) & 0x0F0F_0F0F_0F0F_0F0F
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt;

    fn text(fitted: Fitted) -> String {
        let bytes = fitted.text.to_le_bytes();
        let (text, rest) = bytes.split_at(fitted.len as usize);
        assert!(rest.iter().all(|&byte| byte == 0), "{fitted:?}");
        String::from_utf8(text.to_vec()).unwrap()
    }

    /// By every combination of flags and type, what there is and what `format!` makes of it.
    fn checked<T: Fit + fmt::Debug>(
        v: &T,
        width: usize,
        precision: usize,
        by_core: &[(Spec, &str, String)],
    ) -> usize {
        let mut fitted = 0;
        for (spec, flags, expected) in by_core {
            if let Some(shown) = v.fitted(spec.sized(width, precision)) {
                assert_eq!(text(shown), *expected, "{v:?} by {flags:?}, {width}, {precision}");
                fitted += 1;
            }
        }
        fitted
    }

    macro_rules! by_core {
        ($v:ident, $width:ident, $kind:literal) => {
            by_core!($v, $width, $width, "width$", $kind)
        };
        // A size that a format does not name would be an error: it names the width twice where it has no precision.
        ($v:ident, $width:ident, $precision:ident, $sizes:literal, $kind:literal) => {
            by_core!($v, $width, $precision, $sizes, $kind, [
                "" "<" "^" ">" "+" "#" "0" "+#0" "*<" "*^" "*>" "0<" "0^+" "0>" "-" ">+" "^0" "}^" "<<" "^+#" ">-#0"
            ])
        };
        ($v:ident, $width:ident, $precision:ident, $sizes:literal, $kind:literal, [$($flags:literal)*]) => {
            [$((
                Spec::new($flags, $kind),
                $flags,
                format!(concat!("{2:.0$}{1:", $flags, $sizes, $kind, "}"), $precision, $v, "", width = $width),
            )),*]
        };
    }

    /// How many of the texts there were.
    fn integer<T: Fit + fmt::Display + fmt::LowerHex + fmt::UpperHex + fmt::Debug>(
        v: T,
        width: usize,
    ) -> usize {
        checked(&v, width, Spec::NONE, &by_core!(v, width, ""))
            + checked(&v, width, 3, &by_core!(v, width, width, "width$.3", ""))
            + checked(&v, width, Spec::NONE, &by_core!(v, width, "x"))
            + checked(&v, width, Spec::NONE, &by_core!(v, width, "X"))
    }

    fn decimal_or_text<T: Fit + fmt::Display + fmt::Debug>(v: T, width: usize, precision: usize) -> usize {
        checked(&v, width, Spec::NONE, &by_core!(v, width, ""))
            + checked(&v, width, precision, &by_core!(v, width, precision, "width$.0$", ""))
    }

    fn bits() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(bits, shift)| bits >> shift)
    }

    /// Doubles of any bits, of few digits, ties of some place, and the neighbours of both.
    fn double() -> impl Strategy<Value = f64> {
        let short = (bits(), -12_i32..12).prop_map(|(n, places)| (n >> 11) as f64 / 10_f64.powi(places));
        let tie = (bits(), 0_i32..60).prop_map(|(n, places)| (n >> 11 | 1) as f64 / 2_f64.powi(places));
        let near = prop_oneof![short, tie];
        let near = (near, -1_i64..=1).prop_map(|(v, by)| f64::from_bits(v.to_bits().wrapping_add_signed(by)));
        let all = prop_oneof![any::<u64>().prop_map(f64::from_bits), near.clone(), near];
        (all, any::<bool>()).prop_map(|(v, negative)| if negative { -v } else { v })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn integers_are_those_of_core(n in bits(), width in 0_usize..20) {
            let before = integer(n as u8, width) + integer(n as i8, width);
            // Nothing of eight bits is too long, in a width that is not.
            prop_assert_eq!(before, if width <= 16 { 2 * 4 * 21 } else { 0 });
            integer(n as u16, width);
            integer(n as i16, width);
            integer(n as u32, width);
            integer(n as i32, width);
            integer(n, width);
            integer(n as i64, width);
            integer(n as usize, width);
            integer(n as isize, width);
            let reference = &&n;
            integer(reference, width);
        }

        #[test]
        fn floats_are_those_of_core(v in double(), width in 0_usize..20, precision in 0_usize..18) {
            decimal_or_text(v, width, precision);
            decimal_or_text(v as f32, width, precision);
        }

        #[test]
        fn texts_are_those_of_core(
            short in "[ -~]{0,18}",
            any in "\\PC{0,8}",
            width in 0_usize..20,
            precision in 0_usize..18,
        ) {
            // A text of nothing is not worth it, be it because of its precision.
            let some = usize::from(!short.is_empty()) + usize::from(!short.is_empty() && precision > 0);
            let fitted = if short.len() <= 16 && width <= 16 { 21 * some } else { 0 };
            prop_assert_eq!(decimal_or_text(short.as_str(), width, precision), fitted);
            prop_assert_eq!(decimal_or_text(short, width, precision), fitted);
            decimal_or_text(any, width, precision);
        }

        #[test]
        fn prices_never_need_core(cents in 0_u64..1_000_000_000_000, width in 0_usize..=16, precision in 0_usize..=2) {
            let v = cents as f64 / 100.0;
            prop_assert_eq!(decimal_or_text(v, width, precision), 2 * 21);
            prop_assert_eq!(decimal_or_text(-v, width, precision), 2 * 21);
        }
    }

    #[test]
    fn halves_go_to_the_even_digit() {
        for (v, precision, expected) in [
            (0.5, 0, "0"),
            (1.5, 0, "2"),
            (2.5, 0, "2"),
            (0.125, 2, "0.12"),
            (0.375, 2, "0.38"),
            (-0.5, 0, "-0"),
            (-0.04, 1, "-0.0"),
            (0.0, 3, "0.000"),
            (5e-324, 14, "0.00000000000000"),
            (9.995, 2, "9.99"),
            (999.9996, 3, "1000.000"),
        ] {
            let spec = Spec::new("", "").sized(0, precision);
            assert_eq!(f64::fitted(&v, spec).map(text).as_deref(), Some(expected), "{v:?} with {precision}");
        }
    }

    #[test]
    fn what_is_too_long_or_unknown_is_left_to_core() {
        let sized = |width, precision| Spec::new("", "").sized(width, precision);
        let floats = [
            (f64::NAN, 0, 2),
            (f64::INFINITY, 0, 2),
            (f64::MAX, 0, 0),
            (1e15, 0, 0),
            (999_999_999_999_999.5, 0, 0),
            (1e13, 0, 2),
            (9_999_999_999_999.999, 0, 2),
            (1.0, 0, 15),
            (1.0, 17, 2),
            (1e-9, 0, Spec::NONE),
        ];
        for (v, width, precision) in floats {
            assert!(v.fitted(sized(width, precision)).is_none(), "{v:?} with {width}, {precision}");
        }
        assert!(1_000_000_000_000_000_u64.fitted(sized(0, Spec::NONE)).is_none());
        assert!(7.fitted(Spec::new("…>", "").sized(9, Spec::NONE)).is_none());
        assert!(u64::MAX.fitted(Spec::new("#", "x")).is_none());
    }
}
