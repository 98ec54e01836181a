//! The template: string literals as they stand in the source, and the standard library's format syntax.
//!
//! Text in, data out: nothing here needs the compiler. Errors are messages for the person who wrote the template.

/// What a template consists of.
#[derive(Debug, PartialEq)]
pub struct Template {
    pub pieces: Vec<Piece>,
    /// How many positional arguments `{}` and `.*` take.
    pub implicit: usize,
}

#[derive(Debug, PartialEq)]
pub enum Piece {
    /// Text between placeholders, never empty; two of them never follow each other.
    Literal(String),
    Placeholder(Placeholder),
}

/// `{arg:spec}`
#[derive(Debug, PartialEq)]
pub struct Placeholder {
    pub arg: ArgRef,
    pub spec: Spec,
}

/// Which argument is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgRef {
    /// `{}` and `.*`: by order.
    Implicit(usize),
    /// `{2}`
    Index(usize),
    /// `{name}`, also `{dotted.name}`
    Name(String),
}

/// What follows the colon; without one, everything is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// `[[fill]align][sign]['#']['0']`, as written.
    pub flags: String,
    pub width: Count,
    pub precision: Count,
    /// ``, `?`, `x?`, `X?`, `x`, `X`, `o`, `b`, `p`, `e` or `E`.
    pub kind: String,
}

impl Spec {
    /// Whether this is `{}`.
    pub fn is_plain(&self) -> bool {
        *self == Spec::default()
    }
}

/// A width or a precision.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Count {
    #[default]
    None,
    /// The digits.
    Literal(String),
    /// `width$`, `0$`, and `*` for a precision.
    Arg(ArgRef),
}

/// The value of a string literal, given as it stands in the source; `None` for any other kind of literal.
pub fn unescape(source: &str) -> Option<Result<String, String>> {
    if let Some(raw) = source.strip_prefix('r') {
        let body = raw.trim_start_matches('#');
        let end = format!("\"{}", &raw[..raw.len() - body.len()]);
        return Some(Ok(body.strip_prefix('"')?.strip_suffix(end.as_str())?.to_owned()));
    }
    let body = source.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let escape = rest.as_str();
        text.push(match rest.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('0') => '\0',
            Some(c @ ('\\' | '\'' | '"')) => c,
            Some('x') => match escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) if byte.is_ascii() => {
                    rest = escape[3..].chars();
                    char::from(byte)
                }
                _ => return Some(Err("invalid escape `\\x` in the template".to_owned())),
            },
            Some('u') => match unicode_escape(&escape[1..]) {
                Some((c, after)) => {
                    rest = after.chars();
                    c
                }
                None => return Some(Err("invalid escape `\\u` in the template".to_owned())),
            },
            Some('\n' | '\r') => {
                rest = rest.as_str().trim_start_matches([' ', '\n', '\t', '\r']).chars();
                continue;
            }
            other => {
                return Some(Err(format!("unknown escape `\\{}` in the template", other.unwrap_or(' '))));
            }
        });
    }
    Some(Ok(text))
}

/// Reads `{1F_600}`; also gives what follows it.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (digits, after) = text.strip_prefix('{')?.split_once('}')?;
    let code = u32::from_str_radix(&digits.replace('_', ""), 16).ok()?;
    Some((char::from_u32(code)?, after))
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parser = Parser { rest: text, implicit: 0 };
        let mut pieces = Vec::new();
        let mut literal = String::new();
        while let Some(at) = parser.rest.find(['{', '}']) {
            literal.push_str(&parser.rest[..at]);
            let from_brace = &parser.rest[at..];
            parser.rest = &from_brace[1..];
            if from_brace.starts_with("{{") || from_brace.starts_with("}}") {
                literal.push_str(&from_brace[..1]);
                parser.rest = &from_brace[2..];
            } else if from_brace.starts_with('}') {
                let message = "unmatched `}` in the template; for the character itself write `}}`";
                return Err(message.to_owned());
            } else {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let placeholder = parser.placeholder().map_err(|wrong| describe(from_brace, wrong))?;
                pieces.push(Piece::Placeholder(placeholder));
            }
        }
        literal.push_str(parser.rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template { pieces, implicit: parser.implicit })
    }
}

/// The message for a placeholder that could not be read, `from_brace` being the template from its `{` on.
fn describe(from_brace: &str, wrong: Wrong) -> String {
    let shown = |text: &str| match text.char_indices().nth(30) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    };
    let end = match from_brace[1..].find(['{', '}']) {
        Some(end) if from_brace[1 + end..].starts_with('}') => 1 + end,
        _ => {
            let at = shown(from_brace);
            return format!("unclosed `{{` in the template at `{at}`; for the character itself write `{{{{`");
        }
    };
    let placeholder = shown(&from_brace[..=end]);
    match wrong {
        Wrong::Argument => format!(
            "invalid placeholder `{placeholder}` in the template: it holds nothing, an index or a name; \
             give the value of an expression as an argument"
        ),
        Wrong::Spec => format!(
            "invalid placeholder `{placeholder}` in the template: after the colon comes \
             `[[fill]align][sign]['#']['0'][width]['.' precision][type]`"
        ),
        Wrong::Kind(kind) => format!(
            "unknown format type `{kind}` in `{placeholder}`; the types are nothing (Display), `?`, `x?`, `X?`, \
             `x`, `X`, `o`, `b`, `e`, `E` and `p`"
        ),
    }
}

/// What is wrong with a placeholder.
enum Wrong {
    Argument,
    Spec,
    Kind(String),
}

struct Parser<'a> {
    rest: &'a str,
    implicit: usize,
}

impl<'a> Parser<'a> {
    /// A placeholder, from behind its `{` to behind its `}`.
    fn placeholder(&mut self) -> Result<Placeholder, Wrong> {
        let arg = self.arg()?;
        self.rest = self.rest.trim_start();
        let spec = if self.eat(':') { self.spec()? } else { Spec::default() };
        self.rest = self.rest.trim_start();
        if !self.eat('}') {
            return Err(if spec.is_plain() { Wrong::Argument } else { Wrong::Spec });
        }
        // Only now: in `{:.*}` the precision comes before the value.
        let arg = arg.unwrap_or_else(|| self.next_implicit());
        Ok(Placeholder { arg, spec })
    }

    fn arg(&mut self) -> Result<Option<ArgRef>, Wrong> {
        let digits = self.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() {
            return digits.parse().map(|index| Some(ArgRef::Index(index))).map_err(|_| Wrong::Argument);
        }
        let mut name = self.name().to_owned();
        while !name.is_empty() && self.eat('.') {
            match self.name() {
                "" => return Err(Wrong::Argument),
                segment => name = format!("{name}.{segment}"),
            }
        }
        Ok((!name.is_empty()).then_some(ArgRef::Name(name)))
    }

    fn spec(&mut self) -> Result<Spec, Wrong> {
        let start = self.rest;
        let mut chars = start.chars();
        let is_align = |c| matches!(c, Some('<' | '^' | '>'));
        match (chars.next(), chars.next()) {
            (Some(_), second) if is_align(second) => self.rest = chars.as_str(),
            (first, _) if is_align(first) => self.rest = &start[1..],
            _ => {}
        }
        let _ = self.eat('+') || self.eat('-');
        self.eat('#');
        // `0$` is a width, taken from argument 0.
        if !self.rest.starts_with("0$") {
            self.eat('0');
        }
        let flags = start[..start.len() - self.rest.len()].to_owned();
        let width = self.count()?;
        let mut precision = Count::None;
        if self.eat('.') {
            precision = if self.eat('*') { Count::Arg(self.next_implicit()) } else { self.count()? };
        }
        let mut kind = self.name().to_owned();
        if self.eat('?') {
            kind.push('?');
        }
        match kind.as_str() {
            "" | "?" | "x?" | "X?" | "x" | "X" | "o" | "b" | "p" | "e" | "E" => {
                Ok(Spec { flags, width, precision, kind })
            }
            _ => Err(Wrong::Kind(kind)),
        }
    }

    /// `12`, `12$`, `name$` or nothing.
    fn count(&mut self) -> Result<Count, Wrong> {
        let start = self.rest;
        let digits = self.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() {
            if !self.eat('$') {
                return Ok(Count::Literal(digits.to_owned()));
            }
            return digits.parse().map(|index| Count::Arg(ArgRef::Index(index))).map_err(|_| Wrong::Spec);
        }
        let name = self.name();
        if !name.is_empty() && self.eat('$') {
            return Ok(Count::Arg(ArgRef::Name(name.to_owned())));
        }
        self.rest = start;
        Ok(Count::None)
    }

    /// An identifier, or nothing.
    fn name(&mut self) -> &'a str {
        if !self.rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return "";
        }
        self.take_while(|c| c.is_alphanumeric() || c == '_')
    }

    fn next_implicit(&mut self) -> ArgRef {
        self.implicit += 1;
        ArgRef::Implicit(self.implicit - 1)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
#[path = "template/tests.rs"] // the same whoever includes this file
mod tests;
