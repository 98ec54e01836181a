//! The parser of templates, of the procedural macro: any text is a template or a mistake with a message.

#[path = "../../src/macros/src/template.rs"]
pub mod parser;

use parser::{ArgRef, Count, Piece, Placeholder, Template, unescape};

/// A text as a template and as the source of a string literal.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Template::parse(&text) {
        Ok(template) => assert_eq!(rest_behind(&template, &text), Some(""), "{text:?} is {template:?}"),
        Err(message) => {
            assert!(message.contains("the template") || message.contains("format type"), "{message}")
        }
    }
    // What the compiler would hand over: any literal, and this text as one.
    let _ = unescape(&text);
    assert_eq!(unescape(&format!("{:?}", &*text)), Some(Ok(text.clone().into_owned())));
    let hashes = "#".repeat(
        text.split('"').map(|part| part.len() - part.trim_start_matches('#').len()).max().unwrap_or(0) + 1,
    );
    assert_eq!(unescape(&format!("r{hashes}\"{text}\"{hashes}")), Some(Ok(text.into_owned())));
}

/// Takes the pieces off the text, from its front, as whoever wrote it may have written them: what is left.
fn rest_behind<'t>(template: &Template, text: &'t str) -> Option<&'t str> {
    let mut rest = text;
    let mut implicit = 0;
    let mut literal_before = false;
    for piece in &template.pieces {
        rest = match piece {
            Piece::Literal(literal) => {
                assert!(!literal.is_empty() && !literal_before, "literals are joined, and hold something");
                literal.chars().try_fold(rest, |rest, char| {
                    let rest = rest.strip_prefix(char)?;
                    if matches!(char, '{' | '}') { rest.strip_prefix(char) } else { Some(rest) }
                })?
            }
            Piece::Placeholder(placeholder) => behind_placeholder(placeholder, rest, &mut implicit)?,
        };
        literal_before = matches!(piece, Piece::Literal(_));
    }
    assert_eq!(template.implicit, implicit, "each `{{}}` and `.*` takes an argument");
    Some(rest)
}

fn behind_placeholder<'t>(placeholder: &Placeholder, text: &'t str, implicit: &mut usize) -> Option<&'t str> {
    let spec = &placeholder.spec;
    let mut rest = text.strip_prefix('{')?;
    match &placeholder.arg {
        ArgRef::Implicit(_) => {}
        arg => rest = behind_arg(arg, rest)?,
    }
    rest = rest.trim_start();
    if let Some(behind) = rest.strip_prefix(':') {
        rest = behind_count(&spec.width, behind.strip_prefix(spec.flags.as_str())?)?;
        rest = match (&spec.precision, rest.strip_prefix('.')) {
            (Count::Arg(ArgRef::Implicit(index)), Some(rest)) => {
                assert_eq!(*index, *implicit, "the precision comes before the value");
                *implicit += 1;
                rest.strip_prefix('*')?
            }
            (Count::None, None) => rest,
            (precision, Some(rest)) => behind_count(precision, rest)?,
            (_, None) => return None,
        };
        rest = rest.strip_prefix(spec.kind.as_str())?;
    } else if !spec.is_plain() {
        return None;
    }
    if let ArgRef::Implicit(index) = placeholder.arg {
        assert_eq!(index, *implicit);
        *implicit += 1;
    }
    rest.trim_start().strip_prefix('}')
}

fn behind_count<'t>(count: &Count, text: &'t str) -> Option<&'t str> {
    match count {
        Count::None => Some(text),
        Count::Literal(digits) => text.strip_prefix(digits.as_str()),
        Count::Arg(arg) => behind_arg(arg, text)?.strip_prefix('$'),
    }
}

fn behind_arg<'t>(arg: &ArgRef, text: &'t str) -> Option<&'t str> {
    match arg {
        ArgRef::Name(name) => text.strip_prefix(name.as_str()),
        ArgRef::Index(index) => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            // Zeros may stand in front.
            (text[..digits].parse() == Ok(*index)).then(|| &text[digits..])
        }
        ArgRef::Implicit(_) => None,
    }
}
