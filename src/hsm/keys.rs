//! Keys as the configuration names them, and as they are found on the token.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::error::KeyProblem;
use super::objects::{modulus, public_keys_with_id};
use super::retry::Failure;
use crate::pki::{PublicKey, SignatureAlgorithm};

/// What a key is for. One key has one purpose (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Signs certificates and CRLs.
    CaSign,
    /// Signs SCEP replies.
    RaSign,
    /// Opens SCEP envelopes.
    RaDecrypt,
    /// Signs OCSP responses.
    OcspSign,
    /// Signs the ledger's checkpoints.
    LogSign,
}

impl KeyPurpose {
    /// Whether keys of this purpose sign; the others decrypt.
    pub const fn signs(self) -> bool {
        !matches!(self, Self::RaDecrypt)
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CaSign => "CA signing",
            Self::RaSign => "RA signing",
            Self::RaDecrypt => "RA decryption",
            Self::OcspSign => "OCSP signing",
            Self::LogSign => "log signing",
        })
    }
}

/// A key as the configuration names it.
#[derive(Clone, Debug)]
pub struct KeyReference {
    /// CKA_LABEL; empty where the ID alone names the key.
    pub label: String,
    /// CKA_ID, where the configuration gives it.
    pub id: Option<Vec<u8>>,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// The public key of its certificate; the key on the token must be its private half.
    pub public_key: PublicKey,
    /// How it signs; by default as fits its kind.
    pub algorithm: Option<SignatureAlgorithm>,
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", described(&self.label, self.id.as_deref()))
    }
}

/// A label and an ID, for messages.
pub(super) fn described(label: &str, id: Option<&[u8]>) -> String {
    match id {
        Some(id) => format!("\"{}\" (id {})", label.escape_debug(), hex::encode(id)),
        None => format!("\"{}\"", label.escape_debug()),
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A key in use.
pub(super) struct Key {
    /// Under this number the threads cache its handle.
    pub(super) number: u64,
    pub(super) reference: KeyReference,
    /// Whether some thread has found it once.
    pub(super) seen: AtomicBool,
}

/// Why a key's handle was not found.
#[derive(Clone, Debug)]
pub(super) enum FindError {
    Problem(KeyProblem),
    Failed(Failure),
}

impl From<Error> for FindError {
    fn from(e: Error) -> Self {
        Self::Failed(e.into())
    }
}

impl Key {
    pub(super) fn new(reference: KeyReference) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, reference, seen: AtomicBool::new(false) }
    }

    /// Finds the one private key with the label and ID, and compares its public half with the
    /// configured one where the token shows it. (Where it does not, each signature is verified with
    /// the configured key anyway.)
    pub(super) fn find(&self, session: &Session) -> Result<ObjectHandle, FindError> {
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        template.extend(self.reference.id.clone().map(Attribute::Id));
        if !self.reference.label.is_empty() {
            template.push(Attribute::Label(self.reference.label.clone().into_bytes()));
        }
        let handle = match session.find_objects(&template)?.as_slice() {
            [one] => *one,
            [] => {
                let present = present(session)?;
                return Err(FindError::Problem(KeyProblem::NotFound { present }));
            }
            several => {
                let count = several.len();
                return Err(FindError::Problem(KeyProblem::Ambiguous { count }));
            }
        };
        let expected = &self.reference.public_key;
        let fits = match modulus(session, handle)? {
            Some(found) => expected.rsa().is_some_and(|rsa| rsa.n().to_vec() == found),
            None => {
                let candidates = public_keys_with_id(session, handle)?;
                candidates.is_empty() || candidates.iter().any(|key| same_key(key, expected))
            }
        };
        if !fits {
            return Err(FindError::Problem(KeyProblem::Mismatch));
        }
        self.seen.store(true, Ordering::Relaxed);
        Ok(handle)
    }
}

/// Whether two are the same key, however its SubjectPublicKeyInfo is written.
fn same_key(one: &PublicKey, other: &PublicKey) -> bool {
    match (one.openssl(), other.openssl()) {
        (Some(one), Some(other)) => one.public_eq(other),
        _ => one == other,
    }
}

/// The labels and IDs of the token's private keys, at most 32.
fn present(session: &Session) -> Result<Vec<String>, Error> {
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
    let names = keys.into_iter().take(32).filter_map(|key| label_and_id(session, key).transpose());
    names.collect()
}

fn label_and_id(session: &Session, key: ObjectHandle) -> Result<Option<String>, Error> {
    let attributes = match session.get_attributes(key, &[AttributeType::Label, AttributeType::Id]) {
        // Somebody removed it since.
        Err(Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => return Ok(None),
        other => other?,
    };
    let (mut label, mut id) = (String::new(), None);
    for attribute in attributes {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
            Attribute::Id(bytes) => id = Some(bytes),
            _ => {}
        }
    }
    Ok(Some(described(&label, id.as_deref())))
}
