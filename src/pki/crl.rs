//! Certificate revocation lists (RFC 5280 section 5): the TBSCertList that a CA's key signs, and
//! the finished list. Written from `x509-cert`'s types and not with its builder, which names the
//! issuer's own issuer as the authority key; the identifiers of the extensions are ours, because
//! the crate has another one for issuingDistributionPoint.

use der::asn1::{AnyRef, GeneralizedTime, OctetString};
use der::{DateTime, Decode, Encode, Tag};
use x509_cert::certificate::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::Extension as X509Extension;
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::asn1::{context, element, elements, sequence};
use super::extension::{
    AUTHORITY_KEY_IDENTIFIER, CRL_NUMBER, INVALIDITY_DATE, ISSUING_DISTRIBUTION_POINT, KeyUsage,
    REASON_CODE, authority_key_identifier, distribution_point_name,
};
use super::{Certificate, PublicKey, SerialNumber, SignatureAlgorithm, SignatureError, x509_time};
use crate::clock::Timestamp;

/// Why a certificate was revoked (RFC 5280 section 5.3.1). removeFromCRL is for delta CRLs alone
/// and so is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RevocationReason {
    /// No reason is given; the entry carries no reasonCode then.
    Unspecified,
    /// The private key is, or may be, in other hands.
    KeyCompromise,
    /// The CA's private key is, or may be, in other hands.
    CaCompromise,
    /// The subject's name or affiliation changed.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The certificate is no longer needed.
    CessationOfOperation,
    /// On hold; may become valid again.
    CertificateHold,
    /// A right that the certificate states was withdrawn.
    PrivilegeWithdrawn,
    /// The attribute authority is compromised.
    AaCompromise,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: SerialNumber,
    /// When it was revoked.
    pub revoked: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// Since when the key must be taken for compromised, where that is known to be earlier.
    pub invalid_since: Option<Timestamp>,
}

/// Which certificates a list speaks of, and where it is published (RFC 5280 section 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrlScope {
    /// The addresses of this very list, as certificates name it in cRLDistributionPoints.
    pub urls: Vec<String>,
    /// Only one kind of certificates.
    pub only: Option<CrlSubjects>,
}

/// The kinds of certificates to which a list can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlSubjects {
    /// Certificates of end entities.
    Users,
    /// Certificates of CAs.
    Cas,
}

/// What a list says.
#[derive(Clone, Copy, Debug)]
pub struct CrlContent<'a> {
    /// The CA's certificate.
    pub issuer: &'a Certificate,
    /// How the CA's key signs.
    pub algorithm: SignatureAlgorithm,
    /// The list's number; larger than that of every earlier list of this CA.
    pub number: u64,
    /// When the list was made.
    pub this_update: Timestamp,
    /// When there will be a newer one at the latest.
    pub next_update: Timestamp,
    /// What it is limited to; none, or an empty one, is a full and complete list without address.
    pub scope: Option<&'a CrlScope>,
    /// The revoked certificates, in any order, each once.
    pub revoked: &'a [RevokedCertificate],
}

/// A list that lacks nothing but its signature.
#[derive(Clone, Debug)]
pub struct PreparedCrl {
    tbs: Vec<u8>,
    algorithm: SignatureAlgorithm,
    key: PublicKey,
}

/// A finished list, or one that was read.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    list: CertificateList,
}

/// Why there is no list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// The bytes are no CRL, or it cannot be encoded.
    #[error("the CRL cannot be read or written: {0}")]
    Malformed(String),
    /// The issuer may not sign CRLs.
    #[error("the CA's certificate lacks {0}, so that nobody would believe its CRL")]
    Issuer(&'static str),
    /// The times.
    #[error("the CRL's next update {next_update} is not after its this update {this_update}")]
    Times {
        /// When it was made.
        this_update: Timestamp,
        /// When the next one comes.
        next_update: Timestamp,
    },
    /// A serial number is listed twice.
    #[error("the serial number {0} stands twice in the CRL")]
    Repeated(SerialNumber),
    /// The signature is not the CA's.
    #[error("the CRL's signature: {0}")]
    Signature(#[from] SignatureError),
}

impl From<der::Error> for CrlError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

impl RevocationReason {
    /// All of them, by their codes.
    pub const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The code of CRLReason.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// The name in RFC 5280.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    /// The reason with this name, upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name().eq_ignore_ascii_case(name))
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PreparedCrl {
    /// Makes the TBSCertList: version 2, entries sorted by serial, the extensions
    /// authorityKeyIdentifier (the issuer's own subject key identifier), cRLNumber and, where
    /// there is a scope, issuingDistributionPoint.
    pub fn new(content: &CrlContent<'_>) -> Result<Self, CrlError> {
        let issuer = content.issuer;
        let identifier =
            issuer.subject_key_identifier().ok_or(CrlError::Issuer("a subject key identifier"))?;
        let usage = issuer.key_usage().map(KeyUsage::from_bits);
        if !usage.is_some_and(|u| u.contains(KeyUsage::CRL_SIGN)) {
            return Err(CrlError::Issuer("the key usage cRLSign"));
        }
        let (this_update, next_update) = (content.this_update, content.next_update);
        if next_update.unix_seconds() <= this_update.unix_seconds() {
            return Err(CrlError::Times { this_update, next_update });
        }
        let mut extensions = vec![
            extension(AUTHORITY_KEY_IDENTIFIER, false, authority_key_identifier(&identifier)?)?,
            extension(CRL_NUMBER, false, content.number.to_der()?)?,
        ];
        if let Some(scope) = content.scope.filter(|s| **s != CrlScope::default()) {
            let value = scope.to_der()?;
            extensions.push(extension(ISSUING_DISTRIBUTION_POINT, true, value)?);
        }
        let entries = entries(content.revoked)?;
        let tbs = TbsCertList {
            version: Version::V2,
            signature: Decode::from_der(&content.algorithm.identifier_der())?,
            issuer: Name::from_der(issuer.subject())?,
            this_update: x509_time(this_update)?,
            next_update: Some(x509_time(next_update)?),
            // RFC 5280 section 5.1.2.6: absent, and not empty, where there are none.
            revoked_certificates: (!entries.is_empty()).then_some(entries),
            crl_extensions: Some(extensions),
        };
        if tbs.issuer.to_der()? != issuer.subject() {
            return Err(CrlError::Issuer("a subject in DER"));
        }
        let key = issuer.public_key().clone();
        Ok(Self { tbs: tbs.to_der()?, algorithm: content.algorithm, key })
    }

    /// The TBSCertList in DER: what the write-ahead entry holds and the CA's key signs (I2).
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// Puts the CA's signature to the list and verifies it with the CA's key.
    pub fn assemble(&self, signature: &[u8]) -> Result<Crl, CrlError> {
        let crl = Crl::from_der(&super::signed(&self.tbs, self.algorithm, signature)?)?;
        crl.verify_signature(&self.key)?;
        Ok(crl)
    }
}

impl CrlScope {
    fn to_der(&self) -> der::Result<Vec<u8>> {
        let point = match self.urls.is_empty() {
            true => Vec::new(),
            false => distribution_point_name(&self.urls)?,
        };
        let only = match self.only {
            None => Vec::new(),
            Some(CrlSubjects::Users) => element(context(1, false), &[&[0xff]])?,
            Some(CrlSubjects::Cas) => element(context(2, false), &[&[0xff]])?,
        };
        sequence(&[&point, &only])
    }
}

fn extension(
    oid: der::asn1::ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> der::Result<X509Extension> {
    Ok(X509Extension { extn_id: oid, critical, extn_value: OctetString::new(value)? })
}

fn entries(revoked: &[RevokedCertificate]) -> Result<Vec<RevokedCert>, CrlError> {
    let mut sorted: Vec<&RevokedCertificate> = revoked.iter().collect();
    sorted.sort_by(|a, b| a.serial.cmp(&b.serial));
    if let Some(pair) = sorted.windows(2).find(|p| p[0].serial == p[1].serial) {
        return Err(CrlError::Repeated(pair[0].serial.clone()));
    }
    sorted.into_iter().map(entry).collect()
}

fn entry(one: &RevokedCertificate) -> Result<RevokedCert, CrlError> {
    let mut extensions = Vec::new();
    // RFC 5280 section 5.3.1: unspecified is said by saying nothing.
    if one.reason != RevocationReason::Unspecified {
        let value = element(Tag::Enumerated, &[&[one.reason.code()]])?;
        extensions.push(extension(REASON_CODE, false, value)?);
    }
    if let Some(since) = one.invalid_since {
        let seconds = std::time::Duration::from_secs(since.unix_seconds());
        // Section 5.3.2: GeneralizedTime whatever the year.
        let time = GeneralizedTime::from_date_time(DateTime::from_unix_duration(seconds)?);
        extensions.push(extension(INVALIDITY_DATE, false, time.to_der()?)?);
    }
    Ok(RevokedCert {
        serial_number: Decode::from_der(&element(Tag::Integer, &[one.serial.content()])?)?,
        revocation_date: x509_time(one.revoked)?,
        crl_entry_extensions: (!extensions.is_empty()).then_some(extensions),
    })
}

impl Crl {
    /// Reads a list in DER; nothing may follow it. Its signature is not yet verified.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let list = CertificateList::from_der(der)?;
        let outer = AnyRef::from_der(der)?;
        let start = der.len() - outer.value().len();
        let [tbs, _, _] = elements(outer.value())?[..] else {
            return Err(CrlError::Malformed("it does not have its three parts".into()));
        };
        let tbs = start..start + usize::try_from(tbs.encoded_len()?)?;
        Ok(Self { der: der.to_vec(), tbs, list })
    }

    /// The list in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The list in PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        super::pem("X509 CRL", &self.der)
    }

    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        timestamp(&self.list.tbs_cert_list.this_update)
    }

    /// When the next one comes, where it says so.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.list.tbs_cert_list.next_update.as_ref().map(timestamp)
    }

    /// Its number, where it has one that fits.
    pub fn number(&self) -> Option<u64> {
        let all = self.list.tbs_cert_list.crl_extensions.as_deref().unwrap_or_default();
        let number = all.iter().find(|e| e.extn_id == CRL_NUMBER)?;
        u64::from_der(number.extn_value.as_bytes()).ok()
    }

    /// The revoked certificates, in the list's order.
    pub fn revoked(&self) -> impl Iterator<Item = RevokedCertificate> {
        let entries = self.list.tbs_cert_list.revoked_certificates.as_deref().unwrap_or_default();
        entries.iter().map(|entry| {
            let all = entry.crl_entry_extensions.as_deref().unwrap_or_default();
            let value = |oid| {
                let found = all.iter().find(|e| e.extn_id == oid);
                found.and_then(|e| AnyRef::from_der(e.extn_value.as_bytes()).ok())
            };
            let reason = value(REASON_CODE).and_then(|any| match any.value() {
                [code] => RevocationReason::from_code(*code),
                _ => None,
            });
            let since = value(INVALIDITY_DATE).and_then(|any| any.decode_as().ok());
            let since = since.map(|t: GeneralizedTime| t.to_unix_duration().as_secs());
            let serial = entry.serial_number.to_der().unwrap_or_default();
            let serial = AnyRef::from_der(&serial).map(|any| any.value().to_vec());
            RevokedCertificate {
                serial: SerialNumber::from_content(&serial.unwrap_or_default()),
                revoked: timestamp(&entry.revocation_date),
                reason: reason.unwrap_or(RevocationReason::Unspecified),
                invalid_since: since.map(Timestamp::from_unix_seconds),
            }
        })
    }

    /// Verifies that the CA with this key signed the list.
    pub fn verify_signature(&self, issuer: &PublicKey) -> Result<(), SignatureError> {
        let identifier = &self.list.signature_algorithm;
        let parameters = identifier.parameters.as_ref().and_then(|p| p.to_der().ok());
        let algorithm = SignatureAlgorithm::from_identifier(identifier.oid, parameters.as_deref())?;
        if *identifier != self.list.tbs_cert_list.signature {
            return Err(SignatureError::Mismatch);
        }
        let signature = self.list.signature.as_bytes().unwrap_or_default();
        issuer.verify(algorithm, &self.der[self.tbs.clone()], signature)
    }
}

fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_unix_seconds(time.to_unix_duration().as_secs())
}
