//! What the ledger says against a key, whoever asks with it: it is compromised, or somebody else's
//! (docs/threats.md t35).

use super::failure::Failure;
use super::in_flight::{Lead, TransactionKey};
use super::pipeline::Pipeline;
use crate::clock::Timestamp;
use crate::ledger::Ledger;
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::{Certificate, CertificateRequest, GeneralName, name};
use crate::revocation::Reason;
use crate::scep::FailInfo;

impl Pipeline {
    /// The right to decide on a key, at whatever endpoint: until it is dropped nobody else has it, so
    /// that of two requests at once the second sees what came of the first.
    pub(super) async fn turn_of_key(&self, csr: &CertificateRequest) -> Lead<()> {
        let id = csr.public_key().fingerprint().to_vec();
        self.keys.turn(TransactionKey { endpoint: "".into(), id }).await
    }
}

/// Refuses a key of which a certificate was ever revoked for keyCompromise, and one that has a
/// certificate under another name which has not expired.
pub(super) fn check(
    ledger: &Ledger,
    csr: &CertificateRequest,
    now: Timestamp,
) -> Result<(), Failure> {
    for record in ledger.by_public_key(&csr.public_key().fingerprint())? {
        let certificate = Certificate::from_der(&record.certificate)
            .map_err(|e| Failure::Unavailable(format!("a certificate in the ledger: {e}")))?;
        // The index knows a part of the fingerprint only.
        if certificate.public_key() != csr.public_key() {
            continue;
        }
        // Ever, not lately: a key does not become secret again.
        if ledger.was_revoked_for(certificate.serial().content(), Reason::KeyCompromise.code())? {
            return Err(Failure::refused(
                FailInfo::BadRequest,
                "compromised-key",
                "a certificate over this key was revoked because the key is compromised; make a new key on the device",
            ));
        }
        if certificate.not_after() >= now && !same_name(&certificate, csr) {
            return Err(Failure::refused(
                FailInfo::BadRequest,
                "key-of-another",
                "this key has a certificate under another name; each identity needs a key of its own, make a new one on the device",
            ));
        }
    }
    Ok(())
}

/// Whether both name the same: by the subject, or by the alternative names where there is none.
fn same_name(certificate: &Certificate, csr: &CertificateRequest) -> bool {
    let subject = name::normalised(csr.subject());
    if subject != name::normalised(certificate.subject()) {
        return false;
    }
    if !name::attributes(csr.subject()).is_ok_and(|all| all.is_empty()) {
        return true;
    }
    let names = |extension: Option<&crate::pki::Extension>| {
        extension.and_then(|e| GeneralName::parse_all(&e.value).ok()).unwrap_or_default()
    };
    let asked = names(csr.extension(SUBJECT_ALT_NAME));
    names(certificate.extension(SUBJECT_ALT_NAME)).iter().all(|held| asked.contains(held))
}
