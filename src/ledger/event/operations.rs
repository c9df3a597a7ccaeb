//! Events of running the service.

use der::{Enumerated, Sequence};

use crate::ledger::{Bytes, Fingerprint};

/// The signer started or stopped, or entered or left maintenance mode.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Lifecycle {
    /// Version of the software.
    pub software: String,
    /// Why, where there is something to say.
    pub reason: String,
}

/// A configuration came into force or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Configuration {
    /// SHA-256 of its canonical text, without secrets.
    pub digest: Fingerprint,
    /// The digest of the one that it replaces.
    #[asn1(context_specific = "0", optional = "true")]
    pub replaces: Option<Fingerprint>,
    /// What changed, in a few words.
    pub summary: String,
}

/// A certificate of our own (CA, RA, OCSP) came in, or a rollover moved on.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Rollover {
    /// Name of the issuer.
    pub issuer: String,
    /// How far it is.
    pub stage: RolloverStage,
    /// The certificate in DER.
    pub certificate: Bytes,
}

/// The stages of a CA's rollover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum RolloverStage {
    /// The certificate was imported.
    Imported = 0,
    /// It is announced as the next one.
    Staged = 1,
    /// It is the one that issues.
    Activated = 2,
    /// It issues no more.
    Retired = 3,
}

/// A backup was made, verified or restored.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Backup {
    /// What was done.
    pub action: BackupAction,
    /// Number of entries in the backup.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Fingerprint,
    /// SHA-256 of the manifest.
    pub manifest: Fingerprint,
    /// The epoch: how often the ledger has been restored, this time included.
    pub epoch: u32,
    /// In a restore whose operator accepted a loss: the heads that were known elsewhere and are not
    /// in the backup. None of them where nothing was known of the ledger but the backup itself.
    #[asn1(context_specific = "0", optional = "true")]
    pub given_up: Option<Vec<GivenUp>>,
}

impl Backup {
    /// How many entries are known to be lost, at most; none where a loss was accepted unseen.
    pub fn lost(&self) -> Option<u64> {
        match self.given_up.as_deref() {
            None => Some(0),
            Some(heads) => heads.iter().map(|h| h.size.saturating_sub(self.size)).max(),
        }
    }
}

/// A head of the ledger that a restore gave up.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct GivenUp {
    /// Who knew it.
    pub known_by: String,
    /// Number of entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Fingerprint,
}

/// What can be done with a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum BackupAction {
    /// It was made.
    Created = 0,
    /// It was checked.
    Verified = 1,
    /// The ledger was restored from it.
    Restored = 2,
}

/// A key ceremony took place.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Ceremony {
    /// Its name in the plan.
    pub name: String,
    /// SHA-256 of the evidence bundle.
    pub bundle: Fingerprint,
    /// Deviations from the plan, in a few words; empty where there were none.
    pub deviations: String,
}

/// An administrator's command.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Command {
    /// The command and its arguments, without secrets.
    pub command: String,
    /// What it changed, old and new.
    pub change: String,
    /// Whether it only showed what it would do.
    pub dry_run: bool,
}

/// A token went away or came back while the signer ran.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct HsmEvent {
    /// Serial of the token.
    pub token: String,
    /// What happened.
    pub what: String,
}

/// A verification of the ledger ended; the entry's outcome says how.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Verification {
    /// Number of entries that were verified.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Fingerprint,
    /// The first bad place, where there is one.
    pub finding: String,
}

/// A role was given to or taken from somebody.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RoleChange {
    /// Who: the user's name in the configuration.
    pub subject: String,
    /// The role.
    pub role: String,
    /// Whether it was given (or taken).
    pub granted: bool,
}
