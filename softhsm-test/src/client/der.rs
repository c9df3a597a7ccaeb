//! A DER writer that can also write what DER forbids, and a strict DER reader. By hand, because
//! the client must not share code (and so bugs) with the server, and no crate writes bad DER.

use crate::error::{Result, fail};

/// Universal and context tags as they stand on the wire.
pub mod tag {
    #![allow(missing_docs, reason = "the names are those of X.680")]
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const UTF8: u8 = 0x0c;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const PRINTABLE: u8 = 0x13;
    pub const T61: u8 = 0x14;
    pub const IA5: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const BMP: u8 = 0x1e;
}

/// One value: tag, definite length in the fewest octets, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend(&bytes[skip..]);
    }
    out.extend(content);
    out
}

/// A constructed value of `tag`: indefinite length where `ber`, else definite.
pub fn constructed(tag: u8, content: &[u8], ber: bool) -> Vec<u8> {
    if !ber {
        return tlv(tag, content);
    }
    let mut out = vec![tag, 0x80];
    out.extend(content);
    out.extend([0, 0]);
    out
}

/// An OCTET STRING under `tag` (0x04, or 0x80 for an implicit one): in one piece, or where `ber`
/// as a constructed string of indefinite length in pieces of 1,000 octets, as BouncyCastle does.
pub fn string(tag: u8, content: &[u8], ber: bool) -> Vec<u8> {
    if !ber {
        return tlv(tag, content);
    }
    let pieces: Vec<u8> =
        content.chunks(1000).flat_map(|piece| tlv(tag::OCTET_STRING, piece)).collect();
    constructed(tag | 0x20, &pieces, true)
}

/// A SEQUENCE of the parts.
pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &parts.concat())
}

/// A SET OF in DER's order.
pub fn set_of(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    tlv(tag::SET, &members.concat())
}

/// `[n]` constructed around `content` (EXPLICIT, or IMPLICIT over a constructed type's content).
pub fn ctx(n: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | n, content)
}

/// An OBJECT IDENTIFIER from its dotted form; anything unreadable in it counts as 0.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|a| a.parse().unwrap_or(0)).collect();
    let first = arcs.first().copied().unwrap_or(0) * 40 + arcs.get(1).copied().unwrap_or(0);
    let mut content = Vec::new();
    for arc in std::iter::once(first).chain(arcs.into_iter().skip(2)) {
        let mut septets = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            septets.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        content.extend(septets.iter().rev());
    }
    tlv(tag::OID, &content)
}

/// A small non-negative INTEGER.
pub fn int(value: u64) -> Vec<u8> {
    uint(&value.to_be_bytes())
}

/// A non-negative INTEGER from big-endian bytes.
pub fn uint(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    let mut content = bytes[skip..].to_vec();
    if content.first().is_none_or(|b| *b >= 0x80) {
        content.insert(0, 0);
    }
    tlv(tag::INTEGER, &content)
}

/// A BIT STRING of whole octets.
pub fn bits(content: &[u8]) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(content);
    tlv(tag::BIT_STRING, &value)
}

/// An OCTET STRING.
pub fn octets(content: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, content)
}

/// A PrintableString (whatever the text holds).
pub fn printable(text: &str) -> Vec<u8> {
    tlv(tag::PRINTABLE, text.as_bytes())
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(tag::NULL, &[])
}

/// An Attribute: SEQUENCE { type, SET OF values }.
pub fn attribute(kind: &str, values: &[Vec<u8>]) -> Vec<u8> {
    seq(&[&oid(kind), &set_of(values.to_vec())])
}

/// A Name of one RDN per pair of attribute type and UTF-8 value.
pub fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<u8> = attributes
        .iter()
        .flat_map(|(kind, value)| {
            set_of(vec![seq(&[&oid(kind), &tlv(tag::UTF8, value.as_bytes())])])
        })
        .collect();
    tlv(tag::SEQUENCE, &rdns)
}

/// One value that was read.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// Identifier, length and content.
    pub raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// A reader over the content.
    pub fn inside(&self) -> Reader<'a> {
        Reader(self.content)
    }
}

/// Reads DER values one after the other and refuses what is not DER.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next value, whatever its tag.
    pub fn any(&mut self) -> Result<Value<'a>> {
        let input = self.0;
        let [tag, first, ..] = input else { return fail("DER ends where a value should be") };
        if tag & 0x1f == 0x1f {
            return fail("a high tag number, which nothing here uses");
        }
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(*first)),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let Some(bytes) = input.get(2..2 + count) else {
                    return fail("DER ends inside a length");
                };
                let length = bytes.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
                if bytes[0] == 0 || length < 0x80 {
                    return fail("a length that is not minimal: not DER");
                }
                (2 + count, length)
            }
            _ => return fail("an indefinite or oversized length: not DER"),
        };
        let Some(raw) = input.get(..header + length) else {
            return fail("DER ends inside a value");
        };
        self.0 = &input[raw.len()..];
        Ok(Value { tag: *tag, content: &raw[header..], raw })
    }

    /// The next value, which must have `tag`.
    pub fn expect(&mut self, tag: u8, what: &str) -> Result<Value<'a>> {
        let value = self.any()?;
        if value.tag == tag {
            return Ok(value);
        }
        fail(format!("{what}: tag {:#04x} where {tag:#04x} was expected", value.tag))
    }

    /// The next value where it has `tag`.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>> {
        match self.0.first() {
            Some(t) if *t == tag => self.any().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that nothing is left.
    pub fn end(&self, what: &str) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { fail(format!("{what}: trailing bytes")) }
    }

    /// All the values that are left.
    pub fn rest(mut self) -> Result<Vec<Value<'a>>> {
        let mut values = Vec::new();
        while !self.is_empty() {
            values.push(self.any()?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_and_integers() {
        assert_eq!(
            oid("1.2.840.113549.1.1.1"),
            [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]
        );
        assert_eq!(int(0), [2, 1, 0]);
        assert_eq!(int(128), [2, 2, 0, 128]);
        assert_eq!(uint(&[0, 0, 0x7f]), [2, 1, 0x7f]);
    }

    #[test]
    fn long_lengths_round_trip() {
        for length in [0, 127, 128, 255, 256, 70_000] {
            let der = octets(&vec![7; length]);
            let value = Reader(&der).any().unwrap();
            assert_eq!((value.content.len(), value.raw.len()), (length, der.len()));
        }
    }

    #[test]
    fn the_reader_refuses_what_is_not_der() {
        for bad in [&[0x30, 0x80, 0, 0][..], &[4, 0x81, 1, 7], &[4, 0x82, 0, 200], &[4, 2, 1], &[4]]
        {
            assert!(Reader(bad).any().is_err(), "{bad:02x?}");
        }
    }
}
