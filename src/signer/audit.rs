//! Operators' commands in the ledger: an entry for each that changes or discloses something and has no
//! event of its own, for each that only showed what it would do, and for each that came to nothing. Reading
//! the ledger or the status is none: a ledger that records its own readers grows by being read.

use super::challenges::origin;
use super::instance::Instance;
use crate::ledger::{Actor, Command, Draft, Event, Outcome};
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{Permission, Request, Response};

/// The longest object and the longest change in an entry, in characters.
const LONGEST: usize = 500;

/// A command, before it is known what comes of it.
pub(super) struct Attempt {
    peer: Peer,
    command: &'static str,
    object: String,
    dry_run: bool,
    /// Whether its success is an event of its own, or says nothing without what follows.
    told: bool,
}

impl Attempt {
    /// What `request` attempts; none where it only looks.
    pub(super) fn of(peer: Peer, request: &Request) -> Option<Self> {
        let dry_run = matches!(request, Request::CertRevoke(change) if change.dry_run);
        if request.permission() == Permission::Look && !dry_run {
            return None;
        }
        let told = !matches!(
            request,
            Request::RequestShow { .. } | Request::CrlNow { .. } | Request::HsmSelfTest
        ) && !dry_run;
        Some(Self { peer, command: request.name(), object: object(request), dry_run, told })
    }

    /// The entry that is due after `answer`, if one is.
    pub(super) fn entry(self, answer: &Response) -> Option<Draft> {
        match answer {
            Response::Refused(why) => Some(self.failure(why)),
            Response::NotFound => Some(self.failure("nothing of that name or number")),
            // A refused configuration is recorded where it was read.
            Response::Misconfigured(_) => None,
            Response::HsmTests(tests) => {
                let failed = tests.iter().find_map(|t| Some((t, t.outcome.as_ref().err()?)));
                Some(match failed {
                    Some((test, why)) => self.failure(&format!("{}: {why}", test.key)),
                    None => self.draft(Outcome::Success, format!("{} keys work", tests.len())),
                })
            }
            _ if self.told => None,
            _ => Some(self.draft(Outcome::Success, String::new())),
        }
    }

    /// The entry of an attempt that came to nothing.
    pub(super) fn failure(self, why: &str) -> Draft {
        self.draft(Outcome::Failure, why.to_owned())
    }

    fn draft(self, outcome: Outcome, change: String) -> Draft {
        let Self { peer, command, object, dry_run, .. } = self;
        let command = Command { command: command.into(), change: shortened(&change), dry_run };
        let object = shortened(&object);
        let event = Event::Command(command);
        Draft { actor: Actor::Uid(peer.uid), origin: origin(peer), object, outcome, event }
    }
}

/// What a command is about.
fn object(request: &Request) -> String {
    match request {
        Request::RequestShow { transaction, .. } | Request::RequestDecide { transaction, .. } => {
            transaction.clone()
        }
        Request::CertRevoke(change) => change.serial.clone(),
        Request::CrlNow { ca } => ca.clone().unwrap_or_else(|| "every CA".into()),
        Request::RolloverStep { ca, .. } => ca.clone(),
        Request::ChallengeIssue(order) => format!("challenges at {}", order.endpoint),
        Request::ChallengeRevoke { id } => format!("challenge {id}"),
        Request::BackupDone { place, .. }
        | Request::BackupVerified { place, .. }
        | Request::BackupFailed { place, .. } => place.clone(),
        Request::BackupBegin | Request::BackupRead { .. } => "ledger".into(),
        Request::HsmSelfTest => "the keys in use".into(),
        Request::Reload => "configuration".into(),
        _ => "signer".into(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// Puts `draft` into the ledger. What cannot be recorded is in the log: the command was answered, or the
/// ledger is what refused it.
pub(super) async fn record(instance: &Instance, draft: Draft) {
    if let Err(e) = instance.ledger().append(vec![draft]).await {
        log::error!(event = event::LEDGER; "an operator's command is not recorded: {e}");
    }
}
