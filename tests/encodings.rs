//! Whatever the encoding, the slot size, the ring's size and the policy: the message is `format!`'s, to the byte.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::fmt;

use kakashi::{Block, Channel, Deferred, DropOldest, Preformatted, info};
use proptest::prelude::*;
use support::{escaped, quoted};

// Room for everything that the property tests make.
kakashi::channel!(static P64: Channel<64, 4096, 32, Block, Preformatted>);
kakashi::channel!(static D64: Channel<64, 4096, 32, Block, Deferred>);
kakashi::channel!(static P128: Channel<128, 8192, 32, Block, Preformatted>);
kakashi::channel!(static D128: Channel<128, 8192, 32, Block, Deferred>);
kakashi::channel!(static P4096: Channel<4096, 64, 32, Block, Preformatted>);
kakashi::channel!(static D4096: Channel<4096, 64, 32, Block, Deferred>);
kakashi::channel!(static OP64: Channel<64, 4096, 32, DropOldest, Preformatted>);
kakashi::channel!(static OD128: Channel<128, 4096, 32, DropOldest, Deferred>);
kakashi::channel!(static OP4096: Channel<4096, 64, 32, DropOldest, Preformatted>);
// Few large slots: each record is at a wrap sooner or later.
kakashi::channel!(static PBIG2: Channel<4096, 2, 32, Block, Preformatted>);
kakashi::channel!(static DBIG4: Channel<4096, 4, 32, Block, Deferred>);
kakashi::channel!(static PBIG8: Channel<4096, 8, 32, Block, Preformatted>);
kakashi::channel!(static OBIG2: Channel<4096, 2, 32, DropOldest, Deferred>);
kakashi::channel!(static OBIG8: Channel<4096, 8, 32, DropOldest, Preformatted>);
// Hardly any room.
kakashi::channel!(static P2: Channel<64, 2, 32, Block, Preformatted>);
kakashi::channel!(static D2: Channel<64, 2, 32, Block, Deferred>);
kakashi::channel!(static P4: Channel<64, 4, 32, Block, Preformatted>);
kakashi::channel!(static D8: Channel<64, 8, 32, Block, Deferred>);
kakashi::channel!(static O2: Channel<64, 2, 32, DropOldest, Preformatted>);
kakashi::channel!(static O4: Channel<64, 4, 32, DropOldest, Deferred>);
kakashi::channel!(static O8: Channel<64, 8, 32, DropOldest, Preformatted>);
kakashi::channel!(static ODD: Channel<256, 4, 32, Block, Preformatted>);
// One thread has a lane; the others share.
kakashi::channel!(static SHARED: Channel<128, 2048, 1, Block, Preformatted>);
kakashi::channel!(static SHARED2: Channel<64, 2, 1, Block, Deferred>);
kakashi::channel!(static SHAREDO: Channel<64, 8, 1, DropOldest, Deferred>);

/// One statement on each channel with room; what each of them wrote. The arguments must be repeatable.
macro_rules! on_roomy_channels {
    ($log:expr, $($arg:tt)*) => {{
        info!(P64, $($arg)*);
        info!(D64, $($arg)*);
        info!(P128, $($arg)*);
        info!(D128, $($arg)*);
        info!(P4096, $($arg)*);
        info!(D4096, $($arg)*);
        info!(OP64, $($arg)*);
        info!(OD128, $($arg)*);
        info!(OP4096, $($arg)*);
        info!(PBIG2, $($arg)*);
        info!(DBIG4, $($arg)*);
        info!(PBIG8, $($arg)*);
        info!(OBIG2, $($arg)*);
        info!(OBIG8, $($arg)*);
        info!($($arg)*);
        all_of($log, 15)
    }};
}

/// The same where hardly anything fits.
macro_rules! on_tiny_channels {
    ($log:expr, $($arg:tt)*) => {{
        info!(P2, $($arg)*);
        info!(D2, $($arg)*);
        info!(P4, $($arg)*);
        info!(D8, $($arg)*);
        info!(O2, $($arg)*);
        info!(O4, $($arg)*);
        info!(O8, $($arg)*);
        info!(ODD, $($arg)*);
        $log.lines()
    }};
}

#[track_caller]
fn all_of(log: &support::Log, count: usize) -> Vec<String> {
    let messages = log.messages();
    assert_eq!(messages.len(), count, "{messages:?}");
    messages
}

/// Expects the same message of all.
#[track_caller]
fn assert_all(messages: &[String], expected: &str) {
    for (at, message) in messages.iter().enumerate() {
        assert!(message == expected, "channel {at}:\n  got      {message:?}\n  expected {expected:?}");
    }
}

fn config() -> ProptestConfig {
    let cases = if cfg!(debug_assertions) { 200 } else { 1000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Limits more often than chance has them, and every length of number.
macro_rules! integer {
    ($int:ty) => {
        prop_oneof![
            Just(<$int>::MIN),
            Just(<$int>::MAX),
            Just(0 as $int),
            (any::<$int>(), 0..<$int>::BITS).prop_map(|(n, bits)| n >> bits),
            (0..<$int>::MAX.ilog10() + 1, -1_i8..=1)
                .prop_map(|(power, by)| (10 as $int).pow(power).wrapping_add(by as $int)),
        ]
    };
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<f64>(),
        // Prices.
        (any::<i32>(), 0_i32..9).prop_map(|(n, k)| n as f64 / 10_f64.powi(k)),
        (any::<i64>(), 0_i32..12).prop_map(|(n, k)| n as f64 / 10_f64.powi(k)),
        any::<i64>().prop_map(|n| n as f64),
        // Subnormals, and powers of ten to the ends.
        (0_u64..1 << 52).prop_map(f64::from_bits),
        (-323_i32..=308, -1_i64..=1).prop_map(|(k, ulp)| {
            let power: f64 = format!("1e{k}").parse().unwrap_or(0.0);
            f64::from_bits(power.to_bits().wrapping_add_signed(ulp))
        }),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            5e-324,
            0.1,
            0.3,
            1e15,
            1e16,
            1e17,
            1e21,
            9_007_199_254_740_993.0,
        ]),
    ]
}

fn single() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (any::<i16>(), 0_i32..6).prop_map(|(n, k)| n as f32 / 10_f32.powi(k)),
        (0_u32..1 << 23).prop_map(f32::from_bits),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            1e-45,
            0.1,
            0.3,
            16_777_216.0,
            16_777_217.0,
            1e16,
        ]),
    ]
}

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        any::<char>(),
        proptest::char::range('\0', '\u{ff}'),
        prop::sample::select(vec![
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{80}',
            '\u{9f}',
            '\u{a0}',
            '\u{61b}',
            '\u{61c}',
            '\u{61d}',
            '\u{d7ff}',
            '\u{e000}',
            '\u{feff}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{10000}',
            '\u{10ffff}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2010}',
            '\u{2027}',
            '\u{2028}',
            '\u{202e}',
            '\u{202f}',
            '\u{2065}',
            '\u{2066}',
            '\u{2069}',
            '\u{206a}',
            '…',
            '"',
            '\\',
            '=',
            ' ',
        ]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,60}",
        any::<String>(),
        prop::collection::vec(character(), 0..80).prop_map(String::from_iter),
        (character(), 0_usize..80).prop_map(|(c, n)| c.to_string().repeat(n)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn integers(
        a in integer!(u8), b in integer!(u16), c in integer!(u32), d in integer!(u64), e in integer!(u128),
        f in integer!(usize), g in integer!(i8), h in integer!(i16), i in integer!(i32), j in integer!(i64),
        k in integer!(i128), l in integer!(isize),
    ) {
        let log = support::start();
        let got = on_roomy_channels!(&log, "{} {} {} {} {} {} {} {} {} {} {} {}", a, b, c, d, e, f, g, h, i, j, k, l);
        assert_all(&got, &format!("{a} {b} {c} {d} {e} {f} {g} {h} {i} {j} {k} {l}"));
        let got = on_roomy_channels!(&log, "m {k:>41}", j = j, e = Some(e), k = k, g = g, n = None::<u64>, b = b);
        assert_all(&got, &format!("m {k:>41} j={j} e={e} g={g} n=None b={b}"));
    }

    #[test]
    fn floats(a in double(), b in double(), c in single(), d in single(), width in 0_usize..20, precision in 0_usize..9) {
        let log = support::start();
        let got = on_roomy_channels!(&log, "{} {} {} {}", a, c, b, d);
        assert_all(&got, &format!("{a} {c} {b} {d}"));
        let got = on_roomy_channels!(&log, "{a:width$.precision$} {c:e}", a = a, b = b, c = c, d = Some(d));
        assert_all(&got, &format!("{a:width$.precision$} {c:e} b={b} d={d}"));
        // Of a number, `core::fmt` is asked only where it must be.
        let got = on_roomy_channels!(&log, "{a:.precision$} {c:>width$.2} {b:+}|{d:^0$}", width);
        assert_all(&got, &format!("{a:.precision$} {c:>width$.2} {b:+}|{d:^0$}", width));
    }

    #[test]
    fn formats_of_their_own(a in integer!(u64), b in integer!(i32), c in text(), width in 0_usize..20) {
        let log = support::start();
        let got = on_roomy_channels!(&log, "{a:#x} {a:>width$}|{b:+}|{b:*^9X}|{c:<width$}|{c:.3}", d = %b);
        let expected = format!("{a:#x} {a:>width$}|{b:+}|{b:*^9X}|{c:<width$}|{c:.3}");
        assert_all(&got, &format!("{} d={b}", escaped(&expected)));
    }

    #[test]
    fn characters_and_booleans(a in character(), b in character(), c in any::<bool>(), d in any::<Option<bool>>()) {
        let log = support::start();
        let got = on_roomy_channels!(&log, "{a}{b}{c} {a:?}{d:?}", b = b, d = d, e = Some(a), f = None::<char>);
        let d = d.map_or("None".to_owned(), |d| d.to_string());
        let message = format!("{a}{b}{c} {a:?}");
        let quoted_e = quoted(&a.to_string());
        // `{d:?}` names the field `d`, so that it stands in the text only.
        let debug = match d.as_str() { "None" => "None".to_owned(), d => format!("Some({d})") };
        assert_all(&got, &format!("{}{debug} e={quoted_e} f=None", escaped(&message)));
    }

    #[test]
    fn texts(a in text(), b in text(), n in any::<u64>(), some in any::<bool>()) {
        let log = support::start();
        let got = on_roomy_channels!(&log, "{}|{}|{}", a, n, b);
        assert_all(&got, &escaped(&format!("{a}|{n}|{b}")));
        let maybe = some.then_some(a.as_str());
        let got = on_roomy_channels!(&log, "{a:?} {b:>30}", a = maybe, b = b, c = a, d = n, e = %b);
        let expected = format!("{} c={} d={n} e={}", escaped(&format!("{maybe:?} {b:>30}")), quoted(&a), quoted(&b));
        assert_all(&got, &expected);
    }

    /// Where hardly anything fits, a text is cut at a character and says how much is missing.
    #[test]
    fn texts_on_tiny_rings(a in text(), b in text(), formatted in any::<bool>()) {
        let log = support::start();
        for texts in [vec![a.as_str()], vec![a.as_str(), b.as_str()]] {
            let before = kakashi::get_async_stats().truncated;
            let lines = match (&texts[..], formatted) {
                ([a], false) => on_tiny_channels!(&log, "{}", a),
                ([a], true) => on_tiny_channels!(&log, "{}", support_display(a)),
                ([a, b], false) => on_tiny_channels!(&log, "{}\u{a0}|\u{a0}{}", a, b),
                ([a, b], true) => on_tiny_channels!(&log, "{}\u{a0}|\u{a0}{}", support_display(a), support_display(b)),
                _ => unreachable!(),
            };
            prop_assert_eq!(lines.len(), 8);
            let mut cut = 0;
            for line in &lines {
                cut += u64::from(assert_cut(&line.message, "\u{a0}|\u{a0}", &texts));
            }
            prop_assert_eq!(kakashi::get_async_stats().truncated, before + cut);
        }
    }
}

/// A value that is a text only by its `Display`.
fn support_display(text: &str) -> impl fmt::Display {
    struct Pieces<'a>(&'a str);
    impl fmt::Display for Pieces<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            // Piece by piece, as a `Display` of a struct does.
            self.0.chars().try_for_each(|c| fmt::Write::write_char(f, c))
        }
    }
    Pieces(text)
}

/// How much of `text` a value of a message shows, given the message from the value on; `None` when it shows
/// neither the whole nor a beginning with a right mark. Also gives what follows the value.
fn shown<'m>(message: &'m str, text: &str) -> Vec<(usize, &'m str)> {
    let mut ways = Vec::new();
    if let Some(rest) = message.strip_prefix(&escaped(text)) {
        ways.push((text.len(), rest));
    }
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
        let cut = format!("{}…[+{} bytes]", escaped(&text[..end]), text.len() - end);
        if let Some(rest) = message.strip_prefix(&cut) {
            ways.push((end, rest));
        }
    }
    ways
}

/// Whether the message is that of the texts, each of them whole or cut with a right mark; says whether one is
/// cut.
#[track_caller]
fn assert_cut(message: &str, between: &str, texts: &[&str]) -> bool {
    fn parse(message: &str, between: &str, texts: &[&str]) -> Option<bool> {
        let (text, more) = texts.split_first()?;
        shown(message, text).into_iter().find_map(|(end, rest)| {
            let cut = end < text.len();
            if more.is_empty() {
                return rest.is_empty().then_some(cut);
            }
            parse(rest.strip_prefix(between)?, between, more).map(|others| cut || others)
        })
    }
    parse(message, between, texts).unwrap_or_else(|| panic!("{message:?} is not a message of {texts:?}"))
}

/// A text of that many bytes, in which each place is known by what stands there.
fn long_text(bytes: usize) -> String {
    let mut text: String =
        (0..).flat_map(|n| format!("{n:06x}.").into_bytes()).map(char::from).take(bytes).collect();
    text.truncate(bytes);
    text
}

/// How many bytes of a text of that length the message shows.
#[track_caller]
fn kept(message: &str, text: &str) -> usize {
    if message == text {
        return text.len();
    }
    let (begin, mark) = message.rsplit_once("…[+").expect("a cut text has a mark");
    assert!(text.starts_with(begin), "{begin:?} is no beginning");
    assert_eq!(mark, format!("{} bytes]", text.len() - begin.len()));
    begin.len()
}

/// The longest text that a record of that channel shows whole, found by trying every length around each slot's end.
macro_rules! check_lengths {
    ($log:expr, $channel:ident, $slot:expr, $slots:expr) => {{
        let room: usize = ($slot * $slots / 2).min(68 * 1024);
        let step: usize = $slot;
        let mut longest = 0;
        let mut shortest_cut = usize::MAX;
        let all = long_text(room + 2 * step);
        let lengths: Vec<usize> = (0..room + 2 * step)
            // All lengths of a few slots, and those around the ends of every slot.
            .filter(|len| {
                let in_slot = len % step;
                *len < 3 * step.min(256) || in_slot < 3 || in_slot >= step - 50 || len + 130 > room
            })
            .collect();
        for lengths in lengths.chunks(64) {
            let before = kakashi::get_async_stats().truncated;
            for &len in lengths {
                info!($channel, "{}", all[..len]);
            }
            let messages = $log.messages();
            assert_eq!(messages.len(), lengths.len());
            let mut cut = 0;
            for (message, &len) in messages.iter().zip(lengths) {
                let kept = kept(message, &all[..len]);
                if kept == len {
                    longest = longest.max(len);
                } else {
                    cut += 1;
                    shortest_cut = shortest_cut.min(len);
                    assert_eq!(kept, longest, "a cut text is as long as one can be");
                }
            }
            assert_eq!(kakashi::get_async_stats().truncated - before, cut);
        }
        assert_eq!(shortest_cut, longest + 1, "{}", stringify!($channel));
        assert!(longest + 64 >= room, "{}: of {room} bytes only {longest}", stringify!($channel));
    }};
}

#[test]
fn every_length_around_each_slots_end_and_the_maximum() {
    let log = support::start();
    check_lengths!(log, P2, 64, 2);
    check_lengths!(log, P4, 64, 4);
    check_lengths!(log, D8, 64, 8);
    check_lengths!(log, ODD, 256, 4);
    check_lengths!(log, PBIG2, 4096, 2);
    check_lengths!(log, DBIG4, 4096, 4);
    check_lengths!(log, PBIG8, 4096, 8);
    check_lengths!(log, P4096, 4096, 64);
}

#[test]
fn every_length_on_rings_that_evict() {
    let log = support::start();
    // One record at a time, so that none is evicted.
    macro_rules! one_by_one {
        ($($channel:ident, $slot:expr, $slots:expr;)*) => {$(
            let room = $slot * $slots / 2;
            let all = long_text(room + 100);
            let mut longest = 0;
            for len in (0..room + 100).filter(|len| $slot == 64 || len % $slot > $slot - 60 || len % $slot < 3) {
                info!($channel, "{}", all[..len]);
                let kept = kept(&log.message(), &all[..len]);
                longest = longest.max(kept);
                assert!(kept == len || kept == longest);
            }
            assert!(longest + 64 >= room);
        )*};
    }
    one_by_one! { O2, 64, 2; O4, 64, 4; O8, 64, 8; OBIG2, 4096, 2; OBIG8, 4096, 8; }
    assert_eq!(kakashi::get_async_stats().dropped.oldest, 0);
}

#[test]
fn values_of_64_kib_are_whole_and_longer_ones_are_cut() {
    let log = support::start();
    let whole = long_text(64 * 1024);
    macro_rules! on_large_rings {
        ($($arg:tt)*) => {{
            info!(P64, $($arg)*);
            info!(D64, $($arg)*);
            info!(P128, $($arg)*);
            info!(D128, $($arg)*);
            info!(P4096, $($arg)*);
            info!(OP64, $($arg)*);
            info!(OD128, $($arg)*);
            info!(OP4096, $($arg)*);
            info!($($arg)*);
            all_of(&log, 9)
        }};
    }
    let before = kakashi::get_async_stats().truncated;
    assert_all(&on_large_rings!("{}", whole), &whole);
    assert_all(&on_large_rings!("m", k = whole), &format!("m k={whole}"));
    assert_all(&on_large_rings!("{}", support_display(&whole)), &whole);
    assert_all(&on_large_rings!("m", k = Some(&whole), n = 7), &format!("m k={whole} n=7"));
    // What expands most when it is escaped.
    let bells = "\x07".repeat(64 * 1024);
    assert_all(&on_large_rings!("{}", bells), &"\\x07".repeat(64 * 1024));
    assert_eq!(kakashi::get_async_stats().truncated, before);
    for len in [80_000, 100_000, 1_000_000] {
        let text = long_text(len);
        let before = kakashi::get_async_stats().truncated;
        for message in
            on_large_rings!("{}", text).iter().chain(&on_large_rings!("{}", support_display(&text)))
        {
            let kept = kept(message, &text);
            assert!((64 * 1024..=73 * 1024).contains(&kept), "{kept} of {len}");
        }
        assert_eq!(kakashi::get_async_stats().truncated, before + 18);
    }
    // Cut at a character, of each width and at each offset.
    for c in ["é", "日", "🦀"] {
        for offset in 0..4 {
            let text = long_text(offset) + &c.repeat(100_000 / c.len());
            for message in on_large_rings!("{}", text) {
                assert!(kept(&message, &text) >= 64 * 1024);
            }
            for message in on_large_rings!("{}", support_display(&text)) {
                assert!(kept(&message, &text) > 64 * 1024 - 4);
            }
        }
    }
    // The mark stands behind a field's quotes.
    let text = "x y".repeat(40_000);
    for message in on_large_rings!("m", k = text, n = 1) {
        let rest = message.strip_prefix("m k=\"").expect("the field");
        let (shown, rest) = rest.split_once('"').expect("its end");
        assert!(text.starts_with(shown));
        assert_eq!(rest, format!("…[+{} bytes] n=1", text.len() - shown.len()));
    }
}

#[test]
fn several_long_texts_in_one_record() {
    let log = support::start();
    let texts: Vec<String> = ["a", "b", "c", "d"].iter().map(|c| c.repeat(30_000)).collect();
    let [a, b, c, d] = &texts[..] else { unreachable!() };
    macro_rules! check {
        ($room:expr, $($channel:ident)*) => {$(
            let before = kakashi::get_async_stats().truncated;
            info!($channel, "{}|{}|{}|{}|{}", a, 1, b, c, d, e = "end");
            info!($channel, "{}|{}|{}|{}|{}", support_display(a), 1, b, support_display(c), d, e = "end");
            for message in all_of(&log, 2) {
                let message = message.strip_suffix(" e=end").expect("the short field is whole");
                let parts: Vec<&str> = message.split('|').collect();
                assert_eq!(parts[1], "1");
                let shown = [parts[0], parts[2], parts[3], parts[4]];
                let sum: usize = shown.iter().zip(&texts).map(|(part, text)| kept(part, text)).sum();
                // The last slot is used to its end.
                assert!(sum <= $room + 4096 && sum + 200 >= $room, "{} of {}", sum, $room);
            }
            assert_eq!(kakashi::get_async_stats().truncated, before + 2);
        )*};
    }
    check!(68 * 1024, P64 D64 P128 D128 P4096 D4096 OP64 OD128 OP4096);
    check!(4096, PBIG2 OBIG2);
    check!(8192, DBIG4);
    check!(16384, PBIG8 OBIG8);
    // A long one beside a short one: the short one is whole.
    info!(P2, "{}|{}", "ab", a);
    info!(ODD, "{}|{}|{}", a, "whole", b);
    let messages = all_of(&log, 2);
    assert!(messages[0].starts_with("ab|aaaaaaaa"), "{messages:?}");
    assert!(messages[1].contains("|whole|"), "{messages:?}");
}

#[test]
fn a_record_that_cannot_fit_is_counted_and_the_next_one_is_written() {
    let log = support::start();
    let before = kakashi::get_async_stats().dropped.no_lane;
    // More than half of a ring of two slots, even without texts: of one slot too many, and of more than the ring.
    macro_rules! none_fits {
        ($n:expr, $($channel:ident)*) => {$(
            info!($channel, "{} {} {} {} {} {}", u64::MAX, 2_u64, 3_u64, 4_u64, 5_u64, $n);
            info!($channel, "{} {} {} {} {}", u128::MAX, u128::MAX, u128::MAX, i128::MIN, $n);
            info!($channel, "{} {} {} {} {} {} {} {} {}", u128::MAX, 1_i128, 2_i128, 3_i128, 4_i128, 5_i128, 6_i128,
                7_i128, $n);
            info!($channel, "{} {} {} {} {}", u128::MAX, i128::MIN, u128::MAX, "text", $n);
            info!($channel, "{}", $n);
            assert_eq!(log.messages(), [$n.to_string()], stringify!($channel));
        )*};
    }
    for n in 0..10_u32 {
        none_fits!(n, P2 D2 O2);
    }
    assert_eq!(kakashi::get_async_stats().dropped.no_lane, before + 10 * 3 * 4);
}

/// Numbers alone, of a size that a constant tells: three slots of four, wherever in the ring the call comes.
/// Sizes of every kind that `format!` takes.
#[test]
fn widths_may_be_references() {
    let log = support::start();
    let (w, p) = (&9, &&1);
    let boxed = Box::new(7_usize);
    let got =
        on_roomy_channels!(&log, "{:>w$}|{:.p$}|{0:>2$.3$}|{0:x>boxed$}|{1:.boxed$}", 5, 1.25, boxed, p);
    assert_all(&got, &format!("{:>w$}|{:.p$}|{0:>2$.3$}|{0:x>boxed$}|{1:.boxed$}", 5, 1.25, boxed, p));
    let got = on_roomy_channels!(&log, "{0:.p$}|{0:.1$}|{0:.w$}|{0:*<1$}", "a text", Box::new(2));
    assert_all(&got, &format!("{0:.p$}|{0:.1$}|{0:.w$}|{0:*<1$}", "a text", Box::new(2)));
}

/// A short text that was made without `core::fmt` is cut like any other.
#[test]
fn numbers_with_a_width_are_cut_on_tiny_rings() {
    let log = support::start();
    for (a, b) in [(7, 1.5), (123_456_789, -123_456.789), (u64::MAX, 1e300)] {
        let before = kakashi::get_async_stats().truncated;
        let lines = on_tiny_channels!(&log, "{:*>15}|{:*^16.3}|{:*<14}", a, b, "text");
        assert_eq!(lines.len(), 8);
        let texts = [format!("{a:*>15}"), format!("{b:*^16.3}"), format!("{:*<14}", "text")];
        let texts = texts.each_ref().map(String::as_str);
        let cut = lines.iter().filter(|line| assert_cut(&line.message, "|", &texts)).count();
        assert!((1..lines.len()).contains(&cut), "{cut}");
        assert_eq!(kakashi::get_async_stats().truncated, before + cut as u64);
    }
}

#[test]
fn numbers_that_cannot_fit_are_counted_at_every_place_of_the_ring() {
    kakashi::channel!(static REFUSES: kakashi::Channel<64, 4, 2, kakashi::Block>);
    kakashi::channel!(static OVERWRITES: kakashi::Channel<64, 4, 2, kakashi::DropOldest>);
    let log = support::start();
    let before = kakashi::get_async_stats().dropped.no_lane;
    for n in 0..20_u64 {
        info!(REFUSES, "{} {} {} {} {}", n, n, n, n, n);
        info!(OVERWRITES, "{} {} {} {} {}", n, n, n, n, n);
        info!(REFUSES, "{}", n);
        assert_eq!(log.messages(), [n.to_string()]);
        info!(OVERWRITES, "{}", n);
        assert_eq!(log.messages(), [n.to_string()]);
    }
    assert_eq!(kakashi::get_async_stats().dropped.no_lane, before + 40);
}

#[test]
fn the_shared_lane_gives_the_same_text() {
    let log = support::start();
    // This thread, or one before it, has the only lane.
    for prepared in [SHARED.prepare_thread(), SHARED2.prepare_thread(), SHAREDO.prepare_thread()] {
        prepared.expect("the only lane is free");
    }
    let texts: Vec<String> = (0..300).map(long_text).chain((1..60).map(|n| "日".repeat(n))).collect();
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("sharer".to_owned());
        let worker = worker.spawn_scoped(scope, || {
            for text in &texts {
                info!(SHARED, "{}|{}|{}", text, 1.5, u128::MAX, k = Some(text), n = None::<u64>);
                info!(SHARED, "{text:?}");
                info!(SHARED2, "{}", text);
                info!(SHAREDO, "{}", text);
                let lines = log.lines();
                assert_eq!(lines.len(), 4);
                assert_eq!(lines[0].message, format!("{text}|1.5|{} k={} n=None", u128::MAX, quoted(text)));
                assert_eq!(lines[1].message, format!("{text:?}"));
                assert_cut(&lines[2].message, "", &[text]);
                assert_cut(&lines[3].message, "", &[text]);
                assert!(lines.iter().all(|line| line.thread == "sharer"));
            }
            let text = long_text(64 * 1024);
            info!(SHARED, "{}", text);
            info!(SHARED, "{}", support_display(&text));
            for message in all_of(&log, 2) {
                assert_eq!(kept(&message, &text), 64 * 1024);
            }
        });
        worker.expect("a thread can be made").join().expect("the worker succeeds");
    });
    assert!(SHARED.lanes().any(|lane| lane.shared && lane.messages_enqueued > 700));
}

/// A whole line that nobody logged, between line ends of every kind and terminal controls.
const FORGED: &str = "\n2026-01-01T00:00:00.000000000Z ERROR bank src/pay.rs:1 [main] paid\r\n\
                      \x1b[2J\x1b]0;title\x07\u{9b}31m\u{85}\u{2028}\u{2029}\u{202e}\0\x7f\u{2066}\x0b\x0c";

#[test]
fn no_value_can_forge_a_line() {
    let log = support::start();
    let forging = kakashi::get_async_logger("log\nger\x1b[0m");
    let statements = move || {
        info!("{}", FORGED);
        info!("{FORGED} {FORGED:?} {FORGED:>200}", k = FORGED);
        info!(D64, "m", a = FORGED, b = %FORGED, c = ?FORGED, d = Some(FORGED), e = '\n', f = '\u{9b}');
        info!(P64, "{}{}{}", '\n', '\u{2028}', support_display(FORGED));
        info!(P2, "{}", FORGED);
        info!("template\n2026-01-01T00:00:00.000000000Z ERROR forged x:1 [main] \x1b[0m\u{85}");
        info!(forging, "{}", 1);
    };
    statements();
    let name = "thr\nead\x1b\r\t[31m";
    let worker = std::thread::Builder::new().name(name.to_owned());
    worker.spawn(statements).expect("a thread can be made").join().expect("the worker succeeds");
    let text = log.text();
    let raw =
        text.chars().filter(|&c| c != '\n' && escaped(&c.to_string()) != c.to_string()).collect::<Vec<_>>();
    assert!(raw.is_empty(), "{raw:?}");
    assert_eq!(text.lines().count(), 14, "{text}");
    assert!(text.lines().all(|line| !line.contains(" ERROR ") || line.contains(" INFO  ")));
    assert_eq!(text.matches("[thr\\nead\\x1b\\r\\t[31m] ").count(), 7);
    let first = support::Line::parse(text.lines().next().unwrap_or_default());
    assert_eq!(first.message, escaped(FORGED));
}
