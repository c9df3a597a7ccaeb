//! The steps of a plan. Each struct's fields are the keys of a `[[step]]` with its `do`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{KeyAlgorithm, Purpose, Span};

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name; what it makes is named so, too.
    pub id: String,
    /// The title on the script.
    pub title: String,
    /// How many people confirm it by typed words before it is done.
    pub confirm: u8,
    /// A note for the script.
    pub note: String,
    /// The word after `do =`.
    pub name: &'static str,
    /// What is done.
    pub action: Action,
    /// The line at which it stands.
    pub line: usize,
}

/// The keys that every step can have.
#[derive(Debug, Deserialize)]
pub(super) struct StepHead {
    pub(super) id: String,
    #[serde(rename = "do")]
    pub(super) action: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) confirm: u8,
    #[serde(default)]
    pub(super) note: String,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// `token.init`: initialises an empty token and sets its PINs.
    TokenInit(TokenStep),
    /// `token.close`: logs out.
    TokenClose(TokenStep),
    /// `key.generate`.
    KeyGenerate(Generate),
    /// `cert.self-signed`.
    CertSelfSigned(SelfSigned),
    /// `csr.create`.
    CsrCreate(CsrCreate),
    /// `cert.issue`.
    CertIssue(Issue),
    /// `cert.cross-sign`.
    CertCrossSign(CrossSign),
    /// `cert.renew`: the same key and name, a new validity.
    CertRenew(Renew),
    /// `ca.rekey`: the link certificates of RFC 4210 section 4.4.
    CaRekey(Rekey),
    /// `crl.sign`.
    CrlSign(SignCrl),
    /// `key.backup`.
    KeyBackup(KeyBackup),
    /// `key.restore`, with the proof that the restored key is equal.
    KeyRestore(KeyRestore),
    /// `key.destroy`, with evidence.
    KeyDestroy(Destroy),
    /// `exchange.import-csr`.
    ImportCsr(ImportCsr),
    /// `exchange.export`.
    Export(Export),
    /// `human.check`: a person looks at something and says what it is.
    HumanCheck(HumanCheck),
    /// `human.attest`: every person of a role types agreement.
    HumanAttest(HumanAttest),
    /// `exhibit.record`: serial numbers, bag numbers and the like.
    ExhibitRecord(Exhibit),
}

/// `token.init`, `token.close`.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenStep {
    /// The token.
    pub token: String,
}

/// `key.generate`.
#[derive(Clone, Debug, Deserialize)]
pub struct Generate {
    /// The token.
    pub token: String,
    /// CKA_LABEL.
    pub label: String,
    /// What it is.
    pub algorithm: KeyAlgorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// Attributes whose difference from the template is expected, by name.
    #[serde(default)]
    pub accept_differences: Vec<String>,
    /// The file in which the module's attestation of the key will be: the vendor's tool writes it
    /// during the step.
    pub attestation: Option<PathBuf>,
}

/// `cert.self-signed`.
#[derive(Clone, Debug, Deserialize)]
pub struct SelfSigned {
    /// The key.
    pub key: String,
    /// The profile.
    pub profile: String,
    /// The subject, most significant part first: `C=SE, O=Example, CN=Example Root R1`.
    pub subject: String,
    /// The file under `artefacts/`.
    pub out: String,
    /// When it becomes valid, RFC 3339; the moment of the step by default.
    pub not_before: Option<String>,
    /// Lints that are skipped, by name.
    #[serde(default)]
    pub skip_lints: Vec<String>,
    /// The section of the policy, where it is not the plan's.
    pub policy: Option<String>,
}

/// `csr.create`.
#[derive(Clone, Debug, Deserialize)]
pub struct CsrCreate {
    /// The key.
    pub key: String,
    /// The subject.
    pub subject: String,
    /// The file under `artefacts/`.
    pub out: String,
}

/// `cert.issue`.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    /// The issuer's certificate.
    pub issuer: String,
    /// The request: a step that made or imported one.
    pub csr: Option<String>,
    /// Or the key, on a token of this plan.
    pub key: Option<String>,
    /// The subject; that of the request by default.
    pub subject: Option<String>,
    /// The profile.
    pub profile: String,
    /// The file under `artefacts/`.
    pub out: String,
    /// When it becomes valid, RFC 3339; the moment of the step by default.
    pub not_before: Option<String>,
    /// Lints that are skipped, by name.
    #[serde(default)]
    pub skip_lints: Vec<String>,
    /// The section of the policy, where it is not the plan's.
    pub policy: Option<String>,
}

/// `cert.cross-sign`.
#[derive(Clone, Debug, Deserialize)]
pub struct CrossSign {
    /// The issuer's certificate.
    pub issuer: String,
    /// The certificate whose subject and key are signed again.
    pub certificate: String,
    /// The profile.
    pub profile: String,
    /// The file under `artefacts/`.
    pub out: String,
    /// Lints that are skipped, by name.
    #[serde(default)]
    pub skip_lints: Vec<String>,
    /// The section of the policy, where it is not the plan's.
    pub policy: Option<String>,
}

/// `cert.renew`.
#[derive(Clone, Debug, Deserialize)]
pub struct Renew {
    /// The certificate that is renewed.
    pub certificate: String,
    /// Its issuer's certificate; absent where it is self-signed.
    pub issuer: Option<String>,
    /// The profile.
    pub profile: String,
    /// The file under `artefacts/`.
    pub out: String,
    /// Lints that are skipped, by name.
    #[serde(default)]
    pub skip_lints: Vec<String>,
    /// The section of the policy, where it is not the plan's.
    pub policy: Option<String>,
}

/// `ca.rekey`.
#[derive(Clone, Debug, Deserialize)]
pub struct Rekey {
    /// The old self-signed certificate.
    pub old: String,
    /// The new self-signed certificate, of the same name.
    pub new: String,
    /// The profile of the link certificates.
    pub profile: String,
    /// The file for the new key signed with the old one.
    pub out_new_with_old: String,
    /// The file for the old key signed with the new one.
    pub out_old_with_new: String,
    /// Lints that are skipped, by name.
    #[serde(default)]
    pub skip_lints: Vec<String>,
}

/// `crl.sign`.
#[derive(Clone, Debug, Deserialize)]
pub struct SignCrl {
    /// The issuer's certificate.
    pub issuer: String,
    /// The last CRL of this issuer: a step, a `[crl.NAME]`, or `none` for the first one ever.
    pub previous: String,
    /// How long it is valid.
    pub next_update: Span,
    /// What is revoked now; earlier entries stay.
    #[serde(default)]
    pub revoked: Vec<Revoked>,
    /// The file under `artefacts/`.
    pub out: String,
}

/// One revocation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// The certificate, by its name in the plan.
    pub certificate: Option<String>,
    /// Or its serial number in hexadecimal.
    pub serial: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Reasons for the revocation of a CA or RA certificate (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// keyCompromise (1).
    KeyCompromise,
    /// cACompromise (2).
    CaCompromise,
    /// affiliationChanged (3).
    AffiliationChanged,
    /// superseded (4).
    Superseded,
    /// cessationOfOperation (5).
    CessationOfOperation,
}

impl Reason {
    /// The value of CRLReason.
    pub const fn code(self) -> u8 {
        match self {
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

/// `key.backup`.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyBackup {
    /// The token whose keys are copied.
    pub token: String,
    /// How.
    pub method: BackupMethod,
    /// The file under `artefacts/`, for `token-directory`.
    pub out: Option<String>,
}

/// How a token's keys are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupMethod {
    /// SoftHSM: a copy of the token's directory.
    TokenDirectory,
    /// The vendor's own tool; people say what they did and record the copy's number.
    Vendor,
}

/// `key.restore`.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyRestore {
    /// The step that made the backup.
    pub backup: String,
    /// The keys that are proved equal.
    pub keys: Vec<String>,
    /// The token with the restored keys, where the vendor's tool restored them.
    pub token: Option<String>,
}

/// `key.destroy`.
#[derive(Clone, Debug, Deserialize)]
pub struct Destroy {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// Every known copy; people say of each that it is destroyed.
    #[serde(default)]
    pub copies: Vec<String>,
}

/// `exchange.import-csr`.
#[derive(Clone, Debug, Deserialize)]
pub struct ImportCsr {
    /// The exchange request, or a bare PKCS#10 file, relative to the plan.
    #[serde(rename = "in")]
    pub file: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that signed the request, from paper.
    pub signer_sha256: Option<String>,
    /// The subject that a rehearsal gives its stand-in.
    pub subject: String,
    /// What the requested key is.
    pub algorithm: KeyAlgorithm,
}

/// `exchange.export`.
#[derive(Clone, Debug, Deserialize)]
pub struct Export {
    /// What is sent: steps that made files.
    pub items: Vec<String>,
    /// The key that signs the message; its purpose is `log-sign`.
    pub key: String,
    /// The import that this answers; without it the message is a request.
    pub reply_to: Option<String>,
    /// How long it may be imported.
    pub expires: Span,
    /// The file under `artefacts/`.
    pub out: String,
}

/// `human.check`.
#[derive(Clone, Debug, Deserialize)]
pub struct HumanCheck {
    /// Who looks.
    pub role: String,
    /// At what.
    pub text: String,
    /// What must be typed; anything is taken where it is absent.
    pub expect: Option<String>,
}

/// `human.attest`.
#[derive(Clone, Debug, Deserialize)]
pub struct HumanAttest {
    /// Who attests.
    pub role: String,
    /// What.
    pub text: String,
}

/// `exhibit.record`.
#[derive(Clone, Debug, Deserialize)]
pub struct Exhibit {
    /// Who reads it out.
    pub role: String,
    /// What it is.
    pub name: String,
    /// What is recorded of it.
    pub fields: Vec<String>,
}
