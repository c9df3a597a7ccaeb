//! An anchor in a file on another path.

use std::path::PathBuf;

use super::disk::write_durably;
use crate::ledger::{Anchor, AnchorError};

/// Keeps the latest checkpoint in a file that is not in the data folder, at best on another file
/// system. It withstands a cut or replaced ledger, not a restored disk that holds both.
#[derive(Clone, Debug)]
pub struct FileAnchor(pub PathBuf);

impl FileAnchor {
    fn error(&self, cause: &std::io::Error) -> AnchorError {
        AnchorError { name: self.name(), cause: cause.to_string() }
    }
}

impl Anchor for FileAnchor {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn read(&self) -> Result<Option<String>, AnchorError> {
        match std::fs::read_to_string(&self.0) {
            Ok(note) => Ok(Some(note)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error(&e)),
        }
    }

    fn write(&self, note: &str) -> Result<(), AnchorError> {
        write_durably(&self.0, note.as_bytes()).map_err(|e| self.error(&e))
    }
}
