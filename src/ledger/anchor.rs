//! Signing heads, and remembering them outside the ledger. An anchor on the same host withstands a
//! cut or replaced ledger; only one that a restored disk does not take along (a token's data object,
//! a witness) withstands a restored disk.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::note::{NoteError, NoteKey};
use super::{KnownHead, Ledger, LedgerError};
use crate::clock::Timestamp;

/// Signs notes with a key of its own (I4), in the HSM. Told apart from `signing::Signer`, which
/// knows of the ledger.
pub trait NoteSigner: Send + Sync {
    /// The key that verifies.
    fn key(&self) -> &NoteKey;

    /// Signs `text` by [`NoteKey::algorithm`]; the error says why it cannot.
    fn sign(
        &self,
        text: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>>;
}

/// A place outside the ledger that keeps its latest checkpoint.
pub trait Anchor: Send + Sync {
    /// What it is, for messages.
    fn name(&self) -> String;

    /// The checkpoint that it keeps, if any.
    fn read(&self) -> Result<Option<String>, AnchorError>;

    /// Keeps `note` in the place of the one before. When it returns, the old or the new one is there
    /// whatever happens.
    fn write(&self, note: &str) -> Result<(), AnchorError>;
}

/// Why an anchor cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the anchor {name} cannot be used: {cause}")]
pub struct AnchorError {
    /// Which anchor.
    pub name: String,
    /// What went wrong.
    pub cause: String,
}

/// Why there is no new checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The log's key could not sign.
    #[error("the log's key cannot sign the checkpoint: {0}")]
    Unsigned(String),
    /// What it signed is not accepted.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint cannot be kept; it must not be served.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An anchor cannot be written; the checkpoint is kept, but not served before the anchor has it.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// Reads `anchors` for [`KnownHead`]s to open the ledger with. `key` is the log's; an anchor whose
/// note it did not sign is an error, since somebody changed it.
pub fn known_heads(
    anchors: &[Arc<dyn Anchor>],
    key: &NoteKey,
) -> Result<Vec<KnownHead>, AnchorError> {
    let mut heads = Vec::new();
    for anchor in anchors {
        let Some(note) = anchor.read()? else { continue };
        let Checkpoint { size, root, .. } = Checkpoint::open(&note, key)
            .map_err(|e| AnchorError { name: anchor.name(), cause: e.to_string() })?;
        heads.push(KnownHead { known_by: anchor.name(), size, root });
    }
    Ok(heads)
}

impl Ledger {
    /// Signs the head as it is now, keeps the checkpoint, and writes it to every anchor. It may be
    /// served once this returns.
    pub async fn sign_checkpoint(
        &self,
        signer: &dyn NoteSigner,
        anchors: &[Arc<dyn Anchor>],
    ) -> Result<String, CheckpointError> {
        let head = self.head();
        let key = signer.key();
        let origin = key.name().to_owned();
        let text = Checkpoint { origin, size: head.size(), root: head.root() }.text();
        let signature = signer.sign(text.clone().into_bytes()).await;
        let note = key.assemble(&text, &signature.map_err(CheckpointError::Unsigned)?)?;
        self.store.keep_checkpoint(&note).map_err(LedgerError::from)?;
        for anchor in anchors {
            anchor.write(&note)?;
        }
        Ok(note)
    }

    /// The checkpoint that was kept last.
    pub fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        Ok(self.store.checkpoint()?)
    }
}

/// When a checkpoint is due: at most one a second, at least one a minute while entries arrive.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
    last: Option<(Timestamp, u64)>,
}

impl Schedule {
    /// One checkpoint an `interval`, of which a second is the least and a minute the most.
    pub fn new(interval: Duration) -> Self {
        let interval = interval.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Self { interval, last: None }
    }

    /// Whether a ledger of `size` entries should be signed now.
    pub fn is_due(&self, now: Timestamp, size: u64) -> bool {
        match self.last {
            None => true,
            // A clock that goes back must not stop the checkpoints.
            Some((time, signed)) => {
                size != signed && (now.since(time) >= self.interval || now < time)
            }
        }
    }

    /// A ledger of `size` entries was signed at `now`.
    pub const fn signed(&mut self, now: Timestamp, size: u64) {
        self.last = Some((now, size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_only_what_is_new_and_not_too_often() {
        let at = Timestamp::from_unix_seconds;
        let mut schedule = Schedule::new(Duration::from_secs(10));
        assert!(schedule.is_due(at(100), 0));
        schedule.signed(at(100), 0);
        assert!(!schedule.is_due(at(500), 0));
        assert!(!schedule.is_due(at(109), 1));
        assert!(schedule.is_due(at(110), 1));
        assert!(schedule.is_due(at(50), 1));
        let often = Schedule::new(Duration::ZERO);
        assert_eq!(often.interval, Duration::from_secs(1));
        assert_eq!(Schedule::new(Duration::from_secs(999)).interval, Duration::from_secs(60));
    }
}
