//! Where the key of the seal comes from: over the requests in the ledger, and over the one-time
//! challenges of endpoints that keep them sealed.

use super::cross::refer;
use super::endpoint::ChallengeStorage;
use super::model::Config;
use super::reader::Reader;
use super::schema::section;
use super::values::Name;

section! {
    /// A secret key (CKO_SECRET_KEY) in a token. It never leaves it: at each start the token derives the
    /// key of the seal from it (HMAC-SHA-256).
    pub struct SealKey {
        /// The token that holds it: the NAME of a `[token.NAME]`.
        token: Name,
        /// The key's CKA_LABEL. It is made where it is not there.
        label: String,
    }
}

/// Adds what is wrong with the two settings.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let signer = &config.signer;
    if let Some(key) = &signer.seal_key {
        refer("signer.seal_key.token", &key.token, "token", &config.token, reader);
    }
    if signer.seal_key.is_some() && signer.seal_credential.is_some() {
        reader.fail(
            "signer.seal_credential",
            "the key of the seal comes from more than one place",
            "keep one of `seal_key` and `seal_credential`",
        );
    }
    check_credential("signer.seal_credential", signer.seal_credential.as_deref(), reader);
    if signer.seal_key.is_some() || signer.seal_credential.is_some() {
        return;
    }
    for (name, endpoint) in &config.endpoint {
        let sealed = endpoint.challenge_storage == ChallengeStorage::Sealed;
        if sealed && endpoint.one_time_challenges {
            reader.fail(
                &format!("endpoint.{name}.challenge_storage"),
                "the key under which its challenges would be kept is a file beside the ledger: whoever \
                 copies both has them",
                "name a key in the HSM in [signer], `seal_key = { token = \"NAME\", label = \
                 \"chancery-seal\" }`, or a credential, `seal_credential = \"NAME\"` (docs/ec.md)",
            );
        }
    }
}

/// A credential's name is the name of a file.
pub(super) fn check_credential(key: &str, name: Option<&str>, reader: &mut Reader<'_>) {
    if name.is_some_and(|c| c.is_empty() || c.contains('/') || c == "." || c == "..") {
        reader.fail(
            key,
            "the name of a credential has no slash",
            "give the NAME of LoadCredentialEncrypted=NAME:…",
        );
    }
}
