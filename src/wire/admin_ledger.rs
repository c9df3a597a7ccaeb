//! The ledger as auditors ask for it through the admin socket.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The most octets of entries in one answer, but for the first entry.
pub const ENTRIES_PART: usize = 2 << 20;

/// A part of the ledger, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPart {
    /// Number of entries that the ledger has.
    pub size: u64,
    /// Entries in their order, DER; none only behind the end.
    pub entries: Vec<ByteBuf>,
}

/// What shows that a ledger went on from an earlier size of its.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    /// The root at the earlier size.
    pub old_root: [u8; 32],
    /// The root at the later size.
    pub new_root: [u8; 32],
    /// The proof (RFC 6962 section 2.1.2).
    pub path: Vec<[u8; 32]>,
}

/// A witness of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessState {
    /// The name in the configuration.
    pub name: String,
    /// Where it is asked.
    pub url: String,
    /// Number of entries under the last checkpoint that it cosigned; none before the first.
    pub size: Option<u64>,
    /// When it says that it saw that one, in milliseconds since 1970.
    pub time: Option<u64>,
    /// Why there is no newer cosignature, if so.
    pub problem: Option<String>,
}

/// How far the ledger is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    /// The verifier's text of the log's key.
    pub verifier: String,
    /// Number of entries under the newest checkpoint; none before the first.
    pub size: Option<u64>,
    /// Milliseconds since 1970 when it was signed; none where that was before this start.
    pub signed: Option<u64>,
    /// Why there is no newer one, if so.
    pub problem: Option<String>,
    /// Who cosigns.
    pub witnesses: Vec<WitnessState>,
}

/// How far the verification in the background has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationState {
    /// Entries that were verified in this run.
    pub done: u64,
    /// Entries that it goes through.
    pub end: u64,
    /// Milliseconds since 1970 when a run last ended well; none before the first since the start.
    pub succeeded: Option<u64>,
    /// What was found, if something was.
    pub finding: Option<String>,
}
