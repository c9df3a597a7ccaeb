//! Vendor profiles: what is particular about one HSM's module, as data. The files are in
//! `pkcs11-profiles/`; its README explains each field. Nothing about a vendor is in code.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::error::HsmError;
use crate::pki::Digest;

/// The profiles that are part of the program.
const BUILT_IN: [(&str, &str); 17] = [
    ("aws-cloudhsm", include_str!("../../pkcs11-profiles/aws-cloudhsm.toml")),
    ("azure-cloudhsm", include_str!("../../pkcs11-profiles/azure-cloudhsm.toml")),
    ("ep11", include_str!("../../pkcs11-profiles/ep11.toml")),
    ("google-kms", include_str!("../../pkcs11-profiles/google-kms.toml")),
    ("kryoptic", include_str!("../../pkcs11-profiles/kryoptic.toml")),
    ("luna", include_str!("../../pkcs11-profiles/luna.toml")),
    ("nethsm", include_str!("../../pkcs11-profiles/nethsm.toml")),
    ("nshield", include_str!("../../pkcs11-profiles/nshield.toml")),
    ("nss", include_str!("../../pkcs11-profiles/nss.toml")),
    ("opencryptoki", include_str!("../../pkcs11-profiles/opencryptoki.toml")),
    ("p11-kit", include_str!("../../pkcs11-profiles/p11-kit.toml")),
    ("securosys", include_str!("../../pkcs11-profiles/securosys.toml")),
    ("smartcard-hsm", include_str!("../../pkcs11-profiles/smartcard-hsm.toml")),
    ("softhsm2", include_str!("../../pkcs11-profiles/softhsm2.toml")),
    ("tpm2", include_str!("../../pkcs11-profiles/tpm2.toml")),
    ("utimaco", include_str!("../../pkcs11-profiles/utimaco.toml")),
    ("yubihsm2", include_str!("../../pkcs11-profiles/yubihsm2.toml")),
];

/// The built-in profile of laboratories and rehearsals: a token in software, whose keys are worth nothing.
pub const LABORATORY: &str = "softhsm2";

/// One HSM's particulars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The product's name, for messages.
    pub name: String,
    /// With what it was tried, or that nobody has; shown in the status.
    pub tried: String,
    /// Where the module is found; the first that exists is used.
    pub modules: Vec<PathBuf>,
    /// The environment variable that names the module's configuration file. It must be set before
    /// the process starts.
    pub conf_env: Option<String>,
    /// How the vendor's tool attests a key, for the people of a ceremony.
    pub attestation: Option<String>,
    /// Whether a token is a folder of files, of which a copy is a backup.
    #[serde(default)]
    pub token_directory: bool,
    /// Sessions and threads.
    pub sessions: Sessions,
    /// How each operation is asked for.
    pub mechanisms: Mechanisms,
    /// What keys on this token look like.
    pub keys: Keys,
    /// What the attribute audit has to know.
    pub audit: Audit,
    /// What the module does against expectation.
    #[serde(default, rename = "quirk")]
    pub quirks: Vec<Quirk>,
}

/// Sessions and threads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// How many operations the HSM does at a time; as many worker threads are started.
    pub lanes: Lanes,
    /// Whether read-only sessions are refused.
    pub read_write: bool,
    /// How long one operation may take, queue and retry included, before its caller gives up.
    pub call_timeout_seconds: u64,
}

/// How many operations go on at a time.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Lanes {
    /// A number fixed by the device.
    Fixed(NonZeroUsize),
    /// A software token: so many for each processor of this host.
    PerCpu {
        /// Lanes a processor.
        per_cpu: NonZeroUsize,
    },
}

/// How each operation is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanisms {
    /// RSASSA-PKCS1-v1_5.
    pub sign_rsa: RsaSigning,
    /// RSASSA-PSS.
    pub sign_pss: Hashing,
    /// ECDSA.
    pub sign_ecdsa: Hashing,
    /// Whether CKM_EDDSA is there.
    pub sign_eddsa: bool,
    /// Whether CKM_ML_DSA is there (PKCS#11 3.2).
    #[serde(default)]
    pub sign_ml_dsa: bool,
    /// RSA key transport.
    pub rsa_decrypt: RsaDecryption,
    /// With `pkcs1`: no answer comes sooner than so many milliseconds after the question, so that
    /// the module's own time for good and bad padding does not show. Above its 99.9th percentile.
    pub rsa_decrypt_floor_ms: Option<u64>,
    /// The digests for which the module does CKM_RSA_PKCS_OAEP, used where `rsa_decrypt` is
    /// `pkcs1`; with `raw` the host undoes OAEP for every digest.
    pub oaep_hashes: Vec<HashName>,
}

/// Who makes the DigestInfo of RSASSA-PKCS1-v1_5.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RsaSigning {
    /// The host hashes and makes the DigestInfo; CKM_RSA_PKCS pads and signs.
    RawDigestinfo,
    /// The module does it all (CKM_SHA256_RSA_PKCS and so on).
    ShaInModule,
}

/// Who hashes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Hashing {
    /// The host.
    Raw,
    /// The module.
    ShaInModule,
    /// The module cannot do this at all.
    None,
}

/// How RSA key transport is undone.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RsaDecryption {
    /// CKM_RSA_X_509; the host undoes the padding in constant time. No padding oracle.
    Raw,
    /// CKM_RSA_PKCS and CKM_RSA_PKCS_OAEP, for modules that forbid raw RSA.
    Pkcs1,
}

/// A digest's name in a profile.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum HashName {
    /// SHA-1.
    #[serde(rename = "SHA-1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// SHA-384.
    #[serde(rename = "SHA-384")]
    Sha384,
    /// SHA-512.
    #[serde(rename = "SHA-512")]
    Sha512,
}

/// What keys on this token look like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The longest CKA_ID in bytes.
    pub id_max: usize,
    /// The longest CKA_LABEL in bytes.
    pub label_max: usize,
    /// How CKA_EC_PARAMS names Ed25519.
    pub ed25519_parameters: Ed25519Parameters,
    /// Whether the module knows CKA_COPYABLE (PKCS#11 2.40), so that keys are made with it false.
    #[serde(default = "yes")]
    pub copyable: bool,
}

const fn yes() -> bool {
    true
}

/// How CKA_EC_PARAMS names Ed25519.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Ed25519Parameters {
    /// PrintableString "edwards25519" (PKCS#11 3.0 section 2.3.10).
    Name,
    /// The object identifier 1.3.101.112.
    Oid,
}

/// What the attribute audit has to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Attributes that the module reports wrongly or not at all; they are not audited.
    pub not_reported: Vec<AuditedAttribute>,
}

/// The attributes of a private key that are audited.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they are PKCS#11's own names")]
pub enum AuditedAttribute {
    CkaToken,
    CkaPrivate,
    CkaSensitive,
    CkaExtractable,
    CkaAlwaysSensitive,
    CkaNeverExtractable,
    CkaLocal,
    CkaModifiable,
    CkaSign,
    CkaSignRecover,
    CkaDecrypt,
    CkaUnwrap,
    CkaDerive,
    CkaAlwaysAuthenticate,
}

/// Something that the module does against expectation, and what we do about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quirk {
    /// Which.
    pub name: QuirkName,
    /// Why, with the source.
    pub reason: String,
}

/// The quirks that the code knows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum QuirkName {
    /// C_Finalize is not called when the last user is gone.
    NeverFinalize,
}

impl Profile {
    /// The profile `name_or_path`: a built-in one by its name (`softhsm2`), or a file where it has
    /// a slash or ends in `.toml`.
    pub fn load(name_or_path: &str) -> Result<Self, HsmError> {
        let problem = |problem: String| HsmError::Profile { name: name_or_path.into(), problem };
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(text).map_err(problem);
        }
        if !name_or_path.contains('/') && !name_or_path.ends_with(".toml") {
            let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(problem(format!(
                "there is no such profile; built in: {}; or give the path of a .toml file",
                names.join(", ")
            )));
        }
        let text = std::fs::read_to_string(name_or_path)
            .map_err(|e| problem(format!("the file cannot be read: {e}")))?;
        Self::parse(&text).map_err(problem)
    }

    /// Reads the text of a profile; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let profile: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if profile.sessions.call_timeout_seconds == 0 {
            return Err("sessions.call_timeout_seconds must be 1 or more".into());
        }
        let mechanisms = &profile.mechanisms;
        if (mechanisms.rsa_decrypt == RsaDecryption::Pkcs1)
            != mechanisms.rsa_decrypt_floor_ms.is_some()
        {
            return Err(
                "mechanisms.rsa_decrypt_floor_ms belongs to rsa_decrypt = \"pkcs1\", and must be there"
                    .into(),
            );
        }
        Ok(profile)
    }

    /// The module: `configured`, or the first of the profile's paths that exists.
    pub fn module_path(&self, configured: Option<&Path>) -> Result<PathBuf, HsmError> {
        let tried = match configured {
            Some(path) => vec![path.to_path_buf()],
            None => self.modules.clone(),
        };
        let found = tried.iter().find(|p| p.is_file()).cloned();
        found.ok_or(HsmError::ModuleMissing { tried })
    }

    /// How many worker threads: `configured`, or the profile's lanes.
    pub fn workers(&self, configured: Option<usize>) -> usize {
        let lanes = match self.sessions.lanes {
            Lanes::Fixed(n) => n.get(),
            Lanes::PerCpu { per_cpu } => {
                per_cpu.get() * std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
            }
        };
        configured.filter(|n| *n > 0).unwrap_or(lanes)
    }

    /// How long one operation may take.
    pub fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.sessions.call_timeout_seconds)
    }

    /// Whether the module has this quirk.
    pub fn has(&self, quirk: QuirkName) -> bool {
        self.quirks.iter().any(|q| q.name == quirk)
    }
}

impl HashName {
    /// The digest.
    pub const fn digest(self) -> Digest {
        match self {
            Self::Sha1 => Digest::Sha1,
            Self::Sha256 => Digest::Sha256,
            Self::Sha384 => Digest::Sha384,
            Self::Sha512 => Digest::Sha512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softhsm2() -> &'static str {
        include_str!("../../pkcs11-profiles/softhsm2.toml")
    }

    #[test]
    fn every_built_in_profile_is_valid() {
        for (name, _) in BUILT_IN {
            let profile = Profile::load(name).unwrap();
            assert!(profile.workers(None) > 0);
            assert_eq!(profile.workers(Some(3)), 3);
            assert!(!profile.modules.is_empty() && !profile.tried.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = format!("colour = 1\n{}", softhsm2());
        assert!(Profile::parse(&text).unwrap_err().contains("colour"));
        let text = softhsm2().replace("read_write", "read_wriet");
        assert!(Profile::parse(&text).unwrap_err().contains("read_wriet"));
    }

    #[test]
    fn padding_undone_by_the_module_needs_a_floor() {
        let text = softhsm2().replace("rsa_decrypt = \"raw\"", "rsa_decrypt = \"pkcs1\"");
        assert!(Profile::parse(&text).unwrap_err().contains("rsa_decrypt_floor_ms"));
        let with = text.replace("oaep_hashes", "rsa_decrypt_floor_ms = 50\noaep_hashes");
        assert!(Profile::parse(&with).is_ok());
    }

    #[test]
    fn an_unknown_name_lists_those_that_are_there() {
        let error = Profile::load("lunar").unwrap_err().to_string();
        assert!(error.contains("softhsm2"), "{error}");
    }

    #[test]
    fn a_missing_module_names_the_paths() {
        let profile = Profile::load("softhsm2").unwrap();
        let error = profile.module_path(Some(Path::new("/nowhere/x.so"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.so"), "{error}");
    }
}
