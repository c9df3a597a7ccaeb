//! DER elements, in and out. `der` decodes every header; added here is an element's own bytes kept
//! beside its content, which the tolerant readers need and typed decoders throw away.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader};

use super::CmsError;

/// Identifier octets (X.690 section 8.1.2) of what CMS and SCEP are made of.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0]`, primitive.
    pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed.
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    /// `[2]`, constructed.
    pub(crate) const CONTEXT_2: u8 = 0xa2;
    /// `[3]`, constructed.
    pub(crate) const CONTEXT_3: u8 = 0xa3;
    /// `[4]`, constructed.
    pub(crate) const CONTEXT_4: u8 = 0xa4;
}

/// One element: its identifier octet, its content, and the whole of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) der: &'a [u8],
}

/// The one element that `der` is; nothing may follow it.
pub(crate) fn read<'a>(der: &'a [u8], what: &str) -> Result<Element<'a>, CmsError> {
    let mut fields = Fields::new(der, what)?;
    let element = fields.next(what)?;
    fields.finish(what)?;
    Ok(element)
}

impl<'a> Element<'a> {
    /// The element itself, if it has this tag.
    pub(crate) fn expect(self, tag: u8, what: &str) -> Result<Self, CmsError> {
        if self.tag == tag { Ok(self) } else { Err(cannot_read(what, "another type")) }
    }

    /// What is inside it.
    pub(crate) fn fields(&self, what: &str) -> Result<Fields<'a>, CmsError> {
        Fields::new(self.content, what)
    }

    /// The object identifier that it is.
    pub(crate) fn oid(&self, what: &str) -> Result<ObjectIdentifier, CmsError> {
        ObjectIdentifier::from_der(self.der).map_err(|e| cannot_read(what, e))
    }
}

/// The elements inside another, one after the other.
pub(crate) struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    pub(crate) fn new(content: &'a [u8], what: &str) -> Result<Self, CmsError> {
        SliceReader::new(content).map(Self).map_err(|e| cannot_read(what, e))
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self, what: &str) -> Result<Element<'a>, CmsError> {
        let error = |e| cannot_read(what, e);
        let der = self.0.tlv_bytes().map_err(error)?;
        let content = AnyRef::from_der(der).map_err(error)?.value();
        let tag = der.first().copied().unwrap_or_default();
        Ok(Element { tag, content, der })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8, what: &str) -> Result<Element<'a>, CmsError> {
        self.next(what)?.expect(tag, what)
    }

    /// The next element if it has this tag; otherwise nothing is consumed.
    pub(crate) fn optional(
        &mut self,
        tag: u8,
        what: &str,
    ) -> Result<Option<Element<'a>>, CmsError> {
        if self.0.peek_byte() == Some(tag) { self.next(what).map(Some) } else { Ok(None) }
    }

    /// Everything up to the end, refused beyond `limit` elements.
    pub(crate) fn all(
        mut self,
        limit: usize,
        what: &'static str,
    ) -> Result<Vec<Element<'a>>, CmsError> {
        let mut out = Vec::new();
        while !self.0.is_finished() {
            if out.len() == limit {
                return Err(CmsError::TooMany { what, limit });
            }
            out.push(self.next(what)?);
        }
        Ok(out)
    }

    /// Whether there is nothing left.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self, what: &str) -> Result<(), CmsError> {
        if self.0.is_finished() { Ok(()) } else { Err(cannot_read(what, "bytes follow its end")) }
    }
}

fn cannot_read(what: &str, why: impl std::fmt::Display) -> CmsError {
    CmsError::Malformed(format!("the {what} cannot be read: {why}"))
}

/// The DER of an element with these contents in a row.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(len + 6);
    out.push(tag);
    push_length(&mut out, len);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The DER of a SET OF: elements in ascending order of their encodings (X.690 section 11.6).
pub(crate) fn set_of(tag: u8, mut elements: Vec<&[u8]>) -> Vec<u8> {
    elements.sort_unstable();
    tlv(tag, &elements)
}

/// The length octets of DER (X.690 section 10.1).
pub(crate) fn push_length(out: &mut Vec<u8>, len: usize) {
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let octets = len.to_be_bytes();
        let significant = &octets[octets.iter().take_while(|b| **b == 0).count()..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        for (len, header) in [
            (0, vec![4, 0]),
            (127, vec![4, 0x7f]),
            (128, vec![4, 0x81, 0x80]),
            (256, vec![4, 0x82, 1, 0]),
        ] {
            assert_eq!(tlv(4, &[&vec![0; len]])[..header.len()], header);
        }
    }

    #[test]
    fn sets_are_sorted() {
        assert_eq!(set_of(tag::SET, vec![&[4, 1, 9], &[2, 1, 1]]), [0x31, 6, 2, 1, 1, 4, 1, 9]);
    }

    #[test]
    fn elements_keep_their_bytes() {
        let der = tlv(tag::SEQUENCE, &[&[2, 1, 5], &[4, 0]]);
        let element = read(&der, "thing").unwrap().expect(tag::SEQUENCE, "thing").unwrap();
        assert_eq!(element.der, der);
        let mut fields = element.fields("thing").unwrap();
        assert_eq!(fields.expect(tag::INTEGER, "number").unwrap().content, [5]);
        assert!(fields.optional(tag::SET, "set").unwrap().is_none());
        assert_eq!(fields.next("string").unwrap().der, [4, 0]);
        fields.finish("thing").unwrap();
        assert!(read(&[der.as_slice(), &[0]].concat(), "thing").is_err());
    }
}
