//! From a request to the bytes that the CA's key signs.

use std::time::Duration;

use der::asn1::OctetString;
use der::{Decode, Document};
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::ext::Extension as X509Extension;
use x509_cert::name::Name;
use x509_cert::time::Validity;

use super::lint::{self, LintError};
use super::names::{self, Names, NamesError};
use super::{Issuer, Profile};
use crate::clock::Timestamp;
use crate::pki::extension::{self, BasicConstraints, KeyUsage};
use crate::pki::{
    self, Certificate, CertificateError, CertificateRequest, Digest, KeyKind, PublicKey,
    SerialNumber, SignatureAlgorithm, SignatureError,
};

/// A certificate that lacks nothing but its signature.
#[derive(Clone, Debug)]
pub struct PreparedCertificate {
    serial: SerialNumber,
    tbs: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    subject: Vec<u8>,
    public_key: PublicKey,
    ignored: Vec<String>,
    issuer: Certificate,
    algorithm: SignatureAlgorithm,
}

/// Why no certificate is issued.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuanceError {
    /// The profile does not allow keys of this kind.
    #[error("profile «{profile}» does not allow {kind} keys")]
    KeyKind {
        /// The profile.
        profile: String,
        /// The request's key.
        kind: KeyKind,
    },
    /// The request is self-signed with an algorithm that the profile does not accept.
    #[error(
        "the request is self-signed with {0}, which profile «{1}» does not accept; use SHA-256"
    )]
    RequestSignature(SignatureAlgorithm, String),
    /// The names are not allowed.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// None of the profile's key usages fits the kind of the key.
    #[error("none of the key usages of profile «{0}» can be had by a {1} key")]
    NoUsage(String, KeyKind),
    /// The CA is not valid now, or not long enough.
    #[error(
        "the CA «{ca}» is valid from {not_before} to {not_after}, it is {now}; check the clock, or renew the CA"
    )]
    IssuerNotValid {
        /// The CA's name in the configuration.
        ca: String,
        /// From when its certificate is valid.
        not_before: Timestamp,
        /// Until when it and its chain are valid.
        not_after: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The certificate cannot be encoded.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(String),
    /// The certificate breaks a rule: a fault of the software or of the profile.
    #[error(
        "the certificate fails its own check: {0}; this is a fault in Chancery, please report it"
    )]
    Lint(#[from] LintError),
    /// The finished certificate cannot be read back.
    #[error("the finished certificate cannot be read back: {0}")]
    Certificate(#[from] CertificateError),
    /// The signature is not the CA's.
    #[error("the signature does not belong to the CA's certificate: {0}")]
    Signature(#[from] SignatureError),
}

impl From<der::Error> for IssuanceError {
    fn from(e: der::Error) -> Self {
        Self::Encoding(e.to_string())
    }
}

/// Makes the TBSCertificate for `csr`: its key and subject as they came, everything else from
/// `profile` and `issuer`. Whoever calls this has an authorized request whose possession of the
/// key is proven and whose key passed the profile's policy. The result is linted.
pub fn prepare(
    issuer: &Issuer,
    profile: &Profile,
    csr: &CertificateRequest,
    serial: SerialNumber,
    now: Timestamp,
) -> Result<PreparedCertificate, IssuanceError> {
    let kind = csr.public_key().kind();
    if !profile.keys.allows(kind) {
        return Err(IssuanceError::KeyKind { profile: profile.name.clone(), kind });
    }
    let algorithm = csr.signature_algorithm();
    let accepted = match algorithm.digest() {
        Some(Digest::Md5) => false,
        Some(Digest::Sha1) => profile.sha1_requests,
        _ => true,
    };
    if !accepted {
        return Err(IssuanceError::RequestSignature(algorithm, profile.name.clone()));
    }
    let mut names = names::decide(profile, csr)?;
    let length = match csr.validity_wish() {
        Some(wish) if profile.shorter_validity && wish < profile.validity => wish,
        Some(wish) => {
            names.ignored.push(format!("validity of {} hours", wish.as_secs() / 3600));
            profile.validity
        }
        None => profile.validity,
    };
    let (not_before, not_after) = validity(issuer, profile, length, now)?;
    let extensions = extensions(issuer, profile, csr.public_key(), &names)?;
    let spki = SubjectPublicKeyInfoOwned::from_der(csr.public_key().spki())?;
    let parts = Parts {
        issuer: Name::from_der(issuer.certificate().subject())?,
        subject: Name::from_der(csr.subject())?,
        extensions,
    };
    let validity = Validity::new(pki::x509_time(not_before)?, pki::x509_time(not_after)?);
    let number = x509_cert::serial_number::SerialNumber::from_der(&integer(&serial)?)?;
    let encoding = |e: x509_cert::builder::Error| IssuanceError::Encoding(e.to_string());
    let mut builder = CertificateBuilder::new(parts, number, validity, spki).map_err(encoding)?;
    let tbs = builder.finalize(&HalfKey::of(issuer)).map_err(encoding)?;
    let prepared = PreparedCertificate {
        serial,
        tbs,
        not_before,
        not_after,
        subject: csr.subject().to_vec(),
        public_key: csr.public_key().clone(),
        ignored: names.ignored,
        issuer: issuer.certificate().clone(),
        algorithm: issuer.algorithm(),
    };
    lint::tbs(&prepared.tbs, &prepared.expected())?;
    Ok(prepared)
}

impl PreparedCertificate {
    /// The serial number.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The TBSCertificate in DER: what the write-ahead entry holds and the CA's key signs (I2).
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The first moment of validity.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second of validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The subject's Name in DER, as the request had it.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The certified key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What the request asked for and does not get, for the ledger; safe to show.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Puts the CA's signature to the certificate, verifies it with the CA's key and lints the
    /// whole again.
    pub fn assemble(&self, signature: &[u8]) -> Result<Certificate, IssuanceError> {
        let der = pki::signed(&self.tbs, self.algorithm, signature)?;
        lint::certificate(&der, &self.expected())?;
        let certificate = Certificate::from_der(&der)?;
        certificate.verify_signature(self.issuer.public_key())?;
        Ok(certificate)
    }

    fn expected(&self) -> lint::Expected<'_> {
        lint::Expected {
            issuer: &self.issuer,
            algorithm: self.algorithm,
            serial: &self.serial,
            subject: &self.subject,
            spki: self.public_key.spki(),
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

/// notBefore and notAfter, both within the CA's own time.
fn validity(
    issuer: &Issuer,
    profile: &Profile,
    length: Duration,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), IssuanceError> {
    let ca = issuer.certificate();
    if now < ca.not_before() || now >= issuer.not_after() {
        return Err(IssuanceError::IssuerNotValid {
            ca: issuer.id().into(),
            not_before: ca.not_before(),
            not_after: issuer.not_after(),
            now,
        });
    }
    let whole = |t: Timestamp| Timestamp::from_unix_seconds(t.unix_seconds());
    let not_before = whole(now.before(profile.backdate)).max(ca.not_before());
    // Both ends belong to the period (RFC 5280 section 4.1.2.5).
    let end = whole(now).after(length).before(Duration::from_secs(1));
    Ok((not_before, whole(end).min(issuer.not_after())))
}

/// The usages of `wanted` that a key of this kind can have.
fn usable(wanted: KeyUsage, kind: KeyKind) -> KeyUsage {
    let agreement = KeyUsage::KEY_AGREEMENT | KeyUsage::ENCIPHER_ONLY | KeyUsage::DECIPHER_ONLY;
    let encipherment = KeyUsage::KEY_ENCIPHERMENT | KeyUsage::DATA_ENCIPHERMENT;
    match kind {
        KeyKind::Rsa(_) => wanted.without(agreement), // RFC 4055 section 1.2
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => wanted.without(encipherment), // RFC 8813
        // RFC 8410 section 5, RFC 9881 section 3
        KeyKind::Ed25519 | KeyKind::MlDsa(_) => wanted.without(agreement | encipherment),
    }
}

/// Every extension of the certificate, in the order in which they are written.
fn extensions(
    issuer: &Issuer,
    profile: &Profile,
    key: &PublicKey,
    names: &Names,
) -> Result<Vec<X509Extension>, IssuanceError> {
    let mut out = Vec::new();
    let mut add = |oid, critical, value: Vec<u8>| {
        OctetString::new(value).map(|extn_value| {
            out.push(X509Extension { extn_id: oid, critical, extn_value });
        })
    };
    let usage = usable(profile.key_usage, key.kind());
    if usage.is_empty() {
        return Err(IssuanceError::NoUsage(profile.name.clone(), key.kind()));
    }
    if profile.basic_constraints {
        let none = BasicConstraints { ca: false, path_len: None };
        add(extension::BASIC_CONSTRAINTS, true, none.to_der()?)?;
    }
    add(extension::KEY_USAGE, true, usage.to_der()?)?;
    if !profile.extended_key_usage.is_empty() {
        let value = extension::extended_key_usages(&profile.extended_key_usage)?;
        add(extension::EXTENDED_KEY_USAGE, false, value)?;
    }
    let identifier = extension::subject_key_identifier(&key.key_identifier())?;
    add(extension::SUBJECT_KEY_IDENTIFIER, false, identifier)?;
    // The issuer's own identifier, however it was made (RFC 5280 section 4.2.1.1).
    let authority = extension::authority_key_identifier(issuer.key_identifier())?;
    add(extension::AUTHORITY_KEY_IDENTIFIER, false, authority)?;
    if let Some(value) = &names.alternative {
        add(extension::SUBJECT_ALT_NAME, names.subject_is_empty, value.clone())?;
    }
    if !profile.crl_urls.is_empty() {
        let value = extension::crl_distribution_points(&profile.crl_urls)?;
        add(extension::CRL_DISTRIBUTION_POINTS, false, value)?;
    }
    if !profile.ca_issuer_urls.is_empty() || !profile.ocsp_urls.is_empty() {
        let value = extension::authority_info_access(&profile.ca_issuer_urls, &profile.ocsp_urls)?;
        add(extension::AUTHORITY_INFO_ACCESS, false, value)?;
    }
    Ok(out)
}

fn integer(serial: &SerialNumber) -> der::Result<Vec<u8>> {
    der::Encode::to_der(&der::asn1::AnyRef::new(der::Tag::Integer, serial.content())?)
}

/// The parts of the TBSCertificate that the builder asks a profile for.
struct Parts {
    issuer: Name,
    subject: Name,
    extensions: Vec<X509Extension>,
}

impl BuilderProfile for Parts {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &x509_cert::TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<X509Extension>> {
        Ok(self.extensions.clone())
    }
}

/// The public half of the CA's key, which is all that the builder needs to write a TBSCertificate.
struct HalfKey {
    key: IssuerKey,
    algorithm: SignatureAlgorithm,
}

#[derive(Clone)]
struct IssuerKey(Vec<u8>);

impl HalfKey {
    fn of(issuer: &Issuer) -> Self {
        let spki = issuer.certificate().public_key().spki().to_vec();
        Self { key: IssuerKey(spki), algorithm: issuer.algorithm() }
    }
}

impl signature::Keypair for HalfKey {
    type VerifyingKey = IssuerKey;

    fn verifying_key(&self) -> IssuerKey {
        self.key.clone()
    }
}

impl EncodePublicKey for IssuerKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.as_slice())?)
    }
}

impl DynSignatureAlgorithmIdentifier for HalfKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(AlgorithmIdentifierOwned::from_der(&self.algorithm.identifier_der())?)
    }
}
