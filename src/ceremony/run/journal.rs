//! Where the facts go: to a transcript on disk, or to memory where nothing may be left behind.

use super::RunError;
use crate::ceremony::transcript::{Fact, Writer};

/// The record of a run.
pub enum Journal {
    /// On disk, line by line.
    File(Writer),
    /// In memory.
    Memory(Vec<Fact>),
}

impl Journal {
    /// Records a fact; when this returns it is durable.
    pub(super) fn append(&mut self, fact: Fact) -> Result<(), RunError> {
        match self {
            Self::File(writer) => {
                writer.append(fact)?;
            }
            Self::Memory(facts) => facts.push(fact),
        }
        Ok(())
    }

    /// The chain's head; zeros in memory.
    pub(super) fn head(&self) -> [u8; 32] {
        match self {
            Self::File(writer) => *writer.head(),
            Self::Memory(_) => [0; 32],
        }
    }
}
