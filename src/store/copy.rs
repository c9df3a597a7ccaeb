//! A copy of a data folder, for whoever must not touch the original: sled has no opening that only
//! reads.

use std::fs::File;
use std::path::Path;

use super::disk::{create_folder, io_error};
use crate::ledger::StoreError;

/// While this lives no signer starts on the data folder, so that a copy of it is of one moment.
#[derive(Debug)]
pub struct Quiet(#[expect(dead_code, reason = "held for its lock")] Option<File>);

impl Quiet {
    /// Keeps signers off `folder` and writes nothing. [`StoreError::Locked`] where one runs on it.
    /// A folder without a lock file is a copy, which no signer has used.
    pub fn hold(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self(None)),
            Err(e) => return Err(io_error("open", &path, &e)),
        };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Self(Some(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StoreError::Locked(folder.display().to_string()))
            }
            Err(e) => Err(io_error("lock", &path, &e.into())),
        }
    }

    /// Copies all of the data folder `from` to the new folder `to`, for this user's eyes only.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        create_folder(to)?;
        for item in std::fs::read_dir(from).map_err(|e| io_error("list", from, &e))? {
            let name = item.map_err(|e| io_error("list", from, &e))?.file_name();
            let (source, target) = (from.join(&name), to.join(&name));
            if source.is_dir() {
                self.copy(&source, &target)?;
            } else {
                std::fs::copy(&source, &target).map_err(|e| io_error("copy", &source, &e))?;
            }
        }
        Ok(())
    }
}
