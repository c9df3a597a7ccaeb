//! The values of the field `event`: what a record is about, for filters and alerts. They are never
//! renamed.

/// A role begins; its version and configuration's digest.
pub const START: &str = "start";
/// A role serves; its addresses.
pub const READY: &str = "ready";
/// A role was told to stop and finishes what it has.
pub const STOP: &str = "stop";
/// The configuration allows something that deserves attention.
pub const CONFIGURATION: &str = "configuration";
/// One HTTP request, whatever its answer: source, endpoint, operation, status, time taken.
pub const ACCESS: &str = "access";
/// One enrolment, whatever its outcome: transaction, serial, endpoint, outcome, time taken.
pub const ENROLMENT: &str = "enrolment";
/// A message that was refused before it became an enrolment.
pub const REFUSED: &str = "refused";
/// A one-time challenge came again after its uses were taken: it was copied, or a device was.
pub const CHALLENGE_REUSED: &str = "challenge-reused";
/// So many wrong challenges came that none is looked at for a while: somebody tries them.
pub const CHALLENGES_TRIED: &str = "challenges-tried";
/// A peer on a Unix socket came, went or was turned away.
pub const PEER: &str = "peer";
/// The HSM: opened, lost, found again, a key refused.
pub const HSM: &str = "hsm";
/// The ledger: opened, recovered, poisoned, closed.
pub const LEDGER: &str = "ledger";
/// A GetCert or GetCRL that was answered.
pub const QUERY: &str = "query";
/// A CRL was made, or could not be.
pub const CRL: &str = "crl";
/// A certificate was revoked, held or released.
pub const REVOCATION: &str = "revocation";
/// A step of a CA's rollover, or what keeps one from being announced.
pub const ROLLOVER: &str = "rollover";
/// A child of `chancery serve` started, ended or is started again.
pub const CHILD: &str = "child";
