//! Local time: which offset from UTC holds when.
//!
//! A zone is a table of the moments at which its offset changes, made once, when the zone is asked for (`named.rs`). All who
//! need local time read this table: the formats and rotation, without another look at files; a crash handler, which may
//! neither allocate nor lock; and who reads a black box, in which the table stands, by other rules or by none.
//!
//! Decision: a table rather than the rules. What is rendered is then the same everywhere, and a look-up is a search among
//! 64 words, once per second of the log's time. It has an end, after twenty years and more: see [`Zone`].
#![forbid(unsafe_code)]

#[cfg(feature = "zones")]
pub(crate) mod named;

use core::fmt;

#[cfg(feature = "zones")]
pub use named::ZoneError;

use crate::interned::{Interned, Kept};

/// Changes in a table, the first one of which says what holds from the beginning on.
pub(crate) const CHANGES: usize = 64;

/// Minutes that no offset reaches.
const NO_OFFSET: i64 = 26 * 60;

/// A time zone: for the times in a sink's lines ([`SinkOptions::zone`](crate::SinkOptions::zone)), and for when a file is
/// rotated ([`Rotation::in_zone`](crate::Rotation::in_zone)). [`Zone::UTC`] is the default of both. Others are found by
/// `Zone::named` and `Zone::local` (feature `zones`), by the rules that the system has then.
///
/// Times carry their offset, to the minute: `2026-03-29T03:00:00.123456789+02:00`. In UTC they end in `Z`.
///
/// # How long it holds
/// The rules are looked up once, from the beginning of last year on, and the next 63 changes of the clock noted: thirty
/// years with two changes a year, more than twenty in every zone, and all of time where the clock is not changed. Beyond the
/// last one its offset stays, and what was before the first one has the offset from then. A program sees new rules (an
/// update of `tzdata`) when it is started again. A zone is kept until the process ends, once for each name and each such
/// table.
#[derive(Clone, Copy, Default)]
pub struct Zone(Option<&'static Kept<Table>>);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(None);

    /// Its name as in the time zone database, `Europe/Berlin`; `UTC`; `local` for the system's if it has no other.
    pub fn name(&self) -> &'static str {
        self.0.map_or("UTC", |table| &table.name)
    }

    /// The offset that holds in a second since 1970, in seconds.
    pub(crate) fn offset(self, second: i64) -> i64 {
        let changes = self.changes();
        let behind = changes.partition_point(|&change| since(change) <= second);
        changes.get(behind.saturating_sub(1)).map_or(0, |&change| minutes(change) * 60)
    }

    /// When the offset changes next after a second since 1970.
    pub(crate) fn next_change(self, second: i64) -> Option<i64> {
        self.changes().iter().skip(1).map(|&change| since(change)).find(|&since| since > second)
    }

    /// What a black box notes of it: nothing of UTC.
    pub(crate) fn changes(self) -> &'static [u64] {
        self.0.map_or(&[], |table| &table.changes)
    }

    /// The zone of which that was noted; UTC if that is no zone's.
    pub(crate) fn noted(changes: &[u64]) -> Zone {
        let is_whole = changes.len() <= CHANGES
            && changes.is_sorted_by_key(|&change| since(change))
            && changes.iter().all(|&change| minutes(change).abs() < NO_OFFSET);
        if is_whole { Zone::of(String::new(), changes.to_vec()) } else { Zone::UTC }
    }

    /// Its number within this process.
    pub(crate) fn number(self) -> u32 {
        self.0.map_or(0, |table| table.number())
    }

    /// The zone of that number. Async-signal-safe.
    pub(crate) fn of_number(number: u32) -> Zone {
        Zone(ALL.numbered(number))
    }

    /// The zone with these changes; without any, UTC.
    fn of(name: String, changes: Vec<u64>) -> Zone {
        if changes.is_empty() {
            return Zone::UTC;
        }
        Zone(Some(ALL.keep(Table { name, changes })))
    }
}

impl PartialEq for Zone {
    /// There is one of each name and table.
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name()).finish()
    }
}

#[derive(PartialEq)]
struct Table {
    name: String,
    /// Not empty, in the order of time. Each: seconds since 1970 above 16 bits, in these the minutes of the offset that holds
    /// from then on.
    changes: Vec<u64>,
}

/// All zones of the process but UTC.
static ALL: Interned<Table> = Interned::new();

/// From when on a change's offset holds, in seconds since 1970.
fn since(change: u64) -> i64 {
    change as i64 >> 16
}

fn minutes(change: u64) -> i64 {
    (change as i16).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Since 1000 one hour behind UTC, from 5000 on 5:45 before it.
    const WORDS: [u64; 2] = [1000 << 16 | (-60_i16 as u16) as u64, 5000 << 16 | 345];

    #[test]
    fn an_offset_holds_from_its_change_on() {
        let zone = Zone::noted(&WORDS);
        for (second, offset) in
            [(i64::MIN, -3600), (1000, -3600), (4999, -3600), (5000, 20_700), (i64::MAX, 20_700)]
        {
            assert_eq!(zone.offset(second), offset, "at {second}");
        }
        let next = [i64::MIN, 4999, 5000].map(|second| zone.next_change(second));
        assert_eq!(next, [Some(5000), Some(5000), None]);
        assert_eq!((Zone::UTC.offset(5000), Zone::UTC.next_change(0)), (0, None));
    }

    #[test]
    fn a_zone_comes_back_by_its_number_and_by_what_is_noted_of_it() {
        let zone = Zone::noted(&WORDS);
        assert_eq!((Zone::of_number(zone.number()), Zone::of_number(0)), (zone, Zone::UTC));
        assert_eq!((zone.changes(), Zone::noted(zone.changes())), (WORDS.as_slice(), zone));
        assert_ne!(Zone::noted(&WORDS[..1]), zone);
        let named = Zone::of("Some/Where".to_owned(), zone.changes().to_vec());
        assert!(named != zone && named.to_string() == "Some/Where", "{named:?}");
    }

    #[test]
    fn what_is_no_zone_is_utc() {
        let [first, second] = WORDS;
        let far = 1000 << 16 | NO_OFFSET as u64;
        for words in [&[][..], &[second, first], &[far], &[first; CHANGES + 1], &[i16::MIN as u16 as u64]] {
            assert_eq!(Zone::noted(words), Zone::UTC, "{words:?}");
        }
    }
}
