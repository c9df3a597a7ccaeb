//! A ledger from a backup: its entries as they were, then what a restore adds to them. Needs no HSM; no
//! signer runs meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::ledger::merkle::Hash;
use crate::ledger::{
    Actor, Backup, BackupAction, Draft, Event, Fingerprint, GivenUp, KnownHead, Ledger,
    LedgerError, Manifest, Origin, Outcome, StoreError,
};
use crate::random::Random;
use crate::store::{FileStore, StoreOptions, copy_in, is_empty, move_in};

/// What is restored, and to where.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The backup's folder; it has been verified.
    pub backup: &'a Path,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// SHA-256 of the manifest's file.
    pub digest: Fingerprint,
    /// The ledger's folder: empty, or not there.
    pub target: &'a Path,
    /// Heads of the ledger that are known elsewhere and must be in it.
    pub known: Vec<KnownHead>,
    /// Heads that are not, which the operator gives up; none where no loss is accepted, empty where
    /// nobody knows what is lost.
    pub given_up: Option<Vec<KnownHead>>,
    /// Who restores, by the uid and the process.
    pub actor: (u32, u32),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new epoch.
    pub epoch: u32,
    /// One-time challenges that were good and are void.
    pub voided: usize,
    /// Write-ahead entries of which nothing had come when the backup was made.
    pub abandoned: usize,
    /// Number of entries now.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

/// Makes the ledger in a folder beside the target, and puts it there when it is complete: after a
/// failure or a crash there is no ledger, or all of it.
pub fn restore(
    what: Restore<'_>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Restored, LedgerError> {
    let beside = beside(what.target);
    for folder in [what.target, &beside] {
        if !is_empty(folder)? {
            let path = folder.display().to_string();
            let cause = "it is not empty; nothing is overwritten".to_owned();
            return Err(StoreError::Io { what: "restore into", path, cause }.into());
        }
    }
    copy_in(what.backup, &what.manifest.files, &beside)?;
    let done = complete(&what, &beside, clock, random);
    if done.is_err() {
        // Only what was made here; the failure is what matters.
        drop(std::fs::remove_dir_all(&beside));
    }
    let restored = done?;
    move_in(&beside, what.target)?;
    Ok(restored)
}

fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".restoring");
    name.into()
}

fn complete(
    what: &Restore<'_>,
    folder: &Path,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Restored, LedgerError> {
    let Manifest { size, root, .. } = *what.manifest;
    let mut options = StoreOptions::new(folder);
    let manifest = KnownHead { known_by: "the manifest".into(), size, root };
    options.known_heads = what.known.iter().cloned().chain([manifest]).collect();
    let store = FileStore::open(options, random)?;
    let ledger = Ledger::open(store, clock.clone())?;
    let epoch = ledger.epoch()?.saturating_add(1);
    let challenges = ledger.live_challenges(clock.now())?;
    let voided = challenges.len();
    let given_up = what.given_up.as_ref().map(|heads| {
        let given_up = |h: &KnownHead| GivenUp {
            known_by: h.known_by.clone(),
            size: h.size,
            root: Fingerprint(h.root),
        };
        heads.iter().map(given_up).collect()
    });
    let backup = Backup {
        action: BackupAction::Restored,
        size,
        root: Fingerprint(root),
        manifest: what.digest,
        epoch,
        given_up,
    };
    let (uid, pid) = what.actor;
    let draft = |object: String, event| Draft {
        actor: Actor::Uid(uid),
        origin: Origin::Process(pid),
        object,
        outcome: Outcome::Success,
        event,
    };
    let mut drafts = vec![draft(what.backup.display().to_string(), Event::Backup(backup))];
    drafts.extend(
        challenges
            .into_iter()
            .map(|c| draft(format!("challenge at {}", c.endpoint), Event::Challenge(c.voided()))),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| LedgerError::NoWriter(e.to_string()))?;
    runtime.block_on(ledger.append(drafts))?;
    let head = ledger.head();
    let abandoned = ledger.abandoned_at_open().len();
    ledger.close()?;
    Ok(Restored { epoch, voided, abandoned, size: head.size(), root: head.root() })
}
