//! The ledger as a log that others can check: its head is signed by a key of its own on a schedule, and
//! remembered outside the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::authority::reference;
use super::error::SignerError;
use super::token_anchor::TokenAnchor;
use super::tokens::Tokens;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::hsm::KeyPurpose;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::NoteKey;
use crate::ledger::{
    Anchor, KnownHead, Ledger, LedgerError, NoteSigner, Schedule, StoreError, known_heads,
};
use crate::signing::{BoxFuture, Signer};
use crate::store::{FileAnchor, FileStore};
use crate::telemetry::event;

/// How long after a failure the next attempt is made.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How long a write to the token may take: a module that hangs must not hold up the end.
const OBJECT_WITHIN: Duration = Duration::from_secs(10);

/// How old the checkpoint in the token may be while there is a newer one: under a minute, of which a look
/// at the clock and the write take some.
const OBJECT_EVERY: Duration = Duration::from_secs(50);

/// The log's key, its anchors, and the newest checkpoint.
pub(super) struct Log {
    key: LogKey,
    /// Those that are written with every checkpoint, before it is served.
    anchors: Vec<Arc<dyn Anchor>>,
    /// The one in the token, which is written each minute: its memory wears out.
    object: Option<Arc<dyn Anchor>>,
    state: Mutex<State>,
    /// One checkpoint at a time.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    schedule: Schedule,
    latest: Option<Signed>,
    /// Why the newest attempt failed, and when the next is made.
    failed: Option<(String, Timestamp)>,
    failures: u64,
    /// The number of entries that the token's object covers, and when it was written.
    in_token: Option<(u64, Timestamp)>,
    /// Why the newest attempt to write it failed, and when the next is made.
    token_failed: Option<(String, Timestamp)>,
}

/// A checkpoint that was signed, kept and anchored.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) size: u64,
    pub(super) time: Timestamp,
    /// The signed note, as it may be served.
    pub(super) note: Arc<str>,
}

/// The key of the log in the HSM.
struct LogKey {
    note: NoteKey,
    signer: Arc<dyn Signer>,
}

impl NoteSigner for LogKey {
    fn key(&self) -> &NoteKey {
        &self.note
    }

    fn sign(&self, text: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let signed = self.signer.sign_with(self.note.algorithm(), text).await;
            signed.map_err(|e| e.to_string())
        })
    }
}

impl Log {
    /// The log as configured; none in a laboratory that does not sign its ledger.
    pub(super) fn open(config: &Config, tokens: &Tokens) -> Result<Option<Self>, SignerError> {
        let settings = &config.ledger;
        // The configuration's cross-checks have seen that both are there or neither.
        let (Some(place), Some(note)) = (&settings.log_key, settings.note_key()) else {
            log::warn!(
                event = event::LEDGER;
                "the ledger's checkpoints are not signed ([ledger] has no log_key): an older copy or entries \
                 that somebody wrote anew are not found"
            );
            return Ok(None);
        };
        let reference = reference(place, KeyPurpose::LogSign, note.public_key());
        let signer = tokens.signer(place, &reference)?;
        let mut anchors: Vec<Arc<dyn Anchor>> = Vec::new();
        if let Some(path) = &settings.anchor_file {
            anchors.push(Arc::new(FileAnchor(path.clone())));
        }
        let mut object = None;
        if let Some(place) = &settings.anchor_object {
            let hsm = tokens.named(&place.token)?.clone();
            let anchor = TokenAnchor::new(hsm, place.token.to_string(), place.label.clone());
            object = Some(Arc::new(anchor) as Arc<dyn Anchor>);
        }
        let state = State {
            schedule: Schedule::new(settings.checkpoint_interval),
            latest: None,
            failed: None,
            failures: 0,
            in_token: None,
            token_failed: None,
        };
        Ok(Some(Self {
            key: LogKey { note, signer },
            anchors,
            object,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// The public half of the log's key.
    pub(super) fn note_key(&self) -> &NoteKey {
        &self.key.note
    }

    /// The heads that the ledger in `folder` must go on from: those that the anchors know, those of the
    /// checkpoints that witnesses `cosigned`, and that of the checkpoint beside it. All must be signed by
    /// this log's key.
    pub(super) fn known_heads(
        &self,
        folder: &std::path::Path,
        cosigned: &[Arc<dyn Anchor>],
    ) -> Result<Vec<KnownHead>, LedgerError> {
        let distrusted = |what: &str| {
            LedgerError::Distrusted(format!(
                "{what}. What cannot be read: mend that. What the log's key did not sign: somebody changed it, \
                 or the key was exchanged; find out which, and remove what is out of date by hand. Then \
                 start the signer again"
            ))
        };
        if let Some(note) = FileStore::kept_checkpoint(folder)? {
            let kept = Checkpoint::open(&note, self.note_key()).map_err(|e| {
                distrusted(&format!("the checkpoint in {} cannot be used: {e}", folder.display()))
            })?;
            let time = Timestamp::from_unix_millis(0);
            lock(&self.state).latest = Some(Signed { size: kept.size, time, note: note.into() });
        }
        let all: Vec<_> = self.anchors.iter().chain(&self.object).cloned().collect();
        let known = |places: &[Arc<dyn Anchor>]| {
            known_heads(places, self.note_key()).map_err(|e| distrusted(&e.to_string()))
        };
        let mut heads = known(&all)?;
        for anchor in &all {
            if !heads.iter().any(|h| h.known_by == anchor.name()) {
                let name = anchor.name();
                log::warn!(event = event::LEDGER; "the anchor {name} knows no head yet; it begins now");
            }
        }
        heads.extend(known(cosigned)?);
        Ok(heads)
    }

    /// `text` as a note that the log's key signed: a backup's manifest, which nobody can take for a
    /// checkpoint.
    pub(super) async fn sign_note(&self, text: &str) -> Result<String, String> {
        let signature = self.key.sign(text.as_bytes().to_vec()).await?;
        self.note_key().assemble(text, &signature).map_err(|e| e.to_string())
    }

    /// The newest checkpoint.
    pub(super) fn latest(&self) -> Option<Signed> {
        lock(&self.state).latest.clone()
    }

    /// Why there is no newer one, if so.
    pub(super) fn problem(&self) -> Option<String> {
        let state = lock(&self.state);
        state.failed.as_ref().or(state.token_failed.as_ref()).map(|(why, _)| why.clone())
    }

    /// How many attempts failed since the start.
    pub(super) fn failures(&self) -> u64 {
        lock(&self.state).failures
    }

    /// Signs the head where that is due.
    pub(super) async fn sign_if_due(&self, ledger: &Ledger, now: Timestamp) {
        let head = ledger.head();
        let due = {
            let state = lock(&self.state);
            let waits = state.failed.as_ref().is_some_and(|(_, until)| now < *until);
            !waits && head.poisoned.is_none() && state.schedule.is_due(now, head.size())
        };
        if due {
            self.sign(ledger, now).await;
        }
        let write = {
            let state = lock(&self.state);
            let waits = state.token_failed.as_ref().is_some_and(|(_, until)| now < *until);
            // A clock that goes back must not stop it.
            let old = |time: Timestamp| now.since(time) >= OBJECT_EVERY || now < time;
            !waits && head.poisoned.is_none() && state.in_token.is_none_or(|(_, time)| old(time))
        };
        if write {
            self.write_object(now).await;
        }
    }

    /// Signs the head now, and writes it to the token too: the signer ends.
    pub(super) async fn sign_last(&self, ledger: &Ledger, now: Timestamp) {
        self.sign(ledger, now).await;
        self.write_object(now).await;
    }

    /// Writes the newest checkpoint to the token, unless it has it; a failure is logged, counted and shown,
    /// and tried again.
    async fn write_object(&self, now: Timestamp) {
        let Some(object) = self.object.clone() else { return };
        // One of an earlier run may be older than what the token has.
        let Some(latest) = self.latest().filter(|l| l.time.unix_millis() > 0) else { return };
        if lock(&self.state).in_token.is_some_and(|(size, _)| size == latest.size) {
            return;
        }
        let (note, name) = (latest.note.clone(), object.name());
        let write = tokio::task::spawn_blocking(move || object.write(&note));
        let written = match tokio::time::timeout(OBJECT_WITHIN, write).await {
            Ok(Ok(written)) => written.map_err(|e| e.to_string()),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("{name}: the HSM does not answer")),
        };
        let mut state = lock(&self.state);
        match written {
            Ok(()) => {
                state.in_token = Some((latest.size, now));
                state.token_failed = None;
            }
            Err(why) => {
                log::error!(event = event::LEDGER; "the token does not keep the new checkpoint: {why}");
                state.failures += 1;
                state.token_failed = Some((why, now.after(RETRY_AFTER)));
            }
        }
    }

    /// Signs the head now; a failure is logged, counted and shown, and tried again.
    pub(super) async fn sign(&self, ledger: &Ledger, now: Timestamp) {
        let _turn = self.turn.lock().await;
        match ledger.sign_checkpoint(&self.key, &self.anchors).await {
            Ok(note) => {
                // Entries that came meanwhile are in the next one.
                let size = Checkpoint::read_unverified(&note).map_or(0, |c| c.size);
                let mut state = lock(&self.state);
                state.schedule.signed(now, size);
                state.latest = Some(Signed { size, time: now, note: note.into() });
                if state.failed.take().is_some() {
                    log::info!(event = event::LEDGER, size; "checkpoints are signed again");
                }
            }
            Err(e) => {
                let why = e.to_string();
                log::error!(event = event::LEDGER; "there is no new checkpoint: {why}");
                let mut state = lock(&self.state);
                state.failures += 1;
                state.failed = Some((why, now.after(RETRY_AFTER)));
            }
        }
    }
}

/// Whether this is for a person to look at before anything is signed again, as opposed to a full disk.
pub(super) const fn is_distrusted(e: &LedgerError) -> bool {
    matches!(
        e,
        LedgerError::Store(
            StoreError::Damaged(_)
                | StoreError::RolledBack { .. }
                | StoreError::UnknownFormat(_)
                | StoreError::Database(_)
        ) | LedgerError::Entry(_)
            | LedgerError::Distrusted(_)
    )
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
