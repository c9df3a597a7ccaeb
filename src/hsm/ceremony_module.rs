//! A module as a ceremony uses it: every call is noted with its result, so that the transcript can
//! list them. Nothing secret is noted: no PIN, no plaintext, no private attribute.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

use super::ceremony_token::CeremonyToken;
use super::error::HsmError;
use super::module::{ModuleUse, locked};
use super::offer::{self, MechanismOffer};
use super::profile::Profile;
use super::provision::auth_pin;
use super::retry::{Failure, code_name};
use super::token::{Found, TokenSelector, find, trimmed};
use crate::secret::Secret;

/// One call and what it returned. A search (C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal) and an
/// operation with its C_SignInit or C_DecryptInit are one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// The function: `C_GenerateKeyPair`.
    pub function: String,
    /// Mechanism, label, ID: what tells this call from others.
    pub detail: String,
    /// `CKR_OK`, the error's name, or what the wrapper said; of a series of calls, the worst.
    pub result: String,
}

/// A token with everything that it says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its maker.
    pub manufacturer: String,
    /// The firmware's version.
    pub firmware: String,
    /// The hardware's version.
    pub hardware: String,
    /// The flags of CK_TOKEN_INFO that are set, by name.
    pub flags: Vec<String>,
}

/// The calls since they were last taken.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<CallRecord>>>);

impl Calls {
    /// Notes the call and turns its error into ours.
    pub(super) fn note<T>(
        &self,
        function: &str,
        detail: impl Into<String>,
        result: Result<T, Error>,
    ) -> Result<T, HsmError> {
        let detail = detail.into();
        let text = match &result {
            Ok(_) => "CKR_OK".to_owned(),
            Err(Error::Pkcs11(code, _)) => code_name(*code),
            Err(other) => other.to_string(),
        };
        let what = format!("{function} ({detail})");
        self.add(function, detail, text);
        result.map_err(|e| HsmError::Call { what, failure: Failure::from(e) })
    }

    fn add(&self, function: &str, detail: impl Into<String>, result: impl Into<String>) {
        let (function, detail, result) = (function.into(), detail.into(), result.into());
        locked(&self.0).push(CallRecord { function, detail, result });
    }

    pub(super) fn take(&self) -> Vec<CallRecord> {
        std::mem::take(&mut locked(&self.0))
    }
}

/// A loaded module.
pub struct CeremonyModule {
    module: Arc<ModuleUse>,
    profile: Profile,
    path: PathBuf,
    calls: Calls,
}

impl CeremonyModule {
    /// Loads and initialises the module.
    pub fn open(profile: Profile, module: Option<&Path>) -> Result<Self, HsmError> {
        let path = profile.module_path(module)?;
        let module = Arc::new(ModuleUse::open(&path, &profile)?);
        let calls = Calls::default();
        calls.add("C_Initialize", path.display().to_string(), "CKR_OK");
        Ok(Self { module, profile, path, calls })
    }

    /// The module's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The vendor's particulars.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What the library says about itself.
    pub fn library(&self) -> Result<String, HsmError> {
        let info = self.calls.note("C_GetInfo", "", self.module.context().get_library_info())?;
        Ok(format!(
            "{}, {} {} (PKCS#11 {})",
            info.manufacturer_id().trim(),
            info.library_description().trim(),
            info.library_version(),
            info.cryptoki_version()
        ))
    }

    /// The calls since they were last taken.
    pub fn take_calls(&self) -> Vec<CallRecord> {
        self.calls.take()
    }

    /// What the token says about itself.
    pub fn describe(&self, selector: &TokenSelector) -> Result<TokenFacts, HsmError> {
        let found = self.find(selector)?;
        Ok(facts(&found))
    }

    /// What the token offers (C_GetMechanismList).
    pub fn mechanisms(&self, selector: &TokenSelector) -> Result<Vec<MechanismOffer>, HsmError> {
        let found = self.find(selector)?;
        let offered = offer::list(self.module.context(), found.slot);
        self.calls.note("C_GetMechanismList", format!("token {}", found.description), offered)
    }

    /// Whether a token with this label is there.
    pub fn has_token(&self, label: &str) -> Result<bool, HsmError> {
        match self.find(&TokenSelector::Label(label.into())) {
            Ok(_) => Ok(true),
            Err(HsmError::TokenNotFound { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn find(&self, selector: &TokenSelector) -> Result<Found, HsmError> {
        let found = find(self.module.context(), selector);
        let slots = match &found {
            Err(HsmError::Call { failure, .. }) => failure.to_string(),
            _ => "CKR_OK".to_owned(),
        };
        let asked = slots == "CKR_OK";
        self.calls.add("C_GetSlotList", "with tokens", slots);
        if asked {
            let detail = match &found {
                Ok(found) => format!("token {}", found.description),
                Err(_) => format!("of every slot: not one token with {selector}"),
            };
            self.calls.add("C_GetTokenInfo", detail, "CKR_OK");
        }
        found
    }

    /// Initialises an empty token with `label`: the one with this serial number, where hardware has one
    /// before. A token that is initialised is never touched.
    pub fn init_token(
        &self,
        label: &str,
        serial: Option<&str>,
        so_pin: &Secret,
    ) -> Result<(), HsmError> {
        let context = self.module.context();
        let slots =
            self.calls.note("C_GetSlotList", "with tokens", context.get_slots_with_token())?;
        self.calls.add("C_GetTokenInfo", "of every slot, for a blank token", "CKR_OK");
        let fits = |info: &TokenInfo| {
            !info.token_initialized() && serial.is_none_or(|s| trimmed(info.serial_number()) == s)
        };
        let empty = slots
            .into_iter()
            .find(|slot| context.get_token_info(*slot).is_ok_and(|info| fits(&info)));
        let slot = empty.ok_or_else(|| HsmError::System {
            what: format!("initialising a token \"{}\"", label.escape_debug()),
            cause: match serial {
                Some(serial) => format!(
                    "the module has no token with the serial number {} that is not initialised yet",
                    serial.escape_debug()
                ),
                None => "the module has no token that is not initialised yet".into(),
            },
        })?;
        let pin = auth_pin(so_pin, "the security officer's PIN")?;
        self.calls.note(
            "C_InitToken",
            format!("label \"{}\"", label.escape_debug()),
            context.init_token(slot, &pin, label),
        )
    }

    /// Sets the user's PIN of a token that has none yet. Returns whether it had to be set.
    pub fn init_pin(
        &self,
        label: &str,
        so_pin: &Secret,
        user_pin: &Secret,
    ) -> Result<bool, HsmError> {
        let found = self.find(&TokenSelector::Label(label.into()))?;
        if found.info.user_pin_initialized() {
            return Ok(false);
        }
        let so_pin = auth_pin(so_pin, "the security officer's PIN")?;
        let user_pin = auth_pin(user_pin, "the user's PIN")?;
        let session = self.open_session(found.slot)?;
        self.calls.note("C_Login", "CKU_SO", session.login(UserType::So, Some(&so_pin)))?;
        self.calls.note("C_InitPIN", "", session.init_pin(&user_pin))?;
        self.calls.note("C_Logout", "", session.logout())?;
        self.calls.note("C_CloseSession", "", session.close())?;
        Ok(true)
    }

    /// Logs in to a token.
    pub fn open_token(
        &self,
        selector: &TokenSelector,
        pin: &Secret,
    ) -> Result<CeremonyToken, HsmError> {
        let found = self.find(selector)?;
        let pin = auth_pin(pin, "the user's PIN")?;
        let session = self.open_session(found.slot)?;
        let logged_in = match session.login(UserType::User, Some(&pin)) {
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            other => other,
        };
        if let Err(e) = self.calls.note("C_Login", "CKU_USER", logged_in) {
            let _ = self.calls.note("C_CloseSession", "", session.close());
            return Err(match e {
                HsmError::Call { failure, .. } if failure.class() == super::retry::Class::Pin => {
                    let (token, cause) = (found.description.label, failure.to_string());
                    HsmError::PinRefused { token, cause }
                }
                other => other,
            });
        }
        let label = found.description.label;
        Ok(CeremonyToken {
            session,
            module: Arc::clone(&self.module),
            profile: self.profile.clone(),
            label,
            calls: self.calls.clone(),
        })
    }

    fn open_session(&self, slot: Slot) -> Result<cryptoki::session::Session, HsmError> {
        let opened = self.module.context().open_rw_session(slot);
        self.calls.note("C_OpenSession", "read-write", opened)
    }
}

fn facts(found: &Found) -> TokenFacts {
    let info = &found.info;
    TokenFacts {
        label: found.description.label.clone(),
        serial: found.description.serial.clone(),
        model: found.description.model.clone(),
        manufacturer: found.description.manufacturer.clone(),
        firmware: info.firmware_version().to_string(),
        hardware: info.hardware_version().to_string(),
        flags: flags(info),
    }
}

fn flags(info: &TokenInfo) -> Vec<String> {
    let all = [
        ("CKF_RNG", info.rng()),
        ("CKF_LOGIN_REQUIRED", info.login_required()),
        ("CKF_TOKEN_INITIALIZED", info.token_initialized()),
        ("CKF_USER_PIN_INITIALIZED", info.user_pin_initialized()),
        ("CKF_PROTECTED_AUTHENTICATION_PATH", info.protected_authentication_path()),
        ("CKF_WRITE_PROTECTED", info.write_protected()),
        ("CKF_USER_PIN_COUNT_LOW", info.user_pin_count_low()),
        ("CKF_USER_PIN_FINAL_TRY", info.user_pin_final_try()),
        ("CKF_USER_PIN_LOCKED", info.user_pin_locked()),
        ("CKF_USER_PIN_TO_BE_CHANGED", info.user_pin_to_be_changed()),
        ("CKF_SO_PIN_COUNT_LOW", info.so_pin_count_low()),
        ("CKF_SO_PIN_FINAL_TRY", info.so_pin_final_try()),
        ("CKF_SO_PIN_LOCKED", info.so_pin_locked()),
        ("CKF_ERROR_STATE", info.error_state()),
    ];
    all.into_iter().filter(|(_, set)| *set).map(|(name, _)| name.to_owned()).collect()
}
