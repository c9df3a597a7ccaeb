//! What each request of an operator needs: a closed table, so that a new request has to say.

use super::admin::{Request, RolloverStep};

/// A right that a role gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// See how the service is and what was done.
    Look,
    /// See devices' requests as they were sent; they may hold a challenge.
    ReadRequests,
    /// Decide on requests, make and withdraw challenges.
    HandleDevices,
    /// Change the status of certificates.
    Revoke,
    /// Make CRLs, roll a CA over, make backups.
    OperateCa,
    /// Everything else that changes the service.
    Administer,
}

impl Permission {
    /// Completes "needs the right to …".
    pub const fn what(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::ReadRequests => "read devices' requests",
            Self::HandleDevices => "decide on requests and challenges",
            Self::Revoke => "change the status of certificates",
            Self::OperateCa => "operate the CA",
            Self::Administer => "administer the service",
        }
    }
}

impl Request {
    /// What its sender must have the right to.
    pub const fn permission(&self) -> Permission {
        match self {
            Self::Status
            | Self::Trace { .. }
            | Self::LedgerList { .. }
            | Self::CertShow { .. }
            | Self::CertSearch { .. }
            | Self::CrlShow { .. }
            | Self::RolloverList
            | Self::RequestList { .. }
            | Self::ChallengeList
            | Self::Metrics
            | Self::Examine
            | Self::HsmStatus
            | Self::LedgerCheckpoint
            | Self::LedgerRead { .. }
            | Self::LedgerProof { .. }
            | Self::LedgerConsistency { .. }
            | Self::LedgerTile { .. }
            | Self::Maintenance { enter: None, .. } => Permission::Look,
            Self::Reload | Self::Maintenance { enter: Some(_), .. } => Permission::Administer,
            Self::RequestShow { .. } => Permission::ReadRequests,
            Self::RequestDecide { .. } | Self::ChallengeIssue(_) | Self::ChallengeRevoke { .. } => {
                Permission::HandleDevices
            }
            Self::CertRevoke(change) if change.dry_run => Permission::Look,
            Self::CertRevoke(_) => Permission::Revoke,
            Self::CrlNow { .. }
            | Self::HsmSelfTest
            | Self::RolloverStep { .. }
            | Self::BackupBegin
            | Self::BackupRead { .. }
            | Self::BackupDone { .. }
            | Self::BackupVerified { .. }
            | Self::BackupFailed { .. } => Permission::OperateCa,
        }
    }

    /// The command that sends it, for the ledger and for messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::RequestShow { .. } => "request show",
            Self::Trace { .. } => "trace",
            Self::LedgerList { .. } => "ledger list",
            Self::CertShow { .. } => "cert show",
            Self::CertSearch { .. } => "cert search",
            Self::CertRevoke(_) => "cert revoke",
            Self::CrlNow { .. } => "crl now",
            Self::CrlShow { .. } => "crl show",
            Self::RolloverList => "ca rollover show",
            Self::RolloverStep { step: RolloverStep::Stage, .. } => "ca rollover stage",
            Self::RolloverStep { step: RolloverStep::Activate, .. } => "ca rollover activate",
            Self::RolloverStep { step: RolloverStep::Retire, .. } => "ca rollover retire",
            Self::RequestList { .. } => "request list",
            Self::RequestDecide { approve: true, .. } => "request approve",
            Self::RequestDecide { .. } => "request deny",
            Self::ChallengeIssue(_) => "challenge issue",
            Self::ChallengeList => "challenge list",
            Self::ChallengeRevoke { .. } => "challenge revoke",
            Self::Metrics => "metrics",
            Self::Reload => "reload",
            Self::BackupBegin
            | Self::BackupRead { .. }
            | Self::BackupDone { .. }
            | Self::BackupFailed { made: true, .. } => "backup create",
            Self::BackupVerified { .. } | Self::BackupFailed { .. } => "backup verify",
            Self::Examine => "doctor",
            Self::HsmStatus => "hsm status",
            Self::HsmSelfTest => "hsm selftest",
            Self::LedgerCheckpoint => "ledger checkpoint",
            Self::LedgerRead { .. } => "ledger verify",
            Self::LedgerProof { .. } => "ledger proof",
            Self::LedgerConsistency { .. } => "ledger consistency",
            Self::LedgerTile { .. } => "ledger export",
            Self::Maintenance { .. } => "maintenance",
        }
    }
}
