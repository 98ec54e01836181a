//! The lines of records that come through a facade: like those of our own statements, but for where they get head, keys
//! and values from.
#![forbid(unsafe_code)]

use super::escape::{push_escaped, push_name, push_quoted};
use super::out::Out;
use super::{LineCache, LineHead, push_head, push_value};
use crate::callsite::Statement;
use crate::record::Record;
use crate::record::foreign::Foreign;

/// The head of a record's line, given the one that its statement has.
pub(crate) fn head_of<'a>(
    statement: Statement<'_>,
    head: &LineHead<'a>,
    record: &Record<'a>,
    shared: bool,
) -> LineHead<'a> {
    if statement.foreign { place(head, &Foreign::new(record, shared)) } else { head.clone() }
}

fn place<'a>(head: &LineHead<'a>, foreign: &Foreign<'a>) -> LineHead<'a> {
    // A head has the same number of words in every line.
    let target = if foreign.target.is_empty() { head.target } else { foreign.target };
    LineHead { target, location: foreign.location, ..head.clone() }
}

#[inline(never)]
pub(super) fn record<'a>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    head: &LineHead<'a>,
    record: &Record<'a>,
    shared: bool,
) {
    let foreign = Foreign::new(record, shared);
    push_head(cache, out, &place(head, &foreign));
    push_value(out, &foreign.message, push_escaped);
    for (name, value) in foreign.fields {
        out.push_byte(b' ');
        push_name(out, name, b" =\"");
        out.push_byte(b'=');
        push_value(out, &value, push_quoted);
    }
    out.end_line();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{HEADER, Kind, meta};

    /// Whatever stands in a record, it is one line, which drives no terminal, and stays in its room.
    #[test]
    fn any_bytes_are_one_line() {
        let statement = Statement { pieces: &[], fields: &[], values: 5, foreign: true };
        let head = LineHead {
            ns: 0,
            level: Level::Info,
            target: "log",
            location: None,
            thread: ThreadId { tid: 1, name: [b'x'; 16] },
        };
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let mut longest = 0;
        for _ in 0..20_000 {
            let mut bytes = [0_u8; 256];
            bytes.fill_with(|| random() as u8);
            // Mostly the kinds of ours, and lengths that may lie within the record.
            for (at, kind) in
                [Kind::Str, Kind::Str, Kind::U32, Kind::Display, Kind::Str].into_iter().enumerate()
            {
                if random() % 8 != 0 {
                    let preformatted = kind == Kind::U32;
                    bytes[HEADER + 2 * at..][..2].copy_from_slice(&meta(kind, preformatted, 3).to_le_bytes());
                }
            }
            for cell in [HEADER + 16, HEADER + 24, HEADER + 48, HEADER + 56] {
                let cut = if random() % 4 == 0 { random() << 32 } else { 0 };
                bytes[cell..cell + 8].copy_from_slice(&((random() % 48) | cut).to_le_bytes());
            }
            // Where the fields are, as a rule.
            for at in (120..249).step_by(9) {
                bytes[at..at + 7].copy_from_slice(&[b"nbsdg0?"[random() as usize % 7], 2, 0, 0, 3, 0, 0]);
            }
            let mut memory = [0; 2048];
            let mut out = Out::new(&mut memory);
            let bytes = &bytes[..random() as usize % 257];
            crate::format::record(
                &mut LineCache::new(),
                &mut out,
                &head,
                statement,
                &Record::new(bytes),
                random() % 8 == 0,
            );
            let text = core::str::from_utf8(out.bytes()).expect("it is UTF-8");
            let line = text.strip_suffix('\n').expect("it ends");
            assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line:?}");
            longest = longest.max(line.len());
        }
        assert!(longest > 200, "{longest}");
    }
}
