//! The extensions of certificates (RFC 5280 section 4.2): their identifiers and the values that
//! issuance writes and reads.

use std::fmt;
use std::ops::BitOr;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Tag, Tagged};

use super::asn1::{context, element, inside, oid, sequence};

/// subjectKeyIdentifier.
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
/// keyUsage.
pub const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
/// subjectAltName.
pub const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
/// basicConstraints.
pub const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
/// cRLNumber.
pub const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
/// reasonCode of a CRL entry.
pub const REASON_CODE: ObjectIdentifier = oid("2.5.29.21");
/// invalidityDate of a CRL entry.
pub const INVALIDITY_DATE: ObjectIdentifier = oid("2.5.29.24");
/// issuingDistributionPoint of a CRL.
pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = oid("2.5.29.28");
/// cRLDistributionPoints.
pub const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = oid("2.5.29.31");
/// authorityKeyIdentifier.
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.35");
/// extKeyUsage.
pub const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
/// anyExtendedKeyUsage, a value of extKeyUsage.
pub const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37.0");
/// authorityInfoAccess.
pub const AUTHORITY_INFO_ACCESS: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.1");

/// The access method of a CA certificate's address (RFC 5280 section 4.2.2.1).
const CA_ISSUERS: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.2");
/// The access method of an OCSP responder's address.
const OCSP: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1");

/// A set of key usages (RFC 5280 section 4.2.1.3); bit 0, digitalSignature, is the lowest.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// No usage.
    pub const NONE: Self = Self(0);
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// nonRepudiation, contentCommitment by its newer name.
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// dataEncipherment.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// encipherOnly.
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// decipherOnly.
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    const NAMES: [&str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];

    /// From bits as [`Certificate::key_usage`](super::Certificate::key_usage) gives them.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1ff)
    }

    /// The usage with this name in RFC 5280 (or `contentCommitment`).
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "contentCommitment" { "nonRepudiation" } else { name };
        Self::NAMES.iter().position(|n| *n == name).map(|i| Self(1 << i))
    }

    /// Whether every usage of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any usage of `other` is in this set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// This set without the usages of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no usage is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The extension's value: a BIT STRING without trailing zero bits (X.690 section 11.2.2).
    pub fn to_der(self) -> der::Result<Vec<u8>> {
        let reversed = self.0.reverse_bits().to_be_bytes();
        let used = 16 - self.0.leading_zeros() as usize;
        let octets = used.div_ceil(8);
        let unused = (octets * 8 - used) as u8;
        element(Tag::BitString, &[&[unused], &reversed[..octets]])
    }
}

impl BitOr for KeyUsage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for KeyUsage {
    /// The names, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::NAMES.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0);
        f.write_str(&set.map(|(_, n)| *n).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUsage({self})")
    }
}

/// The extended key usages that have a name (RFC 5280 section 4.2.1.12, and the field's own).
const PURPOSES: [(&str, &str); 11] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("ipsecEndSystem", "1.3.6.1.5.5.7.3.5"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
    ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
    ("msSmartcardLogin", "1.3.6.1.4.1.311.20.2.2"),
    ("eapOverLAN", "1.3.6.1.5.5.7.3.14"),
    ("anyExtendedKeyUsage", "2.5.29.37.0"),
];

/// The extended key usage with this name, or a dotted OID.
pub fn extended_key_usage(text: &str) -> Option<ObjectIdentifier> {
    let known = PURPOSES.iter().find(|(n, _)| *n == text);
    known.map_or_else(|| ObjectIdentifier::new(text).ok(), |(_, o)| Some(oid(o)))
}

/// The BasicConstraints of a certificate (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the holder is a CA.
    pub ca: bool,
    /// How many further CAs may follow in a path, where limited.
    pub path_len: Option<u32>,
}

impl BasicConstraints {
    /// Reads the extension's value, in DER.
    pub fn from_der(value: &[u8]) -> der::Result<Self> {
        let mut parts = inside(AnyRef::from_der(value)?, Tag::Sequence)?.into_iter().peekable();
        let ca = match parts.next_if(|p| p.tag() == Tag::Boolean) {
            Some(flag) => flag.decode_as::<bool>()?,
            None => false,
        };
        let path_len = parts.next().map(|n| n.decode_as::<u32>()).transpose()?;
        match parts.next() {
            Some(more) => Err(more.tag().value_error().into()),
            None => Ok(Self { ca, path_len }),
        }
    }

    /// Writes the extension's value.
    pub fn to_der(self) -> der::Result<Vec<u8>> {
        let ca = if self.ca { true.to_der()? } else { Vec::new() };
        let path_len = self.path_len.map(|n| n.to_der()).transpose()?.unwrap_or_default();
        sequence(&[&ca, &path_len])
    }
}

/// The value of a subjectKeyIdentifier.
pub fn subject_key_identifier(identifier: &[u8]) -> der::Result<Vec<u8>> {
    element(Tag::OctetString, &[identifier])
}

/// The value of an authorityKeyIdentifier that names the key alone.
pub fn authority_key_identifier(identifier: &[u8]) -> der::Result<Vec<u8>> {
    sequence(&[&element(context(0, false), &[identifier])?])
}

/// The value of an extKeyUsage.
pub fn extended_key_usages(purposes: &[ObjectIdentifier]) -> der::Result<Vec<u8>> {
    let each = purposes.iter().map(Encode::to_der).collect::<der::Result<Vec<_>>>()?;
    sequence(&[&each.concat()])
}

/// The value of a cRLDistributionPoints with one point and all of `urls` as its names.
pub fn crl_distribution_points(urls: &[String]) -> der::Result<Vec<u8>> {
    sequence(&[&sequence(&[&distribution_point_name(urls)?])?])
}

/// DistributionPointName, explicitly tagged `[0]`, with `urls` as its fullName.
pub(super) fn distribution_point_name(urls: &[String]) -> der::Result<Vec<u8>> {
    let names = urls.iter().map(|u| uri(u)).collect::<der::Result<Vec<_>>>()?;
    element(context(0, true), &[&element(context(0, true), &[&names.concat()])?])
}

/// The value of an authorityInfoAccess: where the CA's certificate is, where its OCSP responder.
pub fn authority_info_access(ca_issuers: &[String], ocsp: &[String]) -> der::Result<Vec<u8>> {
    let all = ocsp.iter().map(|u| (OCSP, u)).chain(ca_issuers.iter().map(|u| (CA_ISSUERS, u)));
    let each = all.map(|(method, url)| sequence(&[&method.to_der()?, &uri(url)?]));
    sequence(&[&each.collect::<der::Result<Vec<_>>>()?.concat()])
}

fn uri(text: &str) -> der::Result<Vec<u8>> {
    element(context(6, false), &[text.as_bytes()])
}
