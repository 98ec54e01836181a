#![no_main]
//! Besides what the target itself asks for: the compiler's own parser of format strings is asked, too. What it accepts
//! is accepted, and means the same; what it refuses is refused by us, or by the `format_args!` that gets it from us.

#[path = "../outside/template.rs"]
mod target;

use libfuzzer_sys::fuzz_target;
use ra_ap_rustc_parse_format as rustc;
use target::parser::{ArgRef, Count, Piece, Placeholder, Template, unescape};

fuzz_target!(|bytes: &[u8]| {
    target::template(bytes);
    if let Ok(text) = core::str::from_utf8(bytes) {
        template_as_the_compiler(text);
        literal_as_the_compiler(text);
    }
});

fn template_as_the_compiler(text: &str) {
    let mut parser = rustc::Parser::new(text, None, None, false, rustc::ParseMode::Format);
    let theirs: Vec<_> = parser.by_ref().collect();
    let ours = Template::parse(text);
    if !parser.errors.is_empty() {
        let later =
            |piece: &Piece| matches!(piece, Piece::Placeholder(placeholder) if fails_later(placeholder));
        assert!(ours.as_ref().map_or(true, |ours| ours.pieces.iter().any(later)), "{text:?} is {ours:?}");
        return;
    }
    // The compiler looks at the type only after parsing.
    const TYPES: [&str; 9] = ["", "?", "x", "X", "o", "b", "p", "e", "E"];
    let known = |piece: &rustc::Piece<'_>| match piece {
        rustc::Piece::NextArgument(argument) => TYPES.contains(&argument.format.ty),
        rustc::Piece::Lit(_) => true,
    };
    if !theirs.iter().all(known) {
        assert!(ours.is_err(), "{text:?} is {ours:?}");
        return;
    }
    let ours = ours.unwrap_or_else(|error| panic!("{text:?} is {theirs:?}, and refused: {error}"));
    let mut joined: Vec<Result<String, String>> = Vec::new();
    for piece in &theirs {
        match (piece, joined.last_mut()) {
            (rustc::Piece::Lit(more), Some(Ok(literal))) => literal.push_str(more),
            (rustc::Piece::Lit(literal), _) => joined.push(Ok((*literal).to_owned())),
            (rustc::Piece::NextArgument(argument), _) => joined.push(Err(their_words(argument))),
        }
    }
    let ours = ours.pieces.iter().map(|piece| match piece {
        Piece::Literal(literal) => Ok(literal.clone()),
        Piece::Placeholder(placeholder) => Err(our_words(placeholder)),
    });
    assert_eq!(ours.collect::<Vec<_>>(), joined, "{text:?}");
}

/// Refused in a later step: a field's dotted name, a spec by `format_args!`, a name that is none, an index that is
/// larger than any number of arguments.
fn fails_later(placeholder: &Placeholder) -> bool {
    !placeholder.spec.is_plain()
        || match &placeholder.arg {
            ArgRef::Name(name) => name.contains('.') || name == "_" || !name.is_ascii(),
            ArgRef::Index(index) => *index > usize::from(u16::MAX),
            ArgRef::Implicit(_) => false,
        }
}

fn their_words(argument: &rustc::Argument<'_>) -> String {
    let arg = match argument.position {
        rustc::Position::ArgumentImplicitlyIs(index) => format!("next {index}"),
        rustc::Position::ArgumentIs(index) => format!("{index}"),
        rustc::Position::ArgumentNamed(name) => name.to_owned(),
    };
    let spec = &argument.format;
    let count = |count: &rustc::Count<'_>| match count {
        rustc::Count::CountIs(count) => format!("{count}"),
        rustc::Count::CountIsName(name, _) => format!("{name}$"),
        rustc::Count::CountIsParam(index) => format!("{index}$"),
        rustc::Count::CountIsStar(index) => format!("next {index}$"),
        rustc::Count::CountImplied => String::new(),
    };
    let align = match spec.align {
        rustc::Alignment::AlignLeft => "<",
        rustc::Alignment::AlignRight => ">",
        rustc::Alignment::AlignCenter => "^",
        rustc::Alignment::AlignUnknown => "",
    };
    let sign = match spec.sign {
        Some(rustc::Sign::Plus) => "+",
        Some(rustc::Sign::Minus) => "-",
        None => "",
    };
    let hex = match spec.debug_hex {
        Some(rustc::DebugHex::Lower) => "x",
        Some(rustc::DebugHex::Upper) => "X",
        None => "",
    };
    let flags = format!(
        "{}{align}{sign}{}{}",
        spec.fill.map(String::from).unwrap_or_default(),
        if spec.alternate { "#" } else { "" },
        if spec.zero_pad { "0" } else { "" }
    );
    format!("{arg}: {flags} {} {} {hex}{}", count(&spec.width), count(&spec.precision), spec.ty)
}

fn our_words(placeholder: &Placeholder) -> String {
    let arg = |arg: &ArgRef| match arg {
        ArgRef::Implicit(index) => format!("next {index}"),
        ArgRef::Index(index) => format!("{index}"),
        ArgRef::Name(name) => name.clone(),
    };
    let count = |count: &Count| match count {
        Count::None => String::new(),
        // Zeros may stand in front.
        Count::Literal(digits) => digits.parse::<u16>().map_or(digits.clone(), |count| count.to_string()),
        Count::Arg(argument) => format!("{}$", arg(argument)),
    };
    let spec = &placeholder.spec;
    format!(
        "{}: {} {} {} {}",
        arg(&placeholder.arg),
        spec.flags,
        count(&spec.width),
        count(&spec.precision),
        spec.kind
    )
}

/// The text between quotes: what the compiler makes something of is the same here.
fn literal_as_the_compiler(text: &str) {
    let (mut value, mut fine) = (String::new(), true);
    rustc_literal_escaper::unescape_str(text, |_, char| match char {
        Ok(char) => value.push(char),
        Err(error) => fine &= !error.is_fatal(),
    });
    if fine {
        assert_eq!(unescape(&format!("\"{text}\"")), Some(Ok(value)), "{text:?}");
    }
}
