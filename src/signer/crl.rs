//! The CRL of one CA: when it is made, how it is signed (I1, I2), where it is kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::error::SignerError;
use crate::clock::{Clock, Timestamp};
use crate::issuance::Issuer;
use crate::ledger::{
    Abandoned, Draft, Event, Fingerprint, Ledger, LedgerError, Outcome, Sequence, SignedKind,
    SignedObject, SigningIntent, StoreError,
};
use crate::pki::Certificate;
use crate::pki::crl::{Crl, CrlContent, CrlError, PreparedCrl};
use crate::revocation::{Schedule, last_number, next_number, revoked};
use crate::signing::{Class, Queue, Signer, SigningError, Work};
use crate::store::replace_file;
use crate::telemetry::event;
use crate::telemetry::metrics::SignerMetrics;

/// How long a list may wait for the HSM.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long after a failure the next attempt is made: each one is two entries in the ledger.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// The longest TBSCertList that is kept whole in its write-ahead entry; of a longer one digest,
/// length and signature are, and the entries that it was made from.
const MOST_IN_ENTRY: usize = 60_000;

/// Why a list was not made. The one before stays published.
#[derive(Debug, thiserror::Error)]
pub(super) enum CrlProblem {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    File(#[from] StoreError),
    #[error(transparent)]
    Crl(#[from] CrlError),
}

/// The parts of the signer that every list needs.
pub(super) struct Tools<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) queue: &'a Queue,
    pub(super) clock: &'a dyn Clock,
    pub(super) metrics: &'a SignerMetrics,
}

/// Makes and keeps the lists of one CA.
pub(super) struct Publisher {
    lane: Arc<str>,
    issuer: Arc<Issuer>,
    signer: Arc<dyn Signer>,
    schedule: RwLock<Schedule>,
    file: PathBuf,
    published: RwLock<Option<Arc<Crl>>>,
    state: Mutex<State>,
    /// One list at a time: the next one's number is read from the ledger.
    turn: tokio::sync::Mutex<()>,
}

/// What the publisher remembers beside the list.
#[derive(Debug, Default)]
struct State {
    /// The ledger's last change of a status that the published list is known to have; `None` where it
    /// is not known, after a start.
    covers: Option<Option<Sequence>>,
    /// Before this an attempt that failed is not repeated.
    retry_at: Option<Timestamp>,
}

impl Publisher {
    /// Takes up the list in `file`, where there is one that the CA's key signed.
    pub(super) fn open(
        issuer: Arc<Issuer>,
        signer: Arc<dyn Signer>,
        schedule: Schedule,
        file: PathBuf,
    ) -> Result<Self, SignerError> {
        let published = match std::fs::read(&file) {
            Ok(der) => match read(&der, issuer.certificate()) {
                Ok(crl) => Some(Arc::new(crl)),
                Err(e) => {
                    log::warn!(event = event::CRL; "{} is not used: {e}", file.display());
                    None
                }
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(SignerError::Crl { path: file, cause: e.to_string() }),
        };
        let published = RwLock::new(published);
        Ok(Self {
            lane: issuer.id().into(),
            issuer,
            signer,
            schedule: RwLock::new(schedule),
            file,
            published,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Where the newest list is kept.
    pub(super) fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// The CA.
    pub(super) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The lists after the newest one follow another schedule.
    pub(super) fn reschedule(&self, schedule: Schedule) {
        *self.schedule.write().unwrap_or_else(PoisonError::into_inner) = schedule;
    }

    fn schedule(&self) -> Schedule {
        *self.schedule.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest list; none before the first.
    pub(super) fn published(&self) -> Option<Arc<Crl>> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a list where one is due: none is published, the last one is old, or the ledger has more
    /// than it says.
    pub(super) async fn publish_if_due(&self, tools: &Tools<'_>) {
        let now = tools.clock.now();
        let certificate = self.issuer.certificate();
        // A CA that has ended needs no list any more, and one that has not begun needs none yet.
        if now >= certificate.not_after() || now < certificate.not_before() {
            return;
        }
        if self.state().retry_at.is_some_and(|at| now < at && at <= now.after(RETRY_AFTER)) {
            return;
        }
        let done = match self.is_due(tools) {
            Ok(false) => return,
            Ok(true) => self.publish(tools).await.map(drop),
            Err(e) => Err(e.into()),
        };
        if let Err(e) = done {
            self.state().retry_at = Some(tools.clock.now().after(RETRY_AFTER));
            tools.metrics.crl_failed(self.issuer.id());
            self.report(&e, now);
        }
    }

    fn is_due(&self, tools: &Tools<'_>) -> Result<bool, LedgerError> {
        let Some(crl) = self.published() else { return Ok(true) };
        if self.schedule().is_due(crl.this_update(), tools.clock.now())
            || last_number(tools.ledger, self.issuer.id())? > crl.number()
        {
            return Ok(true);
        }
        let last = tools.ledger.last_status_change()?;
        if self.state().covers == Some(last) {
            return Ok(false);
        }
        let entries = revoked(tools.ledger, self.issuer.id())?;
        let listed: Vec<_> = crl.revoked().map(|r| (r.serial, r.reason)).collect();
        let complete = entries.into_iter().map(|r| (r.serial, r.reason)).eq(listed);
        if complete {
            self.state().covers = Some(last);
        }
        Ok(!complete)
    }

    /// Makes the next list now and publishes it.
    pub(super) async fn publish(&self, tools: &Tools<'_>) -> Result<Arc<Crl>, CrlProblem> {
        let _turn = self.turn.lock().await;
        let id = self.issuer.id();
        let before = self.published().and_then(|crl| crl.number());
        let number = next_number(tools.ledger, id, before)?;
        let last = tools.ledger.last_status_change()?;
        let entries = revoked(tools.ledger, id)?;
        let now = tools.clock.now();
        // A list does not outlive its issuer.
        let end = self.issuer.certificate().not_after();
        let prepared = PreparedCrl::new(&CrlContent {
            issuer: self.issuer.certificate(),
            algorithm: self.signer.algorithm(),
            number,
            this_update: now,
            next_update: now.after(self.schedule().next_update).min(end),
            scope: None,
            revoked: &entries,
        })?;
        let work = self.work(prepared, number, now);
        let committed = tools.queue.enqueue(work)?.result().await?;
        let crl = Crl::from_der(committed.object())?;
        replace_file(&self.file, crl.der())?;
        let crl = Arc::new(crl);
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Some(crl.clone());
        *self.state() = State { covers: Some(last), retry_at: None };
        log::info!(
            event = event::CRL, ca = id, number, entries = entries.len(),
            ledger = committed.record().0;
            "CRL {number} of {id} is published, good until {}", ends(&crl)
        );
        Ok(crl)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Held for a look or an assignment only; a poisoned one is still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, prepared: PreparedCrl, number: u64, now: Timestamp) -> Work {
        let object = format!("CRL {number} of {}", self.issuer.id());
        let tbs = prepared.tbs();
        let intent = SigningIntent {
            kind: SignedKind::Crl,
            issuer: self.issuer.id().into(),
            number: Some(number),
            digest: Fingerprint::of(tbs),
            length: tbs.len() as u64,
            content: (tbs.len() <= MOST_IN_ENTRY).then(|| tbs.into()),
        };
        let (message, recorded, abandoned) = (tbs.to_vec(), object.clone(), object.clone());
        Work {
            class: Class::Status,
            endpoint: self.lane.clone(),
            signer: self.signer.clone(),
            message,
            reservation: Draft::of_system(object, Event::SigningIntent(intent)),
            assemble: Box::new(move |intent, signature| {
                let crl = prepared.assemble(signature).map_err(|e| e.to_string())?;
                let crl = crl.der().to_vec();
                let done = SignedObject {
                    intent: intent.0,
                    digest: Fingerprint::of(&crl),
                    length: crl.len() as u64,
                    signature: signature.into(),
                };
                Ok((Draft::of_system(recorded, Event::SignedObject(done)), crl))
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
            deadline: now.after(DEADLINE),
        }
    }

    /// A list that was not made is an error from the first time on: the one before runs out.
    fn report(&self, problem: &CrlProblem, now: Timestamp) {
        let ca = self.issuer.id();
        let left = match self.published() {
            Some(crl) if ends(&crl) > now => format!("the last one holds until {}", ends(&crl)),
            Some(crl) => format!("the last one ran out at {}", ends(&crl)),
            None => "there is none yet".to_owned(),
        };
        log::error!(event = event::CRL, ca; "no new CRL of {ca}: {problem}; {left}");
    }
}

/// When a list ends. Ours all say so.
pub(super) fn ends(crl: &Crl) -> Timestamp {
    crl.next_update().unwrap_or_else(|| crl.this_update())
}

/// A list that `issuer` signed.
fn read(der: &[u8], issuer: &Certificate) -> Result<Crl, CrlError> {
    let crl = Crl::from_der(der)?;
    crl.verify_signature(issuer.public_key())?;
    Ok(crl)
}
