//! Which calls may be made on the hot path, and which may only stand there, behind a branch that is not taken.
//!
//! A row: the messages (those whose name has one of the texts), the caller and the callee (parts of their
//! names, without hashes; `MESSAGE` is the message's own function, `memcpy` any variant of it). What has no
//! row fails. A row that is not needed any more is to be removed: it would let the call come back.

/// Messages, caller, callee.
struct Row(&'static [&'static str], &'static str, &'static str);

/// Stands for the function of a message.
pub const MESSAGE: &str = "a message";

const ALL: &[&str] = &[""];
const PREFORMATTED: &[&str] = &["preformatted"];
/// Messages with a float that becomes text on the calling thread: one of few digits, and one of many.
const DOUBLES: &[&str] = &["preformatted, 2 ints + double", "preformatted, 2 ints + price"];
const THIRD: &[&str] = &["preformatted, 2 ints + 1/3"];
/// Messages with a text.
const TEXTS: &[&str] = &["str", "fields", "?Debug", "{:>10.3}"];
/// Messages that need `core::fmt`, and are excused for what it does, not for what this crate does around it.
const FORMATTED: &[&str] = &["?Debug"];
/// Messages with a format that seldom needs it: whether it is needed is known after the text was tried.
const SPECS: &[&str] = &["{:>10.3}"];

/// Made in every call.
#[rustfmt::skip]
const ON_THE_PATH: &[Row] = &[
    Row(DOUBLES, MESSAGE, "kakashi::number::short_text"),
    // A float with more digits than the fast way finds.
    Row(THIRD, MESSAGE, "kakashi::number::f64_long_text"),
    Row(THIRD, "kakashi::number::", "kakashi::number::"),
    Row(THIRD, "kakashi::number::", "zmij::"),
    Row(THIRD, "zmij::", "zmij::"),
    // It puts zeros and the point between the digits by copies of any length.
    Row(THIRD, "as zmij::private::Sealed>::write_to_zmij_buffer", "memcpy"),
    Row(THIRD, "as zmij::private::Sealed>::write_to_zmij_buffer", "memset"),

    Row(FORMATTED, MESSAGE, "kakashi::hot::log_formatted"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::hot::format_and_push"),
    Row(FORMATTED, "kakashi::hot::format_and_push", "as kakashi::arg::Arg>::ready"),
    Row(FORMATTED, "as kakashi::arg::Arg>::ready", "kakashi::arg::Arena::text"),
    Row(FORMATTED, "kakashi::arg::Arena::text", "core::fmt::write"),
    Row(FORMATTED, "kakashi::arg::Arena::text", "core::str::converts::from_utf8"),
    Row(FORMATTED, "core::fmt::", "core::fmt::"),
    Row(FORMATTED, "core::fmt::float", "core::num::"),
    Row(FORMATTED, "core::num::", "core::num::"),
    Row(FORMATTED, "core::num::", "memset"),
];

/// Not made in the calls that are counted: the first call, a full ring, a cut value, a call within a call.
#[rustfmt::skip]
const BEHIND_A_BRANCH: &[Row] = &[
    Row(ALL, "", "kakashi::hot::push_slow"),
    Row(ALL, "", "kakashi::clock::slow_tick"),
    Row(ALL, "", "::ask_again"),
    Row(&["DropOldest"], MESSAGE, "::evict"),
    // Integers of more digits than the cell's fast way takes, and floats likewise.
    Row(PREFORMATTED, MESSAGE, "kakashi::number::long_integer_text"),
    Row(DOUBLES, MESSAGE, "kakashi::number::f64_long_text"),
    Row(THIRD, MESSAGE, "kakashi::number::short_text"),
    // Texts of more than 64 bytes.
    Row(TEXTS, MESSAGE, "memcpy"),
    Row(FORMATTED, "kakashi::hot::format_and_push", "memcpy"),

    // A text that is longer than most, or needs `core::fmt` for another reason.
    Row(SPECS, MESSAGE, "kakashi::hot::log_formatted"),

    // Formatting: bounds, `<fmt::Error>`, a `Display` that panics, a call within a call.
    Row(FORMATTED, "kakashi::arg::Bounded", "core::slice::index::slice_index_fail"),
    Row(FORMATTED, "kakashi::arg::Arena::text", "core::slice::index::slice_index_fail"),
    Row(FORMATTED, "kakashi::arg::Arena::text", "core::panicking::panic_fmt"),
    // Pieces of more than sixteen bytes, and what does not fit.
    Row(FORMATTED, "kakashi::arg::Bounded as core::fmt::Write>::write_str", "memcpy"),
    Row(FORMATTED, "kakashi::arg::Arena::text", "memcpy"),
    Row(FORMATTED, "core::fmt::Write::write_char", "memcpy"),
    Row(FORMATTED, "kakashi::arg::", "kakashi::arg::Bounded::write_partly"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "_Unwind_Resume"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "core::panicking::panic_in_cleanup"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "drop_in_place<kakashi::cold::Scratch"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::lane::LaneHead::dropped"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::region::totals"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::clock::now"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::hot::log_nested"),
    // The first call; a thread without a lane, which locks scratch memory of the channel's pool.
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::cold::claim_ahead"),
    Row(FORMATTED, "kakashi::hot::log_formatted", "kakashi::futex::wake"),
];

fn has(rows: &[Row], message: &str, caller: &str, callee: &str) -> bool {
    rows.iter().any(|Row(messages, from, to)| {
        messages.iter().any(|part| message.contains(part)) && caller.contains(from) && callee.contains(to)
    })
}

/// Whether the call may be made.
pub fn on_the_path(message: &str, caller: &str, callee: &str) -> bool {
    has(ON_THE_PATH, message, caller, callee)
}

/// Whether it may stand in the code.
pub fn in_the_code(message: &str, caller: &str, callee: &str) -> bool {
    on_the_path(message, caller, callee) || has(BEHIND_A_BRANCH, message, caller, callee)
}
