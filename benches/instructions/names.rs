//! Functions' names as the lists have them.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a program of the system and returns what it prints.
pub fn output(command: &mut Command, input: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })
    .map_err(failed)?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
}

/// The text with all symbols demangled: by binutils, as in the disassembly, so that the names are the same.
pub fn demangle(text: &str) -> Result<String, String> {
    output(&mut Command::new("c++filt"), text)
}

/// Without what differs from build to build or machine to machine: hashes, versions, callgrind's marks of
/// recursion, and which `memcpy` the C library has chosen for the processor.
pub fn plain(name: &str) -> String {
    let name = name.split(['\'', '@']).next().unwrap_or(name);
    let name = match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => path,
        _ => name,
    };
    for (function, family) in [("memcpy", "memcpy"), ("memmove", "memcpy"), ("memset", "memset")] {
        if name.trim_start_matches('_').starts_with(function) {
            return family.to_owned();
        }
    }
    // A crate's hash: `core[c1f1a4ba060b9bfa]::fmt`.
    let mut pieces = name.split('[');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(']') {
            Some((hash, rest)) if hash.len() > 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                plain += rest
            }
            _ => plain.extend(["[", piece]),
        }
    }
    plain
}

/// What a call of it would mean on the hot path, if it is one of those that must not be there.
pub fn offence(name: &str) -> &'static str {
    let has = |needles: &[&str]| needles.iter().any(|needle| name.contains(needle));
    if has(&["__rust_alloc", "__rust_realloc", "__rust_dealloc", "__rustc", "__rdl_", "alloc::", "RawVec"])
        || ["malloc", "calloc", "realloc", "free", "_int_malloc", "_int_free"].contains(&name)
    {
        "the heap"
    } else if ["memcpy", "memset"].contains(&name) {
        "a call to copy or fill memory"
    } else if has(&["futex", "pthread", "Mutex", "RwLock", "Once", "syscall"]) {
        "a lock or a system call"
    } else if has(&["panic", "slice_index_fail", "unwrap_failed", "expect_failed"]) {
        "a panic"
    } else if has(&["core::fmt"]) {
        "core::fmt"
    } else {
        "a function"
    }
}
