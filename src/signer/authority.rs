//! Certificate authorities as they run: certificates from files, keys in the HSM, each checked
//! against the other before anything is served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::SignerError;
use super::observe::Ends;
use super::tokens::Tokens;
use crate::clock::Timestamp;
use crate::config::{self, Name};
use crate::hsm::{KeyPurpose, KeyReference};
use crate::issuance::Issuer;
use crate::pki::{Certificate, PublicKey, extension::KeyUsage, name};
use crate::secret::Secret;
use crate::signing::{KeyUnwrapper, Signer};
use crate::telemetry::event;

/// How long before the end of a CA's or RA's certificate each start warns of it.
const WARN_BEFORE_END: Duration = Duration::from_secs(30 * 86_400);

/// One CA with its RA.
pub(super) struct Authority {
    pub(super) issuer: Arc<Issuer>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) ra_decryption: Certificate,
    pub(super) unwrapper: Arc<dyn KeyUnwrapper>,
    pub(super) ra_signing: Certificate,
    pub(super) ra_signer: Arc<dyn Signer>,
    /// Where its certificates come from: file, place in the configuration, certificate.
    pub(super) sources: [(PathBuf, String, Certificate); 3],
}

impl Authority {
    /// The CA `name` of the configuration.
    pub(super) fn new(
        name: &str,
        settings: &config::Ca,
        tokens: &Tokens,
        implicit_rejection: &Secret,
    ) -> Result<Self, SignerError> {
        let certificate = load_certificate(&settings.certificate)?;
        let source = (settings.certificate.clone(), format!("[ca.{name}]"), certificate.clone());
        let chain: Vec<Certificate> =
            settings.chain.iter().map(|p| load_certificate(p)).collect::<Result<_, _>>()?;
        let key = certificate.public_key().clone();
        let signer =
            tokens.signer(&settings.key, &reference(&settings.key, KeyPurpose::CaSign, &key))?;
        let issuer = Issuer::new(name, certificate, chain, signer.algorithm())
            .map_err(|cause| SignerError::Issuer { ca: name.into(), cause })?;
        let ra = |part: &config::RaKey, what: &str, usage, usage_name| {
            let certificate = load_certificate(&part.certificate)?;
            let unfit = |cause: String| SignerError::Unfit {
                path: part.certificate.clone(),
                place: format!("[ca.{name}.{what}]"),
                cause,
            };
            issuer.check_ra(&certificate, usage, usage_name).map_err(unfit)?;
            Ok::<_, SignerError>(certificate)
        };
        let decryption = &settings.ra_decryption;
        let signing = &settings.ra_signing;
        let ra_decryption =
            ra(decryption, "ra_decryption", KeyUsage::KEY_ENCIPHERMENT, "keyEncipherment")?;
        let ra_signing =
            ra(signing, "ra_signing", KeyUsage::DIGITAL_SIGNATURE, "digitalSignature")?;
        let sources = [
            source,
            (
                decryption.certificate.clone(),
                format!("[ca.{name}.ra_decryption]"),
                ra_decryption.clone(),
            ),
            (signing.certificate.clone(), format!("[ca.{name}.ra_signing]"), ra_signing.clone()),
        ];
        let unwrapper = tokens.unwrapper(
            &decryption.key,
            &reference(&decryption.key, KeyPurpose::RaDecrypt, ra_decryption.public_key()),
            implicit_rejection,
        )?;
        let ra_signer = tokens.signer(
            &signing.key,
            &reference(&signing.key, KeyPurpose::RaSign, ra_signing.public_key()),
        )?;
        Ok(Self {
            issuer: Arc::new(issuer),
            signer,
            ra_decryption,
            unwrapper,
            ra_signing,
            ra_signer,
            sources,
        })
    }

    /// Whether the certificates of CA and RA are valid now; says so in the log when one ends soon.
    pub(super) fn check_validity(&self, now: Timestamp) -> Result<(), SignerError> {
        for (path, place, certificate) in &self.sources {
            in_validity(certificate, now).map_err(|cause| SignerError::Unfit {
                path: path.clone(),
                place: place.clone(),
                cause,
            })?;
        }
        Ok(())
    }

    /// Refuses a CA that signs lists without the right to (RFC 5280 section 4.2.1.3).
    pub(super) fn check_crl_sign(&self, path: &Path) -> Result<(), SignerError> {
        let usage = self.issuer.certificate().key_usage().map(KeyUsage::from_bits);
        if usage.is_some_and(|u| u.contains(KeyUsage::CRL_SIGN)) {
            return Ok(());
        }
        let place = format!("[ca.{}]", self.issuer.id());
        let cause = format!(
            "its keyUsage lacks cRLSign, so nobody would accept its CRL; issue it again with cRLSign, \
             or set `enabled = false` in [ca.{}.crl]",
            self.issuer.id()
        );
        Err(SignerError::Unfit { path: path.into(), place, cause })
    }

    /// When its certificates end.
    pub(super) fn ends(&self) -> Ends {
        Ends {
            ca: self.issuer.id().into(),
            not_after: self.issuer.certificate().not_after(),
            ra_not_after: [
                ("decryption", self.ra_decryption.not_after()),
                ("signing", self.ra_signing.not_after()),
            ],
        }
    }

    /// The public keys of the CA and its RA, which nobody else may have certified.
    pub(super) fn own_keys(&self) -> BTreeMap<&'static str, &PublicKey> {
        BTreeMap::from([
            ("CA", self.issuer.certificate().public_key()),
            ("RA decryption", self.ra_decryption.public_key()),
            ("RA signing", self.ra_signing.public_key()),
        ])
    }
}

/// Reads the certificate's file `path`, PEM (the first in it) or DER.
pub fn load_certificate(path: &Path) -> Result<Certificate, SignerError> {
    let unreadable = |cause: String| SignerError::CertificateFile { path: path.into(), cause };
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    Certificate::from_file(&bytes).map_err(SignerError::file(path))
}

pub(super) fn reference(
    place: &config::KeyPlace,
    purpose: KeyPurpose,
    key: &PublicKey,
) -> KeyReference {
    KeyReference {
        label: place.label.clone().unwrap_or_default(),
        id: place.id.as_ref().map(|id| id.0.clone()),
        purpose,
        public_key: key.clone(),
        algorithm: None,
    }
}

/// Whether the certificate is valid now; says so in the log when it ends soon.
fn in_validity(certificate: &Certificate, now: Timestamp) -> Result<(), String> {
    let subject = name::display(certificate.subject());
    let (from, to) = (certificate.not_before(), certificate.not_after());
    if now < from || now > to {
        return Err(format!(
            "«{subject}» is valid from {from} to {to}; renew it, or set the clock right"
        ));
    }
    let left = to.since(now);
    if left < WARN_BEFORE_END {
        let days = left.as_secs() / 86_400;
        log::warn!(event = event::CONFIGURATION, days; "«{subject}» ends on {to}; renew it in time");
    }
    Ok(())
}

/// One key, one purpose (I4), over all CAs of the instance and the key of its log.
pub(super) fn one_purpose(
    authorities: &BTreeMap<&Name, Arc<Authority>>,
    log: Option<&PublicKey>,
) -> Result<(), SignerError> {
    let mut seen = BTreeMap::new();
    if let Some(key) = log {
        seen.insert(key.fingerprint(), "key of the ledger's checkpoints".to_owned());
    }
    for (ca, authority) in authorities {
        for (what, key) in authority.own_keys() {
            let place = format!("{what} key of [ca.{ca}]");
            if let Some(other) = seen.insert(key.fingerprint(), place.clone()) {
                return Err(SignerError::SharedKey(other, place));
            }
        }
    }
    Ok(())
}
