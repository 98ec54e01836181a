//! Rust code as text with holes, turned into tokens.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use std::{iter::Peekable, str::Chars};

pub type Tokens = Vec<TokenTree>;

/// The tokens of `code`, all at `span`; `$0` to `$9` stand for the `holes`, which keep their own spans.
///
/// Knows what the expansions need: words, decimal numbers, punctuation (`::` and `=>` joined) and brackets.
pub fn quote(span: Span, code: &str, holes: &[&[TokenTree]]) -> Tokens {
    let mut rest = code.chars().peekable();
    let tokens = until_closed(span, &mut rest, holes);
    debug_assert!(rest.next().is_none(), "brackets do not match in {code}");
    tokens
}

/// A string literal.
pub fn string(span: Span, text: &str) -> TokenTree {
    let mut literal = Literal::string(text);
    literal.set_span(span);
    literal.into()
}

/// An integer literal without a suffix.
pub fn number(span: Span, n: usize) -> TokenTree {
    let mut literal = Literal::usize_unsuffixed(n);
    literal.set_span(span);
    literal.into()
}

/// `tokens` within brackets.
pub fn group(span: Span, delimiter: Delimiter, tokens: impl IntoIterator<Item = TokenTree>) -> TokenTree {
    let mut group = Group::new(delimiter, TokenStream::from_iter(tokens));
    group.set_span(span);
    group.into()
}

fn until_closed(span: Span, rest: &mut Peekable<Chars<'_>>, holes: &[&[TokenTree]]) -> Tokens {
    let mut out = Tokens::new();
    while let Some(c) = rest.next() {
        let bracket = |rest: &mut _, delimiter| group(span, delimiter, until_closed(span, rest, holes));
        match c {
            ')' | ']' | '}' => break,
            '(' => out.push(bracket(rest, Delimiter::Parenthesis)),
            '[' => out.push(bracket(rest, Delimiter::Bracket)),
            '{' => out.push(bracket(rest, Delimiter::Brace)),
            '$' => {
                let hole = rest.next().and_then(|c| c.to_digit(10)).expect("`$` and a digit");
                out.extend_from_slice(holes[hole as usize]);
            }
            c if c.is_whitespace() => {}
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|&c| is_word(c)) {
                    word.push(c);
                }
                out.push(match word.parse() {
                    Ok(n) => number(span, n),
                    Err(_) => Ident::new(&word, span).into(),
                });
            }
            c => {
                let joint = matches!((c, rest.peek()), (':', Some(':')) | ('=', Some('>')));
                let mut punct = Punct::new(c, if joint { Spacing::Joint } else { Spacing::Alone });
                punct.set_span(span);
                out.push(punct.into());
            }
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
