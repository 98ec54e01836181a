//! Log statements as a program has them, each with values of an input, and with what is expected of it.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use super::input::Input;
use super::round_trip::Lanes;
use super::told::{How, Tell, Told, formatted, optional, specified};
use crate::spec::Spec;

/// A log statement of a program.
macro_rules! say {
    ($lanes:expr, $($statement:tt)*) => {
        kakashi_log_macros::emit! { (crate::__fuzz::round_trip::front) on Info ($lanes, $($statement)*) }
    };
}

/// Has no type of ours, and writes piece by piece.
struct Pieces<'a>(&'a str, bool);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split_inclusive(' ').try_for_each(|piece| f.write_str(piece))?;
        if self.1 { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Pieces<'_> {
    /// What a line says of it: `format!` would panic where it fails.
    fn said(&self) -> String {
        format!("{}{}", self.0, if self.1 { "<fmt::Error>" } else { "" })
    }
}

pub(super) const STATEMENTS: [fn(&Lanes, &mut Input<'_>); 14] = [
    unsigned, signed, wide, floats, small, texts, owned, options, displayed, specs, many, repeated, plain,
    no_values,
];

fn unsigned(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.number() as u8, input.number() as u16, input.number() as u32);
    let (d, e) = (input.number() as u64, input.number() as usize);
    let values = vec![a.told(), b.told(), c.told(), d.told(), e.told()];
    lanes.expect(input, format!("{a} {b}{c}/{d}"), &["e"], values);
    say!(*lanes, "{} {}{}/{d}", a, b, c, d = d, e = e);
}

fn signed(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.number() as i8, input.number() as i16, input.number() as i32);
    let (d, e) = (input.number() as i64, input.number() as isize);
    let values = vec![a.told(), b.told(), c.told(), d.told(), e.told()];
    lanes.expect(input, format!("{{{a}}}{b} {c}…{d}"), &["e.f"], values);
    say!(*lanes, "{{{}}}{} {}…{}", a, b, c, d, e.f = e);
}

fn wide(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b) = (input.number(), input.number() as i128);
    lanes.expect(input, format!("{a} {b}"), &[], vec![a.told(), b.told()]);
    say!(*lanes, "{} {}", a, b);
}

fn floats(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.double(), input.double() as f32, input.double(), input.double() as f32);
    lanes.expect(input, format!("{a} {b}"), &["c", "d"], vec![a.told(), b.told(), c.told(), d.told()]);
    say!(*lanes, "{a} {}", b, c = c, d = d);
}

fn small(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.flag(), input.char(), input.char(), input.flag());
    lanes.expect(input, format!("{a}{b}"), &["c", "d"], vec![a.told(), b.told(), c.told(), d.told()]);
    say!(*lanes, "{}{}", a, b, c = c, d = d);
}

fn texts(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, n, b, c) = (input.text(), input.number() as u32, input.text(), input.text());
    let (a, b) = (a.as_str(), b.as_str());
    lanes.expect(
        input,
        format!("{a}|{n}|{b}"),
        &["c"],
        vec![a.told(), n.told(), b.told(), c.as_str().told()],
    );
    say!(*lanes, "{a}|{}|{}", n, b, c = c);
}

fn owned(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.text(), input.text(), input.text(), input.number() as i64);
    let values = vec![a.as_str().told(), b.as_str().told(), c.as_str().told(), d.told(), d.told()];
    lanes.expect(input, format!("{a}{b}"), &["c", "d", "e"], values);
    let (a, b, c) = (a.into_boxed_str(), std::sync::Arc::<str>::from(b), Cow::<str>::Owned(c));
    say!(*lanes, "{}{}", a, b, c = c, d = Box::new(d), e = &&d);
}

fn options(lanes: &Lanes, input: &mut Input<'_>) {
    let (some, text) = (input.byte(), input.text());
    let a = (some & 1 != 0).then(|| input.number() as i64);
    let b = (some & 2 != 0).then(|| input.double());
    let c = (some & 4 != 0).then_some(text.as_str());
    let d = (some & 8 != 0).then(|| input.number());
    let e = (some & 16 != 0).then(|| input.char());
    let f = (some & 32 != 0).then_some(true);
    let c_told = c.map_or(Told { text: "None".to_owned(), cell: [8, 8], how: How::Fixed }, str::told);
    let values = vec![optional(&a), optional(&b), c_told, optional(&d), optional(&e), optional(&f)];
    lanes.expect(input, "options".to_owned(), &["a", "b", "c", "d", "e", "f"], values);
    say!(*lanes, "options", a = a, b = b, c = c, d = d, e = e, f = f);
}

fn displayed(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, fails) = (input.text(), input.text(), input.text(), input.flag());
    let (a, b) = (Pieces(&a, fails), Pieces(&b, false));
    let c = Some(c);
    let values = vec![formatted(a.said()), formatted(b.said()), formatted(format!("{c:?}")), 7_u8.told()];
    lanes.expect(input, format!("{}, {b}", a.said()), &["c", "n"], values);
    say!(*lanes, "{}, {}", a, b, c = ?c, n = 7_u8);
}

fn specs(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.text(), input.number() as i64, input.double(), input.char());
    let (width, precision) = (usize::from(input.byte()), usize::from(input.byte() % 32));
    let head = format!("{a:?} {b:>+width$} {c:*^9.precision$e} {d:?} {b:#x} {a:.precision$} {c:010.3}");
    let message = head + &format!(" {b:_<12X} {c:>width$.precision$} {c:+} {a:^7}");
    let sized = |flags, kind, width, precision| Spec::new(flags, kind).sized(width, precision);
    let values = vec![
        formatted(format!("{a:?}")),
        specified(&b, sized(">+", "", width, Spec::NONE), format!("{b:>+width$}")),
        formatted(format!("{c:*^9.precision$e}")),
        formatted(format!("{d:?}")),
        specified(&b, sized("#", "x", 0, Spec::NONE), format!("{b:#x}")),
        specified(&a, sized("", "", 0, precision), format!("{a:.precision$}")),
        specified(&c, sized("0", "", 10, 3), format!("{c:010.3}")),
        specified(&b, sized("_<", "X", 12, Spec::NONE), format!("{b:_<12X}")),
        specified(&c, sized(">", "", width, precision), format!("{c:>width$.precision$}")),
        specified(&c, sized("+", "", 0, Spec::NONE), format!("{c:+}")),
        specified(&a, sized("^", "", 7, Spec::NONE), format!("{a:^7}")),
    ];
    lanes.expect(input, message, &[], values);
    say!(
        *lanes,
        "{a:?} {b:>+width$} {c:*^9.precision$e} {d:?} {b:#x} {a:.precision$} {:010.3} {b:_<12X} {c:>width$.precision$} \
         {c:+} {a:^7}",
        c
    );
}

fn many(lanes: &Lanes, input: &mut Input<'_>) {
    let n: [i32; 16] = core::array::from_fn(|_| input.number() as i32);
    let (a, b) = (input.text(), input.text());
    let mut values: Vec<Told> = n.iter().map(Tell::told).collect();
    values.extend([a.as_str().told(), b.as_str().told()]);
    values.extend(n[..14].iter().map(|n| (*n as u16).told()));
    let message = n.map(|n| n.to_string()).join(" ")
        + " "
        + &a
        + &b
        + &n.map(|n| (n as u16).to_string())[..14].join("");
    lanes.expect(input, message, &[], values);
    let u = n.map(|n| n as u16);
    say!(
        *lanes,
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}",
        n[0],
        n[1],
        n[2],
        n[3],
        n[4],
        n[5],
        n[6],
        n[7],
        n[8],
        n[9],
        n[10],
        n[11],
        n[12],
        n[13],
        n[14],
        n[15],
        a,
        b,
        u[0],
        u[1],
        u[2],
        u[3],
        u[4],
        u[5],
        u[6],
        u[7],
        u[8],
        u[9],
        u[10],
        u[11],
        u[12],
        u[13]
    );
}

/// What no plan can hold: a value twice, and out of its order.
fn repeated(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.text(), input.number() as u64, input.text());
    let values = vec![b.told(), a.as_str().told(), formatted(format!("{a:?}")), c.as_str().told()];
    lanes.expect(input, format!("{b}{a}{b} {a:?}"), &["c"], values);
    say!(*lanes, "{1}{0}{1} {0:?}", a, b, c = c);
}

fn plain(lanes: &Lanes, input: &mut Input<'_>) {
    let a = input.text();
    let by_sigil = specified(&a, Spec::new("", ""), a.clone());
    lanes.expect(input, a.clone(), &["a"], vec![a.as_str().told(), by_sigil]);
    say!(*lanes, "{}", a, a = %a);
}

fn no_values(lanes: &Lanes, input: &mut Input<'_>) {
    lanes.expect(input, "line\nend \u{1b}[0m {} \u{202e}".to_owned(), &[], Vec::new());
    say!(*lanes, "line\nend \u{1b}[0m {{}} \u{202e}");
}
