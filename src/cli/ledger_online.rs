//! `chancery ledger verify` while the signer runs: every entry fetched through the admin socket and held
//! against the rules here, so that the signer is not believed but for its list of what there is.

use std::cell::RefCell;

use super::admin::{self, Session};
use super::failure::Failure;
use crate::ledger::StoreError;
use crate::ledger::verify::EntrySource;
use crate::wire::admin::{Request, Response};

/// The signer's ledger, read from start to end.
pub(super) struct Online {
    session: Session,
    /// Why reading failed; the verifier's own error says less.
    failure: RefCell<Option<Failure>>,
}

impl Online {
    /// Over a session with the signer.
    pub(super) const fn new(session: Session) -> Self {
        Self { session, failure: RefCell::new(None) }
    }

    /// Number of entries now.
    pub(super) fn size(&self) -> Result<u64, Failure> {
        match self.session.ask(Request::LedgerRead { from: u64::MAX, limit: 0 })? {
            Response::LedgerPart(part) => Ok(part.size),
            _ => Err(admin::unexpected()),
        }
    }

    /// The newest signed checkpoint, if there is one.
    pub(super) fn checkpoint(&self) -> Result<Option<String>, Failure> {
        match self.session.ask(Request::LedgerCheckpoint)? {
            Response::Checkpoint(note) => Ok(note),
            _ => Err(admin::unexpected()),
        }
    }

    /// Why an entry could not be read, if that was so.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.take()
    }

    fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        match self.session.ask(Request::LedgerRead { from: first, limit })? {
            Response::LedgerPart(part) => {
                Ok(part.entries.into_iter().map(serde_bytes::ByteBuf::into_vec).collect())
            }
            _ => Err(admin::unexpected()),
        }
    }
}

impl EntrySource for Online {
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(first, limit).map_err(|failure| {
            let cause = failure.cause().to_owned();
            self.failure.replace(Some(failure));
            StoreError::Damaged(cause)
        })
    }
}
