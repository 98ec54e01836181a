//! `UNSAFE.md`, held against the sources: each unsafe block, function, implementation and attribute has a row there, and
//! what a row says would catch its breaking exists.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Unsafe code that is in no program: loom's models.
const MODELS: [&str; 3] = ["src/models.rs", "src/models/backend.rs", "src/ring/models.rs"];

/// What is unsafe at a place, in the order in which a row names it.
const KINDS: [&str; 6] = ["trait", "impl", "extern", "attribute", "fn", "block"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files below a folder, from the root on.
fn files(folder: &str) -> Vec<String> {
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
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(root()).expect("it is in the root").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Words and signs, without comments, and without what stands in texts.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let is_word = |char: char| char == '_' || char.is_alphanumeric();
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(hashes) = raw_text(rest) {
            let begin = rest.find('"').expect("a raw text has a quote") + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if first == '"' {
            1 + quoted(&rest[1..], '"')
        } else if first == '\'' && is_char(rest) {
            1 + quoted(&rest[1..], '\'')
        } else {
            let len = match is_word(first) {
                true => rest.find(|char| !is_word(char)).unwrap_or(rest.len()),
                false if rest.starts_with("->") || rest.starts_with("=>") => 2,
                false => first.len_utf8(),
            };
            if !first.is_whitespace() {
                tokens.push(&rest[..len]);
            }
            len
        };
        rest = &rest[len..];
    }
    tokens
}

/// How many `#` a raw text begins with, if one begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let behind = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let text = behind.trim_start_matches('#');
    text.starts_with('"').then_some(behind.len() - text.len())
}

/// Bytes to the closing `quote`, inclusive.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            char if char == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character, and no lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (_, Some('\'')))
}

/// What an `impl` is of: the trait's last name, if there is one, and the type's, without parameters.
fn implements(header: &[&str]) -> (Option<String>, String) {
    let (mut depth, mut plain) = (0, Vec::new());
    for &token in header.iter().take_while(|&&token| token != "where") {
        match token {
            "<" => depth += 1,
            ">" => depth -= 1,
            token if depth == 0 => plain.push(token),
            _ => {}
        }
    }
    let name = |path: &[&str]| {
        let text = path.join("").replace(',', ", ");
        text.rsplit("::").next().unwrap_or_default().to_owned()
    };
    match plain.iter().position(|&token| token == "for") {
        Some(at) => (Some(name(&plain[..at])), name(&plain[at + 1..])),
        None => (None, name(&plain)),
    }
}

/// What braces are of.
#[derive(Clone)]
enum Scope {
    Macro(String),
    Type(String),
    Fn(String),
    Other,
}

/// The place that some scopes are: functions with the type around them, and the macro around all.
fn place(scopes: &[Scope], last: Option<&str>) -> String {
    let (mut within, mut names) = (String::new(), Vec::new());
    for scope in scopes {
        match scope {
            Scope::Macro(name) => within = format!("{name}!: "),
            Scope::Type(name) => names = vec![name.as_str()],
            Scope::Fn(name) => names.push(name),
            Scope::Other => {}
        }
    }
    names.extend(last);
    within + &names.join("::")
}

/// By place, how much of each kind is unsafe in a source, but for its tests.
fn unsafe_code(source: &str) -> BTreeMap<String, [usize; KINDS.len()]> {
    let tokens = tokens(source);
    let word = |at: usize| tokens.get(at).copied().unwrap_or_default();
    let until = |at: usize, ends: &[&str]| {
        (at..tokens.len()).find(|&end| ends.contains(&word(end))).unwrap_or(tokens.len())
    };
    let mut found: BTreeMap<String, [usize; KINDS.len()]> = BTreeMap::new();
    let mut scopes: Vec<Scope> = Vec::new();
    let mut next = Scope::Other;
    // Braces of a module of tests.
    let mut tests = None;
    // Parentheses and brackets that are open, and were where the last function began.
    let (mut parens, mut began) = (0, 0);
    for (at, &token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", word);
        let begins_item = matches!(before, "" | "}" | ";" | "]" | "{" | "unsafe")
            || (before == "(" && at >= 2 && word(at - 2) == "$");
        match token {
            "{" => {
                if tests.is_none() && at >= 2 && word(at - 2) == "mod" && before == "tests" {
                    tests = Some(scopes.len());
                }
                scopes.push(std::mem::replace(&mut next, Scope::Other));
            }
            "}" => {
                scopes.pop();
                tests = tests.filter(|&depth| depth < scopes.len());
            }
            "(" | "[" => parens += 1,
            ")" | "]" => parens -= 1,
            // A function without a body; but there are also those in `[u8; 2]`.
            ";" if parens == began => next = Scope::Other,
            "macro_rules" => next = Scope::Macro(word(at + 2).to_owned()),
            "trait" => next = Scope::Type(word(at + 1).to_owned()),
            "fn" if word(at + 1) != "(" => (next, began) = (Scope::Fn(word(at + 1).to_owned()), parens),
            "impl" if begins_item => {
                next = Scope::Type(implements(&tokens[at + 1..until(at, &["{"])]).1);
            }
            "unsafe" if tests.is_none() => {
                let name = |at: usize| place(&scopes, Some(word(at)));
                let item = |ends: &[&str]| name(until(at, ends) + 1);
                let (kind, place) = match word(at + 1) {
                    "{" => ("block", place(&scopes, None)),
                    "fn" => ("fn", name(at + 2)),
                    "extern" if word(at + 2) == "fn" => ("fn", name(at + 3)),
                    "extern" => ("extern", place(&scopes, Some("extern"))),
                    "trait" => ("trait", name(at + 2)),
                    "(" => ("attribute", item(&["static", "fn"])),
                    "impl" => {
                        let (of, what) = implements(&tokens[at + 2..until(at, &["{"])]);
                        let of = of.expect("an unsafe impl is of a trait");
                        ("impl", place(&scopes, Some(&format!("{of} for {what}"))))
                    }
                    other => panic!("`unsafe {other}` is none of {KINDS:?}"),
                };
                let kind = KINDS.iter().position(|&known| known == kind).expect("it is a kind");
                found.entry(place).or_default()[kind] += 1;
            }
            _ => {}
        }
    }
    found
}

/// As it stands in a row: `fn, 2 blocks`.
fn told(counts: [usize; KINDS.len()]) -> String {
    let parts =
        KINDS.iter().zip(counts).filter(|&(_, count)| count != 0).map(|(&kind, count)| match (kind, count) {
            ("block", 1) => "1 block".to_owned(),
            (kind, 1) => kind.to_owned(),
            (kind, count) => format!("{count} {kind}s"),
        });
    parts.collect::<Vec<_>>().join(", ")
}

/// A row of the list: `place`, what is unsafe there, why it is sound, what catches its breaking, what was tried.
struct Row {
    file: String,
    cells: Vec<String>,
}

fn rows() -> Vec<Row> {
    let list = read("tests/UNSAFE.md");
    let (mut file, mut rows) = (String::new(), Vec::new());
    for line in list.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            file = heading.trim_matches('`').to_owned();
        }
        if let Some(row) = line.strip_prefix("| `") {
            let cells = format!("`{row}")
                .trim_end_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect();
            rows.push(Row { file: file.clone(), cells });
        }
    }
    rows
}

#[test]
fn every_unsafe_place_has_its_row() {
    let mut listed = BTreeMap::new();
    let mut wrong = Vec::new();
    for Row { file, cells } in rows() {
        if cells.len() != 5 {
            wrong.push(format!(
                "{file}: the row of {} has {} cells, and should have 5",
                cells[0],
                cells.len()
            ));
            continue;
        }
        let place = cells[0].trim_matches('`').to_owned();
        if listed.insert((file.clone(), place.clone()), cells[1].clone()).is_some() {
            wrong.push(format!("{file}: `{place}` has two rows"));
        }
    }
    for file in files("src") {
        let elsewhere = file.starts_with("src/bin/") || file.starts_with("src/macros/");
        if elsewhere || MODELS.contains(&file.as_str()) {
            continue;
        }
        for (place, counts) in unsafe_code(&read(&file)) {
            let is = told(counts);
            match listed.remove(&(file.clone(), place.clone())) {
                None => wrong.push(format!("{file}: there is no row for `{place}` ({is})")),
                Some(row) if row != is => {
                    wrong.push(format!("{file}: `{place}` has {is}, and its row says {row}"));
                }
                Some(_) => {}
            }
        }
    }
    for (file, place) in listed.keys() {
        wrong.push(format!("{file}: `{place}` has a row, and nothing unsafe"));
    }
    assert!(wrong.is_empty(), "tests/UNSAFE.md is not true any more:\n{}", wrong.join("\n"));
}

/// Whether a text has a function of that name.
fn has_fn(text: &str, name: &str) -> bool {
    let wanted = format!("fn {name}(");
    text.contains(&wanted)
}

/// Whether a test of that path exists: of `tests/`, or, with the modules before it, of the library.
fn exists(test: &str) -> bool {
    let Some((path, name)) = test.rsplit_once("::") else { return false };
    let in_tests = [format!("tests/{path}.rs"), format!("tests/{path}/main.rs")];
    if let Some(file) = in_tests.iter().find(|file| root().join(file).exists()) {
        return has_fn(&read(file), name);
    }
    let modules: Vec<&str> = path.split("::").collect();
    (1..=modules.len()).rev().any(|len| {
        let (file, inner) = (modules[..len].join("/"), &modules[len..]);
        [format!("src/{file}.rs"), format!("src/{file}/mod.rs")].iter().any(|file| {
            let known = root().join(file).exists().then(|| read(file));
            known.is_some_and(|text| {
                has_fn(&text, name) && inner.iter().all(|module| text.contains(&format!("mod {module} {{")))
            })
        })
    })
}

/// Why what a row names is not there; `None` when it is.
fn missing(reference: &str) -> Option<String> {
    let none = |is: bool, why: &str| (!is).then(|| why.to_owned());
    if let Some(target) = reference.strip_prefix("fuzz ") {
        let path = format!("fuzz/fuzz_targets/{target}.rs");
        return none(root().join(&path).exists(), "there is no such fuzz target");
    }
    if let Some(mutant) = reference.strip_prefix("mutant ") {
        let stands = read("scripts/mutants.sh").contains(&format!("mutant \"{mutant}\""));
        return none(stands, "scripts/mutants.sh has no such mutant");
    }
    let Some((step, test)) =
        reference.strip_prefix("sanitize ").map(|rest| rest.split_once(": ").unwrap_or((rest, "")))
    else {
        return none(exists(reference), "there is no such test");
    };
    // Of the tests of the library, the script's filters choose some.
    let script = read("scripts/sanitize.sh");
    let (file, _) = test.split_once("::").unwrap_or((test, ""));
    let runs = if root().join(format!("tests/{file}.rs")).exists() {
        script.contains(&format!("--test {file}"))
    } else {
        script.split_whitespace().any(|word| word.len() > 2 && word.ends_with("::") && test.starts_with(word))
    };
    none(matches!(step, "address" | "thread"), "there is no such sanitizer step")
        .or_else(|| none(exists(test), "there is no such test"))
        .or_else(|| none(runs, "scripts/sanitize.sh does not run it"))
}

#[test]
fn what_catches_a_breaking_exists() {
    let mut wrong = Vec::new();
    for Row { file, cells } in rows() {
        let [place, _, sound, caught, _] = cells.as_slice() else { continue };
        let named: Vec<&str> = caught.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !caught.starts_with("none: ") {
            wrong.push(format!("{file}: the row of {place} names nothing that would catch its breaking"));
        }
        if sound.is_empty() {
            wrong.push(format!("{file}: the row of {place} does not say why it is sound"));
        }
        for reference in named {
            if let Some(why) = missing(reference) {
                wrong.push(format!("{file}: the row of {place} names `{reference}`: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "tests/UNSAFE.md is not true any more:\n{}", wrong.join("\n"));
}

#[test]
fn places_are_found_where_they_are() {
    let source = r##"
        // unsafe { in a comment }
        const TEXT: &str = "unsafe { \" }"; const RAW: &str = r#"unsafe {"#; const QUOTE: char = '"';
        #[unsafe(link_section = "s")]
        static PLACED: u8 = 0;
        unsafe extern "C" { safe static FIRST: [u8; 0]; }
        unsafe impl<const B: usize> path::Sync for Ring<B> where Self: Sized {}
        unsafe trait Plain { unsafe fn put(self, at: [u8; 2]); fn safe(&self); }
        impl<'a, T: Fn() -> u8> fmt::Write for &'a Ring<T> {
            fn one(&self, of: [u8; 2]) -> impl Iterator<Item = [u8; 2]> {
                fn two() { unsafe {} }
                unsafe {}
                let body = || unsafe { 1 };
            }
        }
        macro_rules! many { ($int:ty) => {$( unsafe impl Plain for $int { fn three() { unsafe {} } } )*}; }
        extern "C" fn four(of: unsafe_name) { unsafe {} }
        mod tests { fn five() { unsafe {} } }
        fn six() { unsafe {} }
    "##;
    let found: Vec<String> =
        unsafe_code(source).into_iter().map(|(place, counts)| format!("{place}: {}", told(counts))).collect();
    let mut expected = [
        "PLACED: attribute",
        "extern: extern",
        "Sync for Ring: impl",
        "Plain: trait",
        "Plain::put: fn",
        "&'aRing::one::two: 1 block",
        "&'aRing::one: 2 blocks",
        "many!: Plain for $int: impl",
        "many!: $int::three: 1 block",
        "four: 1 block",
        "six: 1 block",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}
