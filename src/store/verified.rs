//! What the verification of the whole ledger leaves beside it: the checkpoint at which the last one ended
//! well, and the damage that one found. Both go with the folder: a ledger that is restored has neither.

use std::path::{Path, PathBuf};

use super::disk::{read_if_there, replace_file};
use crate::ledger::StoreError;

/// The files of a ledger's folder that tell of its verifications.
#[derive(Clone, Debug)]
pub struct Verifications {
    verified: PathBuf,
    finding: PathBuf,
}

impl Verifications {
    /// Of the ledger in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { verified: folder.join("verified"), finding: folder.join("finding") }
    }

    /// The checkpoint at which the last verification ended well, if there was one.
    pub fn verified(&self) -> Result<Option<String>, StoreError> {
        read_if_there(&self.verified)
    }

    /// Keeps the checkpoint at which a verification ended well.
    pub fn keep_verified(&self, note: &str) -> Result<(), StoreError> {
        replace_file(&self.verified, note.as_bytes())
    }

    /// The damage that a verification found, if one did: no start forgets it.
    pub fn finding(&self) -> Result<Option<String>, StoreError> {
        read_if_there(&self.finding)
    }

    /// Keeps what a verification found.
    pub fn keep_finding(&self, finding: &str) -> Result<(), StoreError> {
        replace_file(&self.finding, finding.as_bytes())
    }

    /// The file of the finding, for who has repaired the ledger.
    pub fn finding_file(&self) -> &Path {
        &self.finding
    }
}
