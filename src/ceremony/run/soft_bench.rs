//! Tokens that are none, with throw-away keys: for dry runs and checks of plans. What would be called on a
//! token is noted as a call that was not made: the same calls, in the same order, as the tokens' bench makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::RunError;
use super::bench::{Bench, Drill, ModuleFacts, ReadBackFacts, hsm_purpose};
use super::throw_away::ThrowAway;
use crate::ceremony::plan::{Purpose, TokenPlan};
use crate::ceremony::transcript::{Object, TokenRecord};
use crate::hsm::{CallRecord, Profile, TokenSelector, ceremony_words};
use crate::pki::{KeyKind, PublicKey, SignatureAlgorithm};
use crate::secret::Secret;

struct SoftKey {
    token: String,
    label: String,
    id: Vec<u8>,
    key: ThrowAway,
    public: PublicKey,
}

struct SoftToken {
    profile: Profile,
    module: Option<PathBuf>,
    serial: Option<String>,
    label: Option<String>,
    open: bool,
}

/// Tokens that are none.
pub struct SoftBench {
    tokens: BTreeMap<String, SoftToken>,
    keys: Vec<SoftKey>,
    loaded: BTreeSet<String>,
    calls: Vec<CallRecord>,
}

impl SoftBench {
    /// For the tokens of a plan, whose profiles say by which mechanisms they work.
    ///
    /// # Errors
    ///
    /// A profile that cannot be read.
    pub fn new(plans: &BTreeMap<String, TokenPlan>) -> Result<Self, RunError> {
        let token = |plan: &TokenPlan| -> Result<SoftToken, RunError> {
            let profile = Profile::load(&plan.profile)?;
            let (module, serial) = (plan.module.clone(), plan.serial.clone());
            Ok(SoftToken { profile, module, serial, label: None, open: false })
        };
        let tokens = plans.iter().map(|(name, plan)| Ok((name.clone(), token(plan)?)));
        Ok(Self {
            tokens: tokens.collect::<Result<_, RunError>>()?,
            keys: Vec::new(),
            loaded: BTreeSet::new(),
            calls: Vec::new(),
        })
    }

    fn note(&mut self, function: &str, detail: impl Into<String>) {
        let (function, detail) = (function.to_owned(), detail.into());
        self.calls.push(CallRecord { function, detail, result: "not called".into() });
    }

    fn token(&mut self, name: &str) -> Result<&mut SoftToken, RunError> {
        let missing = || RunError::Refused(format!("there is no token {name} in the plan"));
        self.tokens.get_mut(name).ok_or_else(missing)
    }

    fn key(&self, token: &str, id: &[u8]) -> Result<&SoftKey, RunError> {
        let found = self.keys.iter().find(|k| k.token == token && k.id == id);
        found.ok_or_else(|| RunError::Refused(format!("no key {} on {token}", hex::encode(id))))
    }

    /// The search for a token.
    fn find_token(&mut self, token: &str, label: &str) -> Result<(), RunError> {
        let selector = match self.token(token)?.serial.clone() {
            Some(serial) => TokenSelector::Serial(serial),
            None => TokenSelector::Label(label.to_owned()),
        };
        self.note("C_GetSlotList", "with tokens");
        self.note("C_GetTokenInfo", format!("of every slot, for the token with {selector}"));
        Ok(())
    }

    /// The search for a private key.
    fn find_private(&mut self, id: &[u8]) {
        self.note("C_FindObjects", format!("private key {}", hex::encode(id)));
    }

    fn find_all(&mut self, id: &[u8]) {
        self.note("C_FindObjects", format!("every object with ID {}", hex::encode(id)));
    }

    fn note_signature(
        &mut self,
        profile: &Profile,
        id: &[u8],
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), RunError> {
        self.find_private(id);
        let words = ceremony_words::signing(profile, algorithm, key.kind(), id);
        let name = &profile.name;
        let words = words.ok_or_else(|| {
            RunError::Refused(format!("the profile {name} has no mechanism for {algorithm}"))
        })?;
        self.note("C_Sign", words);
        Ok(())
    }

    fn note_decryption(&mut self, profile: &Profile, id: &[u8]) -> Result<(), RunError> {
        self.find_private(id);
        let name = &profile.name;
        let words = ceremony_words::decrypting(profile, id).ok_or_else(|| {
            RunError::Refused(format!("the profile {name} has no mechanism for RSA decryption"))
        })?;
        self.note("C_Decrypt", words);
        Ok(())
    }
}

impl Bench for SoftBench {
    fn module(&mut self, token: &str) -> Result<ModuleFacts, RunError> {
        let entry = self.token(token)?;
        let profile = entry.profile.name.clone();
        let named = entry.module.as_ref().map(|m| m.display().to_string());
        let path = named.unwrap_or_else(|| format!("the module of the profile {profile}"));
        if self.loaded.insert(path.clone()) {
            self.note("C_Initialize", path.clone());
        }
        self.note("C_GetInfo", "");
        let sha256 = hex::encode(openssl::sha::sha256(b""));
        Ok(ModuleFacts { path, sha256, library: "throw-away keys".into(), profile })
    }

    fn exists(&mut self, token: &str, label: &str) -> Result<bool, RunError> {
        self.find_token(token, label)?;
        Ok(self.token(token)?.label.is_some())
    }

    fn describe(&mut self, token: &str) -> Result<TokenRecord, RunError> {
        let label = self.token(token)?.label.clone().unwrap_or_default();
        self.find_token(token, &label)?;
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
        if !self.exists(token, label)? {
            self.note("C_GetSlotList", "with tokens");
            self.note("C_GetTokenInfo", "of every slot, for a blank token");
            self.note("C_InitToken", format!("label \"{}\"", label.escape_debug()));
        }
        self.find_token(token, label)?;
        self.note("C_OpenSession", "read-write");
        self.note("C_Login", "CKU_SO");
        self.note("C_InitPIN", "");
        self.note("C_Logout", "");
        self.note("C_CloseSession", "");
        self.token(token)?.label = Some(label.into());
        Ok(())
    }

    fn open(&mut self, token: &str, label: &str, _: &Secret) -> Result<(), RunError> {
        self.find_token(token, label)?;
        self.note("C_OpenSession", "read-write");
        self.note("C_Login", "CKU_USER");
        let entry = self.token(token)?;
        (entry.label, entry.open) = (Some(label.into()), true);
        Ok(())
    }

    fn is_open(&self, token: &str) -> bool {
        self.tokens.get(token).is_some_and(|t| t.open)
    }

    fn close(&mut self, token: &str) {
        if let Some(entry) = self.tokens.get_mut(token).filter(|t| t.open) {
            entry.open = false;
            self.note("C_Logout", "");
            self.note("C_CloseSession", "");
        }
    }

    fn inventory(&mut self, token: &str) -> Result<Vec<Object>, RunError> {
        self.note("C_FindObjects", "every object");
        let mut objects = Vec::new();
        for key in self.keys.iter().filter(|k| k.token == token) {
            for class in ["CKO_PRIVATE_KEY", "CKO_PUBLIC_KEY"] {
                objects.push(Object {
                    class: class.into(),
                    label: key.label.clone(),
                    id: hex::encode(&key.id),
                    key_type: None,
                    spki_sha256: None,
                });
            }
        }
        objects.sort();
        for object in &objects {
            self.note("C_GetAttributeValue", "class, label, ID, type");
            if object.class == "CKO_PUBLIC_KEY" {
                self.note("C_GetAttributeValue", "public key");
            }
        }
        Ok(objects)
    }

    fn attestation(&self, token: &str) -> Option<String> {
        self.tokens.get(token).and_then(|t| t.profile.attestation.clone())
    }

    fn id_length(&self, token: &str) -> usize {
        self.tokens.get(token).map_or(16, |t| t.profile.keys.id_max.min(16))
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
        let profile = self.token(token)?.profile.clone();
        let words = ceremony_words::generation(&profile, kind, label, id, hsm_purpose(purpose));
        let words = words.ok_or_else(|| {
            let name = &profile.name;
            RunError::Refused(format!("the profile {name} makes no keys of kind {kind}"))
        })?;
        self.note("C_FindObjects", "a key with this label or ID");
        self.note("C_FindObjects", "a key with this label or ID");
        self.note("C_GenerateKeyPair", words);
        self.note("C_GetAttributeValue", "public key");
        let key = ThrowAway::new(kind)?;
        let public = key.public()?;
        let (token, label, id) = (token.into(), label.into(), id.to_vec());
        self.keys.push(SoftKey { token, label, id, key, public: public.clone() });
        Ok(public)
    }

    fn find(&mut self, token: &str, label: &str) -> Result<Vec<(Vec<u8>, PublicKey)>, RunError> {
        self.inventory(token)?;
        let keys = self.keys.iter().filter(|k| k.token == token && k.label == label);
        Ok(keys.map(|k| (k.id.clone(), k.public.clone())).collect())
    }

    fn read_back(&mut self, _: &str, id: &[u8], _: Purpose) -> Result<ReadBackFacts, RunError> {
        self.find_private(id);
        for what in ["private key", "CKA_KEY_GEN_MECHANISM", "CKA_COPYABLE"] {
            self.note("C_GetAttributeValue", what);
        }
        let attributes = BTreeMap::new();
        Ok(ReadBackFacts { attributes, differences: Vec::new(), explained: Vec::new() })
    }

    fn sign(
        &mut self,
        token: &str,
        id: &[u8],
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RunError> {
        if self.key(token, id).is_err() {
            self.find_private(id);
        }
        self.key(token, id)?;
        let profile = self.token(token)?.profile.clone();
        self.note_signature(&profile, id, key, algorithm)?;
        self.key(token, id)?.key.sign(algorithm, message)
    }

    fn decrypts(
        &mut self,
        token: &str,
        id: &[u8],
        _: &PublicKey,
        _: &[u8],
    ) -> Result<bool, RunError> {
        let profile = self.token(token)?.profile.clone();
        self.note_decryption(&profile, id)?;
        Ok(true)
    }

    fn destroy(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        let there = 2 * self.keys.iter().filter(|k| k.token == token && k.id == id).count();
        self.find_all(id);
        for _ in 0..there {
            self.note("C_DestroyObject", hex::encode(id));
        }
        self.keys.retain(|k| !(k.token == token && k.id == id));
        Ok(there)
    }

    fn count(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        self.find_all(id);
        Ok(2 * self.keys.iter().filter(|k| k.token == token && k.id == id).count())
    }

    fn backup(&mut self, token: &str) -> Result<Vec<u8>, RunError> {
        self.describe(token)?;
        Ok(b"dry run".to_vec())
    }

    fn drill(&mut self, token: &str, copy: &Path, drill: &Drill<'_>) -> Result<String, RunError> {
        let profile = self.token(token)?.profile.clone();
        let first = self.calls.len();
        self.note("C_Initialize", copy.display().to_string());
        self.note("C_GetSlotList", "with tokens");
        self.note("C_GetTokenInfo", format!("token \"{}\"", drill.label.escape_debug()));
        self.note("C_OpenSession", "read-write");
        self.note("C_Login", "CKU_USER");
        if drill.purpose.signs() {
            let algorithm = drill.key.kind().default_signature();
            self.note_signature(&profile, drill.id, drill.key, algorithm)?;
        } else {
            self.note_decryption(&profile, drill.id)?;
        }
        self.note("C_Logout", "");
        self.note("C_CloseSession", "");
        self.calls.iter_mut().skip(first).for_each(super::bench::on_the_copy);
        Ok("not done in a dry run".into())
    }

    fn take_calls(&mut self) -> Vec<CallRecord> {
        std::mem::take(&mut self.calls)
    }
}
