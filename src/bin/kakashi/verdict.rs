//! What the verification found.
#![forbid(unsafe_code)]

use std::fmt::{self, Display};

/// Mismatches that are told one by one.
pub const TOLD: usize = 5;

/// What does not hold.
#[derive(Debug, Default)]
pub struct Mismatches {
    told: Vec<String>,
    count: u64,
}

impl Mismatches {
    #[cold]
    pub fn add(&mut self, what: impl Display) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(what.to_string());
        }
    }
}

/// The beginning of a line, to be shown.
pub struct Excerpt<'a>(pub &'a [u8]);

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BYTES: usize = 100;
        write!(f, "\"{}\"", self.0.get(..BYTES).unwrap_or(self.0).escape_ascii())?;
        if self.0.len() > BYTES { write!(f, " and {} bytes", self.0.len() - BYTES) } else { Ok(()) }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Verdict {
    pub total: u64,
    /// Records in the file.
    pub kept: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Records counted as dropped, by cause.
    pub dropped: Vec<(String, u64)>,
    /// Lines whose time is lower than that of a line before them.
    pub unordered: u64,
    /// Texts that are cut.
    pub cut: u64,
    /// Lines of the logger's own.
    pub notices: u64,
    pub mismatches: Mismatches,
}

impl Verdict {
    pub fn holds(&self) -> bool {
        self.mismatches.count == 0
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { total, kept, .. } = self;
        if !self.holds() {
            let Mismatches { told, count } = &self.mismatches;
            write!(
                f,
                "NOT VERIFIED: {count} {}",
                if *count == 1 { "mismatch:" } else { "mismatches, the first:" }
            )?;
            return told.iter().try_for_each(|mismatch| write!(f, "\n  {mismatch}"));
        }
        write!(f, "verified: {kept} of {total} records in the file")?;
        if !self.dropped.is_empty() {
            let sum: u64 = self.dropped.iter().map(|(_, count)| count).sum();
            let causes: Vec<_> =
                self.dropped.iter().map(|(cause, count)| format!("{cause}={count}")).collect();
            write!(f, ", {sum} dropped ({})", causes.join(" "))?;
        }
        Ok(())
    }
}
