//! Requests that wait for an officer (RFC 8894 sections 3.3.2.3 and 4.4): recorded, polled for,
//! and issued once approved.

use std::net::IpAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::issue::{Issuance, Issued, sealed};
use super::one_time::{Book, from_record, recorded};
use super::pipeline::Pipeline;
use crate::clock::Timestamp;
use crate::issuance;
use crate::ledger::{
    Actor, Decision, Draft, Event, Evidence as RecordedEvidence, Fingerprint, Origin, Outcome,
    Pending, PendingRecord, TransactionRecord, TransactionState, Verdict,
};
use crate::pki::{CertificateRequest, SerialNumber};
use crate::ra::{AuthorizedRequest, Evidence, ProvenRequest, Refusal, RenewalError};
use crate::revocation::Reason;
use crate::scep::{FailInfo, IssuerAndSubject, SignedRequest};

/// How many requests may wait at a time; more get 503 with Retry-After.
const MOST_WAITING: usize = 10_000;

/// How a request stands that waits or waited.
pub(super) enum Stand {
    /// Nobody has decided, and there is still time.
    Waiting,
    /// Nobody has decided in time, and nobody has written it down yet.
    Overdue,
    /// Approved by this entry, and there is still time to fetch it.
    Approved(u64),
    /// Over since then, for this reason.
    Over(Timestamp, Failure),
}

/// How `record` stands at `now`.
pub(super) fn stand(endpoint: &Endpoint, record: &PendingRecord, now: Timestamp) -> Stand {
    let lifetime = endpoint.pending_lifetime;
    let Some((sequence, time, _, decision)) = &record.decision else {
        let overdue = now.since(record.time) >= lifetime;
        return if overdue { Stand::Overdue } else { Stand::Waiting };
    };
    match decision.verdict {
        Verdict::Approved if now.since(*time) < lifetime => Stand::Approved(sequence.0),
        Verdict::Denied => {
            let text = format!("an officer denied the request: {}", decision.reason);
            Stand::Over(*time, Failure::refused(FailInfo::BadRequest, "denied", text))
        }
        Verdict::Approved => Stand::Over(time.after(lifetime), expired()),
        Verdict::Expired | Verdict::Endorsed => Stand::Over(*time, expired()),
    }
}

fn expired() -> Failure {
    let text = "the request expired before it was decided or fetched; start a new transaction";
    Failure::refused(FailInfo::BadRequest, "expired", text)
}

/// The entry that says that nobody decided `record` in time.
pub(super) fn expiry(record: &PendingRecord) -> Draft {
    let event = Event::Decision(Decision {
        pending: record.sequence.0,
        verdict: Verdict::Expired,
        reason: "nobody decided in time".into(),
    });
    let object = String::from_utf8_lossy(&record.pending.transaction).into_owned();
    Draft { outcome: Outcome::Failure, ..Draft::of_system(object, event) }
}

/// Whether `pending` is still what the transaction is about: no certificate came after it.
pub(super) fn is_current(pending: &PendingRecord, reserved: Option<&TransactionRecord>) -> bool {
    reserved.is_none_or(|r| r.sequence < pending.sequence || r.is_abandoned())
}

impl Pipeline {
    /// Records an authorized request as waiting; the outcome is PENDING.
    pub(super) async fn wait(
        &self,
        endpoint: &Endpoint,
        (source, device, id): (IpAddr, Fingerprint, &[u8]),
        authorized: &AuthorizedRequest,
        now: Timestamp,
    ) -> Result<Issued, Failure> {
        if self.ledger.undecided()?.len() >= MOST_WAITING {
            return Err(Failure::Busy);
        }
        // What could not be issued is refused now and bothers no officer.
        let serial = SerialNumber::random(self.random.as_ref())?;
        issuance::prepare(&endpoint.issuer, &endpoint.profile, authorized.csr(), serial, now)?;
        let evidence: Vec<RecordedEvidence> = authorized.evidence().iter().map(recorded).collect();
        let pending = Pending {
            endpoint: endpoint.name.to_string(),
            transaction: id.into(),
            request: sealed(&self.seal, authorized, self.random.as_ref())?,
            evidence,
        };
        let draft = Draft {
            actor: Actor::Device(device),
            origin: Origin::Address(source),
            object: String::from_utf8_lossy(id).into_owned(),
            outcome: Outcome::Success,
            event: Event::Pending(pending),
        };
        self.ledger.append(vec![draft]).await?;
        Err(Failure::Pending)
    }

    /// The outcome of a repeated PKCSReq whose transaction has `pending`; none where that is over
    /// and the request is a new one.
    pub(super) async fn repeated(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        pending: &PendingRecord,
        same: bool,
        now: Timestamp,
    ) -> Option<Result<Issued, Failure>> {
        let settled = match stand(endpoint, pending, now) {
            Stand::Over(since, _) => !same || now.since(since) >= endpoint.retry_window,
            Stand::Overdue => !same,
            Stand::Waiting | Stand::Approved(_) if !same => {
                return Some(Err(super::pipeline::conflict()));
            }
            Stand::Waiting | Stand::Approved(_) => false,
        };
        if settled {
            return None;
        }
        Some(self.settle(endpoint, source, pending, now).await)
    }

    /// What a waiting request has come to: PENDING, its certificate, or why there is none.
    async fn settle(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        record: &PendingRecord,
        now: Timestamp,
    ) -> Result<Issued, Failure> {
        match stand(endpoint, record, now) {
            Stand::Waiting => Err(Failure::Pending),
            Stand::Over(_, failure) => Err(failure),
            Stand::Overdue => {
                self.ledger.append(vec![expiry(record)]).await?;
                Err(expired())
            }
            Stand::Approved(approval) => {
                self.issue_approved(endpoint, source, record, approval, now).await
            }
        }
    }

    async fn issue_approved(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        record: &PendingRecord,
        approval: u64,
        now: Timestamp,
    ) -> Result<Issued, Failure> {
        let id = &*record.pending.transaction;
        let Actor::Device(device) = record.actor else {
            return Err(Failure::Unavailable("a pending request without a device".into()));
        };
        let unusable =
            |why: String| Failure::Unavailable(format!("a pending request in the ledger: {why}"));
        let der = self.seal.open(&record.pending.request.sealed);
        let der = der.map_err(|e| unusable(e.to_string()))?;
        let request = ProvenRequest::new(&der).map_err(|e| unusable(e.to_string()))?;
        let evidence: Option<Vec<Evidence>> =
            record.pending.evidence.iter().map(from_record).collect();
        let evidence = evidence.unwrap_or_default();
        for one in &evidence {
            if let Evidence::Renewal(old) = one {
                self.still_valid(old)?;
            }
        }
        let keys = &endpoint.profile.keys;
        let authorized = AuthorizedRequest::approved(request, evidence, approval, keys)?;
        // It may have been revoked for keyCompromise while this waited.
        let _turn = self.turn_of_key(authorized.csr()).await;
        super::key_history::check(&self.ledger, authorized.csr(), now)?;
        let reserved = self.ledger.transaction(&endpoint.name, id)?;
        let replaces = reserved.filter(TransactionRecord::is_abandoned).map(|r| r.sequence);
        let issuance = Issuance {
            endpoint,
            source: Origin::Address(source),
            device,
            id,
            seal: &self.seal,
            replaces,
            metrics: &self.metrics,
            book: self.book(endpoint, id, authorized.csr()),
        };
        self.issue(&issuance, &authorized, now).await
    }

    /// A renewal that waited: its old certificate may have been revoked meanwhile.
    fn still_valid(&self, old: &[u8; 32]) -> Result<(), Failure> {
        let record = self.ledger.by_fingerprint(old)?;
        let record = record.ok_or(Refusal::from(RenewalError::Unknown))?;
        match record.status {
            Some((_, status)) if status.reason != Reason::RemoveFromCrl.code() => {
                Err(Refusal::from(RenewalError::Revoked).into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn book<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        id: &'a [u8],
        csr: &CertificateRequest,
    ) -> Book<'a> {
        let (ledger, claims) = (&*self.ledger, &self.claims);
        Book { ledger, claims, endpoint: &endpoint.name, id, request: csr.fingerprint() }
    }

    /// Answers CertPoll. The transaction ID and the key that signed decide; nothing hangs on the
    /// names in the message. Whoever has another key learns nothing, not even that there is one.
    pub(super) async fn poll(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        request: &SignedRequest,
    ) -> Result<Issued, Failure> {
        let id = request.transaction_id().as_bytes();
        let device = Fingerprint(request.signer().public_key().fingerprint());
        let unknown = || {
            let text =
                "no request of this transaction ID and key is known here; enrol with PKCSReq";
            Failure::refused(FailInfo::BadCertId, "poll", text)
        };
        let reserved = self.ledger.transaction(&endpoint.name, id)?;
        let pending = self.ledger.pending(&endpoint.name, id)?;
        let pending = pending.filter(|p| is_current(p, reserved.as_ref()));
        let (actor, digest) = match (&pending, &reserved) {
            (Some(p), _) => (p.actor, p.pending.request.digest),
            (None, Some(r)) => (r.actor, r.reservation.request.digest),
            (None, None) => return Err(unknown()),
        };
        if actor != Actor::Device(device) {
            return Err(unknown());
        }
        self.read(endpoint, source, request, IssuerAndSubject::from_der).await?;
        let work = self.polled(endpoint, source, (device, id), unknown);
        self.once(endpoint, id, (digest, device), work).await
    }

    /// The answer to a poll by the right key; read anew, because there may have been a wait.
    async fn polled(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        (device, id): (Fingerprint, &[u8]),
        unknown: impl Fn() -> Failure + Send,
    ) -> Result<Issued, Failure> {
        let reserved = self.ledger.transaction(&endpoint.name, id)?;
        let pending = self.ledger.pending(&endpoint.name, id)?;
        let pending = pending.filter(|p| is_current(p, reserved.as_ref()));
        let actor = pending.as_ref().map(|p| p.actor).or(reserved.as_ref().map(|r| r.actor));
        if actor != Some(Actor::Device(device)) {
            return Err(unknown());
        }
        if let Some(pending) = pending {
            return self.settle(endpoint, source, &pending, self.clock.now()).await;
        }
        match reserved.map(|r| r.state) {
            Some(TransactionState::Issued { certificate, .. }) => Issued::again(&certificate),
            Some(TransactionState::Reserved) => Err(Failure::Busy),
            Some(TransactionState::Abandoned { .. }) | None => Err(unknown()),
        }
    }
}
