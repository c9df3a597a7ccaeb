//! What comes of a reload.

use serde::{Deserialize, Serialize};

/// The configuration that is in force after a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Its digest (SHA-256 over the effective settings).
    pub digest: [u8; 32],
    /// The keys whose values changed.
    pub changed: Vec<String>,
}

/// An error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where the error has no place in the file.
    pub line: u64,
    /// The column, from 1; 0 where the error has no place in the file.
    pub column: u64,
    /// The key's full path; empty where there is none.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}
