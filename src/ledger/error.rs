//! Why the ledger refuses.

use super::{EntryError, StoreError};

/// Why the ledger refuses. After [`LedgerError::Poisoned`] nothing can be appended until the
/// ledger is opened anew (I10); the other errors concern the one call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A write or an fsync failed, now or before: what is on the disk is unknown.
    #[error(
        "the ledger cannot be written ({0}); nothing is signed until the signer is restarted on a working disk"
    )]
    Poisoned(String),
    /// The ledger was closed.
    #[error("the ledger is closed: the signer is shutting down")]
    Closed,
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry cannot be encoded or read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An entry breaks a rule of the ledger.
    #[error("the ledger refuses the entry: {0}")]
    Refused(#[from] Refusal),
    /// The clock is behind the last entry's time.
    #[error(
        "the clock is {seconds} s behind the ledger's last entry: set it right before anything is signed"
    )]
    ClockWentBack {
        /// By how many seconds.
        seconds: u64,
    },
    /// What is known of the ledger elsewhere cannot be trusted.
    #[error("the ledger is not relied on: {0}")]
    Distrusted(String),
    /// Nothing is appended by an operator's word or because damage was found.
    #[error("maintenance mode: {0}")]
    Maintenance(String),
    /// The writer could not be started.
    #[error("the ledger's writer cannot be started: {0}")]
    NoWriter(String),
}

/// The rules that an entry can break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The serial number stands in an earlier reservation.
    #[error("serial {0} is reserved already: draw another one")]
    DuplicateSerial(String),
    /// The TBSCertificate cannot be read or has another serial than the reservation.
    #[error("the TBSCertificate does not fit its reservation: {0}")]
    BadTbs(String),
    /// The transaction has a reservation that is still open.
    #[error("the transaction is being served already (entry {0}): wait for that one")]
    TransactionOpen(u64),
    /// The one-time challenge was used before.
    #[error("the one-time challenge was used by entry {0}")]
    ChallengeUsed(u64),
    /// The pending request is decided already, or there is none.
    #[error("entry {0} is no request that waits for a decision")]
    NotPending(u64),
    /// The reservation that is replaced is none that was abandoned.
    #[error("entry {0} is not an abandoned reservation of this transaction")]
    NotAbandoned(u64),
    /// The write-ahead entry that is referred to is not open.
    #[error("entry {0} is no open write-ahead entry")]
    NotOpen(u64),
    /// The certificate is not what was reserved.
    #[error("the certificate is not the one that entry {0} reserved")]
    NotAsReserved(u64),
}
