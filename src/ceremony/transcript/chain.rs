//! One line and its place in the chain.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fact;
use crate::ceremony::canonical;

/// Who may see a line's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Everybody: what was made and by which plan.
    Public,
    /// Auditors: who, with which devices, and every call to the HSM.
    Auditor,
}

/// A fact and when it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The clock's reading, RFC 3339 in UTC.
    pub time: String,
    /// Milliseconds since the program started; a set clock does not change it.
    pub monotonic_ms: u64,
    /// What happened.
    pub fact: Fact,
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The place, from 0.
    pub seq: u64,
    /// Who may see it.
    pub level: Level,
    /// SHA-256 over salt and entry, in hexadecimal.
    pub commit: String,
    /// SHA-256 over the chain so far and this line, in hexadecimal.
    pub chain: String,
    /// 32 random bytes in hexadecimal; absent where the line is redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The content; absent where the line is redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

/// Why a line is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no line of a transcript.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Its bytes are not the canonical form of its content.
    #[error("it is not in canonical form")]
    NotCanonical,
    /// Its number is wrong: a line is missing, doubled or moved.
    #[error("it has the number {0}")]
    Sequence(u64),
    /// Its content does not fit the commitment.
    #[error("its content was changed")]
    Commitment,
    /// It does not fit the line before.
    #[error("it does not follow from the line before")]
    Chain,
    /// Its level is not that of its content.
    #[error("its level of confidentiality was changed")]
    Level,
}

impl Line {
    /// The line that follows `previous` (zeros before the first one).
    pub(super) fn new(
        seq: u64,
        previous: &[u8; 32],
        salt: [u8; 32],
        entry: Entry,
    ) -> Result<(Self, [u8; 32]), LineError> {
        let level = entry.fact.level();
        let commit = commit(&salt, &entry)?;
        let chain = chain(previous, seq, level, &commit);
        let line = Self {
            seq,
            level,
            commit: hex::encode(commit),
            chain: hex::encode(chain),
            salt: Some(hex::encode(salt)),
            entry: Some(entry),
        };
        Ok((line, chain))
    }

    /// The line as it stands in the file, without the line's end.
    pub fn text(&self) -> Result<String, LineError> {
        let value = serde_json::to_value(self).map_err(|e| LineError::Malformed(e.to_string()))?;
        canonical::to_string(&value).map_err(|e| LineError::Malformed(e.to_string()))
    }

    /// Reads the line `text` and checks that it follows `previous` at place `seq`; returns the new
    /// head of the chain.
    pub(super) fn read(
        text: &str,
        seq: u64,
        previous: &[u8; 32],
    ) -> Result<(Self, [u8; 32]), LineError> {
        let malformed = |e: serde_json::Error| LineError::Malformed(e.to_string());
        // First as plain JSON: serde would let a repeated or reordered member of a fact pass.
        let value: Value = serde_json::from_str(text).map_err(malformed)?;
        if canonical::to_string(&value).as_deref() != Ok(text) {
            return Err(LineError::NotCanonical);
        }
        let line: Self = serde_json::from_value(value).map_err(malformed)?;
        if line.text()? != text {
            return Err(LineError::NotCanonical);
        }
        if line.seq != seq {
            return Err(LineError::Sequence(line.seq));
        }
        let stated = digest(&line.commit)?;
        match (&line.salt, &line.entry) {
            (Some(salt), Some(entry)) => {
                if commit(&digest(salt)?, entry)? != stated {
                    return Err(LineError::Commitment);
                }
                if entry.fact.level() != line.level {
                    return Err(LineError::Level);
                }
            }
            (None, None) => {}
            _ => return Err(LineError::Malformed("it is half redacted".into())),
        }
        let head = chain(previous, seq, line.level, &stated);
        if digest(&line.chain)? != head {
            return Err(LineError::Chain);
        }
        Ok((line, head))
    }

    /// The same line without its content.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self { salt: None, entry: None, ..self.clone() }
    }

    /// What happened, where the line is not redacted.
    pub fn fact(&self) -> Option<&Fact> {
        self.entry.as_ref().map(|e| &e.fact)
    }
}

fn digest(text: &str) -> Result<[u8; 32], LineError> {
    let bytes: Option<[u8; 32]> = hex::decode(text).ok().and_then(|b| b.try_into().ok());
    // One digest has one spelling: lower case.
    bytes
        .filter(|b| hex::encode(b) == text)
        .ok_or_else(|| LineError::Malformed("a digest is not 32 bytes in hexadecimal".into()))
}

fn commit(salt: &[u8; 32], entry: &Entry) -> Result<[u8; 32], LineError> {
    let value = serde_json::to_value(entry).map_err(|e| LineError::Malformed(e.to_string()))?;
    let text = canonical::to_string(&value).map_err(|e| LineError::Malformed(e.to_string()))?;
    let mut hash = openssl::sha::Sha256::new();
    hash.update(b"chancery-transcript-1 commit\0");
    hash.update(salt);
    hash.update(text.as_bytes());
    Ok(hash.finish())
}

fn chain(previous: &[u8; 32], seq: u64, level: Level, commit: &[u8; 32]) -> [u8; 32] {
    let mut hash = openssl::sha::Sha256::new();
    hash.update(b"chancery-transcript-1 chain\0");
    hash.update(previous);
    hash.update(&seq.to_be_bytes());
    hash.update(&[match level {
        Level::Public => 0,
        Level::Auditor => 1,
    }]);
    hash.update(commit);
    hash.finish()
}
