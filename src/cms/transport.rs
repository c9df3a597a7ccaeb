//! How a content-encryption key travels to an RSA key (RFC 5652 section 6.2.1).

use const_oid::ObjectIdentifier;

use super::CmsError;
use super::algorithm::{AlgorithmIdentifier, identifier, identifier_with_null};
use super::asn1::{Fields, read, tag, tlv};
use crate::pki::Digest;

/// rsaEncryption (RFC 3370 section 4.2.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-RSAES-OAEP (RFC 3560 section 2).
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
/// id-mgf1 (RFC 8017 appendix A.2.1).
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
/// id-pSpecified (RFC 8017 appendix A.2.1).
const P_SPECIFIED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.9");

/// The key-encryption algorithm of a KeyTransRecipientInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyTransport {
    /// RSAES-PKCS1-v1_5 (RFC 8017 section 7.2).
    RsaPkcs1v15,
    /// RSAES-OAEP with MGF1 of the same digest and an empty label (RFC 8017 section 7.1).
    RsaOaep(Digest),
}

impl KeyTransport {
    /// The AlgorithmIdentifier in DER, parameters always written (docs/scep.md Q26).
    pub fn identifier_der(self) -> Vec<u8> {
        match self {
            Self::RsaPkcs1v15 => identifier_with_null(RSA_ENCRYPTION),
            // DER leaves out what has its default value, and all of SHA-1 is default.
            Self::RsaOaep(Digest::Sha1) => identifier(RSAES_OAEP, &tlv(tag::SEQUENCE, &[])),
            Self::RsaOaep(digest) => {
                let hash = identifier_with_null(digest.oid());
                let mgf = identifier(MGF1, &hash);
                let parameters = tlv(
                    tag::SEQUENCE,
                    &[&tlv(tag::CONTEXT_0, &[&hash]), &tlv(tag::CONTEXT_1, &[&mgf])],
                );
                identifier(RSAES_OAEP, &parameters)
            }
        }
    }

    /// What an AlgorithmIdentifier means; none for one that is not supported: another algorithm,
    /// OAEP with a label, with another digest than SHA-1 and SHA-2, or with two different digests.
    pub fn from_identifier(algorithm: &AlgorithmIdentifier) -> Option<Self> {
        if algorithm.oid == RSA_ENCRYPTION && algorithm.has_no_parameters() {
            return Some(Self::RsaPkcs1v15);
        }
        if algorithm.oid != RSAES_OAEP {
            return None;
        }
        match algorithm.parameters.as_deref() {
            // Absent and NULL are not in RFC 3560; they can only mean the defaults.
            None | Some([0x05, 0x00]) => Some(Self::RsaOaep(Digest::Sha1)),
            Some(parameters) => oaep_digest(parameters).ok().flatten().map(Self::RsaOaep),
        }
    }
}

impl std::fmt::Display for KeyTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RsaPkcs1v15 => f.write_str("RSA PKCS#1 v1.5"),
            Self::RsaOaep(digest) => write!(f, "RSA-OAEP with {digest}"),
        }
    }
}

/// The one digest of RSAES-OAEP-params (RFC 8017 appendix A.2.1), if the rest is as we want it.
fn oaep_digest(parameters: &[u8]) -> Result<Option<Digest>, CmsError> {
    let what = "RSAES-OAEP-params";
    let mut fields = read(parameters, what)?.expect(tag::SEQUENCE, what)?.fields(what)?;
    let hash = explicit(&mut fields, tag::CONTEXT_0)?;
    let mgf = explicit(&mut fields, tag::CONTEXT_1)?;
    let label = explicit(&mut fields, tag::CONTEXT_2)?;
    fields.finish(what)?;
    let hash = hash.map_or(Some(Digest::Sha1), |a| a.digest());
    let mgf_hash = match mgf {
        None => Some(Digest::Sha1),
        Some(AlgorithmIdentifier { oid: MGF1, parameters: Some(inner) }) => {
            AlgorithmIdentifier::read(read(&inner, what)?, what)?.digest()
        }
        Some(_) => None,
    };
    let label_is_empty = label.is_none_or(|a| {
        a.oid == P_SPECIFIED && a.parameters.as_deref() == Some(&[tag::OCTET_STRING, 0])
    });
    let secure = hash.filter(|d| *d != Digest::Md5);
    Ok(secure.filter(|_| hash == mgf_hash && label_is_empty))
}

fn explicit(fields: &mut Fields<'_>, tag: u8) -> Result<Option<AlgorithmIdentifier>, CmsError> {
    let what = "RSAES-OAEP-params";
    match fields.optional(tag, what)? {
        Some(element) => AlgorithmIdentifier::read(read(element.content, what)?, what).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let oaep = [Digest::Sha1, Digest::Sha256, Digest::Sha384].map(KeyTransport::RsaOaep);
        for transport in oaep.into_iter().chain([KeyTransport::RsaPkcs1v15]) {
            let der = transport.identifier_der();
            let read = AlgorithmIdentifier::read(read(&der, "test").unwrap(), "test").unwrap();
            assert_eq!(KeyTransport::from_identifier(&read), Some(transport));
        }
    }

    #[test]
    fn refuses_odd_oaep() {
        let of = |parameters: &str| {
            let parameters = Some(hex::decode(parameters).unwrap());
            KeyTransport::from_identifier(&AlgorithmIdentifier { oid: RSAES_OAEP, parameters })
        };
        // SHA-256 with MGF1 left at SHA-1, MD5 in both, a label, something after the parameters.
        let sha256 = "a00f300d06096086480165030402010500";
        assert_eq!(of(&format!("3011{sha256}")), None);
        let md5 = "a00e300c06082a864886f70d02050500a11b301906092a864886f70d010108300c06082a864886f70d02050500";
        assert_eq!(of(&format!("302d{md5}")), None);
        assert_eq!(of("3013a211300f06092a864886f70d01010904026869"), None);
        assert_eq!(of("30000500"), None);
        // An explicit empty label, and all defaults.
        assert_eq!(
            of("3011a20f300d06092a864886f70d0101090400"),
            Some(KeyTransport::RsaOaep(Digest::Sha1))
        );
        assert_eq!(of("3000"), Some(KeyTransport::RsaOaep(Digest::Sha1)));
    }
}
