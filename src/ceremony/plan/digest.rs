//! The plan's digest, and the words of each step.

use super::Plan;
use crate::ceremony::words;

/// SHA-256 of the plan's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanDigest(pub [u8; 32]);

impl PlanDigest {
    /// Of a plan's text.
    pub fn of(source: &str) -> Self {
        Self(openssl::sha::sha256(source.as_bytes()))
    }

    /// In hexadecimal.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// As 32 words.
    pub fn words(&self) -> String {
        words::words(&self.0)
    }
}

impl Plan {
    /// The plan's digest.
    pub fn digest(&self) -> PlanDigest {
        PlanDigest::of(&self.source)
    }
}

/// What people confirm of a step: bound to the plan and the step, so that each step has words of its
/// own that stand on the printed script.
pub fn step_digest(plan: &PlanDigest, step: &str) -> [u8; 32] {
    let mut hash = openssl::sha::Sha256::new();
    hash.update(b"chancery-ceremony-1 step\0");
    hash.update(&plan.0);
    hash.update(step.as_bytes());
    hash.finish()
}
