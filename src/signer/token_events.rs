//! What the ledger says of the tokens: that one went away, and that it came back.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;
use crate::hsm::HsmState;
use crate::ledger::{Actor, Draft, Event, HsmEvent, Origin, Outcome};
use crate::telemetry::event;

/// How often is looked; what is over sooner is in the log alone.
const EVERY: Duration = Duration::from_secs(1);

/// Records each change until the ledger takes no more entries. A start begins with tokens that work.
pub(super) async fn run(instance: Arc<Instance>) {
    let mut before: BTreeMap<String, Discriminant<HsmState>> = BTreeMap::new();
    let mut every = tokio::time::interval(EVERY);
    while instance.ledger().refusal().is_none() {
        every.tick().await;
        let drafts = instance.tokens.states().filter_map(|(name, state)| {
            let kind = discriminant(&state);
            let last = before.insert(name.to_string(), kind);
            let changed = last.unwrap_or(discriminant(&HsmState::Up)) != kind;
            changed.then(|| draft(&instance, name, state))
        });
        let drafts: Vec<Draft> = drafts.collect();
        if drafts.is_empty() {
            continue;
        }
        if let Err(e) = instance.ledger().append(drafts).await {
            log::error!(event = event::LEDGER; "how the tokens are is not recorded: {e}");
        }
    }
}

fn draft(instance: &Instance, name: &crate::config::Name, state: HsmState) -> Draft {
    let (outcome, what) = match state {
        HsmState::Up => (Outcome::Success, "it is back".to_owned()),
        HsmState::Down { reason } => (Outcome::Failure, format!("it is away: {reason}")),
        HsmState::PinRefused { reason } => {
            (Outcome::Failure, format!("it refuses its PIN: {reason}"))
        }
    };
    let token = instance.tokens.serial(name).unwrap_or_default();
    let event = Event::Hsm(HsmEvent { token, what });
    let object = format!("token {name}");
    Draft { actor: Actor::System, origin: Origin::Internal, object, outcome, event }
}
