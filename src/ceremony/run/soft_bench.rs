//! Tokens that are none, with throw-away keys: for dry runs and checks of plans. What would be called on a
//! token is noted as a call that was not made.

use std::collections::BTreeMap;
use std::path::Path;

use super::RunError;
use super::bench::{Bench, Drill, ModuleFacts, ReadBackFacts};
use super::throw_away::ThrowAway;
use crate::ceremony::plan::Purpose;
use crate::ceremony::transcript::{Object, TokenRecord};
use crate::hsm::CallRecord;
use crate::pki::{KeyKind, PublicKey, SignatureAlgorithm};
use crate::secret::Secret;

struct SoftKey {
    token: String,
    label: String,
    id: Vec<u8>,
    key: ThrowAway,
    public: PublicKey,
}

/// Tokens that are none.
#[derive(Default)]
pub struct SoftBench {
    keys: Vec<SoftKey>,
    labels: BTreeMap<String, String>,
    open: Vec<String>,
    calls: Vec<CallRecord>,
}

impl SoftBench {
    fn note(&mut self, function: &str, detail: impl Into<String>) {
        let (function, detail) = (function.to_owned(), detail.into());
        self.calls.push(CallRecord { function, detail, result: "not called".into() });
    }

    fn key(&self, token: &str, id: &[u8]) -> Result<&SoftKey, RunError> {
        let found = self.keys.iter().find(|k| k.token == token && k.id == id);
        found.ok_or_else(|| RunError::Refused(format!("no key {} on {token}", hex::encode(id))))
    }
}

impl Bench for SoftBench {
    fn module(&mut self, _: &str) -> Result<ModuleFacts, RunError> {
        let (path, sha256) = ("none".to_owned(), hex::encode(openssl::sha::sha256(b"")));
        let (library, profile) = ("throw-away keys".to_owned(), "none".to_owned());
        Ok(ModuleFacts { path, sha256, library, profile })
    }

    fn exists(&mut self, token: &str, _: &str) -> Result<bool, RunError> {
        Ok(self.labels.contains_key(token))
    }

    fn describe(&mut self, token: &str) -> Result<TokenRecord, RunError> {
        let label = self.labels.get(token).cloned().unwrap_or_default();
        let none = String::new;
        Ok(TokenRecord {
            label,
            serial: none(),
            model: none(),
            manufacturer: none(),
            firmware: none(),
            hardware: none(),
            flags: Vec::new(),
        })
    }

    fn init(&mut self, token: &str, label: &str, _: &Secret, _: &Secret) -> Result<(), RunError> {
        self.note("C_InitToken", format!("label \"{label}\""));
        self.note("C_Login", "CKU_SO");
        self.note("C_InitPIN", "");
        self.labels.insert(token.into(), label.into());
        Ok(())
    }

    fn open(&mut self, token: &str, label: &str, _: &Secret) -> Result<(), RunError> {
        self.note("C_OpenSession", "read-write");
        self.note("C_Login", "CKU_USER");
        self.labels.insert(token.into(), label.into());
        self.open.push(token.into());
        Ok(())
    }

    fn is_open(&self, token: &str) -> bool {
        self.open.iter().any(|t| t == token)
    }

    fn close(&mut self, token: &str) {
        self.open.retain(|t| t != token);
    }

    fn inventory(&mut self, token: &str) -> Result<Vec<Object>, RunError> {
        self.note("C_FindObjects", "every object");
        let keys = self.keys.iter().filter(|k| k.token == token);
        Ok(keys
            .map(|k| Object {
                class: "CKO_PRIVATE_KEY".into(),
                label: k.label.clone(),
                id: hex::encode(&k.id),
                key_type: None,
                spki_sha256: None,
            })
            .collect())
    }

    fn attestation(&self, _: &str) -> Option<String> {
        None
    }

    fn id_length(&self, _: &str) -> usize {
        16
    }

    fn random(&mut self, _: &str, len: usize) -> Option<Vec<u8>> {
        self.note("C_GenerateRandom", format!("{len} bytes"));
        None
    }

    fn generate(
        &mut self,
        token: &str,
        kind: KeyKind,
        label: &str,
        id: &[u8],
        purpose: Purpose,
    ) -> Result<PublicKey, RunError> {
        let usage = if purpose.signs() { "CKA_SIGN" } else { "CKA_DECRYPT" };
        let detail = format!(
            "{kind}, label \"{label}\", ID {}, CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, {usage}; \
             not CKA_EXTRACTABLE, not CKA_MODIFIABLE, no other usage",
            hex::encode(id)
        );
        self.note("C_GenerateKeyPair", detail);
        let key = ThrowAway::new(kind)?;
        let public = key.public()?;
        let (token, label, id) = (token.into(), label.into(), id.to_vec());
        self.keys.push(SoftKey { token, label, id, key, public: public.clone() });
        Ok(public)
    }

    fn find(&mut self, token: &str, label: &str) -> Result<Vec<(Vec<u8>, PublicKey)>, RunError> {
        self.note("C_FindObjects", format!("label \"{label}\""));
        let keys = self.keys.iter().filter(|k| k.token == token && k.label == label);
        Ok(keys.map(|k| (k.id.clone(), k.public.clone())).collect())
    }

    fn read_back(&mut self, _: &str, id: &[u8], _: Purpose) -> Result<ReadBackFacts, RunError> {
        self.note("C_GetAttributeValue", format!("private key {}", hex::encode(id)));
        let attributes = BTreeMap::new();
        Ok(ReadBackFacts { attributes, differences: Vec::new(), explained: Vec::new() })
    }

    fn sign(
        &mut self,
        token: &str,
        id: &[u8],
        _: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RunError> {
        self.note("C_Sign", format!("{algorithm}, key {}", hex::encode(id)));
        self.key(token, id)?.key.sign(algorithm, message)
    }

    fn decrypts(&mut self, _: &str, id: &[u8], _: &PublicKey, _: &[u8]) -> Result<bool, RunError> {
        self.note("C_Decrypt", format!("key {}", hex::encode(id)));
        Ok(true)
    }

    fn destroy(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        self.note("C_DestroyObject", format!("every object with ID {}", hex::encode(id)));
        let before = self.keys.len();
        self.keys.retain(|k| !(k.token == token && k.id == id));
        Ok(2 * (before - self.keys.len()))
    }

    fn count(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        self.note("C_FindObjects", format!("every object with ID {}", hex::encode(id)));
        Ok(2 * self.keys.iter().filter(|k| k.token == token && k.id == id).count())
    }

    fn backup(&mut self, _: &str) -> Result<Vec<u8>, RunError> {
        Ok(b"dry run".to_vec())
    }

    fn drill(&mut self, _: &Path, drill: &Drill<'_>) -> Result<String, RunError> {
        self.note("C_Sign", format!("restored key {}", hex::encode(drill.id)));
        Ok("not done in a dry run".into())
    }

    fn take_calls(&mut self) -> Vec<CallRecord> {
        std::mem::take(&mut self.calls)
    }
}
