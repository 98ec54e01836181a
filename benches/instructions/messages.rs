//! The messages whose calls are counted: one function each, that nothing is inlined into but its log call.
//!
//! The values come in by reference and are the same in every call, so that every call takes the same way.

use std::hint::black_box;

use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Preformatted, debug, info};

use crate::method::values::{self, Fill};

/// Slots of each ring: more than a run publishes (`main.rs` asserts it), so that no ring is ever full or wraps.
pub const SLOTS: usize = 16384;

kakashi::channel!(static PREFORMATTED: Channel<128, 8192, 2, Block, Preformatted>);
kakashi::channel!(static DEFERRED: Channel<128, 8192, 2, Block, Deferred>);
kakashi::channel!(static PREFORMATTED_FOR: Channel<128, 8192, 2, BlockFor<1_000_000>, Preformatted>);
kakashi::channel!(static DEFERRED_FOR: Channel<128, 8192, 2, BlockFor<1_000_000>, Deferred>);
kakashi::channel!(static PREFORMATTED_NEWEST: Channel<128, 8192, 2, DropNewest, Preformatted>);
kakashi::channel!(static DEFERRED_NEWEST: Channel<128, 8192, 2, DropNewest, Deferred>);
kakashi::channel!(static PREFORMATTED_OLDEST: Channel<128, 8192, 2, DropOldest, Preformatted>);
kakashi::channel!(static DEFERRED_OLDEST: Channel<128, 8192, 2, DropOldest, Deferred>);

/// Claims this thread's lane of every channel.
pub fn prepare() -> Result<(), kakashi::PrepareError> {
    PREFORMATTED.prepare_thread()?;
    DEFERRED.prepare_thread()?;
    PREFORMATTED_FOR.prepare_thread()?;
    DEFERRED_FOR.prepare_thread()?;
    PREFORMATTED_NEWEST.prepare_thread()?;
    DEFERRED_NEWEST.prepare_thread()?;
    PREFORMATTED_OLDEST.prepare_thread()?;
    DEFERRED_OLDEST.prepare_thread()
}

/// What is logged.
pub struct Values {
    pub a: u64,
    pub b: u64,
    /// A double with many decimals, and one with as many digits as a double can have.
    pub double: f64,
    pub third: f64,
    pub price: f64,
    pub text: &'static str,
    pub side: &'static str,
    pub fill: Fill,
}

impl Values {
    pub fn new() -> Self {
        // Times 7919 it has more digits than a word has bytes: short and long integers are both there.
        let i = black_box(1_234_567);
        Values {
            a: i,
            b: i * 7919,
            double: values::double(i),
            third: black_box(1.0) / 3.0,
            price: values::price(i),
            text: values::TEXT,
            side: "buy",
            fill: Fill { qty: i, side: "buy" },
        }
    }
}

/// A message: its name in the baseline, its function, and that function's symbol.
pub struct Message {
    pub name: &'static str,
    pub symbol: &'static str,
    pub call: fn(&Values),
    /// It is called while records of `debug` are held back.
    pub watched: bool,
}

/// Makes the functions, and the list of them.
macro_rules! messages {
    ($($symbol:ident $name:literal $(($watched:ident))? |$v:ident| $log:expr;)*) => {
        $(
            // SAFETY: the name's prefix is this program's own: no other symbol has it.
            #[unsafe(no_mangle)]
            #[inline(never)]
            fn $symbol($v: &Values) {
                $log;
            }
        )*
        pub const MESSAGES: &[Message] = &[
            $(Message {
                name: $name,
                symbol: stringify!($symbol),
                call: $symbol,
                watched: <[&str]>::len(&[$(stringify!($watched))?]) == 1,
            }),*
        ];
    };
}

messages! {
    count_pre_static "preformatted, static text" |_v| info!(PREFORMATTED, "static text");
    count_pre_int "preformatted, 1 int" |v| info!(PREFORMATTED, "order {}", v.a);
    count_pre_double "preformatted, 2 ints + double"
        |v| info!(PREFORMATTED, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_pre_third "preformatted, 2 ints + 1/3"
        |v| info!(PREFORMATTED, "order {} filled {} @ {}", v.a, v.b, v.third);
    count_pre_price "preformatted, 2 ints + price"
        |v| info!(PREFORMATTED, "order {} filled {} @ {}", v.a, v.b, v.price);
    count_pre_text "preformatted, 2 ints + 43-byte str"
        |v| info!(PREFORMATTED, "order {} filled {} {}", v.a, v.b, v.text);
    count_pre_fields "preformatted, 4 fields"
        |v| info!(PREFORMATTED, "filled", a = v.a, b = v.b, c = true, d = v.side);
    count_pre_spec "preformatted, {:>10.3}" |v| info!(PREFORMATTED, "at {:>10.3}", v.double);
    count_pre_debug "preformatted, ?Debug" |v| info!(PREFORMATTED, "fill", fill = ?v.fill);
    count_pre_off "preformatted, level off" |v| debug!(PREFORMATTED, "order {}", v.a);
    count_pre_for "preformatted, 2 ints + double, BlockFor"
        |v| info!(PREFORMATTED_FOR, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_pre_newest "preformatted, 2 ints + double, DropNewest"
        |v| info!(PREFORMATTED_NEWEST, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_pre_oldest "preformatted, 2 ints + double, DropOldest"
        |v| info!(PREFORMATTED_OLDEST, "order {} filled {} @ {}", v.a, v.b, v.double);

    count_def_static "deferred, static text" |_v| info!(DEFERRED, "static text");
    count_def_int "deferred, 1 int" |v| info!(DEFERRED, "order {}", v.a);
    count_def_double "deferred, 2 ints + double"
        |v| info!(DEFERRED, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_def_price "deferred, 2 ints + price"
        |v| info!(DEFERRED, "order {} filled {} @ {}", v.a, v.b, v.price);
    count_def_text "deferred, 2 ints + 43-byte str"
        |v| info!(DEFERRED, "order {} filled {} {}", v.a, v.b, v.text);
    count_def_fields "deferred, 4 fields"
        |v| info!(DEFERRED, "filled", a = v.a, b = v.b, c = true, d = v.side);
    count_def_spec "deferred, {:>10.3}" |v| info!(DEFERRED, "at {:>10.3}", v.double);
    count_def_debug "deferred, ?Debug" |v| info!(DEFERRED, "fill", fill = ?v.fill);
    count_def_off "deferred, level off" |v| debug!(DEFERRED, "order {}", v.a);
    count_def_for "deferred, 2 ints + double, BlockFor"
        |v| info!(DEFERRED_FOR, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_def_newest "deferred, 2 ints + double, DropNewest"
        |v| info!(DEFERRED_NEWEST, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_def_oldest "deferred, 2 ints + double, DropOldest"
        |v| info!(DEFERRED_OLDEST, "order {} filled {} @ {}", v.a, v.b, v.double);

    count_held "preformatted, 2 ints + double, held back" (watched)
        |v| debug!(PREFORMATTED, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_def_held "deferred, 2 ints + double, held back" (watched)
        |v| debug!(DEFERRED, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_beside "preformatted, 2 ints + double, others held back" (watched)
        |v| info!(PREFORMATTED, "order {} filled {} @ {}", v.a, v.b, v.double);
    count_def_beside "deferred, 2 ints + double, others held back" (watched)
        |v| info!(DEFERRED, "order {} filled {} @ {}", v.a, v.b, v.double);
}
