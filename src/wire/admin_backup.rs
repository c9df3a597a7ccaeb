//! Backups through the admin socket: the signer says what there is and signs it, the command fetches it.

use serde::{Deserialize, Serialize};

/// The most octets of a file in one answer.
pub const BACKUP_PART: u64 = 4 << 20;

/// A backup that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlan {
    /// Its number, until the signer stops or four others were begun.
    pub id: u64,
    /// The manifest's file: a signed note, or its text alone where the log has no key.
    pub manifest: String,
}

/// The last backup that was fetched whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// When that was recorded, in milliseconds since 1970.
    pub time: u64,
    /// How many entries of the ledger it has.
    pub size: u64,
}
