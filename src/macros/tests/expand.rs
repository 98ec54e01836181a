//! Log statements against a stand-in for the library: what a record holds, and that the code compiles wherever
//! `format!` would.

#![forbid(unsafe_code)]
#![warn(clippy::all, clippy::pedantic)]
#![deny(warnings)]
// The calls below are written as users write them, not as clippy would have it.
#![allow(
    clippy::uninlined_format_args,
    clippy::unnecessary_cast,
    clippy::cast_precision_loss,
    clippy::semicolon_if_nothing_returned
)]

#[allow(clippy::pedantic)]
mod mock;

pub use mock::{__private, Channel, Level};
use std::cell::Cell;

macro_rules! info {
    ($($arg:tt)*) => { $crate::__private::emit! { ($crate) on Info ($($arg)*) } };
}

macro_rules! off {
    ($($arg:tt)*) => { $crate::__private::emit! { ($crate) off Debug ($($arg)*) } };
}

static ORDERS: Channel = Channel { name: "orders", max: Level::Info };
static QUIET: Channel = Channel { name: "quiet", max: Level::Error };

/// The one record of `statements`.
fn one(statements: impl FnOnce()) -> mock::Record {
    statements();
    let mut records = mock::take();
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

/// The message is what `format!` gives.
macro_rules! same_as_format {
    ($($arg:tt)*) => { assert_eq!(one(|| info!($($arg)*)).message, format!($($arg)*)) };
}

#[test]
fn messages_are_what_format_gives() {
    let (name, width, prec, x, r#type) = ("räv", 9, 2, 3.75, "keyword");
    let pointer = &raw const width;
    same_as_format!("");
    same_as_format!("plain");
    same_as_format!("{{}} {{{}}}", 1);
    same_as_format!(r#"raw "{}" \n"#, 1);
    same_as_format!(
        "esc \t\"{}\" \u{1F600} \
                     continued",
        1
    );
    same_as_format!("{} {} {}", 1, "two", x);
    same_as_format!("{1} {0} {1} {} {}", 1, "two");
    same_as_format!("{name} {width} {type} {name}");
    same_as_format!("{:>8}|{:<8}|{:^8}|{:*^8}|{:漢>8}", 1, 2, 3, 4, 5);
    same_as_format!("{:+} {:#x} {:#010b} {:08.3} {:e} {:X} {:o} {:E}", 1, 255, 5, x, x, 255, 8, x);
    same_as_format!("{:?} {:#?} {:x?} {:X?} {:#04x?}", name, Some(1), [255], [255], [255]);
    same_as_format!("{:w$.p$} {:1$} {:.*} {:.2$}", x, 7, 1, x, x, w = 8, p = 1);
    same_as_format!("{:width$.prec$}|{x:>width$}|{0:.*}|{x:.prec$}", x, 3);
    same_as_format!("{:0$}|{:00$}", 7, 8);
    same_as_format!("{0:0$} {0:.0$}", 7);
    same_as_format!("{:p} {pointer:p} {:.} {1 } { }", pointer, 1.5, 2);
    same_as_format!("{:}<5} {:<<5} {:->5}", 1, 2, 3);
    same_as_format!("{a} {b:?} {b} {a:>5}", a = 1, b = "two");
}

#[test]
fn a_value_is_encoded_once_per_use() {
    let v = 7;
    let record = one(|| info!("{0} {0} {v} {v} {0:>3} {0:>3} {0:<3}", 5));
    let values = [("value", "5"), ("value", "7"), ("formatted", "  5"), ("formatted", "5  ")];
    assert_eq!(record.values, values.map(|(how, text)| (how, text.to_owned())));
    assert_eq!(record.fields, []);
}

#[test]
fn what_a_format_asks_for_is_known_apart_from_it() {
    let (w, p, x) = (9, 1, 2.5);
    let record = one(|| info!("{x:*^+#012.3} {x:.p$} {0:>w$} {0:.1$} {x:e} {0:<1$.p$}", x, 2, p = p, x = %x));
    assert_eq!(record.message, "+0000002.500 2.5       2.5 2.50 2.5e0 2.5");
    let values = [
        ("*^+#012.3", "+0000002.500"),
        (".1", "2.5"),
        (">9", "      2.5"),
        (".2", "2.50"),
        ("formatted", "2.5e0"),
        ("<2.1", "2.5"),
        ("value", "1"),
        ("", "2.5"),
    ];
    assert_eq!(record.values, values.map(|(how, text)| (how, text.to_owned())));
}

#[test]
fn fields_are_typed_and_shared_with_the_message() {
    let state = Some("up");
    let record = one(|| {
        info!(
            "user {user_id} {level:>4} {state} {:w$}", 1,
            user_id = 123, level = 2, state = ?state, http.status = 200, r#type = %"t", none = None::<i32>, w = 2_usize,
        );
    });
    assert_eq!(record.message, "user 123    2 Some(\"up\")  1");
    let values = [
        ("value", "123"),
        ("formatted", "   2"),
        ("debug", "Some(\"up\")"),
        ("formatted", " 1"),
        ("value", "2"),
        ("value", "200"),
        ("formatted", "t"),
        ("option", "null"),
        ("value", "2"),
    ];
    assert_eq!(record.values, values.map(|(how, text)| (how, text.to_owned())));
    let fields = [
        ("user_id", 0, true),
        ("level", 4, true),
        ("state", 2, true),
        ("http.status", 5, false),
        ("type", 6, false),
        ("none", 7, false),
        ("w", 8, true),
    ];
    assert_eq!(record.fields, fields);
    assert_eq!(one(|| info!("{http.status}", http.status = 5)).message, "5");
}

#[test]
fn the_record_tells_where_it_comes_from() {
    let record = one(|| info!("at {{here}} {}", 1));
    let line = line!() - 1;
    let expected = ("at {{here}} {}", module_path!(), line, Level::Info, false, "default");
    let got = (record.template, record.module, record.line, record.level, record.targeted, record.target);
    assert_eq!(got, expected);
}

#[test]
fn a_target_is_checked_and_passed_on() {
    let record = one(|| info!(ORDERS, "filled {}", 7));
    assert_eq!((record.target, record.targeted, &*record.message), ("orders", true, "filled 7"));
    let never = || -> usize { unreachable!("not evaluated") };
    info!(QUIET, "{}", never());
    let pick = |quiet: bool| if quiet { &QUIET } else { &ORDERS };
    info!(*pick(true), "quiet");
    assert_eq!(one(|| info!(*pick(false), "loud",)).target, "orders");
    assert_eq!(one(|| info!(Channel { name: "new", max: Level::Trace }, "temporary")).target, "new");
}

#[test]
fn arguments_are_evaluated_once_in_order_or_not_at_all() {
    let calls = Cell::new(String::new());
    let call = |name: &'static str| {
        calls.set(calls.take() + name);
        name
    };
    let record =
        one(|| info!("{1} {0} {0:?} {1:>5} {c}", call("a"), call("b"), c = call("c"), d = ?call("d")));
    assert_eq!(record.message, "b a \"a\"     b c");
    assert_eq!(calls.take(), "abcd");
    mock::enable(false);
    info!("{}", call("a"));
    info!(
        {
            call("t");
            &ORDERS
        },
        "{}",
        call("a")
    );
    mock::enable(true);
    off!("{} {x:?} {:.*}", call("a"), 3, 1.0, x = call("b"), y = %call("c"));
    off!(
        {
            call("t");
            &ORDERS
        },
        "text"
    );
    off!("text");
    assert_eq!((calls.take(), mock::take()), (String::new(), Vec::new()));
}

struct Pair<A, B>(A, B);

trait Made<A, B> {
    fn made() -> usize;
}

impl<A, B> Made<A, B> for u8 {
    fn made() -> usize {
        size_of::<Pair<A, B>>()
    }
}

fn second<A, B: Default>(_: A) -> B {
    B::default()
}

#[test]
fn commas_within_generic_arguments_do_not_separate() {
    type Keyed<A, B> = (A, B);
    let (a, b, c, d) = (1, 2, 3, 4);
    same_as_format!("{} {}", second::<u8, i32>(1), <u8 as Made<u16, Vec<u32>>>::made());
    same_as_format!("{} {}", a < b, c > d);
    same_as_format!("{} {} {}", a << b, c >> d, a <= b);
    same_as_format!("{} {}", a + <u8 as Made<u8, u8>>::made() * 2, -1 + second::<u8, i32>(1));
    same_as_format!("{:?} {}", &(1, 2) as &Keyed<i32, i32>, b as usize + 1);
    same_as_format!("{} {}", if a < b { c } else { d } > 2, a < b && c < d);
    same_as_format!("{} {}", <<Vec<u8> as IntoIterator>::Item as Made<u8, u8>>::made() < 5, c > d);
    same_as_format!(
        "{} {}",
        Some::<Result<u8, u16>>(Ok(1)).map_or(0, |r: Result<u8, u16>| r.unwrap_or(2)),
        c
    );
    same_as_format!("{:?}", [second::<u8, Vec<(u8, u8)>>(1)].iter().collect::<Vec<_>>().len() as u64 as f64);
    let record = one(|| info!("x", less = a < b, more=second::<u8, i32>(c), eq=a == b, neg =-1, r=?a, d =%b));
    assert_eq!(
        record.fields.iter().map(|field| field.0).collect::<Vec<_>>(),
        ["less", "more", "eq", "neg", "r", "d"]
    );
}

#[test]
fn arguments_pass_through_other_macros() {
    macro_rules! wrapped {
        ($text:literal, $($value:expr),* ; $($key:ident = $field:expr),*) => {
            info!($text, $($value),* $(, $key = $field)*)
        };
    }
    macro_rules! targeted {
        ($target:expr, $text:expr, $($rest:tt)*) => { info!($target, $text, $($rest)*) };
    }
    let captured = 5;
    let record = one(|| wrapped!("{} {} {captured} {key}", 1 + 1, "two"; key = 1 + 2, eq = captured == 5));
    assert_eq!(record.message, "2 two 5 3");
    assert_eq!(one(|| targeted!(ORDERS, "{} {y:?}", 1 << 2, y = ?"s")).message, "4 \"s\"");
}

fn generic<T: std::fmt::Display + ?Sized, const N: usize>(value: &T) {
    info!("{N} {value} {}", *value, field = *value);
}

async fn asynchronous(value: u64) -> u64 {
    info!("{} {}", std::future::ready(value).await, value, value = std::future::ready(value).await);
    value
}

fn assert_send<T: Send>(_: &T) {}

struct Named(String);

impl Named {
    fn show(&self) {
        info!("{self:p} {}", self.0, name = self.0);
    }
}

#[test]
fn statements_stand_wherever_format_does() -> Result<(), std::num::ParseIntError> {
    fn failing(text: &str) -> Result<(), std::num::ParseIntError> {
        info!("{}", text.parse::<i32>()?);
        Ok(())
    }
    generic::<str, 3>("unsized");
    generic::<dyn std::fmt::Display, 4>(&5);
    Named("n".to_owned()).show();
    failing("12")?;
    assert!(failing("x").is_err());
    let text = String::from("text");
    info!("{} {:?} {:>5}", *text.as_str(), text[1..], *"ab", all = *text);
    info!("{}", &String::from("temporary").trim().to_owned());
    let mut count = 1;
    info!("{}", {
        count += 1;
        count
    });
    let mut add = || {
        info!("{}", {
            count += 1;
            count
        })
    };
    add();
    let future = asynchronous(1);
    assert_send(&future);
    let () = match count {
        3 => info!("expression"),
        _ => unreachable!(),
    };
    let moved = text;
    info!("{moved}");
    drop(moved);
    // Our names are not the user's.
    let (v0, v1, target, callsite) = (1, 2, 3, 4);
    info!(ORDERS, "{v1} {v0} {target} {callsite} {}", v0);
    if count > 2 {
        info!("no braces needed")
    } else {
        info!("either way")
    }
    let messages: Vec<_> = mock::take().into_iter().map(|record| record.message).collect();
    assert_eq!(messages[..2], ["3 unsized unsized", "4 5 5"]);
    assert_eq!(messages[3..7], ["12", "text \"ext\"    ab", "temporary", "2"]);
    assert_eq!(messages[messages.len() - 2..], ["2 1 3 4 1", "no braces needed"]);
    Ok(())
}

#[test]
fn a_statement_within_an_argument_is_a_record_of_its_own() {
    info!("outer {}", {
        info!("inner {}", 1);
        2
    });
    let messages: Vec<_> = mock::take().into_iter().map(|record| record.message).collect();
    assert_eq!(messages, ["inner 1", "outer 2"]);
}

#[test]
fn thirty_two_values_fit() {
    let record = one(|| {
        info!(
            "{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}",
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            0,
            last = 1
        );
    });
    assert_eq!((record.values.len(), record.fields), (32, vec![("last", 31, false)]));
}
