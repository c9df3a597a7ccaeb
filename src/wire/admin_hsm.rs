//! What operators ask about the signer's HSMs.

use serde::{Deserialize, Serialize};

/// How a token does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmState {
    /// The name in the configuration.
    pub name: String,
    /// The token's label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its maker and model, as it describes itself.
    pub model: String,
    /// The vendor profile, and with what it was tried.
    pub profile: String,
    /// Why it does not work; none when all is well.
    pub problem: Option<String>,
    /// How many operations it does at a time.
    pub threads: u32,
    /// Threads that have no session, because the token had no room for more.
    pub without_session: u32,
    /// Threads left behind in a call that does not come back.
    pub hung: u32,
    /// Whether only a restart of the signer can help.
    pub needs_restart: bool,
    /// Operations under way.
    pub busy: u32,
    /// Operations that wait.
    pub queued: u32,
    /// Private-key operations since the start.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Signatures that did not verify and were discarded.
    pub bad_signatures: u64,
}

/// What came of the test of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmTest {
    /// The token's name in the configuration.
    pub token: String,
    /// The key's label or ID.
    pub key: String,
    /// What it is for.
    pub purpose: String,
    /// Microseconds that the operation took, or why it failed.
    pub outcome: Result<u64, String>,
}
