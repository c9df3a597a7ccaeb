//! From an authorized request to a certificate in the ledger.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::one_time::Book;
use crate::clock::Timestamp;
use crate::issuance::{self, PreparedCertificate};
use crate::ledger::{
    self, Abandoned, Actor, Draft, Event, Fingerprint, Origin, Outcome, Reservation, SealedRequest,
    Sequence,
};
use crate::pki::{Certificate, SerialNumber};
use crate::ra::{AuthorizedRequest, RequestSeal};
use crate::random::Random;
use crate::signing::{Class, Queue, Work};
use crate::telemetry::metrics::SignerMetrics;

/// How long a request may wait for the HSM: longer than that no device waits.
const DEADLINE: Duration = Duration::from_secs(60);

/// A certificate that ends within this time is renewed before others are issued.
const SOON: Duration = Duration::from_secs(3 * 24 * 3600);

/// A certificate whose entry is durable (I1). Made from the queue's result or from the ledger, and
/// from nothing else.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    certificate: Arc<Certificate>,
    fresh: bool,
}

impl Issued {
    /// The certificate of an earlier message of the same transaction, from its ledger entry.
    pub(super) fn again(der: &[u8]) -> Result<Self, Failure> {
        let certificate = Certificate::from_der(der)
            .map_err(|e| Failure::Unavailable(format!("a certificate in the ledger: {e}")))?;
        Ok(Self { certificate: Arc::new(certificate), fresh: false })
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether this message caused it; otherwise it is a retry's.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// The request as the ledger has it: it may hold a challenge (I11).
pub(super) fn sealed(
    seal: &RequestSeal,
    request: &AuthorizedRequest,
    random: &dyn Random,
) -> Result<SealedRequest, Failure> {
    let der = request.csr().der();
    let sealed = seal.seal(der, random).map_err(|e| Failure::Unavailable(e.to_string()))?;
    Ok(SealedRequest { digest: Fingerprint::of(der), sealed: sealed.into() })
}

/// What the reservation says besides the certificate.
pub(super) struct Issuance<'a> {
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) source: Origin,
    /// The key that signed the message.
    pub(super) device: Fingerprint,
    /// The transaction ID.
    pub(super) id: &'a [u8],
    /// The seal over the request.
    pub(super) seal: &'a RequestSeal,
    /// The abandoned reservation of an earlier try.
    pub(super) replaces: Option<Sequence>,
    /// Where the uses of one-time challenges are claimed.
    pub(super) book: Book<'a>,
    /// Where it is counted.
    pub(super) metrics: &'a SignerMetrics,
}

/// How urgent a request is.
fn class(request: &AuthorizedRequest, now: Timestamp) -> Class {
    match request.renews_until() {
        Some(end) if end < now.after(SOON) => Class::Renewal,
        _ => Class::Enrolment,
    }
}

impl Issuance<'_> {
    /// Prepares the certificate, queues it, and waits until it is in the ledger.
    pub(super) async fn sign(
        &self,
        request: &AuthorizedRequest,
        queue: &Queue,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Issued, Failure> {
        let Endpoint { issuer, profile, .. } = self.endpoint.as_ref();
        let serial = SerialNumber::random(random)?;
        let prepared = Arc::new(issuance::prepare(issuer, profile, request.csr(), serial, now)?);
        let (evidence, _claims) = self.book.claim(request.evidence())?;
        let permit = queue.enqueue(Work {
            class: class(request, now),
            endpoint: self.endpoint.name.clone(),
            signer: self.endpoint.ca_signer.clone(),
            message: prepared.tbs().to_vec(),
            reservation: self.reservation(request, evidence, &prepared, random)?,
            assemble: self.record(prepared.clone()),
            abandon: self.abandon(&prepared),
            deadline: now.after(DEADLINE),
        })?;
        let committed = permit.result().await?;
        let certificate = Certificate::from_der(committed.object())
            .map_err(|e| Failure::Unavailable(e.to_string()))?;
        self.metrics.issued(issuer.id(), &profile.name);
        Ok(Issued { certificate: Arc::new(certificate), fresh: true })
    }

    fn draft(&self, object: String, event: Event) -> Draft {
        Draft {
            actor: Actor::Device(self.device),
            origin: self.source,
            object,
            outcome: Outcome::Success,
            event,
        }
    }

    fn reservation(
        &self,
        request: &AuthorizedRequest,
        evidence: Vec<ledger::Evidence>,
        prepared: &PreparedCertificate,
        random: &dyn Random,
    ) -> Result<Draft, Failure> {
        let reservation = Reservation {
            endpoint: self.endpoint.name.to_string(),
            transaction: self.id.into(),
            request: sealed(self.seal, request, random)?,
            serial: prepared.serial().content().into(),
            tbs: prepared.tbs().into(),
            profile: self.endpoint.profile.name.clone(),
            issuer: self.endpoint.issuer.id().into(),
            evidence,
            replaces: self.replaces.map(|s| s.0),
        };
        Ok(self.draft(prepared.serial().to_string(), Event::Reservation(reservation)))
    }

    fn record(&self, prepared: Arc<PreparedCertificate>) -> crate::signing::Assemble {
        let template = self.draft(
            prepared.serial().to_string(),
            Event::Certificate(ledger::Certificate {
                reservation: 0,
                certificate: Vec::new().into(),
            }),
        );
        Box::new(move |reservation, signature| {
            let certificate = prepared.assemble(signature).map_err(|e| e.to_string())?;
            let der = certificate.der().to_vec();
            let event = Event::Certificate(ledger::Certificate {
                reservation: reservation.0,
                certificate: der.clone().into(),
            });
            Ok((Draft { event, ..template }, der))
        })
    }

    fn abandon(&self, prepared: &PreparedCertificate) -> crate::signing::Abandon {
        let serial = prepared.serial().clone();
        Box::new(move |reservation, reason| Draft {
            outcome: Outcome::Failure,
            ..Draft::of_system(
                serial.to_string(),
                Event::Abandoned(Abandoned {
                    reservation: reservation.0,
                    serial: serial.content().into(),
                    reason: reason.into(),
                }),
            )
        })
    }
}
