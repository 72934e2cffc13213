//! After the tables of RFC 9651, 3 and 4.2.

use proptest::prelude::*;

use super::super::headers;
use super::*;

const FIELD: HeaderName = HeaderName::from_static("x-field");

fn list_of(lines: &[&str]) -> Result<Vec<Member>, Malformed> {
    let lines: Vec<_> = lines.iter().map(|line| ("x-field", *line)).collect();
    list(&headers(&lines), &FIELD)
}

fn dictionary_of(lines: &[&str]) -> Result<Vec<(String, Member)>, Malformed> {
    let lines: Vec<_> = lines.iter().map(|line| ("x-field", *line)).collect();
    dictionary(&headers(&lines), &FIELD)
}

fn token(text: &str) -> Bare {
    Bare::Token(text.to_owned())
}

fn string(text: &str) -> Bare {
    Bare::String(text.to_owned())
}

fn item(bare: Bare) -> Member {
    Member::Item(bare, Vec::new())
}

#[test]
fn bare_items_are_of_their_kinds() {
    for (text, expected) in [
        ("0", Bare::Integer(0)),
        ("-0", Bare::Integer(0)),
        ("42", Bare::Integer(42)),
        ("-42", Bare::Integer(-42)),
        ("007", Bare::Integer(7)),
        ("999999999999999", Bare::Integer(999_999_999_999_999)),
        ("4.5", Bare::Other),
        ("-123456789012.123", Bare::Other),
        ("\"hello world\"", string("hello world")),
        ("\"\"", string("")),
        ("\"b\\\\c\\\"d\"", string("b\\c\"d")),
        ("foo123/456", token("foo123/456")),
        ("*foo:bar", token("*foo:bar")),
        ("A!#$%&'*+-.^_`|~", token("A!#$%&'*+-.^_`|~")),
        ("?1", Bare::Boolean(true)),
        ("?0", Bare::Boolean(false)),
        (":cHJldGVuZA==:", Bare::Other),
        ("::", Bare::Other),
        ("@1659578233", Bare::Other),
        ("%\"This is intended for display to %c3%bcsers.\"", Bare::Other),
    ] {
        assert_eq!(list_of(&[text]), Ok(vec![item(expected)]), "{text}");
    }
}

#[test]
fn lists_are_split_at_their_commas() {
    let ab = Ok(vec![item(token("a")), item(token("b"))]);
    for lines in [&["a,b"][..], &["a, b"], &["a \t,\t b"], &["  a, b  "], &["a", "b"]] {
        assert_eq!(list_of(lines), ab, "{lines:?}");
    }
    for lines in [&[][..], &[""], &["  "]] {
        assert_eq!(list_of(lines), Ok(vec![]), "{lines:?}");
    }
    assert_eq!(
        list_of(&["\"a, b\", (\"c\" d;x);y=2, e;f;g=?0"]),
        Ok(vec![
            item(string("a, b")),
            Member::Inner(vec![("y".to_owned(), Bare::Integer(2))]),
            Member::Item(
                token("e"),
                vec![
                    ("f".to_owned(), Bare::Boolean(true)),
                    ("g".to_owned(), Bare::Boolean(false))
                ]
            ),
        ])
    );
    assert_eq!(
        list_of(&["a;x=1;x=2"]),
        Ok(vec![Member::Item(token("a"), vec![("x".to_owned(), Bare::Integer(2))])])
    );
}

#[test]
fn dictionaries_have_every_name_once() {
    let found = dictionary_of(&["a=1, b;x, c=(1 2), *d=\"e\"", "a=?0"]).unwrap();
    assert_eq!(
        found,
        [
            ("a".to_owned(), item(Bare::Boolean(false))),
            (
                "b".to_owned(),
                Member::Item(Bare::Boolean(true), vec![("x".to_owned(), Bare::Boolean(true))])
            ),
            ("c".to_owned(), Member::Inner(vec![])),
            ("*d".to_owned(), item(string("e"))),
        ]
    );
    for line in [
        "A=1", "1=1", "a =1", "a= 1", "a=", "=1", "a;", "a,,b", "a,", ",a", "a b", "a=1 b=2",
    ] {
        assert_eq!(dictionary_of(&[line]), Err(Malformed), "{line}");
        assert_eq!(dictionary_of(&["x=1", line]), Err(Malformed), "{line}");
    }
}

#[test]
fn one_mistake_makes_all_of_it_malformed() {
    for line in [
        "a,",
        ",",
        "a,,b",
        "a b",
        "a\tb",
        "1000000000000000",
        "1.",
        ".1",
        "1.1234",
        "1234567890123.1",
        "--1",
        "-",
        "+1",
        "1e3",
        "\"open",
        "\"a\\b\"",
        "\"\u{e4}\"",
        "'a'",
        "?2",
        "?",
        ":a",
        ":a b:",
        "@1.5",
        "@",
        "%\"%C3%BC\"",
        "%\"%c3\"",
        "%\"open",
        "(a",
        "(a,b)",
        "(a\"b\")",
        "a;",
        "a;X",
        "a; =1",
        "&&&&&",
    ] {
        assert_eq!(list_of(&[line]), Err(Malformed), "{line}");
        assert_eq!(list_of(&["x", line]), Err(Malformed), "{line}");
    }
    assert_eq!(list_of(&["\ta"]), Err(Malformed));
    assert_eq!(list_of(&["\"a", "b\""]), Ok(vec![item(string("a, b"))]));
    assert_eq!(list_of(&["a", ""]), Err(Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn parsing_ends(line in "[ -~\t]{0,40}") {
        let _ = list_of(&[&line]);
        let _ = dictionary_of(&[&line]);
    }
}
