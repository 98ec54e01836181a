//! `README.md`, held against the tests: each test, file, script and fuzz target that its tables name exists, and there are as
//! many tests as it says.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The functions of a file, and which of them are tests. What only runs scenarios (`child`) is none.
fn functions(file: &Path) -> Vec<(String, bool)> {
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in read(file).lines().map(str::trim) {
        is_test |= line == "#[test]";
        let function = line.split_once("fn ").filter(|(before, _)| !before.contains(['/', '"']));
        let Some((name, _)) = function.and_then(|(_, rest)| rest.split_once(['(', '<'])) else { continue };
        found.push((name.to_owned(), is_test && name != "child"));
        is_test = false;
    }
    found
}

fn tests_of(file: &Path) -> Vec<String> {
    functions(file).into_iter().filter(|(_, is_test)| *is_test).map(|(name, _)| name).collect()
}

/// The file of a path such as `delivery`, `faults_progress::stepping`, or `filter::tests`: of `tests/`, or of the library.
fn file_of(modules: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = modules.split("::").collect();
    let first = parts[0];
    let mut known = vec![format!("tests/{first}.rs"), format!("tests/{first}/main.rs")];
    known.push(format!("tests/{first}/mod.rs"));
    for len in (1..=parts.len()).rev() {
        let path = parts[..len].join("/");
        known.extend([format!("src/{path}.rs"), format!("src/{path}/mod.rs")]);
    }
    known.into_iter().map(PathBuf::from).find(|file| root().join(file).exists())
}

/// The number in ` (17 tests)` or ` (13)` at the beginning of what follows a name.
fn count(behind: &str) -> Option<usize> {
    let (inside, _) = behind.strip_prefix(" (")?.split_once(')')?;
    inside.strip_suffix(" tests").unwrap_or(inside).parse().ok()
}

fn is_name(text: &str) -> bool {
    text.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_:*".contains(char))
}

/// Why the tests that a name stands for are not there; `None` when they are. `within` is the file of the name before.
fn missing_tests(name: &str, behind: &str, within: &mut Option<PathBuf>) -> Option<String> {
    let (modules, name) = name.rsplit_once("::").unwrap_or(("", name));
    if !modules.is_empty() {
        *within = file_of(modules);
    }
    let Some(file) = within else { return Some(format!("there is no `{modules}`")) };
    let is_helper = file.ends_with("mod.rs") && file.starts_with("tests");
    let all = functions(file).into_iter().filter(|(_, is_test)| *is_test || is_helper);
    let is_it = |known: &str| {
        if let Some(end) = name.strip_prefix("..") {
            return known.ends_with(end) || known == &end[1..];
        }
        name.strip_suffix('*').map_or(known == name, |begin| known.starts_with(begin))
    };
    let found = all.filter(|(known, _)| is_it(known)).count();
    let wanted = count(behind).unwrap_or(found.max(1));
    (found != wanted).then(|| format!("{} has {found} of it, and not {wanted}", file.display()))
}

/// Why what a cell names is not there.
fn missing(cell: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut within = None;
    let parts: Vec<&str> = cell.split('`').collect();
    for at in (1..parts.len()).step_by(2) {
        let (before, name) = (parts[at - 1], parts[at]);
        let behind = parts.get(at + 1).copied().unwrap_or_default();
        let models =
            ["src/ring/models.rs", "src/models.rs", "src/models/backend.rs", "src/models/journal.rs"];
        let why = if name.starts_with("tests/") || name.starts_with("scripts/") || name.starts_with(".ci/") {
            let (path, step) = name.split_once(' ').unwrap_or((name, ""));
            if !root().join(path).exists() {
                Some("there is no such file".to_owned())
            } else if path == ".ci/run" && !read(path).contains(&format!("\n{step}() {{")) {
                Some("there is no such step".to_owned())
            } else {
                let wanted = count(behind);
                let found = wanted.map(|_| tests_of(Path::new(path)).len());
                (found != wanted).then(|| format!("it has {} tests", found.unwrap_or_default()))
            }
        } else if before.ends_with("fuzz target ") || before.ends_with("fuzz targets ") {
            let target = format!("fuzz/fuzz_targets/{name}.rs");
            (!root().join(target).exists()).then(|| "there is no such fuzz target".to_owned())
        } else if (name.contains("::") && is_name(name)) || name.starts_with(".._") {
            missing_tests(name, behind, &mut within)
        } else if name.matches('_').count() >= 2 && is_name(name) {
            let file =
                models.into_iter().map(PathBuf::from).find(|file| tests_of(file).iter().any(|is| is == name));
            within = file.clone();
            file.is_none().then(|| "there is no such model".to_owned())
        } else {
            None
        };
        wrong.extend(why.map(|why| format!("`{name}`: {why}")));
    }
    wrong
}

#[test]
fn what_the_tables_name_exists() {
    let text = read("tests/README.md");
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let wrong: Vec<String> = rows.flat_map(|row| row.split('|')).flat_map(missing).collect();
    assert!(wrong.is_empty(), "tests/README.md is not true any more:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_of_tests_is_named() {
    let text = read("tests/README.md");
    let entries = fs::read_dir(root().join("tests")).expect("the folder is read");
    let names = entries.map(|entry| entry.expect("it is read").path()).filter_map(|path| {
        let is_test = path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
        is_test.then(|| path.file_stem().expect("a name").to_string_lossy().into_owned())
    });
    let is_named =
        |name: &String| text.contains(&format!("`{name}::")) || text.contains(&format!("tests/{name}"));
    let left_out: Vec<String> = names.filter(|name| !is_named(name)).collect();
    assert!(left_out.is_empty(), "tests/README.md does not name {left_out:?}");
}

#[test]
fn what_does_not_exist_is_found() {
    for wrong in [
        "`delivery::no_such_test`",
        "`nothing::shutdown_is_idempotent`",
        "`delivery::no_such_*`",
        "`delivery::shutdown_is_idempotent`, `.._no_such_end`",
        "`delivery::shutdown_*` (77 tests)",
        "`delivery::messages`",
        "model `a_model_of_nothing`",
        "fuzz target `nothing`",
        "`tests/nothing.rs`",
        "`tests/restraint.rs` (5 tests)",
        "`faults_limits::child`",
        "`scripts/nothing.sh`",
        "`.ci/run nothing`",
    ] {
        assert_eq!(missing(wrong).len(), 1, "{wrong}");
    }
    let right = "`delivery::shutdown_is_idempotent`, `filter::tests::*`, `faults_progress::stepping::*`; model \
                 `a_swap_misses_no_sleeper`; fuzz target `rings`; `tests/restraint.rs` (4 tests); `common::conserved`; \
                 `.ci/run loom`; `Clock::Ordered`; `kill -9`";
    assert_eq!(missing(right), [""; 0]);
}
