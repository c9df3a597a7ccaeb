//! Everything that a transcript can say. The set is closed: a reader that meets an unknown kind
//! refuses the line instead of passing over it.

use serde::{Deserialize, Serialize};

use super::{
    Artefact, Attributes, KeyRecord, Level, Mode, Object, Outcome, TokenRecord, ToolRecord,
};

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/ceremony.md lists every field; the names are the format")]
pub enum Fact {
    /// The first line.
    Begin {
        format: u64,
        mode: Mode,
        title: String,
        plan_sha256: String,
        steps: Vec<String>,
        tool: ToolRecord,
    },
    /// A person takes a role.
    Person { role: String, name: String },
    /// A check of the machine.
    Environment { check: String, found: String, outcome: Outcome },
    /// A failed check or a difference that a person lets pass.
    Waiver { what: String, reason: String, by: String },
    /// A person compared the clock with a wall clock.
    Clock { system: String, wall: String, difference_s: i64, by: String },
    /// The digest of the plan was typed from paper.
    PlanConfirmed { by: String, role: String },
    /// A PKCS#11 module was loaded.
    Module { path: String, sha256: String, library: String, profile: String },
    /// A token passed its gate.
    Token { token: String, found: TokenRecord },
    /// Everything on a token, before or after the steps.
    Inventory { token: String, moment: String, objects: Vec<Object>, unexpected: Vec<String> },
    /// A secret was made or typed in; nothing about its value.
    Secret { secret: String, how: String, bits: u64 },
    /// A share was shown to its holder and typed back.
    ShareHandedOut { secret: String, set: String, number: u64, holder: String, corrected: u64 },
    /// A secret is in the hands of its holders; until then it protects nothing.
    SecretReady { secret: String },
    /// A secret came back from its shares.
    SharesCombined { secret: String, numbers: Vec<u64> },
    /// A step begins.
    StepBegin { step: String, number: u64, action: String },
    /// One person confirms a step by typed words.
    Confirmation { step: String, by: String, role: String, typed: String },
    /// A call to a PKCS#11 module.
    Call { function: String, detail: String, result: String },
    /// What is about to be made on a token, so that a crash never makes it twice.
    KeyIntent { step: String, token: String, label: String, id: String },
    /// A key as read back after its generation.
    Key { step: String, key: KeyRecord, attributes: Attributes, differences: Vec<String> },
    /// A key that existed before was found again.
    KeyFound { key: KeyRecord },
    /// Attestation of a key by its module.
    Attestation { step: String, key: String, state: String },
    /// A fresh nonce was signed (or a ciphertext opened) and checked by other code.
    SelfTest { step: String, key: String, algorithm: String, result: String },
    /// The lints of a structure, before or after its signature.
    Lint { step: String, moment: String, passed: u64, findings: Vec<String>, skipped: Vec<String> },
    /// What is about to be signed, byte for byte, in base64.
    ToBeSigned { step: String, form: String, key: String, tbs: String, sha256: String },
    /// The signature, in base64.
    Signature { step: String, key: String, algorithm: String, signature: String },
    /// A file was written.
    Artefact { step: String, artefact: Artefact },
    /// A file was read.
    Input { step: String, file: String, form: String, sha256: String, content: String },
    /// A token was initialised.
    TokenInitialised { step: String, token: String, label: String, serial: String },
    /// A key was destroyed.
    KeyDestroyed {
        step: String,
        key: String,
        spki_sha256: String,
        evidence: Vec<String>,
        copies: Vec<String>,
    },
    /// A restored key signed and the first one's public key accepted it.
    EqualityDrill { step: String, key: String, spki_sha256: String, result: String },
    /// What a person said or typed.
    Statement { step: String, by: String, role: String, about: String, text: String },
    /// Something departed from the plan or the script.
    Deviation { at: String, by: String, text: String },
    /// A break began or ended.
    Break { at: String, by: String, text: String, ended: bool },
    /// A step ended.
    StepEnd { step: String, outcome: Outcome, reason: String },
    /// The run goes on after an interruption.
    Resume { torn_bytes: u64, torn_sha256: String, tool: ToolRecord },
    /// The chain's head, signed by the ceremony's log key.
    Seal { key: String, spki_sha256: String, algorithm: String, head: String, signature: String },
    /// The last line.
    End { outcome: Outcome, reason: String },
}

impl Fact {
    /// Who may see the fact.
    pub const fn level(&self) -> Level {
        match self {
            Self::Begin { .. }
            | Self::StepBegin { .. }
            | Self::Key { .. }
            | Self::KeyFound { .. }
            | Self::SelfTest { .. }
            | Self::Lint { .. }
            | Self::ToBeSigned { .. }
            | Self::Signature { .. }
            | Self::Artefact { .. }
            | Self::KeyDestroyed { .. }
            | Self::EqualityDrill { .. }
            | Self::StepEnd { .. }
            | Self::Resume { .. }
            | Self::Seal { .. }
            | Self::End { .. } => Level::Public,
            Self::Person { .. }
            | Self::PlanConfirmed { .. }
            | Self::Environment { .. }
            | Self::Waiver { .. }
            | Self::Clock { .. }
            | Self::Module { .. }
            | Self::Token { .. }
            | Self::Inventory { .. }
            | Self::Secret { .. }
            | Self::ShareHandedOut { .. }
            | Self::SecretReady { .. }
            | Self::SharesCombined { .. }
            | Self::Confirmation { .. }
            | Self::Call { .. }
            | Self::KeyIntent { .. }
            | Self::Attestation { .. }
            | Self::Input { .. }
            | Self::TokenInitialised { .. }
            | Self::Statement { .. }
            | Self::Deviation { .. }
            | Self::Break { .. } => Level::Auditor,
        }
    }
}
