//! The transaction ID and the nonces, kept as they came (RFC 8894 sections 3.2.1.1 and 3.2.1.5).

use crate::cms::{read, tag, tlv};

/// The string that names a transaction. It goes back into the reply byte for byte and with the
/// string type that the client used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    tag: u8,
    bytes: Vec<u8>,
}

impl TransactionId {
    /// The most bytes that are taken.
    pub const MAX_LEN: usize = 256;

    /// A transaction ID as RFC 8894 has it, a PrintableString; none if `text` is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        Self::from_parts(tag::PRINTABLE_STRING, text.as_bytes())
    }

    /// Reads the attribute's value. Beside PrintableString clients send UTF8String, IA5String and
    /// OCTET STRING (docs/scep.md row 36).
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let element = read(der, "transactionID").ok()?;
        Self::from_parts(element.tag, element.content)
    }

    /// From the identifier octet of its string type and its bytes, as a ledger keeps them.
    pub fn from_parts(string_type: u8, bytes: &[u8]) -> Option<Self> {
        let known = matches!(
            string_type,
            tag::PRINTABLE_STRING | tag::UTF8_STRING | tag::IA5_STRING | tag::OCTET_STRING
        );
        let fits = known && (1..=Self::MAX_LEN).contains(&bytes.len());
        fits.then(|| Self { tag: string_type, bytes: bytes.to_vec() })
    }

    /// The bytes of the string: what identifies the transaction.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The identifier octet of the string type.
    pub const fn string_type(&self) -> u8 {
        self.tag
    }

    pub(super) fn to_der(&self) -> Vec<u8> {
        tlv(self.tag, &[&self.bytes])
    }
}

impl std::fmt::Display for TransactionId {
    /// The text as far as it is printable ASCII, everything else and the backslash as `\xx`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in &self.bytes {
            match byte {
                b'\\' => f.write_str("\\5c")?,
                0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

/// A senderNonce or recipientNonce: 16 bytes by the RFC, 1 to 64 as clients have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// A nonce of these bytes; none unless there are 1 to 64.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=64).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let element = read(der, "nonce").ok()?;
        if element.tag == tag::OCTET_STRING { Self::new(element.content) } else { None }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn to_der(&self) -> Vec<u8> {
        tlv(tag::OCTET_STRING, &[&self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_bytes_and_type() {
        for string_type in [0x13, 0x0c, 0x16, 0x04] {
            let der = tlv(string_type, &["Ab+/=ü".as_bytes()]);
            assert_eq!(TransactionId::from_der(&der).unwrap().to_der(), der);
        }
    }

    #[test]
    fn is_bounded() {
        assert!(TransactionId::new("").is_none());
        assert!(TransactionId::new(&"a".repeat(256)).is_some());
        assert!(TransactionId::new(&"a".repeat(257)).is_none());
        assert!(TransactionId::from_der(&[0x1e, 2, 0, 65]).is_none(), "BMPString");
        assert!(TransactionId::from_der(&[0x30, 0]).is_none());
        assert!(Nonce::new(&[]).is_none());
        assert!(Nonce::new(&[7; 64]).is_some());
        assert!(Nonce::new(&[7; 65]).is_none());
    }

    #[test]
    fn shows_nothing_raw() {
        let id = TransactionId::from_parts(0x04, b"a\n\x1b[31m\\ \xff").unwrap();
        assert_eq!(id.to_string(), "a\\0a\\1b[31m\\5c\\20\\ff");
    }
}
