//! A token as a ceremony uses it: inventory, key generation, reading back, signing, destruction.
//! One session, one thread, nothing cached, every call noted.

use std::collections::BTreeMap;
use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::audit::{self, Rule};
use super::ceremony_module::{CallRecord, Calls};
use super::ceremony_words::generated;
use super::error::{HsmError, KeyProblem};
use super::keys::{KeyPurpose, described};
use super::mechanism::{decryption, encoded, signature};
use super::module::ModuleUse;
use super::objects::read_public;
use super::profile::Profile;
use super::provision::{recipe, templates};
use super::unwrap::encrypted;
use crate::cms::KeyTransport;
use crate::pki::{KeyKind, PublicKey, SignatureAlgorithm};

/// A token that is logged in to.
pub struct CeremonyToken {
    // Before the module: a session is closed before its module is finalised.
    pub(super) session: Session,
    #[expect(dead_code, reason = "keeps the module initialised while the session is open")]
    pub(super) module: Arc<ModuleUse>,
    pub(super) profile: Profile,
    pub(super) label: String,
    pub(super) calls: Calls,
}

/// An object on a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// `CKO_PRIVATE_KEY` and so on.
    pub class: String,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// `CKK_RSA` and so on, for keys.
    pub key_type: Option<String>,
    /// The key, for public keys that can be read.
    pub public_key: Option<PublicKey>,
}

/// A private key's attributes and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Every attribute that the module reports, by name.
    pub attributes: BTreeMap<String, String>,
    /// Differences from what its purpose demands: the attribute's name and the whole sentence.
    pub differences: Vec<(String, String)>,
}

impl CeremonyToken {
    /// The token's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The calls since they were last taken.
    pub fn take_calls(&self) -> Vec<CallRecord> {
        self.calls.take()
    }

    /// Logs out and closes the session; what that returns is noted and changes nothing.
    pub fn close(self) -> Vec<CallRecord> {
        let _ = self.calls.note("C_Logout", "", self.session.logout());
        let _ = self.calls.note("C_CloseSession", "", self.session.close());
        self.calls.take()
    }

    /// How the vendor's tool attests a key, where the profile knows.
    pub fn attestation(&self) -> Option<&str> {
        self.profile.attestation.as_deref()
    }

    /// The longest CKA_ID that this token takes, 16 bytes at the most.
    pub fn id_length(&self) -> usize {
        self.profile.keys.id_max.min(16)
    }

    /// `len` random bytes of the token's own generator.
    pub fn random(&self, len: usize) -> Result<Vec<u8>, HsmError> {
        let mut bytes = vec![0; len];
        let result = self.session.generate_random_slice(&mut bytes);
        self.calls.note("C_GenerateRandom", format!("{len} bytes"), result)?;
        Ok(bytes)
    }

    /// Everything on the token that this session can see. What tells of the module itself is left out: the
    /// objects by which PKCS#11 3.0 names its mechanisms, profiles and hardware.
    pub fn inventory(&self) -> Result<Vec<ObjectFacts>, HsmError> {
        const OF_THE_MODULE: [ObjectClass; 3] =
            [ObjectClass::MECHANISM, ObjectClass::PROFILE, ObjectClass::HARDWARE_FEATURE];
        let handles = self.find("every object", &[])?;
        let mut all =
            handles.into_iter().map(|handle| self.object(handle)).collect::<Result<Vec<_>, _>>()?;
        all.retain(|o| !OF_THE_MODULE.iter().any(|class| class.to_string() == o.class));
        Ok(all)
    }

    fn object(&self, handle: ObjectHandle) -> Result<ObjectFacts, HsmError> {
        let wanted =
            [AttributeType::Class, AttributeType::Label, AttributeType::Id, AttributeType::KeyType];
        let attributes = self.session.get_attributes(handle, &wanted);
        let attributes =
            self.calls.note("C_GetAttributeValue", "class, label, ID, type", attributes)?;
        let (mut class, mut label, mut id, mut key_type) =
            ("CKO_?".to_owned(), String::new(), Vec::new(), None);
        let mut public = false;
        for attribute in attributes {
            match attribute {
                Attribute::Class(c) => {
                    public = c == ObjectClass::PUBLIC_KEY;
                    class = c.to_string();
                }
                Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
                Attribute::Id(bytes) => id = bytes,
                Attribute::KeyType(t) => key_type = Some(t.to_string()),
                _ => {}
            }
        }
        let public_key = if public { self.read_public(handle)? } else { None };
        Ok(ObjectFacts { class, label, id, key_type, public_key })
    }

    fn read_public(&self, handle: ObjectHandle) -> Result<Option<PublicKey>, HsmError> {
        self.calls.note("C_GetAttributeValue", "public key", read_public(&self.session, handle))
    }

    fn find(&self, detail: &str, template: &[Attribute]) -> Result<Vec<ObjectHandle>, HsmError> {
        self.calls.note("C_FindObjects", detail, self.session.find_objects(template))
    }

    fn problem(&self, label: &str, id: &[u8], problem: KeyProblem) -> HsmError {
        HsmError::Key { key: described(label, Some(id)), token: self.label.clone(), problem }
    }

    /// Makes a key pair: sensitive, not extractable, not modifiable, good for `purpose` alone.
    pub fn generate(
        &self,
        kind: KeyKind,
        label: &str,
        id: &[u8],
        purpose: KeyPurpose,
    ) -> Result<PublicKey, HsmError> {
        let problem = |problem| self.problem(label, id, problem);
        let recipe = recipe(kind, self.profile.keys.ed25519_parameters)
            .filter(|_| purpose.signs() || kind.is_rsa())
            .ok_or_else(|| problem(KeyProblem::Unfit(format!("no {purpose} key is {kind}"))))?;
        for present in [Attribute::Id(id.to_vec()), Attribute::Label(label.as_bytes().to_vec())] {
            let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), present];
            if !self.find("a key with this label or ID", &template)?.is_empty() {
                return Err(problem(KeyProblem::Exists));
            }
        }
        let (public, private) = templates(&recipe, label, id, purpose, self.profile.keys.copyable);
        let made = self.session.generate_key_pair(&recipe.mechanism, &public, &private);
        let detail = generated(&self.profile, &recipe, label, id, purpose);
        let unfit = matches!(
            made,
            Err(Error::Pkcs11(RvError::MechanismInvalid | RvError::CurveNotSupported, _))
        );
        let noted = self.calls.note("C_GenerateKeyPair", detail, made);
        if unfit {
            let text = format!("this token makes no keys of kind {kind}");
            return Err(problem(KeyProblem::Unfit(text)));
        }
        let (public, _) = noted?;
        let key = self.read_public(public)?.filter(|key| key.kind() == kind);
        key.ok_or_else(|| problem(KeyProblem::Unreadable("it is not as it was asked for".into())))
    }

    /// The keys with this label, by ID and public half.
    pub fn keys_with_label(&self, label: &str) -> Result<Vec<(Vec<u8>, PublicKey)>, HsmError> {
        let objects = self.inventory()?;
        let private: Vec<&ObjectFacts> = objects
            .iter()
            .filter(|o| o.class == ObjectClass::PRIVATE_KEY.to_string() && o.label == label)
            .collect();
        let public = |id: &[u8]| {
            objects
                .iter()
                .find(|o| o.id == id && o.public_key.is_some())
                .and_then(|o| o.public_key.clone())
        };
        Ok(private.into_iter().filter_map(|o| Some((o.id.clone(), public(&o.id)?))).collect())
    }

    fn private(&self, id: &[u8]) -> Result<ObjectHandle, HsmError> {
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.to_vec())];
        match self.find(&format!("private key {}", hex::encode(id)), &template)?.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.problem("", id, KeyProblem::NotFound { present: Vec::new() })),
            several => Err(self.problem("", id, KeyProblem::Ambiguous { count: several.len() })),
        }
    }

    /// Reads the private key's attributes and compares them with what its purpose demands. Where the
    /// profile says that the module reports one wrongly, the difference says so.
    pub fn read_back(&self, id: &[u8], purpose: KeyPurpose) -> Result<ReadBack, HsmError> {
        let handle = self.private(id)?;
        let found = audit::read(&self.session, handle);
        let found = self.calls.note("C_GetAttributeValue", "private key", found)?;
        let mut attributes: BTreeMap<String, String> =
            found.iter().map(|(a, v)| (audit::name(*a).to_owned(), v.to_string())).collect();
        let more = [AttributeType::KeyGenMechanism, AttributeType::Copyable];
        for wanted in more {
            // Neither is in every version of PKCS#11, so one that is refused is only noted.
            let value = self.session.get_attributes(handle, &[wanted]);
            let value = self.calls.note("C_GetAttributeValue", wanted.to_string(), value);
            let value = value.unwrap_or_default();
            match value.first() {
                Some(Attribute::KeyGenMechanism(m)) => {
                    attributes.insert("CKA_KEY_GEN_MECHANISM".into(), m.to_string());
                }
                Some(Attribute::Copyable(v)) => {
                    attributes.insert("CKA_COPYABLE".into(), v.to_string());
                }
                _ => {}
            }
        }
        let expected = &self.profile.audit.not_reported;
        let differences = audit::audit(&found, purpose, &[]).into_iter().map(|d| {
            let name = audit::name(d.attribute).to_owned();
            let known = if expected.contains(&d.attribute) {
                " (the module's profile explains this)"
            } else {
                ""
            };
            let rule = if d.rule == Rule::Custody { "custody" } else { "purpose" };
            (name, format!("{d}; breaks the rule of {rule}{known}"))
        });
        let mut differences: Vec<_> = differences.collect();
        // A service takes keys that others made and that may be copied inside the token; a ceremony
        // asked for one that may not.
        if self.profile.keys.copyable && attributes.get("CKA_COPYABLE").is_some_and(|v| v == "true")
        {
            let text = "CKA_COPYABLE is true; breaks the rule of custody";
            differences.push(("CKA_COPYABLE".to_owned(), text.to_owned()));
        }
        Ok(ReadBack { attributes, differences })
    }

    /// Whether the profile explains that this attribute differs.
    pub fn explains(&self, attribute: &str) -> bool {
        self.profile.audit.not_reported.iter().any(|a| audit::name(*a) == attribute)
    }

    /// Signs `message` with the private key `id` and verifies the signature in software.
    pub fn sign(
        &self,
        id: &[u8],
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let refused = |text: String| self.problem("", id, KeyProblem::Unfit(text));
        let (mechanism, input) =
            signature(&self.profile.mechanisms, algorithm, key.kind(), message)
                .map_err(|e| refused(e.to_string()))?;
        let mechanism = mechanism.pkcs11().ok_or_else(|| refused("no such mechanism".into()))?;
        let handle = self.private(id)?;
        let signed = self.session.sign(&mechanism, handle, &input);
        let detail = format!("{}, key {}", mechanism.mechanism_type(), hex::encode(id));
        let raw = self.calls.note("C_Sign", detail, signed)?;
        let bad = |e: String| self.problem("", id, KeyProblem::SelfTest(e));
        let signature = encoded(algorithm, &raw).map_err(|e| bad(e.to_string()))?;
        key.verify(algorithm, message, &signature).map_err(|e| bad(e.to_string()))?;
        Ok(signature)
    }

    /// Encrypts `content` to the public key in software and lets the token decrypt it.
    pub fn decrypts(&self, id: &[u8], key: &PublicKey, content: &[u8]) -> Result<bool, HsmError> {
        let failed = |e: String| self.problem("", id, KeyProblem::SelfTest(e));
        let ciphertext = encrypted(key, KeyTransport::RsaPkcs1v15, content)
            .map_err(|e| failed(e.to_string()))?;
        Ok(self.decrypt(id, &ciphertext)? == content)
    }

    /// Decrypts a ciphertext of PKCS#1 v1.5 that we made ourselves. Not for what others sent: it does
    /// not hide where the padding is wrong.
    pub fn decrypt(&self, id: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, HsmError> {
        let failed = |e: &str| self.problem("", id, KeyProblem::SelfTest(e.into()));
        let mechanism = decryption(&self.profile.mechanisms, KeyTransport::RsaPkcs1v15)
            .and_then(|m| m.pkcs11())
            .ok_or_else(|| failed("the profile has no decryption"))?;
        let raw = matches!(mechanism, cryptoki::mechanism::Mechanism::RsaX509);
        let handle = self.private(id)?;
        let opened = self.session.decrypt(&mechanism, handle, ciphertext);
        let detail = format!("{}, key {}", mechanism.mechanism_type(), hex::encode(id));
        let opened = zeroize::Zeroizing::new(self.calls.note("C_Decrypt", detail, opened)?);
        if !raw {
            return Ok(opened.to_vec());
        }
        // 00 02, padding without zeros, 00, content; the first zero may be left out.
        let padded = opened.strip_prefix(&[0]).unwrap_or(&opened);
        let end = padded.iter().position(|b| *b == 0).ok_or_else(|| failed("no padding"))?;
        Ok(padded[end + 1..].to_vec())
    }

    /// Destroys every object with this ID: the private key, the public key, certificates.
    pub fn destroy(&self, id: &[u8]) -> Result<usize, HsmError> {
        let detail = format!("every object with ID {}", hex::encode(id));
        let handles = self.find(&detail, &[Attribute::Id(id.to_vec())])?;
        for handle in &handles {
            let destroyed = self.session.destroy_object(*handle);
            self.calls.note("C_DestroyObject", hex::encode(id), destroyed)?;
        }
        Ok(handles.len())
    }

    /// How many objects have this ID.
    pub fn count(&self, id: &[u8]) -> Result<usize, HsmError> {
        let detail = format!("every object with ID {}", hex::encode(id));
        Ok(self.find(&detail, &[Attribute::Id(id.to_vec())])?.len())
    }
}
