//! The tokens' side: what a ceremony wants of them. Two benches implement it: the tokens themselves,
//! and throw-away keys in memory for dry runs and checks of plans.

use std::path::Path;

use super::RunError;
use crate::ceremony::plan::Purpose;
use crate::ceremony::transcript::{Attributes, Object, TokenRecord};
use crate::hsm::{CallRecord, KeyPurpose};
use crate::pki::{KeyKind, PublicKey, SignatureAlgorithm};
use crate::secret::Secret;

/// A module as the transcript has it.
#[derive(Clone, Debug)]
pub struct ModuleFacts {
    /// Its file.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// What it says about itself.
    pub library: String,
    /// The profile's name.
    pub profile: String,
}

/// A key as read back.
#[derive(Clone, Debug)]
pub struct ReadBackFacts {
    /// Every attribute by name.
    pub attributes: Attributes,
    /// Attributes that are not as the purpose demands, and how.
    pub differences: Vec<(String, String)>,
    /// Those of them that the module's profile explains.
    pub explained: Vec<String>,
}

/// The tokens. Names are those of the plan; labels are as on the token.
pub trait Bench {
    /// Loads the token's module.
    fn module(&mut self, token: &str) -> Result<ModuleFacts, RunError>;
    /// Whether a token with this label is there.
    fn exists(&mut self, token: &str, label: &str) -> Result<bool, RunError>;
    /// What the token says about itself.
    fn describe(&mut self, token: &str) -> Result<TokenRecord, RunError>;
    /// Initialises an empty token, if none has the label yet.
    fn init(
        &mut self,
        token: &str,
        label: &str,
        so: &Secret,
        user: &Secret,
    ) -> Result<(), RunError>;
    /// Logs in.
    fn open(&mut self, token: &str, label: &str, pin: &Secret) -> Result<(), RunError>;
    /// Whether somebody is logged in.
    fn is_open(&self, token: &str) -> bool;
    /// Logs out.
    fn close(&mut self, token: &str);
    /// Everything on the token.
    fn inventory(&mut self, token: &str) -> Result<Vec<Object>, RunError>;
    /// The length of a CKA_ID.
    fn id_length(&self, token: &str) -> usize;
    /// How the module's vendor attests a key, where the profile knows a way.
    fn attestation(&self, token: &str) -> Option<String>;
    /// Random bytes of the token; none where it gives none.
    fn random(&mut self, token: &str, len: usize) -> Option<Vec<u8>>;
    /// Makes a key pair.
    fn generate(
        &mut self,
        token: &str,
        kind: KeyKind,
        label: &str,
        id: &[u8],
        purpose: Purpose,
    ) -> Result<PublicKey, RunError>;
    /// The private keys with this label.
    fn find(&mut self, token: &str, label: &str) -> Result<Vec<(Vec<u8>, PublicKey)>, RunError>;
    /// Reads a private key's attributes.
    fn read_back(
        &mut self,
        token: &str,
        id: &[u8],
        purpose: Purpose,
    ) -> Result<ReadBackFacts, RunError>;
    /// Signs, and verifies in software.
    fn sign(
        &mut self,
        token: &str,
        id: &[u8],
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RunError>;
    /// Encrypts in software, lets the token decrypt, compares.
    fn decrypts(
        &mut self,
        token: &str,
        id: &[u8],
        key: &PublicKey,
        content: &[u8],
    ) -> Result<bool, RunError>;
    /// Destroys every object with the ID; returns how many.
    fn destroy(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError>;
    /// How many objects have the ID.
    fn count(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError>;
    /// A copy of the token, where the module's tokens are files.
    fn backup(&mut self, token: &str) -> Result<Vec<u8>, RunError>;
    /// Restores the copy aside and lets the restored key sign (or decrypt): the proof that it is equal.
    fn drill(&mut self, token: &str, copy: &Path, drill: &Drill<'_>) -> Result<String, RunError>;
    /// The calls since they were last taken.
    fn take_calls(&mut self) -> Vec<CallRecord>;
}

/// Marks a call as one to the restored copy, which is a token of its own.
pub(super) fn on_the_copy(call: &mut CallRecord) {
    let space = if call.detail.is_empty() { "" } else { ", " };
    call.detail = format!("the restored copy{space}{}", call.detail);
}

/// What is proved of a restored key.
pub struct Drill<'a> {
    /// The token's label.
    pub label: &'a str,
    /// The user's PIN.
    pub pin: &'a Secret,
    /// The key's ID.
    pub id: &'a [u8],
    /// The first key's public half.
    pub key: &'a PublicKey,
    /// What it is for.
    pub purpose: Purpose,
    /// A fresh nonce.
    pub nonce: &'a [u8],
}

/// The purpose in the HSM's terms. A key for TLS is a signing key like one for logs.
pub fn hsm_purpose(purpose: Purpose) -> KeyPurpose {
    match purpose {
        Purpose::CaSign => KeyPurpose::CaSign,
        Purpose::RaSign => KeyPurpose::RaSign,
        Purpose::RaDecrypt => KeyPurpose::RaDecrypt,
        Purpose::OcspSign => KeyPurpose::OcspSign,
        Purpose::LogSign | Purpose::TlsSign => KeyPurpose::LogSign,
    }
}
