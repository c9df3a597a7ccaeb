//! The TBSCertificate of a CA, RA, OCSP responder, log key or TLS server (RFC 5280 section 4.1).

use const_oid::ObjectIdentifier;
use der::{Encode, Tag};

use super::ArtefactError;
use crate::ceremony::plan::{CertificateKind, CertificateProfile};
use crate::clock::Timestamp;
use crate::pki::asn1::{context, element, sequence};
use crate::pki::extension::{self, BasicConstraints, KeyUsage};
use crate::pki::{Certificate, PublicKey, SerialNumber, SignatureAlgorithm, x509_time};

const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const CPS_QUALIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.2.1");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const OCSP_NO_CHECK: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.5");

/// Everything that a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct CertificateTerms<'a> {
    /// The profile.
    pub profile: &'a CertificateProfile,
    /// The subject's Name in DER.
    pub subject: &'a [u8],
    /// The subject's key.
    pub key: &'a PublicKey,
    /// The subject key identifier.
    pub key_identifier: &'a [u8],
    /// The issuer; none where the certificate is self-signed.
    pub issuer: Option<&'a Certificate>,
    /// How the issuer signs.
    pub algorithm: SignatureAlgorithm,
    /// The serial number.
    pub serial: &'a SerialNumber,
    /// The first second of validity.
    pub not_before: Timestamp,
    /// The last second of validity.
    pub not_after: Timestamp,
}

/// The TBSCertificate in DER.
pub fn tbs_certificate(terms: &CertificateTerms<'_>) -> Result<Vec<u8>, ArtefactError> {
    let version = element(context(0, true), &[&[0x02, 0x01, 0x02]])?;
    let serial = element(Tag::Integer, &[terms.serial.content()])?;
    let (before, after) = (x509_time(terms.not_before)?, x509_time(terms.not_after)?);
    let validity = sequence(&[&before.to_der()?, &after.to_der()?])?;
    let issuer = terms.issuer.map_or(terms.subject, Certificate::subject);
    let extensions = element(context(3, true), &[&sequence(&[&extensions(terms)?])?])?;
    Ok(sequence(&[
        &version,
        &serial,
        &terms.algorithm.identifier_der(),
        issuer,
        &validity,
        terms.subject,
        terms.key.spki(),
        &extensions,
    ])?)
}

/// The key usage of each kind; nothing else may be in it.
pub(super) fn key_usage(kind: CertificateKind) -> KeyUsage {
    match kind {
        CertificateKind::RootCa | CertificateKind::IssuingCa => {
            KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN
        }
        CertificateKind::RaDecryption => KeyUsage::KEY_ENCIPHERMENT,
        CertificateKind::RaSigning
        | CertificateKind::Ocsp
        | CertificateKind::Log
        | CertificateKind::Tls => KeyUsage::DIGITAL_SIGNATURE,
    }
}

fn extensions(terms: &CertificateTerms<'_>) -> Result<Vec<u8>, ArtefactError> {
    let profile = terms.profile;
    let mut all = Vec::new();
    let mut add = |oid: ObjectIdentifier, critical: bool, value: Vec<u8>| {
        let flag = if critical { vec![0x01, 0x01, 0xff] } else { Vec::new() };
        let value = element(Tag::OctetString, &[&value])?;
        all.extend(sequence(&[&oid.to_der()?, &flag, &value])?);
        Ok::<_, ArtefactError>(())
    };
    let path_len = profile.path_length.map(u32::from).filter(|_| profile.kind.is_ca());
    let constraints = BasicConstraints { ca: profile.kind.is_ca(), path_len };
    add(extension::BASIC_CONSTRAINTS, true, constraints.to_der()?)?;
    add(extension::KEY_USAGE, true, key_usage(profile.kind).to_der()?)?;
    let key_identifier = extension::subject_key_identifier(terms.key_identifier)?;
    add(extension::SUBJECT_KEY_IDENTIFIER, false, key_identifier)?;
    // A self-signed certificate has no use for it (RFC 5280 section 4.2.1.1).
    if let Some(identifier) = terms.issuer.and_then(Certificate::subject_key_identifier) {
        let value = extension::authority_key_identifier(&identifier)?;
        add(extension::AUTHORITY_KEY_IDENTIFIER, false, value)?;
    }
    let purposes = purposes(profile)?;
    if !purposes.is_empty() {
        add(extension::EXTENDED_KEY_USAGE, false, extension::extended_key_usages(&purposes)?)?;
    }
    if !profile.policies.is_empty() {
        add(CERTIFICATE_POLICIES, false, policies(profile)?)?;
    }
    if !profile.crl_urls.is_empty() {
        let value = extension::crl_distribution_points(&profile.crl_urls)?;
        add(extension::CRL_DISTRIBUTION_POINTS, false, value)?;
    }
    if !profile.aia_urls.is_empty() {
        let value = extension::authority_info_access(&profile.aia_urls, &[])?;
        add(extension::AUTHORITY_INFO_ACCESS, false, value)?;
    }
    if !profile.dns_names.is_empty() {
        let names = profile.dns_names.iter();
        let names = names.map(|n| element(context(2, false), &[n.as_bytes()]));
        let names = names.collect::<der::Result<Vec<_>>>()?;
        add(extension::SUBJECT_ALT_NAME, false, sequence(&[&names.concat()])?)?;
    }
    if profile.kind == CertificateKind::Ocsp {
        add(OCSP_NO_CHECK, false, vec![0x05, 0x00])?;
    }
    Ok(all)
}

fn purposes(profile: &CertificateProfile) -> Result<Vec<ObjectIdentifier>, ArtefactError> {
    let fixed = match profile.kind {
        CertificateKind::Ocsp => Some(OCSP_SIGNING),
        CertificateKind::Tls => Some(SERVER_AUTH),
        _ => None,
    };
    let named = profile.extended_key_usage.iter().map(|o| oid(o));
    fixed.into_iter().map(Ok).chain(named).collect()
}

fn policies(profile: &CertificateProfile) -> Result<Vec<u8>, ArtefactError> {
    let policy = |(index, text): (usize, &String)| {
        let qualifiers = match &profile.cps {
            Some(url) if index == 0 => {
                let url = element(Tag::Ia5String, &[url.as_bytes()])?;
                sequence(&[&sequence(&[&CPS_QUALIFIER.to_der()?, &url])?])?
            }
            _ => Vec::new(),
        };
        Ok::<_, ArtefactError>(sequence(&[&oid(text)?.to_der()?, &qualifiers])?)
    };
    let all: Vec<Vec<u8>> =
        profile.policies.iter().enumerate().map(policy).collect::<Result<_, _>>()?;
    Ok(sequence(&[&all.concat()])?)
}

fn oid(text: &str) -> Result<ObjectIdentifier, ArtefactError> {
    ObjectIdentifier::new(text)
        .map_err(|_| ArtefactError::Malformed(format!("«{text}» is no object identifier")))
}
