//! The few ASN.1 steps that every reader and writer here shares. The reader is the `der` crate's;
//! what is added is walking over elements of any tag without recursion.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// Splits `content` into the DER elements that it consists of.
pub(crate) fn elements(content: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content)?;
    let mut out = Vec::new();
    while !reader.is_finished() {
        out.push(AnyRef::decode(&mut reader)?);
    }
    Ok(out)
}

/// The elements inside of `any`, which must have `tag`.
pub(crate) fn inside(any: AnyRef<'_>, tag: Tag) -> der::Result<Vec<AnyRef<'_>>> {
    any.tag().assert_eq(tag)?;
    elements(any.value())
}

/// The tag `[number]` of a context-specific element.
pub(crate) const fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific { constructed, number: TagNumber(number) }
}

/// An element with `tag` around the concatenation of `parts`. Fails for contents over 256 MiB.
pub(crate) fn element(tag: Tag, parts: &[&[u8]]) -> der::Result<Vec<u8>> {
    AnyRef::new(tag, &parts.concat())?.to_der()
}

/// A SEQUENCE around `parts`.
pub(crate) fn sequence(parts: &[&[u8]]) -> der::Result<Vec<u8>> {
    element(Tag::Sequence, parts)
}

/// The text of a string type, whatever its tag: UTF-8, the ASCII types, T61String read as Latin-1
/// (as OpenSSL does), BMPString. None where the bytes do not fit the type or it is none of these.
pub(crate) fn text(tag: Tag, bytes: &[u8]) -> Option<String> {
    // Room for every case, so that no shorter copy of a secret is left behind by growing.
    let mut out = String::with_capacity(bytes.len() * 2 + 4);
    match tag {
        Tag::Utf8String => out.push_str(std::str::from_utf8(bytes).ok()?),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            bytes.is_ascii().then(|| out.extend(bytes.iter().map(|b| char::from(*b))))?;
        }
        Tag::TeletexString => out.extend(bytes.iter().map(|b| char::from(*b))),
        Tag::BmpString => {
            let units = bytes.as_chunks::<2>();
            units.1.is_empty().then_some(())?;
            for c in char::decode_utf16(units.0.iter().map(|u| u16::from_be_bytes(*u))) {
                out.push(c.ok()?);
            }
        }
        _ => return None,
    }
    Some(out)
}

/// Whether `c` must not stand in a name: controls (C0, DEL, C1), line and paragraph separators,
/// marks that turn the direction of writing, invisible formatting, private use, noncharacters.
pub(crate) fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{10ffff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// An object identifier that the program itself names.
pub(crate) const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}
