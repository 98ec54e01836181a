//! What is logged: everything in a record follows from its sender and its number, so that whoever reads the line can tell
//! whether it is the one that was logged, to the byte.
//!
//! A sender is a thread; its number is `serial << 8 | first channel << 5 | second channel << 2 | child`. It counts its
//! records from 0. Those that are logged from within a `Display` and from a signal handler have series of their own.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use kakashi::{Level, debug, error, info, warn};

use crate::channels::on_channel;
use crate::load::{Sender, count_call};
use crate::random::{Random, mix};

/// Counts the moments at which all threads stood still: a record of an earlier one must not come after a later one's.
pub static STRETCH: AtomicU64 = AtomicU64::new(0);

/// The most bytes of a text: with them a record fits into half of the smallest ring.
const LONGEST: u64 = 1_500;

/// Set in the number of a sender that is a forked child.
pub const CHILD: u64 = 1;

/// Which of a sender's series a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    Main,
    /// Logged by a `Display` within a call.
    Inner,
    /// Logged by a signal handler.
    Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One of four texts without values.
    Static(u8),
    Ints,
    Floats,
    Text,
    Fields,
    Debug,
    Nested,
    Escaped,
    /// Its `Display` panics: it is never written.
    Panics,
    Inner,
    Signal,
}

pub const STATIC: [&str; 4] =
    ["disk is on fire", "queue is long", "listening", "nothing to do, looking again"];

impl Shape {
    /// The shape of a sender's record in the main series.
    pub fn of(id: u64, number: u64) -> Shape {
        match mix(id, number) % 64 {
            // A static text is its thread's by the thread's name, which a child has not.
            at @ 0..4 if id & CHILD == 0 => Shape::Static(at as u8),
            0..24 => Shape::Ints,
            24..36 => Shape::Floats,
            36..46 => Shape::Text,
            46..52 => Shape::Fields,
            52..57 => Shape::Debug,
            57..60 => Shape::Nested,
            60..63 => Shape::Escaped,
            // Once in 1024.
            _ if mix(id, number) >> 60 == 0 => Shape::Panics,
            _ => Shape::Ints,
        }
    }

    pub fn level(self) -> Level {
        match self {
            Shape::Static(0) | Shape::Escaped => Level::Error,
            Shape::Static(1) | Shape::Fields | Shape::Panics => Level::Warn,
            Shape::Static(3) | Shape::Debug | Shape::Inner => Level::Debug,
            Shape::Static(_) | Shape::Ints | Shape::Floats | Shape::Text | Shape::Nested | Shape::Signal => {
                Level::Info
            }
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Shape::Static(_) => "",
            Shape::Ints => "i",
            Shape::Floats => "f",
            Shape::Text => "t",
            Shape::Fields => "k",
            Shape::Debug => "d",
            Shape::Nested => "n",
            Shape::Escaped => "x",
            Shape::Panics => "p",
            Shape::Inner => "e",
            Shape::Signal => "s",
        }
    }

    /// The series of the records that begin with that letter.
    pub fn series(letter: &str) -> Option<Series> {
        match letter {
            "i" | "f" | "t" | "k" | "d" | "n" | "x" => Some(Series::Main),
            "e" => Some(Series::Inner),
            "s" => Some(Series::Signal),
            _ => None,
        }
    }
}

/// The channel of a record: the sender's first one, or now and then its second one.
pub fn channel_of(id: u64, number: u64, series: Series) -> usize {
    let (first, second) = ((id >> 5) & 7, (id >> 2) & 7);
    let second_turn = series == Series::Main && mix(number, id).is_multiple_of(4);
    if second_turn { second as usize } else { first as usize }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub id: u64,
    pub number: u64,
    pub stretch: u64,
    pub shape: Shape,
}

/// The values of a record, from its sender and number.
struct Values {
    long: i64,
    small: u8,
    wide: i128,
    price: f64,
    any: f64,
    text: &'static str,
}

/// Text of characters of one to four bytes.
static POOL: &str = include_str!("pool.txt");

#[derive(Debug)]
#[allow(dead_code)] // read by `Debug`
struct Order {
    id: u8,
    legs: [i16; 3],
    name: &'static str,
}

struct Logs<'a>(&'a Sender, Call);

impl fmt::Display for Logs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Logs(sender, outer) = *self;
        sender.call(Call { shape: Shape::Inner, ..outer });
        f.write_str("in")
    }
}

struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        // Without the panic hook, which would print it.
        std::panic::resume_unwind(Box::new("the value's own panic"))
    }
}

const HAZARD: &str = "a\nb\x1b[31m\u{202e}\0";
const ESCAPED: &str = "a\\nb\\x1b[31m\\u{202e}\\x00";

impl Call {
    fn random(&self) -> Random {
        Random::new(mix(self.id, self.number))
    }

    /// What ties a record's content to its sender, number and time.
    fn sum(&self) -> u64 {
        mix(mix(self.id, self.number), self.stretch)
    }

    fn values(&self) -> Values {
        let mut random = self.random();
        let long = (random.next() as i64) >> random.below(64);
        let any = f64::from_bits(random.next());
        let len = match random.below(6) {
            0..3 => random.below(40),
            3..5 => random.below(300),
            _ => random.below(LONGEST),
        };
        let start = POOL.floor_char_boundary(random.below((POOL.len() - len as usize) as u64) as usize);
        let end = POOL.floor_char_boundary(start + len as usize);
        Values {
            long,
            small: random.next() as u8,
            wide: i128::from(long) * i128::from(random.next()),
            price: (random.below(100_000_000) as f64) / 100.0,
            any: if any.is_finite() { any } else { 0.1 },
            text: &POOL[start..end],
        }
    }

    fn order(values: &Values) -> Order {
        let legs = [values.long as i16, (values.long >> 16) as i16, -1];
        Order { id: values.small, legs, name: "a \"leg\"" }
    }

    pub fn series(&self) -> Series {
        match self.shape {
            Shape::Inner => Series::Inner,
            Shape::Signal => Series::Signal,
            _ => Series::Main,
        }
    }

    pub fn channel(&self) -> usize {
        channel_of(self.id, self.number, self.series())
    }

    /// Logs it.
    pub fn log(&self, sender: &Sender) {
        let &Call { id, number, stretch, shape } = self;
        let sum = self.sum();
        if matches!(shape, Shape::Inner | Shape::Signal) {
            return on_channel!(self.channel(), |to| match shape {
                Shape::Inner => debug!(to, "e {} {} {} {}", id, number, stretch, sum),
                _ => info!(to, "s {} {} {} {}", id, number, stretch, sum),
            });
        }
        let v = self.values();
        let head = (id, number, stretch, sum);
        on_channel!(self.channel(), |to| match shape {
            Shape::Static(0) => error!(to, "disk is on fire"),
            Shape::Static(1) => warn!(to, "queue is long"),
            Shape::Static(2) => info!(to, "listening"),
            Shape::Static(_) => debug!(to, "nothing to do, looking again"),
            Shape::Ints | Shape::Inner | Shape::Signal => {
                info!(to, "i {} {} {} {} {} {} {}", head.0, head.1, head.2, head.3, v.long, v.small, v.wide)
            }
            Shape::Floats => {
                let third = v.price / 3.0;
                info!(to, "f {} {} {} {} {} {} {third:.3}", head.0, head.1, head.2, head.3, v.price, v.any)
            }
            Shape::Text => info!(to, "t {} {} {} {} [{}]", head.0, head.1, head.2, head.3, v.text),
            Shape::Fields => warn!(
                to,
                "k {} {}",
                id,
                number,
                stretch = stretch,
                sum = sum,
                price = v.price,
                side = "buy",
                note = "two words",
                on = v.small > 9,
                seen = ?Some(v.small)
            ),
            Shape::Debug => debug!(to, "d {} {} {} {} {:?}", head.0, head.1, head.2, head.3, Self::order(&v)),
            Shape::Nested =>
                info!(to, "n {} {} {} {} <{}>", head.0, head.1, head.2, head.3, Logs(sender, *self)),
            Shape::Escaped => error!(to, "x {} {} {} {} {}", head.0, head.1, head.2, head.3, HAZARD),
            Shape::Panics => warn!(to, "p {} {} {} {} {}", head.0, head.1, head.2, head.3, Panics),
        });
    }

    /// The message that its line must have, by the standard library's means.
    pub fn message(&self, out: &mut String) -> fmt::Result {
        let &Call { id, number, stretch, shape } = self;
        let sum = self.sum();
        out.clear();
        if let Shape::Static(at) = shape {
            return out.write_str(STATIC[at as usize % STATIC.len()]);
        }
        if shape == Shape::Fields {
            let v = self.values();
            return write!(
                out,
                "k {id} {number} stretch={stretch} sum={sum} price={} side=buy note=\"two words\" on={} seen=Some({})",
                v.price,
                v.small > 9,
                v.small
            );
        }
        write!(out, "{} {id} {number} {stretch} {sum}", shape.letter())?;
        let v = match shape {
            Shape::Inner | Shape::Signal => return Ok(()),
            _ => self.values(),
        };
        match shape {
            Shape::Ints => write!(out, " {} {} {}", v.long, v.small, v.wide),
            Shape::Floats => write!(out, " {} {} {:.3}", v.price, v.any, v.price / 3.0),
            Shape::Text => write!(out, " [{}]", v.text),
            Shape::Debug => write!(out, " {:?}", Self::order(&v)),
            Shape::Nested => out.write_str(" <in>"),
            Shape::Escaped => write!(out, " {ESCAPED}"),
            _ => Ok(()),
        }
    }
}

impl Sender {
    /// Logs a record of the main series, if its level is on, and counts it. True when it was logged.
    pub fn send(&self, number: u64) -> bool {
        let shape = Shape::of(self.id, number);
        let stretch = STRETCH.load(Ordering::Relaxed);
        self.call(Call { id: self.id, number, stretch, shape })
    }

    pub fn call(&self, call: Call) -> bool {
        if call.shape.level() > crate::load::level() {
            // Logged all the same: nothing of it may come.
            call.log(self);
            return false;
        }
        count_call(self, &call, || call.log(self));
        true
    }
}
