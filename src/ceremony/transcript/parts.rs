//! The parts that several facts share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of ceremony it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The real one.
    Production,
    /// On throw-away tokens, everything marked REHEARSAL.
    Rehearsal,
    /// Nothing is written to a token.
    DryRun,
}

/// The program that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRecord {
    /// Its version.
    pub version: String,
    /// SHA-256 of the executable, in hexadecimal.
    pub sha256: String,
    /// The operating system's release.
    pub system: String,
    /// The kernel's release.
    pub kernel: String,
}

/// A token as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// The firmware's version.
    pub firmware: String,
    /// The hardware's version.
    pub hardware: String,
    /// The flags of CK_TOKEN_INFO that are set.
    pub flags: Vec<String>,
}

/// An object on a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// CKO_…
    pub class: String,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID in hexadecimal.
    pub id: String,
    /// CKK_…, where it is a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, where it is a public key that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<String>,
}

/// Attributes by name, as read back.
pub type Attributes = BTreeMap<String, String>;

/// A key that is part of the ceremony.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its name in the plan.
    pub key: String,
    /// The token's name in the plan.
    pub token: String,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID in hexadecimal.
    pub id: String,
    /// The algorithm as in the plan.
    pub algorithm: String,
    /// The purpose as in the plan.
    pub purpose: String,
    /// The SubjectPublicKeyInfo in base64 of DER.
    pub spki: String,
    /// SHA-256 of the SubjectPublicKeyInfo: the key's identity.
    pub spki_sha256: String,
}

/// A file that the ceremony made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Its place under `artefacts/`.
    pub file: String,
    /// `certificate`, `crl`, `csr`, `exchange-request`, `exchange-response`, `backup`.
    pub form: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

/// How a check, a step or the ceremony ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As planned.
    Done,
    /// It failed.
    Failed,
    /// It failed and a person let it pass, with a reason.
    Waived,
    /// The people ended it.
    Aborted,
}
