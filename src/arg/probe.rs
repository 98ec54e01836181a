//! What a macro's argument is: the method that the compiler finds on a [`Probe`] decides.
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};

use super::{Arena, Arg, Shown, Text, Value};
use crate::record::Kind;
use crate::spec::{Fit, Fitted, Spec};

/// What a macro wraps an argument in, to find out what it is.
#[doc(hidden)]
pub struct Probe<'a, T: ?Sized>(pub &'a T);

/// A value stored by its type.
#[doc(hidden)]
pub struct Plain<'a, T: ?Sized>(&'a T);

impl<T: Value + ?Sized> Arg for Plain<'_, T> {
    type Ready<'b>
        = T::Ready<'b>
    where
        Self: 'b;

    #[inline(always)]
    fn ready<'b>(&'b self, _: &'b Arena<'_>) -> T::Ready<'b> {
        self.0.value()
    }
}

/// An `Option` of such a value.
#[doc(hidden)]
pub struct Optional<'a, T>(&'a Option<T>);

impl<T: Value> Arg for Optional<'_, T> {
    type Ready<'b>
        = Option<T::Ready<'b>>
    where
        Self: 'b;

    #[inline(always)]
    fn ready<'b>(&'b self, _: &'b Arena<'_>) -> Option<T::Ready<'b>> {
        self.0.as_ref().map(T::value)
    }
}

/// A value that is formatted by its `Display`.
#[doc(hidden)]
pub struct Displayed<'a, T: ?Sized>(&'a T);

impl<T: fmt::Display + ?Sized> Arg for Displayed<'_, T> {
    const FORMATS: bool = true;
    type Ready<'b>
        = Text<'b>
    where
        Self: 'b;

    fn ready<'b>(&'b self, arena: &'b Arena<'_>) -> Text<'b> {
        arena.text(Kind::Display, |out| write!(out, "{}", self.0))
    }
}

/// A value with a format of its own.
#[doc(hidden)]
pub struct Formatted<'a> {
    kind: Kind,
    arguments: fmt::Arguments<'a>,
}

impl<'a> Formatted<'a> {
    #[inline(always)]
    pub fn display(arguments: fmt::Arguments<'a>) -> Self {
        Formatted { kind: Kind::Display, arguments }
    }

    #[inline(always)]
    pub fn debug(arguments: fmt::Arguments<'a>) -> Self {
        Formatted { kind: Kind::Debug, arguments }
    }
}

impl Arg for Formatted<'_> {
    const FORMATS: bool = true;
    type Ready<'b>
        = Text<'b>
    where
        Self: 'b;

    fn ready<'b>(&'b self, arena: &'b Arena<'_>) -> Text<'b> {
        arena.text(self.kind, |out| out.write_fmt(self.arguments))
    }
}

/// A number or a text with a format of its own, and the same for `core::fmt`, should it be needed.
#[doc(hidden)]
pub struct Specified<'a> {
    fitted: Option<Fitted>,
    formatted: Formatted<'a>,
}

impl Arg for Specified<'_> {
    const FORMATS: bool = true;
    type Ready<'b>
        = Shown<'b>
    where
        Self: 'b;

    #[inline(always)]
    fn formats(&self) -> bool {
        self.fitted.is_none()
    }

    #[inline(always)]
    fn ready<'b>(&'b self, arena: &'b Arena<'_>) -> Shown<'b> {
        match self.fitted {
            Some(fitted) => Shown::Fitted(fitted),
            None => Shown::Long(self.formatted.ready(arena)),
        }
    }
}

/// `{:>10.3}`, `{:x}`, `{:<8}` of what is known here.
#[doc(hidden)]
pub trait SpecKnown {
    fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Specified<'a>;
}

impl<T: Fit + ?Sized> SpecKnown for Probe<'_, T> {
    #[inline(always)]
    fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Specified<'a> {
        Specified { fitted: self.0.fitted(spec), formatted }
    }
}

/// The same of anything else.
#[doc(hidden)]
pub trait SpecAny {
    fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Formatted<'a>;
}

impl<T: ?Sized> SpecAny for &Probe<'_, T> {
    #[inline(always)]
    fn kakashi_spec<'a>(&self, _: Spec, formatted: Formatted<'a>) -> Formatted<'a> {
        formatted
    }
}

/// A width or precision that is an argument.
#[doc(hidden)]
pub trait SizeKnown {
    fn kakashi_size(&self) -> usize;
}

impl SizeKnown for Probe<'_, usize> {
    #[inline(always)]
    fn kakashi_size(&self) -> usize {
        *self.0
    }
}

impl SizeKnown for Probe<'_, &usize> {
    #[inline(always)]
    fn kakashi_size(&self) -> usize {
        **self.0
    }
}

/// Anything else there: what `format_args` dereferences to a `usize`, a `Box` for example, or what does not compile, as it
/// says.
#[doc(hidden)]
pub trait SizeAny {
    fn kakashi_size(&self) -> usize;
}

impl<T: ?Sized> SizeAny for &Probe<'_, T> {
    #[inline(always)]
    fn kakashi_size(&self) -> usize {
        Spec::UNKNOWN
    }
}

/// A plain `{}` of a primitive or a text.
#[doc(hidden)]
pub trait PlainValue<'a> {
    type Arg;
    fn kakashi_plain(&self) -> Self::Arg;
}

impl<'a, T: Value + ?Sized> PlainValue<'a> for Probe<'a, T> {
    type Arg = Plain<'a, T>;

    #[inline(always)]
    fn kakashi_plain(&self) -> Plain<'a, T> {
        Plain(self.0)
    }
}

/// A plain `{}` of anything else. The bound stands on the method, so that a type without `Display` is
/// told so in the compiler's usual words.
#[doc(hidden)]
pub trait PlainDisplay<'a, T: ?Sized> {
    fn kakashi_plain(&self) -> Displayed<'a, T>
    where
        T: fmt::Display;
}

impl<'a, T: ?Sized> PlainDisplay<'a, T> for &Probe<'a, T> {
    #[inline(always)]
    fn kakashi_plain(&self) -> Displayed<'a, T>
    where
        T: fmt::Display,
    {
        Displayed(self.0)
    }
}

/// A field that is a primitive or a text.
#[doc(hidden)]
pub trait FieldValue<'a> {
    type Arg;
    fn kakashi_field(&self) -> Self::Arg;
}

impl<'a, T: Value + ?Sized> FieldValue<'a> for &&Probe<'a, T> {
    type Arg = Plain<'a, T>;

    #[inline(always)]
    fn kakashi_field(&self) -> Plain<'a, T> {
        Plain(self.0)
    }
}

/// A field that is an `Option` of one.
#[doc(hidden)]
pub trait FieldOption<'a> {
    type Arg;
    fn kakashi_field(&self) -> Self::Arg;
}

impl<'a, T: Value> FieldOption<'a> for &Probe<'a, Option<T>> {
    type Arg = Optional<'a, T>;

    #[inline(always)]
    fn kakashi_field(&self) -> Optional<'a, T> {
        Optional(self.0)
    }
}

/// A field that is anything else.
#[doc(hidden)]
pub trait FieldDisplay<'a, T: ?Sized> {
    fn kakashi_field(&self) -> Displayed<'a, T>
    where
        T: fmt::Display;
}

impl<'a, T: ?Sized> FieldDisplay<'a, T> for Probe<'a, T> {
    #[inline(always)]
    fn kakashi_field(&self) -> Displayed<'a, T>
    where
        T: fmt::Display,
    {
        Displayed(self.0)
    }
}
