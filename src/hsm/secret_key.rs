//! A secret key of a token from which another secret is derived by HMAC: whoever has the host's disk,
//! but not the token and its PIN, cannot make that secret again.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::audit::{audit, read};
use super::connection::Hsm;
use super::error::{HsmError, KeyProblem};
use super::event::EVENT;
use super::keys::KeyPurpose;
use super::profile::AuditedAttribute;
use crate::secret::Secret;

/// The length of the key and of what is derived from it, in bytes.
const LENGTH: usize = 32;

impl Hsm {
    /// HMAC-SHA-256 over `context` under the token's secret key with CKA_LABEL `label`, which is audited
    /// like every key of ours and made where there is none. Blocks (C_FindObjects, C_GenerateKey, C_Sign).
    pub fn derived_secret(&self, label: &str, context: &[u8]) -> Result<Secret, HsmError> {
        let what = format!("deriving a secret under the key {label}");
        let key = self.secret_key(label, &what)?;
        self.with_session(&what, |session| {
            let derived = session.sign(&Mechanism::Sha256Hmac, key, context)?;
            Ok(Secret::new(derived))
        })
        .map_err(|e| self.without_hmac(label, e))
        .and_then(|derived| match derived.len() {
            LENGTH => Ok(derived),
            other => {
                let problem = format!("an HMAC of {other} bytes came back");
                Err(self.problem(label, KeyProblem::SelfTest(problem)))
            }
        })
    }

    /// The key, found or made, and audited.
    fn secret_key(&self, label: &str, what: &str) -> Result<ObjectHandle, HsmError> {
        let known = self.with_session(what, |session| find(session, label))?;
        let (key, made) = match known.as_slice() {
            [key] => (*key, false),
            [] => {
                let made = self.with_session(what, |s| {
                    s.generate_key(&Mechanism::GenericSecretKeyGen, &template(label))
                });
                (made.map_err(|e| self.without_hmac(label, e))?, true)
            }
            several => {
                return Err(self.problem(label, KeyProblem::Ambiguous { count: several.len() }));
            }
        };
        if made {
            log::warn!(
                event = EVENT, key = label;
                "a secret key was not in the token and was made anew; what was sealed under an earlier one stays closed"
            );
        }
        let attributes = self.with_session(what, |session| read(session, key))?;
        // A secret key has neither of these two.
        let mut passed_over =
            vec![AuditedAttribute::CkaSignRecover, AuditedAttribute::CkaAlwaysAuthenticate];
        passed_over.extend(&self.shared.profile.audit.not_reported);
        // It makes MACs (CKA_SIGN) and does nothing else, as a key of the log signs and nothing else.
        self.judge(label, audit(&attributes, KeyPurpose::LogSign, &passed_over))?;
        Ok(key)
    }

    /// A token without these mechanisms is told of as such.
    fn without_hmac(&self, label: &str, error: HsmError) -> HsmError {
        use super::retry::Failure::Returned;
        match &error {
            HsmError::Call {
                failure:
                    Returned { code: RvError::MechanismInvalid | RvError::FunctionNotSupported, .. },
                ..
            } => self.problem(
                label,
                KeyProblem::Unfit(
                    "this token makes no HMAC under keys of its own (CKM_GENERIC_SECRET_KEY_GEN, \
                     CKM_SHA256_HMAC); take the secret from a credential instead"
                        .into(),
                ),
            ),
            _ => error,
        }
    }

    fn problem(&self, label: &str, problem: KeyProblem) -> HsmError {
        HsmError::Key { key: label.into(), token: self.shared.token.label.clone(), problem }
    }
}

fn find(session: &Session, label: &str) -> Result<Vec<ObjectHandle>, Error> {
    session.find_objects(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Label(label.as_bytes().to_vec()),
    ])
}

/// Every usage is said, for modules differ in what they assume.
fn template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::ValueLen((LENGTH as u64).into()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Sign(true),
        Attribute::Verify(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]
}
