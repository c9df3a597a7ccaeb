//! The sections of a plan. Each struct's fields are the keys of its table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{KeyAlgorithm, Purpose, Span, Step};

/// A whole plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The text, byte for byte; its digest is what people compare.
    pub source: String,
    /// The ceremony's name.
    pub title: String,
    /// The certification practice statement: a URL with version and section.
    pub policy: String,
    /// What it is about, for the script.
    pub description: String,
    /// What the room and the machine must be like.
    pub environment: Environment,
    /// Who takes part.
    pub roles: BTreeMap<String, Role>,
    /// The tokens.
    pub tokens: BTreeMap<String, TokenPlan>,
    /// The secrets.
    pub secrets: BTreeMap<String, SecretPlan>,
    /// The certificate profiles.
    pub profiles: BTreeMap<String, CertificateProfile>,
    /// Keys that are there before.
    pub keys: BTreeMap<String, ExistingKey>,
    /// Certificates that are there before.
    pub certificates: BTreeMap<String, ExistingCertificate>,
    /// CRLs that are there before.
    pub crls: BTreeMap<String, ExistingCrl>,
    /// How the transcript is sealed.
    pub seal: Option<Seal>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The line at which each section begins, for messages.
    pub lines: BTreeMap<String, usize>,
}

/// The keys at the top of the file that are no tables.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) schema: u32,
    pub(super) title: String,
    pub(super) policy: String,
    #[serde(default)]
    pub(super) description: String,
}

/// `[environment]`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Environment {
    /// How far the clock may be off the wall clock, in seconds.
    #[serde(default = "sixty")]
    pub clock_skew_s: u32,
    /// The SHA-256 that the executable must have.
    pub tool_sha256: Option<String>,
    /// What must lie on the table, for the script.
    #[serde(default)]
    pub materials: Vec<String>,
}

fn sixty() -> u32 {
    60
}

/// `[roles.NAME]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Role {
    /// How many people at the least.
    #[serde(default = "one")]
    pub min: u8,
    /// What they do, for the script.
    #[serde(default)]
    pub duty: String,
}

fn one() -> u8 {
    1
}

/// `[token.NAME]`.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenPlan {
    /// The vendor's profile.
    pub profile: String,
    /// The module, where it is not at the profile's place.
    pub module: Option<PathBuf>,
    /// The SHA-256 that the module must have.
    pub module_sha256: Option<String>,
    /// The token's label; the one that it gets, where a step initialises it.
    pub label: String,
    /// The serial number that it must have.
    pub serial: Option<String>,
    /// The model that it must have.
    pub model: Option<String>,
    /// The firmware's versions that are accepted: `>=2.0, <3.0`.
    pub firmware: Option<String>,
    /// The labels of all private keys on it, before; anything else stops the run.
    #[serde(default)]
    pub expect_objects: Vec<String>,
    /// The secret that is the user's PIN.
    pub pin: String,
    /// The secret that is the security officer's PIN; needed where a step initialises it.
    pub so_pin: Option<String>,
    /// Variables that the module reads.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// `[secret.NAME]`.
#[derive(Clone, Debug, Deserialize)]
pub struct SecretPlan {
    /// Where it comes from.
    pub source: SecretSource,
    /// The strength of a generated one, in bits.
    #[serde(default = "ninety_six")]
    pub bits: u32,
    /// Who holds it, where it is not shared.
    pub holder: Option<String>,
    /// How it is shared.
    pub share: Option<SharePlan>,
}

fn ninety_six() -> u32 {
    96
}

/// Where a secret comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// The tool makes it in this ceremony.
    Generate,
    /// A person types it: twice where it is new in this ceremony.
    Typed,
    /// People type their shares of an earlier ceremony.
    Shares,
}

/// `share = { threshold = 2, of = 3, role = "custodian" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharePlan {
    /// How many shares give the secret.
    pub threshold: u8,
    /// How many are made.
    pub of: u8,
    /// Who holds them.
    pub role: String,
}

/// `[profile.NAME]`.
#[derive(Clone, Debug, Deserialize)]
pub struct CertificateProfile {
    /// What the certificate is for; fixes key usage and basic constraints.
    pub kind: CertificateKind,
    /// How long it is valid.
    pub validity: Span,
    /// How many CAs may follow below, for CAs.
    pub path_length: Option<u8>,
    /// Policy OIDs.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The CPS's URL, as qualifier of the first policy.
    pub cps: Option<String>,
    /// Where the issuer's CRL is.
    #[serde(default)]
    pub crl_urls: Vec<String>,
    /// Where the issuer's certificate is.
    #[serde(default)]
    pub aia_urls: Vec<String>,
    /// Further extended key usages, as OIDs.
    #[serde(default)]
    pub extended_key_usage: Vec<String>,
    /// DNS names, for TLS.
    #[serde(default)]
    pub dns_names: Vec<String>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// A self-signed CA.
    RootCa,
    /// A CA below another.
    IssuingCa,
    /// The RA's decryption certificate.
    RaDecryption,
    /// The RA's signing certificate.
    RaSigning,
    /// An OCSP responder.
    Ocsp,
    /// A key that signs logs.
    Log,
    /// A TLS server.
    Tls,
}

impl CertificateKind {
    /// As in the plan.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RootCa => "root-ca",
            Self::IssuingCa => "issuing-ca",
            Self::RaDecryption => "ra-decryption",
            Self::RaSigning => "ra-signing",
            Self::Ocsp => "ocsp",
            Self::Log => "log",
            Self::Tls => "tls",
        }
    }

    /// Whether it is a CA.
    pub const fn is_ca(self) -> bool {
        matches!(self, Self::RootCa | Self::IssuingCa)
    }

    /// The purpose that its key must have.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::RootCa | Self::IssuingCa => Purpose::CaSign,
            Self::RaDecryption => Purpose::RaDecrypt,
            Self::RaSigning => Purpose::RaSign,
            Self::Ocsp => Purpose::OcspSign,
            Self::Log => Purpose::LogSign,
            Self::Tls => Purpose::TlsSign,
        }
    }
}

/// `[key.NAME]`: a key that is on a token before.
#[derive(Clone, Debug, Deserialize)]
pub struct ExistingKey {
    /// The token's name.
    pub token: String,
    /// CKA_LABEL.
    pub label: String,
    /// What it is.
    pub algorithm: KeyAlgorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Option<String>,
}

/// `[certificate.NAME]`: a certificate that is there before.
#[derive(Clone, Debug, Deserialize)]
pub struct ExistingCertificate {
    /// The file, relative to the plan.
    pub file: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Option<String>,
    /// The key that it is for, where that is on a token of the plan.
    pub key: Option<String>,
    /// The certificate that issued it; itself by default.
    pub issuer: Option<String>,
    /// The profile that a rehearsal makes its stand-in by.
    pub profile: String,
    /// The subject that a rehearsal gives its stand-in.
    pub subject: String,
}

/// `[crl.NAME]`: a CRL that is there before.
#[derive(Clone, Debug, Deserialize)]
pub struct ExistingCrl {
    /// The file, relative to the plan.
    pub file: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Option<String>,
    /// The certificate of its issuer.
    pub issuer: String,
}

/// `[seal]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Seal {
    /// The key that signs the chain's head; its purpose is `log-sign`.
    pub key: String,
}
