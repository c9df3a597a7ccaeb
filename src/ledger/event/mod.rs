//! The closed list of audit events. A new event takes a new tag number (13 was never written); a change of an event's
//! fields is a new version of the entry's encoding. `docs/ledger-format.md` is its ASN.1 module.

mod issuance;
mod operations;
mod status;

use der::Choice;

pub use issuance::{
    Abandoned, Authorizer, Certificate, Challenge, ChallengeAction, Decision, Evidence, Pending,
    Refusals, Reservation, SealedRequest, Verdict,
};
pub use operations::{
    Backup, BackupAction, Ceremony, Command, Configuration, GivenUp, HsmEvent, Lifecycle,
    RoleChange, Rollover, RolloverStage, Verification,
};
pub use status::{Revocation, SignedKind, SignedObject, SigningIntent};

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum Event {
    /// A certificate will be signed.
    #[asn1(context_specific = "0", constructed = "true", tag_mode = "EXPLICIT")]
    Reservation(Reservation),
    /// A certificate was signed.
    #[asn1(context_specific = "1", constructed = "true", tag_mode = "EXPLICIT")]
    Certificate(Certificate),
    /// A write-ahead entry came to nothing that anybody received.
    #[asn1(context_specific = "2", constructed = "true", tag_mode = "EXPLICIT")]
    Abandoned(Abandoned),
    /// The signer started.
    #[asn1(context_specific = "3", constructed = "true", tag_mode = "EXPLICIT")]
    Start(Lifecycle),
    /// The signer stopped in an orderly way.
    #[asn1(context_specific = "4", constructed = "true", tag_mode = "EXPLICIT")]
    Stop(Lifecycle),
    /// A configuration was loaded or refused.
    #[asn1(context_specific = "5", constructed = "true", tag_mode = "EXPLICIT")]
    ConfigLoaded(Configuration),
    /// Requests were refused.
    #[asn1(context_specific = "6", constructed = "true", tag_mode = "EXPLICIT")]
    Refusals(Refusals),
    /// An enrolment waits for an officer.
    #[asn1(context_specific = "7", constructed = "true", tag_mode = "EXPLICIT")]
    Pending(Pending),
    /// A word on a pending enrolment.
    #[asn1(context_specific = "8", constructed = "true", tag_mode = "EXPLICIT")]
    Decision(Decision),
    /// A one-time challenge was made or withdrawn.
    #[asn1(context_specific = "9", constructed = "true", tag_mode = "EXPLICIT")]
    Challenge(Challenge),
    /// A certificate's status changed.
    #[asn1(context_specific = "10", constructed = "true", tag_mode = "EXPLICIT")]
    Revocation(Revocation),
    /// A CRL or something else than a certificate will be signed.
    #[asn1(context_specific = "11", constructed = "true", tag_mode = "EXPLICIT")]
    SigningIntent(SigningIntent),
    /// It was signed.
    #[asn1(context_specific = "12", constructed = "true", tag_mode = "EXPLICIT")]
    SignedObject(SignedObject),
    /// A certificate of ours came in or a rollover moved on.
    #[asn1(context_specific = "14", constructed = "true", tag_mode = "EXPLICIT")]
    Rollover(Rollover),
    /// A backup was made, verified or restored.
    #[asn1(context_specific = "15", constructed = "true", tag_mode = "EXPLICIT")]
    Backup(Backup),
    /// A key ceremony took place.
    #[asn1(context_specific = "16", constructed = "true", tag_mode = "EXPLICIT")]
    Ceremony(Ceremony),
    /// An administrator's command.
    #[asn1(context_specific = "17", constructed = "true", tag_mode = "EXPLICIT")]
    Command(Command),
    /// The signer entered maintenance mode.
    #[asn1(context_specific = "18", constructed = "true", tag_mode = "EXPLICIT")]
    MaintenanceEntered(Lifecycle),
    /// The signer left maintenance mode.
    #[asn1(context_specific = "19", constructed = "true", tag_mode = "EXPLICIT")]
    MaintenanceLeft(Lifecycle),
    /// Something happened to the HSM.
    #[asn1(context_specific = "20", constructed = "true", tag_mode = "EXPLICIT")]
    Hsm(HsmEvent),
    /// A verification of the ledger ended.
    #[asn1(context_specific = "21", constructed = "true", tag_mode = "EXPLICIT")]
    Verification(Verification),
    /// A role was given or taken.
    #[asn1(context_specific = "22", constructed = "true", tag_mode = "EXPLICIT")]
    Role(RoleChange),
}

impl Event {
    /// The event's name, as it stands in listings and filters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reservation(_) => "reservation",
            Self::Certificate(_) => "certificate",
            Self::Abandoned(_) => "abandoned",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::ConfigLoaded(_) => "config-loaded",
            Self::Refusals(_) => "refusals",
            Self::Pending(_) => "pending",
            Self::Decision(_) => "decision",
            Self::Challenge(_) => "challenge",
            Self::Revocation(_) => "revocation",
            Self::SigningIntent(_) => "signing-intent",
            Self::SignedObject(_) => "signed-object",
            Self::Rollover(_) => "rollover",
            Self::Backup(_) => "backup",
            Self::Ceremony(_) => "ceremony",
            Self::Command(_) => "command",
            Self::MaintenanceEntered(_) => "maintenance-entered",
            Self::MaintenanceLeft(_) => "maintenance-left",
            Self::Hsm(_) => "hsm",
            Self::Verification(_) => "verification",
            Self::Role(_) => "role",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The first column of the first table of docs/audit.md has each event once and nothing else.
    #[test]
    fn the_documents_name_every_event() {
        let quoted = |text: &'static str| text.split('`').skip(1).step_by(2);
        let events = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("(_) => \""))
            .map(|(_, name)| name.trim_end_matches("\","));
        let events: BTreeSet<_> = events.collect();
        let section = include_str!("../../../docs/audit.md").split("\n## ").nth(1).expect("events");
        let rows = section.lines().filter(|l| l.starts_with("| `"));
        let told: Vec<_> =
            rows.flat_map(|row| quoted(row.split('|').nth(1).expect("a column"))).collect();
        assert_eq!(told.len(), events.len(), "an event stands twice");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), events);
    }
}
