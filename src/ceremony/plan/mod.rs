//! The plan: one TOML file a ceremony, strict and versioned. Owns: its schema, reading it with every error at
//! once, its digest, cross-references and the model of what exists after each step. Never: doing a step.

mod algorithm;
mod check;
mod digest;
mod document;
mod problem;
mod reader;
mod span;
mod steps;
mod world;

#[cfg(test)]
mod tests;

pub use algorithm::{KeyAlgorithm, Purpose};
pub use digest::{PlanDigest, step_digest};
pub use document::{
    CertificateKind, CertificateProfile, Environment, ExistingCertificate, ExistingCrl,
    ExistingKey, Plan, Role, Seal, SecretPlan, SecretSource, SharePlan, TokenPlan,
};
pub use problem::PlanProblem;
pub use reader::read;
pub use span::Span;
pub use steps::{
    Action, BackupMethod, CrossSign, CsrCreate, Destroy, Exhibit, Export, Generate, HumanAttest,
    HumanCheck, ImportCsr, Issue, KeyBackup, KeyRestore, Reason, Rekey, Renew, Revoked, SelfSigned,
    SignCrl, Step, TokenStep,
};

/// Reads and checks a plan: all errors of its text, or else all of its sense.
pub fn load(source: &str) -> Result<Plan, Vec<PlanProblem>> {
    let plan = read(source)?;
    let problems = check::check(&plan);
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}
