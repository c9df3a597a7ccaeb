use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 * 1024;

/// Bytes whose base64 has `+`, `/` and padding.
fn message() -> Vec<u8> {
    let mut out = vec![0x30, 0x82, 0x01, 0x00, 0xfb, 0xef, 0xbe, 0xff, 0xff, 0xff];
    out.extend((0..250u8).map(|i| i.wrapping_mul(91)));
    out
}

fn standard(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn escaped(text: &str, which: &[char]) -> String {
    let escape = |c: char| match which.contains(&c) {
        true => format!("%{:02X}", u32::from(c)),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn lines(text: &str, end: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    lines.join(end)
}

#[test]
fn row_006_every_form_of_a_get() {
    let message = message();
    let plain = standard(&message);
    assert!(plain.contains('+') && plain.contains('/') && plain.ends_with('='));
    let quoted = escaped(&plain, &['+', '/', '=']);
    for (name, raw) in [
        ("percent-escaped, as RFC 3986 has it", quoted.clone()),
        ("lower-case escapes", quoted.replace("%2B", "%2b").replace("%3D", "%3d")),
        ("Q51 jscep: nothing escaped", plain.clone()),
        ("Q12 Apple: only the padding escaped", escaped(&plain, &['='])),
        ("Q10 strongSwan: lines, only the plus escaped", escaped(&lines(&plain, "%0A"), &['+'])),
        ("Q36 Cisco: lines joined by %0A", lines(&quoted, "%0A")),
        ("lines joined by %0D%0A", lines(&quoted, "%0D%0A")),
        ("a trailing line end", format!("{quoted}%0A")),
        ("a trailing line end, raw", format!("{plain}\r\n")),
        ("a plus as blank", plain.replace('+', " ")),
        ("a plus as %20", plain.replace('+', "%20")),
        ("double percent-escapes", quoted.replace('%', "%25")),
        ("no padding", plain.trim_end_matches('=').into()),
        ("no padding, quoted", escaped(plain.trim_end_matches('='), &['+', '/'])),
        ("the alphabet for URLs", plain.replace('+', "-").replace('/', "_")),
        ("the same without padding", plain.replace('+', "-").replace('/', "_").replace('=', "")),
        ("blanks around", format!("%20{quoted}%20")),
    ] {
        assert_eq!(decode_get_message(&raw, LIMIT).as_ref(), Ok(&message), "{name}: {raw}");
    }
}

#[test]
fn what_is_no_escape_stays() {
    assert_eq!(percent_decode(b"a%2Bb%2f%"), b"a+b/%");
    assert_eq!(percent_decode(b"%zz%4"), b"%zz%4");
    assert_eq!(percent_decode(b"%252B"), b"%2B");
}

#[test]
fn a_plus_at_the_end_survives_as_a_blank() {
    // No padding, and the last character is a plus.
    let bytes = [0x30, 0x03, 0xff, 0xff, 0xff, 0xfe];
    assert_eq!(standard(&bytes), "MAP////+");
    assert_eq!(decode_get_message("MAP//// ", LIMIT), Ok(bytes.to_vec()));
    assert_eq!(decode_get_message("MAP////%20", LIMIT), Ok(bytes.to_vec()));
}

#[test]
fn refuses_what_is_no_base64() {
    assert_eq!(decode_get_message("", LIMIT), Err(TransportError::Empty));
    assert_eq!(decode_get_message("%0A", LIMIT), Err(TransportError::Empty));
    for raw in ["%", "%zz", "MAM%", "M", "MA=M", "<xml>", "MAMC\0AQ==", "ü", "0%2", "===="] {
        assert_eq!(decode_get_message(raw, LIMIT), Err(TransportError::NotBase64), "{raw}");
    }
}

#[test]
fn row_010_is_bounded() {
    let fits = standard(&vec![0x30; 300]);
    assert!(decode_get_message(&fits, 300).is_ok());
    assert_eq!(decode_get_message(&fits, 299), Err(TransportError::TooLong(299)));
    assert_eq!(decode_get_message(&"%0A".repeat(10_000), 100), Err(TransportError::TooLong(100)));
    assert_eq!(decode_post_body(&[0x30; 300], 299), Err(TransportError::TooLong(299)));
    // The worst escaping of a message of the largest size still fits.
    let worst: String =
        standard(&vec![0xfb; 300]).chars().map(|c| format!("%25{:02X}", u32::from(c))).collect();
    assert!(decode_get_message(&worst, 300).is_ok());
}

#[test]
fn quirk_60_base64_in_a_post() {
    let message = message();
    let der = decode_post_body(&message, LIMIT);
    assert!(matches!(der, Ok(Cow::Borrowed(bytes)) if bytes == message));
    for body in [
        standard(&message),
        lines(&standard(&message), "\r\n"),
        format!("\n{}\n", standard(&message)),
    ] {
        assert_eq!(decode_post_body(body.as_bytes(), LIMIT).unwrap(), message);
    }
    assert_eq!(decode_post_body(b"", LIMIT), Err(TransportError::Empty));
    assert_eq!(decode_post_body(b"\x00\x01", LIMIT), Err(TransportError::NotBase64));
    assert_eq!(decode_post_body(b"{}", LIMIT), Err(TransportError::NotBase64));
}

proptest! {
    #[test]
    fn any_message_any_escaping(
        message in proptest::collection::vec(any::<u8>(), 1..300),
        escape in proptest::collection::vec(0u8..4, 1..40),
        layers in 1usize..3,
        padded: bool,
        url: bool,
    ) {
        // As every message does, so that it begins with M and never with a plus.
        let message = [vec![0x30], message].concat();
        let text = standard(&message);
        let text = if padded { text } else { text.trim_end_matches('=').to_owned() };
        let text = if url { text.replace('+', "-").replace('/', "_") } else { text };
        let mut choices = escape.into_iter().cycle();
        let mut raw = String::new();
        for c in text.chars() {
            match choices.next() {
                Some(1) => raw.push_str(&format!("%{:02x}", u32::from(c))),
                Some(2) if c == '+' => raw.push(' '),
                Some(3) => raw.push_str(&format!("{c}%0A")),
                _ => raw.push(c),
            }
        }
        let raw = if layers == 2 { raw.replace('%', "%25") } else { raw };
        prop_assert_eq!(decode_get_message(&raw, LIMIT), Ok(message));
    }

    #[test]
    fn t20_any_text_does_no_harm(raw in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_get_message(&raw, LIMIT);
        let _ = decode_post_body(&bytes, LIMIT);
    }
}
