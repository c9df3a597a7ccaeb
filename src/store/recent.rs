//! The newest entries and their postings, in memory until the database has them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::line::Line;
use super::record::Salt;

/// One entry that the database does not have yet.
#[derive(Clone, Debug)]
pub(super) struct RecentEntry {
    /// The journal's record, whole.
    pub(super) record: Arc<[u8]>,
    /// The salt of the record's segment.
    pub(super) salt: Salt,
    pub(super) lines: Arc<[Line]>,
}

/// The entries from a first one on, and what the indexes say of them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    first: u64,
    entries: VecDeque<RecentEntry>,
    /// The lines of all of them.
    lines: BTreeSet<Line>,
}

impl Recent {
    /// Nothing, of what begins at `first`.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Sequence of the oldest entry here, or of the next one where there is none.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Sequence of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes the next entry.
    pub(super) fn push(&mut self, entry: RecentEntry) {
        self.lines.extend(entry.lines.iter());
        self.entries.push_back(entry);
    }

    /// The entry at `sequence`, if it is here.
    pub(super) fn get(&self, sequence: u64) -> Option<&RecentEntry> {
        self.entries.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// The entries before `end`, cheap copies.
    pub(super) fn before(&self, end: u64) -> Vec<RecentEntry> {
        let count = end.saturating_sub(self.first) as usize;
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets the entries before `end`: the database has them now.
    pub(super) fn drop_before(&mut self, end: u64) {
        while self.first < end {
            let Some(entry) = self.entries.pop_front() else { return };
            for line in entry.lines.iter() {
                self.lines.remove(line);
            }
            self.first += 1;
        }
    }

    /// The lines in `from..=to`, ascending.
    pub(super) fn range(&self, from: Line, to: Line) -> impl Iterator<Item = Line> + '_ {
        self.lines.range(from..=to).copied()
    }
}
