//! What the service manager shows of the signer, kept up to date while it runs: an HSM that is away, a full
//! disk, maintenance, a refused configuration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::instance::Instance;
use super::reload::Told;
use super::{maintenance, observe};
use crate::telemetry::escaped;
use crate::telemetry::pulse::Beat;

/// How often is looked whether it is another one.
const EVERY: Duration = Duration::from_secs(1);

/// The longest text that is shown, in characters.
const LONGEST: usize = 400;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<String>);

/// Tells how the signer is, whenever that is something else, until it is aborted.
pub(super) async fn run(instance: Arc<Instance>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let instance = instance.clone();
        // It asks the file system how much is free.
        let told = tokio::task::spawn_blocking(move || tell(&instance)).await;
        if let Err(e) = told {
            log::error!(event = crate::telemetry::event::READY; "the state is not told: {e}");
        }
    }
}

/// Asks each part in memory, round after round: who holds a lock for ever is found by it.
pub(super) async fn ask(instance: Arc<Instance>, beat: Beat) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let _ = (
            instance.tokens.states().count(),
            instance.ledger().head().size(),
            instance.pipeline.queue.waiting(),
            maintenance::reason(&instance),
            instance.reloads.last(),
        );
        beat.beat();
    }
}

/// Tells how the signer is, where that was not told last.
pub(super) fn tell(instance: &Instance) {
    let refused = instance.reloads.last().refused.map(|(_, why)| why);
    let nothing = maintenance::reason(instance);
    let text = sentence(nothing.as_deref(), &observe::problems(instance), refused.as_deref());
    let mut last = instance.state.0.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != text {
        (instance.tell)(Told::State(&text));
        *last = text;
    }
}

fn sentence(nothing: Option<&str>, problems: &[String], refused: Option<&str>) -> String {
    let mut parts = vec![match (nothing, problems) {
        (Some(why), _) => format!("maintenance mode, issues nothing: {why}"),
        (None, []) => "serving".to_owned(),
        (None, _) => "serving, with problems".to_owned(),
    }];
    // The reason for maintenance is among the problems, too.
    let more = |problem: &&String| nothing.is_none_or(|why| !problem.contains(why));
    parts.extend(problems.iter().filter(more).cloned());
    parts.extend(
        refused.map(|why| format!("by the configuration before, a new one was refused: {why}")),
    );
    escaped(&parts.join("; "), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_what_is_wrong_on_one_line() {
        let full = "the ledger takes no entries: /x has 1 bytes left".to_owned();
        let away = "token main is away: gone".to_owned();
        let said = |nothing, problems: &[&String], refused| {
            let problems: Vec<String> = problems.iter().map(|p| (*p).clone()).collect();
            sentence(nothing, &problems, refused)
        };
        assert_eq!(said(None, &[], None), "serving");
        let both = said(None, &[&away, &full], None);
        assert!(both.starts_with("serving, with problems; token main is away"), "{both}");
        assert!(both.ends_with("1 bytes left"), "{both}");
        let held = "maintenance mode: disk swap; `chancery maintenance off` ends it".to_owned();
        let held = said(Some("disk swap"), &[&away, &held], None);
        assert_eq!(held.matches("disk swap").count(), 1, "{held}");
        assert!(held.contains("token main is away"), "{held}");
        let refused = said(None, &[], Some("line 3:\nMAINPID=1"));
        assert!(refused.contains("was refused: line 3") && !refused.contains('\n'), "{refused}");
    }
}
