//! A table, for the terminal and for Markdown.

#![forbid(unsafe_code)]

/// Cells are text. The first column stands left, the others right.
pub struct Table {
    pub title: String,
    pub note: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Table {
            title: title.into(),
            note: String::new(),
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// For a terminal: padded.
    pub fn text(&self) -> String {
        let columns = self.head.len();
        let mut widths = vec![0; columns];
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (cell, width) in row.iter().zip(&mut widths) {
                // A reason in place of figures runs over its neighbours.
                if !cell.starts_with("no: ") {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        let mut text = format!("\n{}\n", self.title);
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                if at == 0 {
                    text.push_str(&format!("  {cell}{padding}"));
                } else if cell.starts_with("no: ") {
                    text.push_str(&format!("  {cell}"));
                } else {
                    text.push_str(&format!("  {padding}{cell}"));
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        if !self.note.is_empty() {
            text.push_str(&format!("  {}\n", self.note));
        }
        text
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<String> =
            (0..self.head.len()).map(|at| if at == 0 { "---".into() } else { "--:".into() }).collect();
        let mut text = format!("### {}\n\n{}{}", self.title, line(&self.head), line(&rule));
        for row in &self.rows {
            let mut row = row.clone();
            row.resize(self.head.len(), String::new());
            text.push_str(&line(&row));
        }
        if !self.note.is_empty() {
            text.push_str(&format!("\n{}\n", self.note));
        }
        text
    }
}
