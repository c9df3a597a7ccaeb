//! The thread that brings the HSM back and replaces threads that hang.
//!
//! The ladder: a thread has tried a new session, a new login and a new handle by itself
//! (`worker.rs`). Then a canary operation with a key that is known to work decides whether the HSM
//! is away at all: a session's or a token's description proves nothing, modules answer them from
//! memory. If it is, C_Finalize and C_Initialize, the same token by its serial number, one login,
//! and the canary again, with growing pauses. Beyond that only a new process helps (`needs_restart`
//! in the status).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::event::EVENT;
use super::health::Event;
use super::job::JobError;
use super::module::{ReinitError, locked};
use super::retry::Failure;
use super::shared::Shared;
use super::token::{TokenSelector, find};
use super::worker;

const TICK: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Runs until the health says stop.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        match shared.health.next(TICK) {
            Event::Stop => return,
            Event::Tick => replace_hung(shared),
            Event::Down(reason) => recover(shared, &reason),
        }
    }
}

fn recover(shared: &Arc<Shared>, reason: &str) {
    let token = &shared.token.label;
    // One bad operation on one key is no loss of the HSM.
    let mut verdict = worker::canary(shared);
    if verdict.is_ok() {
        shared.health.up();
        log::warn!(event = EVENT; "HSM {token}: {reason}; but other operations work");
        return;
    }
    log::error!(event = EVENT; "HSM {token} is away: {reason}; it is tried again until it is back");
    let mut pause = FIRST_PAUSE;
    loop {
        verdict = match verdict {
            Err(_) => reinitialized(shared).and_then(|()| worker::canary(shared)),
            Ok(()) => Ok(()),
        };
        match verdict {
            Ok(()) => {
                let away = shared.health.up();
                log::info!(event = EVENT; "HSM {token} is back after {:.1} s", away.as_secs_f32());
                return;
            }
            Err(JobError::PinRefused(cause)) => {
                shared.refuse_pin(&cause);
                return;
            }
            Err(e) => log::debug!(event = EVENT; "HSM {token} is still away: {e:?}"),
        }
        replace_hung(shared);
        if !shared.health.sleep(pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        // It may have come back by itself.
        verdict = worker::canary(shared);
    }
}

/// C_Finalize, C_Initialize, and the same token again.
fn reinitialized(shared: &Shared) -> Result<(), JobError> {
    shared.module.reinitialize(shared.profile.call_timeout()).map_err(|e| match e {
        ReinitError::Failed(failure) => JobError::Failed(failure),
        ReinitError::Hung => {
            shared.needs_restart.store(true, Ordering::Relaxed);
            JobError::Away("a call hangs, so the module cannot be re-initialised".into())
        }
    })?;
    let _inside = shared.module.enter();
    // Another token with the same label is another token.
    let selector = TokenSelector::Serial(shared.token.serial.clone());
    let found = find(shared.module.context(), &selector)
        .map_err(|e| JobError::Failed(Failure::Wrapper(e.to_string())))?;
    *locked(&shared.slot) = found.slot;
    Ok(())
}

/// Gives the lane of a thread that hangs in a call to a new thread. The old one ends when its call
/// comes back, if it ever does.
fn replace_hung(shared: &Arc<Shared>) {
    for (number, lane) in shared.lanes.iter().enumerate() {
        let limit = shared.profile.call_timeout();
        let Some(busy) = lane.busy_for().filter(|busy| *busy > limit) else { continue };
        let token = &shared.token.label;
        let hung = shared.hung.fetch_add(1, Ordering::Relaxed) + 1;
        log::error!(event = EVENT; "HSM {token}: thread {number} hangs in a call for {} s", busy.as_secs());
        lane.give_up();
        if hung > shared.lanes.len() {
            shared.needs_restart.store(true, Ordering::Relaxed);
        } else if let Err(e) = worker::start(number, shared) {
            log::error!(event = EVENT; "HSM {token}: no new thread for it: {e}");
        }
    }
}
