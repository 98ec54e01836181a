//! When a log goes on in a new file, and what the old ones are called.
//!
//! An old file is called as the log is, with the moment at which it was closed behind:
//! `app.log.2026-11-25T19-22-01.123456Z`, to the microsecond, and `.gz` behind that when it is compressed. So the names
//! stand in the order of time, and tell the log's files from all others. They are UTC whatever the zone by which the log
//! is rotated: in an hour that a zone's clock shows twice, names by it would go back.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::calendar::{civil_from_days, days_from_civil};
use crate::zone::Zone;

const SECOND: i64 = 1_000_000_000;
const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// How often a log goes on in a new file. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Period {
    /// With each minute of the clock.
    Minute,
    /// With each hour of the clock.
    Hour,
    /// At midnight.
    Day,
    /// At the midnight with which Monday begins.
    Week,
    /// At the midnight with which a month begins.
    Month,
}

/// When a [`FileSink`](crate::FileSink) goes on in a new file: by size, by time, or by what comes first. Time is UTC, or that
/// of a [zone](Rotation::in_zone).
///
/// ```
/// use kakashi::{Period, Rotation};
/// let rotation = Rotation::every(Period::Day).or_bytes(100 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    bytes: u64,
    period: Option<Period>,
    zone: Zone,
}

impl Rotation {
    /// Before the line with which the file would become longer than `bytes`. A line that is longer has a file of its own.
    pub fn bytes(bytes: u64) -> Self {
        Rotation { bytes, period: None, zone: Zone::UTC }
    }

    /// Before the first line that is written in a new period.
    pub fn every(period: Period) -> Self {
        Rotation { bytes: u64::MAX, period: Some(period), zone: Zone::UTC }
    }

    /// As [`Rotation::bytes`], too.
    #[must_use]
    pub fn or_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// The zone by whose clock periods begin. A day in which that clock is set has 23 or 25 hours, or what it comes to;
    /// an hour or a minute in which it is set ends there, so that the hour that a clock shows twice has two files. The
    /// names of old files are UTC, as always.
    #[must_use]
    pub fn in_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.bytes
    }

    /// The end of the period in which `ns` (since 1970) lies.
    pub(super) fn ends(&self, ns: i64) -> i64 {
        let Some(period) = self.period else { return i64::MAX };
        let mut second = ns.div_euclid(SECOND);
        let border = period.border(second + self.zone.offset(second));
        let end = loop {
            let end = border - self.zone.offset(second);
            let Some(set) = self.zone.next_change(second).filter(|&set| set <= end) else { break end };
            if period.ends_when_set() || set + self.zone.offset(set) >= border {
                break set;
            }
            second = set;
        };
        end.saturating_mul(SECOND)
    }
}

impl Period {
    /// What the clock shows at the end of the period in which it shows `second`, both in seconds since 1970.
    fn border(self, second: i64) -> i64 {
        let day = second.div_euclid(DAY);
        match self {
            Period::Minute => (second.div_euclid(60) + 1) * 60,
            Period::Hour => (second.div_euclid(3600) + 1) * 3600,
            Period::Day => (day + 1) * DAY,
            // 1970 began on a Thursday.
            Period::Week => ((day + 3).div_euclid(7) * 7 + 4) * DAY,
            Period::Month => {
                let (year, month, _) = civil_from_days(day);
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                days_from_civil(year.into(), month.into(), 1) * DAY
            }
        }
    }

    fn ends_when_set(self) -> bool {
        matches!(self, Period::Minute | Period::Hour)
    }
}

/// Which of a log's old files are kept: those within all limits. Without a limit, all are.
///
/// ```
/// use std::time::Duration;
/// let a_week = kakashi::Retention::default().files(50).age(Duration::from_secs(7 * 86_400));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    files: Option<usize>,
    age: Option<Duration>,
    bytes: Option<u64>,
}

impl Retention {
    /// At most that many old files; the one that is written to does not count.
    #[must_use]
    pub fn files(mut self, files: usize) -> Self {
        self.files = Some(files);
        self
    }

    /// Those that were closed at most that long ago.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// The newest ones, as many as have `bytes` together, compressed as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(super) fn is_limited(&self) -> bool {
        *self != Retention::default()
    }

    /// Which of `old`, the newest first, are beyond a limit at `now`, in µs since 1970.
    pub(super) fn beyond<'o>(&self, old: &'o [Old], now: i64) -> impl Iterator<Item = &'o Old> {
        let Retention { files, age, bytes } = *self;
        let mut sum = 0_u64;
        old.iter().enumerate().filter_map(move |(at, old)| {
            sum = sum.saturating_add(old.bytes);
            let is_old =
                age.is_some_and(|age| i128::from(now) - i128::from(old.closed) > age.as_micros() as i128);
            let is_beyond = files.is_some_and(|most| at >= most) || bytes.is_some_and(|most| sum > most);
            (is_old || is_beyond).then_some(old)
        })
    }
}

/// An old file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) path: PathBuf,
    /// When it was closed, in µs since 1970.
    pub(super) closed: i64,
    pub(super) compressed: bool,
    pub(super) bytes: u64,
}

/// A moment, in µs since 1970, as it stands in a name.
fn stamp(us: i64) -> String {
    let (second, us) = (us.div_euclid(MICROS), us.rem_euclid(MICROS));
    let (year, month, day) = civil_from_days(second.div_euclid(DAY));
    let second = second.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{us:06}Z")
}

/// The moment that a stamp says.
fn parse_stamp(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, us) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    let second = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let told = second * MICROS + us;
    (stamp(told) == text).then_some(told)
}

/// When an old file of `log` was closed, and whether it is compressed; `None` of any other file.
fn parse(log: &OsStr, name: &OsStr) -> Option<(i64, bool)> {
    let rest = name.as_bytes().strip_prefix(log.as_bytes())?.strip_prefix(b".")?;
    let rest = std::str::from_utf8(rest).ok()?;
    let (time, compressed) = rest.strip_suffix(".gz").map_or((rest, false), |time| (time, true));
    Some((parse_stamp(time)?, compressed))
}

/// The old files of the log at `path`, the newest first.
pub(super) fn old_files(path: &Path) -> io::Result<Vec<Old>> {
    let Some(log) = path.file_name() else { return Ok(Vec::new()) };
    let mut old = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let Some((closed, compressed)) = parse(log, &entry.file_name()) else { continue };
        match entry.metadata() {
            Ok(data) if data.is_file() => {
                old.push(Old { path: entry.path(), closed, compressed, bytes: data.len() });
            }
            _ => {}
        }
    }
    old.sort_by_key(|old| std::cmp::Reverse((old.closed, old.compressed)));
    Ok(old)
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with `end` behind its name.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// A name for the log at `path` that is closed at `ns`, which no file has: by some microseconds later if need be.
pub(super) fn free_name(path: &Path, ns: i64) -> io::Result<PathBuf> {
    const TRIES: i64 = 10_000;
    let us = ns.div_euclid(1000);
    let is_free = |name: &PathBuf| {
        fs::symlink_metadata(name).is_err() && fs::symlink_metadata(with_end(name, ".gz")).is_err()
    };
    let free = (us..us + TRIES).map(|us| with_end(path, &format!(".{}", stamp(us)))).find(is_free);
    free.ok_or_else(|| io::Error::new(io::ErrorKind::AlreadyExists, "all names for the old file are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(text: &str) -> i64 {
        let whole = text.replace('Z', ".000000Z");
        parse_stamp(&whole).expect("it is a time") / MICROS
    }

    #[test]
    fn periods_end_where_the_calendar_says() {
        for (period, at, end) in [
            (Period::Minute, "2026-11-25T19-22-01Z", "2026-11-25T19-23-00Z"),
            (Period::Minute, "2026-12-31T23-59-00Z", "2027-01-01T00-00-00Z"),
            (Period::Hour, "2026-11-25T19-22-01Z", "2026-11-25T20-00-00Z"),
            (Period::Day, "2024-02-28T00-00-00Z", "2024-02-29T00-00-00Z"),
            (Period::Week, "2026-11-25T19-22-01Z", "2026-11-30T00-00-00Z"),
            (Period::Week, "2026-11-30T00-00-00Z", "2026-12-07T00-00-00Z"),
            (Period::Week, "2026-11-29T23-59-59Z", "2026-11-30T00-00-00Z"),
            (Period::Month, "2024-02-01T00-00-00Z", "2024-03-01T00-00-00Z"),
            (Period::Month, "2026-12-31T23-59-59Z", "2027-01-01T00-00-00Z"),
        ] {
            let ends = Rotation::every(period).ends(second(at) * SECOND + 999_999_999);
            assert_eq!(ends, second(end) * SECOND, "{period:?} at {at}");
        }
        assert_eq!(Rotation::bytes(1).ends(0), i64::MAX);
    }

    proptest! {
        #[test]
        fn a_moment_lies_in_one_period(ns in 0..4_000_000_000 * SECOND) {
            for period in [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month] {
                let rotation = Rotation::every(period);
                let end = rotation.ends(ns);
                prop_assert!(end > ns);
                prop_assert_eq!(rotation.ends(end - 1), end);
                prop_assert!(rotation.ends(end) > end);
            }
        }

        /// An hour behind UTC, and 5:45 before it from 1970-01-02T00:30Z on, when the clock goes from 23:30 to 06:15.
        #[test]
        fn before_and_behind_a_table_its_first_and_last_offsets_hold(day in 10..50_000_i64, second in 0..DAY) {
            let zone = Zone::noted(&[(-60_i16 as u16).into(), (DAY as u64 + 1800) << 16 | 345]);
            let ends = |period, second| Rotation::every(period).in_zone(zone).ends(second * SECOND) / SECOND;
            prop_assert_eq!(ends(Period::Day, -day * DAY + 3600 + second), (1 - day) * DAY + 3600);
            prop_assert_eq!(ends(Period::Day, day * DAY - 20_700 + second), (day + 1) * DAY - 20_700);
            prop_assert_eq!(ends(Period::Day, DAY), DAY + 1800);
            prop_assert_eq!(ends(Period::Hour, DAY), DAY + 1800);
            prop_assert_eq!(ends(Period::Hour, DAY + 1800), DAY + 1800 + 45 * 60);
        }

        #[cfg(feature = "zones")]
        #[test]
        fn a_zones_periods_end_where_its_clock_says(
            (found, zone, second) in crate::zone::named::tests::zone_and_moment(),
        ) {
            use jiff::{Timestamp, ZonedDateTime, civil::Weekday};

            let end = |period| Rotation::every(period).in_zone(zone).ends(second * SECOND) / SECOND;
            let now = Timestamp::from_second(second).expect("it is a time").to_zoned_datetime(found.clone());
            // Since 1972.
            prop_assume!(now.offset().seconds() % 60 == 0);
            let date = now.date();
            let month = date.first_of_month().saturating_add(jiff::Span::new().months(1));
            let next = [
                (Period::Day, date.tomorrow()),
                (Period::Week, date.nth_weekday(1, Weekday::Monday)),
                (Period::Month, Ok(month)),
            ];
            for (period, begin) in next {
                // A day that is left out begins with the next one.
                let noon = begin.expect("it is a day").at(12, 0, 0, 0).to_zoned_datetime(found.clone());
                let begin = noon.and_then(|noon| noon.start_of_day()).expect("it is a day");
                // A clock that was set back over midnight shows the end of a day twice.
                if begin > now {
                    prop_assert_eq!(end(period), begin.timestamp().as_second(), "{:?} at {}", period, now);
                }
                prop_assert!(end(period) > second);
            }
            let is_set = |at: &Timestamp| found.to_offset(*at) != found.to_offset(*at - jiff::SignedDuration::from_secs(1));
            let set = found.following(now.timestamp()).map(|change| change.timestamp()).find(is_set);
            for (period, seconds) in [(Period::Minute, 60), (Period::Hour, 3600)] {
                let shown = |now: &ZonedDateTime| i64::from(now.minute()) * 60 + i64::from(now.second());
                let border = second + seconds - shown(&now) % seconds;
                let expected = set.map_or(border, |set| border.min(set.as_second()));
                prop_assert_eq!(end(period), expected, "{:?} at {}", period, now);
            }
        }

        #[test]
        fn names_are_read_as_they_are_written(us in 0..4_000_000_000 * MICROS) {
            prop_assert_eq!(parse_stamp(&stamp(us)), Some(us));
        }
    }

    #[test]
    fn only_a_logs_own_files_are_its_old_ones() {
        let is = |name: &str| parse(OsStr::new("app.log"), OsStr::new(name));
        let told = second("2026-11-25T19-22-01Z") * MICROS + 17;
        assert_eq!(is("app.log.2026-11-25T19-22-01.000017Z"), Some((told, false)));
        assert_eq!(is("app.log.2026-11-25T19-22-01.000017Z.gz"), Some((told, true)));
        for other in [
            "app.log",
            "app.log.1",
            "app.log.gz",
            "app.log.2026-11-25T19-22-01.000017Z.gz.tmp",
            "app.log.2026-11-25T19-22-01.000017Z-1",
            "app.log.2026-11-25T19-22-01Z",
            "app.log.2026-13-25T19-22-01.000017Z",
            "app.log.2026-11-25T19-22-61.000017Z",
            "app.log.2026-11-25 19-22-01.000017Z",
            "app.log.2026-11-25T19-22-01.+00017Z",
            "app.log2.2026-11-25T19-22-01.000017Z",
            "xapp.log.2026-11-25T19-22-01.000017Z",
            "app.log.20é6-11-25T19-22-01.000017Z",
        ] {
            assert_eq!(is(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_beyond_a_limit_goes() {
        let old: Vec<Old> = (0..5)
            .map(|at| Old { path: PathBuf::new(), closed: (100 - at) * MICROS, compressed: false, bytes: 10 })
            .collect();
        let gone = |keep: Retention| {
            keep.beyond(&old, 100 * MICROS).map(|old| 100 - old.closed / MICROS).collect::<Vec<_>>()
        };
        assert_eq!(gone(Retention::default()), [0_i64; 0]);
        assert_eq!(gone(Retention::default().files(2)), [2, 3, 4]);
        assert_eq!(gone(Retention::default().age(Duration::from_secs(3))), [4]);
        assert_eq!(gone(Retention::default().bytes(35)), [3, 4]);
        assert_eq!(gone(Retention::default().files(4).bytes(35).age(Duration::from_secs(1))), [2, 3, 4]);
    }
}
