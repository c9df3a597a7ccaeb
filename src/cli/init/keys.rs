//! The token and its key pairs: the root's, and three a CA.

use std::sync::Arc;

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::secrets;
use crate::hsm::{
    GeneratedKey, Hsm, HsmOptions, HsmSigner, KeyPurpose, KeyReference, LABORATORY, Profile,
    TokenSelector, init_token,
};
use crate::pki::KeyKind;
use crate::random::{Random, bytes};
use crate::secret::Secret;

use super::layout::Layout;

/// The token's label.
pub const TOKEN_LABEL: &str = "chancery-lab";
/// The label of the secret key from which the seal's comes.
pub const SEAL_LABEL: &str = "seal";
/// The label of the root's key, which no role uses.
const ROOT_LABEL: &str = "root-ca";
/// The label of the key of the ledger's checkpoints.
const LOG_LABEL: &str = "ledger-log";
/// What clients encrypt to and verify replies with: RSA, which alone every client has.
const RA_KIND: KeyKind = KeyKind::Rsa(2048);

/// The key pairs in the token: one key, one purpose (I4).
#[derive(Debug)]
pub struct Keys {
    /// The root's.
    pub root: GeneratedKey,
    /// The ledger's, for its checkpoints.
    pub log: GeneratedKey,
    /// Those of the issuing CA, and of the one that follows it where there is one.
    pub authorities: Vec<CaKeys>,
}

/// The key pairs of an issuing CA and its RA.
#[derive(Debug)]
pub struct CaKeys {
    /// What is appended to the names of this CA's things: nothing for the first one.
    pub suffix: &'static str,
    /// The issuing CA's.
    pub issuing: GeneratedKey,
    /// The RA's for decryption.
    pub ra_decryption: GeneratedKey,
    /// The RA's for signatures.
    pub ra_signing: GeneratedKey,
}

/// Makes the token with new PINs, and opens it.
pub fn make_token(layout: &Layout, random: &dyn Random) -> Result<Arc<Hsm>, Failure> {
    let profile = Profile::load(LABORATORY).map_err(|e| failed(&e))?;
    let pin = new_pin(random)?;
    let so_pin = new_pin(random)?;
    secrets::create(&layout.pin(), pin.expose())?;
    secrets::create(&layout.so_pin(), so_pin.expose())?;
    init_token(&profile, None, TOKEN_LABEL, &so_pin, &pin).map_err(|e| failed(&e))?;
    let token = TokenSelector::Label(TOKEN_LABEL.to_owned());
    Hsm::open(HsmOptions { profile, module: None, token, pin, workers: Some(1), lab: true })
        .map_err(|e| failed(&e))
}

/// Makes the key pairs; the CAs' are of the kind `ca`. `next` makes those of a following CA, too.
pub fn make_keys(hsm: &Hsm, ca: KeyKind, next: bool, random: &dyn Random) -> Result<Keys, Failure> {
    let make = |kind, label: &str, purpose| {
        hsm.generate_key(kind, label, None, purpose, random).map_err(|e| failed(&e))
    };
    let root = make(ca, ROOT_LABEL, KeyPurpose::CaSign)?;
    let log = make(KeyKind::Ed25519, LOG_LABEL, KeyPurpose::LogSign)?;
    let suffixes: &[&'static str] = if next { &["", "-2"] } else { &[""] };
    let authorities = suffixes.iter().map(|suffix| {
        Ok(CaKeys {
            suffix,
            issuing: make(ca, &format!("issuing-ca{suffix}"), KeyPurpose::CaSign)?,
            ra_decryption: make(RA_KIND, &format!("ra-decryption{suffix}"), KeyPurpose::RaDecrypt)?,
            ra_signing: make(RA_KIND, &format!("ra-signing{suffix}"), KeyPurpose::RaSign)?,
        })
    });
    Ok(Keys { root, log, authorities: authorities.collect::<Result<_, Failure>>()? })
}

/// The CA key `key`, to sign the first certificates.
pub fn signer(hsm: &Hsm, key: &GeneratedKey) -> Result<HsmSigner, Failure> {
    let reference = KeyReference {
        label: key.label.clone(),
        id: Some(key.id.clone()),
        purpose: KeyPurpose::CaSign,
        public_key: key.public_key.clone(),
        algorithm: None,
    };
    hsm.hsm_signer(&reference).map_err(|e| failed(&e))
}

/// A PIN of 32 hexadecimal digits.
fn new_pin(random: &dyn Random) -> Result<Secret, Failure> {
    let drawn = zeroize::Zeroizing::new(bytes::<16>(random).map_err(|e| failed(&e))?);
    Ok(Secret::new(hex::encode(drawn.as_slice()).into_bytes()))
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::HsmUnavailable,
        "nothing was made",
        cause,
        "see that SoftHSM is installed (Debian: apt install softhsm2), then try again",
    )
}
