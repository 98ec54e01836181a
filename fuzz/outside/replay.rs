//! What `kakashi replay` reads back: it knows its own lines, and takes no other text for one.

#[allow(dead_code)]
#[path = "../../src/bin/kakashi/escaped.rs"]
mod escaped;
#[allow(dead_code)]
#[path = "../../src/bin/kakashi/line.rs"]
mod line;

use escaped::Shown;
use kakashi::__fuzz::{REPLAYED, replayed};
use line::{Form, Line};

const FORM: Form<'_> = Form { target: REPLAYED.0, location: REPLAYED.1 };

/// Bytes as a line that was written, and as the text of a record.
pub fn replay(bytes: &[u8]) {
    match FORM.parse(bytes) {
        Ok(Line::Record(record)) => {
            let text = String::from_utf8_lossy(record.text);
            let _ = escaped::compare(&text, record.text);
        }
        Ok(Line::Notice(message)) => {
            if let Some((_, causes)) = line::drops(message) {
                causes.for_each(drop);
            }
        }
        Err(expected) => assert!(!expected.is_empty()),
    }
    let (head, text) = bytes.split_at(bytes.len().min(32));
    let number = |at: usize| {
        u64::from_le_bytes(core::array::from_fn(|byte| head.get(at + byte).copied().unwrap_or(0)))
    };
    let numbers = [number(0) % 1024, number(8), number(16), number(24)];
    let text = String::from_utf8_lossy(text);
    let line = replayed(&text, numbers);
    let line = line.strip_suffix('\n').expect("a line has an end");
    let Ok(Line::Record(record)) = FORM.parse(line.as_bytes()) else {
        panic!("{line:?}: {:?}", FORM.parse(line.as_bytes()))
    };
    assert_eq!([record.thread, record.file, record.line, record.pass], numbers);
    assert_eq!(escaped::compare(&text, record.text), Shown::Whole, "{line:?}");
    let longer = format!("{text}x");
    assert_eq!(escaped::compare(&longer, record.text), Shown::Different, "{line:?}");
}
