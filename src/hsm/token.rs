//! Tokens: found by serial number or label, never by slot number, which modules hand out anew at
//! each start.

use std::fmt;

use cryptoki::context::Pkcs11;
use cryptoki::slot::{Slot, TokenInfo};

use super::error::HsmError;
use super::event::EVENT;
use super::retry::Failure;

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// The one with this serial number.
    Serial(String),
    /// The one with this label.
    Label(String),
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => write!(f, "serial number \"{serial}\""),
            Self::Label(label) => write!(f, "label \"{label}\""),
        }
    }
}

/// A token as it describes itself, without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDescription {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its maker.
    pub manufacturer: String,
}

impl fmt::Display for TokenDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" (serial number {}, {})", self.label, self.serial, self.model)
    }
}

impl TokenDescription {
    fn new(info: &TokenInfo) -> Self {
        Self {
            label: trimmed(info.label()),
            serial: trimmed(info.serial_number()),
            model: trimmed(info.model()),
            manufacturer: trimmed(info.manufacturer_id()),
        }
    }

    fn matches(&self, selector: &TokenSelector) -> bool {
        match selector {
            TokenSelector::Serial(serial) => self.serial == trimmed(serial),
            TokenSelector::Label(label) => self.label == trimmed(label),
        }
    }
}

/// Without the padding that the standard (spaces) and some modules (NULs) put around.
pub(super) fn trimmed(text: &str) -> String {
    text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()
}

/// A token in its slot.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
    pub(super) description: TokenDescription,
}

/// All initialised tokens that can be described. A slot that cannot is passed over: modules show
/// empty and broken slots beside good ones.
pub(super) fn all(context: &Pkcs11) -> Result<Vec<Found>, Failure> {
    let slots = context.get_slots_with_token()?;
    let found = slots.into_iter().filter_map(|slot| match context.get_token_info(slot) {
        Ok(info) if info.token_initialized() => {
            Some(Found { slot, description: TokenDescription::new(&info), info })
        }
        Ok(_) => None,
        Err(e) => {
            log::warn!(event = EVENT; "PKCS#11 slot {slot} is passed over: {}", Failure::from(e));
            None
        }
    });
    Ok(found.collect())
}

/// The one token that `selector` names.
pub(super) fn find(context: &Pkcs11, selector: &TokenSelector) -> Result<Found, HsmError> {
    let present = all(context)
        .map_err(|failure| HsmError::Call { what: "listing the tokens".into(), failure })?;
    let (mut matching, other): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|t| t.description.matches(selector));
    let describe = |tokens: Vec<Found>| tokens.into_iter().map(|t| t.description).collect();
    match (matching.pop(), matching.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(one), false) => {
            matching.push(one);
            Err(HsmError::TokenAmbiguous {
                wanted: selector.to_string(),
                found: describe(matching),
            })
        }
        (None, _) => {
            Err(HsmError::TokenNotFound { wanted: selector.to_string(), present: describe(other) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_no_part_of_a_label() {
        let token = TokenDescription {
            label: trimmed("main                            "),
            serial: trimmed("0000000000000001"),
            model: trimmed("SW   TPM\0\0\0\0\0\0\0\0"),
            manufacturer: trimmed(""),
        };
        assert!(token.matches(&TokenSelector::Label("main".into())));
        assert!(!token.matches(&TokenSelector::Label("mai".into())));
        assert!(!token.matches(&TokenSelector::Serial("main".into())));
        assert_eq!(token.model, "SW   TPM");
    }
}
