//! A horizontal bar chart, as SVG.

#![forbid(unsafe_code)]

use std::fmt::Write;

/// One label and its bars, one above the other.
pub struct Group {
    pub label: String,
    /// Drawn in colour.
    pub ours: bool,
    /// Values, as long as the chart has kinds of bars. 0: none.
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Logarithmic,
}

pub struct Chart {
    pub title: String,
    pub subtitle: String,
    /// What each bar of a group is.
    pub kinds: Vec<String>,
    pub scale: Scale,
    pub unit: &'static str,
    /// A dashed line across all bars.
    pub mark: Option<(f64, String)>,
    pub groups: Vec<Group>,
}

const WIDTH: f64 = 940.0;
const LEFT: f64 = 275.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 96.0;
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;
const OURS: [&str; 3] = ["#0b5cad", "#6aa5de", "#b5d3f0"];
const THEIRS: [&str; 3] = ["#5f6b76", "#a3adb6", "#d3d9de"];

impl Chart {
    pub fn svg(&self) -> String {
        let group = BAR * self.kinds.len() as f64 + GAP;
        let bottom = TOP + group * self.groups.len() as f64;
        let height = bottom + 34.0;
        let most = self.groups.iter().flat_map(|one| &one.values).copied().fold(1.0, f64::max);
        let least = self
            .groups
            .iter()
            .flat_map(|one| &one.values)
            .chain(self.mark.as_ref().map(|(at, _)| at))
            .copied()
            .filter(|&value| value > 0.0)
            .fold(most, f64::min);
        let ticks = self.ticks(least, most);
        let (from, to) = (ticks[0], most);
        let x = |value: f64| {
            let share = match self.scale {
                Scale::Linear => (value - from) / (to - from),
                Scale::Logarithmic => (value / from).ln() / (to / from).ln(),
            };
            LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
        };

        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#1f2328\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        text(&mut out, 16.0, 28.0, "start", "font-size=\"18\" font-weight=\"600\"", &self.title);
        text(&mut out, 16.0, 48.0, "start", "font-size=\"11\" fill=\"#57606a\"", &self.subtitle);
        self.legend(&mut out);
        for tick in ticks.into_iter().filter(|&tick| tick <= to) {
            let at = x(tick);
            line(&mut out, at, TOP - 4.0, bottom, "stroke=\"#e4e8eb\"");
            let label = format!("{tick} {}", self.unit);
            text(&mut out, at, bottom + 16.0, "middle", "font-size=\"11\" fill=\"#57606a\"", &label);
        }
        for (at, one) in self.groups.iter().enumerate() {
            let top = TOP + group * at as f64;
            let middle = top + BAR * self.kinds.len() as f64 / 2.0 + 4.5;
            let weight = if one.ours { "font-weight=\"600\"" } else { "" };
            text(&mut out, LEFT - 10.0, middle, "end", weight, &one.label);
            let colours = if one.ours { OURS } else { THEIRS };
            for (kind, &value) in one.values.iter().enumerate().filter(|&(_, &value)| value > 0.0) {
                let (y, end) = (top + BAR * kind as f64, x(value));
                let _ = writeln!(
                    out,
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>",
                    (end - LEFT).max(1.0),
                    BAR - 1.0,
                    colours[kind % colours.len()],
                );
                let digits = usize::from(value < 100.0);
                let label = format!("{value:.digits$}");
                text(&mut out, end + 5.0, y + BAR - 1.5, "start", "font-size=\"10.5\"", &label);
            }
        }
        if let Some((value, label)) = &self.mark {
            let at = x(*value);
            line(&mut out, at, TOP - 4.0, bottom, "stroke=\"#cf222e\" stroke-dasharray=\"4 3\"");
            text(&mut out, at, TOP - 9.0, "middle", "font-size=\"11\" fill=\"#cf222e\"", label);
        }
        out.push_str("</svg>\n");
        out
    }

    fn legend(&self, out: &mut String) {
        let mut at = LEFT;
        for (kind, name) in self.kinds.iter().enumerate() {
            for (side, colours) in [OURS, THEIRS].iter().enumerate() {
                let x = at + 13.0 * side as f64;
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"61\" width=\"11\" height=\"11\" fill=\"{}\"/>",
                    colours[kind % colours.len()]
                );
            }
            text(out, at + 31.0, 71.0, "start", "font-size=\"12\"", name);
            at += 60.0 + 7.5 * name.len() as f64;
        }
    }

    fn ticks(&self, least: f64, most: f64) -> Vec<f64> {
        match self.scale {
            Scale::Logarithmic => {
                let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
                (from..=to.max(from + 1)).map(|power| 10_f64.powi(power)).collect()
            }
            Scale::Linear => {
                let rough = most / 6.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .into_iter()
                    .map(|factor| factor * power)
                    .find(|&step| step >= rough)
                    .unwrap_or(rough);
                (0..=(most / step).ceil() as usize).map(|at| at as f64 * step).collect()
            }
        }
    }
}

fn line(out: &mut String, x: f64, from: f64, to: f64, style: &str) {
    let _ = writeln!(out, "<line x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{to}\" {style}/>");
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>");
}
