//! Distinguished names as people type them (RFC 4514's syntax, in the order of the encoding).

use der::{Encode, Tag};

use super::asn1::{element, sequence};
use super::name::{NameError, attribute_type};

/// The Name in DER that `text` stands for, such as `O=Example,CN=device-7`; an empty text is the
/// empty Name. Values become UTF8Strings: fit for comparison by [`super::name::normalised`].
pub fn parse(text: &str) -> Result<Vec<u8>, NameError> {
    let malformed = |what: String| NameError::Malformed(what);
    let mut rdns = Vec::new();
    let mut members: Vec<Vec<u8>> = Vec::new();
    let mut rest = text;
    while !text.trim().is_empty() {
        let (kind, after) = rest
            .split_once('=')
            .ok_or_else(|| malformed(format!("«{}» is not TYPE=VALUE", shown(rest))))?;
        let oid = attribute_type(kind.trim())
            .ok_or_else(|| malformed(format!("«{}» is no attribute type", shown(kind))))?;
        let (value, end, remaining) = value(after)?;
        let value = element(Tag::Utf8String, &[value.as_bytes()])?;
        members.push(sequence(&[&oid.to_der()?, &value])?);
        if end != Some('+') {
            members.sort();
            rdns.push(element(Tag::Set, &[&std::mem::take(&mut members).concat()])?);
        }
        if end.is_none() {
            break;
        }
        rest = remaining;
    }
    Ok(element(Tag::Sequence, &[&rdns.concat()])?)
}

/// One value with its escapes undone, the separator that ended it, and what follows.
fn value(text: &str) -> Result<(String, Option<char>, &str), NameError> {
    let malformed = |what: &str| NameError::Malformed(what.into());
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    let mut end = (None, "");
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' => {
                end = (Some(c), &text[at + 1..]);
                break;
            }
            '\\' => {
                let pair = text.get(at + 1..at + 3).and_then(|p| u8::from_str_radix(p, 16).ok());
                let next = chars.next().ok_or_else(|| malformed("a \\ stands at the end"))?.1;
                if let Some(byte) = pair {
                    chars.next();
                    bytes.push(byte);
                } else {
                    bytes.extend(next.encode_utf8(&mut [0; 4]).bytes());
                }
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    let value = String::from_utf8(bytes).map_err(|_| malformed("the escapes are not UTF-8"))?;
    if value.trim().is_empty() {
        return Err(malformed("a value is empty"));
    }
    Ok((value, end.0, end.1))
}

fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::super::name::{display, normalised};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_shown_can_be_typed() {
        for text in
            ["CN=a", "O=Örg,OU=one,OU=two,CN=Gerät 7", "CN=a\\,b\\=c\\+d+O=x", "2.5.4.3=y", ""]
        {
            let der = parse(text).unwrap();
            assert_eq!(normalised(&parse(&display(&der)).unwrap()), normalised(&der), "{text}");
        }
        assert_eq!(display(&parse("cn=a, o=b").unwrap()), "CN=a,O=b");
        assert_eq!(display(&parse("CN=\\c3\\a9").unwrap()), "CN=é");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["CN", "CN=", "CN=a,", "CN=a,,O=b", "colour=red", "CN=a\\", "=a", "CN=\\ff"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
