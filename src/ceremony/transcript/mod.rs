//! What happened in a ceremony, line by line: JSON lines that are durable one by one, bound by salted
//! commitments and a hash chain. Owns: the facts, their levels of confidentiality, the chain, writing
//! and reading. Never: a secret, hashed or not; what the facts mean together (that is `verify`).
//!
//! The last `chain` value is the ceremony's fingerprint. A line can be redacted to its commitment
//! without changing the fingerprint; the salt keeps a redacted line from being guessed.

mod chain;
mod fact;
mod parts;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use chain::{Entry, Level, Line, LineError};
pub use fact::Fact;
pub use parts::{Artefact, Attributes, KeyRecord, Mode, Object, Outcome, TokenRecord, ToolRecord};
pub use reader::{ReadError, Tail, Transcript, redact};
pub use writer::{Crash, TranscriptError, Writer};
