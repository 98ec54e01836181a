//! The arguments of a log statement: `[target,] "template" [, positional]* [, key = value]*`.

use crate::template::{self, Template};
use crate::{Error, quote::Tokens};
use proc_macro::{Delimiter, Ident, Literal, Spacing, Span, TokenStream, TokenTree};

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 16 * 1024;

/// A log statement.
pub struct Call {
    /// The path of the `kakashi` crate.
    pub krate: Tokens,
    /// Whether the level is compiled in.
    pub on: bool,
    pub level: Ident,
    pub target: Option<Tokens>,
    pub text: String,
    /// Where the template stands; its captures resolve here.
    pub text_span: Span,
    pub template: Template,
    /// The positional arguments, then the fields.
    pub args: Vec<Argument>,
}

pub struct Argument {
    /// A field's key.
    pub key: Option<String>,
    pub sigil: Sigil,
    pub value: Tokens,
}

impl Argument {
    /// From the value's first token to its last.
    pub fn span(&self) -> (Span, Span) {
        span_of(&self.value)
    }
}

/// How a field's value is written.
#[derive(Clone, Copy, PartialEq)]
pub enum Sigil {
    /// `key = value`: by its type.
    None,
    /// `key = ?value`
    Debug,
    /// `key = %value`
    Display,
}

/// Reads `(CRATE) on|off LEVEL (ARGUMENTS)`, and `(FIELDS)` that come behind the arguments.
pub fn parse(input: TokenStream) -> Result<Call, Error> {
    let input: Tokens = input.into_iter().collect();
    let [
        TokenTree::Group(krate),
        TokenTree::Ident(state),
        TokenTree::Ident(level),
        TokenTree::Group(args),
        more @ ..,
    ] = &input[..]
    else {
        return Err(Error::new(
            "this macro is not for direct use; call `kakashi::info!` and its siblings",
            here(),
        ));
    };
    let mut items = split(args.stream())?;
    if let [TokenTree::Group(more)] = more {
        items.extend(split(more.stream())?);
    }
    let mut items = items.into_iter();
    let first = items.next().unwrap_or_default();
    let (target, literal) = match string_literal(&first) {
        Some(literal) => (None, literal),
        None => {
            let second = items.next().unwrap_or_default();
            let literal = string_literal(&second).filter(|_| may_be_target(&first));
            let literal = literal.ok_or_else(|| no_template(&first, &second))?;
            (Some(first), literal)
        }
    };
    let text_span = literal.span();
    let at_text = |message: String| Error::new(message, (text_span, text_span));
    let text = template::unescape(&literal.to_string())
        .unwrap_or_else(|| Err(NOT_A_STRING.to_owned()))
        .map_err(at_text)?;
    if text.len() > MAX_TEMPLATE {
        return Err(at_text(format!("the template has {} bytes; the most is {MAX_TEMPLATE}", text.len())));
    }
    let template = Template::parse(&text).map_err(at_text)?;
    Ok(Call {
        krate: krate.stream().into_iter().collect(),
        on: state.to_string() == "on",
        level: level.clone(),
        target,
        text,
        text_span,
        template,
        args: arguments(items)?,
    })
}

const NOT_A_STRING: &str =
    "the template must be a string literal; log other text as its argument: `\"{}\", text`";

/// Whether `first` is an expression, not a field nor `target: ...`.
fn may_be_target(first: &[TokenTree]) -> bool {
    key(first).is_none() && !is_labelled(first)
}

/// `name: ...`, other than a path.
fn is_labelled(first: &[TokenTree]) -> bool {
    matches!(first, [TokenTree::Ident(_), TokenTree::Punct(colon), ..]
        if colon.as_char() == ':' && colon.spacing() == Spacing::Alone)
}

/// Says why `first, second` is not the beginning of a log statement.
fn no_template(first: &[TokenTree], second: &[TokenTree]) -> Error {
    match first {
        [] => Error::new("the template is missing: a log statement begins with a string literal", here()),
        [label, ..] if is_labelled(first) => {
            let message =
                format!("`{label}:` is not known; give a channel or a logger as the first argument");
            Error::new(message, span_of(first))
        }
        _ if key(first).is_some() => {
            let message =
                "the template is missing: it comes before the fields, as in `\"text\", key = value`";
            Error::new(message, span_of(first))
        }
        [TokenTree::Literal(_)] => Error::new(NOT_A_STRING, span_of(first)),
        [literal, rest @ ..] if string_literal(std::slice::from_ref(literal)).is_some() => {
            let message =
                "the template must be a string literal and nothing else; a comma stands between arguments";
            Error::new(message, span_of(rest))
        }
        _ if second.is_empty() => {
            let message = format!("{NOT_A_STRING}; behind a channel or a logger, the template is missing");
            Error::new(message, span_of(first))
        }
        _ => Error::new(NOT_A_STRING, span_of(second)),
    }
}

/// The positional arguments and the fields behind the template.
fn arguments(items: impl Iterator<Item = Tokens>) -> Result<Vec<Argument>, Error> {
    let mut args: Vec<Argument> = Vec::new();
    for item in items {
        if let [TokenTree::Punct(sigil), value @ ..] = &item[..]
            && matches!(sigil.as_char(), '?' | '%')
        {
            let name = match value {
                [TokenTree::Ident(name)] => name.to_string(),
                _ => "name".to_owned(),
            };
            let value = TokenStream::from_iter(value.iter().cloned());
            let message = format!("a field needs a name: `{name} = {sigil}{value}`");
            return Err(Error::new(message, span_of(&item)));
        }
        let Some((name, length)) = key(&item) else {
            if args.iter().any(|arg| arg.key.is_some()) {
                let message = "positional arguments come before `key = value` fields; move this one there or give it a name";
                return Err(Error::new(message, span_of(&item)));
            }
            args.push(Argument { key: None, sigil: Sigil::None, value: item });
            continue;
        };
        let key_span = span_of(&item[..length]);
        if args.iter().any(|arg| arg.key.as_ref() == Some(&name)) {
            return Err(Error::new(
                format!("the key `{name}` is given twice; rename one of the fields"),
                key_span,
            ));
        }
        let (sigil, value) = match &item[length + 1..] {
            [TokenTree::Punct(sigil), value @ ..] if sigil.as_char() == '?' => (Sigil::Debug, value),
            [TokenTree::Punct(sigil), value @ ..] if sigil.as_char() == '%' => (Sigil::Display, value),
            value => (Sigil::None, value),
        };
        if value.is_empty() {
            return Err(Error::new(
                format!("the field `{name}` has no value; write `{name} = value`"),
                key_span,
            ));
        }
        args.push(Argument { key: Some(name), sigil, value: value.to_vec() });
    }
    Ok(args)
}

/// The key of `key = value` and the number of tokens it takes.
fn key(item: &[TokenTree]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 0;
    loop {
        let TokenTree::Ident(segment) = item.get(at)? else { return None };
        let segment = segment.to_string();
        name.push_str(segment.strip_prefix("r#").unwrap_or(&segment));
        let TokenTree::Punct(punct) = item.get(at + 1)? else { return None };
        match punct.as_char() {
            '.' => name.push('.'),
            '=' if punct.spacing() == Spacing::Joint && is_punct(item.get(at + 2)?, '=') => return None,
            '=' => return Some((name, at + 1)),
            _ => return None,
        }
        at += 2;
    }
}

/// The string literal that `item` consists of, be it passed through `$t:literal` of another macro.
fn string_literal(item: &[TokenTree]) -> Option<Literal> {
    match item {
        [TokenTree::Literal(literal)] => literal.to_string().starts_with(['"', 'r']).then(|| literal.clone()),
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => {
            string_literal(&group.stream().into_iter().collect::<Tokens>())
        }
        _ => None,
    }
}

/// Splits at the commas between expressions; a comma within generic arguments is none of them.
fn split(args: TokenStream) -> Result<Vec<Tokens>, Error> {
    let mut items = Vec::new();
    let mut item = Tokens::new();
    let mut position = Position::default();
    for token in args {
        if position.angles == 0 && is_punct(&token, ',') {
            if item.is_empty() {
                return Err(Error::new(
                    "an argument is missing before this comma",
                    (token.span(), token.span()),
                ));
            }
            items.push(std::mem::take(&mut item));
            position = Position::default();
        } else {
            position.advance(&token);
            item.push(token);
        }
    }
    if !item.is_empty() {
        items.push(item);
    }
    Ok(items)
}

/// What has been read of an expression, as far as it tells whether `<` compares or opens generic arguments.
#[derive(Default)]
struct Position {
    /// Open generic arguments.
    angles: usize,
    /// An operand is complete: an operator follows.
    operand: bool,
    /// Behind `as` or `->`: a type is being read.
    in_type: bool,
    /// The punctuation that this token touches.
    before: Option<char>,
}

impl Position {
    fn advance(&mut self, token: &TokenTree) {
        let before = self.before.take();
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                self.in_type |= word == "as";
                self.operand = !EXPECTS_OPERAND.contains(&word.as_str());
            }
            TokenTree::Literal(_) | TokenTree::Group(_) => self.operand = true,
            TokenTree::Punct(punct) => {
                let c = punct.as_char();
                match (before, c) {
                    (Some('-'), '>') => (self.operand, self.in_type) = (false, true),
                    (Some('='), '>') => self.operand = false,
                    // A shift, whose first half opened nothing.
                    (Some('<'), '<') if self.angles == 0 => {}
                    (_, '<') if self.angles > 0 || !self.operand || self.in_type => {
                        self.angles += 1;
                        self.operand = false;
                    }
                    (_, '>') if self.angles > 0 => {
                        self.angles -= 1;
                        self.operand = true;
                        self.in_type = false;
                    }
                    // A path goes on, in a type as well as in an expression.
                    (_, ':') => self.operand = false,
                    // The operator `?` completes an operand.
                    (_, '?') if self.operand => {}
                    _ => {
                        self.in_type &= !self.operand;
                        self.operand = false;
                    }
                }
                self.before = (punct.spacing() == Spacing::Joint).then_some(c);
            }
        }
    }
}

/// The keywords behind which an expression or a type begins.
const EXPECTS_OPERAND: &[&str] = &[
    "as", "break", "const", "dyn", "else", "if", "in", "let", "match", "move", "mut", "return", "static",
    "unsafe", "while", "yield",
];

fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

/// From the first token to the last.
fn span_of(tokens: &[TokenTree]) -> (Span, Span) {
    match tokens {
        [first, .., last] => (first.span(), last.span()),
        [only] => (only.span(), only.span()),
        [] => here(),
    }
}

/// The whole log statement, for want of a better place.
fn here() -> (Span, Span) {
    (Span::call_site(), Span::call_site())
}
