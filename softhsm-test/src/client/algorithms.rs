//! The algorithms that a client may use, good and bad, with their identifiers.

use openssl::hash::MessageDigest;
use openssl::symm;

use super::der;

/// A digest of the message, with that of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Digest {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// OpenSSL's digest.
    pub fn openssl(self) -> MessageDigest {
        match self {
            Self::Md5 => MessageDigest::md5(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }

    /// The digest's identifier.
    pub fn oid(self) -> &'static str {
        match self {
            Self::Md5 => "1.2.840.113549.2.5",
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        }
    }

    /// The identifier of PKCS#1 v1.5 signatures with it.
    pub fn with_rsa(self) -> &'static str {
        match self {
            Self::Md5 => "1.2.840.113549.1.1.4",
            Self::Sha1 => "1.2.840.113549.1.1.5",
            Self::Sha256 => "1.2.840.113549.1.1.11",
            Self::Sha384 => "1.2.840.113549.1.1.12",
            Self::Sha512 => "1.2.840.113549.1.1.13",
        }
    }

    /// The identifier of ECDSA signatures with it (there is none for MD5; SHA-1's stands in).
    pub fn with_ecdsa(self) -> &'static str {
        match self {
            Self::Md5 | Self::Sha1 => "1.2.840.10045.4.1",
            Self::Sha256 => "1.2.840.10045.4.3.2",
            Self::Sha384 => "1.2.840.10045.4.3.3",
            Self::Sha512 => "1.2.840.10045.4.3.4",
        }
    }

    /// The digest with the identifier whose DER (tag and length included) is `oid`.
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|d| der::oid(d.oid()) == oid)
    }
}

/// A content cipher, all of them in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Cipher {
    Des,
    DesEde3,
    Aes128,
    Aes192,
    Aes256,
}

impl Cipher {
    /// OpenSSL's cipher.
    pub fn openssl(self) -> symm::Cipher {
        match self {
            Self::Des => symm::Cipher::des_cbc(),
            Self::DesEde3 => symm::Cipher::des_ede3_cbc(),
            Self::Aes128 => symm::Cipher::aes_128_cbc(),
            Self::Aes192 => symm::Cipher::aes_192_cbc(),
            Self::Aes256 => symm::Cipher::aes_256_cbc(),
        }
    }

    /// The cipher's identifier.
    pub fn oid(self) -> &'static str {
        match self {
            Self::Des => "1.3.14.3.2.7",
            Self::DesEde3 => "1.2.840.113549.3.7",
            Self::Aes128 => "2.16.840.1.101.3.4.1.2",
            Self::Aes192 => "2.16.840.1.101.3.4.1.22",
            Self::Aes256 => "2.16.840.1.101.3.4.1.42",
        }
    }

    /// The cipher with the identifier whose DER (tag and length included) is `oid`.
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        [Self::Des, Self::DesEde3, Self::Aes128, Self::Aes192, Self::Aes256]
            .into_iter()
            .find(|c| der::oid(c.oid()) == oid)
    }
}

/// How the content key is encrypted to the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RSAES-PKCS1-v1_5.
    Pkcs1,
    /// RSAES-OAEP with one digest for both the label and MGF1.
    Oaep(Digest),
}

/// An AlgorithmIdentifier with NULL parameters, or none where `bare`.
pub fn identifier(oid: &str, bare: bool) -> Vec<u8> {
    if bare { der::seq(&[&der::oid(oid)]) } else { der::seq(&[&der::oid(oid), &der::null()]) }
}

/// The key transport's AlgorithmIdentifier.
pub fn transport_identifier(transport: Transport, bare: bool) -> Vec<u8> {
    let Transport::Oaep(digest) = transport else {
        return identifier("1.2.840.113549.1.1.1", bare);
    };
    let oaep = der::oid("1.2.840.113549.1.1.7");
    if bare {
        return der::seq(&[&oaep]);
    }
    // RFC 4055 section 4.1; SHA-1 is the default and DER leaves defaults out.
    let parameters = if digest == Digest::Sha1 {
        der::seq(&[])
    } else {
        let hash = identifier(digest.oid(), false);
        let mgf = der::seq(&[&der::oid("1.2.840.113549.1.1.8"), &hash]);
        der::seq(&[&der::ctx(0, &hash), &der::ctx(1, &mgf)])
    };
    der::seq(&[&oaep, &parameters])
}
