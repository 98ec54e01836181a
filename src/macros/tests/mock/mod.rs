//! What the macro's output refers to, reduced to noting down what it is given.

use std::cell::{Cell, RefCell};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A record as it arrived.
#[derive(Debug, PartialEq)]
pub struct Record {
    pub level: Level,
    pub target: &'static str,
    pub targeted: bool,
    pub module: &'static str,
    pub line: u32,
    pub template: &'static str,
    pub message: String,
    /// Every encoded value: how it was encoded, and its text.
    pub values: Vec<(&'static str, String)>,
    /// Name, index of the value, whether the message shows it.
    pub fields: Vec<(&'static str, u8, bool)>,
}

thread_local! {
    static RECORDS: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Switches all log statements of this thread.
pub fn enable(on: bool) {
    ENABLED.set(on);
}

/// Takes the records of this thread.
pub fn take() -> Vec<Record> {
    RECORDS.take()
}

/// A channel.
pub struct Channel {
    pub name: &'static str,
    pub max: Level,
}

pub mod __private {
    use super::{Channel, ENABLED, Level, RECORDS, Record};
    use std::fmt;

    pub use kakashi_log_macros::emit;

    pub static DEFAULT: Channel = Channel { name: "default", max: Level::Trace };

    pub struct Callsite {
        level: Level,
        targeted: bool,
        module: &'static str,
        line: u32,
        template: &'static str,
        pieces: &'static [Piece],
        fields: &'static [Field],
        values: u8,
    }

    pub enum Piece {
        Literal(&'static str),
        Value(u8),
    }

    pub struct Field {
        pub name: &'static str,
        pub value: u8,
        pub in_message: bool,
    }

    impl Callsite {
        #[allow(clippy::too_many_arguments)]
        pub const fn new(
            level: Level,
            targeted: bool,
            module: &'static str,
            _file: &'static str,
            line: u32,
            template: &'static str,
            pieces: &'static [Piece],
            fields: &'static [Field],
            values: u8,
        ) -> Self {
            Callsite { level, targeted, module, line, template, pieces, fields, values }
        }

        pub fn switch(&'static self) -> u8 {
            ENABLED.get().into()
        }
    }

    pub trait Target {
        fn wants(&self, switch: u8, level: Level) -> bool {
            switch != 0 && self.level_enabled(level)
        }
        fn level_enabled(&self, level: Level) -> bool;
        fn name(&self) -> &'static str;
    }

    impl Target for Channel {
        fn level_enabled(&self, level: Level) -> bool {
            level as u8 >= self.max as u8
        }

        fn name(&self) -> &'static str {
            self.name
        }
    }

    impl<T: Target> Target for &T {
        fn level_enabled(&self, level: Level) -> bool {
            T::level_enabled(self, level)
        }

        fn name(&self) -> &'static str {
            T::name(self)
        }
    }

    pub fn level_enabled(_: Level) -> bool {
        ENABLED.get()
    }

    pub fn target_enabled<T: Target>(target: &T, level: Level) -> bool {
        ENABLED.get() && target.level_enabled(level)
    }

    pub type Encoded = (&'static str, String);

    pub struct Probe<'a, T: ?Sized>(pub &'a T);

    pub trait Primitive: fmt::Display {}
    impl Primitive for u8 {}
    impl Primitive for i32 {}
    impl Primitive for u64 {}
    impl Primitive for usize {}
    impl Primitive for f64 {}
    impl Primitive for bool {}
    impl Primitive for str {}
    impl<T: Primitive + ?Sized> Primitive for &T {}

    pub trait PlainValue {
        fn kakashi_plain(&self) -> Encoded;
    }
    impl<T: Primitive + ?Sized> PlainValue for Probe<'_, T> {
        fn kakashi_plain(&self) -> Encoded {
            ("value", self.0.to_string())
        }
    }

    /// The bound stands on the method, so that a missing `Display` is reported as such.
    pub trait PlainDisplay<T: ?Sized> {
        fn kakashi_plain(&self) -> Encoded
        where
            T: fmt::Display;
    }
    impl<T: ?Sized> PlainDisplay<T> for &Probe<'_, T> {
        fn kakashi_plain(&self) -> Encoded
        where
            T: fmt::Display,
        {
            ("display", self.0.to_string())
        }
    }

    pub trait FieldValue {
        fn kakashi_field(&self) -> Encoded;
    }
    impl<T: Primitive + ?Sized> FieldValue for &&Probe<'_, T> {
        fn kakashi_field(&self) -> Encoded {
            ("value", self.0.to_string())
        }
    }

    pub trait FieldOption {
        fn kakashi_field(&self) -> Encoded;
    }
    impl<T: Primitive> FieldOption for &Probe<'_, Option<T>> {
        fn kakashi_field(&self) -> Encoded {
            ("option", self.0.as_ref().map_or("null".to_owned(), T::to_string))
        }
    }

    pub trait FieldDisplay<T: ?Sized> {
        fn kakashi_field(&self) -> Encoded
        where
            T: fmt::Display;
    }
    impl<T: ?Sized> FieldDisplay<T> for Probe<'_, T> {
        fn kakashi_field(&self) -> Encoded
        where
            T: fmt::Display,
        {
            ("display", self.0.to_string())
        }
    }

    pub struct Formatted<'a>(&'static str, fmt::Arguments<'a>);

    impl<'a> Formatted<'a> {
        pub fn display(text: fmt::Arguments<'a>) -> Self {
            Formatted("formatted", text)
        }

        pub fn debug(text: fmt::Arguments<'a>) -> Self {
            Formatted("debug", text)
        }
    }

    /// What a number's format says, as it stands in the template.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Spec {
        flags: &'static str,
        kind: &'static str,
        width: usize,
        precision: usize,
    }

    impl Spec {
        pub const NONE: usize = usize::MAX;

        pub const fn new(flags: &'static str, kind: &'static str) -> Self {
            Spec { flags, kind, width: 0, precision: Self::NONE }
        }

        pub const fn sized(self, width: usize, precision: usize) -> Self {
            Spec { width, precision, ..self }
        }

        fn template(self) -> String {
            let width = if self.width == 0 { String::new() } else { self.width.to_string() };
            let precision =
                if self.precision == Self::NONE { String::new() } else { format!(".{}", self.precision) };
            format!("{}{width}{precision}{}", self.flags, self.kind)
        }
    }

    pub trait SpecKnown {
        fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Specified<'a>;
    }
    impl SpecKnown for Probe<'_, f64> {
        fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Specified<'a> {
            Specified(spec, formatted)
        }
    }
    pub trait SpecAny {
        fn kakashi_spec<'a>(&self, spec: Spec, formatted: Formatted<'a>) -> Formatted<'a>;
    }
    impl<T: ?Sized> SpecAny for &Probe<'_, T> {
        fn kakashi_spec<'a>(&self, _: Spec, formatted: Formatted<'a>) -> Formatted<'a> {
            formatted
        }
    }

    pub trait SizeKnown {
        fn kakashi_size(&self) -> usize;
    }
    impl SizeKnown for Probe<'_, usize> {
        fn kakashi_size(&self) -> usize {
            *self.0
        }
    }
    pub trait SizeAny {
        fn kakashi_size(&self) -> usize;
    }
    impl<T: ?Sized> SizeAny for &Probe<'_, T> {
        fn kakashi_size(&self) -> usize {
            unreachable!("a size is a usize")
        }
    }

    /// A double, and what was asked for.
    pub struct Specified<'a>(Spec, Formatted<'a>);

    pub trait Value {
        fn encode(self) -> Encoded;
    }
    impl Value for Specified<'_> {
        fn encode(self) -> Encoded {
            (self.0.template().leak(), self.1.encode().1)
        }
    }
    impl Value for Encoded {
        fn encode(self) -> Encoded {
            self
        }
    }
    impl Value for Formatted<'_> {
        fn encode(self) -> Encoded {
            (self.0, self.1.to_string())
        }
    }

    pub trait Values {
        fn encode(self, out: &mut Vec<Encoded>);
    }
    impl Values for () {
        fn encode(self, _: &mut Vec<Encoded>) {}
    }
    impl<V: Value, R: Values> Values for (V, R) {
        fn encode(self, out: &mut Vec<Encoded>) {
            out.push(self.0.encode());
            self.1.encode(out);
        }
    }

    pub fn log<T: Target>(target: &T, callsite: &'static Callsite, values: impl Values) {
        let mut texts = Vec::new();
        values.encode(&mut texts);
        assert_eq!(texts.len(), usize::from(callsite.values));
        let text = |piece: &Piece| match piece {
            Piece::Literal(text) => (*text).to_owned(),
            Piece::Value(index) => texts[usize::from(*index)].1.clone(),
        };
        let record = Record {
            level: callsite.level,
            target: target.name(),
            targeted: callsite.targeted,
            module: callsite.module,
            line: callsite.line,
            template: callsite.template,
            message: callsite.pieces.iter().map(text).collect(),
            fields: callsite.fields.iter().map(|field| (field.name, field.value, field.in_message)).collect(),
            values: texts,
        };
        RECORDS.with_borrow_mut(|records| records.push(record));
    }
}
