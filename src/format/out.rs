//! Bounded output: a line is built in a slice of the staging buffer, and nothing is ever written
//! beyond it.
//!
//! Decision: running out of room is a state, not an error of each push. Rendering stays
//! straight-line code; [`Out::end_line`] sees once per line whether it all fitted, and ends one that did
//! not at a whole character.
//!
//! Decision: up to 32 bytes are copied as two overlapping words rather than by `memcpy`. A line is
//! some fifteen pushes of a length that is known only at run time, and the call would cost more
//! than the copy.
//!
//! Decision: integers are not made by `itoa` here. It stores digit pairs, and a wide load of what
//! two narrow stores wrote cannot be forwarded; [`decimal8`] makes the digits in a register, which
//! go into the output in one store.

use crate::number::{ASCII_ZEROS, decimal8};

/// A slice that is filled from the front. Bytes beyond [`Out::len`] are scratch.
pub(crate) struct Out<'a> {
    buf: &'a mut [u8],
    /// At most `buf.len()`.
    len: usize,
    overflowed: bool,
}

impl<'a> Out<'a> {
    #[inline]
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self::at(buf, 0)
    }

    /// Goes on behind the first `len` bytes of `buf`.
    #[inline]
    pub(crate) fn at(buf: &'a mut [u8], len: usize) -> Self {
        let len = len.min(buf.len());
        Self { buf, len, overflowed: false }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.buf.len() - self.len
    }

    /// Whether a push did not fit. From then on the output is full.
    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What was written.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    /// Ends a line: also one that did not fit, of which whole characters stay.
    #[inline]
    pub(crate) fn end_line(&mut self) {
        self.push_byte(b'\n');
        if self.overflowed {
            self.end_cut_line();
        }
    }

    #[cold]
    fn end_cut_line(&mut self) {
        while let Some(at) = self.len.checked_sub(1) {
            let first_of_char = self.buf[at] & 0xC0 != 0x80;
            self.len = at;
            if first_of_char {
                break;
            }
        }
        if let Some(last) = self.buf.get_mut(self.len) {
            *last = b'\n';
            self.len += 1;
        }
        self.overflowed = false;
    }

    /// Takes back all but the first `len` bytes, and that something did not fit.
    pub(super) fn back_to(&mut self, len: usize) {
        self.len = len.min(self.len);
        self.overflowed = false;
    }

    /// Lets `write` append `most` bytes at most. What is written beyond is cut as `whole` says of the bytes that are
    /// there: how many of them can stay.
    #[inline]
    pub(super) fn within(
        &mut self,
        most: usize,
        whole: fn(&[u8]) -> usize,
        write: impl FnOnce(&mut Out<'_>),
    ) {
        if most >= self.remaining() {
            return write(self);
        }
        let (start, end) = (self.len, self.len + most);
        let mut part = Out::at(&mut self.buf[..end], start);
        write(&mut part);
        let (len, overflowed) = (part.len, part.overflowed);
        self.len = len;
        if overflowed {
            self.len = start + whole(&self.buf[start..len]);
            self.push_str("…");
        }
    }

    /// Brings what was appended from `start` on to `width` characters, by `fill` in front of it, behind it or around.
    pub(super) fn pad(&mut self, start: usize, width: usize, align: Align, fill: char) {
        let text = self.buf.get(start..self.len).unwrap_or_default();
        let chars = text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
        let missing = width.saturating_sub(chars);
        let before = match align {
            Align::Left => 0,
            Align::Right => missing,
            Align::Center => missing / 2,
        };
        let mut bytes = [0; 4];
        let fill = fill.encode_utf8(&mut bytes).as_bytes();
        let (moved, len) = (before * fill.len(), self.len);
        // Room for what is to come, in front of which the text then goes.
        for _ in 0..missing {
            self.push(fill);
        }
        if moved != 0 && !self.overflowed {
            self.buf.copy_within(start..len, start + moved);
            self.buf[start..start + moved].chunks_mut(fill.len()).for_each(|to| to.copy_from_slice(fill));
            self.buf[start + moved + (len - start)..self.len]
                .chunks_mut(fill.len())
                .for_each(|to| to.copy_from_slice(fill));
        }
    }

    /// Appends `bytes`, or as many of them as fit.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.buf.get_mut(self.len..);
        match room.and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) => {
                copy(room, bytes);
                self.len += bytes.len();
            }
            None => self.push_cut(bytes),
        }
    }

    #[inline]
    pub(crate) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    #[inline]
    pub(crate) fn push_byte(&mut self, byte: u8) {
        match self.buf.get_mut(self.len) {
            Some(room) => {
                *room = byte;
                self.len += 1;
            }
            None => self.overflowed = true,
        }
    }

    /// A pen at the end of the output. Whoever writes with it has asked for the room: for what it writes, and
    /// [`Pen::BEYOND`] bytes more.
    #[inline(always)]
    pub(crate) fn here(&mut self) -> Pen {
        Pen { at: self.buf.as_mut_ptr().wrapping_add(self.len) }
    }

    /// As [`Out::remaining`], from the pen on.
    ///
    /// # Safety
    /// As [`Out::put_down`].
    #[inline(always)]
    pub(crate) unsafe fn remaining_from(&self, pen: Pen) -> usize {
        // SAFETY: as the caller promised.
        self.buf.len() - unsafe { pen.at.offset_from_unsigned(self.buf.as_ptr()) }
    }

    /// What the pen wrote belongs to the output.
    ///
    /// # Safety
    /// The pen is from the last that this output gave, has not left it, and nothing was pushed since.
    #[inline(always)]
    pub(crate) unsafe fn put_down(&mut self, pen: Pen) {
        // SAFETY: both point into `buf`, the pen not before its start.
        self.len = unsafe { pen.at.offset_from_unsigned(self.buf.as_ptr()) };
    }

    /// Appends a short text, in one go while 24 bytes are free.
    #[inline(always)]
    pub(crate) fn push_short(&mut self, words: [u64; 3], len: usize) {
        match self.buf.get_mut(self.len..).and_then(|room| room.first_chunk_mut::<24>()) {
            Some(room) => {
                for (bytes, word) in room.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                    *bytes = word.to_le_bytes();
                }
                self.len += len.min(24);
            }
            None => {
                let bytes = words.map(u64::to_le_bytes);
                self.push(bytes.as_flattened().get(..len).unwrap_or_default());
            }
        }
    }

    /// Appends `n` in decimal.
    #[inline]
    pub(crate) fn push_u64(&mut self, n: u64) {
        if n < 100_000_000 {
            // At least one digit: the bit keeps the last byte out of the count of leading zeros.
            let digits = decimal8(n as u32);
            let zeros = (digits | 1 << 56).trailing_zeros() / 8;
            self.push_word((digits | ASCII_ZEROS) >> (8 * zeros), 8 - zeros as usize);
        } else {
            self.push(itoa::Buffer::new().format(n).as_bytes());
        }
    }

    /// Appends `n` in decimal, with zeros in front up to `width` digits; a longer number is not
    /// cut.
    #[inline]
    pub(crate) fn push_padded(&mut self, n: u64, width: usize) {
        if n < 100_000_000 && width <= 8 {
            let digits = decimal8(n as u32);
            let zeros = (digits | 1 << 56).trailing_zeros() as usize / 8;
            let shown = width.max(8 - zeros);
            self.push_word((digits | ASCII_ZEROS) >> (8 * (8 - shown)), shown);
        } else {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(n);
            for _ in digits.len()..width.min(digits.len() + self.remaining() + 1) {
                self.push_byte(b'0');
            }
            self.push_str(digits);
        }
    }

    /// Appends the first `len` (at most 8) bytes of `word`, low byte first: one store while 8 bytes
    /// are free.
    #[inline]
    fn push_word(&mut self, word: u64, len: usize) {
        let bytes = word.to_le_bytes();
        match self.buf.get_mut(self.len..).and_then(|room| room.first_chunk_mut()) {
            Some(room) => {
                *room = bytes;
                self.len += len;
            }
            None => self.push(bytes.get(..len).unwrap_or(&bytes)),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_cut(&mut self, bytes: &[u8]) {
        let fits = self.remaining().min(bytes.len());
        self.buf[self.len..][..fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
        self.overflowed = true;
    }
}

/// Where a text stands in its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    Center,
}

/// Writes without a look at the room for each piece: whoever takes it up has asked for all of it.
///
/// Decision: a line of three numbers is seven texts and numbers of lengths known only at run time. A check of the
/// room, a copy by length and a length in memory cost each of them some twenty instructions; here it is a few wide
/// stores at a pointer that stays in a register.
#[derive(Clone, Copy)]
pub(crate) struct Pen {
    at: *mut u8,
}

impl Pen {
    /// What a piece may be copied along with behind its end; the next one is written over it.
    pub(crate) const BEYOND: usize = 32;

    /// Appends the first `len` bytes at `source`, in pieces of 32.
    ///
    /// # Safety
    /// `len` bytes of what the pen was asked for are left, and `len` bytes and `BEYOND` more are readable.
    #[inline(always)]
    pub(crate) unsafe fn wide(&mut self, source: *const u8, len: usize) {
        let copy = |at: usize| {
            // SAFETY: as the caller promised; the room goes on for `BEYOND` bytes.
            unsafe { self.put(at, source.add(at).cast::<[u8; 32]>().read_unaligned()) };
        };
        // Not a loop for the usual lengths: it would be unrolled, and cost more than it copies.
        copy(0);
        if len > 32 {
            copy(32);
            if len > 64 {
                copy(64);
                if len > 96 {
                    // SAFETY: as the caller promised.
                    unsafe { self.long(source, len) };
                }
            }
        }
        // SAFETY: as above.
        *self = unsafe { self.moved(len) };
    }

    /// The pieces of a text behind the first three. Out of line: what the loop keeps would be made for short texts, too.
    ///
    /// # Safety
    /// As [`Pen::wide`].
    #[inline(never)]
    unsafe fn long(self, source: *const u8, len: usize) {
        for at in (96..len).step_by(32) {
            // SAFETY: as the caller promised; the room goes on for `BEYOND` bytes.
            unsafe { self.put(at, source.add(at).cast::<[u8; 32]>().read_unaligned()) };
        }
    }

    /// Writes at `offset` from the pen, which stays where it is.
    ///
    /// # Safety
    /// As many bytes of what the pen was asked for, or `BEYOND` more, are left.
    #[inline(always)]
    pub(crate) unsafe fn put<const N: usize>(self, offset: usize, bytes: [u8; N]) {
        // SAFETY: as the caller promised.
        unsafe { self.at.add(offset).cast::<[u8; N]>().write_unaligned(bytes) };
    }

    /// The pen behind `len` bytes that were put.
    ///
    /// # Safety
    /// As [`Pen::put`].
    #[inline(always)]
    pub(crate) unsafe fn moved(self, len: usize) -> Self {
        // SAFETY: as the caller promised.
        Pen { at: unsafe { self.at.add(len) } }
    }

    /// Appends a short text.
    ///
    /// # Safety
    /// `len` is at most 24, and as many bytes of what the pen was asked for are left.
    #[inline(always)]
    pub(crate) unsafe fn short(&mut self, words: [u64; 3], len: usize) {
        // SAFETY: as the caller promised; the room goes on for `BEYOND` bytes.
        unsafe {
            self.at.cast::<[u64; 3]>().write_unaligned(words.map(u64::to_le));
            self.at = self.at.add(len);
        }
    }
}

/// Copies `src` to `dst`, which has the same length.
#[inline]
fn copy(dst: &mut [u8], src: &[u8]) {
    match src.len() {
        0 => {}
        1..4 => {
            // First, middle and last are all there is.
            let (middle, last) = (src.len() / 2, src.len() - 1);
            let (a, b, c) = (src[0], src[middle], src[last]);
            dst[0] = a;
            dst[middle] = b;
            dst[last] = c;
        }
        4..8 => copy_ends::<4>(dst, src),
        8..=16 => copy_ends::<8>(dst, src),
        17..=32 => copy_ends::<16>(dst, src),
        _ => dst.copy_from_slice(src),
    }
}

/// Copies the first and the last `N` of `N..=2 * N` bytes: together, all of them.
#[inline(always)]
fn copy_ends<const N: usize>(dst: &mut [u8], src: &[u8]) {
    if let (Some(&first), Some(&last)) = (src.first_chunk::<N>(), src.last_chunk::<N>()) {
        if let Some(room) = dst.first_chunk_mut() {
            *room = first;
        }
        if let Some(room) = dst.last_chunk_mut() {
            *room = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every split of a text over pushes, into every room, gives the text's prefix.
        #[test]
        fn pushes_concatenate_and_are_cut_at_the_end(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..6),
            room in 0_usize..300,
        ) {
            let whole = parts.concat();
            let mut buf = vec![0xAA; room];
            let mut out = Out::new(&mut buf);
            for part in &parts {
                out.push(part);
            }
            let fits = whole.len().min(room);
            prop_assert_eq!(out.bytes(), &whole[..fits]);
            prop_assert_eq!(out.remaining(), room - fits);
            prop_assert_eq!(out.overflowed(), whole.len() > room);
        }

        #[test]
        fn numbers_read_as_format_writes_them(n: u64, bits in 0_u32..64, width in 0_usize..30, room in 0_usize..80) {
            let n = n >> bits;
            let expected = format!("<{n}|{n:0width$}>");
            let mut buf = vec![0xAA; room];
            let mut out = Out::new(&mut buf);
            out.push_byte(b'<');
            out.push_u64(n);
            out.push_str("|");
            out.push_padded(n, width);
            out.push_byte(b'>');
            let fits = expected.len().min(room);
            prop_assert_eq!(out.bytes(), &expected.as_bytes()[..fits]);
            prop_assert_eq!(out.overflowed(), expected.len() > room);
        }
    }

    proptest! {
        /// A pen writes what it is told to, and no more than `BEYOND` bytes behind it.
        #[test]
        fn a_pen_stays_within_its_room(
            before in 0_usize..40,
            texts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..100), 0_usize..=24), 0..6),
            spare in 0_usize..3,
        ) {
            const GUARD: usize = 64;
            let most = texts.iter().map(|(text, short)| text.len() + short).sum::<usize>();
            let room = before + most + Pen::BEYOND;
            let mut memory = vec![0xAA; room + GUARD];
            let room = room + spare;
            let mut out = Out::at(&mut memory[..room], before);
            let mut pen = out.here();
            let mut expected = vec![0xAA; before];
            for (text, short) in &texts {
                let mut readable = text.clone();
                readable.resize(text.len() + Pen::BEYOND, 0xBB);
                // SAFETY: the room is that for all, and `BEYOND` more; as much is readable, and `BEYOND` more.
                unsafe {
                    pen.wide(readable.as_ptr(), text.len());
                    pen.short([u64::from_le_bytes(*b"01234567"); 3], *short);
                }
                expected.extend_from_slice(text);
                expected.extend_from_slice(&b"012345670123456701234567"[..*short]);
            }
            // SAFETY: the pen is the one that the output gave.
            unsafe { out.put_down(pen) };
            prop_assert_eq!(out.bytes(), expected);
            prop_assert!(memory[room..].iter().all(|&byte| byte == 0xAA), "beyond the output");
        }
    }

    proptest! {
        /// As the standard library pads; in any room, the beginning of it, or all that was there before.
        #[test]
        fn texts_are_brought_to_a_width(
            before in "[a-é]{0,5}", text in "[ -é]{0,12}", width in 0_usize..30, wide: bool, room in 0_usize..80,
        ) {
            let fill = if wide { 'é' } else { '_' };
            for (align, sign) in [(Align::Left, '<'), (Align::Right, '>'), (Align::Center, '^')] {
                let padded = match (sign, wide) {
                    ('<', false) => format!("{text:_<width$}"),
                    ('<', true) => format!("{text:é<width$}"),
                    ('>', false) => format!("{text:_>width$}"),
                    ('>', true) => format!("{text:é>width$}"),
                    (_, false) => format!("{text:_^width$}"),
                    (_, true) => format!("{text:é^width$}"),
                };
                let mut buf = vec![0xAA; room];
                let mut out = Out::new(&mut buf);
                out.push_str(&before);
                let start = out.len();
                out.push_str(&text);
                out.pad(start, width, align, fill);
                let whole = format!("{before}{padded}");
                prop_assert_eq!(out.overflowed(), whole.len() > room);
                if whole.len() <= room {
                    prop_assert_eq!(out.bytes(), whole.as_bytes());
                }
            }
        }

        /// What is cut ends as it is told to.
        #[test]
        fn a_part_has_no_more_than_its_room(text in "[a-z]{0,20}", most in 0_usize..25, room in 0_usize..60) {
            let mut buf = vec![0xAA; room];
            let mut out = Out::new(&mut buf);
            out.within(most, |bytes| bytes.len() / 2, |out| out.push_str(&text));
            let expected = if text.len() <= most || most >= room {
                text.clone()
            } else {
                format!("{}…", &text[..most / 2])
            };
            prop_assert_eq!(out.bytes(), &expected.as_bytes()[..expected.len().min(room)]);
        }
    }

    #[test]
    fn every_number_length_is_right_at_its_ends() {
        for n in (0..20).map(|exponent| 10_u64.pow(exponent)).flat_map(|n| [n - 1, n]).chain([u64::MAX]) {
            let mut buf = [0; 32];
            let mut out = Out::new(&mut buf);
            out.push_u64(n);
            assert_eq!(out.bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn a_start_beyond_the_buffer_is_its_end() {
        let mut buf = *b"abc";
        let mut out = Out::at(&mut buf, 7);
        out.push(b"");
        assert!(!out.overflowed());
        out.push(b"d");
        assert!(out.overflowed());
        assert_eq!(out.bytes(), b"abc");
        assert_eq!(out.len(), 3);
    }
}
