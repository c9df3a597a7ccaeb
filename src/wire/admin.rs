//! What operators ask of the signer through its admin socket.

use serde::{Deserialize, Serialize};

use super::Exchange;
pub use super::admin_backup::{BACKUP_PART, BackupPlan, LastBackup};
pub use super::admin_enrolment::{
    ChallengeOrder, ChallengeStatus, Disclosed, NewChallenge, WaitingRequest,
};
pub use super::admin_examination::{
    EndpointExamination, Examination, MechanismExamination, TokenExamination,
};
pub use super::admin_hsm::{HsmState, HsmTest};
pub use super::admin_ledger::{
    Consistency, ENTRIES_PART, LedgerPart, LogState, VerificationState, WitnessState,
};
pub use super::admin_permission::Permission;
pub use super::admin_reload::{ConfigurationError, Reloaded};
pub use super::admin_search::{CertificateFilter, CertificatePage, Cursor};

/// A request of an operator's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// How the signer is.
    Status,
    /// The request and the certificate of a transaction.
    RequestShow {
        /// The endpoint; needed where several know the transaction.
        endpoint: Option<String>,
        /// The transaction ID as the client sent it.
        transaction: String,
    },
    /// The entries of a transaction in their order.
    Trace {
        /// The endpoint; all of them without.
        endpoint: Option<String>,
        /// The transaction ID as the device sent it.
        transaction: String,
    },
    /// Ledger entries in their order.
    LedgerList {
        /// The first sequence number.
        from: u64,
        /// How many at most; the signer may send fewer.
        limit: u32,
    },
    /// A certificate and its status.
    CertShow {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// A page of the certificates that fit.
    CertSearch {
        /// What they must have.
        filter: Box<CertificateFilter>,
        /// Where the page begins; at the beginning without.
        from: Option<Cursor>,
    },
    /// A change of a certificate's status.
    CertRevoke(Change),
    /// Make lists now.
    CrlNow {
        /// The CA; all of them without.
        ca: Option<String>,
    },
    /// The newest lists.
    CrlShow {
        /// The CA; all of them without.
        ca: Option<String>,
    },
    /// The rollovers that the configuration knows.
    RolloverList,
    /// A step of a CA's rollover.
    RolloverStep {
        /// The CA that is followed by another.
        ca: String,
        /// The step.
        step: RolloverStep,
    },
    /// The requests that wait for an officer, or were decided by one.
    RequestList {
        /// Only those that wait.
        pending: bool,
    },
    /// An officer's word on a request that waits.
    RequestDecide {
        /// The endpoint; needed where the transaction waits at several.
        endpoint: Option<String>,
        /// The transaction ID as the device sent it.
        transaction: String,
        /// Whether it is granted.
        approve: bool,
        /// Why; the device is told where it is not granted.
        reason: String,
    },
    /// Make one-time challenges.
    ChallengeIssue(ChallengeOrder),
    /// The one-time challenges and how they stand.
    ChallengeList,
    /// Withdraw a one-time challenge.
    ChallengeRevoke {
        /// The sequence of the entry that made it.
        id: u64,
    },
    /// The signer's metrics.
    Metrics,
    /// Read the configuration again.
    Reload,
    /// Make the manifest of a backup of what is there now.
    BackupBegin,
    /// A part of a file of a backup.
    BackupRead {
        /// The backup's number.
        id: u64,
        /// The file's place in the manifest.
        file: u32,
        /// The first octet.
        offset: u64,
    },
    /// All files were fetched and are durable: record the backup.
    BackupDone {
        /// The backup's number.
        id: u64,
        /// Where it is, for the auditor.
        place: String,
    },
    /// A backup was verified: record it.
    BackupVerified {
        /// Its manifest, signed by this log.
        manifest: String,
        /// Where it is, for the auditor.
        place: String,
    },
    /// A backup could not be made, or does not verify: record that.
    BackupFailed {
        /// Whether it was being made (or verified).
        made: bool,
        /// Where it is or was to be, for the auditor.
        place: String,
        /// Why.
        cause: String,
    },
    /// The signer as `chancery doctor` examines it.
    Examine,
    /// How the HSMs do.
    HsmStatus,
    /// One operation with each key in use.
    HsmSelfTest,
    /// The ledger's newest signed checkpoint.
    LedgerCheckpoint,
    /// Entries as they are stored, for whoever verifies or exports them.
    LedgerRead {
        /// The first sequence number.
        from: u64,
        /// How many at most; the signer may send fewer.
        limit: u32,
    },
    /// The proof file of a certificate under the newest checkpoint.
    LedgerProof {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// The proof that the ledger of one size is the start of that of another.
    LedgerConsistency {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// A tile of the tree or of the entries under the newest checkpoint.
    LedgerTile {
        /// Its path behind `tile/`.
        path: String,
    },
    /// Whether the operator's maintenance mode is on; with a change, enters or leaves it first.
    Maintenance {
        /// Enter or leave; none to ask.
        enter: Option<bool>,
        /// Why, for the log, the status and the auditor.
        reason: String,
    },
}

/// A step of a rollover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloverStep {
    /// Announce the next CA and accept requests to it.
    Stage,
    /// Offer the next CA instead of the old one.
    Activate,
    /// Accept no requests to the old CA any more.
    Retire,
}

/// A rollover from one CA to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollover {
    /// The old CA's name in the configuration.
    pub ca: String,
    /// The next CA's.
    pub next: String,
    /// How far it is: `planned`, `staged`, `activated`, `retired`.
    pub state: String,
    /// Whether GetNextCACert answers.
    pub announced: bool,
}

/// A change of a certificate's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The serial number in hexadecimal.
    pub serial: String,
    /// CRLReason (RFC 5280 section 5.3.1); 8 releases a hold.
    pub reason: u8,
    /// Why, for the auditor.
    pub comment: String,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
    /// Whether no list is made now: others follow, and a list is asked for after them.
    pub list_later: bool,
}

/// An answer of the signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::RequestShow`]: every match, one an endpoint.
    Transactions(Vec<Transaction>),
    /// To [`Request::LedgerList`].
    Entries(Vec<Entry>),
    /// To [`Request::RequestList`]; to [`Request::RequestDecide`] the one that was decided.
    Requests(Vec<WaitingRequest>),
    /// To [`Request::ChallengeIssue`].
    NewChallenges(Vec<NewChallenge>),
    /// To [`Request::ChallengeList`].
    Challenges(Vec<ChallengeStatus>),
    /// It is done, and there is nothing to tell.
    Done,
    /// To [`Request::CertShow`].
    Certificate(Certificate),
    /// To [`Request::CertSearch`].
    CertificatePage(CertificatePage),
    /// To [`Request::CertRevoke`].
    StatusChanged {
        /// The certificate with its status, as it is now.
        certificate: Certificate,
        /// The list that has the change; none where nothing was changed or the CA signs no lists.
        crl: Option<Crl>,
        /// Why no list could be made; it is tried again.
        problem: Option<String>,
    },
    /// To [`Request::CrlNow`] and [`Request::CrlShow`].
    Crls(Vec<Crl>),
    /// To [`Request::Metrics`]: Prometheus' text.
    Metrics(String),
    /// To [`Request::RolloverList`]; to [`Request::RolloverStep`] the one that moved on.
    Rollovers(Vec<Rollover>),
    /// To [`Request::Reload`].
    Reloaded(Reloaded),
    /// To [`Request::Reload`]: what is wrong; the old configuration stays in force.
    Misconfigured(Vec<ConfigurationError>),
    /// Nothing of that name or number.
    NotFound,
    /// The signer refuses; the text says why and what to do.
    Refused(String),
    /// The sender's roles do not include this right.
    NotAllowed(String),
    /// To [`Request::BackupBegin`].
    Backup(BackupPlan),
    /// To [`Request::BackupRead`]; nothing at the end of the file.
    BackupPart(#[serde(with = "serde_bytes")] Vec<u8>),
    /// To [`Request::Examine`].
    Examination(Examination),
    /// To [`Request::HsmStatus`].
    Hsms(Vec<HsmState>),
    /// To [`Request::HsmSelfTest`].
    HsmTests(Vec<HsmTest>),
    /// To [`Request::LedgerCheckpoint`]: the signed note; none where there is none yet.
    Checkpoint(Option<String>),
    /// To [`Request::LedgerRead`].
    LedgerPart(LedgerPart),
    /// To [`Request::LedgerProof`].
    Proof(String),
    /// To [`Request::LedgerConsistency`].
    Consistency(Consistency),
    /// To [`Request::LedgerTile`].
    Tile(#[serde(with = "serde_bytes")] Vec<u8>),
    /// To [`Request::Maintenance`]: the operator's reason, while it is on.
    Maintenance(Option<String>),
}

/// How the signer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The release of the program.
    pub version: String,
    /// Milliseconds since 1970 at the start.
    pub started: u64,
    /// Requests in the signing queue.
    pub queued: u32,
    /// The last durable sequence number; none in an empty ledger.
    pub ledger_sequence: Option<u64>,
    /// Why nothing is signed; none in normal service.
    pub maintenance: Option<String>,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// When the certificates of the CAs and their RAs end.
    pub certificates: Vec<CertificateEnd>,
    /// The newest CRLs.
    pub crls: Vec<CrlState>,
    /// What somebody should know or do, a line each.
    pub warnings: Vec<String>,
    /// The last backup; none before the first.
    pub last_backup: Option<LastBackup>,
    /// How often the ledger was restored from a backup.
    pub epoch: u32,
    /// The ledger's checkpoints; none where they are not signed.
    pub log: Option<LogState>,
    /// The verification of the ledger in the background.
    pub verification: VerificationState,
}

/// The end of a certificate of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEnd {
    /// The CA's name in the configuration.
    pub ca: String,
    /// `CA`, `RA decryption`, `RA signing`.
    pub what: String,
    /// Milliseconds since 1970.
    pub not_after: u64,
}

/// A published list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlState {
    /// The CA's name in the configuration.
    pub ca: String,
    /// The list's number.
    pub number: u64,
    /// When it was made, in milliseconds since 1970.
    pub this_update: u64,
    /// When it ends, in milliseconds since 1970.
    pub next_update: u64,
    /// How many certificates are on it.
    pub entries: u64,
}

/// A token that the signer uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The name in the configuration.
    pub name: String,
    /// The serial number.
    pub serial: String,
    /// The label.
    pub label: String,
    /// Private-key operations since the start.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
}

/// A transaction of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The endpoint.
    pub endpoint: String,
    /// The sequence number of the reservation.
    pub sequence: u64,
    /// The state in a word: `reserved`, `issued`, `abandoned`; `pending`, `approved`,
    /// `denied`, `expired` where an officer has or had the word.
    pub state: String,
    /// The PKCS#10 request, DER.
    #[serde(with = "serde_bytes")]
    pub request: Vec<u8>,
    /// The certificate, DER, once there is one.
    #[serde(with = "serde_bytes")]
    pub certificate: Option<Vec<u8>>,
}

/// A certificate with its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The CA's name in the configuration.
    pub ca: String,
    /// The endpoint that issued it.
    pub endpoint: String,
    /// The profile.
    pub profile: String,
    /// The subject, for reading.
    pub subject: String,
    /// The end of its validity, in milliseconds since 1970.
    pub not_after: Option<u64>,
    /// The state in a word or two: `valid`, `expired`, `revoked`, `on hold`, `reserved`, `abandoned`.
    pub state: String,
    /// The reason of the last change of its status.
    pub reason: Option<String>,
    /// When that was, in milliseconds since 1970.
    pub changed: Option<u64>,
    /// What was said to it.
    pub comment: String,
    /// The certificate, DER, where there is one.
    #[serde(with = "serde_bytes")]
    pub der: Option<Vec<u8>>,
}

/// A list of revoked certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crl {
    /// The CA's name in the configuration.
    pub ca: String,
    /// The list's number.
    pub number: u64,
    /// When it was made, in milliseconds since 1970.
    pub this_update: u64,
    /// When it ends, in milliseconds since 1970.
    pub next_update: u64,
    /// How many certificates are on it.
    pub entries: u64,
    /// The list in DER.
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
}

/// A ledger entry for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The sequence number.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The event's name.
    pub event: String,
    /// Names and values, in order.
    pub fields: Vec<(String, String)>,
    /// The entry as it is stored, DER.
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
}

impl Exchange for Request {
    type Answer = Response;
    const TAG: u8 = 2;
    const NAME: &'static str = "admin";
    const VERSION: u16 = 16;
    const MAX_MESSAGE: usize = 4 << 20;
    /// It may hold several CRLs.
    const MAX_ANSWER: usize = 32 << 20;
}
