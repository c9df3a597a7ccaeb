//! The self-test: one operation with each key that is in use, and its result checked in software. A
//! test asks the token itself, which a description of it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Hsm, random};
use super::keys::KeyReference;
use super::module::locked;
use super::sign::HsmSigner;
use super::unwrap::{HsmUnwrapper, encrypted};
use crate::cms::KeyTransport;

/// What came of the test of one key.
#[derive(Clone, Debug)]
pub struct KeyTest {
    /// The key, by its label or ID.
    pub key: String,
    /// What it is for.
    pub purpose: String,
    /// How long it took, or why it failed.
    pub outcome: Result<Duration, String>,
}

/// A key in use.
#[derive(Clone)]
pub(super) enum InUse {
    Signs(HsmSigner),
    Opens(Arc<HsmUnwrapper>),
}

impl InUse {
    fn reference(&self) -> &KeyReference {
        match self {
            Self::Signs(signer) => &signer.key.reference,
            Self::Opens(unwrapper) => &unwrapper.key.reference,
        }
    }

    /// Signs a text that is no certificate, CRL or OCSP response (I2) and verifies the signature; or
    /// decrypts random bytes that were encrypted in software and compares.
    fn test(&self) -> Result<(), String> {
        match self {
            Self::Signs(signer) => {
                let reference = &signer.key.reference;
                let text =
                    format!("Chancery self-test of the {} key {reference}", reference.purpose);
                signer.sign_blocking(text.as_bytes()).map(drop).map_err(|e| e.to_string())
            }
            Self::Opens(unwrapper) => {
                let content = random()?;
                let public = &unwrapper.key.reference.public_key;
                let transport = KeyTransport::RsaPkcs1v15;
                let sample = encrypted(public, transport, &content).map_err(|e| e.to_string())?;
                let opened = unwrapper
                    .opened_blocking(transport, sample, content.len())
                    .map_err(|e| e.to_string())?;
                match opened.ct_eq(&content) {
                    true => Ok(()),
                    false => Err("what was encrypted to the key is not what it decrypts".into()),
                }
            }
        }
    }
}

impl Hsm {
    /// Remembers a key for the self-test.
    pub(super) fn in_use(&self, key: InUse) {
        let mut all = locked(&self.keys);
        let (new, same) = (key.reference().clone(), |old: &InUse, new: &KeyReference| {
            let old = old.reference();
            old.purpose == new.purpose && old.public_key == new.public_key
        });
        all.retain(|old| !same(old, &new));
        all.push(key);
    }

    /// Does one operation with each key in use and checks its result. It waits for the HSM; must not
    /// be called on a thread of tokio.
    pub fn self_test(&self) -> Vec<KeyTest> {
        let all = locked(&self.keys).clone();
        let tested = |key: InUse| {
            let began = Instant::now();
            let outcome = key.test().map(|()| began.elapsed());
            let reference = key.reference();
            KeyTest { key: reference.to_string(), purpose: reference.purpose.to_string(), outcome }
        };
        all.into_iter().map(tested).collect()
    }
}
