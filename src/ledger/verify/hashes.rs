//! The tree's hashes as they are kept beside the entries, held against those that the entries have.

use super::{Finding, FindingKind};
use crate::ledger::StoreError;
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::proof::{HashSource, TILE_WIDTH};

/// The tree so far, level by level as [`HashSource`] has it.
#[derive(Default)]
pub(super) struct KeptHashes {
    /// The hashes of each level that none of the next one covers yet, and how many there are in all.
    levels: Vec<(Frontier, u64)>,
}

impl KeptHashes {
    /// Holds the hashes of the next `leaves` and above them against what is `kept` of the first `of`
    /// entries.
    pub(super) fn compare(
        &mut self,
        kept: &dyn HashSource,
        of: u64,
        leaves: Vec<Hash>,
    ) -> Result<(), Finding> {
        let mut new = leaves;
        let mut level: u8 = 0;
        while !new.is_empty() {
            if self.levels.len() <= usize::from(level) {
                self.levels.push((Frontier::new(), 0));
            }
            let Some((tile, count)) = self.levels.get_mut(usize::from(level)) else { break };
            let there = of.checked_shr(u32::from(level) * 8).unwrap_or(0);
            let comparable = (new.len() as u64).min(there.saturating_sub(*count));
            let found = match comparable {
                0 => Vec::new(),
                _ => kept.hashes(level, *count, comparable).map_err(|e| match e {
                    StoreError::Damaged(_) => derived(format!("its folder tree/: {e}")),
                    _ => Finding::of_store(&e),
                })?,
            };
            if let Some(place) = found.iter().zip(&new).position(|(found, own)| found != own) {
                let at = *count + place as u64;
                let what = format!(
                    "its file tree/{level} has another hash {at} than the entries, which are good so far"
                );
                return Err(derived(what));
            }
            *count += new.len() as u64;
            let mut above = Vec::new();
            for hash in new {
                tile.push(hash);
                if tile.size() == TILE_WIDTH {
                    above.push(tile.root());
                    *tile = Frontier::new();
                }
            }
            new = above;
            level += 1;
        }
        Ok(())
    }
}

fn derived(what: String) -> Finding {
    Finding { kind: FindingKind::Derived, ..Finding::at(None, what) }
}
