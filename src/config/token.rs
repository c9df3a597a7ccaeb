//! PKCS#11 tokens and the keys in them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Reader, join};
use super::schema::{Setting, section};
use super::values::Name;

section! {
    /// A PKCS#11 token. It is found by its serial number or label, never by a slot number; its PIN
    /// comes from a file, a systemd credential or a prompt, never from this file.
    pub struct Token {
        /// The vendor profile: the name of a built-in one (`softhsm2`) or the path of a TOML file. It
        /// knows where the module lies and what is odd about it.
        profile: VendorProfile,
        /// The path of the PKCS#11 module, where it is not where the profile looks for it.
        module: Option<PathBuf>,
        /// The token's label. Give this or `serial`.
        label: Option<String>,
        /// The token's serial number. Give this or `label`; it tells two tokens of one label apart.
        serial: Option<String>,
        /// The file that holds the user PIN (its first line), readable by the signer's user alone.
        /// Give this, `pin_credential` or `pin_prompt`.
        pin_file: Option<PathBuf>,
        /// The name of the systemd credential that holds the user PIN (`LoadCredentialEncrypted=`).
        pin_credential: Option<String>,
        /// Asks for the user PIN on the terminal at start.
        pin_prompt: bool = false,
        /// Environment variables that the vendor's module reads when it starts, such as
        /// `SOFTHSM2_CONF`. Values are taken as they stand: write paths in full.
        environment: Environment = {},
        /// How many sessions work in parallel; without it as many as the vendor profile says.
        workers: Option<u32> [1, 256],
    }
}

section! {
    /// A key in a token. Give `label`, `id` or both; they must name exactly one key pair.
    pub struct KeyPlace {
        /// The token that holds the key: the NAME of a `[token.NAME]`.
        token: Name,
        /// The key's CKA_LABEL.
        label: Option<String>,
        /// The key's CKA_ID in hexadecimal.
        id: Option<KeyId>,
        /// More tokens that hold the same key under the same label and id, as the vendor's cloning or
        /// a cluster makes it. Work spreads over all of them, and goes on when one is away; one that
        /// is away at the start keeps the signer from starting. A replica whose public key is another
        /// is refused.
        replicas: Vec<Name> = [],
    }
}

/// A vendor profile: the name of a built-in one, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum VendorProfile {
    /// A built-in one.
    Name(String),
    /// A file.
    Path(PathBuf),
}

/// The profiles that come with the program: the files of `pkcs11-profiles/`.
pub(super) const BUILT_IN_PROFILES: &[&str] = &[
    "aws-cloudhsm",
    "azure-cloudhsm",
    "ep11",
    "google-kms",
    "kryoptic",
    "luna",
    "nethsm",
    "nshield",
    "nss",
    "opencryptoki",
    "p11-kit",
    "securosys",
    "smartcard-hsm",
    "softhsm2",
    "tpm2",
    "utimaco",
    "yubihsm2",
];

impl Setting for VendorProfile {
    const KIND: &'static str = "the name of a built-in profile, or the path of one's file";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let is_path = text.contains('/') || text.ends_with(".toml");
        if is_path {
            return Some(Self::Path(reader.folder().join(text)));
        }
        let known = BUILT_IN_PROFILES.contains(&text);
        if !known {
            reader.unknown_word(key, text, BUILT_IN_PROFILES);
        }
        known.then(|| Self::Name(text.to_owned()))
    }
}

/// A key's CKA_ID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub Vec<u8>);

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyId({})", hex::encode(&self.0))
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl Setting for KeyId {
    const KIND: &'static str = "the CKA_ID in hexadecimal, such as \"01\" or \"a1b2c3\"";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let found = hex::decode(text).ok().filter(|id| id.len() <= 64);
        if found.is_none() {
            reader.fail(
                key,
                "this is not a hexadecimal identifier",
                "write the CKA_ID as 1 to 64 pairs of hexadecimal digits, such as \"a1b2c3\"",
            );
        }
        found.map(Self)
    }
}

/// Environment variables for a vendor's module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Environment(pub BTreeMap<String, String>);

impl Setting for Environment {
    const KIND: &'static str = "a table of variables, such as { SOFTHSM2_CONF = \"/path\" }";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.any_table(value, key)?;
        let mut found = BTreeMap::new();
        for (name, value) in table {
            let name = name.get_ref().as_ref();
            let path = join(key, &name.escape_debug().to_string());
            reader.remember(&path, value);
            let text = reader.text(value, &path, "a text");
            if let Some((problem, remedy)) = refusal(name) {
                reader.fail_at(value.span(), &path, problem, remedy);
                continue;
            }
            if let Some(text) = text {
                found.insert(name.to_owned(), text.to_owned());
            }
        }
        Some(Self(found))
    }
}

/// Why a variable must not be set: it is none, it decides which code is loaded, or it holds a secret.
fn refusal(name: &str) -> Option<(&'static str, &'static str)> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) || name.as_bytes()[0].is_ascii_digit() {
        return Some((
            "this is not the name of an environment variable",
            "use letters, digits and _, not a digit first",
        ));
    }
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("LD_") || ["PATH", "OPENSSL_CONF", "OPENSSL_MODULES"].contains(&&*upper) {
        return Some((
            "this variable decides which code runs in the signer",
            "remove it; give the module's path as `module`",
        ));
    }
    if ["PIN", "PASSWORD", "PASSWD", "SECRET", "PASSPHRASE"]
        .iter()
        .any(|word| upper.split('_').any(|part| part == *word))
    {
        return Some((
            "a secret must not stand in the environment: other processes can read it",
            "remove it; give the PIN as `pin_file`, `pin_credential` or `pin_prompt = true`",
        ));
    }
    None
}
