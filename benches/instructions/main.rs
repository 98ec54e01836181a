//! What a log call costs in instructions, and what it calls: figures without noise, held against a committed
//! baseline. Run it by `scripts/instructions.sh`, which says how the figures are to be read.
//!
//! The program has itself run under valgrind (`--workload`), reads what callgrind has written, and its own
//! machine code, and compares:
//!
//! * instructions and calls into shared libraries of each message's call, and of rendering a record in the
//!   writer, with `baseline.txt`;
//! * what the calls called, and what their code could call, with the lists of `allowed.rs`.
//!
//! `--renew` writes the baseline instead; the lists hold all the same.

#[path = "../method/mod.rs"]
mod method;

mod allowed;
mod baseline;
mod callgrind;
mod calls;
mod disassembly;
mod messages;
mod names;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use baseline::{Baseline, CALL_SLACK, Row, WRITER_SLACK};
use callgrind::Part;
use disassembly::Disassembly;
use messages::MESSAGES;
use workload::{CALLS, RECORDS};

/// Has the workload run under callgrind; returns what its files' names begin with.
fn count(program: &Path) -> Result<PathBuf, String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let stem = folder.join("out");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--quiet", "--separate-threads=yes", "--dump-instr=yes", "--demangle=no"])
        .arg(format!("--dump-before={}", workload::MARKER))
        .arg(format!("--callgrind-out-file={}", stem.display()))
        .arg(program)
        .arg("--workload");
    names::output(&mut valgrind, "")?;
    Ok(stem)
}

/// The figures of all messages and of the writer, and what the calls must not call.
fn measure(program: &Path) -> Result<(Vec<Row>, Vec<String>), String> {
    let stem = count(program)?;
    let code = Disassembly::of(program)?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for (at, message) in MESSAGES.iter().enumerate() {
        let [once, twice] = workload::parts_of_calls(at);
        let once = Part::read(&stem, once, 1, program)?;
        let twice = Part::read(&stem, twice, 1, program)?;
        // What does not come with each call is in both, and is left out.
        let per_call = |figure: fn(&Part, &str) -> u64| {
            (figure(&twice, message.symbol) as f64 - figure(&once, message.symbol) as f64) / CALLS as f64
        };
        rows.push(Row {
            name: message.name.to_owned(),
            instructions: per_call(Part::instructions_from),
            calls_out: per_call(Part::calls_out_from),
            slack: CALL_SLACK,
        });
        // Those that are watched go the slow way, which may call what it likes.
        if !message.watched {
            let found = calls::faults(message, &twice, 2 * CALLS, &code);
            faults.extend(found.iter().map(|fault| format!("{}: {fault}", message.name)));
        }
    }
    for (at, (message, format)) in workload::rendered().enumerate() {
        let parts: Result<Vec<Part>, String> =
            workload::parts_of_rendering(at).map(|part| Part::read(&stem, part, 2, program)).collect();
        let least = parts?.iter().map(Part::instructions).min().unwrap_or_default();
        rows.push(Row {
            name: format!("writer: {}{}", message.name, workload::name_of(format)),
            instructions: least as f64 / RECORDS as f64,
            calls_out: 0.0,
            slack: WRITER_SLACK,
        });
    }
    if let Some(row) = rows.iter().find(|row| row.instructions < 1.0) {
        return Err(format!("{}: no instructions were counted", row.name));
    }
    Ok((rows, faults))
}

/// Whether the writer renders rows here as it did for the baseline.
fn has_writers_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn run(renew: bool) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let (mut rows, mut faults) = measure(&program)?;
    let compiler = baseline::compiler();
    let is_writers = |row: &Row| row.name.starts_with("writer: ");
    if renew {
        if !has_writers_vectors() {
            return Err(
                "the writer's rows are those of a processor with AVX2, and this one has none".to_owned()
            );
        }
        let old = Baseline::read();
        let new = Baseline { compiler, rows };
        new.write()?;
        if let Ok(old) = old {
            baseline::compare(&new.rows, &old);
        }
        println!("{} is new", Baseline::PATH);
    } else {
        let mut baseline = Baseline::read()?;
        if !has_writers_vectors() {
            println!("left out: the writer's rows, which are those of a processor with AVX2");
            rows.retain(|row| !is_writers(row));
            baseline.rows.retain(|row| !is_writers(row));
        }
        let differences = baseline::compare(&rows, &baseline);
        if !differences.is_empty() {
            if compiler != baseline.compiler {
                println!("the baseline is of {}, and this is {compiler}", baseline.compiler);
            }
            println!("if the change is wanted (or the compiler's): scripts/instructions.sh --renew");
        }
        faults.splice(0..0, differences);
    }
    for fault in &faults {
        println!("FAILED {fault}");
    }
    Ok(faults.is_empty())
}

fn main() -> ExitCode {
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    if has("--workload") {
        workload::run();
        return ExitCode::SUCCESS;
    }
    if !has("--check") && !has("--renew") {
        println!("instructions are counted by scripts/instructions.sh");
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("not checked: baseline and disassembly are those of x86_64");
        return ExitCode::SUCCESS;
    }
    match run(has("--renew")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED {error}");
            ExitCode::FAILURE
        }
    }
}
