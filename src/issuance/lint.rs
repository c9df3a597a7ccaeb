//! The last look at a certificate, before it is signed and again when it is finished. It reads
//! the bytes anew and knows nothing of how they were made: what it checks is RFC 5280's profile
//! and that the certificate says what was decided, no more and no less.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Tag};
use x509_cert::TbsCertificate;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints};
use x509_cert::time::Time;

use crate::clock::Timestamp;
use crate::pki::extension::{
    ANY_EXTENDED_KEY_USAGE, AUTHORITY_INFO_ACCESS, AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS,
    BasicConstraints, CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, KEY_USAGE, KeyUsage,
    SUBJECT_ALT_NAME, SUBJECT_KEY_IDENTIFIER, authority_key_identifier, subject_key_identifier,
};
use crate::pki::{Certificate, GeneralName, KeyKind, PublicKey, SerialNumber, SignatureAlgorithm};

/// What a certificate must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The CA's certificate.
    pub issuer: &'a Certificate,
    /// The algorithm of the CA's signature.
    pub algorithm: SignatureAlgorithm,
    /// The serial number that was reserved.
    pub serial: &'a SerialNumber,
    /// The subject's Name in DER.
    pub subject: &'a [u8],
    /// The SubjectPublicKeyInfo in DER.
    pub spki: &'a [u8],
    /// The first moment of validity.
    pub not_before: Timestamp,
    /// The last second of validity.
    pub not_after: Timestamp,
}

/// The rule that a certificate breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// It is no TBSCertificate or certificate.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Read and written again it has other bytes.
    #[error("it is not in DER")]
    NotDer,
    /// A field is not what was decided or not what RFC 5280 asks.
    #[error("its {field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// An extension is missing, superfluous, or has a value that RFC 5280 forbids.
    #[error("its extension {oid} {problem}")]
    Extension {
        /// The extension.
        oid: ObjectIdentifier,
        /// What is wrong.
        problem: &'static str,
    },
}

impl From<der::Error> for LintError {
    fn from(e: der::Error) -> Self {
        Self::Unreadable(e.to_string())
    }
}

const fn field<T>(field: &'static str, problem: &'static str) -> Result<T, LintError> {
    Err(LintError::Field { field, problem })
}

/// Checks a TBSCertificate of an end entity.
pub fn tbs(der: &[u8], expected: &Expected<'_>) -> Result<(), LintError> {
    let tbs = TbsCertificate::from_der(der)?;
    if tbs.to_der()? != der {
        return Err(LintError::NotDer);
    }
    if tbs.version() != Version::V3 {
        return field("version", "is not 3");
    }
    serial(&tbs, expected.serial)?;
    if tbs.signature().to_der()? != expected.algorithm.identifier_der() {
        return field("signature algorithm", "is not the CA's, byte for byte");
    }
    if tbs.issuer().to_der()? != expected.issuer.subject() || tbs.issuer().is_empty() {
        return field("issuer", "is not the CA's subject, byte for byte");
    }
    if tbs.subject().to_der()? != expected.subject {
        return field("subject", "is not the request's, byte for byte");
    }
    if tbs.subject_public_key_info().to_der()? != expected.spki {
        return field("public key", "is not the request's, byte for byte");
    }
    let key = PublicKey::from_spki(expected.spki).ok().filter(PublicKey::has_canonical_algorithm);
    let Some(key) = key else {
        return field("public key", "is not in its one allowed encoding");
    };
    if tbs.issuer_unique_id().is_some() || tbs.subject_unique_id().is_some() {
        return field("unique identifier", "must not be there");
    }
    validity(&tbs, expected)?;
    let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    check_extensions(extensions, &key, expected)
}

/// Checks a finished certificate: its TBSCertificate as [`tbs`] does, the algorithm outside equal
/// to the one inside, nothing else. The signature itself is verified elsewhere.
pub fn certificate(der: &[u8], expected: &Expected<'_>) -> Result<(), LintError> {
    let [inner, algorithm, signature] = AnyRef::from_der(der)?.sequence(|reader| {
        Ok::<_, der::Error>([
            AnyRef::decode(reader)?,
            AnyRef::decode(reader)?,
            AnyRef::decode(reader)?,
        ])
    })?;
    tbs(&inner.to_der()?, expected)?;
    if algorithm.to_der()? != expected.algorithm.identifier_der() {
        return field("outer signature algorithm", "differs from the inner one");
    }
    let bits = signature.decode_as::<BitStringRef<'_>>()?;
    match bits.as_bytes() {
        Some(bytes) if !bytes.is_empty() => Ok(()),
        _ => field("signature", "is no string of whole bytes"),
    }
}

fn serial(tbs: &TbsCertificate, expected: &SerialNumber) -> Result<(), LintError> {
    let content = expected.content();
    let encoded = tbs.serial_number().to_der()?;
    if encoded != AnyRef::new(Tag::Integer, content)?.to_der()? {
        return field("serial number", "is not the reserved one");
    }
    let significant = content.iter().skip_while(|b| **b == 0).count();
    match content.first() {
        Some(first) if first & 0x80 == 0 && content.len() <= 20 && significant >= 8 => Ok(()),
        _ => field("serial number", "is not a positive number of 8 to 20 octets"),
    }
}

fn validity(tbs: &TbsCertificate, expected: &Expected<'_>) -> Result<(), LintError> {
    let read = |time: &Time| {
        let seconds = time.to_unix_duration().as_secs();
        // RFC 5280 section 4.1.2.5: UTCTime exactly until the end of 2049.
        let right = matches!(time, Time::UtcTime(_)) == (time.to_date_time().year() < 2050);
        (Timestamp::from_unix_seconds(seconds), right)
    };
    let (not_before, first) = read(&tbs.validity().not_before);
    let (not_after, second) = read(&tbs.validity().not_after);
    if !(first && second) {
        return field("validity", "has a UTCTime where a GeneralizedTime belongs, or the reverse");
    }
    if not_before != expected.not_before || not_after != expected.not_after {
        return field("validity", "is not what was decided");
    }
    if not_after <= not_before {
        return field("validity", "ends before it begins");
    }
    if not_before < expected.issuer.not_before() || not_after > expected.issuer.not_after() {
        return field("validity", "reaches beyond the CA's");
    }
    Ok(())
}

/// The extensions that an end entity's certificate may have, and whether they are critical;
/// subjectAltName depends on the subject. Nothing else gets in.
const KNOWN: [(ObjectIdentifier, Option<bool>); 8] = [
    (BASIC_CONSTRAINTS, Some(true)),
    (KEY_USAGE, Some(true)),
    (EXTENDED_KEY_USAGE, Some(false)),
    (SUBJECT_KEY_IDENTIFIER, Some(false)),
    (AUTHORITY_KEY_IDENTIFIER, Some(false)),
    (SUBJECT_ALT_NAME, None),
    (CRL_DISTRIBUTION_POINTS, Some(false)),
    (AUTHORITY_INFO_ACCESS, Some(false)),
];

fn check_extensions(
    extensions: &[Extension],
    key: &PublicKey,
    expected: &Expected<'_>,
) -> Result<(), LintError> {
    let empty_subject = expected.subject == [0x30, 0];
    for (i, extension) in extensions.iter().enumerate() {
        let oid = extension.extn_id;
        let wrong = |problem| Err(LintError::Extension { oid, problem });
        let Some((_, critical)) = KNOWN.iter().find(|(known, _)| *known == oid) else {
            return wrong("is none that a device's certificate may have");
        };
        if extension.critical != critical.unwrap_or(empty_subject) {
            return wrong("has the wrong criticality");
        }
        if extensions[..i].iter().any(|e| e.extn_id == oid) {
            return wrong("stands there twice");
        }
        if let Some(problem) = value_problem(oid, extension.extn_value.as_bytes(), key, expected) {
            return wrong(problem);
        }
    }
    let has = |oid: ObjectIdentifier| extensions.iter().any(|e| e.extn_id == oid);
    for oid in [KEY_USAGE, SUBJECT_KEY_IDENTIFIER, AUTHORITY_KEY_IDENTIFIER] {
        if !has(oid) {
            return Err(LintError::Extension { oid, problem: "is missing" });
        }
    }
    if empty_subject && !has(SUBJECT_ALT_NAME) {
        return field("subject", "is empty and there is no alternative name");
    }
    Ok(())
}

fn value_problem(
    oid: ObjectIdentifier,
    value: &[u8],
    key: &PublicKey,
    expected: &Expected<'_>,
) -> Option<&'static str> {
    let sound = match oid {
        BASIC_CONSTRAINTS => {
            let none = BasicConstraints { ca: false, path_len: None };
            return (none.to_der().as_deref() != Ok(value)).then_some("is not CA:FALSE alone");
        }
        KEY_USAGE => return key_usage_problem(value, key.kind()),
        SUBJECT_KEY_IDENTIFIER => {
            subject_key_identifier(&key.key_identifier()).as_deref() == Ok(value)
        }
        AUTHORITY_KEY_IDENTIFIER => {
            let identifier = expected.issuer.subject_key_identifier();
            let wanted = identifier.and_then(|id| authority_key_identifier(&id).ok());
            wanted.as_deref() == Some(value)
        }
        SUBJECT_ALT_NAME => return alternative_problem(value),
        EXTENDED_KEY_USAGE => read_back::<Vec<ObjectIdentifier>>(value)
            .is_some_and(|l| !l.is_empty() && l.iter().all(|u| *u != ANY_EXTENDED_KEY_USAGE)),
        CRL_DISTRIBUTION_POINTS => {
            read_back::<CrlDistributionPoints>(value).is_some_and(|points| points.0.len() == 1)
        }
        AUTHORITY_INFO_ACCESS => {
            read_back::<AuthorityInfoAccessSyntax>(value).is_some_and(|access| !access.0.is_empty())
        }
        _ => false,
    };
    (!sound).then_some("has the wrong value")
}

/// The value, where it is in DER.
fn read_back<T: for<'a> Decode<'a, Error = der::Error> + Encode>(value: &[u8]) -> Option<T> {
    T::from_der(value).ok().filter(|read| read.to_der().as_deref() == Ok(value))
}

fn key_usage_problem(value: &[u8], kind: KeyKind) -> Option<&'static str> {
    let bits = BitStringRef::from_der(value).ok();
    let usage = bits
        .map(|b| b.bits().enumerate().take(9).fold(0, |all, (i, set)| all | (u16::from(set) << i)));
    let usage = KeyUsage::from_bits(usage.unwrap_or_default());
    // Also finds trailing zero bits, which DER forbids.
    if usage.is_empty() || usage.to_der().as_deref() != Ok(value) {
        return Some("is empty or not in DER");
    }
    if usage.intersects(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN) {
        return Some("lets the holder sign certificates or CRLs");
    }
    let forbidden = match kind {
        KeyKind::Rsa(_) => KeyUsage::KEY_AGREEMENT,
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => KeyUsage::KEY_ENCIPHERMENT,
        KeyKind::Ed25519 | KeyKind::MlDsa(_) => {
            KeyUsage::KEY_ENCIPHERMENT | KeyUsage::KEY_AGREEMENT
        }
    };
    usage.intersects(forbidden).then_some("has a usage that this kind of key cannot have")
}

fn alternative_problem(value: &[u8]) -> Option<&'static str> {
    let Ok(names) = GeneralName::parse_all(value) else { return Some("cannot be read") };
    if GeneralName::encode_all(&names).as_deref() != Ok(value) {
        return Some("is not in DER");
    }
    if names.iter().any(GeneralName::claims_sid) {
        return Some("claims a security identifier");
    }
    let form = names.iter().any(|n| n.check_form(true).is_err());
    form.then_some("has a name of a form or kind that no certificate may have")
}
