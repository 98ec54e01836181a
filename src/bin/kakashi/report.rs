//! What is printed at the end.
#![forbid(unsafe_code)]

use std::fmt;

use crate::args::Options;
use crate::input::Input;
use crate::latency::TIMER;
use crate::output::Output;
use crate::replay::Outcome;
use crate::verdict::Verdict;

pub struct Report<'a> {
    pub options: &'a Options,
    pub input: &'a Input,
    pub output: &'a Output,
    pub outcome: &'a Outcome,
    pub verdict: &'a Verdict,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { options, output, outcome, verdict, .. } = self;
        self.write_input(f)?;
        write!(f, "replayed    policy {}, encoding {}, ", options.policy.name(), options.encoding.name())?;
        write!(f, "{}, {}", count(options.threads.into(), "thread"), count(options.repeat.into(), "time"))?;
        if let Some(rate) = options.rate {
            write!(f, ", at {rate} records/s")?;
        }
        if outcome.sharing > 0 {
            write!(f, ", {} of the threads without a ring of their own", outcome.sharing)?;
        }
        writeln!(f)?;
        writeln!(f, "output      {output}{}", if output.is_temporary() { ", removed now" } else { "" })?;
        let seconds = outcome.elapsed.as_secs_f64();
        let per_second = |count: u64| count as f64 / seconds;
        writeln!(
            f,
            "records     {} logged in {seconds:.3} s until the file was complete: {:.0} records/s (calls over after {:.3} s)",
            verdict.total,
            per_second(verdict.total),
            outcome.calling.as_secs_f64()
        )?;
        writeln!(f, "bytes       {} of log: {:.0} bytes/s", verdict.bytes, per_second(verdict.bytes))?;
        self.write_latency(f)?;
        writeln!(f, "statistics  {}", outcome.stats)?;
        if outcome.stats.messages_dropped > 0 {
            writeln!(f, "dropped     {}", outcome.stats.dropped)?;
        }
        writeln!(
            f,
            "in the file {} out of the order of time, {} cut, {} of the logger's own",
            count(verdict.unordered, "line"),
            count(verdict.cut, "text"),
            count(verdict.notices, "line")
        )?;
        writeln!(f, "{verdict}")
    }
}

impl Report<'_> {
    fn write_input(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Input { sources, lines } = self.input;
        let files = count(sources.len() as u64, "file");
        writeln!(f, "input       {files}, {}, {} bytes", count(*lines, "line"), self.input.bytes())?;
        for (source, number) in sources.iter().zip(1..).filter(|(source, _)| source.lossy_lines > 0) {
            writeln!(
                f,
                "input       file {number} `{}`: {} not UTF-8, replayed with U+FFFD in place of what is not",
                source.path.display(),
                count(source.lossy_lines, "line"),
            )?;
        }
        Ok(())
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.outcome.latency;
        write!(f, "call, ns   ")?;
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)] {
            write!(f, " {name} {}", latency.percentile(percent))?;
        }
        writeln!(
            f,
            " max {}, of {} (one in {})",
            latency.max(),
            count(latency.calls(), "call"),
            self.options.latency_sample
        )?;
        writeln!(
            f,
            "timer       {TIMER}: costs {} ns, which these figures include",
            self.outcome.timer_cost.as_nanos()
        )
    }
}

fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}
