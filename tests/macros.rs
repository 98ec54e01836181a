//! Every form of a log statement gives the message that `format!` gives, and does no more than it says.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use kakashi::{
    Block, Channel, Deferred, Level, LevelFilter, Preformatted, debug, enabled, error, info, trace, warn,
};

kakashi::channel!(
    /// Numbers as text.
    pub static ORDERS: Channel<128, 1024, 8, Block, Preformatted>;
);
kakashi::channel!(static FILLS: Channel<64, 1024, 8, Block, Deferred>);

mod log_macros {
    kakashi::channel!(pub static MATCHER: kakashi::Channel<128, 64, 2>);
    kakashi::bind_macros!(crate::log_macros::MATCHER);
}

/// The message of a statement is that of `format!`, through the default channel and through both encodings.
macro_rules! same {
    ($log:expr, $($arg:tt)*) => {{
        let expected = support::escaped(&format!($($arg)*));
        info!($($arg)*);
        info!(ORDERS, $($arg)*);
        info!(&FILLS, $($arg)*);
        assert_eq!($log.messages(), vec![expected.clone(), expected.clone(), expected], "{}", stringify!($($arg)*));
    }};
}

/// A statement's message is the given text, through the default channel and through both encodings.
macro_rules! gives {
    ($log:expr, $expected:expr, $($arg:tt)*) => {{
        let expected: &str = $expected;
        info!($($arg)*);
        info!(ORDERS, $($arg)*);
        info!(&FILLS, $($arg)*);
        assert_eq!($log.messages(), vec![expected; 3], "{}", stringify!($($arg)*));
    }};
}

#[derive(Debug, Clone, Default)]
#[allow(dead_code)]
struct Order {
    id: u64,
    legs: Vec<(i8, Option<char>)>,
    note: &'static str,
}

impl Order {
    fn new() -> Self {
        Order { id: 7, legs: vec![(-1, Some('x')), (2, None)], note: "a \"quoted\" note" }
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` obeys width, precision, fill and alignment.
        f.pad(&format!("order-{}", self.id))
    }
}

#[test]
fn templates_without_arguments() {
    let log = support::start();
    same!(log, "listening");
    same!(log, "");
    same!(log, "{{}} {{name}} }}{{");
    same!(log, r"raw \d+");
    same!(log, r#"raw "quotes""#);
    same!(log, "tab\tnewline\nreturn\rnul\0bell\x07del\x7f");
    same!(log, "ünïcödé 日本語 🦀 \u{1F980}");
    same!(log, "bidi \u{202e}dlrow\u{2066} c1 \u{85}\u{9b}31m ls \u{2028}");
    same!(
        log,
        "continued \
         here"
    );
    same!(log, "trailing comma",);
}

#[test]
fn plain_placeholders_of_every_type() {
    let log = support::start();
    same!(log, "{} {} {} {} {} {}", 0_u8, u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX);
    same!(log, "{} {} {} {} {}", i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN);
    same!(log, "{} {} {} {}", i8::MAX, usize::MAX, isize::MIN, i128::MAX);
    same!(log, "{} {} {} {}", 101.25, 100.0, 0.1 + 0.2, 1e21);
    same!(log, "{} {} {} {}", f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0);
    same!(log, "{} {} {}", f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    same!(log, "{} {} {} {}", f32::MAX, f32::MIN_POSITIVE, 1e-45_f32, 16_777_216_f32);
    same!(log, "{} {} {} {} {}", true, false, 'x', '🦀', '\n');
    same!(log, "{} {} {}", "", "text", "naïve 日本");
    same!(log, "{} {} {}", String::from("owned"), Cow::Borrowed("borrowed"), Cow::<str>::Owned("cow".into()));
    same!(log, "{} {} {}", &&&"deep", Box::new(7), Rc::new(String::from("rc")));
    same!(log, "{} {}", Arc::<str>::from("arc"), Box::<str>::from("box"));
    same!(log, "{} {}", &mut 7, &mut String::from("mutable"));
    same!(log, "{} {}", IpAddr::V4(Ipv4Addr::LOCALHOST), Order::new());
    same!(log, "{} {}", Path::new("/tmp/a b").display(), format_args!("{}-{}", 1, 2));
    same!(log, "{}", "x".parse::<u64>().unwrap_err());
    let values: (&dyn Display, Box<dyn Display>) = (&7, Box::new("boxed"));
    same!(log, "{} {}", values.0, values.1);
    // Positional arguments in any order, twice, and by name.
    same!(log, "{1} {0} {1}", "a", "b");
    same!(log, "{} {1} {} {0}", "a", "b");
    // More values than a word of metas describes, and up to the most.
    same!(log, "{}{}{}{}{}{}{}{}{}", 1, "two", 3.5, '4', true, 6_u8, -7_i128, 8_u16, "nine");
    let v = [10_u64; 32];
    same!(
        log,
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
        v[0],
        v[1],
        v[2],
        v[3],
        v[4],
        v[5],
        v[6],
        v[7],
        v[8],
        v[9],
        v[10],
        v[11],
        v[12],
        v[13],
        v[14],
        v[15],
        v[16],
        v[17],
        v[18],
        v[19],
        v[20],
        v[21],
        v[22],
        v[23],
        v[24],
        v[25],
        v[26],
        v[27],
        v[28],
        v[29],
        v[30],
        v[31]
    );
}

#[test]
fn width_fill_alignment_sign_and_precision() {
    let log = support::start();
    same!(log, "[{:5}] [{:<5}] [{:^5}] [{:>5}]", 42, 42, 42, 42);
    same!(log, "[{:5}] [{:<5}] [{:^5}] [{:>5}]", "ab", "ab", "ab", "ab");
    same!(log, "[{:*<7}] [{:-^7}] [{:#>7}] [{:}>7}]", 1, 2, 3, 4);
    same!(log, "[{:é^9}] [{:🦀>4}]", "mid", "é");
    same!(log, "{:+} {:+} {:-} {:+.1}", 5, -5, 5, 2.25);
    same!(log, "{:05} {:+05} {:<05} {:#06x}", 42, 42, 42, 42);
    same!(log, "{:.0} {:.2} {:8.3} {:<8.1}| {:+09.2}", 2.5, 101.256, 1.0, 2.25, -3.5);
    same!(log, "[{:.3}] [{:5.1}] [{:>6.2}]", "truncate", "日本", "日本語");
    same!(log, "[{:3}] [{:^5}] [{:<4}]", 'x', true, false);
    same!(log, "[{:>12}] [{:<12}] [{:^12.5}]", Order::new(), Order::new(), Order::new());
    same!(log, "{:3}|{:9}|{:9.1}", f64::NAN, f64::INFINITY, -0.0);
}

#[test]
fn sizes_from_arguments() {
    let log = support::start();
    let (width, precision, value) = (9, 2, 3.25159);
    same!(log, "[{:1$}] [{:>1$}]", 7, 5);
    same!(log, "[{:>1$.2$}]", 2.75828, 8, 3);
    same!(log, "[{:>width$.precision$}]", value);
    same!(log, "[{value:>width$.precision$}]");
    same!(log, "[{value:.precision$}] [{value:width$}] [{value:0width$.1}]");
    same!(log, "[{:.*}] [{:.*}]", 2, 1.23456, 0, 9.5);
    same!(log, "[{:.*}] {}", 3, "abcdef", "next");
    same!(log, "[{1:.*}]", 3, 1.0);
    same!(log, "[{x:.*}]", 3, x = 1.0);
    same!(log, "[{:0$}]", 5);
    same!(log, "[{1:>0$}] [{1:<0$}]", 6, "x");
    same!(log, "[{:>w$}]", 1, w = 4);
    same!(log, "[{n:>w$.p$}]", n = 1.5, w = 6, p = 2);
    same!(log, "[{:>1$}] [{:>width$}]", 1, 2);
}

#[test]
fn debug_hex_exponent_and_pointer() {
    let log = support::start();
    let order = Order::new();
    same!(log, "{:?} {:#?}", order, order);
    same!(log, "{order:?} {order:#?}");
    same!(log, "{:?} {:?} {:?} {:?}", "quo\"te\n", 'c', 1.0, 0.1_f32);
    same!(log, "{:?} {:?} {:?}", Some(1), None::<&str>, Ok::<(), ()>(()));
    same!(log, "{:?} {:#?} {:?}", [1, 2], (1, "a"), ());
    same!(log, "{:02x?} {:02X?} {:#x?} {:5?}", [10, 255], [10, 255], 255, Some(1));
    same!(log, "{:x} {:X} {:o} {:b}", 255, 255, 8, 5);
    same!(log, "{:#x} {:#X} {:#o} {:#b} {:#010x} {:#010b}", 255, 255, 8, 5, 255, 5);
    same!(log, "{:x} {:b}", -1_i8, i16::MIN);
    same!(log, "{:e} {:E} {:e} {:.3e} {:e}", 1234.5, 0.00012, 12345, 1234.5678, f64::NAN);
    let (at, raw) = (&order, &raw const order);
    same!(log, "{:p} {:p} {:p} {:#p} {:20p}|", at, raw, at as *const Order, at, raw);
    same!(log, "{at:p} {raw:?}");
}

#[test]
fn inline_captures() {
    let log = support::start();
    let (qty, px, venue, r#type) = (7, 101.25, "XETR", "limit");
    same!(log, "filled {qty} @ {px:.2} on {venue}");
    same!(log, "{qty}{qty}{qty} {qty:>4} {qty:#x} {qty:?}");
    same!(log, "{venue} {} {venue:?} {}", 1, 2);
    // `format!` takes raw names without their `r#`, too.
    same!(log, "{type}");
    same!(log, "{0} {name} {name:?}", 1, name = "named");
    const LIMIT: u32 = 10;
    same!(log, "{LIMIT}");
    let größe = 3;
    same!(log, "{größe}");
}

#[test]
fn fields_of_every_type() {
    let log = support::start();
    gives!(log, "m a=1 b=-2 c=3", "m", a = 1_u8, b = -2_i8, c = 3_u16);
    gives!(log, &format!("m a={} b={}", u128::MAX, i128::MIN), "m", a = u128::MAX, b = i128::MIN);
    gives!(
        log,
        "m a=1.5 b=100 c=NaN d=-inf e=-0",
        "m",
        a = 1.5,
        b = 100.0,
        c = f64::NAN,
        d = f64::NEG_INFINITY,
        e = -0.0
    );
    gives!(log, "m a=0.1 b=16777216", "m", a = 0.1_f32, b = 16_777_216_f32);
    gives!(
        log,
        "m a=true b=false c=x d=\" \" e=\"\\n\"",
        "m",
        a = true,
        b = false,
        c = 'x',
        d = ' ',
        e = '\n'
    );
    gives!(log, "m a=plain b=\"two words\" c=\"\"", "m", a = "plain", b = "two words", c = "");
    gives!(log, "m a=\"q\\\"\" b=\"k=v\" c=\"back\\\\slash\"", "m", a = "q\"", b = "k=v", c = "back\\slash");
    gives!(
        log,
        "m a=naïve b=owned c=boxed",
        "m",
        a = "naïve",
        b = String::from("owned"),
        c = Box::new("boxed")
    );
    gives!(log, "m a=cow b=7 c=rc", "m", a = Cow::Borrowed("cow"), b = &&7, c = Rc::new("rc"));
    gives!(log, "m a=1 b=None", "m", a = Some(1), b = None::<u64>);
    gives!(log, "m a=text b=None c=1.5", "m", a = Some("text"), b = None::<&str>, c = Some(1.5));
    gives!(
        log,
        "m a=owned b=true c=x d=None",
        "m",
        a = Some(String::from("owned")),
        b = Some(true),
        c = Some('x'),
        d = None::<char>
    );
    gives!(
        log,
        "m a=None b=None c=340282366920938463463374607431768211455",
        "m",
        a = None::<i128>,
        b = None::<String>,
        c = Some(u128::MAX)
    );
    // A missing value does not move those behind it.
    gives!(
        log,
        "m a=1 b=None c=two d=None e=3.5 f=None g=four",
        "m",
        a = 1,
        b = None::<u128>,
        c = "two",
        d = None::<&str>,
        e = 3.5,
        f = None::<bool>,
        g = Some("four")
    );
    gives!(log, "m a=127.0.0.1 b=order-7", "m", a = Ipv4Addr::LOCALHOST, b = Order::new());
    gives!(log, "m net.peer=x net.port=1 r.t=2", "m", net.peer = "x", net.port = 1, r.t = 2);
    gives!(log, "m type=limit", "m", type = "limit");
    gives!(log, " a=1", "", a = 1);
    gives!(log, "m a=1", "m", a = 1,);
    gives!(log, "1 a=2", "{}", 1, a = 2);
}

#[test]
fn sigils_choose_debug_and_display() {
    let log = support::start();
    let (state, path) = (Some("up"), Order::new());
    gives!(log, "m state=\"Some(\\\"up\\\")\" path=order-7", "m", state = ?state, path = %path);
    gives!(log, "m a=Some(1) b=None c=[1,2]", "m", a = ?Some(1), b = ?None::<u8>, c = %"[1,2]");
    gives!(log, "m a=\"\\\"text\\\"\" b=text c='x'", "m", a = ?"text", b = %"text", c = ?'x');
    gives!(log, "m a=\"two words\" b=\"Two { words: 2 }\"", "m", a = %"two words", b = ?{
        #[derive(Debug)]
        #[allow(dead_code)]
        struct Two { words: u8 }
        Two { words: 2 }
    });
    gives!(log, "m a=\"line\\nline\"", "m", a = %"line\nline");
    // A named field keeps its sigil within the text.
    gives!(log, "in state Some(\"up\")", "in state {state}", state = ?state);
    gives!(log, "in state order-7", "in state {state}", state = %path);
}

#[test]
fn a_key_that_the_template_names_is_not_repeated() {
    let log = support::start();
    gives!(log, "user 123 in", "user {user_id} in", user_id = 123);
    gives!(log, "user 123 in ip=x", "user {user_id} in", user_id = 123, ip = "x");
    gives!(log, "user 0x7b of x", "user {id:#x} of {ip}", ip = "x", id = 123);
    gives!(log, "peer y", "peer {net.peer}", net.peer = "y");
    // Not even when only a width is named.
    gives!(log, "[   1] ok=true", "[{:>w$}]", 1, w = 4, ok = true);
    // In text it is what `{}` gives, unquoted.
    gives!(log, "note two words", "note {note}", note = "two words");
    let user_id = 9;
    gives!(log, "user 9 twice 9 user_id=1 ", "user {} twice {0} user_id={user_id} ", user_id, user_id = 1);
}

#[test]
fn levels_and_targets() {
    let log = support::start();
    kakashi::set_level(LevelFilter::Trace);
    let audit = kakashi::get_async_logger("audit");
    error!("1");
    warn!("2");
    info!("3");
    debug!("4");
    trace!("5");
    error!(audit, "6");
    warn!(&audit, "{}", 7);
    info!(ORDERS, "8", n = 8);
    debug!(&ORDERS, "{}", 9);
    trace!(FILLS, "10");
    info!(kakashi::get_async_logger("made here"), "11");
    kakashi::set_level(LevelFilter::Info);
    let lines = log.text();
    let got: Vec<(String, String, String)> =
        lines.lines().map(support::Line::parse).map(|line| (line.level, line.target, line.message)).collect();
    let expected = [
        ("ERROR", "macros", "1"),
        ("WARN", "macros", "2"),
        ("INFO", "macros", "3"),
        ("DEBUG", "macros", "4"),
        ("TRACE", "macros", "5"),
        ("ERROR", "audit", "6"),
        ("WARN", "audit", "7"),
        ("INFO", "ORDERS", "8 n=8"),
        ("DEBUG", "ORDERS", "9"),
        ("TRACE", "FILLS", "10"),
        // A space would end the name.
        ("INFO", "made\\x20here", "11"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    if cfg!(not(any(feature = "max_level_info", feature = "max_level_debug"))) {
        assert_eq!(got, expected);
    }
}

#[test]
fn the_location_is_that_of_the_statement() {
    let log = support::start();
    let line = line!() + 1;
    info!("here");
    let record = log.lines().remove(0);
    assert_eq!(record.location, format!("{}:{line}", file!()));
    assert_eq!(record.target, module_path!());
}

/// Notes the order in which it is evaluated.
fn noting<T>(order: &RefCell<Vec<u32>>, at: u32, value: T) -> T {
    order.borrow_mut().push(at);
    value
}

#[test]
fn arguments_are_evaluated_once_from_left_to_right() {
    let log = support::start();
    let order = RefCell::new(Vec::new());
    let n = |at, value| noting(&order, at, value);
    info!("{1} {0} {c} {0} {1:>3} {:>2$}", n(1, 10), n(2, 20), n(3, 4) as usize, c = n(4, 30), d = n(5, 40),
        e = ?n(6, 50), f = %n(7, 60));
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(log.message(), "20 10 30 10  20   10 d=40 e=50 f=60");
    order.borrow_mut().clear();
    info!(noting(&order, 1, &ORDERS), "{}", noting(&order, 2, "value"), k = noting(&order, 3, Some(1)));
    assert_eq!(*order.borrow(), [1, 2, 3]);
    assert_eq!(log.message(), "value k=1");
}

fn never<T>() -> T {
    panic!("evaluated, though the level is off")
}

#[test]
fn nothing_is_evaluated_when_the_level_is_off() {
    let log = support::start();
    let silent = kakashi::get_async_logger("silent");
    let before = kakashi::get_async_stats().calls;
    silent.set_level(LevelFilter::Error);
    info!(silent, "{}", never::<u8>());
    info!(silent, "m", a = never::<u8>(), b = ?never::<u8>(), c = %never::<u8>());
    warn!(silent, "{:>1$}", never::<u8>(), never::<usize>());
    silent.set_level(LevelFilter::Info);
    kakashi::set_level(LevelFilter::Error);
    info!("{}", never::<u8>());
    warn!(ORDERS, "{:?}", never::<u8>());
    // The target's switch is off for the channel, but on for the logger that has a level of its own.
    info!(silent, "heard");
    kakashi::set_level(LevelFilter::Off);
    error!("{}", never::<u8>());
    error!(ORDERS, "{}", never::<u8>());
    kakashi::set_level(LevelFilter::Info);
    debug!("{}", never::<u8>());
    trace!(ORDERS, "{}", never::<u8>());
    assert_eq!(log.messages(), ["heard"]);
    assert_eq!(kakashi::get_async_stats().calls, before + 1);
}

#[test]
fn enabled_agrees_with_the_statements() {
    let log = support::start();
    let http = kakashi::get_async_logger("http");
    assert!(enabled!(Level::Info) && enabled!(Level::Error) && !enabled!(Level::Debug));
    assert!(enabled!(ORDERS, Level::Info) && !enabled!(&ORDERS, Level::Trace,));
    http.set_level(LevelFilter::Warn);
    assert!(enabled!(http, Level::Warn) && !enabled!(http, Level::Info) && enabled!(Level::Info));
    if cfg!(not(feature = "max_level_info")) {
        http.set_level(LevelFilter::Debug);
        assert!(enabled!(&http, Level::Debug) && !enabled!(Level::Debug));
        debug!(http, "heard");
        debug!("not heard");
        debug!(ORDERS, "not heard");
        assert_eq!(log.messages(), ["heard"]);
    }
    http.set_level(LevelFilter::Info);
    kakashi::set_level(LevelFilter::Off);
    assert!(!enabled!(Level::Error) && !enabled!(ORDERS, Level::Error) && enabled!(http, Level::Info));
    kakashi::set_level(LevelFilter::Info);
}

#[test]
fn one_statement_can_be_switched_alone() {
    let log = support::start();
    let speak = || info!("the switched statement {}", 1);
    let callsite = kakashi::callsites()
        .iter()
        .find(|callsite| callsite.template() == "the switched statement {}")
        .expect("it is listed before its first call");
    assert!(callsite.is_enabled());
    callsite.set_enabled(false);
    speak();
    callsite.set_enabled(true);
    speak();
    assert_eq!(log.messages(), ["the switched statement 1"]);
}

mod outer {
    pub mod inner {
        use kakashi::info;

        pub fn log_from_here() {
            info!("from {}", "inside");
            info!(crate::ORDERS, "to {}", "a channel");
            kakashi::info!(super::super::FILLS, "by path", path = module_path!());
        }
    }
}

#[test]
fn statements_work_in_any_module() {
    let log = support::start();
    outer::inner::log_from_here();
    let lines = log.lines();
    assert_eq!(lines[0].target, "macros::outer::inner");
    assert_eq!(lines[1].target, "ORDERS");
    assert_eq!(lines[2].message, "by path path=macros::outer::inner");
}

fn generic<T: Display + Debug, const N: usize>(value: &T, array: [T; N]) {
    info!("{} {value:?} {:>5}", value, array[0]);
    info!(ORDERS, "generic", value = value, debug = ?array, display = %value, n = N);
}

fn unsized_display<T: Display + ?Sized>(value: &T) {
    info!("{}", *value);
    info!("{value}", value = *value);
}

struct Holder<'a, T> {
    value: &'a T,
}

impl<T: Debug> Holder<'_, T> {
    fn log(&self) {
        info!("held {:?}", self.value);
    }
}

#[test]
fn statements_work_in_generic_code() {
    let log = support::start();
    generic(&7, [1, 2]);
    generic(&"text", ["a"]);
    generic(&Order::new(), [Order::new()]);
    unsized_display("a str");
    unsized_display::<dyn Display>(&1.5);
    Holder { value: &Some(1) }.log();
    let order = Order::new();
    assert_eq!(
        log.messages(),
        [
            "7 7     1".to_owned(),
            "generic value=7 debug=\"[1, 2]\" display=7 n=2".to_owned(),
            "text \"text\"     a".to_owned(),
            "generic value=text debug=\"[\\\"a\\\"]\" display=text n=1".to_owned(),
            format!("order-7 {order:?} order-7"),
            format!(
                "generic value=order-7 debug={} display=order-7 n=1",
                support::quoted(&format!("{:?}", [&order]))
            ),
            "a str".to_owned(),
            "a str".to_owned(),
            "1.5".to_owned(),
            "1.5".to_owned(),
            "held Some(1)".to_owned(),
        ]
    );
}

#[test]
fn unsized_places_are_arguments() {
    let log = support::start();
    let text = String::from("whole text");
    let boxed: Box<str> = "boxed".into();
    // `format!` takes them behind a `&` only.
    gives!(log, "whole boxed whole text", "{} {} {}", text[..5], *boxed, *text);
    gives!(log, "   text \"boxed\"", "{:>7} {:?}", text[6..], *boxed);
    gives!(log, "m a=whole b=boxed c=\"\\\"text\\\"\" d=boxed", "m", a = text[..5], b = *boxed, c = ?text[6..],
        d = %*boxed);
}

/// Runs a future that is never really pending.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn is_send<F: Future + Send>(future: F) -> F {
    future
}

/// Pending once, so that what lives across an `await` is stored.
async fn later(value: u64) -> u64 {
    let mut polled = false;
    std::future::poll_fn(|_| if polled { Poll::Ready(value) } else { Poll::Pending.also(|| polled = true) })
        .await
}

trait Also: Sized {
    fn also(self, f: impl FnOnce()) -> Self {
        f();
        self
    }
}

impl<T> Also for T {}

#[test]
fn statements_work_in_async_code_and_closures() {
    let log = support::start();
    let name = String::from("task");
    block_on(is_send(async {
        info!("{name} {}", later(1).await);
        info!(ORDERS, "m", a = later(2).await, b = ?later(3).await, c = %name);
        let closure = async |n: u64| info!("{:>4}", later(n).await);
        closure(4).await;
    }));
    let mut count = 0;
    let mut closure = |text: &str| {
        count += 1;
        info!("{text} {count}");
    };
    closure("a");
    closure("b");
    let by_expression = |x: u8| info!("{x}");
    by_expression(5);
    // A statement is an expression of type `()`.
    let () = info!("unit");
    match 1 {
        1 => info!("arm"),
        _ => warn!("other arm"),
    }
    assert_eq!(log.messages(), ["task 1", "m a=2 b=3 c=task", "   4", "a 1", "b 2", "5", "unit", "arm"]);
}

/// Wrappers as users write them.
macro_rules! audit {
    ($template:literal $(, $($arg:tt)*)?) => { info!(ORDERS, $template $(, $($arg)*)?) };
}
macro_rules! both {
    ($($arg:tt)*) => {{ info!($($arg)*); info!(FILLS, $($arg)*); }};
}
macro_rules! checked {
    ($condition:expr, $message:literal, $value:expr) => {
        if !$condition {
            let v0 = "the wrapper's own";
            info!($message, $value);
            info!("inner {v0} {}", $value);
        }
    };
}
macro_rules! keyed {
    ($key:ident = $value:expr) => {
        info!("keyed", $key = $value)
    };
}

#[test]
fn statements_work_from_wrapping_macros() {
    let log = support::start();
    let (x, v0) = (3, "the user's");
    audit!("plain");
    audit!("{} {x}", 1, k = ?Some(x));
    both!("{x} {}", 2, y = "z");
    checked!(x < 1, "failed with {}", v0);
    keyed!(user = x + 1);
    assert_eq!(
        log.messages(),
        [
            "plain",
            "1 3 k=Some(3)",
            "3 2 y=z",
            "3 2 y=z",
            "failed with the user's",
            "inner the wrapper's own the user's",
            "keyed user=4",
        ]
    );
}

#[test]
fn a_users_names_do_not_meet_ours() {
    let log = support::start();
    #[allow(non_snake_case)]
    let (target, v0, v1, KAKASHI) = ("t", 0, 1, "k");
    let values = "values";
    info!("{target} {v0} {v1} {KAKASHI} {values}");
    info!(ORDERS, "{} {}", v1, v0, target = target);
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}
    #[allow(dead_code, non_camel_case_types)]
    enum Shadow {
        Some,
        None,
    }
    info!("shadowed {:>3}", 7, k = ?1);
    assert_eq!(log.messages(), ["t 0 1 k values", "1 0 target=t", "shadowed   7 k=1"]);
}

fn pair<A: Default, B: Default + Display>() -> String {
    let _ = A::default();
    format!("{}", B::default())
}

#[test]
fn commas_and_angle_brackets_in_arguments() {
    let log = support::start();
    let (a, b, c) = (1, 2, 3);
    same!(log, "{} {}", pair::<u8, u16>(), "next");
    same!(log, "{} {}", <Vec<(u8, u16)> as IntoIterator>::into_iter(vec![(1, 2)]).count(), "next");
    same!(log, "{} {} {}", a < b, b > c, (a < b, b > c).0);
    same!(log, "{} {}", a << 2, 16 >> b);
    same!(log, "{} {}", a as u64 + 1, if a < b { "less" } else { "more" });
    same!(log, "{:?} {}", std::collections::HashMap::<u8, Vec<u8>>::new(), a & b | c);
    same!(log, "{} {}", [1, 2, 3].iter().map(|x| x + 1).sum::<i32>(), i32::max(5, 3));
    same!(log, "{}", {
        let x = 1;
        x + 1
    });
    same!(log, "{:?}", "1,2".split(',').map(str::parse::<u8>).collect::<Result<Vec<_>, _>>());
    gives!(
        log,
        "m a=0 b=true c=x",
        "m",
        a = pair::<u8, u16>(),
        b = a < b,
        c = match a {
            1 => "x",
            _ => "y",
        }
    );
    let fallible = || -> Result<u8, std::num::ParseIntError> {
        info!("{} {}", "7".parse::<u8>()?, "8".parse::<u16>()?);
        info!("{}", "x".parse::<u8>()?);
        Ok(1)
    };
    assert!(fallible().is_err());
    assert_eq!(log.messages(), ["7 8"]);
}

#[test]
fn callsites_lists_the_statements_of_this_program() {
    let _log = support::start();
    let first_line = line!() + 2;
    let _never_called = || {
        info!("listed {} {named}", 1, named = 2, other = ?3);
        error!(ORDERS, "listed with a target");
    };
    let listed: Vec<_> =
        kakashi::callsites().iter().filter(|site| site.template().starts_with("listed")).collect();
    assert_eq!(listed.len(), 2);
    let with = |template: &str| {
        *listed.iter().find(|site| site.template() == template).expect("the statement is listed")
    };
    let first = with("listed {} {named}");
    assert_eq!(first.level(), Level::Info);
    assert_eq!((first.file(), first.line()), (file!(), first_line));
    assert_eq!(first.module_path(), module_path!());
    assert_eq!(first.field_names().collect::<Vec<_>>(), ["named", "other"]);
    assert!(first.is_enabled());
    assert_eq!(with("listed with a target").level(), Level::Error);
    // Those of submodules, too, and of macros that the statement was written in.
    for template in ["from {}", "inner {v0} {}"] {
        assert!(kakashi::callsites().iter().any(|site| site.template() == template), "{template}");
    }
}

mod bound {
    use crate::log_macros::{debug, error, info, trace, warn};

    pub fn log_from_here(other: kakashi::Logger) {
        let n = 3;
        info!("matching {} books {n}", 3, k = ?Some(1));
        warn!("warned");
        error!("failed {n:>2}");
        debug!("not heard");
        trace!("not heard {}", super::never::<u8>());
        info!(other, "elsewhere");
        info!(crate::ORDERS, "to {}", "a channel");
    }
}

#[test]
fn plain_macros_can_be_bound_to_a_channel() {
    let log = support::start();
    bound::log_from_here(kakashi::get_async_logger("other"));
    let got: Vec<_> = log.lines().into_iter().map(|line| (line.target, line.message)).collect();
    let expected = [
        ("MATCHER", "matching 3 books 3 k=Some(1)"),
        ("MATCHER", "warned"),
        ("MATCHER", "failed  3"),
        ("other", "elsewhere"),
        ("ORDERS", "to a channel"),
    ];
    assert_eq!(got, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(log_macros::MATCHER.stats().calls(), 3);
}

#[test]
fn what_a_value_borrows_may_die_with_the_call() {
    let log = support::start();
    for n in 0..100 {
        let text = format!("temporary {n}").repeat(3);
        info!("{} {:?}", text, text.as_str(), k = text[..4]);
        info!(FILLS, "{text}");
    }
    let messages = log.messages();
    assert_eq!(messages.len(), 200);
    for (n, pair) in messages.chunks(2).enumerate() {
        let text = format!("temporary {n}").repeat(3);
        assert_eq!(pair, [format!("{text} {text:?} k=temp"), text]);
    }
}

#[cfg(any(feature = "max_level_info", feature = "max_level_debug"))]
#[test]
fn levels_that_are_compiled_out_leave_nothing() {
    let log = support::start();
    kakashi::set_level(LevelFilter::Trace);
    let audit = kakashi::get_async_logger("compiled out");
    audit.set_level(LevelFilter::Trace);
    trace!("a compiled-out statement {}", never::<u8>(), k = never::<u8>());
    trace!(audit, "a compiled-out statement");
    trace!(never::<&kakashi::Logger>(), "a compiled-out statement");
    assert!(!enabled!(Level::Trace) && !enabled!(audit, Level::Trace));
    #[cfg(feature = "max_level_info")]
    {
        debug!("a compiled-out statement {}", never::<u8>());
        assert!(!enabled!(Level::Debug));
    }
    audit.set_level(LevelFilter::Info);
    kakashi::set_level(LevelFilter::Info);
    assert!(log.messages().is_empty());
    assert!(!kakashi::callsites().iter().any(|site| site.template().starts_with("a compiled-out")));
}
