//! How the calls of a ceremony are written down: in the same words for a call that is made and for one that a
//! dry run foresees.

use cryptoki::object::Attribute;

use super::audit;
use super::keys::KeyPurpose;
use super::mechanism::{decryption, signature};
use super::profile::Profile;
use super::provision::{Recipe, recipe, templates};
use crate::cms::KeyTransport;
use crate::pki::{KeyKind, SignatureAlgorithm};

/// C_GenerateKeyPair with its template; none where the profile has no way to make such a key.
pub fn generation(
    profile: &Profile,
    kind: KeyKind,
    label: &str,
    id: &[u8],
    purpose: KeyPurpose,
) -> Option<String> {
    let recipe = recipe(kind, profile.keys.ed25519_parameters)
        .filter(|_| purpose.signs() || kind.is_rsa())?;
    Some(generated(profile, &recipe, label, id, purpose))
}

/// What [`generation`] says, for a recipe that is known.
pub(super) fn generated(
    profile: &Profile,
    recipe: &Recipe,
    label: &str,
    id: &[u8],
    purpose: KeyPurpose,
) -> String {
    let (_, private) = templates(recipe, label, id, purpose, profile.keys.copyable);
    let flags: Vec<(&str, bool)> = private.iter().filter_map(flag).collect();
    let with = |value: bool| {
        let names = flags.iter().filter(|(_, v)| *v == value).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}, label \"{}\", ID {}, {purpose}; private key {}; not {}",
        recipe.mechanism.mechanism_type(),
        label.escape_debug(),
        hex::encode(id),
        with(true),
        with(false)
    )
}

fn flag(attribute: &Attribute) -> Option<(&'static str, bool)> {
    match attribute {
        Attribute::Copyable(value) => Some(("CKA_COPYABLE", *value)),
        other => audit::pair(other).map(|(name, value)| (audit::name(name), value)),
    }
}

/// C_Sign; none where the profile has no mechanism for it.
pub fn signing(
    profile: &Profile,
    algorithm: SignatureAlgorithm,
    kind: KeyKind,
    id: &[u8],
) -> Option<String> {
    let (mechanism, _) = signature(&profile.mechanisms, algorithm, kind, b"").ok()?;
    Some(format!("{}, key {}", mechanism.pkcs11()?.mechanism_type(), hex::encode(id)))
}

/// C_Decrypt by PKCS#1 v1.5; none where the profile has no mechanism for it.
pub fn decrypting(profile: &Profile, id: &[u8]) -> Option<String> {
    let mechanism = decryption(&profile.mechanisms, KeyTransport::RsaPkcs1v15)?;
    Some(format!("{}, key {}", mechanism.pkcs11()?.mechanism_type(), hex::encode(id)))
}
