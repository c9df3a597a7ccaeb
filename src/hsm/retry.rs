//! Return codes: their names, and which of them say what about the request, the session, the
//! login, the key's handle or the device. The code alone is not enough: the same code means
//! another thing from another function, and what C_Decrypt returns may be an attacker's choice.

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

/// A call that failed: the function and what it returned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// A PKCS#11 function returned an error code.
    #[error("C_{function:?} returned {}", code_name(*code))]
    Returned {
        /// The function.
        function: Function,
        /// The code.
        code: RvError,
    },
    /// The wrapper could not make the call or read its answer.
    #[error("{0}")]
    Wrapper(String),
}

/// What a failure says, and so what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request itself is at fault, or nothing can be said: fail it.
    Request,
    /// The session is gone or stuck: a new session, one retry.
    Session,
    /// Nobody is logged in: one login for all, one retry.
    Login,
    /// The PIN is wrong, locked or expired: never retried.
    Pin,
    /// The key's handle is stale: find the key again, one retry.
    Handle,
    /// The device or the host has no room for more: fewer sessions, later.
    Capacity,
    /// The device may be away: a canary decides.
    Device,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => Self::Returned { function, code },
            other => Self::Wrapper(other.to_string()),
        }
    }
}

impl Failure {
    /// The class of this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Returned { function, code } => classify(*function, *code),
            Self::Wrapper(_) => Class::Device,
        }
    }

    /// The code, where a function returned one.
    pub fn code(&self) -> Option<RvError> {
        match self {
            Self::Returned { code, .. } => Some(*code),
            Self::Wrapper(_) => None,
        }
    }
}

/// The table: what `code` from `function` says.
pub fn classify(function: Function, code: RvError) -> Class {
    use RvError as E;
    match code {
        E::PinIncorrect
        | E::PinInvalid
        | E::PinLenRange
        | E::PinExpired
        | E::PinLocked
        | E::PinTooWeak
        | E::UserPinNotInitialized => Class::Pin,
        E::SessionHandleInvalid
        | E::SessionClosed
        | E::OperationActive
        | E::OperationNotInitialized => Class::Session,
        E::UserNotLoggedIn => Class::Login,
        E::CryptokiNotInitialized => Class::Device,
        // From here on an attacker's ciphertext may have chosen the code.
        _ if matches!(function, Function::Decrypt) => Class::Request,
        E::BufferTooSmall => Class::Session,
        E::KeyHandleInvalid | E::ObjectHandleInvalid | E::KeyChanged => Class::Handle,
        // NSS answers so for a handle from before a logout.
        E::KeyTypeInconsistent
            if matches!(function, Function::SignInit | Function::DecryptInit) =>
        {
            Class::Handle
        }
        E::SessionCount | E::DeviceMemory | E::HostMemory => Class::Capacity,
        E::DeviceError
        | E::DeviceRemoved
        | E::TokenNotPresent
        | E::TokenNotRecognized
        | E::GeneralError
        | E::FunctionFailed
        | E::SlotIdInvalid
        | E::FunctionCanceled
        | E::LibraryLoadFailed
        | E::FipsSelfTestFailed
        | E::VendorDefined(_)
        | E::UnknownErrorCode(_) => Class::Device,
        _ => Class::Request,
    }
}

/// The code's name as in the standard (`CKR_PIN_INCORRECT`), in hexadecimal where it has none.
pub fn code_name(code: RvError) -> String {
    match code {
        RvError::VendorDefined(raw) | RvError::UnknownErrorCode(raw) => {
            format!("0x{raw:08x}, a code of the vendor's own")
        }
        known => {
            let mut name = String::from("CKR");
            for c in format!("{known:?}").chars() {
                if c.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(c.to_ascii_uppercase());
            }
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standard() {
        assert_eq!(code_name(RvError::PinIncorrect), "CKR_PIN_INCORRECT");
        assert_eq!(code_name(RvError::SlotIdInvalid), "CKR_SLOT_ID_INVALID");
        assert!(code_name(RvError::VendorDefined(0x8000_0001)).starts_with("0x80000001"));
    }

    #[test]
    fn the_function_decides() {
        for code in [
            RvError::DeviceError,
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::EncryptedDataInvalid,
            RvError::VendorDefined(7),
        ] {
            assert_eq!(classify(Function::Decrypt, code), Class::Request, "{code:?}");
        }
        assert_eq!(classify(Function::Sign, RvError::DeviceError), Class::Device);
        assert_eq!(classify(Function::DecryptInit, RvError::DeviceError), Class::Device);
        assert_eq!(classify(Function::Decrypt, RvError::SessionHandleInvalid), Class::Session);
        assert_eq!(classify(Function::SignInit, RvError::KeyTypeInconsistent), Class::Handle);
        assert_eq!(
            classify(Function::GenerateKeyPair, RvError::KeyTypeInconsistent),
            Class::Request
        );
    }

    #[test]
    fn a_pin_is_never_retried() {
        for code in
            [RvError::PinIncorrect, RvError::PinLocked, RvError::PinExpired, RvError::PinLenRange]
        {
            assert_eq!(classify(Function::Login, code), Class::Pin);
        }
    }
}
