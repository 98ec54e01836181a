//! Durations, sizes and modes as people write them.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::error::shown;

/// Nanoseconds of each unit; the longest first.
const TIMES: &[(&str, u128)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// Bytes of each unit; of those that are written, the largest first.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];

/// A whole number, and what follows it. `None` when there is none, or it is too large.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Reads `5s`, `1m 30s`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let all = shown(text);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("a duration is missing, such as \"5s\"".to_owned());
    }
    let (mut sum, mut finest) = (0_u128, u128::MAX);
    while !rest.is_empty() {
        let (count, behind) = number(rest).ok_or_else(|| {
            format!("`{all}` is no duration: whole numbers with units are, such as \"1m 30s\"")
        })?;
        let behind = behind.trim_start();
        let end =
            behind.find(|char: char| char.is_whitespace() || char.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        if unit.is_empty() {
            return Err(format!("`{all}` lacks a unit: ns, us, ms, s, m, h and d are"));
        }
        let Some((_, ns)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("`{}` is no unit: ns, us, ms, s, m, h and d are", shown(unit)));
        };
        if *ns >= finest {
            return Err(format!("`{all}` is no duration: each unit may stand once, the longest first"));
        }
        finest = *ns;
        // Of seven numbers of 64 bits at most.
        sum += u128::from(count) * ns;
        rest = next.trim_start();
    }
    let seconds = u64::try_from(sum / 1_000_000_000).map_err(|_| format!("`{all}` is too long"))?;
    Ok(Duration::new(seconds, (sum % 1_000_000_000) as u32))
}

/// Writes a text that is read as the same duration.
pub(super) fn duration_text(duration: Duration) -> String {
    let (mut rest, mut parts) = (duration.as_nanos(), Vec::new());
    for (unit, ns) in TIMES {
        if rest >= *ns {
            parts.push(format!("{}{unit}", rest / ns));
            rest %= ns;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Reads `1GiB`, `500 kB`, `4096`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: &str = "B, kB, MB, GB, TB, KiB, MiB, GiB and TiB are";
    let all = shown(text);
    let (count, unit) = number(text.trim())
        .ok_or_else(|| format!("`{all}` is no size: a whole number and a unit are, such as \"1GiB\""))?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Ok(count);
    }
    let known = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, bytes) = known.ok_or_else(|| format!("`{}` is no unit of size: {UNITS}", shown(unit)))?;
    count.checked_mul(*bytes).ok_or_else(|| format!("`{all}` is too large"))
}

/// Writes a text that is read as the same size.
pub(super) fn size_text(bytes: u64) -> String {
    let whole = SIZES.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Reads `0640`.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{}` is no mode: octal digits up to 7777 are, such as \"0640\"", shown(text)))
}

pub(super) fn mode_text(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_mean_what_they_say() {
        for (text, ms) in [
            ("5s", 5000),
            ("100ms", 100),
            (" 1m 30s ", 90_000),
            ("1m30s", 90_000),
            ("2 h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
            ("2000us", 2),
            ("3000000ns", 3),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, reason) in [
            ("", "a duration is missing"),
            ("5", "lacks a unit"),
            ("1m 30", "lacks a unit"),
            ("s", "no duration"),
            ("-5s", "no duration"),
            ("1.5s", "`.` is no unit"),
            ("5 years", "`years` is no unit"),
            ("5M", "`M` is no unit"),
            ("5S", "`S` is no unit"),
            ("30s 1m", "the longest first"),
            ("1s 1s", "each unit may stand once"),
            ("18446744073709551616s", "no duration"),
            ("18446744073709551615d", "too long"),
        ] {
            let told = duration(text).expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
        assert_eq!(duration_text(Duration::from_millis(90_500)), "1m 30s 500ms");
    }

    #[test]
    fn sizes_mean_what_they_say() {
        for (text, bytes) in [
            ("1GiB", 1 << 30),
            ("500kB", 500_000),
            ("500 KB", 500_000),
            ("4096", 4096),
            ("0B", 0),
            ("3tib", 3 << 40),
            ("2MB", 2_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, reason) in [
            ("", "no size"),
            ("GiB", "no size"),
            ("-1GiB", "no size"),
            ("1G", "`G` is no unit"),
            ("1.5GiB", "no unit"),
            ("99999999999TiB", "too large"),
            ("99999999999999999999", "no size"),
        ] {
            let told = size(text).expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
        assert_eq!((size_text(1 << 30), size_text(1000)), ("1GiB".to_owned(), "1000B".to_owned()));
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("0640"), mode("600"), mode("0o7777")), (Ok(0o640), Ok(0o600), Ok(0o7777)));
        for text in ["", "0o", "0888", "rw-r-----", "+640", "10000", "777777777777"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds: u64, ns in 0_u32..1_000_000_000, bytes: u64, bits in 0_u32..=0o7777) {
            let time = Duration::new(seconds, ns);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
            prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
            prop_assert_eq!(mode(&mode_text(bits)), Ok(bits));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([0-9]{0,22}[a-zA-Zµ. ]{0,3}){0,4}\\PC{0,3}") {
            let _ = (duration(&text), size(&text), mode(&text));
        }
    }
}
