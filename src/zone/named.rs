//! Zones by their names in the system's time zone database, which `jiff` reads.
//!
//! Decision: the database is the system's, and none is linked in. Rules change some times a year, and the system's are
//! updated without the program. A program for systems without one depends on `jiff` itself, with its feature
//! `tzdb-bundle-always`: then there is one for both.
#![forbid(unsafe_code)]

use core::fmt;
use std::ffi::OsString;

use jiff::Timestamp;
use jiff::tz::{self, Offset, TimeZone};

use super::{CHANGES, Zone, minutes};
use crate::calendar::days_from_civil;

/// Why there is no such zone. Its `Display` says what can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// The name that was asked for; none of the system's own zone.
    name: Option<String>,
    why: String,
    /// Where zones were looked for.
    folders: String,
    /// There is no zone at all.
    is_bare: bool,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "there is no time zone `{}`: ", name.escape_debug())?,
            None => write!(f, "the system's time zone cannot be told: {}; ", self.why)?,
        }
        let folders = &self.folders;
        match (self.is_bare, &self.name) {
            (true, _) => {
                write!(f, "no time zone database is installed below {folders}: it is in the package `tzdata`")
            }
            (false, Some(_)) => write!(f, "names are such as `Europe/Berlin`, and stand below {folders}"),
            (false, None) => f.write_str("the variable TZ may name one, such as `Europe/Berlin`"),
        }
    }
}

impl core::error::Error for ZoneError {}

impl Zone {
    /// The zone of that name in the system's time zone database, `Europe/Berlin`, whatever the case of its letters. The
    /// database is that below the folder that the variable `TZDIR` names, or `/usr/share/zoneinfo`.
    ///
    /// # Errors
    /// [`ZoneError`] when there is no such zone, or no database.
    ///
    /// ```
    /// use kakashi::{FileSink, Period, Rotation, SinkOptions, Zone};
    ///
    /// # let path = std::env::temp_dir().join(format!("zone-{}.log", std::process::id()));
    /// let zone = Zone::named("Europe/Berlin")?;
    /// let sink = FileSink::create(path).rotate(Rotation::every(Period::Day).in_zone(zone));
    /// let guard = kakashi::builder().sink_with(sink, SinkOptions::default().zone(zone)).start()?;
    /// # drop(guard);
    ///
    /// let error = Zone::named("Europe/Berlim").unwrap_err();
    /// assert!(error.to_string().contains("there is no time zone `Europe/Berlim`"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        let found = TimeZone::get(name).map_err(|why| error(Some(name), &why))?;
        Ok(zone(&found, Timestamp::now()))
    }

    /// The system's own zone: what the variable `TZ` says (a name, a file, or a rule of POSIX), else `/etc/localtime`.
    ///
    /// # Errors
    /// [`ZoneError`] when neither says one.
    pub fn local() -> Result<Zone, ZoneError> {
        let found = TimeZone::try_system().map_err(|why| error(None, &why))?;
        Ok(zone(&found, Timestamp::now()))
    }
}

fn error(name: Option<&str>, why: &jiff::Error) -> ZoneError {
    let is_bare = tz::db().available().next().is_none();
    let folders = folders(std::env::var_os("TZDIR"));
    ZoneError { name: name.map(str::to_owned), why: why.to_string(), folders, is_bare }
}

/// Where the database is looked for, the variable `TZDIR` being that.
fn folders(variable: Option<OsString>) -> String {
    let usual = "/usr/share/zoneinfo";
    match variable {
        Some(folder) => format!("{} (TZDIR) or {usual}", folder.to_string_lossy().escape_debug()),
        None => usual.to_owned(),
    }
}

/// The zone's changes from the beginning of the year before `now` on.
fn zone(found: &TimeZone, now: Timestamp) -> Zone {
    let year = i64::from(Offset::UTC.to_datetime(now).year()) - 1;
    let begin = Timestamp::from_second(days_from_civil(year, 1, 1) * 86_400).unwrap_or(now);
    let later = found.following(begin).map(|change| (change.timestamp(), change.offset()));
    let mut changes: Vec<u64> = Vec::with_capacity(CHANGES);
    for (since, offset) in core::iter::once((begin, found.to_offset(begin))).chain(later) {
        // Whole minutes, as times show them.
        let change = (since.as_second() << 16) as u64 | u64::from((offset.seconds() / 60) as u16);
        // Some changes are of the name only.
        if changes.last().is_none_or(|&last| minutes(last) != minutes(change)) {
            changes.push(change);
        }
        if changes.len() == CHANGES {
            break;
        }
    }
    // By whatever name: `Etc/UTC`, `Zulu`. A rule of POSIX may call any offset so.
    if found.to_offset_info(begin).abbreviation() == "UTC"
        && matches!(changes[..], [only] if minutes(only) == 0)
    {
        return Zone::UTC;
    }
    Zone::of(found.iana_name().unwrap_or("local").to_owned(), changes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::since;
    use super::*;
    use proptest::prelude::*;

    /// Half an hour of summer time; offsets of 45 minutes; a summer time that pauses in Ramadan; a day that was left out;
    /// clocks set at midnight, and in the minute behind it; a rule that was given up; the other hemisphere.
    const ODD: [&str; 8] = [
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Asia/Beirut",
        "Pacific/Auckland",
    ];

    /// A zone as `jiff` and we have it, by a look at the rules in the year before a moment, and a moment not long after it.
    /// Both in seconds since 1970.
    pub(crate) fn zone_and_moment() -> impl Strategy<Value = (TimeZone, Zone, i64)> {
        let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
        let name =
            prop_oneof![prop::sample::select(&ODD[..]).prop_map(str::to_owned), prop::sample::select(names),];
        // Near a change of the clock, or anywhere.
        let near = prop_oneof![-90_000..90_000_i64, Just(-1), Just(0), 0..63_072_000_i64];
        (name, 315_532_800..1_900_000_000_i64, near).prop_map(|(name, looked, near)| {
            let looked = Timestamp::from_second(looked).expect("it is a time");
            let found = TimeZone::get(&name).expect("it is there");
            let ours = zone(&found, looked);
            let change = found.following(looked).next().map_or(looked, |change| change.timestamp());
            (found, ours, change.as_second() + near)
        })
    }

    proptest! {
        #[test]
        fn offsets_are_those_of_the_rules((found, zone, second) in zone_and_moment()) {
            let at = |second| found.to_offset(Timestamp::from_second(second).expect("it is a time")).seconds();
            prop_assert_eq!(zone.offset(second), i64::from(at(second) / 60 * 60));
            if let Some(next) = zone.next_change(second) {
                prop_assert!(next > second && at(next) != at(next - 1));
                prop_assert_eq!(zone.offset(next - 1), zone.offset(second));
            }
        }
    }

    #[test]
    fn every_zone_holds_for_twenty_years() {
        let now = Timestamp::now();
        let names: Vec<_> = tz::db().available().collect();
        assert!(names.len() > 400, "{}", names.len());
        for name in names {
            let zone = zone(&TimeZone::get(name.as_str()).expect("it is there"), now);
            let changes = zone.changes();
            let last = changes.last().map_or(0, |&change| since(change));
            let years = (last - now.as_second()) / 31_556_952;
            assert!(changes.len() < CHANGES || years >= 20, "{name}: {years}");
        }
    }

    #[test]
    fn a_zone_is_found_by_its_name_and_is_one() {
        let berlin = Zone::named("Europe/Berlin").expect("it is there");
        assert_eq!((berlin, berlin.name()), (Zone::named("europe/berlin").expect("it is"), "Europe/Berlin"));
        assert_eq!(berlin.offset(1_795_434_874), 3600);
        assert_ne!(berlin, Zone::named("Europe/Paris").expect("it is there"));
        for utc in ["UTC", "Etc/UTC", "utc", "Zulu"] {
            assert_eq!(Zone::named(utc), Ok(Zone::UTC));
        }
    }

    #[test]
    fn an_error_says_what_can_be_done() {
        for name in ["Europe/Berlim", "", "../../etc/passwd", "a\nb"] {
            let told = Zone::named(name).expect_err(name).to_string();
            let start = format!("there is no time zone `{}`: names are such as", name.escape_debug());
            assert!(told.starts_with(&start) && told.ends_with("/usr/share/zoneinfo"), "{told}");
        }
        assert_eq!(folders(Some("/opt/zones".into())), "/opt/zones (TZDIR) or /usr/share/zoneinfo");
        let error = |name| {
            let (why, folders) = ("no TZ".to_owned(), folders(None));
            ZoneError { name, why, folders, is_bare: true }.to_string()
        };
        assert!(error(Some("Europe/Berlin".to_owned())).contains("it is in the package `tzdata`"));
        assert!(
            error(None).starts_with("the system's time zone cannot be told: no TZ; no time zone database")
        );
    }
}
