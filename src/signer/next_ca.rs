//! The answer to GetNextCACert (RFC 8894 section 4.7): the next CA's and RA's certificates in a
//! message that the current CA's key signs. Made once, when the next CA is staged, by the same way as
//! certificates and lists: write-ahead entry, signature, record (I1, I2).

use std::path::Path;
use std::time::Duration;

use super::authority::Authority;
use super::crl::Tools;
use crate::cms::{self, Limits, SignedData, UnsignedData};
use crate::ledger::{
    Abandoned, Draft, Event, Fingerprint, LedgerError, Outcome, SignedKind, SignedObject,
    SigningIntent, StoreError,
};
use crate::pki::{Certificate, Digest, SignatureAlgorithm, name};
use crate::signing::{Class, SigningError, Work};
use crate::store::replace_file;

/// How long it may wait for the HSM.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why the next CA cannot be announced.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnnouncementError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    File(#[from] StoreError),
    #[error("the message cannot be made: {0}")]
    Message(String),
}

/// What the message says: the certificates of the next CA and its RA, then those above them.
fn certificates(next: &Authority) -> Vec<&Certificate> {
    let own = [next.issuer.certificate(), &next.ra_decryption, &next.ra_signing];
    own.into_iter().chain(next.issuer.chain()).collect()
}

/// The message in `file`, where it is there and says what it should.
pub(super) fn kept(current: &Authority, next: &Authority, file: &Path) -> Option<Vec<u8>> {
    let message = std::fs::read(file).ok()?;
    let signed = SignedData::from_ber(&message, &Limits::default()).ok()?;
    let content = signed.content()?;
    let key = current.issuer.certificate().public_key();
    let holds = content == cms::certs_only(&certificates(next))
        && signed.signer()?.verify(signed.content_type(), content, key).is_ok();
    holds.then_some(message)
}

/// Makes the message, has it signed by the current CA's key, and keeps it in `file`.
pub(super) async fn announce(
    tools: &Tools<'_>,
    current: &Authority,
    next: &Authority,
    file: &Path,
) -> Result<Vec<u8>, AnnouncementError> {
    let message = |e: &dyn std::fmt::Display| AnnouncementError::Message(e.to_string());
    let digest = match current.signer.algorithm() {
        SignatureAlgorithm::RsaPkcs1(digest) | SignatureAlgorithm::Ecdsa(digest) => digest,
        SignatureAlgorithm::Ed25519 | SignatureAlgorithm::MlDsa(_) => Digest::Sha512,
        SignatureAlgorithm::RsaPss(_) => {
            return Err(message(&"SCEP clients read no signatures by RSASSA-PSS"));
        }
    };
    let content = cms::certs_only(&certificates(next));
    let unsigned = UnsignedData::new(Some(content), Vec::new(), digest).map_err(|e| message(&e))?;
    let now = tools.clock.now();
    let work = work(current, next, unsigned, now.after(DEADLINE));
    let committed = tools.queue.enqueue(work)?.result().await?;
    replace_file(file, committed.object())?;
    Ok(committed.object().to_vec())
}

fn work(
    current: &Authority,
    next: &Authority,
    unsigned: UnsignedData,
    deadline: crate::clock::Timestamp,
) -> Work {
    let id = current.issuer.id();
    let subject = name::display(next.issuer.certificate().subject());
    let object = format!("{} follows {id}: {subject}", next.issuer.id());
    let attributes = unsigned.to_be_signed();
    let intent = SigningIntent {
        kind: SignedKind::NextCaCertificate,
        issuer: id.into(),
        number: None,
        digest: Fingerprint::of(attributes),
        length: attributes.len() as u64,
        content: Some(attributes.into()),
    };
    let (message, recorded, abandoned) = (attributes.to_vec(), object.clone(), object.clone());
    let signer = current.issuer.certificate().clone();
    let outer: Vec<Certificate> = certificates(next).into_iter().cloned().collect();
    Work {
        class: Class::Status,
        endpoint: id.into(),
        signer: current.signer.clone(),
        message,
        reservation: Draft::of_system(object, Event::SigningIntent(intent)),
        assemble: Box::new(move |intent, signature| {
            // Clients look for the certificates in the content, as the RFC has it, or (jscep) beside
            // the signer's.
            let outer: Vec<&Certificate> = outer.iter().collect();
            let message = unsigned.assemble(signature, &signer, &outer);
            let done = SignedObject {
                intent: intent.0,
                digest: Fingerprint::of(&message),
                length: message.len() as u64,
                signature: signature.into(),
            };
            Ok((Draft::of_system(recorded, Event::SignedObject(done)), message))
        }),
        abandon: Box::new(move |intent, reason| {
            let given_up = Abandoned {
                reservation: intent.0,
                serial: Vec::new().into(),
                reason: reason.into(),
            };
            let draft = Draft::of_system(abandoned, Event::Abandoned(given_up));
            Draft { outcome: Outcome::Failure, ..draft }
        }),
        deadline,
    }
}
