use super::*;

fn value(source: &str) -> Result<String, String> {
    unescape(source).expect("a string literal")
}

fn pieces(text: &str) -> Vec<Piece> {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).pieces
}

fn placeholder(text: &str) -> Placeholder {
    match pieces(text).pop() {
        Some(Piece::Placeholder(placeholder)) => placeholder,
        other => panic!("{text}: {other:?}"),
    }
}

fn error(text: &str) -> String {
    Template::parse(text).expect_err(text)
}

fn name(name: &str) -> ArgRef {
    ArgRef::Name(name.to_owned())
}

#[test]
fn escapes_mean_what_they_mean_to_the_compiler() {
    macro_rules! same {
        ($($literal:literal)*) => { $(assert_eq!(value(stringify!($literal)).as_deref(), Ok($literal));)* };
    }
    same!("" "plain" "\n\r\t\0\\\'\"" "\x41\x7f" "\u{41}\u{1F600}\u{1_F_6_0_0}" "ü {} 漢" r"raw \n" r#"a "quoted" \"# r##""#"##);
    same!("one \
           two" "three\
");
    assert_eq!(value("\"one\\\n\n \t two\"").as_deref(), Ok("onetwo"));
    assert_eq!(value("\"one\\\r\n   two\"").as_deref(), Ok("onetwo"));
}

#[test]
fn other_literals_are_not_strings() {
    for source in ["1", "'x'", "b\"x\"", "c\"x\"", "br\"x\"", "\"x\"suffix", "r\"x\"suffix", "1.5", "r#type"]
    {
        assert_eq!(unescape(source), None, "{source}");
    }
}

#[test]
fn wrong_escapes_are_refused() {
    for source in
        [r#""\q""#, r#""\x""#, r#""\x8""#, r#""\xff""#, r#""\u41""#, r#""\u{}""#, r#""\u{D800}""#, r#""\xü""#]
    {
        assert!(value(source).is_err(), "{source}");
    }
}

#[test]
fn doubled_braces_join_the_text_around_them() {
    assert_eq!(pieces("a{{b}}c"), [Piece::Literal("a{b}c".to_owned())]);
    assert_eq!(pieces(""), []);
    let empty = Placeholder { arg: ArgRef::Implicit(0), spec: Spec::default() };
    assert_eq!(
        pieces("{{{}}}"),
        [Piece::Literal("{".to_owned()), Piece::Placeholder(empty), Piece::Literal("}".to_owned())]
    );
}

#[test]
fn arguments_are_counted_as_the_standard_library_does() {
    let template = Template::parse("{} {0} {name} {:.*} {1:.*} {:1$}").expect("valid");
    let args = template.pieces.iter().filter_map(|piece| match piece {
        Piece::Placeholder(placeholder) => {
            Some((placeholder.arg.clone(), placeholder.spec.precision.clone()))
        }
        Piece::Literal(_) => None,
    });
    let args: Vec<_> = args.collect();
    let star = |index| Count::Arg(ArgRef::Implicit(index));
    let expected = [
        (ArgRef::Implicit(0), Count::None),
        (ArgRef::Index(0), Count::None),
        (name("name"), Count::None),
        (ArgRef::Implicit(2), star(1)),
        (ArgRef::Index(1), star(3)),
        (ArgRef::Implicit(4), Count::None),
    ];
    assert_eq!(args, expected);
    assert_eq!(template.implicit, 5);
}

#[test]
fn a_spec_keeps_flags_and_type_as_written() {
    let spec = |text: &str| {
        let spec = placeholder(text).spec;
        (spec.flags, spec.width, spec.precision, spec.kind)
    };
    let digits = |digits: &str| Count::Literal(digits.to_owned());
    let arg = |arg| Count::Arg(arg);
    let own = str::to_owned;
    assert_eq!(spec("{:*^+#012.3e}"), (own("*^+#0"), digits("12"), digits("3"), own("e")));
    assert_eq!(spec("{:<5}"), (own("<"), digits("5"), Count::None, own("")));
    assert_eq!(spec("{:<<5}"), (own("<<"), digits("5"), Count::None, own("")));
    assert_eq!(spec("{:}<5}"), (own("}<"), digits("5"), Count::None, own("")));
    assert_eq!(spec("{:漢>w$.p$x?}"), (own("漢>"), arg(name("w")), arg(name("p")), own("x?")));
    assert_eq!(spec("{:0$}"), (own(""), arg(ArgRef::Index(0)), Count::None, own("")));
    assert_eq!(spec("{:00$}"), (own("0"), arg(ArgRef::Index(0)), Count::None, own("")));
    assert_eq!(spec("{:x}"), (own(""), Count::None, Count::None, own("x")));
    assert_eq!(spec("{:x$X?}"), (own(""), arg(name("x")), Count::None, own("X?")));
    assert_eq!(spec("{:-}"), (own("-"), Count::None, Count::None, own("")));
    assert_eq!(spec("{name:#? }"), (own("#"), Count::None, Count::None, own("?")));
    assert_eq!(spec("{0 :?}"), (own(""), Count::None, Count::None, own("?")));
    assert_eq!(spec("{ \n:>5}"), (own(">"), digits("5"), Count::None, own("")));
    for plain in ["{}", "{ }", "{:}", "{ :}", "{:.}", "{0}", "{name}", "{name \n}"] {
        assert!(placeholder(plain).spec.is_plain(), "{plain}");
    }
}

#[test]
fn names_may_be_dotted_and_of_any_script() {
    assert_eq!(placeholder("{http.status}").arg, name("http.status"));
    assert_eq!(placeholder("{größe_2:?}").arg, name("größe_2"));
    assert_eq!(placeholder("{_x}").arg, name("_x"));
}

#[test]
fn mistakes_are_named() {
    assert!(error("{").starts_with("unclosed `{` in the template at `{`"));
    assert!(error("a {b and {c}").starts_with("unclosed `{` in the template at `{b and {c}`"));
    assert!(error("{:>5").starts_with("unclosed `{`"));
    assert!(error("a } b").starts_with("unmatched `}`"));
    assert!(error("{}}").starts_with("unmatched `}`"));
    assert!(error("{a + b}").starts_with("invalid placeholder `{a + b}`"));
    assert!(error("{foo()}").contains("give the value of an expression as an argument"));
    assert!(error("{a.}").starts_with("invalid placeholder `{a.}`"));
    assert!(error("{99999999999999999999999}").starts_with("invalid placeholder"));
    assert!(error("{:5 5}").contains("after the colon comes"));
    assert!(error("{:d}").starts_with("unknown format type `d` in `{:d}`"));
}
