//! The procedural macro behind `kakashi-log`'s log macros. It has no interface of its own: use `kakashi::info!` and its
//! siblings.
//!
//! A call is read in three steps: `parse` splits the arguments, `template` reads the format string (text only, so that it
//! can be tested without a compiler), `expand` decides which values a record holds and writes the code.
//! There is no dependency on `syn` or `quote`: every crate that logs would wait for them.

mod expand;
mod parse;
mod quote;
mod template;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Expands one log statement: `(CRATE) on|off LEVEL (ARGUMENTS)`, and `(FIELDS)` that come behind the arguments.
///
/// `off` is for levels that are compiled out: the arguments are still type-checked, and nothing is left at run time.
#[doc(hidden)]
#[proc_macro]
pub fn emit(input: TokenStream) -> TokenStream {
    match parse::parse(input).and_then(|call| expand::expand(&call)) {
        Ok(code) => code,
        Err(error) => error.into_tokens(),
    }
}

/// A mistake in a log statement and where it stands.
struct Error {
    message: String,
    start: Span,
    end: Span,
}

impl Error {
    fn new(message: impl Into<String>, (start, end): (Span, Span)) -> Self {
        Error { message: message.into(), start, end }
    }

    /// `::core::compile_error! { "message" }`; the compiler underlines from the first token to the last.
    fn into_tokens(self) -> TokenStream {
        let punct = |c, spacing| {
            let mut punct = Punct::new(c, spacing);
            punct.set_span(self.start);
            TokenTree::from(punct)
        };
        let mut message = Literal::string(&self.message);
        message.set_span(self.end);
        let mut body = Group::new(Delimiter::Brace, TokenTree::from(message).into());
        body.set_span(self.end);
        TokenStream::from_iter([
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            Ident::new("core", self.start).into(),
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            Ident::new("compile_error", self.start).into(),
            punct('!', Spacing::Alone),
            body.into(),
        ])
    }
}
