//! What was done: one ordered, append-only sequence of entries for everything that matters.
//!
//! Owns: the entries and their canonical encoding (`docs/ledger-format.md`), the closed list of
//! audit events, the group commit that makes them durable before anything follows from them (I1,
//! I2), the rules that no reservation can break (one serial once, one certificate a reservation),
//! recovery after a crash, the Merkle tree (RFC 6962).
//! Never: a file or a database; a [`Store`] stands between. Never a secret, nor a plain hash of
//! one (I11).

mod anchor;
mod backup;
mod challenges;
pub mod checkpoint;
mod cosignature;
mod draft_rules;
mod entry;
mod error;
mod event;
mod group_commit;
mod handle;
mod index;
mod lookup;
pub mod merkle;
pub mod note;
mod octets;
pub mod proof;
pub mod proof_file;
mod store;
mod tbs;
#[cfg(test)]
mod tests;
mod tiles;
mod unavailable;
pub mod verify;
mod waiting;

pub use anchor::{Anchor, AnchorError, CheckpointError, NoteSigner, Schedule, known_heads};
pub use backup::{BackupFile, BackupRecord, Manifest, ManifestError};
pub use challenges::ChallengeRecord;
pub use cosignature::{Cosignature, WitnessKey, add_checkpoint};
pub use entry::{
    Actor, Draft, ENTRY_VERSION, Entry, EntryError, MAX_ENTRY_LEN, Origin, Outcome, Sequence,
};
pub use error::{LedgerError, Refusal};
pub use event::{
    Abandoned, Authorizer, Backup, BackupAction, Ceremony, Certificate, Challenge, ChallengeAction,
    Command, Configuration, Decision, Event, Evidence, GivenUp, HsmEvent, Lifecycle, Pending,
    Refusals, Reservation, Revocation, RoleChange, Rollover, RolloverStage, SealedRequest,
    SignedKind, SignedObject, SigningIntent, Verdict, Verification,
};
pub use handle::{Head, Ledger};
pub use index::{Index, Key, Posting, postings};
pub use lookup::{CertificateRecord, TransactionRecord, TransactionState};
pub use octets::{Bytes, Fingerprint};
pub use store::{KnownHead, Record, Store, StoreError};
pub use tiles::Tile;
pub use waiting::PendingRecord;
