//! Holds the calls on the hot path against the lists of `allowed.rs`.
//!
//! What *was* called is exact, by callgrind: no branch hides it. What *could be* called is read from the
//! machine code of the message's function and of those of the library that it called.

use std::collections::BTreeSet;

use crate::allowed::{self, MESSAGE};
use crate::callgrind::Part;
use crate::disassembly::Disassembly;
use crate::messages::Message;
use crate::names;

/// What must not be there, a line each. `part` holds `calls` calls of the message.
pub fn faults(message: &Message, part: &Part, calls: u64, code: &Disassembly) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::from([message.symbol]);
    let mut next = vec![message.symbol];
    while let Some(name) = next.pop() {
        let Some(function) = part.functions.get(name).filter(|function| function.ours) else {
            // What a shared library does inside is its own matter: the call into it has been judged.
            continue;
        };
        let caller = if name == message.symbol { MESSAGE } else { name };
        for (callee, times) in &function.calls {
            if allowed::on_the_path(message.name, caller, callee) {
                // Only from here on: a call that is a fault is one fault, whatever it calls in turn.
                next.extend(seen.insert(callee).then_some(callee.as_str()));
            } else {
                faults.push(format!(
                    "{caller} calls {callee}, {:.2} times a call: {} on the hot path",
                    *times as f64 / calls as f64,
                    names::offence(callee),
                ));
            }
        }
        for instruction in code.dear(name, &function.executed) {
            faults.push(format!("{caller} executes `{instruction}`"));
        }
        if name != message.symbol && !name.contains("kakashi::") {
            continue;
        }
        if !code.knows(name) {
            faults.push(format!("{caller} is not in the disassembly"));
        }
        for target in code.targets(name) {
            if !function.calls.contains_key(&target) && !allowed::in_the_code(message.name, caller, &target) {
                faults.push(format!(
                    "{caller} could call {target}: {}, not among those that may stand behind a branch",
                    names::offence(&target),
                ));
            }
        }
    }
    faults
}
