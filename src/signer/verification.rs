//! The ledger read again in the background, from the first entry on, while the signer serves. What a
//! start checks is the newest part; damage in older entries is found here and ends the signing (I10).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::instance::{Instance, issuer_keys};
use crate::clock::Timestamp;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::verify::{Finding, FindingKind, Verified, Verifier};
use crate::ledger::{Draft, Event, Fingerprint, LedgerError, Verification};
use crate::store::Verifications;
use crate::telemetry::event;

/// A step is followed by this many times its own duration of rest.
const REST: u32 = 3;

/// How far the verification has come.
#[derive(Debug)]
pub(super) struct Background {
    state: Mutex<State>,
    /// How long after a run the next one begins.
    every: Duration,
    /// What earlier runs left.
    files: Verifications,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Entries that were verified in this run, and how many it goes through.
    pub(super) done: u64,
    pub(super) end: u64,
    /// When the last run ended well; none before the first since the start.
    pub(super) succeeded: Option<Timestamp>,
    /// What was found.
    pub(super) finding: Option<String>,
}

impl Background {
    /// Nothing of the ledger in `folder` is verified yet.
    pub(super) fn new(every: Duration, folder: &Path) -> Self {
        Self { state: Mutex::default(), every, files: Verifications::of(folder) }
    }

    /// How far it has come.
    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checkpoint of an earlier run, if the log's key signed it: signatures before it are not
    /// checked again.
    fn trusted(&self, instance: &Instance) -> Option<Checkpoint> {
        let note = self.files.verified().ok()??;
        Checkpoint::open(&note, instance.log.as_ref()?.note_key()).ok()
    }
}

/// Verifies the ledger again and again. Ends when damage is found, or the signer signs nothing.
pub(super) async fn run(instance: Arc<Instance>) {
    while instance.ledger().refusal().is_none() {
        let verified = tokio::task::spawn_blocking({
            let instance = instance.clone();
            move || once(&instance)
        });
        match verified.await {
            Ok(Ok(Some((verified, note)))) => succeeded(&instance, &verified, note).await,
            Ok(Ok(None)) => return,
            Ok(Err(finding)) => return found(&instance, &finding),
            Err(e) => log::error!(event = event::LEDGER; "the verification ended by itself: {e}"),
        }
        tokio::time::sleep(instance.verification.every).await;
    }
}

/// What a run ended at: what it saw, and the checkpoint that it agreed with.
type Ended = (Verified, Option<Arc<str>>);

/// One run over what is there now, the indexes last; nothing where the signer ends meanwhile.
fn once(instance: &Instance) -> Result<Option<Ended>, Finding> {
    let background = &instance.verification;
    let latest = instance.log.as_ref().and_then(super::checkpoints::Log::latest);
    let note = latest.map(|signed| signed.note);
    let known = note.as_deref().and_then(|note| Checkpoint::read_unverified(note).ok());
    let known = known.map(|c| ("the newest checkpoint".to_owned(), c)).into_iter().collect();
    let end = instance.ledger().head().size();
    *background.lock() = State { done: 0, end, ..background.state() };
    let issuers = issuer_keys(&instance.issuers);
    let trusted = background.trusted(instance);
    let mut verifier = Verifier::new(issuers, known, trusted.as_ref()).passing_unknown_issuers();
    loop {
        let began = Instant::now();
        let ended = verifier.step(&**instance.ledger(), end)?;
        background.lock().done = verifier.verified().entries;
        if ended {
            break;
        }
        if gives_up(instance) {
            return Ok(None);
        }
        std::thread::sleep(began.elapsed() * REST);
    }
    let verified = verifier.finish()?;
    let mut began = Instant::now();
    instance.ledger().verify_indexes(&mut |_| {
        std::thread::sleep(began.elapsed() * REST);
        began = Instant::now();
        !gives_up(instance)
    })?;
    Ok(Some((verified, note)).filter(|_| !gives_up(instance)))
}

/// Whether nobody waits for the end of a run any more.
fn gives_up(instance: &Instance) -> bool {
    instance.ledger().refusal().is_some() || instance.is_stopping()
}

async fn succeeded(instance: &Instance, verified: &Verified, note: Option<Arc<str>>) {
    let (entries, certificates) = (verified.entries, verified.certificates);
    log::info!(event = event::LEDGER, entries, certificates; "the ledger was verified");
    if verified.unknown > 0 {
        let unknown = verified.unknown;
        log::warn!(
            event = event::LEDGER, unknown;
            "certificates of CAs that the configuration does not have any more were not checked"
        );
    }
    let background = &instance.verification;
    background.lock().succeeded = Some(instance.pipeline.clock.now());
    let event = Event::Verification(Verification {
        size: verified.entries,
        root: Fingerprint(verified.root),
        finding: String::new(),
    });
    if let Err(e) = instance.ledger().append(vec![Draft::of_system("ledger", event)]).await {
        log::error!(event = event::LEDGER; "the verification is not recorded: {e}");
    }
    if let Some(note) = note
        && let Err(e) = background.files.keep_verified(&note)
    {
        log::warn!(event = event::LEDGER; "how far the ledger was verified is not kept: {e}");
    }
}

fn found(instance: &Instance, finding: &Finding) {
    log::error!(
        event = event::LEDGER;
        "maintenance mode, nothing more is signed: the ledger does not verify: {finding}"
    );
    let background = &instance.verification;
    background.lock().finding = Some(finding.to_string());
    instance.ledger().take_no_more(LedgerError::Maintenance(format!(
        "the ledger does not verify: {finding}; {}; then start the signer again",
        finding.remedy()
    )));
    // A disk that could not be read, or a release that is too old, may be in order at the next start;
    // damage is not.
    if finding.kind != FindingKind::Unread
        && let Err(e) = background.files.keep_finding(&finding.to_string())
    {
        log::error!(
            event = event::LEDGER;
            "a start would not know of the damage before it is found again: {e}; do not start the signer again \
             on this ledger"
        );
    }
}

/// The damage that an earlier run found in the ledger of `folder`: nothing is signed on it again.
pub(super) fn check_findings(folder: &Path) -> Result<(), LedgerError> {
    let files = Verifications::of(folder);
    files.finding()?.map_or(Ok(()), |finding| {
        Err(LedgerError::Distrusted(format!(
            "a verification found that it is damaged: {finding}; keep its folder as it is, restore the latest \
             good backup, and start the signer again. Where it was repaired in place and `chancery ledger \
             verify` is content, remove {}",
            files.finding_file().display()
        )))
    })
}
