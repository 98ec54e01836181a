//! The values of a log call: what a macro's argument becomes, and how it goes into a record.
//!
//! A macro wraps each argument in a [`Probe`] and calls a method on it; which one the compiler finds
//! decides what the argument is (autoref specialisation, D. Tolnay): a primitive or a text is stored by
//! its type, an `Option` by what it holds, anything else through its `Display`. The results form a
//! list `(a, (b, (c, ())))`, of which sizes and offsets are constants.
//!
//! Values that need `core::fmt` are formatted first, into an [`Arena`], and are texts from then on:
//! no code of the user's runs while a slot is reserved. What has a format of its own seldom needs it
//! (`spec.rs`).

mod probe;

use core::cell::Cell;
use core::fmt::{self, Write as _};

use crate::number;
use crate::record::{Kind, PLAIN, meta, metas};
use crate::ring::Dest;
use crate::spec::Fitted;

pub use probe::{
    FieldDisplay, FieldOption, FieldValue, Formatted, PlainDisplay, PlainValue, Probe, SizeAny, SizeKnown,
    SpecAny, SpecKnown,
};

mod sealed {
    pub trait Sealed {}
}

/// When values become text: [`Preformatted`] or [`Deferred`]. The output is the same, byte by byte.
pub trait Encoding: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const PREFORMATTED: bool;
}

/// Numbers stand as text in the ring when the call returns.
#[derive(Clone, Copy, Debug)]
pub struct Preformatted;

/// Numbers are stored as they are, and the writer renders them: a faster call, smaller records.
///
/// A thread that had to wait for room in its lane, under a policy that waits, makes the texts itself, as `Preformatted`
/// does, until the ring has gone round once more or the writer keeps up again: then it is the writer that all wait for.
#[derive(Clone, Copy, Debug)]
pub struct Deferred;

impl sealed::Sealed for Preformatted {}
impl sealed::Sealed for Deferred {}

impl Encoding for Preformatted {
    const PREFORMATTED: bool = true;
}

impl Encoding for Deferred {
    const PREFORMATTED: bool = false;
}

/// A value that is ready to be stored.
#[doc(hidden)]
pub trait Ready: Copy {
    /// Whether the record's size depends on the value.
    const VARIABLE: bool = false;
    /// Bytes of the cell, a multiple of 8.
    fn cell(preformatted: bool) -> usize;
    /// Bytes behind the cells, of at most `cap`: a text's length, rounded up to a multiple of 8.
    #[inline(always)]
    fn tail(&self, _cap: usize) -> usize {
        0
    }
    /// Whether a cap of `cap` bytes cuts it, or it was cut before.
    #[inline(always)]
    fn is_cut(&self, _cap: usize) -> bool {
        false
    }
    /// Stores the cell at `cell` and the text at `tail`, and returns the meta.
    ///
    /// # Safety
    /// `dest` has room for both there.
    unsafe fn store<D: Dest>(&self, preformatted: bool, dest: D, cell: usize, tail: usize, cap: usize)
    -> u16;
}

/// An argument as the macro finds it.
#[doc(hidden)]
pub trait Arg {
    /// Whether it may need `core::fmt` before it can be stored.
    const FORMATS: bool = false;
    /// Whether it does.
    #[inline(always)]
    fn formats(&self) -> bool {
        Self::FORMATS
    }
    type Ready<'a>: Ready
    where
        Self: 'a;
    fn ready<'a>(&'a self, arena: &'a Arena<'_>) -> Self::Ready<'a>;
}

/// No cap: the record is as large as it must be.
pub(crate) const UNCAPPED: usize = usize::MAX >> 1;

macro_rules! integers {
    ($($int:ty => $kind:ident, $wide:ty;)*) => {$(
        impl Ready for $int {
            #[inline(always)]
            fn cell(preformatted: bool) -> usize {
                Kind::$kind.cell(preformatted)
            }

            #[inline(always)]
            unsafe fn store<D: Dest>(&self, preformatted: bool, dest: D, cell: usize, _: usize, _: usize) -> u16 {
                if !preformatted {
                    // SAFETY: the caller's room for the cell.
                    unsafe { dest.put(cell, *self as $wide as u64) };
                    return meta(Kind::$kind, false, 0);
                }
                #[allow(unused_comparisons)] // of unsigned types
                let (negative, n) = (*self < 0, (*self as $wide).unsigned_abs_of());
                let text = if size_of::<$int>() < 8 || n < 10_000_000_000_000_000 {
                    number::integer_text(negative, n)
                } else {
                    number::long_integer_text(negative, n)
                };
                // SAFETY: the cell has room for the longest text of the type.
                unsafe { put_short(dest, cell, text, const { Kind::$kind.cell(true) }) };
                meta(Kind::$kind, true, text.len)
            }
        }
    )*};
}

integers! {
    u8 => U8, u64;
    u16 => U16, u64;
    u32 => U32, u64;
    u64 => U64, u64;
    usize => U64, u64;
    i8 => I8, i64;
    i16 => I16, i64;
    i32 => I32, i64;
    i64 => I64, i64;
    isize => I64, i64;
}

/// The magnitude of both kinds of integers.
trait UnsignedAbs {
    fn unsigned_abs_of(self) -> u64;
}

impl UnsignedAbs for u64 {
    #[inline(always)]
    fn unsigned_abs_of(self) -> u64 {
        self
    }
}

impl UnsignedAbs for i64 {
    #[inline(always)]
    fn unsigned_abs_of(self) -> u64 {
        self.unsigned_abs()
    }
}

/// Stores a short text in words: the first of its cell, the second if the cell has one and there is anything in
/// it, likewise the third.
///
/// # Safety
/// `dest` has room for `cell` bytes at `at`, `text` is not longer, and `cell` is 8, 16 or 24.
#[inline(always)]
unsafe fn put_short<D: Dest>(dest: D, at: usize, text: number::Short, cell: usize) {
    // SAFETY: as the caller promised; bytes behind the text mean nothing.
    unsafe {
        dest.put(at, text.words[0]);
        if cell > 8 && text.len > 8 {
            dest.put(at + 8, text.words[1]);
            if cell > 16 && text.len > 16 {
                dest.put(at + 16, text.words[2]);
            }
        }
    }
}

macro_rules! wide_integers {
    ($($int:ty => $kind:ident;)*) => {$(
        impl Ready for $int {
            #[inline(always)]
            fn cell(preformatted: bool) -> usize {
                Kind::$kind.cell(preformatted)
            }

            unsafe fn store<D: Dest>(&self, preformatted: bool, dest: D, cell: usize, _: usize, _: usize) -> u16 {
                // SAFETY: the caller's room for the cell, which holds two words or 40 bytes of text.
                unsafe {
                    if !preformatted {
                        dest.put(cell, *self as u64);
                        dest.put(cell + 8, (*self >> 64) as u64);
                        return meta(Kind::$kind, false, 0);
                    }
                    let mut buffer = itoa::Buffer::new();
                    let text = buffer.format(*self).as_bytes();
                    dest.put_bytes(cell, text);
                    meta(Kind::$kind, true, text.len() as u8)
                }
            }
        }
    )*};
}

wide_integers! {
    u128 => U128;
    i128 => I128;
}

macro_rules! floats {
    ($($float:ty => $kind:ident, $text:ident;)*) => {$(
        impl Ready for $float {
            #[inline(always)]
            fn cell(preformatted: bool) -> usize {
                Kind::$kind.cell(preformatted)
            }

            #[inline(always)]
            unsafe fn store<D: Dest>(&self, preformatted: bool, dest: D, cell: usize, _: usize, _: usize) -> u16 {
                // SAFETY: the caller's room for the cell: a word, or the 24 bytes of a short text.
                unsafe {
                    if !preformatted {
                        dest.put(cell, self.to_bits() as u64);
                        return meta(Kind::$kind, false, 0);
                    }
                    let text = number::$text(*self);
                    // Half of all floats have more than eight bytes: no branch to mispredict.
                    dest.put(cell, text.words[0]);
                    dest.put(cell + 8, text.words[1]);
                    if text.len > 16 {
                        dest.put(cell + 16, text.words[2]);
                    }
                    meta(Kind::$kind, true, text.len | if text.plain { PLAIN } else { 0 })
                }
            }
        }
    )*};
}

floats! {
    f32 => F32, f32_text;
    f64 => F64, f64_text;
}

impl Ready for bool {
    #[inline(always)]
    fn cell(_: bool) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(&self, _: bool, _: D, _: usize, _: usize, _: usize) -> u16 {
        meta(Kind::Bool, false, *self as u8)
    }
}

impl Ready for char {
    #[inline(always)]
    fn cell(_: bool) -> usize {
        8
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(&self, _: bool, dest: D, cell: usize, _: usize, _: usize) -> u16 {
        // SAFETY: the caller's room for the cell.
        unsafe { dest.put(cell, *self as u64) };
        meta(Kind::Char, false, 0)
    }
}

/// A text, and how many bytes of it were cut already.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Text<'a> {
    kind: Kind,
    text: &'a str,
    cut: usize,
}

impl<'a> Text<'a> {
    /// A text that is ready.
    pub(crate) fn ready(text: &'a str) -> Self {
        Text { kind: Kind::Str, text, cut: 0 }
    }
}

impl Ready for Text<'_> {
    const VARIABLE: bool = true;

    #[inline(always)]
    fn cell(_: bool) -> usize {
        8
    }

    #[inline(always)]
    fn tail(&self, cap: usize) -> usize {
        self.text.len().min(cap).next_multiple_of(8)
    }

    #[inline(always)]
    fn is_cut(&self, cap: usize) -> bool {
        self.text.len() > cap || self.cut > 0
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(&self, _: bool, dest: D, cell: usize, tail: usize, cap: usize) -> u16 {
        let mut text = self.text;
        let mut cut = self.cut;
        if cap != UNCAPPED && text.len() > cap {
            text = &text[..text.floor_char_boundary(cap)];
            cut += self.text.len() - text.len();
        }
        let cut = cut.min(u32::MAX as usize) as u64;
        // SAFETY: the caller's room for the cell, and for `tail(cap)` bytes of text.
        unsafe {
            dest.put(cell, text.len() as u64 | cut << 32);
            dest.put_bytes(tail, text.as_bytes());
        }
        meta(self.kind, false, 0)
    }
}

/// What a value with a format of its own looks like: as short as most are, or any text.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    Fitted(Fitted),
    Long(Text<'a>),
}

impl Ready for Shown<'_> {
    const VARIABLE: bool = true;

    #[inline(always)]
    fn cell(_: bool) -> usize {
        8
    }

    #[inline(always)]
    fn tail(&self, cap: usize) -> usize {
        match self {
            Shown::Fitted(fitted) => (fitted.len as usize).min(cap).next_multiple_of(8),
            Shown::Long(text) => text.tail(cap),
        }
    }

    #[inline(always)]
    fn is_cut(&self, cap: usize) -> bool {
        match self {
            Shown::Fitted(fitted) => fitted.len as usize > cap,
            Shown::Long(text) => text.is_cut(cap),
        }
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(
        &self,
        preformatted: bool,
        dest: D,
        cell: usize,
        tail: usize,
        cap: usize,
    ) -> u16 {
        let bytes;
        let text = match *self {
            Shown::Fitted(Fitted { text, len }) if len as usize <= cap => {
                // SAFETY: the caller's room for the cell, and for as many whole words as the text begins.
                unsafe {
                    dest.put(cell, len.into());
                    dest.put(tail, text as u64);
                    if len > 8 {
                        dest.put(tail + 8, (text >> 64) as u64);
                    }
                }
                return meta(Kind::Display, false, 0);
            }
            Shown::Fitted(Fitted { text, len }) => {
                bytes = text.to_le_bytes();
                let text = core::str::from_utf8(&bytes[..len as usize]).unwrap_or("");
                Text { kind: Kind::Display, text, cut: 0 }
            }
            Shown::Long(text) => text,
        };
        // SAFETY: as the caller promised.
        unsafe { text.store(preformatted, dest, cell, tail, cap) }
    }
}

/// A value that may not be there: its cell is there in any case.
impl<R: Ready> Ready for Option<R> {
    const VARIABLE: bool = true;

    #[inline(always)]
    fn cell(preformatted: bool) -> usize {
        R::cell(preformatted)
    }

    #[inline(always)]
    fn tail(&self, cap: usize) -> usize {
        self.as_ref().map_or(0, |value| value.tail(cap))
    }

    #[inline(always)]
    fn is_cut(&self, cap: usize) -> bool {
        self.as_ref().is_some_and(|value| value.is_cut(cap))
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(
        &self,
        preformatted: bool,
        dest: D,
        cell: usize,
        tail: usize,
        cap: usize,
    ) -> u16 {
        match self {
            // SAFETY: as the caller promised.
            Some(value) => unsafe { value.store(preformatted, dest, cell, tail, cap) },
            None => meta(Kind::None, false, (R::cell(preformatted) / 8) as u8),
        }
    }
}

/// Where values are formatted that need `core::fmt`: bounded memory, handed out piece by piece.
#[doc(hidden)]
pub struct Arena<'m> {
    /// The part that is not handed out yet.
    free: Cell<&'m mut [u8]>,
}

impl<'m> Arena<'m> {
    pub(crate) fn new(memory: &'m mut [u8]) -> Self {
        Arena { free: Cell::new(memory) }
    }

    /// Runs `format` on a sink of what room there is.
    ///
    /// The room is taken out while it runs: a nested use of the same arena finds none, and a panic
    /// leaves it empty.
    pub(crate) fn text(&self, kind: Kind, format: impl FnOnce(&mut Bounded<'m>) -> fmt::Result) -> Text<'m> {
        let mut bounded = Bounded { memory: self.free.take(), len: 0, cut: 0 };
        if format(&mut bounded).is_err() {
            // `format!` would panic; a log line says what there was, and that it failed.
            let _ = bounded.write_str("<fmt::Error>");
        }
        let Bounded { memory, len, cut } = bounded;
        let (text, free) = memory.split_at_mut(len);
        self.free.set(free);
        // Only whole characters were written; if not, the text ends before.
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or(""),
        };
        Text { kind, text, cut }
    }
}

/// A `fmt::Write` that keeps what fits and counts the rest.
pub(crate) struct Bounded<'m> {
    pub(crate) memory: &'m mut [u8],
    pub(crate) len: usize,
    pub(crate) cut: usize,
}

impl fmt::Write for Bounded<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.memory[self.len..].get_mut(..text.len()) {
            // Once something was cut, the rest is, too: no hole in the text.
            Some(to) if self.cut == 0 => {
                copy_few(to, text.as_bytes());
                self.len += text.len();
            }
            _ => self.write_partly(text),
        }
        Ok(())
    }
}

impl Bounded<'_> {
    #[cold]
    #[inline(never)]
    fn write_partly(&mut self, text: &str) {
        let room = self.memory.len() - self.len;
        let taken = if self.cut > 0 { 0 } else { text.floor_char_boundary(room) };
        self.memory[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        self.cut += text.len() - taken;
    }
}

/// Copies as much as there is, to where there is as much room. `Debug` writes names, brackets and digits one by one: of
/// so few bytes a call to `memcpy` is dearer than its work. The way of `ring::copy_short`, the longest first, is so by 10
/// instructions a piece.
#[inline]
fn copy_few(to: &mut [u8], from: &[u8]) {
    /// The first and the last `N` bytes, which overlap.
    #[inline(always)]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
        if from.len() > 2 * N || to.len() != from.len() {
            return false;
        }
        let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
            return false;
        };
        if let Some(to) = to.first_chunk_mut::<N>() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut::<N>() {
            *to = *last;
        }
        true
    }
    if from.is_empty()
        || ends::<1>(to, from)
        || ends::<2>(to, from)
        || ends::<4>(to, from)
        || ends::<8>(to, from)
    {
        return;
    }
    to.copy_from_slice(from);
}

/// A primitive or a text: what is stored by its type.
#[doc(hidden)]
pub trait Value {
    type Ready<'a>: Ready
    where
        Self: 'a;
    fn value(&self) -> Self::Ready<'_>;
}

macro_rules! plain_values {
    ($($type:ty)*) => {$(
        impl Value for $type {
            type Ready<'a> = $type;

            #[inline(always)]
            fn value(&self) -> $type {
                *self
            }
        }
    )*};
}

plain_values!(u8 u16 u32 u64 usize u128 i8 i16 i32 i64 isize i128 f32 f64 bool char);

impl Value for str {
    type Ready<'a> = Text<'a>;

    #[inline(always)]
    fn value(&self) -> Text<'_> {
        Text { kind: Kind::Str, text: self, cut: 0 }
    }
}

impl Value for String {
    type Ready<'a> = Text<'a>;

    #[inline(always)]
    fn value(&self) -> Text<'_> {
        self.as_str().value()
    }
}

macro_rules! pointer_values {
    ($($pointer:ty),*) => {$(
        impl<T: Value + ?Sized> Value for $pointer {
            type Ready<'a> = T::Ready<'a> where Self: 'a;

            #[inline(always)]
            fn value(&self) -> T::Ready<'_> {
                (**self).value()
            }
        }
    )*};
}

pointer_values!(&T, &mut T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>);

impl<T: Value + ToOwned + ?Sized> Value for std::borrow::Cow<'_, T> {
    type Ready<'a>
        = T::Ready<'a>
    where
        Self: 'a;

    #[inline(always)]
    fn value(&self) -> T::Ready<'_> {
        (**self).value()
    }
}

/// The arguments of a call: `()` or `(Arg, Args)`.
#[doc(hidden)]
pub trait Args {
    const FORMATS: bool;
    #[inline(always)]
    fn formats(&self) -> bool {
        Self::FORMATS
    }
    type Ready<'a>: Values
    where
        Self: 'a;
    fn ready<'a>(&'a self, arena: &'a Arena<'_>) -> Self::Ready<'a>;
}

impl Args for () {
    const FORMATS: bool = false;
    type Ready<'a> = ();

    #[inline(always)]
    fn ready<'a>(&'a self, _: &'a Arena<'_>) {}
}

impl<A: Arg, R: Args> Args for (A, R) {
    const FORMATS: bool = A::FORMATS || R::FORMATS;
    type Ready<'a>
        = (A::Ready<'a>, R::Ready<'a>)
    where
        Self: 'a;

    #[inline(always)]
    fn formats(&self) -> bool {
        self.0.formats() || self.1.formats()
    }

    #[inline(always)]
    fn ready<'a>(&'a self, arena: &'a Arena<'_>) -> Self::Ready<'a> {
        (self.0.ready(arena), self.1.ready(arena))
    }
}

/// The values of a record: `()` or `(Ready, Values)`.
#[doc(hidden)]
pub trait Values: Copy {
    const COUNT: usize;
    const VARIABLE: bool;
    fn cells(preformatted: bool) -> usize;
    fn tails(&self, cap: usize) -> usize;
    fn is_cut(&self, cap: usize) -> bool;
    /// Stores the values from the `index`-th on; `metas` are those of the word not yet full.
    ///
    /// # Safety
    /// `dest` has room for them at these offsets.
    unsafe fn store<D: Dest>(
        &self,
        preformatted: bool,
        dest: D,
        at: Offsets,
        index: usize,
        metas: u64,
        cap: usize,
    );
}

/// Where the next word of metas, the next cell and the next text go.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Offsets {
    meta: usize,
    cell: usize,
    tail: usize,
}

impl Offsets {
    #[inline(always)]
    pub(crate) fn new<V: Values>(preformatted: bool, header: usize) -> Self {
        let cell = header + metas(V::COUNT);
        Offsets { meta: header, cell, tail: cell + V::cells(preformatted) }
    }

    /// Bytes of the record but for its texts.
    #[inline(always)]
    pub(crate) fn fixed(self) -> usize {
        self.tail
    }
}

impl Values for () {
    const COUNT: usize = 0;
    const VARIABLE: bool = false;

    #[inline(always)]
    fn cells(_: bool) -> usize {
        0
    }

    #[inline(always)]
    fn tails(&self, _: usize) -> usize {
        0
    }

    #[inline(always)]
    fn is_cut(&self, _: usize) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(&self, _: bool, dest: D, at: Offsets, index: usize, metas: u64, _: usize) {
        if !index.is_multiple_of(4) {
            // SAFETY: the caller's room for the last word of metas.
            unsafe { dest.put(at.meta, metas) };
        }
    }
}

impl<A: Ready, R: Values> Values for (A, R) {
    const COUNT: usize = 1 + R::COUNT;
    const VARIABLE: bool = A::VARIABLE || R::VARIABLE;

    #[inline(always)]
    fn cells(preformatted: bool) -> usize {
        A::cell(preformatted) + R::cells(preformatted)
    }

    #[inline(always)]
    fn tails(&self, cap: usize) -> usize {
        self.0.tail(cap) + self.1.tails(cap)
    }

    #[inline(always)]
    fn is_cut(&self, cap: usize) -> bool {
        self.0.is_cut(cap) || self.1.is_cut(cap)
    }

    #[inline(always)]
    unsafe fn store<D: Dest>(
        &self,
        preformatted: bool,
        dest: D,
        at: Offsets,
        index: usize,
        metas: u64,
        cap: usize,
    ) {
        // SAFETY: the caller's room for this cell and text, and for the ones behind.
        unsafe {
            let meta = self.0.store(preformatted, dest, at.cell, at.tail, cap) as u64;
            let metas = metas | meta << (index % 4 * 16);
            let (next, metas) = if index % 4 == 3 {
                dest.put(at.meta, metas);
                (at.meta + 8, 0)
            } else {
                (at.meta, metas)
            };
            let at = Offsets {
                meta: next,
                cell: at.cell + A::cell(preformatted),
                tail: if A::VARIABLE { at.tail + self.0.tail(cap) } else { at.tail },
            };
            self.1.store(preformatted, dest, at, index + 1, metas, cap);
        }
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;
    use crate::record::{HEADER, SHARED_HEADER};
    use crate::spec::{Fit, Spec};
    use proptest::prelude::*;

    /// The words of a reservation, and whether each was stored to.
    #[derive(Clone, Copy)]
    struct Exact<'a>(&'a [Cell<bool>]);

    // SAFETY: it takes every offset: what lies outside is a panic.
    unsafe impl Dest for Exact<'_> {
        unsafe fn put(self, offset: usize, _: u64) {
            assert!(offset.is_multiple_of(8), "{offset}");
            let word = self.0.get(offset / 8).expect("it is within the reservation");
            assert!(!word.replace(true), "the word at {offset} is stored to twice");
        }

        unsafe fn put_bytes(self, offset: usize, bytes: &[u8]) {
            for at in (0..bytes.len()).step_by(8) {
                // SAFETY: as above.
                unsafe { self.put(offset + at, 0) };
            }
        }
    }

    /// Stores the values where a call would have room for them, and for not a byte more.
    fn store<V: Values>(values: &V, cap: usize) {
        for (preformatted, header) in
            [(false, HEADER), (true, HEADER), (false, SHARED_HEADER), (true, SHARED_HEADER)]
        {
            let at = Offsets::new::<V>(preformatted, header);
            let bytes = at.fixed() + if V::VARIABLE { values.tails(cap) } else { 0 };
            assert!(bytes.is_multiple_of(8));
            let words = vec![Cell::new(false); bytes / 8];
            // SAFETY: `Exact` refuses what is not within.
            unsafe { values.store(preformatted, Exact(&words), at, 0, 0, cap) };
            let (before, behind) = words.split_at(header / 8);
            assert!(before.iter().all(|word| !word.get()), "the header is the caller's");
            let metas = metas(V::COUNT) / 8;
            assert!(behind[..metas].iter().all(Cell::get), "each word of metas is there");
        }
    }

    /// Pieces of every length, at every place of every room: what fits is there, the rest is counted, and what stands
    /// behind is as it was.
    #[test]
    fn pieces_stay_within_their_room() {
        let text: String =
            ('a'..='z').chain('A'..='Z').collect::<String>() + "äöü…" + &"0123456789".repeat(3);
        for (room, first) in (0..text.len()).flat_map(|room| (0..=40).map(move |first| (room, first))) {
            let mut memory = vec![0xA5; room + 80];
            let mut out = Bounded { memory: &mut memory[..room], len: 0, cut: 0 };
            for piece in [&text[..first], &text[first..]] {
                out.write_str(piece).expect("it never fails");
            }
            let (len, cut) = (out.len, out.cut);
            // Of a piece that does not fit, the characters that do.
            assert_eq!(
                (len, cut),
                (text.floor_char_boundary(room), text.len() - len),
                "{first} and the rest in {room}"
            );
            assert_eq!(memory[..len], text.as_bytes()[..len]);
            assert!(memory[len..].iter().all(|&byte| byte == 0xA5), "{first} and the rest in {room}");
        }
    }

    proptest! {
        #[test]
        fn values_are_stored_within_what_they_ask_for(
            bits in any::<u128>(),
            shift in 0_u32..128,
            texts in prop::array::uniform3("\\PC{0,40}"),
            some: bool,
            cap in prop_oneof![0..140_usize, Just(UNCAPPED)],
        ) {
            let bits = bits >> shift;
            let word = bits as u64;
            store(&(), cap);
            store(&(word as u8, (word as i8, (word as u16, (word as i16, (word as u32, (word as i32, ())))))), cap);
            store(&(word, (word as i64, (word as usize, (word as isize, ())))), cap);
            store(&(bits, (bits as i128, (-(bits as i128 >> 1), (some, ('x', ()))))), cap);
            store(&(f64::from_bits(word), (f32::from_bits(word as u32), (word as f64 / 100.0, ()))), cap);
            let [a, b, c] = texts.each_ref().map(|text| text.as_str().value());
            let b = some.then_some(b);
            store(&(a, (b, (some.then_some(word), (some.then_some(bits), (c, (word, ())))))), cap);
            let cut = Text { cut: 7, ..a };
            store(&(cut, ()), cap);
            let price = (word as f64 / 100.0).fitted(Spec::new("", "").sized(0, 2));
            let name = texts[0].fitted(Spec::new("*^", "").sized(9, Spec::NONE));
            let shown = |fitted: Option<Fitted>| fitted.map_or(Shown::Long(cut), Shown::Fitted);
            store(&(shown(price), (word, (shown(name), ()))), cap);
        }
    }
}
