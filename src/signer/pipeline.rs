//! The way of a SCEP message (`ARCHITECTURE.md` section 2): decode, open, authorize, plan, then the
//! signing queue, then the reply.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::endpoint::Endpoint;
use super::envelope::{self, Derivations};
use super::failure::{Failure, TOO_MANY_GUESSES, TOO_MANY_QUERIES, TOO_MANY_UNOPENED};
use super::in_flight::{InFlight, Part, TransactionKey};
use super::issue::{Issuance, Issued};
use super::key_history;
use super::log_line::LogLine;
use super::maintenance::Maintenance;
use super::one_time::Claims;
use super::query::Found;
use super::refusals::RefusalCounter;
use super::reply;
use super::waiting::is_current;
use crate::clock::{Clock, Timestamp};
use crate::cms::{Cipher, ContentCipher};
use crate::ledger::{Actor, Fingerprint, Ledger, Origin, TransactionState};
use crate::pki::{Certificate, Digest};
use crate::ra::{
    self, AuthorizedRequest, Guesses, Held, ProvenRequest, Refusal, RenewalError, RequestSeal,
};
use crate::random::Random;
use crate::revocation::Reason;
use crate::scep::{FailInfo, Limits, MessageType, ReplyContext, SignedRequest};
use crate::signing::Queue;
use crate::telemetry::event;
use crate::telemetry::metrics::SignerMetrics;
use crate::wire::frontend::Response;

/// What every message needs.
pub(super) struct Pipeline {
    pub(super) ledger: Arc<Ledger>,
    pub(super) queue: Queue,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) seal: RequestSeal,
    pub(super) in_flight: InFlight<Result<Issued, Failure>>,
    /// Subjects that are being decided on, where an endpoint gives each but one certificate.
    pub(super) subjects: InFlight<()>,
    /// Keys that are being decided on: each belongs to one identity.
    pub(super) keys: InFlight<()>,
    pub(super) refusals: RefusalCounter,
    pub(super) claims: Claims,
    /// How many messages may be worked on at a time: as many as may wait for a signature or be signed.
    pub(super) admission: Semaphore,
    pub(super) guesses: Guesses,
    /// Who asked for what is not there.
    pub(super) strangers: Guesses,
    /// Envelopes that could not be opened.
    pub(super) unopened: Guesses,
    /// Who may derive a key from a password.
    pub(super) derivations: Derivations,
    pub(super) metrics: Arc<SignerMetrics>,
    pub(super) maintenance: Maintenance,
}

/// What a message got.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A certificate of its own.
    Issued(Issued),
    /// What a query asked for.
    Found(Found),
}

/// Seconds after which a device that found the service busy may try again.
const RETRY_AFTER_SECONDS: u32 = 10;

impl Pipeline {
    /// Answers one SCEP message that came to `endpoint` from `source`.
    pub(super) async fn pki_operation(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        message: &[u8],
    ) -> Response {
        let (main, mut endpoint) = (endpoint, endpoint);
        let mut line = LogLine::new(endpoint.name.clone(), source);
        // Nothing is opened or signed, not even a refusal, while the ledger takes no entries.
        let poisoned = self.ledger.refusal().map(|why| why.to_string());
        let by_operator =
            || self.maintenance.reason().map(|why| format!("maintenance mode: {why}"));
        if let Some(why) = poisoned.or_else(by_operator) {
            let outcome = Err(Failure::Unavailable(why));
            let response = self.answer(endpoint, None, &outcome).await;
            line.finish(&outcome, &response, &self.metrics);
            return response;
        }
        // Before anything is spent on it: under overload, refusing must cost next to nothing.
        let Ok(_admitted) = self.admission.try_acquire() else {
            let outcome = Err(Failure::Busy);
            let response = self.answer(endpoint, None, &outcome).await;
            line.finish(&outcome, &response, &self.metrics);
            return response;
        };
        let limits =
            Limits { sender_nonce_required: endpoint.require_sender_nonce, ..Limits::default() };
        let parsed = SignedRequest::parse(message, &limits);
        let (context, outcome) = match parsed {
            Err(error) => {
                let context = error.reply.as_deref().cloned();
                (context, Err(Failure::from(error)))
            }
            Ok(request) => {
                line.request(&request);
                endpoint = endpoint.addressed(&request);
                let in_force = endpoint.check_in_force(main, self.clock.now());
                let outcome = match (in_force, request.message_type()) {
                    (Err(e), _) => Err(e),
                    (Ok(()), MessageType::GetCert | MessageType::GetCrl) => {
                        let work = self.query(endpoint, source, &request);
                        self.bounded(source, work).await.map(Answer::Found)
                    }
                    (Ok(()), _) => {
                        self.request(endpoint, source, &request).await.map(Answer::Issued)
                    }
                };
                (Some(request.reply_context().clone()), outcome)
            }
        };
        let counted = match &outcome {
            Err(Failure::Refused(refused)) => Some(refused.reason),
            Err(Failure::Guesses(_)) => Some(TOO_MANY_GUESSES),
            Err(Failure::Queries(_)) => Some(TOO_MANY_QUERIES),
            Err(Failure::Unopened(_)) => Some(TOO_MANY_UNOPENED),
            _ => None,
        };
        if let Some(reason) = counted {
            let example = openssl::sha::sha256(message);
            self.refusals.count(self.clock.now(), &endpoint.name, source, reason, example);
        }
        let response = self.answer(endpoint, context.as_ref(), &outcome).await;
        line.finish(&outcome, &response, &self.metrics);
        response
    }

    /// Everything between a decoded message and its outcome.
    async fn request(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        request: &SignedRequest,
    ) -> Result<Issued, Failure> {
        endpoint.algorithms.check(request)?;
        warn_of_legacy(endpoint, request);
        match request.message_type() {
            MessageType::PkcsReq | MessageType::RenewalReq | MessageType::CertPoll => {}
            other => {
                return Err(Failure::refused(
                    FailInfo::BadRequest,
                    "message-type",
                    format!("{other} is not offered here; enrol with PKCSReq"),
                ));
            }
        }
        envelope::check_receiver(endpoint, request)?;
        if request.message_type() == MessageType::CertPoll {
            return self.bounded(source, self.poll(endpoint, source, request)).await;
        }
        if request.message_type() == MessageType::PkcsReq && self.held(request.signer())?.is_none()
        {
            // Before the HSM is troubled; `authorize` asks again where it counts.
            self.guesses.admit(source, self.clock.now())?;
        }
        let proven = self.read(endpoint, source, request, ProvenRequest::new).await?;
        let device = Fingerprint(request.signer().public_key().fingerprint());
        let digest = Fingerprint(proven.csr().fingerprint());
        let id = request.transaction_id().as_bytes();
        let work = self.enrol(endpoint, source, request, proven, device);
        self.once(endpoint, id, (digest, device), work).await
    }

    /// Does `work` while no other message of its transaction is under way. A duplicate, the same
    /// request by the same key, gets the outcome of the first instead.
    pub(super) async fn once(
        &self,
        endpoint: &Endpoint,
        id: &[u8],
        (request, device): (Fingerprint, Fingerprint),
        work: impl Future<Output = Result<Issued, Failure>> + Send,
    ) -> Result<Issued, Failure> {
        let key = TransactionKey { endpoint: endpoint.name.clone(), id: id.to_vec() };
        let joint = openssl::sha::sha256(&[request.0, device.0].concat());
        let lead = loop {
            match self.in_flight.join(key.clone(), joint) {
                Part::Leads(lead) => break lead,
                Part::Waits(other) => drop(other.outcome().await),
                Part::Follows(first) => {
                    return first.outcome().await.unwrap_or_else(|| {
                        let text = "the first message of the transaction failed";
                        Err(Failure::Unavailable(text.into()))
                    });
                }
            }
        };
        let outcome = work.await;
        lead.finish(outcome.clone());
        outcome
    }

    /// One enrolment whose request is read: answered from the ledger where it is a retry, else
    /// authorized, prepared and signed.
    async fn enrol(
        &self,
        endpoint: &Arc<Endpoint>,
        source: IpAddr,
        request: &SignedRequest,
        proven: ProvenRequest,
        device: Fingerprint,
    ) -> Result<Issued, Failure> {
        let now = self.clock.now();
        let id = request.transaction_id().as_bytes();
        let earlier = self.ledger.transaction(&endpoint.name, id)?;
        let pending =
            if endpoint.approval { self.ledger.pending(&endpoint.name, id)? } else { None };
        let pending = pending.filter(|p| is_current(p, earlier.as_ref()));
        let mut replaces = None;
        if let Some(earlier) = earlier {
            let same = earlier.csr_sha256 == proven.csr().fingerprint()
                && earlier.actor == Actor::Device(device);
            match earlier.state {
                TransactionState::Issued { certificate, time, .. }
                    if now.since(time) < endpoint.retry_window =>
                {
                    return match same {
                        true => Issued::again(&certificate),
                        false => Err(conflict()),
                    };
                }
                TransactionState::Issued { .. } => {}
                TransactionState::Abandoned { .. } => replaces = Some(earlier.sequence),
                TransactionState::Reserved => {
                    return Err(Failure::Unavailable(format!(
                        "entry {} of this transaction is still open",
                        earlier.sequence
                    )));
                }
            }
        }
        if let Some(pending) = pending {
            let same = pending.csr_sha256 == proven.csr().fingerprint()
                && pending.actor == Actor::Device(device);
            let outcome = self.repeated(endpoint, source, &pending, same, now).await;
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        let authorized = self.authorize(endpoint, source, request, proven, now)?;
        let _turn = self.turn_of_key(authorized.csr()).await;
        key_history::check(&self.ledger, authorized.csr(), now)?;
        if endpoint.approval {
            return self.wait(endpoint, (source, device, id), &authorized, now).await;
        }
        let issuance = Issuance {
            endpoint,
            source: Origin::Address(source),
            device,
            id,
            seal: &self.seal,
            replaces,
            book: self.book(endpoint, id, authorized.csr()),
            metrics: &self.metrics,
        };
        self.issue(&issuance, &authorized, now).await
    }

    /// Challenge or renewal. A RenewalReq is always a renewal. A PKCSReq that a certificate of ours
    /// signed is one too where the endpoint renews (Cisco IOS, macOS and NDES's clients renew so),
    /// unless it asks for the key that signed and brings a challenge, which then decides.
    fn authorize(
        &self,
        endpoint: &Endpoint,
        source: IpAddr,
        request: &SignedRequest,
        proven: ProvenRequest,
        now: Timestamp,
    ) -> Result<AuthorizedRequest, Failure> {
        let keys = &endpoint.profile.keys;
        let signer = request.signer();
        let is_renewal = request.message_type() == MessageType::RenewalReq;
        let held = self.held(signer)?;
        let book = self.book(endpoint, request.transaction_id().as_bytes(), proven.csr());
        let by_own_key = proven.csr().public_key() == signer.public_key();
        let by_password = request.is_under_password();
        if by_password || !is_renewal && (held.is_none() || by_own_key && proven.has_challenge()) {
            let (authorizer, key) = (&endpoint.authorizer, signer.public_key());
            let decide = || ra::authorize(authorizer, proven, key, keys, &book, now);
            let authorized = self.guarded(source, now, decide)?;
            if by_password {
                envelope::check_evidence(request, authorized.evidence())?;
            }
            return Ok(authorized);
        }
        let policy = endpoint.renewal.as_ref().ok_or(Refusal::from(RenewalError::NotOffered))?;
        let held = held.ok_or(Refusal::from(RenewalError::Unknown))?;
        if policy.check_challenge && proven.has_challenge() {
            let check = || endpoint.authorizer.check(proven.csr(), &book, now);
            self.guarded(source, now, check)?;
        }
        let place = (&*endpoint.name, &*endpoint.profile.name);
        Ok(ra::authorize_renewal(policy, place, proven, &held, keys, now)?)
    }

    /// Lets `check` look at a challenge, unless too many from there were wrong already, and counts
    /// it if it is wrong.
    fn guarded<T>(
        &self,
        source: IpAddr,
        now: Timestamp,
        check: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        self.guesses.admit(source, now)?;
        let result = check();
        if matches!(result, Err(Refusal::WrongChallenge)) {
            self.wrong_guess(source, now);
        }
        Ok(result?)
    }

    /// Counts a wrong challenge.
    pub(super) fn wrong_guess(&self, source: IpAddr, now: Timestamp) {
        if self.guesses.missed(source, now) {
            let source = source.to_string();
            log::warn!(
                event = event::CHALLENGES_TRIED, source = source.as_str();
                "somebody tries challenges: signer.wrong_challenges is reached, and none is looked at for a while"
            );
        }
    }

    /// What the ledger has under the fingerprint of the certificate that signed a message; never
    /// looked up before the message's signature was verified.
    pub(super) fn held(&self, signer: &Certificate) -> Result<Option<Held>, Failure> {
        let Some(record) = self.ledger.by_fingerprint(&signer.fingerprint())? else {
            return Ok(None);
        };
        let reservation = self.ledger.by_serial(signer.serial())?.map(|r| r.reservation);
        let Some(reservation) = reservation else { return Ok(None) };
        Ok(Some(Held {
            certificate: signer.clone(),
            endpoint: reservation.endpoint,
            profile: reservation.profile,
            revoked: record
                .status
                .is_some_and(|(_, status)| status.reason != Reason::RemoveFromCrl.code()),
        }))
    }

    /// What leaves the signer: a signed CertRep wherever one can be made.
    async fn answer(
        &self,
        endpoint: &Endpoint,
        context: Option<&ReplyContext>,
        outcome: &Result<Answer, Failure>,
    ) -> Response {
        let random = self.random.as_ref();
        let signed = match (outcome, context) {
            (Ok(Answer::Issued(issued)), Some(context)) => {
                match self.reply_key(endpoint, context).await {
                    Ok(key) => {
                        reply::success(endpoint, context, issued, key.as_ref(), random).await
                    }
                    Err(e) => Err(e.log_text()),
                }
            }
            (Ok(Answer::Found(found)), Some(context)) => {
                reply::found(endpoint, context, found, random).await
            }
            (Err(Failure::Refused(refused)), Some(context)) => {
                reply::failure(endpoint, context, refused, random).await
            }
            (Err(Failure::Pending), Some(context)) => {
                reply::pending(endpoint, context, random).await
            }
            (Err(Failure::Unreadable(text)), _) => return Response::BadRequest(text.clone()),
            (Err(Failure::Busy), _) => {
                return Response::Busy { retry_after_seconds: RETRY_AFTER_SECONDS };
            }
            (
                Err(
                    Failure::Guesses(too_many)
                    | Failure::Queries(too_many)
                    | Failure::Unopened(too_many),
                ),
                _,
            ) => {
                return Response::Busy { retry_after_seconds: too_many.retry_after_seconds };
            }
            (Err(Failure::Unavailable(text)), _) => return Response::Unavailable(text.clone()),
            (_, None) => return Response::BadRequest("the message cannot be answered".into()),
        };
        signed.map_or_else(Response::Unavailable, Response::CertRep)
    }
}

/// Single DES and MD5 leave RFC 8894: each use of them is logged.
pub(super) fn warn_of_legacy(endpoint: &Endpoint, request: &SignedRequest) {
    let des = matches!(request.envelope().cipher(), ContentCipher::Known(Cipher::DesCbc, _));
    let md5 = request.digest() == Digest::Md5;
    if des || md5 {
        let (name, transaction) = (&*endpoint.name, request.transaction_id().to_string());
        log::warn!(
            event = event::CONFIGURATION, endpoint = name, transaction = transaction.as_str(), des, md5;
            "a device uses single DES or MD5, which des_and_md5 = true allows against RFC 8894"
        );
    }
}

/// Another request under a transaction ID that is taken (RFC 8894 section 3.2.1.1).
pub(super) fn conflict() -> Failure {
    Failure::refused(
        FailInfo::BadRequest,
        "transaction",
        "this transaction ID was used for another request; start a new transaction",
    )
}
