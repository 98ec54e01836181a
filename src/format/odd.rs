//! Whether a text can stand in a line as it is, sixteen bytes at a time.
//!
//! Decision: a loop over arrays of bytes was made into vectors by the compiler, but for what it gathers, which went through
//! memory for each sixteen bytes; these registers, which every x86_64 has, take a third of its instructions.

/// Where a text stands: in the message; a field's, which may ask for quotes; within quotes.
pub(super) const MESSAGE: u8 = 0;
pub(super) const FIELD: u8 = 1;
pub(super) const STRING: u8 = 2;

/// What was seen of a text that stands in such a place.
#[derive(Clone, Copy)]
pub(super) struct Seen<const PLACE: u8>(lanes::Seen);

impl<const PLACE: u8> Seen<PLACE> {
    /// The bytes that ask for a backslash or quotes.
    const MARKS: &'static [u8] = match PLACE {
        MESSAGE => b"",
        FIELD => b"\"\\ =",
        _ => b"\"\\",
    };

    #[inline(always)]
    pub(super) fn nothing() -> Self {
        Seen(lanes::Seen::nothing())
    }

    #[inline(always)]
    pub(super) fn and(self, bytes: [u8; 16]) -> Self {
        Seen(self.0.and(bytes, Self::MARKS))
    }

    #[inline(always)]
    pub(super) fn and_both(self, bytes: &[u8; 32]) -> Self {
        let halves = bytes.as_chunks::<16>().0;
        halves.iter().fold(self, |seen, half| seen.and(*half))
    }

    /// There is a byte that is not printable ASCII, or is one of the marks.
    #[inline(always)]
    pub(super) fn is_odd(self) -> bool {
        self.0.is_odd()
    }
}

/// The last printable byte, counted from the first.
const LAST: u8 = b'~' - b' ';

#[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
mod lanes {
    use core::arch::x86_64::*;

    use super::LAST;

    #[derive(Clone, Copy)]
    pub(super) struct Seen {
        /// The greatest byte in each place, counted from the first printable one: those below are above all others.
        greatest: __m128i,
        marks: __m128i,
    }

    impl Seen {
        #[inline(always)]
        pub(super) fn nothing() -> Self {
            // SAFETY: every x86_64 has SSE2; nothing is touched but registers.
            let none = unsafe { _mm_setzero_si128() };
            Seen { greatest: none, marks: none }
        }

        #[inline(always)]
        pub(super) fn and(mut self, bytes: [u8; 16], marks: &[u8]) -> Self {
            let bytes = u128::from_le_bytes(bytes);
            // SAFETY: as above.
            unsafe {
                let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
                self.greatest = _mm_max_epu8(self.greatest, _mm_sub_epi8(bytes, _mm_set1_epi8(b' ' as i8)));
                for &mark in marks {
                    self.marks = _mm_or_si128(self.marks, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(mark as i8)));
                }
            }
            self
        }

        #[inline(always)]
        pub(super) fn is_odd(self) -> bool {
            // SAFETY: as above.
            unsafe {
                let above = _mm_subs_epu8(self.greatest, _mm_set1_epi8(LAST as i8));
                let odd = _mm_or_si128(above, self.marks);
                _mm_movemask_epi8(_mm_cmpeq_epi8(odd, _mm_setzero_si128())) != 0xFFFF
            }
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(kakashi_portable))))]
mod lanes {
    use super::LAST;

    #[derive(Clone, Copy)]
    pub(super) struct Seen([u8; 16]);

    impl Seen {
        #[inline(always)]
        pub(super) fn nothing() -> Self {
            Seen([0; 16])
        }

        #[inline(always)]
        pub(super) fn and(mut self, bytes: [u8; 16], marks: &[u8]) -> Self {
            for (odd, byte) in self.0.iter_mut().zip(bytes) {
                let mut is_odd = byte.wrapping_sub(b' ') > LAST;
                for &mark in marks {
                    is_odd |= byte == mark;
                }
                *odd |= u8::from(is_odd);
            }
            self
        }

        #[inline(always)]
        pub(super) fn is_odd(self) -> bool {
            self.0 != [0; 16]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const PLACE: u8>(asks: &[u8]) {
        for byte in 0..=u8::MAX {
            let odd = !(b' '..=b'~').contains(&byte) || asks.contains(&byte);
            for place in 0..16 {
                let mut bytes = [b'.'; 16];
                bytes[place] = byte;
                let seen = Seen::<PLACE>::nothing().and([b'.'; 16]).and(bytes).and([b'~'; 16]);
                assert_eq!(seen.is_odd(), odd, "{byte} at {place}");
            }
        }
        assert!(!Seen::<PLACE>::nothing().is_odd());
    }

    #[test]
    fn bytes_are_odd_where_they_cannot_stand() {
        check::<MESSAGE>(b"");
        check::<FIELD>(b" =\"\\");
        check::<STRING>(b"\"\\");
    }
}
