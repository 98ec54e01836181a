//! A terminal that is drawn on, and is afterwards as it was, whatever happens in between.
//!
//! Decision: crossterm alone. One table needs no layout engine, and ratatui would bring three times as many crates.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter, Stdout, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

pub struct Screen {
    out: BufWriter<Stdout>,
    /// The signal that asked for the end, or 0.
    asked: Arc<AtomicUsize>,
}

/// How often it is looked whether a signal has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time is over.
    Time,
    /// The screen has another size.
    Resized,
    /// The one who watches has had enough.
    Quit,
    /// This signal has come.
    Signal(i32),
}

impl Screen {
    pub fn enter() -> io::Result<Screen> {
        // A panic's message would go with the screen that it is printed on.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        let asked = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            signal_hook::flag::register_usize(signal, Arc::clone(&asked), signal as usize)?;
        }
        enable_raw_mode()?;
        let mut screen = Screen { out: BufWriter::with_capacity(1 << 16, io::stdout()), asked };
        execute!(screen.out, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws the lines, as far as there is room for them.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let (columns, rows) = size()?;
        let rows = usize::from(rows).max(1);
        let hidden = lines.len().saturating_sub(rows);
        // The last row says what is missing.
        let shown = if hidden == 0 { lines.len() } else { rows - 1 };
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (line, row) in lines[..shown].iter().zip(0..) {
            self.put(row, columns, line)?;
        }
        if hidden != 0 {
            self.put(shown as u16, columns, &format!("… {} lines more", lines.len() - shown))?;
        } else if shown < rows {
            queue!(self.out, MoveTo(0, shown as u16), Clear(ClearType::FromCursorDown))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }

    fn put(&mut self, row: u16, columns: u16, line: &str) -> io::Result<()> {
        let line: String = line.chars().take(usize::from(columns)).collect();
        queue!(self.out, MoveTo(0, row), Clear(ClearType::CurrentLine), Print(line))
    }

    /// Waits until then, or until something is to be done.
    pub fn wait(&mut self, until: Instant) -> io::Result<Woken> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let something = poll(left.min(LOOK_EVERY))?;
            match self.asked.load(Ordering::Relaxed) {
                0 => {}
                signal => return Ok(Woken::Signal(signal as i32)),
            }
            if !something {
                if left <= LOOK_EVERY {
                    return Ok(Woken::Time);
                }
                continue;
            }
            match read()? {
                Event::Resize(..) => return Ok(Woken::Resized),
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Ok(Woken::Quit),
                        KeyCode::Char('c') if control => return Ok(Woken::Quit),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

fn restore() {
    let _ = execute!(io::stdout(), EndSynchronizedUpdate, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.out.flush();
        restore();
    }
}
