//! What the program's functions could call: the targets of all calls and jumps that stand in them, as objdump
//! shows them on x86_64.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use crate::names;

pub struct Disassembly {
    /// Instructions of functions, by name; two of one name are taken together.
    functions: HashMap<String, Vec<(u64, String)>>,
    starts: BTreeMap<u64, String>,
    /// What the dynamic linker puts where.
    slots: HashMap<u64, Slot>,
}

enum Slot {
    Name(String),
    Address(u64),
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

impl Disassembly {
    pub fn of(program: &Path) -> Result<Self, String> {
        let objdump = |args: &[&str]| names::output(Command::new("objdump").args(args).arg(program), "");
        let mut functions: HashMap<String, Vec<(u64, String)>> = HashMap::new();
        let mut starts = BTreeMap::new();
        let mut current = String::new();
        for line in objdump(&["-d", "-C", "--no-show-raw-insn"])?.lines() {
            if let Some((address, name)) = line.split_once(" <").filter(|_| line.ends_with(">:")) {
                current = names::plain(&name[..name.len() - 2]);
                starts.extend(hex(address).map(|address| (address, current.clone())));
            } else if let Some((address, text)) = line.split_once(":\t")
                && let Some(address) = hex(address.trim())
            {
                functions.entry(current.clone()).or_default().push((address, text.trim().to_owned()));
            }
        }
        let mut slots = HashMap::new();
        for line in objdump(&["-R", "-C"])?.lines() {
            let mut words = line.split_whitespace();
            let (Some(offset), Some(kind), Some(value)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Some(offset) = hex(offset).filter(|_| kind.starts_with("R_")) else { continue };
            let slot = match value.strip_prefix("*ABS*+").and_then(hex) {
                Some(address) => Slot::Address(address),
                None => Slot::Name(names::plain(value)),
            };
            slots.insert(offset, slot);
        }
        Ok(Disassembly { functions, starts, slots })
    }

    /// What a function could call or jump to. Calls through a register or a table are `(a pointer)`; jumps of
    /// that kind are taken to be those of a `match`.
    pub fn targets(&self, function: &str) -> BTreeSet<String> {
        let code = self.functions.get(function).map_or(&[][..], Vec::as_slice);
        let targets = code.iter().filter_map(|(_, text)| self.target(text));
        targets.filter(|target| target != function).collect()
    }

    fn target(&self, text: &str) -> Option<String> {
        let text =
            text.trim_start_matches("addr32 ").trim_start_matches("bnd ").trim_start_matches("notrack ");
        let (mnemonic, operand) = text.split_once(' ')?;
        if mnemonic != "call" && !mnemonic.starts_with('j') {
            return None;
        }
        let operand = operand.trim_start();
        if !operand.starts_with('*') {
            let (_, name) = operand.split_once(" <")?;
            let name = name.strip_suffix('>').unwrap_or(name);
            return Some(names::plain(name.rsplit_once("+0x").map_or(name, |(name, _)| name)));
        }
        if let Some((_, slot)) = operand.split_once("# ") {
            let slot = slot.split(' ').next().and_then(hex)?;
            return Some(match self.slots.get(&slot) {
                Some(Slot::Name(name)) => name.clone(),
                Some(Slot::Address(address)) => self.starts.get(address)?.clone(),
                None => "(a pointer)".to_owned(),
            });
        }
        (mnemonic == "call").then(|| "(a pointer)".to_owned())
    }

    /// Those of the executed instructions that lock the bus, enter the kernel, drain the pipeline or copy in a loop
    /// of their own.
    pub fn dear<'a>(&'a self, function: &str, executed: &BTreeSet<u64>) -> Vec<&'a str> {
        let code = self.functions.get(function).map_or(&[][..], Vec::as_slice);
        let is_dear = |text: &str| {
            ["lock ", "rep ", "repz ", "syscall", "mfence", "cpuid"].iter().any(|dear| text.starts_with(dear))
                || text.starts_with("xchg ") && text.contains('(')
        };
        let executed = code.iter().filter(|(address, _)| executed.contains(address));
        executed.map(|(_, text)| text.as_str()).filter(|text| is_dear(text)).collect()
    }

    pub fn knows(&self, function: &str) -> bool {
        self.functions.contains_key(function)
    }
}
