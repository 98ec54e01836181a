//! What has come out at one place, verified while it comes: each line's form and content, and that no thread's records are
//! doubled or out of order. How many are missing is held against the counts at the quiet points (`ledger.rs`).
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channels::{CHANNELS, Causes, NAMES};
use crate::line::{Line, Notice};
use crate::random::mix;
use crate::record::{CHILD, Call, Series, Shape, channel_of};
use crate::report;

/// The levels that are used: `Error` to `Debug`.
pub const LEVELS: usize = 4;

/// Bytes before the current line that are kept as evidence.
const TAIL: usize = 64 << 10;

/// What has come from one thread.
#[derive(Clone, Copy, Default)]
pub struct Came {
    /// The next number of each series that may come, of its first channel and of its second one.
    next: [[u64; 2]; 3],
    /// Records of all series.
    pub seen: u64,
    /// Drops that the log tells of.
    pub told: u64,
}

/// Sums over what has come.
#[derive(Clone, Copy, Default)]
pub struct Sums {
    pub by_channel: [u64; CHANNELS],
    pub by_level: [u64; LEVELS],
    /// The sum of a hash of each record: equal where the same records are.
    pub hash: [u64; LEVELS],
    /// Lines of the logger's own, those of missed records left out.
    pub notices: u64,
    /// Lines that this sink has missed, as it was told.
    pub missed: u64,
    pub bytes: u64,
    /// Drops that the log tells of, by channel; the last row is of those without a lane.
    pub told: [Causes; CHANNELS + 1],
    /// Records of forked children, and the bytes of all their lines: not among the rest.
    pub children: u64,
    pub children_bytes: u64,
}

impl Sums {
    pub fn records(&self) -> u64 {
        self.by_level.iter().sum()
    }

    /// Adds the records of another place.
    pub fn absorb(&mut self, other: &Sums) {
        for at in 0..CHANNELS {
            self.by_channel[at] += other.by_channel[at];
        }
        for at in 0..LEVELS {
            self.by_level[at] += other.by_level[at];
            self.hash[at] = self.hash[at].wrapping_add(other.hash[at]);
        }
        self.bytes += other.bytes;
    }

    /// Records and lines of the logger's own.
    pub fn lines(&self) -> u64 {
        self.records() + self.notices
    }
}

struct Inner {
    name: String,
    senders: HashMap<u64, Came>,
    sums: Sums,
    /// The moment of standing still that the newest record belongs to.
    stretch: u64,
    in_order: bool,
    /// The begin of a line whose end has not come.
    partial: Vec<u8>,
    tail: Vec<u8>,
    expected: String,
    over: bool,
}

pub struct Stream(Mutex<Inner>);

impl Stream {
    pub fn new(name: String) -> Self {
        Stream(Mutex::new(Inner {
            name,
            senders: HashMap::new(),
            sums: Sums::default(),
            stretch: 0,
            in_order: true,
            partial: Vec::new(),
            tail: Vec::new(),
            expected: String::new(),
            over: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that have come.
    pub fn feed(&self, bytes: &[u8]) {
        self.lock().feed(bytes);
    }

    pub fn sums(&self) -> Sums {
        self.lock().sums
    }

    /// A backend begins. `in_order`: its clock promises that no record from before a standstill comes after a later one's.
    pub fn begin(&self, in_order: bool) {
        let mut inner = self.lock();
        inner.in_order = in_order;
        inner.over = false;
        inner.partial.clear();
    }

    /// In a forked child. One that another thread was at is behind a sink that the child has not got.
    pub fn forget_partial(&self) {
        if let Ok(mut inner) = self.0.try_lock() {
            inner.partial.clear();
        }
    }

    /// Nothing comes here any more, and what came last may be in pieces.
    pub fn end(&self) {
        self.lock().over = true;
    }

    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    pub fn is_whole(&self) -> bool {
        self.lock().partial.is_empty()
    }

    /// The number that this sender's next record may have, in its main series and that channel.
    pub fn next_of(&self, id: u64, channel: usize) -> u64 {
        self.lock().senders.get(&id).map_or(0, |came| came.next[0][second(id, channel)])
    }

    pub fn sender(&self, id: u64) -> Came {
        self.lock().senders.get(&id).copied().unwrap_or_default()
    }

    /// Forgets the threads, all of which have ended.
    pub fn forget_senders(&self) {
        let mut inner = self.lock();
        inner.senders = HashMap::new();
        inner.tail = Vec::new();
    }

    /// Adds what came at another place.
    pub fn absorb(&self, other: &Sums) {
        self.lock().sums.absorb(other);
    }

    pub fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// The last bytes, for who looks into a violation.
    pub fn evidence(&self) -> Vec<u8> {
        // A violation is reported with the lock held.
        match self.0.try_lock() {
            Ok(inner) => inner.evidence(),
            Err(_) => Vec::new(),
        }
    }
}

impl Inner {
    fn feed(&mut self, mut bytes: &[u8]) {
        self.sums.bytes += bytes.len() as u64;
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.partial.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.partial = whole;
            }
        }
        self.partial.extend_from_slice(bytes);
    }

    fn line(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > 2 * TAIL {
            self.tail.drain(..TAIL);
        }
        self.tail.extend_from_slice(bytes);
        let Ok(line) = str::from_utf8(&bytes[..bytes.len() - 1]) else {
            return self.wrong("it is no UTF-8", &String::from_utf8_lossy(bytes));
        };
        let result = match Line::parse(line) {
            Ok(parsed) if parsed.is_notice() => self.notice(&parsed, bytes.len() as u64),
            Ok(parsed) => self.record(&parsed, bytes.len() as u64),
            Err(expected) => Err(format!("{expected} was expected")),
        };
        if let Err(what) = result {
            self.wrong(&what, line);
        }
    }

    #[cold]
    fn wrong(&self, what: &str, line: &str) {
        let name = &self.name;
        let count = self.sums.lines() + self.sums.children;
        report::violation_with(format!("{name}, line {count}: {what}:\n{line}"), || {
            vec![(format!("{name}.tail"), self.evidence())]
        });
    }

    fn evidence(&self) -> Vec<u8> {
        [&*self.tail, &self.partial].concat()
    }

    fn notice(&mut self, line: &Line<'_>, bytes: u64) -> Result<(), String> {
        match Notice::parse(line.message) {
            None => return Err("an unknown line of the logger's own".to_owned()),
            Some(Notice::Missed(count)) => self.sums.missed += count,
            Some(Notice::Child) => self.sums.children_bytes += bytes,
            Some(Notice::Dropped { sender, channel, causes }) => {
                self.sums.notices += 1;
                let row = channel.unwrap_or(CHANNELS);
                for (told, new) in self.sums.told[row].iter_mut().zip(causes) {
                    *told += new;
                }
                if let Some(id) = sender {
                    self.senders.entry(id).or_default().told += causes.iter().sum::<u64>();
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, line: &Line<'_>, bytes: u64) -> Result<(), String> {
        let statics = crate::record::STATIC.iter().position(|text| *text == line.message);
        let call = match statics {
            Some(at) => {
                let id = line.thread.strip_prefix('w').and_then(|id| id.parse().ok());
                let id = id.ok_or("the number of a thread was expected in its name")?;
                let channel = NAMES.iter().position(|name| *name == line.target);
                let channel = channel.ok_or("the name of a channel was expected")?;
                let from = self.senders.get(&id).map_or(0, |came| came.next[0][second(id, channel)]);
                let shape = Shape::Static(at as u8);
                // The first that it may be: those before it may have been dropped.
                let number = (from..from + 100_000).find(|&number| {
                    Shape::of(id, number) == shape && channel_of(id, number, Series::Main) == channel
                });
                let number = number.ok_or("such a record was not logged")?;
                Call { id, number, stretch: self.stretch, shape }
            }
            None => self.call(line.message).ok_or("no such record was logged")?,
        };
        let channel = call.channel();
        let Call { id, number, stretch, shape } = call;
        let thread = line.thread.strip_prefix('w').and_then(|id| id.parse().ok());
        if thread != Some(id) && !(line.thread == "main" && id & 3 == CHILD) {
            return Err(format!("the thread's name is not w{id}"));
        }
        if line.target != NAMES[channel] {
            return Err(format!("the record belongs into channel {}", NAMES[channel]));
        }
        if line.level != shape.level() as u8 {
            return Err(format!("its level is {:?}", shape.level()));
        }
        if !line.place.starts_with("examples/soak/record.rs:") {
            return Err("the place is another one".to_owned());
        }
        call.message(&mut self.expected).map_err(|_| "it cannot be written".to_owned())?;
        if self.expected != line.message {
            return Err(format!("what was logged is\n{}\nand what came is", self.expected));
        }
        let series = call.series() as usize;
        let came = self.senders.entry(id).or_default();
        let next = &mut came.next[series];
        let second = second(id, channel);
        // Across a thread's channels there is an order where there is a time.
        let other = if self.in_order && statics.is_none() { next[1 - second] } else { 0 };
        // What a handler logs within a call stands in another lane than what it logs otherwise.
        let aside = call.series() == Series::Signal && !self.in_order;
        if number < next[second].max(other) && !aside {
            return Err(format!("doubled or out of order: w{id} is at {next:?} in its two channels"));
        }
        next[second] = number + 1;
        came.seen += 1;
        if id & 3 == CHILD {
            self.sums.children += 1;
            self.sums.children_bytes += bytes;
            return Ok(());
        }
        if stretch < self.stretch && self.in_order {
            return Err(format!("it is of stretch {stretch}, behind one of stretch {}", self.stretch));
        }
        self.stretch = self.stretch.max(stretch);
        self.sums.by_channel[channel] += 1;
        let level = shape.level() as usize - 1;
        self.sums.by_level[level] += 1;
        // A static text does not say which one it is.
        let which = if statics.is_some() { shape.level() as u64 } else { number << 2 | series as u64 };
        self.sums.hash[level] = self.sums.hash[level].wrapping_add(mix(id, which));
        Ok(())
    }

    /// The record that a message says it is.
    fn call(&mut self, message: &str) -> Option<Call> {
        let mut words = message.splitn(6, ' ');
        let letter = words.next()?;
        let series = Shape::series(letter)?;
        let mut next = || words.next()?.split('=').next_back()?.parse().ok();
        let (id, number, stretch) = (next()?, next()?, next()?);
        let shape = match series {
            Series::Main => Shape::of(id, number),
            Series::Inner => Shape::Inner,
            Series::Signal => Shape::Signal,
        };
        // Told here, or the texts would be compared.
        (channel_of(id, number, series) < CHANNELS).then_some(Call { id, number, stretch, shape })
    }
}

/// 1 for a sender's second channel, if it is another one than the first.
fn second(id: u64, channel: usize) -> usize {
    usize::from(channel_of(id, 0, Series::Signal) != channel)
}

/// Whether two places have got the same records of these levels, and the same lines of the logger's own; the difference if
/// not.
pub fn difference(what: &Sums, base: &Sums, reference: &Sums, levels: u8) -> Option<String> {
    let mut text = String::new();
    for at in 0..usize::from(levels).min(LEVELS) {
        let (got, should) = (what.by_level[at], reference.by_level[at] - base.by_level[at]);
        let hash = reference.hash[at].wrapping_sub(base.hash[at]);
        if got != should || what.hash[at] != hash {
            let _ = write!(text, " level {}: {got} records came, {should} did to the reference;", at + 1);
        }
    }
    let (got, should) = (what.notices, reference.notices - base.notices);
    if got != should {
        let _ = write!(text, " {got} lines of the logger's own, and {should} in the reference;");
    }
    (!text.is_empty()).then_some(text)
}
