//! The CRL of an offline CA (RFC 5280 section 5).

use der::asn1::AnyRef;
use der::{Decode, Encode, Tag};
use x509_cert::crl::CertificateList;

use super::{ArtefactError, Linted};
use crate::clock::Timestamp;
use crate::pki::asn1::{context, element, sequence};
use crate::pki::extension::{
    AUTHORITY_KEY_IDENTIFIER, CRL_NUMBER, REASON_CODE, authority_key_identifier,
};
use crate::pki::{Certificate, SerialNumber, SignatureAlgorithm, x509_time};

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlEntry {
    /// Its serial number.
    pub serial: SerialNumber,
    /// When it was revoked.
    pub date: Timestamp,
    /// The CRLReason.
    pub reason: u8,
}

/// What a CRL says.
#[derive(Clone, Copy, Debug)]
pub struct CrlTerms<'a> {
    /// The issuer.
    pub issuer: &'a Certificate,
    /// How it signs.
    pub algorithm: SignatureAlgorithm,
    /// The CRL's number.
    pub number: u64,
    /// When it is made.
    pub this_update: Timestamp,
    /// When the next one is due at the latest.
    pub next_update: Timestamp,
    /// Everything that is revoked.
    pub entries: &'a [CrlEntry],
}

/// What the last CRL said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreviousCrl {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: Option<Timestamp>,
    /// Its entries.
    pub entries: Vec<CrlEntry>,
}

impl PreviousCrl {
    /// Reads a CRL in DER or PEM that `issuer` must have signed.
    pub fn read(bytes: &[u8], issuer: &Certificate) -> Result<Self, ArtefactError> {
        let malformed =
            |e: String| ArtefactError::Malformed(format!("the CRL cannot be read: {e}"));
        let der = match der::pem::decode_vec(bytes) {
            Ok(("X509 CRL", der)) => der,
            _ => bytes.to_vec(),
        };
        let list = <CertificateList>::from_der(&der).map_err(|e| malformed(e.to_string()))?;
        let tbs = list.tbs_cert_list.to_der()?;
        let parameters =
            list.signature_algorithm.parameters.as_ref().map(Encode::to_der).transpose()?;
        let algorithm = SignatureAlgorithm::from_identifier(
            list.signature_algorithm.oid,
            parameters.as_deref(),
        )
        .map_err(|e| malformed(e.to_string()))?;
        let signature = list.signature.as_bytes().unwrap_or_default();
        issuer
            .public_key()
            .verify(algorithm, &tbs, signature)
            .map_err(|e| ArtefactError::Malformed(format!("the CRL is not its issuer's: {e}")))?;
        let list = list.tbs_cert_list;
        let moment =
            |t: x509_cert::time::Time| Timestamp::from_unix_seconds(t.to_unix_duration().as_secs());
        let number = list
            .crl_extensions
            .iter()
            .flatten()
            .find(|e| e.extn_id == CRL_NUMBER)
            .map(|e| u64::from_der(e.extn_value.as_bytes()))
            .transpose()?
            .ok_or_else(|| malformed("it has no number".into()))?;
        let mut entries = Vec::new();
        for entry in list.revoked_certificates.into_iter().flatten() {
            let reason =
                entry.crl_entry_extensions.iter().flatten().find(|e| e.extn_id == REASON_CODE);
            let reason = reason.and_then(|e| AnyRef::from_der(e.extn_value.as_bytes()).ok());
            let reason = reason.and_then(|r| r.value().first().copied()).unwrap_or(0);
            entries.push(CrlEntry {
                serial: SerialNumber::from_content(entry.serial_number.as_bytes()),
                date: moment(entry.revocation_date),
                reason,
            });
        }
        Ok(Self { number, this_update: Some(moment(list.this_update)), entries })
    }
}

/// The TBSCertList in DER.
pub fn tbs_crl(terms: &CrlTerms<'_>) -> Result<Vec<u8>, ArtefactError> {
    let entries = terms.entries.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    // An empty list is left out altogether (RFC 5280 section 5.1.2.6).
    let entries = if entries.is_empty() { Vec::new() } else { sequence(&[&entries.concat()])? };
    let identifier = terms.issuer.subject_key_identifier().unwrap_or_default();
    let extension = |oid: const_oid::ObjectIdentifier, value: &[u8]| {
        sequence(&[&oid.to_der()?, &element(Tag::OctetString, &[value])?])
    };
    let extensions = sequence(&[
        &extension(AUTHORITY_KEY_IDENTIFIER, &authority_key_identifier(&identifier)?)?,
        &extension(CRL_NUMBER, &terms.number.to_der()?)?,
    ])?;
    Ok(sequence(&[
        &[0x02, 0x01, 0x01],
        &terms.algorithm.identifier_der(),
        terms.issuer.subject(),
        &x509_time(terms.this_update)?.to_der()?,
        &x509_time(terms.next_update)?.to_der()?,
        &entries,
        &element(context(0, true), &[&extensions])?,
    ])?)
}

fn entry(entry: &CrlEntry) -> Result<Vec<u8>, ArtefactError> {
    let serial = element(Tag::Integer, &[entry.serial.content()])?;
    let date = x509_time(entry.date)?.to_der()?;
    // Zero, unspecified, is said by silence (section 5.3.1).
    let extensions = if entry.reason == 0 {
        Vec::new()
    } else {
        let reason = element(Tag::OctetString, &[&element(Tag::Enumerated, &[&[entry.reason]])?])?;
        sequence(&[&sequence(&[&REASON_CODE.to_der()?, &reason])?])?
    };
    Ok(sequence(&[&serial, &date, &extensions])?)
}

/// What is wrong with a CRL beside its signature.
pub fn lint_crl(der: &[u8], terms: &CrlTerms<'_>, previous: &PreviousCrl) -> Linted {
    let mut linted = Linted::default();
    let mut rule =
        |name: &'static str, holds: bool, problem: &str| linted.rule(name, holds, problem);
    let read = <CertificateList>::from_der(der);
    let canonical = read.as_ref().is_ok_and(|l| l.to_der().is_ok_and(|again| again == der));
    rule("crl-der", canonical, "it is not in DER");
    rule("crl-openssl", openssl::x509::X509Crl::from_der(der).is_ok(), "OpenSSL cannot read it");
    rule(
        "crl-number-grows",
        terms.number > previous.number,
        "its number is not above the last one's",
    );
    rule(
        "crl-later",
        previous.this_update.is_none_or(|t| terms.this_update >= t),
        "it is older than the last one",
    );
    rule("crl-dates", terms.next_update > terms.this_update, "nextUpdate is not after thisUpdate");
    let days = terms.next_update.since(terms.this_update).as_secs() / 86_400;
    rule("crl-12-months", days <= 366, "it is valid for more than twelve months");
    rule(
        "crl-within-issuer",
        terms.next_update <= terms.issuer.not_after(),
        "it outlives its issuer's certificate",
    );
    rule(
        "crl-issuer-may-sign",
        terms.issuer.key_usage().is_some_and(|u| u & 1 << 6 != 0),
        "its issuer lacks cRLSign",
    );
    rule(
        "crl-keeps-entries",
        previous.entries.iter().all(|e| terms.entries.iter().any(|n| n.serial == e.serial)),
        "an earlier entry is missing",
    );
    let mut serials: Vec<_> = terms.entries.iter().map(|e| &e.serial).collect();
    serials.sort();
    rule(
        "crl-entries-once",
        serials.windows(2).all(|w| w[0] != w[1]),
        "a serial number is listed twice",
    );
    rule(
        "crl-entries-past",
        terms.entries.iter().all(|e| e.date <= terms.this_update),
        "an entry lies in the future",
    );
    linted
}
