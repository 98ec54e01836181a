//! What callgrind found: its output, part by part. The format is in valgrind's manual, "Callgrind Format
//! Specification"; read here is what `--dump-instr=yes --demangle=no` writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::names;

/// What a thread did between two markers.
#[derive(Default)]
pub struct Part {
    pub functions: BTreeMap<String, Function>,
}

#[derive(Default)]
pub struct Function {
    /// It is this program's, not a shared library's.
    pub ours: bool,
    /// Instructions of its own.
    pub instructions: u64,
    /// Where these stand.
    pub executed: BTreeSet<u64>,
    /// How often it called what.
    pub calls: BTreeMap<String, u64>,
}

impl Part {
    /// Reads part `number` of thread `thread`, which `program` wrote.
    pub fn read(stem: &Path, number: usize, thread: usize, program: &Path) -> Result<Self, String> {
        let path = format!("{}.{number}-{thread:02}", stem.display());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Part::parse(&names::demangle(&text)?, &program.to_string_lossy())
    }

    fn parse(text: &str, program: &str) -> Result<Self, String> {
        let mut part = Part::default();
        let mut known = HashMap::new();
        let mut ours = false;
        let mut function = String::new();
        let mut callee = String::new();
        // The next line of figures is that of a call, not the function's own.
        let mut after_calls = false;
        let mut address = 0;
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                ours = name(&mut known, "ob", object) == program;
            } else if let Some(object) = line.strip_prefix("cob=") {
                name(&mut known, "ob", object);
            } else if let Some(called) = line.strip_prefix("cfn=") {
                callee = names::plain(&name(&mut known, "fn", called));
            } else if let Some(caller) = line.strip_prefix("fn=") {
                function = names::plain(&name(&mut known, "fn", caller));
                part.functions.entry(function.clone()).or_default().ours = ours;
            } else if let Some(calls) = line.strip_prefix("calls=") {
                let times = calls.split(' ').next().and_then(|times| times.parse::<u64>().ok());
                let times = times.ok_or_else(|| format!("callgrind's {line:?}"))?;
                if times > 0 {
                    let caller = part.functions.entry(function.clone()).or_default();
                    *caller.calls.entry(callee.clone()).or_default() += times;
                }
                after_calls = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let mut words = line.split(' ');
                address = moved(address, words.next().unwrap_or_default())
                    .ok_or_else(|| format!("callgrind's {line:?}"))?;
                let cost = words.nth(1).map_or(Some(0), |cost| cost.parse::<u64>().ok());
                let cost = cost.ok_or_else(|| format!("callgrind's {line:?}"))?;
                if !after_calls && cost > 0 {
                    let function = part.functions.entry(function.clone()).or_default();
                    function.instructions += cost;
                    function.executed.insert(address);
                }
                after_calls = false;
            }
        }
        Ok(part)
    }

    /// What was called from `root` on, directly or not, itself included.
    pub fn reached(&self, root: &str) -> BTreeMap<&str, &Function> {
        let mut reached = BTreeMap::new();
        let mut next = vec![root];
        while let Some(name) = next.pop() {
            let Some((name, function)) = self.functions.get_key_value(name) else { continue };
            if reached.insert(name.as_str(), function).is_none() {
                next.extend(function.calls.keys().map(String::as_str));
            }
        }
        reached
    }

    /// Instructions of this program, from `root` on.
    pub fn instructions_from(&self, root: &str) -> u64 {
        self.reached(root).values().filter(|f| f.ours).map(|f| f.instructions).sum()
    }

    /// Calls from this program into shared libraries, from `root` on.
    pub fn calls_out_from(&self, root: &str) -> u64 {
        let reached = self.reached(root);
        let out = |name: &str| reached.get(name).is_some_and(|callee| !callee.ours);
        let calls = reached.values().filter(|f| f.ours).flat_map(|f| &f.calls);
        calls.filter(|(callee, _)| out(callee)).map(|(_, times)| times).sum()
    }

    /// All instructions of this program.
    pub fn instructions(&self) -> u64 {
        self.functions.values().filter(|f| f.ours).map(|f| f.instructions).sum()
    }
}

/// Names are written out once, `(7) name`, and are `(7)` from then on.
fn name(known: &mut HashMap<(&'static str, String), String>, kind: &'static str, text: &str) -> String {
    match text.split_once(") ") {
        Some((id, name)) if id.starts_with('(') => {
            known.insert((kind, format!("{id})")), name.to_owned());
            name.to_owned()
        }
        _ => known.get(&(kind, text.to_owned())).cloned().unwrap_or_else(|| text.to_owned()),
    }
}

/// Positions are absolute, or relative to the last one.
fn moved(from: u64, text: &str) -> Option<u64> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    if text == "*" {
        Some(from)
    } else if let Some(by) = text.strip_prefix('+') {
        from.checked_add(number(by)?)
    } else if let Some(by) = text.strip_prefix('-') {
        from.checked_sub(number(by)?)
    } else {
        number(text)
    }
}
