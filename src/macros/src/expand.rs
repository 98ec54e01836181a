//! From a log statement to its code: a static that describes it, a level check, and one call with the encoded values.
//!
//! Our own names have the macro's hygiene (`mixed_site`), so that they never meet the user's; those that stand for an
//! argument are located at it, so that a type error points there.

use crate::Error;
use crate::parse::{Argument, Call, Sigil};
use crate::quote::{Tokens, group, number, quote, string};
use crate::template::{ArgRef, Count, Piece, Spec};
use proc_macro::{Delimiter, Ident, Span, TokenStream, TokenTree};

/// The most values that a record holds.
const MAX_VALUES: usize = 32;

pub fn expand(call: &Call) -> Result<TokenStream, Error> {
    let plan = Plan::new(call)?;
    let span = Span::mixed_site();
    let krate = &call.krate[..];
    let level = quote(span, "$0::Level::$1", &[krate, &[call.level.clone().into()]]);
    let target = match &call.target {
        Some(_) => quote(span, "target", &[]),
        None => quote(span, "&$0::__private::DEFAULT", &[krate]),
    };
    let values = plan.values(call);
    let mut code = if call.on {
        quote(span, "$0::__private::log($1, &KAKASHI_CALLSITE, $2);", &[krate, &target, &values])
    } else {
        quote(span, "let _ = $0;", &[&values])
    };
    if !plan.args.is_empty() {
        code = plan.with_args(krate, &code);
    }
    if let Some(target) = &call.target {
        let check = "match &($0) { target => if $1::__private::Target::wants(target, $2, $3) { $4 } }";
        let switch = quote(span, if call.on { "switch" } else { "0" }, &[]);
        code = quote(span, check, &[target, krate, &switch, &level, &code]);
    }
    let code = if call.on {
        let callsite = plan.callsite(call, &level);
        quote(
            span,
            "{ $0 let switch = KAKASHI_CALLSITE.switch(); if 0 < switch { $1 } }",
            &[&callsite, &code],
        )
    } else {
        quote(span, "{ if false { $0 } }", &[&code])
    };
    Ok(TokenStream::from_iter(code))
}

/// One encoded value of a record; arguments are given by their index.
#[derive(PartialEq)]
enum Value {
    /// `{}`, also for a field without a sigil that the template names.
    Plain(usize),
    /// A field without a sigil.
    Field(usize),
    /// What needs `core::fmt`.
    Formatted { arg: usize, flags: String, width: Size, precision: Size, kind: String },
}

/// A width or a precision.
#[derive(PartialEq)]
enum Size {
    None,
    Literal(String),
    Arg(usize),
}

/// What a log statement's record holds.
struct Plan {
    args: Vec<Arg>,
    values: Vec<Value>,
    /// Literal text, and indices of values.
    pieces: Vec<Result<String, usize>>,
    fields: Vec<Field>,
}

/// An expression that is evaluated once.
struct Arg {
    key: Option<String>,
    sigil: Sigil,
    expr: Tokens,
    span: Span,
    /// Whether the template uses it.
    used: bool,
}

struct Field {
    name: String,
    value: usize,
    in_message: bool,
}

impl Plan {
    fn new(call: &Call) -> Result<Plan, Error> {
        let positional = call.args.iter().take_while(|arg| arg.key.is_none()).count();
        check_count(call, positional)?;
        let args = call.args.iter().map(|arg| Arg {
            key: arg.key.clone(),
            sigil: arg.sigil,
            expr: arg.value.clone(),
            span: arg.span().0,
            used: false,
        });
        let mut plan =
            Plan { args: args.collect(), values: Vec::new(), pieces: Vec::new(), fields: Vec::new() };
        for piece in &call.template.pieces {
            let piece = match piece {
                Piece::Literal(text) => Ok(text.clone()),
                Piece::Placeholder(placeholder) => {
                    let (width, precision) = (&placeholder.spec.width, &placeholder.spec.precision);
                    let width = plan.size(width, call, positional)?;
                    let precision = plan.size(precision, call, positional)?;
                    let arg = plan.resolve(&placeholder.arg, call, positional)?;
                    let value = plan.in_message(arg, &placeholder.spec, width, precision);
                    Err(plan.index_of(value))
                }
            };
            plan.pieces.push(piece);
        }
        if let Some(index) = plan.args[..positional].iter().position(|arg| !arg.used) {
            return Err(unused(&call.args[index], index));
        }
        for index in positional..call.args.len() {
            plan.add_field(index);
        }
        if plan.values.len() > MAX_VALUES {
            let message = format!(
                "this log statement has {} values; a record holds at most {MAX_VALUES}",
                plan.values.len()
            );
            return Err(Error::new(message, (call.text_span, call.text_span)));
        }
        Ok(plan)
    }

    /// The index of the argument that `arg` means; a name that is no key captures a variable.
    fn resolve(&mut self, arg: &ArgRef, call: &Call, positional: usize) -> Result<usize, Error> {
        let at_text = |message| Error::new(message, (call.text_span, call.text_span));
        let index = match arg {
            ArgRef::Implicit(index) | ArgRef::Index(index) if *index < positional => *index,
            ArgRef::Implicit(index) | ArgRef::Index(index) => {
                return Err(at_text(format!(
                    "the template uses positional argument {index} (counted from 0), but {} given",
                    amount(positional)
                )));
            }
            ArgRef::Name(name) => match self.args.iter().position(|arg| arg.key.as_ref() == Some(name)) {
                Some(index) => index,
                None => {
                    let ident = capture(name, call.text_span).map_err(at_text)?;
                    let (key, expr) = (Some(name.clone()), vec![ident.into()]);
                    self.args.push(Arg { key, sigil: Sigil::None, expr, span: call.text_span, used: false });
                    self.args.len() - 1
                }
            },
        };
        self.args[index].used = true;
        Ok(index)
    }

    fn size(&mut self, count: &Count, call: &Call, positional: usize) -> Result<Size, Error> {
        Ok(match count {
            Count::None => Size::None,
            Count::Literal(digits) => Size::Literal(digits.clone()),
            Count::Arg(arg) => Size::Arg(self.resolve(arg, call, positional)?),
        })
    }

    fn in_message(&self, arg: usize, spec: &Spec, width: Size, precision: Size) -> Value {
        if spec.is_plain() {
            return self.by_sigil(arg).unwrap_or(Value::Plain(arg));
        }
        Value::Formatted { arg, flags: spec.flags.clone(), width, precision, kind: spec.kind.clone() }
    }

    /// The value that the field's sigil asks for, if it has one.
    fn by_sigil(&self, arg: usize) -> Option<Value> {
        let kind = match self.args[arg].sigil {
            Sigil::None => return None,
            Sigil::Debug => "?",
            Sigil::Display => "",
        };
        let (flags, kind) = (String::new(), kind.to_owned());
        Some(Value::Formatted { arg, flags, width: Size::None, precision: Size::None, kind })
    }

    fn add_field(&mut self, arg: usize) {
        let plain = self.values.contains(&Value::Plain(arg));
        let by_type = if plain { Value::Plain(arg) } else { Value::Field(arg) };
        let value = self.by_sigil(arg).unwrap_or(by_type);
        let value = self.index_of(value);
        let name = self.args[arg].key.clone().unwrap_or_default();
        self.fields.push(Field { name, value, in_message: self.args[arg].used });
    }

    /// Where the value stands in the record; equal ones are encoded once.
    fn index_of(&mut self, value: Value) -> usize {
        self.values.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }

    /// `(v0, (v1, ()))`
    fn values(&self, call: &Call) -> Tokens {
        let span = Span::mixed_site();
        self.values.iter().rev().fold(quote(span, "()", &[]), |rest, value| {
            quote(span, "($0, $1)", &[&self.value(value, call), &rest])
        })
    }

    fn value(&self, value: &Value, call: &Call) -> Tokens {
        let krate = &call.krate[..];
        match value {
            Value::Plain(arg) => quote(
                self.span(*arg),
                "(&$0::__private::Probe($1)).kakashi_plain()",
                &[krate, &[self.name(*arg)]],
            ),
            Value::Field(arg) => quote(
                self.span(*arg),
                "(&&&$0::__private::Probe($1)).kakashi_field()",
                &[krate, &[self.name(*arg)]],
            ),
            Value::Formatted { arg, flags, width, precision, kind } => {
                let span = self.span(*arg);
                // `&T` formats as `T` does, also if `T` is unsized; a pointer's address is its own only without the `&`.
                let deref = if kind == "p" { "*$0" } else { "$0" };
                let mut args = quote(span, deref, &[&[self.name(*arg)]]);
                let mut next = 1;
                let mut size = |size: &Size| match size {
                    Size::None => String::new(),
                    Size::Literal(digits) => digits.clone(),
                    Size::Arg(arg) => {
                        args.extend(quote(self.span(*arg), ", *$0", &[&[self.name(*arg)]]));
                        next += 1;
                        format!("{}$", next - 1)
                    }
                };
                let width_text = size(width);
                let precision_text = match precision {
                    Size::None => String::new(),
                    precision => format!(".{}", size(precision)),
                };
                let spec = format!("{{0:{flags}{width_text}{precision_text}{kind}}}");
                let spec = string(Span::mixed_site().located_at(call.text_span), &spec);
                let how = if kind.ends_with('?') { "debug" } else { "display" };
                let how = Ident::new(how, span).into();
                let code = "$0::__private::Formatted::$1(::core::format_args!($2, $3))";
                let formatted = quote(span, code, &[krate, &[how], &[spec], &args]);
                if !matches!(kind.as_str(), "" | "x" | "X") {
                    return formatted;
                }
                let size = |size: &Size, none: &str| match size {
                    Size::None => quote(span, none, &[krate]),
                    Size::Literal(digits) => quote(span, digits, &[]),
                    Size::Arg(arg) => quote(
                        self.span(*arg),
                        "(&$0::__private::Probe($1)).kakashi_size()",
                        &[krate, &[self.name(*arg)]],
                    ),
                };
                let code = "(&$0::__private::Probe($1)).kakashi_spec(
                    const { $0::__private::Spec::new($2, $3) }.sized($4, $5), $6
                )";
                quote(
                    span,
                    code,
                    &[
                        krate,
                        &[self.name(*arg)],
                        &[string(span, flags)],
                        &[string(span, kind)],
                        &size(width, "0"),
                        &size(precision, "$0::__private::Spec::NONE"),
                        &formatted,
                    ],
                )
            }
        }
    }

    /// Evaluates the arguments around `code`.
    fn with_args(&self, krate: &[TokenTree], code: &[TokenTree]) -> Tokens {
        let span = Span::mixed_site();
        let (mut exprs, mut names) = (Tokens::new(), Tokens::new());
        for (index, arg) in self.args.iter().enumerate() {
            exprs.extend(quote(self.span(index), "&($0),", &[&arg.expr]));
            names.extend(quote(span, "$0,", &[&[self.name(index)]]));
        }
        let traits = "FieldDisplay as _, FieldOption as _, FieldValue as _, PlainDisplay as _, PlainValue as _, \
             SizeAny as _, SizeKnown as _, SpecAny as _, SpecKnown as _";
        let code = [
            quote(span, "#[allow(unused_imports)] use $0::__private::", &[krate]),
            vec![group(span, Delimiter::Brace, quote(span, traits, &[]))],
            quote(span, "; $0", &[code]),
        ];
        quote(span, "match ($0) { ($1) => { $2 } }", &[&exprs, &names, &code.concat()])
    }

    /// The static that describes the log statement.
    fn callsite(&self, call: &Call, level: &[TokenTree]) -> Tokens {
        let span = Span::mixed_site();
        let krate = &call.krate[..];
        let mut pieces = Tokens::new();
        for piece in &self.pieces {
            pieces.extend(match piece {
                Ok(text) => {
                    quote(span, "$0::__private::Piece::Literal($1),", &[krate, &[string(span, text)]])
                }
                Err(value) => {
                    quote(span, "$0::__private::Piece::Value($1),", &[krate, &[number(span, *value)]])
                }
            });
        }
        let mut fields = Tokens::new();
        for field in &self.fields {
            let name = string(span, &field.name);
            let value = number(span, field.value);
            let in_message = Ident::new(if field.in_message { "true" } else { "false" }, span);
            fields.extend(quote(
                span,
                "$0::__private::Field { name: $1, value: $2, in_message: $3 },",
                &[krate, &[name], &[value], &[in_message.into()]],
            ));
        }
        let targeted = Ident::new(if call.target.is_some() { "true" } else { "false" }, span);
        quote(
            span,
            "#[used]
            #[unsafe(link_section = $0)]
            static KAKASHI_CALLSITE: $1::__private::Callsite = $1::__private::Callsite::new(
                $2, $3, ::core::module_path!(), ::core::file!(), ::core::line!(), $4, &[$5], &[$6], $7
            );",
            &[
                &[string(span, "kakashi_callsites_0_1")],
                krate,
                level,
                &[targeted.into()],
                &[string(span, &call.text)],
                &pieces,
                &fields,
                &[number(span, self.values.len())],
            ],
        )
    }

    /// The name of the reference to an argument.
    fn name(&self, arg: usize) -> TokenTree {
        Ident::new(&format!("v{arg}"), self.span(arg)).into()
    }

    /// Our hygiene, the argument's place.
    fn span(&self, arg: usize) -> Span {
        Span::mixed_site().located_at(self.args[arg].span)
    }
}

/// Too few arguments for the `{}` of the template.
fn check_count(call: &Call, positional: usize) -> Result<(), Error> {
    let wanted = call.template.implicit;
    if wanted <= positional {
        return Ok(());
    }
    let plural = if wanted == 1 { "" } else { "s" };
    let given = amount(positional);
    let mut message =
        format!("the template takes {wanted} positional argument{plural} (`{{}}`), but {given} given");
    if let Some(field) = call.args.iter().find_map(|arg| arg.key.as_ref()) {
        message += &format!("; to show a field in the text, name it: `{{{field}}}`");
    }
    Err(Error::new(message, (call.text_span, call.text_span)))
}

/// A positional argument that the template does not use.
fn unused(arg: &Argument, index: usize) -> Error {
    let key = match &arg.value[..] {
        [TokenTree::Ident(name)] => name.to_string(),
        _ => "key".to_owned(),
    };
    let value = TokenStream::from_iter(arg.value.iter().cloned());
    let message = format!(
        "the template does not use positional argument {index} (counted from 0); add a `{{}}` for it, \
         or make it a field: `{key} = {value}`"
    );
    Error::new(message, arg.span())
}

fn amount(positional: usize) -> String {
    match positional {
        1 => "1 argument is".to_owned(),
        n => format!("{n} arguments are"),
    }
}

/// The variable that an inline `{name}` captures, as seen from where the template was written.
fn capture(name: &str, span: Span) -> Result<Ident, String> {
    if name.contains('.') {
        return Err(format!(
            "`{{{name}}}` is no field of this log statement; add `{name} = value` or use a plain variable"
        ));
    }
    if KEYWORDS.contains(&name) {
        return Ok(Ident::new_raw(name, span));
    }
    // Unlike `Ident::new`, the lexer does not panic at a character that no identifier has.
    let mut tokens = name.parse::<TokenStream>().into_iter().flatten();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(mut ident)), None) if name != "_" => {
            ident.set_span(span);
            Ok(ident)
        }
        _ => Err(format!("`{name}` in the template is not a variable's name")),
    }
}

/// The keywords that a variable can have for a name, as `r#name`.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
