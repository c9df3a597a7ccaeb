//! Opening a request's envelope: by the RA's key in the HSM, or by a one-time challenge where the
//! device's key cannot decrypt (RFC 8894 section 3.1). Such a challenge is found by the transaction
//! ID, which is its MAC, and kept sealed; the reply is encrypted under it as well.

use std::net::IpAddr;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::pipeline::Pipeline;
use crate::cms::{Opened, PasswordKey};
use crate::pki::Certificate;
use crate::ra::{ChallengeMac, Evidence};
use crate::scep::{FailInfo, MessageType, ReplyContext, SignedRequest};
use crate::secret::Secret;
use crate::telemetry::event;

/// How many keys are derived from passwords at a time. Anybody can make the signer derive one, and
/// the other requests need the processor too.
const AT_A_TIME: usize = 2;
/// How many may wait for that beside them; more get 503 with Retry-After, so that they take no place
/// from devices that need no derivation.
const WAITING: usize = 64;

/// Who may derive a key from a password.
pub(super) struct Derivations {
    admitted: Semaphore,
    working: Semaphore,
}

impl Derivations {
    pub(super) fn new() -> Self {
        let (admitted, working) = (AT_A_TIME + WAITING, AT_A_TIME);
        Self { admitted: Semaphore::new(admitted), working: Semaphore::new(working) }
    }

    /// A turn, until both are dropped.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Failure> {
        let admitted = self.admitted.try_acquire().map_err(|_| Failure::Busy)?;
        let working = self.working.acquire().await;
        Ok((admitted, working.map_err(unavailable)?))
    }
}

/// Refuses who could not read the reply, before anything is spent on the request.
pub(super) fn check_receiver(endpoint: &Endpoint, request: &SignedRequest) -> Result<(), Failure> {
    let kind = request.signer().public_key().kind();
    let by_key = endpoint.algorithms.can_envelope_to(kind);
    let is_renewal = request.message_type() == MessageType::RenewalReq;
    let text = match (request.is_under_password(), endpoint.sealed_challenges) {
        (true, true) if !is_renewal => return Ok(()),
        (false, _) if by_key => return Ok(()),
        (true, _) if by_key => {
            "this message cannot be opened by a password; let the device encrypt it \
                                to the RA's certificate"
                .into()
        }
        (_, false) => "the reply can be encrypted to RSA keys only; enrol with an RSA key".into(),
        (_, true) if is_renewal => format!(
            "a renewal brings no challenge, and without one no reply can be encrypted to a {kind} \
             key; enrol anew with a one-time challenge and its transaction ID"
        ),
        (_, true) => format!(
            "no reply can be encrypted to a {kind} key; let the device encrypt the request with a \
             one-time challenge (PasswordRecipientInfo) under the transaction ID that came with it"
        ),
    };
    Err(Failure::refused(FailInfo::BadAlg, "signer-key", text))
}

impl Pipeline {
    /// Opens the envelope and gives its content to `reader`. Every defect of the envelope and of its
    /// content is one failure (I7), and counted: who had too many is told to come back later before
    /// the HSM is troubled. One under a password counts as a wrong challenge.
    pub(super) async fn read<T, E: std::fmt::Display>(
        &self,
        endpoint: &Endpoint,
        source: IpAddr,
        request: &SignedRequest,
        reader: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, Failure> {
        let by_password = request.is_under_password();
        let opened = match by_password {
            true => self.opened_by_password(endpoint, source, request).await?,
            false => {
                self.unopened.admit(source, self.clock.now()).map_err(Failure::Unopened)?;
                self.opened_by_key(endpoint, request).await?
            }
        };
        let read = opened.read(reader).map_err(|e| Failure::unopened(e.diagnosis()));
        match read {
            Err(_) if by_password => self.wrong_guess(source, self.clock.now()),
            Err(_) => self.count_unopened(source),
            Ok(_) => {}
        }
        read
    }

    fn count_unopened(&self, source: IpAddr) {
        if self.unopened.missed(source, self.clock.now()) {
            let source = source.to_string();
            log::warn!(
                event = event::ENVELOPES_TRIED, source = source.as_str();
                "too many envelopes cannot be opened: signer.unopened_envelopes is reached, and none is opened for a while"
            );
        }
    }

    /// The envelope under its content key, unwrapped in the HSM.
    async fn opened_by_key(
        &self,
        endpoint: &Endpoint,
        request: &SignedRequest,
    ) -> Result<Opened, Failure> {
        // Its own is the first: who is addressed was looked at before.
        let ours: Vec<&Certificate> = endpoint.recipients.iter().collect();
        let recipient = request.recipient(&ours, &endpoint.algorithms)?;
        let key: Secret = endpoint
            .unwrapper
            .unwrap(recipient.transport, recipient.encrypted_key.to_vec(), recipient.key_len)
            .await?;
        Ok(request.open(&key))
    }

    /// The envelope under its content key, unwrapped by the challenge that the transaction ID names.
    /// Where there is none, a password that nobody knows takes its place and as much time.
    async fn opened_by_password(
        &self,
        endpoint: &Endpoint,
        source: IpAddr,
        request: &SignedRequest,
    ) -> Result<Opened, Failure> {
        let (recipient, key_len) = request.password(&endpoint.algorithms)?;
        let _turn = self.derivations.turn().await?;
        // After the wait: what was refused meanwhile shall cost no derivation.
        self.guesses.admit(source, self.clock.now())?;
        let id = request.transaction_id().as_bytes();
        let password = match self.sealed_challenge(endpoint, id)? {
            Some(challenge) => challenge,
            None => endpoint.authorizer.key.absent(&endpoint.name, id).map_err(unavailable)?,
        };
        let key = blocking(move || recipient.content_key(&password, key_len)).await?;
        Ok(request.open(&key))
    }

    /// The key under which `request` is answered, where its signer's key cannot decrypt: derived from
    /// the challenge by which the request was opened.
    pub(super) async fn reply_key(
        &self,
        endpoint: &Endpoint,
        request: &ReplyContext,
    ) -> Result<Option<PasswordKey>, Failure> {
        if !request.is_under_password() {
            return Ok(None);
        }
        let challenge = self.sealed_challenge(endpoint, request.transaction_id().as_bytes())?;
        let challenge =
            challenge.ok_or_else(|| unavailable("the challenge of the transaction is gone"))?;
        let cipher = endpoint.algorithms.reply(request).cipher;
        let random = self.random.clone();
        let _working = self.derivations.working.acquire().await.map_err(unavailable)?;
        blocking(move || PasswordKey::derive(&challenge, cipher, random.as_ref())).await.map(Some)
    }

    /// The one-time challenge whose transaction ID `id` is, whatever it is still good for.
    fn sealed_challenge(&self, endpoint: &Endpoint, id: &[u8]) -> Result<Option<Secret>, Failure> {
        let Some(mac) = ChallengeMac::from_transaction_id(id) else { return Ok(None) };
        let record = self.ledger.challenge(mac.as_bytes())?;
        let record = record.filter(|r| r.challenge.endpoint == *endpoint.name);
        let Some(sealed) = record.and_then(|r| r.challenge.sealed) else { return Ok(None) };
        match self.seal.open_challenge(&mac, &sealed) {
            Ok(challenge) => Ok(Some(challenge)),
            Err(e) => {
                log::error!(event = event::LEDGER; "a one-time challenge cannot be used: {e}");
                Ok(None)
            }
        }
    }
}

/// Refuses a request that was opened by one challenge and authorized by another: each transaction
/// under a password uses up the challenge that it is named for.
pub(super) fn check_evidence(
    request: &SignedRequest,
    evidence: &[Evidence],
) -> Result<(), Failure> {
    let named = ChallengeMac::from_transaction_id(request.transaction_id().as_bytes());
    let same =
        |e: &Evidence| matches!((e, &named), (Evidence::OneTime(m), Some(n)) if m == n.as_bytes());
    match evidence.iter().all(same) {
        true => Ok(()),
        false => Err(Failure::refused(
            FailInfo::BadRequest,
            "one-time-challenge",
            "the challenge password in the request is not the one that the transaction ID is for; \
             use the challenge and the transaction ID that came together",
        )),
    }
}

/// Work that takes long, away from the threads that serve.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || work().map_err(|e| e.to_string()));
    done.await.map_err(unavailable)?.map_err(unavailable)
}

fn unavailable(cause: impl std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("a key from a password: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn t62_who_finds_too_many_waiting_is_told_to_come_back() {
        let derivations = Arc::new(Derivations::new());
        let first = derivations.turn().await.unwrap();
        let second = derivations.turn().await.unwrap();
        let wait = || {
            let derivations = derivations.clone();
            tokio::spawn(async move { derivations.turn().await.is_ok() })
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| wait()).collect();
        while derivations.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(derivations.turn().await, Err(Failure::Busy)));
        drop((first, second));
        for one in waiting {
            assert!(one.await.unwrap());
        }
        assert!(derivations.turn().await.is_ok());
    }
}
