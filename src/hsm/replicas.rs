//! One key on several tokens, as the vendor's cloning makes it: work goes to the token with the
//! least to do, and what one token cannot do another does. Each replica is opened with the public
//! key of the one certificate, so another key under the same name is refused at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::connection::Hsm;
use super::error::HsmError;
use super::event::EVENT;
use super::keys::KeyReference;
use super::shared::Shared;
use crate::cms::KeyTransport;
use crate::pki::{PublicKey, SignatureAlgorithm};
use crate::secret::Secret;
use crate::signing::{BoxFuture, KeyUnwrapper, KeyUseError, Signer};

/// The key `reference` on each of `tokens`, of which there is one at least. Errors name the token whose key is
/// missing, another, or not made as it must be.
pub fn signer(tokens: &[&Arc<Hsm>], reference: &KeyReference) -> Result<Arc<dyn Signer>, HsmError> {
    let opened = Replicas::open(tokens, |hsm| hsm.signer(reference))?;
    Ok(opened.only().unwrap_or_else(|several| Arc::new(several)))
}

/// The same for a decryption key; see [`Hsm::unwrapper`]. The secret is one for all tokens, so a
/// defective envelope gets the same substitute from each (I7).
pub fn unwrapper(
    tokens: &[&Arc<Hsm>],
    reference: &KeyReference,
    implicit_rejection: &Secret,
) -> Result<Arc<dyn KeyUnwrapper>, HsmError> {
    let opened =
        Replicas::open(tokens, |hsm| hsm.unwrapper(reference, implicit_rejection.clone()))?;
    Ok(opened.only().unwrap_or_else(|several| Arc::new(several)))
}

/// One key's places.
struct Replicas<K: ?Sized> {
    members: Vec<(Arc<Shared>, Arc<K>)>,
    /// Where the search for the least busy begins, so that idle tokens take turns.
    turn: AtomicUsize,
}

impl<K: ?Sized> Replicas<K> {
    fn open(
        tokens: &[&Arc<Hsm>],
        key: impl Fn(&Hsm) -> Result<Arc<K>, HsmError>,
    ) -> Result<Self, HsmError> {
        let member = |hsm: &&Arc<Hsm>| Ok((Arc::clone(&hsm.shared), key(hsm)?));
        let members = tokens.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        if members.is_empty() {
            return Err(HsmError::System {
                what: "opening a key".into(),
                cause: "no token is named for it".into(),
            });
        }
        Ok(Self { members, turn: AtomicUsize::new(0) })
    }

    /// The one place, where there is but one.
    fn only(mut self) -> Result<Arc<K>, Self> {
        match self.members.pop() {
            Some((_, key)) if self.members.is_empty() => Ok(key),
            last => {
                self.members.extend(last);
                Err(self)
            }
        }
    }

    /// Any of them: they are the same key.
    fn any(&self) -> &K {
        &self.members[0].1
    }

    /// The places in the order in which they are tried: tokens that work first, of these the least busy.
    fn order(&self) -> Vec<&(Arc<Shared>, Arc<K>)> {
        let count = self.members.len();
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let mut order: Vec<_> =
            self.members.iter().cycle().skip(start).take(count).map(|m| (m.0.load(), m)).collect();
        order.sort_by_key(|(load, _)| load.unwrap_or(usize::MAX));
        order.into_iter().map(|(_, member)| member).collect()
    }

    /// Has `work` done by the first that can.
    async fn first<'a, T>(
        &'a self,
        work: impl Fn(&'a K) -> BoxFuture<'a, Result<T, KeyUseError>>,
    ) -> Result<T, KeyUseError> {
        let mut last = None;
        for (shared, key) in self.order() {
            match work(key).await {
                // What the request itself is refused for another token refuses too.
                Err(e @ (KeyUseError::Unavailable(_) | KeyUseError::BadSignature)) => {
                    let token = &shared.token;
                    log::debug!(event = EVENT; "HSM {token}: {e}; another token is asked");
                    last = Some(e);
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| KeyUseError::Unavailable("no token is there".into())))
    }
}

impl Signer for Replicas<dyn Signer> {
    fn public_key(&self) -> &PublicKey {
        self.any().public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.any().algorithm()
    }

    fn sign(&self, message: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        self.sign_with(self.algorithm(), message)
    }

    fn sign_with(
        &self,
        algorithm: SignatureAlgorithm,
        message: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        Box::pin(async move { self.first(|key| key.sign_with(algorithm, message.clone())).await })
    }
}

impl KeyUnwrapper for Replicas<dyn KeyUnwrapper> {
    fn public_key(&self) -> &PublicKey {
        self.any().public_key()
    }

    fn unwrap(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> BoxFuture<'_, Result<Secret, KeyUseError>> {
        Box::pin(async move {
            self.first(|key| key.unwrap(transport, encrypted_key.clone(), key_len)).await
        })
    }
}
