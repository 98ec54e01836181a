//! What formats with a key for everything have in common: whose keys are whose, and lines that do not fit.
#![forbid(unsafe_code)]

use super::escape::push_json;
use super::out::Out;
use super::said::{Escape, Said};
use crate::callsite::Field;
use crate::record::MAX_VALUES;

/// The most fields of a line: a statement's own are fewer; those of a facade's record may be more.
pub(super) const MOST_FIELDS: usize = 64;

/// How many `_` stand behind a field's name, so that no two keys of a line are the same.
pub(super) fn underscores(fields: &[Field<'_>], at: usize, own: &[&str]) -> usize {
    let Some(Field { name, .. }) = fields.get(at) else { return 0 };
    let is_own = own.iter().any(|key| {
        let rest = key.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    // The macros refuse a name that stands twice; another program's tables may say anything.
    let mut earlier = fields[..at].iter().filter(|field| field.name == *name).count();
    if !is_own && earlier == 0 {
        return 0;
    }
    earlier -= usize::from(!is_own);
    let is_with = |field: &Field<'_>, count: usize| {
        let rest = field.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.len() == count && rest.bytes().all(|byte| byte == b'_'))
    };
    let mut count = 1;
    loop {
        if !fields.iter().any(|field| is_with(field, count)) {
            if earlier == 0 {
                return count;
            }
            earlier -= 1;
        }
        count += 1;
    }
}

/// How long texts may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    message: usize,
    /// Of each other text.
    text: usize,
}

impl Limits {
    pub(super) const NONE: Limits = Limits { message: usize::MAX, text: usize::MAX };

    pub(super) fn are_none(self) -> bool {
        self.text == usize::MAX
    }

    /// A text in quotes.
    #[inline]
    pub(super) fn push_text(self, out: &mut Out<'_>, text: &[u8]) {
        self.push_string(out, |out| push_json(out, text));
    }

    /// What `write` writes, in quotes.
    #[inline]
    pub(super) fn push_string(self, out: &mut Out<'_>, write: impl FnOnce(&mut Out<'_>)) {
        out.push_byte(b'"');
        out.within(self.text, whole, write);
        out.push_byte(b'"');
    }

    /// A name that is no value's.
    pub(super) fn push_key(self, out: &mut Out<'_>, name: &str, escape: Escape) {
        out.within(self.text, whole, |out| escape(out, name.as_bytes()));
    }

    /// What stands between a message's quotes.
    #[inline]
    pub(super) fn push_message(self, out: &mut Out<'_>, said: &Said<'_>) {
        out.within(self.message, whole, |out| said.push_message(out, push_json));
    }
}

/// Writes a line by `write`, and its end. One for which there is no room is written anew, with limits.
#[inline]
pub(super) fn fitted(out: &mut Out<'_>, said: &Said<'_>, mut write: impl FnMut(&mut Out<'_>, Limits)) {
    let start = out.len();
    write(out, Limits::NONE);
    out.push_byte(b'\n');
    if out.overflowed() {
        refit(out, start, said.fields().len().max(MAX_VALUES), &mut write);
    }
}

#[cold]
#[inline(never)]
fn refit(out: &mut Out<'_>, start: usize, fields: usize, write: &mut dyn FnMut(&mut Out<'_>, Limits)) {
    out.back_to(start);
    let room = out.remaining();
    // A quarter for the message; another for names and values of fields, and the names of the head.
    write(out, Limits { message: room / 4, text: room / (4 * (2 * fields + 8)) });
    out.push_byte(b'\n');
    if out.overflowed() {
        // No room of a writer's: there would be no line without a part of it.
        out.back_to(start);
    }
}

/// The bytes of a part of a JSON string that are whole characters and escapes.
fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        let len = match first {
            b'\\' if bytes.get(at + 1) == Some(&b'u') => 6,
            b'\\' => 2,
            0..0xC0 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        if bytes.len() - at < len {
            break;
        }
        at += len;
    }
    at
}
