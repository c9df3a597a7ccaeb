//! Names: as lines, in comparison, and against the rules.

use der::Tag;
use proptest::prelude::*;

use super::fixtures::*;
use crate::pki::name::{self, MAX_DISPLAY, attribute_type, attributes, display, normalised};
use crate::pki::{AttributeProblem, NameRuleError, NameRules, check_name};

fn cn(tag: Tag, value: &[u8]) -> Vec<u8> {
    name(&[("CN", tag, value)])
}

fn problem(name: &[u8]) -> Option<AttributeProblem> {
    match check_name(name, &NameRules::default()) {
        Ok(()) => None,
        Err(NameRuleError::Attribute { problem, .. }) => Some(problem),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn lines_are_rfc_4514_in_the_order_of_the_encoding() {
    let parts = [
        attribute_value(&("serialNumber", Tag::PrintableString, b"7")),
        attribute_value(&("OU", Tag::Utf8String, b"b")),
    ];
    let two = tlv(Tag::Set, &parts.concat());
    let one = |kind, tag, value: &[u8]| tlv(Tag::Set, &attribute_value(&(kind, tag, value)));
    let line = display(&seq(&[
        &one("DC", Tag::Ia5String, b"example"),
        &two,
        &one("1.2.3.4", Tag::Utf8String, b"x"),
        &one("CN", Tag::BmpString, b"\x00H\x00i"),
    ]));
    assert_eq!(line, "DC=example,serialNumber=7+OU=b,1.2.3.4=x,CN=Hi");
    assert_eq!(display(&seq(&[])), "");
}

#[test]
fn lines_cannot_deceive() {
    let line = |text: &str| display(&cn(Tag::Utf8String, text.as_bytes()));
    assert_eq!(line(" a,b+c\"d\\e<f>g;h=i# "), "CN=\\ a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i#\\ ");
    assert_eq!(line("#a"), "CN=\\#a");
    assert_eq!(line("a\nb\0\x1b[2J"), "CN=a\\0ab\\00\\1b[2J");
    assert_eq!(line("a\u{202e}b\u{200b}c\u{85}"), "CN=a\\e2\\80\\aeb\\e2\\80\\8bc\\c2\\85");
    assert_eq!(display(&cn(Tag::Utf8String, b"\xff")), "CN=#0c01ff");
    assert_eq!(display(&cn(Tag::OctetString, b"a")), "CN=#040161");
    assert!(display(b"\x30\x05").starts_with("(unreadable name 3005"));
    let long = line(&"ä".repeat(10_000));
    assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_DISPLAY + 1, true));
}

#[test]
fn openssl_reads_the_line_as_the_same_name() {
    // OpenSSL's own line, where both write the same.
    let subject = name(&[
        ("C", Tag::PrintableString, b"DE"),
        ("O", Tag::Utf8String, b"a, b + c"),
        ("CN", Tag::Utf8String, b"x;y<z>"),
    ]);
    let der = request(&rsa_key(), &subject, None);
    let args = [
        "req",
        "-inform",
        "DER",
        "-noout",
        "-subject",
        "-nameopt",
        "esc_2253,sep_comma_plus,sname,utf8",
    ];
    let (done, text) = run("openssl", &args, &der);
    assert!(done, "{text}");
    assert_eq!(text.trim(), format!("subject={}", display(&subject)));
}

#[test]
fn types_have_names_both_ways() {
    for text in ["CN", "cn", "2.5.4.3"] {
        assert_eq!(name::keyword(attribute_type(text).unwrap()), Some("CN"));
    }
    assert_eq!(attribute_type("nonsense"), None);
}

#[test]
fn equal_names_are_equal_in_any_encoding() {
    let same = [
        cn(Tag::PrintableString, b"Device One"),
        cn(Tag::Utf8String, b"device  ONE "),
        cn(Tag::BmpString, b"\0D\0e\0v\0i\0c\0e\0 \0o\0n\0e"),
        cn(Tag::TeletexString, b" DEVICE one"),
    ];
    for other in &same {
        assert_eq!(normalised(other), normalised(&same[0]));
    }
    let composed = cn(Tag::Utf8String, "Gerät".as_bytes());
    assert_eq!(normalised(&composed), normalised(&cn(Tag::Utf8String, "gera\u{308}t".as_bytes())));
    let (a, b) = (
        attribute_value(&("CN", Tag::Utf8String, b"a")),
        attribute_value(&("OU", Tag::Utf8String, b"b")),
    );
    let together = seq(&[&tlv(Tag::Set, &[a.as_slice(), &b].concat())]);
    let reversed = seq(&[&tlv(Tag::Set, &[b.as_slice(), &a].concat())]);
    assert_eq!(normalised(&together), normalised(&reversed));
    let apart = seq(&[&tlv(Tag::Set, &a), &tlv(Tag::Set, &b)]);
    let apart_reversed = seq(&[&tlv(Tag::Set, &b), &tlv(Tag::Set, &a)]);
    let different =
        [same[0].clone(), together, apart, apart_reversed, seq(&[]), cn(Tag::Utf8String, b"ab")];
    for (i, one) in different.iter().enumerate() {
        for other in &different[..i] {
            assert_ne!(normalised(one), normalised(other));
        }
    }
}

#[test]
fn usual_names_pass() {
    for subject in [
        common_name("Gerät 東京"),
        name(&[("C", Tag::PrintableString, b"DE"), ("CN", Tag::PrintableString, b"a-b.c:/='?")]),
        name(&[("DC", Tag::Ia5String, b"x_y"), ("emailAddress", Tag::Ia5String, b"a@b.example")]),
        name(&[("DC", Tag::PrintableString, b"x"), ("emailAddress", Tag::Utf8String, b"a@b.c")]),
        name(&[("UID", Tag::Utf8String, b"7"), ("unstructuredName", Tag::Ia5String, b"r.x")]),
        seq(&[]),
    ] {
        assert_eq!(check_name(&subject, &NameRules::default()), Ok(()));
    }
}

#[test]
fn t41_odd_names_are_named() {
    use AttributeProblem as P;
    let utf8 = |text: &str| cn(Tag::Utf8String, text.as_bytes());
    let cases = [
        (name(&[("description", Tag::Utf8String, b"x")]), P::NotAllowed),
        (cn(Tag::TeletexString, b"x"), P::StringType(Tag::TeletexString)),
        (cn(Tag::BmpString, b"\0x"), P::StringType(Tag::BmpString)),
        (cn(Tag::Ia5String, b"x"), P::StringType(Tag::Ia5String)),
        (cn(Tag::OctetString, b"x"), P::StringType(Tag::OctetString)),
        (name(&[("C", Tag::Utf8String, b"DE")]), P::StringType(Tag::Utf8String)),
        (name(&[("DC", Tag::BmpString, b"\0x")]), P::StringType(Tag::BmpString)),
        (name(&[("DC", Tag::Utf8String, "ä".as_bytes())]), P::Encoding),
        (cn(Tag::Utf8String, b"\xc0\x80"), P::Encoding), // overlong NUL
        (cn(Tag::Utf8String, b"\xed\xa0\x80"), P::Encoding), // surrogate
        (cn(Tag::PrintableString, b"a_b"), P::Encoding),
        (cn(Tag::PrintableString, b"a\0b"), P::Encoding),
        (utf8(""), P::Empty),
        (utf8("  "), P::Empty),
        (utf8("a\0b"), P::UnsafeCharacter('\0')),
        (utf8("a\nb"), P::UnsafeCharacter('\n')),
        (utf8("a\u{9b}b"), P::UnsafeCharacter('\u{9b}')),
        (utf8("a\u{202e}b"), P::UnsafeCharacter('\u{202e}')),
        (utf8("a\u{200d}b"), P::UnsafeCharacter('\u{200d}')),
        (utf8("a\u{2066}b"), P::UnsafeCharacter('\u{2066}')),
        (utf8("a\u{feff}b"), P::UnsafeCharacter('\u{feff}')),
        (utf8("a\u{1fffe}b"), P::UnsafeCharacter('\u{1fffe}')),
        (utf8("a\u{e0041}b"), P::UnsafeCharacter('\u{e0041}')),
        (utf8("a\u{308}"), P::NotNormalised),
        (utf8(&"x".repeat(65)), P::TooLong(64)),
        (name(&[("C", Tag::PrintableString, b"D")]), P::Country),
        (name(&[("C", Tag::PrintableString, b"D1")]), P::Country),
    ];
    for (subject, expected) in cases {
        assert_eq!(problem(&subject), Some(expected), "{}", display(&subject));
    }
    assert_eq!(problem(&utf8(&"ä".repeat(64))), None, "characters count, not bytes");
}

#[test]
fn shapes_are_bounded() {
    let one = ("OU", Tag::Utf8String, b"x".as_slice());
    assert_eq!(check_name(&name(&[one; 8]), &NameRules::default()), Ok(()));
    for many in [9, 500] {
        let subject = name(&vec![one; many]);
        let refused = check_name(&subject, &NameRules::default());
        assert!(matches!(refused, Err(NameRuleError::TooMany { found, .. }) if found == many));
    }
    let kinds = ["CN", "O", "OU", "L", "ST"];
    let set = |kinds: &[&str]| {
        let mut parts: Vec<Vec<u8>> =
            kinds.iter().map(|k| attribute_value(&(k, Tag::Utf8String, b"x"))).collect();
        parts.sort();
        seq(&[&tlv(Tag::Set, &parts.concat())])
    };
    assert_eq!(check_name(&set(&kinds[..4]), &NameRules::default()), Ok(()));
    let five = check_name(&set(&kinds), &NameRules::default());
    assert!(matches!(five, Err(NameRuleError::TooMany { found: 5, .. })));
    assert_eq!(problem(&set(&["CN", "CN"])), Some(AttributeProblem::Repeated));
}

#[test]
fn legacy_strings_open_the_old_types_and_nothing_more() {
    let rules = NameRules { legacy_strings: true, ..NameRules::default() };
    for subject in [
        cn(Tag::TeletexString, b"Ger\xe4t"),
        cn(Tag::BmpString, b"\0x"),
        cn(Tag::PrintableString, b"a_b@c"),
        name(&[("serialNumber", Tag::Utf8String, b"7")]),
    ] {
        assert_eq!(check_name(&subject, &rules), Ok(()));
    }
    for subject in [
        cn(Tag::TeletexString, b"a\0"),
        cn(Tag::TeletexString, b"a\x9b"),
        cn(Tag::BmpString, b"\xd8\0"),
        cn(Tag::PrintableString, b"a\xe4"),
        cn(Tag::OctetString, b"a"),
    ] {
        assert!(check_name(&subject, &rules).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let inside = tlv(Tag::Sequence, &bytes);
        for der in [&bytes, &inside] {
            let _ = (attributes(der), normalised(der), check_name(der, &NameRules::default()));
            prop_assert!(display(der).chars().count() <= MAX_DISPLAY + 1);
        }
    }

    #[test]
    fn any_text_makes_one_safe_line(text in any::<String>()) {
        let line = display(&cn(Tag::Utf8String, text.as_bytes()));
        let turns = |c: char| (0x202a..=0x202e).contains(&u32::from(c));
        let safe = !line.chars().any(|c| c.is_control() || turns(c));
        prop_assert!(safe);
    }

    #[test]
    fn what_passes_is_what_openssl_shows(text in "[a-zA-Z0-9äöü東 .-]{1,20}") {
        let subject = cn(Tag::Utf8String, text.as_bytes());
        if problem(&subject).is_none() {
            let parsed = openssl::x509::X509Req::from_der(&request(&rsa_key(), &subject, None)).unwrap();
            let entry = parsed.subject_name().entries().next().unwrap().data().to_string();
            prop_assert_eq!(entry.unwrap(), text);
        }
    }
}
