//! The login. It belongs to the token, not to a session, and ends with the last session: one
//! pinned session holds it. One login serves all threads, and a PIN that was refused is never
//! tried again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki::error::RvError;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;

use super::event::EVENT;
use super::module::{ModuleUse, locked};
use super::retry::{Class, Failure, code_name};
use super::token::Found;
use crate::secret::Secret;

/// Why nobody is logged in.
#[derive(Clone, Debug)]
pub(super) enum LoginError {
    /// The token refused the PIN, now or earlier; the text is the reason.
    Refused(String),
    /// A call failed.
    Failed(Failure),
}

/// The login of one token.
pub(super) struct Login {
    pin: Secret,
    state: Mutex<State>,
    generation: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The pinned session and the module's generation in which it was opened.
    session: Option<(u64, Session)>,
    refused: Option<String>,
}

impl Login {
    pub(super) fn new(pin: Secret) -> Self {
        Self { pin, state: Mutex::default(), generation: AtomicU64::new(0) }
    }

    /// Counts the logins: object handles belong to the one under which they were found.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Refuses a PIN entry that the token's flags say is useless or would be the last before the
    /// lock.
    pub(super) fn check_flags(token: &Found) -> Result<(), LoginError> {
        let info = &token.info;
        let refusal = if info.user_pin_locked() {
            "the user PIN is locked; the security officer must unlock it"
        } else if info.user_pin_final_try() {
            "one wrong try is left before the user PIN locks; log in once by hand with the vendor's tool"
        } else if !info.user_pin_initialized() && !info.protected_authentication_path() {
            "the token has no user PIN yet"
        } else {
            return Ok(());
        };
        Err(LoginError::Refused(refusal.into()))
    }

    /// Logs in, unless another thread did since the caller saw the generation `seen`.
    pub(super) fn ensure(
        &self,
        module: &ModuleUse,
        slot: Slot,
        seen: u64,
    ) -> Result<(), LoginError> {
        let mut state = locked(&self.state);
        if let Some(reason) = &state.refused {
            return Err(LoginError::Refused(reason.clone()));
        }
        if self.generation() > seen {
            return Ok(());
        }
        let result = self.pinned_login(&mut state, module, slot);
        if let Err(LoginError::Refused(reason)) = &result {
            state.refused = Some(reason.clone());
        }
        result
    }

    fn pinned_login(
        &self,
        state: &mut State,
        module: &ModuleUse,
        slot: Slot,
    ) -> Result<(), LoginError> {
        let failed = |e: cryptoki::error::Error| LoginError::Failed(e.into());
        let current = module.generation();
        // A session of an earlier generation is forgotten, not closed: its number may be another's.
        let usable = state
            .session
            .take()
            .filter(|(opened, session)| *opened == current && session.get_session_info().is_ok());
        let (_, session) = match usable {
            Some(pinned) => state.session.insert(pinned),
            None => {
                let session = module.open_session(slot).map_err(LoginError::Failed)?;
                state.session.insert((current, session))
            }
        };
        let info = session.get_session_info().map_err(failed)?;
        if !is_user(info.session_state()) {
            let pin = RawAuthPin::new(Box::new(self.pin.expose().to_vec()));
            match session.login_with_raw(UserType::User, &pin).map_err(Failure::from) {
                Ok(()) => {}
                Err(failure) if failure.code() == Some(RvError::UserAlreadyLoggedIn) => {}
                Err(failure) if failure.class() == Class::Pin => {
                    let name = failure.code().map_or_else(|| failure.to_string(), code_name);
                    return Err(LoginError::Refused(name));
                }
                Err(failure) => return Err(LoginError::Failed(failure)),
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Closes the pinned session, which logs out when it is the last.
    pub(super) fn close(&self, module: &ModuleUse) {
        if let Some((opened, session)) = locked(&self.state).session.take()
            && opened == module.generation()
            && let Err(e) = session.close()
        {
            log::warn!(event = EVENT; "closing the login session: {}", Failure::from(e));
        }
    }
}

/// Whether a session in this state may use private keys.
pub(super) fn is_user(state: SessionState) -> bool {
    matches!(state, SessionState::RoUser | SessionState::RwUser)
}
