//! Octet strings of entries: of any length, and of the length of a SHA-256 digest.

use std::fmt;
use std::ops::Deref;

use der::asn1::OctetStringRef;
use der::{DecodeValue, EncodeValue, ErrorKind, FixedTag, Header, Length, Reader, Tag, Writer};

/// Bytes that stand in an entry as an OCTET STRING; prints as hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({self})")
    }
}

impl FixedTag for Bytes {
    const TAG: Tag = Tag::OctetString;
}

impl EncodeValue for Bytes {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(self.0.len())
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(&self.0)
    }
}

impl<'a> DecodeValue<'a> for Bytes {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let octets = <&OctetStringRef>::decode_value(reader, header)?;
        Ok(Self(octets.as_bytes().to_vec()))
    }
}

/// A SHA-256 digest that names something: a certificate, a public key, a configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(openssl::sha::sha256(data))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FixedTag for Fingerprint {
    const TAG: Tag = Tag::OctetString;
}

impl EncodeValue for Fingerprint {
    fn value_len(&self) -> der::Result<Length> {
        Ok(Length::new(32))
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(&self.0)
    }
}

impl<'a> DecodeValue<'a> for Fingerprint {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let octets = <&OctetStringRef>::decode_value(reader, header)?;
        let digest = octets.as_bytes().try_into();
        digest.map(Self).map_err(|_| reader.error(ErrorKind::Length { tag: Tag::OctetString }))
    }
}
