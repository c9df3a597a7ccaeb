//! What a protocol is: a request type, the type of its answers, and the constants of its handshake.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A request type together with its answers: one protocol on one socket.
///
/// The encoding numbers enum variants by position and carries no field names, so every change of
/// either type raises [`Exchange::VERSION`].
pub trait Exchange: Serialize + DeserializeOwned + Send + 'static {
    /// What the server answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// The number of the protocol in the handshake.
    const TAG: u8;
    /// The name of the protocol in messages to people.
    const NAME: &'static str;
    /// The version; both sides must have the same.
    const VERSION: u16;
    /// The longest request in bytes.
    const MAX_MESSAGE: usize;
    /// The longest answer in bytes, where answers may be longer than requests.
    const MAX_ANSWER: usize = Self::MAX_MESSAGE;
}

/// Why the server did not answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Too many requests are in flight; this one was not started.
    Overloaded,
    /// The server is shutting down; this request was not started.
    Stopping,
    /// The handler failed unexpectedly; how far it came is not known.
    Failed,
}

/// A body that is not what its protocol says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes do not decode, or bytes are left over.
    #[error("a message of {0} bytes does not decode; both programs must be the same release")]
    Unreadable(usize),
    /// The value does not fit.
    #[error("a message of {length} bytes exceeds the protocol's limit of {limit} bytes")]
    TooLong {
        /// Bytes of the encoded message.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The value has no encoding.
    #[error("a message cannot be encoded: {0}")]
    Unwritable(String),
}

/// Encodes `value`, at most `limit` bytes.
pub(super) fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, BodyError> {
    let body = postcard::to_stdvec(value).map_err(|e| BodyError::Unwritable(e.to_string()))?;
    if body.len() > limit {
        return Err(BodyError::TooLong { length: body.len(), limit });
    }
    Ok(body)
}

/// Decodes a `T` that fills `body` whole.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(BodyError::Unreadable(body.len())),
    }
}
