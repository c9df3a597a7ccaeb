//! Keys of logs, for the tests of this part.

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::sign::Signer;

use crate::pki::{Digest, SignatureAlgorithm};

/// A key pair in software.
pub(super) struct LogKey(PKey<Private>);

impl LogKey {
    /// The public half.
    pub(super) fn public(&self) -> PKey<Public> {
        PKey::public_key_from_der(&self.0.public_key_to_der().unwrap()).unwrap()
    }
}

/// One key of each kind that may sign checkpoints, with its algorithm.
pub(super) fn log_keys() -> [(LogKey, SignatureAlgorithm); 2] {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let ec = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    [
        (LogKey(PKey::generate_ed25519().unwrap()), SignatureAlgorithm::Ed25519),
        (LogKey(ec), SignatureAlgorithm::Ecdsa(Digest::Sha256)),
    ]
}

/// Signs `message`.
pub(super) fn sign(key: &LogKey, message: &[u8]) -> Vec<u8> {
    let mut signer = match key.0.id() {
        openssl::pkey::Id::ED25519 => Signer::new_without_digest(&key.0).unwrap(),
        _ => Signer::new(Digest::Sha256.openssl(), &key.0).unwrap(),
    };
    signer.sign_oneshot_to_vec(message).unwrap()
}
