//! Every form of a log statement, with every type of value: for the tests of what a call must never do.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use kakashi::{Block, Channel, Deferred, info};

kakashi::channel!(pub static INNER: Channel<64, 1024, 8, Block, Deferred>);

/// A value that is a text by its `Display` and `Debug` only.
#[derive(Clone, Copy)]
pub struct Order<'a>(pub u64, pub &'a str);

impl fmt::Display for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order-{} {:.2} {}", self.0, 101.256, self.1)
    }
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("id", &self.0).field("note", &self.1).finish()
    }
}

/// A `Display` that fails.
pub struct Failing;

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("begun")?;
        Err(fmt::Error)
    }
}

/// A `Display` that logs.
pub struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(INNER, "nested {:?}", Order(1, "inner"));
        f.write_str("outer")
    }
}

pub const LONG: &str = match std::str::from_utf8(&[b'x'; 100_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Values whose making allocates, made before anything is counted.
pub struct Owned {
    pub string: String,
    pub boxed: Box<str>,
    pub counted: Arc<u64>,
    pub cow: Cow<'static, str>,
}

pub fn owned() -> &'static Owned {
    static OWNED: OnceLock<Owned> = OnceLock::new();
    OWNED.get_or_init(|| Owned {
        string: "a string".to_owned(),
        boxed: "a box".into(),
        counted: Arc::new(7),
        cow: Cow::Owned("a cow".to_owned()),
    })
}

/// How many records of the target itself, and of [`INNER`], [`short_forms!`] makes.
pub const SHORT_FORMS: u64 = 24;
pub const SHORT_INNER: u64 = 1;

/// Statements whose records are short. Each target is logged to [`SHORT_FORMS`] times.
macro_rules! short_forms {
    ($($target:expr),*) => {$(
        let target = &$target;
        let owned = $crate::forms::owned();
        let (mut qty, px, name, some, none) = (7_u32, 101.25, "text", Some("some"), None::<u64>);
        let order = $crate::forms::Order(7, "note");
        assert!(kakashi::enabled!(kakashi::Level::Info) && kakashi::enabled!(target, kakashi::Level::Error));
        kakashi::trace!(target, "static text");
        kakashi::debug!(target, "{} {} {} {} {} {}", u8::MAX, u16::MAX, u32::MAX, u64::MAX, usize::MAX, u128::MAX);
        kakashi::info!(target, "{} {} {} {} {} {}", i8::MIN, i16::MIN, i32::MIN, i64::MIN, isize::MIN, i128::MIN);
        kakashi::warn!(target, "{} {} {} {} {}", px, 0.1_f32, f64::NAN, f64::MAX, 5e-324);
        kakashi::error!(target, "{} {} {} {}", true, 'x', name, "é\n\x1b[0m");
        kakashi::info!(target, "{qty} {px:.2} {name:>10} {qty:#x} {order} {order:?} {order:#?} {:e} {:p}", px, name);
        kakashi::info!(target, "{:>1$.2$}", px, 12, 3);
        kakashi::info!(target, "{:.*}", 2, px);
        kakashi::info!(target, "{0} {1} {0:?} {named}", qty, name, named = px);
        kakashi::info!(target, "{}", format_args!("{} {:?}", qty, some));
        kakashi::info!(target, "{} {} {} {}", owned.string, owned.boxed, owned.counted, owned.cow);
        kakashi::info!(target, "{} {} {}", &mut qty, &&name, &&&px);
        kakashi::info!(target, "owned", string = owned.string, boxed = owned.boxed, counted = owned.counted, cow = owned.cow);
        kakashi::info!(target, "fields", qty = qty, px = px, name = name, some = some, none = none, yes = true, c = ' ');
        kakashi::info!(target, "fields {qty}", qty = qty, debug = ?some, display = %order, order = order);
        kakashi::info!(target, "wide", least = i128::MIN, most = u128::MAX, small = -1_i8, half = 0.5_f32, net.peer = name);
        kakashi::info!(target, "options", a = Some(1.5), b = Some(true), c = Some('c'), d = None::<&str>, e = Some(i64::MIN));
        kakashi::info!(target, "texts", empty = "", spaces = "a b", quotes = "\"=\\", control = "\u{1b}\u{202e}");
        kakashi::info!(
            target, "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
            a = 17, b = 18, c = 19, d = 20, e = 21, f = 22, g = 23, h = 24,
            i = 25, j = 26, k = 27, l = 28, m = 29, n = 30, o = 31, p = 32
        );
        kakashi::warn!(target, "{} {}", f64::MIN_POSITIVE, 1.0 / 3.0, third = 1.0 / 3.0, big = 1e21);
        kakashi::error!(target, "{{}} {:?} {:?} {:?}", 'c', "quoted", Some(1));
        kakashi::debug!(target, "{}", $crate::forms::Failing);
        kakashi::info!(target, "{} {}", $crate::forms::Nested, "more");
        kakashi::info!(target, "{:>200}", name);
    )*};
}

/// How many records [`long_forms!`] makes.
pub const LONG_FORMS: u64 = 5;

/// Statements whose records take many slots, or are cut.
macro_rules! long_forms {
    ($($target:expr),*) => {$(
        let target = &$target;
        let long = $crate::forms::LONG;
        kakashi::warn!(target, "{}", long);
        kakashi::info!(target, "{}", long[..3000]);
        kakashi::info!(target, "{} {}", $crate::forms::Order(1, long), long);
        kakashi::info!(target, "long", text = long, debug = ?long, display = %long);
        kakashi::info!(target, "{}", format_args!("{long} {long}"));
    )*};
}
