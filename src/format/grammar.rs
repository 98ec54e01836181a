//! What the formats with plans are made of, piece by piece: a line is
//! `START time head message tail (key value)* END`, where the head ends in the message's quote, if there is one, and the
//! tail begins with it. So a format is said once, whether a line is written by its plan (`plan.rs`) or not.
#![forbid(unsafe_code)]

use super::escape::{push_escaped, push_json, push_quoted};
use super::keys::{Limits, fitted};
use super::out::Out;
use super::said::{Escape, Said, push_plain};
use super::{LineCache, LineHead, push_field_name, push_origin};
use crate::callsite::Field;
use crate::record::Value;

pub(super) trait Grammar {
    /// What stands before the time, at most [`START_BYTES`].
    const START: &'static [u8];
    const END: &'static [u8];
    /// Whether fields that the message names are there again.
    const ALL_FIELDS: bool = true;
    /// How the message's own texts are written.
    const ESCAPE: Escape = push_json;

    fn push_time(cache: &mut LineCache, out: &mut Out<'_>, ns: i64) {
        cache.time.push(out, ns);
    }

    /// What stands between the time and the message.
    fn push_head(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>);

    /// What stands between the message and the fields.
    fn push_tail(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>);

    /// The key of a field, and what stands around it.
    fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize);

    fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>);

    /// A value in the message.
    fn push_said(out: &mut Out<'_>, value: &Value<'_>) {
        push_plain(out, value, Self::ESCAPE);
    }
}

/// The longest [`Grammar::START`].
pub(super) const START_BYTES: usize = 16;

/// A line piece by piece, its end included.
pub(super) fn push<G: Grammar>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    head: &LineHead<'_>,
    said: &Said<'_>,
) {
    fitted(out, said, |out, limits| {
        out.push(G::START);
        G::push_time(cache, out, head.ns);
        G::push_head(out, limits, head);
        limits.push_message(out, said);
        G::push_tail(out, limits, head);
        let fields = said.fields();
        for (at, field) in fields.iter().enumerate() {
            G::push_key(out, limits, fields, at);
            G::push_value(out, limits, said.value(field));
        }
        out.push(G::END);
    });
}

/// Text, which is written piece by piece without limits: a line for which there is no room is cut (`mod.rs`).
pub(super) struct Text;

impl Grammar for Text {
    const START: &'static [u8] = b"";
    const END: &'static [u8] = b"";
    const ALL_FIELDS: bool = false;
    const ESCAPE: Escape = push_escaped;

    fn push_head(out: &mut Out<'_>, _: Limits, head: &LineHead<'_>) {
        push_origin(out, head);
    }

    fn push_tail(_: &mut Out<'_>, _: Limits, _: &LineHead<'_>) {}

    fn push_key(out: &mut Out<'_>, _: Limits, fields: &[Field<'_>], at: usize) {
        out.push_byte(b' ');
        push_field_name(out, fields[at].name);
        out.push_byte(b'=');
    }

    fn push_value(out: &mut Out<'_>, _: Limits, value: &Value<'_>) {
        super::push_value(out, value, push_quoted);
    }

    fn push_said(out: &mut Out<'_>, value: &Value<'_>) {
        super::push_value(out, value, push_escaped);
    }
}
