//! Maintenance mode: no request is opened and nothing is issued. It begins by itself where the ledger
//! cannot be trusted, and then nothing at all is signed (I10); and by an operator's word, which holds over
//! restarts and lets the ledger, its checkpoints and the CRLs go on.

use std::sync::{Mutex, PoisonError};

use super::challenges::origin;
use super::instance::{Instance, software};
use crate::ledger::{Actor, Draft, Event, Ledger, LedgerError, Lifecycle, Outcome};
use crate::wire::Peer;
use crate::wire::admin::Response;

/// The operator's word, if it was given.
#[derive(Debug, Default)]
pub(super) struct Maintenance(Mutex<Option<String>>);

impl Maintenance {
    /// Takes up the last word in `ledger`.
    pub(super) fn open(ledger: &Ledger) -> Result<Self, LedgerError> {
        if ledger.refusal().is_some() {
            return Ok(Self::default());
        }
        let entered = ledger.of_event("maintenance-entered")?.pop();
        let left = ledger.of_event("maintenance-left")?.pop();
        let holds = entered.filter(|entered| left.is_none_or(|left| left < *entered));
        let Some(entry) = holds.map(|s| ledger.entry(s)).transpose()?.flatten() else {
            return Ok(Self::default());
        };
        let Event::MaintenanceEntered(word) = entry.event else { return Ok(Self::default()) };
        Ok(Self(Mutex::new(Some(word.reason))))
    }

    /// Why the operator wants nothing to be issued, if so.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// Why nothing is issued, if so: the ledger's reason before the operator's.
pub(super) fn reason(instance: &Instance) -> Option<String> {
    let poisoned = instance.ledger().refusal().map(|e| e.to_string());
    poisoned.or_else(|| instance.pipeline.maintenance.reason())
}

/// Enters or leaves the operator's maintenance mode, and records who did.
pub(super) async fn change(
    instance: &Instance,
    peer: Peer,
    enter: bool,
    reason: String,
) -> Response {
    let maintenance = &instance.pipeline.maintenance;
    if let Some(why) = instance.ledger().refusal() {
        return Response::Refused(format!(
            "{why}; this is not left by a word: mend the cause and start the signer again"
        ));
    }
    if maintenance.reason().is_some() != enter {
        let lifecycle = Lifecycle { software: software(), reason: reason.clone() };
        let event = match enter {
            true => Event::MaintenanceEntered(lifecycle),
            false => Event::MaintenanceLeft(lifecycle),
        };
        let draft = Draft {
            actor: Actor::Uid(peer.uid),
            origin: origin(peer),
            object: "signer".into(),
            outcome: Outcome::Success,
            event,
        };
        // Nothing is issued from here on, whether or not the entry can be written.
        if enter {
            maintenance.set(Some(reason));
        }
        if let Err(e) = instance.ledger().append(vec![draft]).await {
            let stands =
                if enter { "nothing is issued, but" } else { "still nothing is issued, and" };
            return Response::Refused(format!(
                "{stands} the ledger does not have the word: {e}; mend that and say it again"
            ));
        }
        if !enter {
            maintenance.set(None);
        }
    }
    Response::Maintenance(maintenance.reason())
}
