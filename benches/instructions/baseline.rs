//! The committed figures, and how the measured ones may differ from them.

use std::fmt::Write as _;

/// One figure: what a message's call, or its record in the writer, costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub instructions: f64,
    /// Calls into shared libraries, whose instructions are not counted: they differ from machine to machine.
    pub calls_out: f64,
    /// How far the instructions may be off, as a share.
    pub slack: f64,
}

/// The same compiler gives the same counts; changes elsewhere in the crate move them by an instruction or two.
pub const CALL_SLACK: f64 = 0.03;
/// The writer also looks for records in vain, and at its clock, as time passes.
pub const WRITER_SLACK: f64 = 0.05;

pub struct Baseline {
    pub compiler: String,
    pub rows: Vec<Row>,
}

impl Baseline {
    pub const PATH: &str = "benches/instructions/baseline.txt";

    pub fn read() -> Result<Self, String> {
        let text = std::fs::read_to_string(Self::PATH).map_err(|error| format!("{}: {error}", Self::PATH))?;
        let compiler = text.lines().find_map(|line| line.strip_prefix("# compiler: "));
        let compiler = compiler.ok_or_else(|| format!("{}: it names no compiler", Self::PATH))?.to_owned();
        let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let row = |line: &str| {
            let (instructions, rest) = line.trim_start().split_once(' ')?;
            let (calls_out, name) = rest.trim_start().split_once(' ')?;
            Some(Row {
                name: name.trim().to_owned(),
                instructions: instructions.parse().ok()?,
                calls_out: calls_out.parse().ok()?,
                slack: 0.0,
            })
        };
        let rows: Option<Vec<Row>> = rows.map(row).collect();
        let rows = rows.ok_or_else(|| format!("{}: a line is not a row", Self::PATH))?;
        Ok(Baseline { compiler, rows })
    }

    pub fn write(&self) -> Result<(), String> {
        let mut text = String::from(
            "# Instructions of this crate per call on the calling thread, and calls into shared libraries (copies).\n\
             # scripts/instructions.sh compares with this; scripts/instructions.sh --renew writes it.\n",
        );
        let _ = writeln!(text, "# compiler: {}", self.compiler);
        for row in &self.rows {
            let _ = writeln!(text, "{:>8.1} {:>6.2}  {}", row.instructions, row.calls_out, row.name);
        }
        std::fs::write(Self::PATH, text).map_err(|error| format!("{}: {error}", Self::PATH))
    }
}

/// The compiler and the target, as the baseline names them.
pub fn compiler() -> String {
    let rustc = std::process::Command::new("rustc").arg("--version").output().ok();
    let version = rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    format!("{}, {}", version.unwrap_or_else(|| "unknown".to_owned()), std::env::consts::ARCH)
}

/// Prints the comparison and returns what is wrong, a line each.
pub fn compare(measured: &[Row], baseline: &Baseline) -> Vec<String> {
    let mut faults = Vec::new();
    println!("{:>9} {:>9} {:>7}  {:>5} {:>5}", "baseline", "now", "", "calls", "out");
    for now in measured {
        let Some(then) = baseline.rows.iter().find(|row| row.name == now.name) else {
            faults.push(format!("{}: not in the baseline", now.name));
            println!(
                "{:>9} {:>9.1} {:>7}  {:>5} {:>5.2}  {}",
                "-", now.instructions, "", "-", now.calls_out, now.name
            );
            continue;
        };
        let more = now.instructions - then.instructions;
        let percent = if then.instructions > 0.0 { more / then.instructions * 100.0 } else { 0.0 };
        println!(
            "{:>9.1} {:>9.1} {percent:>+6.1}%  {:>5.2} {:>5.2}  {}",
            then.instructions, now.instructions, then.calls_out, now.calls_out, now.name
        );
        // One instruction is always allowed; a tenth is what rounding takes.
        if more.abs() > (then.instructions * now.slack).max(1.0) + 0.05 {
            let verdict =
                if more > 0.0 { "dearer" } else { "cheaper: a gain, which the baseline should keep" };
            faults.push(format!(
                "{}: {:.1} instructions, {:.1} in the baseline ({percent:+.1} %, of {:.0} % at most): {verdict}",
                now.name, now.instructions, then.instructions, now.slack * 100.0
            ));
        }
        if (now.calls_out - then.calls_out).abs() > 0.05 + then.calls_out * now.slack {
            faults.push(format!(
                "{}: {:.2} calls into shared libraries, {:.2} in the baseline",
                now.name, now.calls_out, then.calls_out
            ));
        }
    }
    for then in &baseline.rows {
        if !measured.iter().any(|now| now.name == then.name) {
            faults.push(format!("{}: in the baseline, and not measured", then.name));
        }
    }
    faults
}
