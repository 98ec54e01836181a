//! The layering, held against the `crate::` paths that the sources name; the files with unsafe code; sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name of the crate, besides itself. The record's way goes down this list: `macros`, `hot`
/// and `arg` are the calling thread's side, `writer`, `format` and `sink` the other thread's.
const LAYERS: &[(&str, &[&str])] = &[
    // Leaves.
    ("sync", &[]),
    ("futex", &["sync"]),
    ("desk", &["futex", "sync"]),
    ("ownership", &["sync"]),
    ("level", &[]),
    ("filter", &["level"]),
    ("interned", &[]),
    ("error", &[]),
    ("clock", &["sync"]),
    ("gate", &["futex"]),
    ("journal", &["sync"]),
    ("callsite", &["level"]),
    ("logger", &["callsite", "clock", "filter", "futex", "level"]),
    ("number", &[]),
    ("spec", &["number"]),
    ("calendar", &[]),
    ("zone", &["calendar", "interned"]),
    // What both sides share.
    ("ring", &["number", "sync"]),
    ("held", &["ring", "sync"]),
    ("lane", &["futex", "held", "ring", "sync"]),
    ("record", &["lane", "ring"]),
    ("policy", &["ring"]),
    ("region", &["channel", "clock", "futex", "journal", "logger", "stats"]),
    ("stats", &["channel", "gate", "lane", "region", "ring"]),
    ("figures", &["gate", "lane", "stats"]),
    ("prometheus", &["figures", "stats"]),
    ("metrics_facade", &["figures", "stats"]),
    ("endpoint", &["cores", "prometheus"]),
    ("channel", &["arg", "futex", "held", "lane", "policy", "ring", "stats"]),
    ("target", &["callsite", "channel", "context", "level", "logger"]),
    ("thread", &["channel", "lane"]),
    ("cores", &["thread"]),
    // The calling thread.
    ("guide", &[]),
    ("macros", &[]),
    ("restraint", &["clock"]),
    ("arg", &["number", "record", "ring", "spec"]),
    ("fields", &["arg", "record"]),
    ("context", &["arg", "channel", "fields", "logger", "record"]),
    ("watch", &["callsite", "logger", "record"]),
    (
        "hot",
        &[
            "arg", "callsite", "channel", "clock", "cold", "context", "held", "lane", "level", "logger",
            "record", "ring", "target", "watch",
        ],
    ),
    (
        "cold",
        &[
            "channel", "clock", "error", "futex", "gate", "lane", "policy", "record", "region", "ring",
            "sync", "thread",
        ],
    ),
    // Between callers of `flush` and the writer.
    ("tickets", &["desk", "error", "futex", "gate", "stats", "thread"]),
    // The calling thread, when it is another crate's macro that is called.
    (
        "foreign",
        &["arg", "callsite", "channel", "clock", "fields", "hot", "level", "logger", "record", "target"],
    ),
    ("log_facade", &["fields", "foreign", "level", "logger", "record", "tickets"]),
    ("tracing_facade", &["fields", "foreign", "level", "logger", "record"]),
    // The writer thread.
    ("sink", &["calendar", "clock", "cores", "filter", "format", "interned", "journal", "level", "zone"]),
    (
        "format",
        &["calendar", "callsite", "clock", "interned", "lane", "level", "number", "record", "ring", "zone"],
    ),
    (
        "writer",
        &[
            "callsite",
            "channel",
            "clock",
            "error",
            "format",
            "futex",
            "gate",
            "journal",
            "lane",
            "level",
            "logger",
            "ownership",
            "record",
            "region",
            "ring",
            "sink",
            "sync",
            "thread",
            "tickets",
            "zone",
        ],
    ),
    // Reading what another process has left, or is at.
    (
        "blackbox",
        &[
            "callsite", "channel", "clock", "error", "format", "gate", "held", "journal", "lane", "level",
            "logger", "record", "region", "ring", "sink", "stats", "zone",
        ],
    ),
    // The end of the process by a signal or a panic.
    ("crash", &["channel", "futex", "gate", "lane", "region", "thread", "tickets", "writer"]),
    (
        "backend",
        &[
            "blackbox",
            "channel",
            "clock",
            "cores",
            "crash",
            "error",
            "filter",
            "format",
            "futex",
            "gate",
            "journal",
            "level",
            "log_facade",
            "logger",
            "region",
            "sink",
            "stats",
            "thread",
            "tickets",
            "writer",
        ],
    ),
    ("config", &["backend", "clock", "filter", "format", "journal", "level", "sink", "writer", "zone"]),
    ("testing", &["backend", "error", "format", "level", "sink", "thread"]),
];

/// What the table does not allow and stands all the same, by file; what is not there any more must go from here.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The files with unsafe code. Every other one forbids it.
const UNSAFE: &[&str] = &[
    "src/arg.rs",
    "src/backend/exit.rs",
    "src/backend/fork.rs",
    "src/backend/mod.rs",
    "src/blackbox/file.rs",
    "src/blackbox/fuzz.rs",
    "src/blackbox/plain.rs",
    "src/callsite.rs",
    "src/channel.rs",
    "src/clock.rs",
    "src/cold.rs",
    "src/cores.rs",
    "src/crash/action.rs",
    "src/crash/mod.rs",
    "src/crash/stack.rs",
    "src/desk.rs",
    "src/format/digits.rs",
    "src/format/line.rs",
    "src/format/odd.rs",
    "src/format/out.rs",
    "src/format/plan.rs",
    "src/format/row.rs",
    "src/futex.rs",
    "src/fuzz/lent.rs",
    "src/fuzz/line.rs",
    "src/fuzz/policies.rs",
    "src/fuzz/rings.rs",
    "src/fuzz/round_trip.rs",
    "src/held.rs",
    "src/hot.rs",
    "src/lib.rs",
    "src/logger.rs",
    "src/models.rs",
    "src/models/backend.rs",
    "src/region.rs",
    "src/ring/mod.rs",
    "src/ring/models.rs",
    "src/ring/overwrite.rs",
    "src/ring/spsc.rs",
    "src/sink/console.rs",
    "src/sink/os.rs",
    // Under loom only.
    "src/sync.rs",
    "src/target.rs",
    "src/thread.rs",
    "src/tickets.rs",
    "src/writer/deliver.rs",
    "src/writer/lanes.rs",
    "src/writer/mod.rs",
    "src/writer/rescue.rs",
];

/// Files without unsafe code that cannot forbid it, since it would be forbidden to the modules below as well.
const ABOVE_UNSAFE: &[&str] =
    &["src/blackbox/mod.rs", "src/format/mod.rs", "src/fuzz/mod.rs", "src/sink/mod.rs"];

/// The most lines of a file, without tests, comments and blank lines.
const LINES: usize = 400;

/// Files that are longer, and how long they may be.
const LONG: &[(&str, usize)] = &[
    // One implementation per type of value.
    ("src/arg.rs", 640),
];

/// The library's sources: path, and text without tests and comments.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is read") {
            let path = entry.expect("the folder is read").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    let name = |path: &Path| {
        path.strip_prefix(root).expect("it is in the root").to_string_lossy().replace('\\', "/")
    };
    found
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).expect("the file is UTF-8")))
        // Crates of their own.
        .filter(|(name, _)| !name.starts_with("src/macros/") && !name.starts_with("src/bin/"))
        .map(|(name, text)| (name, shipped(&text)))
        .collect()
}

/// What stands before the tests, without comments.
fn shipped(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let is_test_module =
        |at: &usize| lines[*at].starts_with("mod tests {") && lines[at - 1].starts_with("#[cfg(");
    if let Some(tests) = (1..lines.len()).find(is_test_module) {
        lines.truncate(tests - 1);
    }
    lines.retain(|line| !line.trim().is_empty());
    lines.join("\n")
}

/// `src/ring/spsc.rs` is of the module `ring`.
fn module(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap_or(path);
    path.split(['/', '.']).next().unwrap_or(path)
}

/// The modules that a text names behind `crate::`.
fn named(text: &str) -> BTreeSet<&str> {
    let word =
        |text: &'_ str| text.find(|char: char| char != '_' && !char.is_alphanumeric()).unwrap_or(text.len());
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|char| char == '$' || char == '_' || char.is_alphanumeric()) {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(names.insert(&rest[..word(rest)])),
            Some(group) => {
                // The first word of each part, whatever stands in braces within it.
                let (mut depth, mut starts) = (0, true);
                for (at, char) in group.char_indices() {
                    match char {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => starts = true,
                        _ if starts && !char.is_whitespace() => {
                            starts = false;
                            names.insert(&group[at..at + word(&group[at..])]);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn modules_name_only_what_is_below_them() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.keys().map(|path| module(path)).collect();
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    for (path, text) in &sources {
        let own = module(path);
        if matches!(own, "lib" | "fuzz" | "models") || path.ends_with("/models.rs") {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == own) else {
            wrong.push(format!("{path}: the module `{own}` has no place in LAYERS"));
            continue;
        };
        for name in named(text).into_iter().filter(|name| *name != own && modules.contains(name)) {
            if EXCEPTIONS.contains(&(path.as_str(), name)) {
                excused.insert((path.as_str(), name));
            } else if !allowed.contains(&name) {
                wrong.push(format!("{path} names crate::{name}, which `{own}` may not"));
            }
        }
    }
    for exception in EXCEPTIONS.iter().filter(|exception| !excused.contains(*exception)) {
        wrong.push(format!("{exception:?} is no exception any more: take it out"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_two_sides_do_not_know_each_other() {
    let reaches = |from: &str| -> BTreeSet<&str> {
        LAYERS
            .iter()
            .find(|(name, _)| *name == from)
            .map(|(_, names)| names.iter().copied().collect())
            .unwrap_or_default()
    };
    for caller in ["macros", "arg", "hot", "cold", "foreign", "log_facade", "tracing_facade"] {
        for other in ["writer", "format", "sink", "backend", "blackbox", "journal"] {
            assert!(!reaches(caller).contains(other), "{caller} names {other}");
        }
    }
    for writer in ["writer", "format", "sink"] {
        for other in ["hot", "cold", "macros", "arg", "foreign", "log_facade", "tracing_facade"] {
            assert!(!reaches(writer).contains(other), "{writer} names {other}");
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        let text = text.replace("unsafe_code", "").replace("unsafe_op_in_unsafe_fn", "");
        let has =
            text.split(|char: char| char != '_' && !char.is_alphanumeric()).any(|word| word == "unsafe");
        let listed = UNSAFE.contains(&path.as_str());
        if has && !listed {
            wrong.push(format!("{path} has unsafe code and is not listed"));
        }
        if listed && !has {
            wrong.push(format!("{path} is listed and has no unsafe code"));
        }
        let source =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is read");
        if !has && !ABOVE_UNSAFE.contains(&path.as_str()) && !source.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{path} has no unsafe code and does not forbid it"));
        }
    }
    for path in UNSAFE.iter().chain(ABOVE_UNSAFE) {
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists() {
            wrong.push(format!("{path} is listed and not there"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_have_one_idea_each() {
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        let lines = text.lines().count();
        let most = LONG.iter().find(|(name, _)| name == path).map_or(LINES, |(_, most)| *most);
        if lines > most {
            wrong.push(format!("{path} has {lines} lines, and may have {most}"));
        }
        if most > LINES && lines <= LINES {
            wrong.push(format!("{path} has {lines} lines only: take it out of LONG"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
