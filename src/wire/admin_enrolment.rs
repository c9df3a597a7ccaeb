//! What operators ask about one-time challenges and about requests that wait for an officer.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::Secret;

/// One-time challenges that are to be made, all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeOrder {
    /// The endpoint.
    pub endpoint: String,
    /// The subject that a request must have; none leaves the names to the profile.
    pub subject: Option<String>,
    /// Where there is a subject: the alternative names that a request must have.
    pub san: Vec<String>,
    /// How many certificates each is good for.
    pub uses: u32,
    /// How long each is good, in milliseconds.
    pub lifetime: u64,
    /// How many.
    pub count: u32,
}

/// A challenge that was made: the only time that it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChallenge {
    /// The number by which it can be revoked: the sequence of its ledger entry.
    pub id: u64,
    /// The challenge password itself.
    pub challenge: Disclosed,
    /// The first millisecond since 1970 at which it is good no more.
    pub expires: u64,
    /// Where requests may be encrypted under the challenge: the transaction ID that finds it.
    pub transaction_id: Option<String>,
}

/// A challenge as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeStatus {
    /// The sequence of its ledger entry.
    pub id: u64,
    /// The endpoint.
    pub endpoint: String,
    /// Milliseconds since 1970 when it was made.
    pub made: u64,
    /// The first millisecond since 1970 at which it is good no more.
    pub expires: u64,
    /// In a word: `open`, `used`, `expired`, `revoked`, `voided`.
    pub state: String,
    /// How many certificates it is good for.
    pub uses: u32,
    /// How many it has been used for.
    pub used: u32,
    /// The subject that a request must have.
    pub subject: Option<String>,
    /// The alternative names that a request must have.
    pub san: Vec<String>,
}

/// A request that waits or waited for an officer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRequest {
    /// The sequence of its ledger entry.
    pub sequence: u64,
    /// Milliseconds since 1970 when it came.
    pub time: u64,
    /// The endpoint.
    pub endpoint: String,
    /// The transaction ID as the device sent it.
    pub transaction: String,
    /// The subject that is asked for, made safe to show.
    pub subject: String,
    /// The alternative names that are asked for, made safe to show.
    pub san: Vec<String>,
    /// SHA-256 of the public key, in hexadecimal.
    pub key: String,
    /// Where it came from.
    pub source: String,
    /// In a word: `pending`, `approved`, `issued`, `denied`, `expired`.
    pub state: String,
    /// Who decided and why; empty where nobody has.
    pub decided: String,
}

/// A secret on its way to the one who asked for it: wiped after use, never in a log.
#[derive(Clone, Debug)]
pub struct Disclosed(pub Secret);

impl PartialEq for Disclosed {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.expose())
    }
}

impl Eq for Disclosed {}

impl Serialize for Disclosed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(self.0.expose(), serializer)
    }
}

impl<'de> Deserialize<'de> for Disclosed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize(deserializer).map(|bytes: Vec<u8>| Self(Secret::new(bytes)))
    }
}
