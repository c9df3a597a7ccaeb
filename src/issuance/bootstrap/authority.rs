//! Making the certificates: a root by itself, the others by the CA above them.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, IsCa, KeyIdMethod,
    KeyUsagePurpose,
};

use super::remote_key::{RemoteKey, SubjectKey};
use super::subject::issuer_name;
use super::{BootstrapError, BootstrapSigner, Subject};
use crate::clock::Timestamp;
use crate::issuance::Issuer;
use crate::pki::extension::{
    AUTHORITY_INFO_ACCESS, AUTHORITY_KEY_IDENTIFIER, authority_info_access,
    authority_key_identifier,
};
use crate::pki::{Certificate, KeyKind, PublicKey, SerialNumber};
use crate::random::{Random, RandomError};

/// What a new CA may do, and where its issuer's CRL and certificate are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaTerms {
    /// How long it is valid; never longer than its issuer.
    pub validity: Duration,
    /// How many CAs may stand below it in a path; no limit if none is given.
    pub path_len: Option<u8>,
    /// Where the issuer's CRL is. A root has none.
    pub crl_urls: Vec<String>,
    /// Where the issuer's certificate is. A root has none.
    pub ca_issuer_urls: Vec<String>,
}

/// Which of the RA's keys a certificate is for. Each has one usage and no other (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaRole {
    /// Opens the envelopes of requests: keyEncipherment alone. RSA.
    Decryption,
    /// Signs replies: digitalSignature alone.
    Signing,
}

/// Makes a root: a CA that signs its own certificate.
pub fn self_signed_ca(
    subject: &Subject,
    terms: &CaTerms,
    signer: &dyn BootstrapSigner,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, BootstrapError> {
    let mut params = ca_params(subject, terms, signer.public_key())?;
    // A root names no CRL of itself and no issuer (RFC 5280 section 4.2.1.13).
    params.crl_distribution_points.clear();
    params.custom_extensions.clear();
    params.use_authority_key_identifier_extension = false;
    dates(&mut params, now, terms.validity, None)?;
    params.serial_number = Some(serial(random)?);
    let key = RemoteKey::of(signer)?;
    let made = params.self_signed(&key);
    finish(made, &key, signer.public_key(), signer.public_key())
}

/// A CA that can issue: its certificate and its key.
#[derive(Clone, Copy)]
pub struct Authority<'a> {
    issuer: &'a Issuer,
    signer: &'a dyn BootstrapSigner,
}

impl<'a> Authority<'a> {
    /// `signer` must hold the key of the issuer's certificate.
    pub fn new(
        issuer: &'a Issuer,
        signer: &'a dyn BootstrapSigner,
    ) -> Result<Self, BootstrapError> {
        if issuer.certificate().public_key() != signer.public_key() {
            return Err(BootstrapError::OtherKey);
        }
        Ok(Self { issuer, signer })
    }

    /// Makes a CA below this one.
    pub fn issue_ca(
        &self,
        subject: &Subject,
        key: &PublicKey,
        terms: &CaTerms,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Certificate, BootstrapError> {
        self.issue(ca_params(subject, terms, key)?, key, terms.validity, random, now)
    }

    /// Makes a certificate for one of the RA's keys. The path length of `terms` does not matter.
    pub fn issue_ra(
        &self,
        role: RaRole,
        subject: &Subject,
        key: &PublicKey,
        terms: &CaTerms,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Certificate, BootstrapError> {
        let mut params = params(subject, terms, key)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![match role {
            RaRole::Decryption if !key.kind().is_rsa() => {
                return Err(BootstrapError::Key(key.kind(), "devices encrypt to RSA keys alone"));
            }
            RaRole::Decryption => KeyUsagePurpose::KeyEncipherment,
            RaRole::Signing => KeyUsagePurpose::DigitalSignature,
        }];
        self.issue(params, key, terms.validity, random, now)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        key: &PublicKey,
        validity: Duration,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Certificate, BootstrapError> {
        let issuer = self.issuer;
        dates(&mut params, now, validity, Some(issuer))?;
        params.serial_number = Some(serial(random)?);
        let mut above = CertificateParams::default();
        above.distinguished_name = issuer_name(issuer.certificate())?;
        above.key_identifier_method = KeyIdMethod::PreSpecified(issuer.key_identifier().to_vec());
        above.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let remote = RemoteKey::of(self.signer)?;
        let subject_key = SubjectKey::of(key)?;
        let made = params.signed_by(&subject_key, &rcgen::Issuer::new(above, &remote));
        let certificate = finish(made, &remote, key, self.signer.public_key())?;
        let authority = authority_key_identifier(issuer.key_identifier());
        let named = certificate.extension(AUTHORITY_KEY_IDENTIFIER);
        if certificate.issuer() != issuer.certificate().subject()
            || named.map(|e| &e.value) != authority.ok().as_ref()
        {
            return Err(BootstrapError::Result("it does not name its issuer".into()));
        }
        Ok(certificate)
    }
}

fn ca_params(
    subject: &Subject,
    terms: &CaTerms,
    key: &PublicKey,
) -> Result<CertificateParams, BootstrapError> {
    if !matches!(key.kind(), KeyKind::Rsa(2048 | 3072 | 4096) | KeyKind::P256 | KeyKind::P384) {
        let allowed = "a CA has RSA of 2048, 3072 or 4096 bits, P-256 or P-384";
        return Err(BootstrapError::Key(key.kind(), allowed));
    }
    let mut params = params(subject, terms, key)?;
    params.is_ca = IsCa::Ca(match terms.path_len {
        Some(limit) => BasicConstraints::Constrained(limit),
        None => BasicConstraints::Unconstrained,
    });
    // OCSP and CMS signatures are other keys' work (I4), so no digitalSignature.
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(
    subject: &Subject,
    terms: &CaTerms,
    key: &PublicKey,
) -> Result<CertificateParams, BootstrapError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject.to_rcgen()?;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.key_identifier().to_vec());
    params.use_authority_key_identifier_extension = true;
    if !terms.crl_urls.is_empty() {
        params.crl_distribution_points =
            vec![CrlDistributionPoint { uris: terms.crl_urls.clone() }];
    }
    if !terms.ca_issuer_urls.is_empty() {
        let value = authority_info_access(&terms.ca_issuer_urls, &[])
            .map_err(|e| BootstrapError::Encoding(e.to_string()))?;
        let arcs: Vec<u64> = AUTHORITY_INFO_ACCESS.arcs().map(u64::from).collect();
        params.custom_extensions.push(CustomExtension::from_oid_content(&arcs, value));
    }
    Ok(params)
}

/// Sets notBefore and notAfter, the latter no later than the issuer's.
fn dates(
    params: &mut CertificateParams,
    now: Timestamp,
    validity: Duration,
    issuer: Option<&Issuer>,
) -> Result<(), BootstrapError> {
    let seconds = now.unix_seconds();
    let mut end = seconds.saturating_add(validity.as_secs()).saturating_sub(1);
    if let Some(issuer) = issuer {
        end = end.min(issuer.not_after().unix_seconds());
        if now < issuer.certificate().not_before() {
            return Err(BootstrapError::Validity);
        }
    }
    let last = 253_402_300_799; // 9999-12-31T23:59:59Z
    if end <= seconds || end > last {
        return Err(BootstrapError::Validity);
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(seconds);
    params.not_after = epoch + Duration::from_secs(end);
    Ok(())
}

fn serial(random: &dyn Random) -> Result<rcgen::SerialNumber, RandomError> {
    Ok(rcgen::SerialNumber::from_slice(SerialNumber::random(random)?.content()))
}

/// Reads the new certificate back and verifies it.
fn finish(
    made: Result<rcgen::Certificate, rcgen::Error>,
    remote: &RemoteKey<'_>,
    key: &PublicKey,
    issuer_key: &PublicKey,
) -> Result<Certificate, BootstrapError> {
    let made = made.map_err(|e| match remote.failure.take() {
        Some(cause) => BootstrapError::Signer(cause),
        None => BootstrapError::Encoding(e.to_string()),
    })?;
    let certificate = Certificate::from_der(made.der())?;
    certificate.verify_signature(issuer_key)?;
    let identifier = certificate.subject_key_identifier();
    if certificate.public_key() != key || identifier.as_deref() != Some(&key.key_identifier()) {
        return Err(BootstrapError::Result("it does not carry the key".into()));
    }
    Ok(certificate)
}
