//! What the indices in records stand for, as bytes: the channels and the log statements of a program.
//!
//! ```text
//! tables     u32 channels, each; u32 statements, each
//! channel    text name, text policy, u32 threads, u32 slots, u32 bytes of a slot,
//!            u64 place of its first lane in the region, u64 bytes of a lane, u64 place of the ring in a lane,
//!            u64 place of what its thread holds back (`held.rs`) in a lane,
//!            u8 1 if the ring evicts; places in the ring, u32 each: write, published, read, consumed, slots, floor,
//!            floor's sequence number, expected sequence number; `consumed` of such a ring has bit 63 set while the last
//!            frame is at hand and not yet read
//! statement  u32 id, u8 level (1 error ... 5 trace), u8 values, u8 1 if it is a facade's, u32 line, text file, text module, text template,
//!            u16 pieces, each: u8 0, text; or u8 1, u8 value
//!            u16 fields, each: text name, u8 value, u8 1 if the message has it
//! text       u32 bytes, UTF-8
//! ```
//!
//! All numbers are little-endian. The reader takes any bytes: counts and lengths are believed as far as there are bytes.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::callsite::{Field, Piece, Statement, callsites};
use crate::channel::channels;
use crate::held::Held;
use crate::lane::{LaneHead, SCRATCH_BYTES, Shape};
use crate::level::Level;
use crate::region;
use crate::ring::{OverwriteLayout, RingLayout};

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The tables of this program. The places of the lanes depend on how long they are.
pub(super) fn encode() -> Vec<u8> {
    let len = encode_at(region::plan(0, true)).len();
    encode_at(region::plan(len, true))
}

fn encode_at(plan: region::Plan) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.u32(channels().count());
    for (channel, first) in channels().zip(region::channel_offsets(plan)) {
        let shape = channel.shape();
        out.text(channel.channel_name());
        out.text(channel.policy());
        [shape.threads, shape.slots, shape.slot_bytes].into_iter().for_each(|value| out.u32(value));
        [first, shape.lane_bytes, shape.ring, shape.held].into_iter().for_each(|value| out.u64(value));
        let RingLayout { write, published, read, consumed, slots, overwrite } = shape.layout;
        out.u8(overwrite.is_some());
        let more = overwrite.unwrap_or_default();
        [write, published, read, consumed, slots, more.floor, more.floor_sequence, more.sequence]
            .into_iter()
            .for_each(|value| out.u32(value));
    }
    out.u32(callsites().len());
    for callsite in callsites() {
        let statement = callsite.statement();
        out.u32(callsite.id() as usize);
        out.u8(callsite.level() as u8);
        out.u8(statement.values as u8);
        out.u8(statement.foreign);
        out.u32(callsite.line() as usize);
        [callsite.file(), callsite.module_path(), callsite.template()]
            .into_iter()
            .for_each(|text| out.text(text));
        out.u16(statement.pieces.len());
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => {
                    out.u8(0);
                    out.text(text);
                }
                Piece::Value(at) => {
                    out.u8(1);
                    out.u8(at);
                }
            }
        }
        out.u16(statement.fields.len());
        for field in statement.fields {
            out.text(field.name);
            out.u8(field.value);
            out.u8(field.in_message);
        }
    }
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: impl Into<u8>) {
        self.0.push(value.into());
    }

    fn u16(&mut self, value: usize) {
        self.0.extend((value as u16).to_le_bytes());
    }

    fn u32(&mut self, value: usize) {
        self.0.extend((value as u32).to_le_bytes());
    }

    fn u64(&mut self, value: usize) {
        self.0.extend((value as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u32(text.len());
        self.0.extend(text.as_bytes());
    }
}

/// A channel of the program that made the tables.
#[derive(Clone, Debug)]
pub(super) struct ChannelTable<'a> {
    pub(super) name: &'a str,
    pub(super) policy: &'a str,
    /// Where its first lane is in the region.
    pub(super) first: u64,
    pub(super) shape: Shape,
}

/// A statement of the program that made the tables.
#[derive(Debug)]
pub(super) struct StatementTable<'a> {
    pub(super) level: Level,
    pub(super) line: u32,
    pub(super) file: &'a str,
    pub(super) module: &'a str,
    values: usize,
    foreign: bool,
    pieces: Vec<Piece<'a>>,
    fields: Vec<Field<'a>>,
}

impl StatementTable<'_> {
    pub(super) fn statement(&self) -> Statement<'_> {
        Statement { pieces: &self.pieces, fields: &self.fields, values: self.values, foreign: self.foreign }
    }
}

/// The tables, taken apart.
#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    pub(super) channels: Vec<ChannelTable<'a>>,
    pub(super) statements: HashMap<u32, StatementTable<'a>>,
}

impl<'a> Tables<'a> {
    /// As much of them as the bytes hold; and whether that is all.
    pub(super) fn parse(bytes: &'a [u8]) -> (Self, bool) {
        let mut tables = Tables::default();
        let whole = tables.read(&mut Reader(bytes)).is_some();
        (tables, whole)
    }

    fn read(&mut self, from: &mut Reader<'a>) -> Option<()> {
        let mut behind = 0;
        for _ in 0..from.u32()? {
            let (name, policy) = (from.text()?, from.text()?);
            let [threads, slots, slot_bytes] = [from.u32()?, from.u32()?, from.u32()?];
            let [first, lane_bytes, ring, held] = [from.u64()?, from.u64()?, from.u64()?, from.u64()?];
            let overwrite = from.u8()? == 1;
            let mut places = [0; 8];
            for place in &mut places {
                *place = from.u32()? as usize;
            }
            let [write, published, read, consumed, at, floor, floor_sequence, sequence] = places;
            let layout = RingLayout {
                write,
                published,
                read,
                consumed,
                slots: at,
                overwrite: overwrite.then_some(OverwriteLayout { floor, floor_sequence, sequence }),
            };
            let shape = Shape {
                threads: threads as usize,
                slots: slots as usize,
                slot_bytes: slot_bytes as usize,
                lane_bytes: usize::try_from(lane_bytes).ok()?,
                ring: usize::try_from(ring).ok()?,
                layout,
                held: usize::try_from(held).ok()?,
            };
            // Each in a place of its own: so there are no more lanes than there is file.
            (first >= behind && is_plausible(&shape)).then_some(())?;
            behind = first.checked_add(lane_bytes.checked_mul(u64::from(threads) + 1)?)?;
            self.channels.push(ChannelTable { name, policy, first, shape });
        }
        for _ in 0..from.u32()? {
            let id = from.u32()?;
            let level = match from.u8()? {
                1 => Level::Error,
                2 => Level::Warn,
                3 => Level::Info,
                4 => Level::Debug,
                5 => Level::Trace,
                _ => return None,
            };
            let (values, foreign, line) = (usize::from(from.u8()?), from.u8()? == 1, from.u32()?);
            let [file, module, _template] = [from.text()?, from.text()?, from.text()?];
            let mut pieces = Vec::new();
            for _ in 0..from.u16()? {
                pieces.push(match from.u8()? {
                    0 => Piece::Literal(from.text()?),
                    _ => Piece::Value(from.u8()?),
                });
            }
            let mut fields = Vec::new();
            for _ in 0..from.u16()? {
                fields.push(Field { name: from.text()?, value: from.u8()?, in_message: from.u8()? == 1 });
            }
            let values = values.min(crate::record::MAX_VALUES);
            let statement = StatementTable { level, line, file, module, values, foreign, pieces, fields };
            self.statements.insert(id, statement);
        }
        Some(())
    }
}

/// Whether a channel of ours can have that shape.
fn is_plausible(shape: &Shape) -> bool {
    let power = |value: usize, range: core::ops::RangeInclusive<usize>| {
        value.is_power_of_two() && range.contains(&value)
    };
    power(shape.slot_bytes, 64..=4096)
        && power(shape.slots, 2..=1 << 24)
        && (1..=4096).contains(&shape.threads)
        && shape.layout.slots <= 4096
        && shape.ring <= 1 << 16
        && shape.ring >= size_of::<LaneHead>()
        && shape.lane_bytes <= 1 << 38
        && shape.held <= shape.lane_bytes
        && shape.held >= shape.ring + shape.layout.slots + shape.slots * shape.slot_bytes + SCRATCH_BYTES
        && shape.lane_bytes - shape.held >= size_of::<Held>()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()? as usize;
        core::str::from_utf8(self.take(len)?).ok()
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_and_any_cut_of_it_does_no_harm() {
        let bytes = encode();
        let (tables, whole) = Tables::parse(&bytes);
        assert!(whole);
        assert_eq!(tables.channels.len(), channels().count());
        for (table, channel) in tables.channels.iter().zip(channels()) {
            assert_eq!((table.name, table.shape), (channel.channel_name(), channel.shape()));
        }
        assert_eq!(tables.statements.len(), callsites().len());
        for len in (0..bytes.len()).step_by(7) {
            assert!(!Tables::parse(&bytes[..len]).1);
        }
    }
}
