//! Brings the newest entries and their lines from memory to the database, many at a time, behind
//! the commits and never in their way.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::database::Database;
use super::line::{Line, settle};
use super::manifest::Manifest;
use super::recent::{Recent, RecentEntry};
use super::record;
use super::run::{Run, RunWriter, merge};
use crate::ledger::StoreError;

/// A chunk of entries never goes beyond a multiple of this: the entry bundles of tlog-tiles.
const BUNDLE: u64 = 256;

/// So many entries go to the database together, and their lines into one run.
pub(super) const ROUND: u64 = 16 * BUNDLE;

/// So many entries may wait in memory before a commit waits for the database.
const BACKLOG: u64 = 4 * ROUND;

/// Octets of a chunk's records, unless one record alone has more.
const CHUNK_BYTES: usize = 16 << 10;

/// So many runs of like size become one.
const FAN_IN: usize = 8;

/// What the commits, the look-ups and the indexer share.
#[derive(Debug)]
pub(super) struct Shared {
    database: RwLock<Database>,
    recent: RwLock<Recent>,
    /// The runs that look-ups use. While a look-up holds the lock, no run is removed.
    runs: RwLock<Vec<Run>>,
    /// What the database has; the indexer's own.
    manifest: Mutex<Manifest>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closing: bool,
    failed: Option<StoreError>,
}

impl Shared {
    /// Goes on where the database ends.
    pub(super) fn new(database: Database, manifest: Manifest) -> Self {
        Self {
            database: RwLock::new(database),
            recent: RwLock::new(Recent::starting_at(manifest.frontier.size())),
            runs: RwLock::new(manifest.runs.clone()),
            manifest: Mutex::new(manifest),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The newest entries.
    pub(super) fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database; the indexer alone ever waits for its readers.
    pub(super) fn database(&self) -> RwLockReadGuard<'_, Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines in `from..=to` that memory and database have together, at most `limit`.
    pub(super) fn range(
        &self,
        from: Line,
        to: Line,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        // Memory first: what moves to the database meanwhile is then found twice, not never.
        let mut found: BTreeSet<Line> = self.recent().range(from, to).collect();
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let database = self.database();
        for run in runs.iter() {
            found.extend(run.range(&database, &from, &to, limit)?);
        }
        drop((database, runs));
        let kept = settle(found).into_iter().filter(|line| !line.is_removal());
        Ok(kept.take(limit).collect())
    }

    /// Makes durable entries visible to look-ups; waits where the database is far behind.
    pub(super) fn publish(&self, entries: Vec<RecentEntry>) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        entries.into_iter().for_each(|entry| recent.push(entry));
        let waiting = recent.end() - recent.first();
        drop(recent);
        if waiting < ROUND {
            return;
        }
        // Under the lock, so that the indexer is either before its look or waiting already.
        let mut state = self.state();
        self.changed.notify_all();
        while state.failed.is_none() && !state.closing && self.waiting() >= BACKLOG {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The run whose first entry is `first`, where there is one.
    pub(super) fn run_from(&self, first: u64) -> Option<Run> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.iter().find(|run| run.first == first).cloned()
    }

    /// How many entries are in memory.
    pub(super) fn waiting(&self) -> u64 {
        let recent = self.recent();
        recent.end() - recent.first()
    }

    /// The database's failure, if it failed.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.state().failed.clone()
    }

    /// Asks [`Shared::run`] to end.
    pub(super) fn stop(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// The indexer's thread: works until it is stopped or the database fails.
    pub(super) fn run(&self) {
        loop {
            let state = self.state();
            if state.closing {
                return;
            }
            if self.waiting() < ROUND {
                drop(self.changed.wait(state));
                continue;
            }
            drop(state);
            if let Err(e) = self.apply_round() {
                self.state().failed = Some(e);
                self.changed.notify_all();
                return;
            }
            // The lock orders this after a committer's look at the backlog.
            drop(self.state());
            self.changed.notify_all();
        }
    }

    /// Brings the oldest bundles, a round at most, to the database.
    pub(super) fn apply_round(&self) -> Result<(), StoreError> {
        let (first, entries) = {
            let recent = self.recent();
            let first = recent.first();
            let end = (recent.end() / BUNDLE * BUNDLE).min(first + ROUND);
            (first, recent.before(end))
        };
        if entries.is_empty() {
            return Ok(());
        }
        let end = first + entries.len() as u64;
        let database = self.database();
        put_chunks(&database, first, &entries)?;
        let lines: BTreeSet<Line> = entries.iter().flat_map(|e| e.lines.iter().copied()).collect();
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = RunWriter::new(&database, manifest.next_run, first, end);
        settle(lines).into_iter().try_for_each(|line| writer.push(line))?;
        let run = writer.finish()?;
        manifest.next_run += 1;
        manifest.runs.push(run);
        let leaves = entries.iter().filter_map(|e| record::read(&e.record, e.salt)).map(|r| r.leaf);
        leaves.for_each(|leaf| manifest.frontier.push(leaf));
        self.commit(&database, &mut manifest)?;
        self.recent.write().unwrap_or_else(PoisonError::into_inner).drop_before(end);
        while let Some(count) = mergeable(&manifest.runs) {
            let start = manifest.runs.len() - count;
            let merged = merge(&database, manifest.next_run, &manifest.runs[start..])?;
            manifest.next_run += 1;
            let old: Vec<u64> = manifest.runs.drain(start..).map(|run| run.id).collect();
            manifest.garbage.extend(old);
            manifest.runs.push(merged);
            self.commit(&database, &mut manifest)?;
        }
        if database.is_stale() {
            drop(database);
            self.database.write().unwrap_or_else(PoisonError::into_inner).refresh()?;
        }
        Ok(())
    }

    /// Records the manifest, hands the runs to the look-ups and removes what nobody needs now.
    fn commit(&self, database: &Database, manifest: &mut Manifest) -> Result<(), StoreError> {
        database.set_manifest(manifest)?;
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = manifest.runs.clone();
        for run in manifest.garbage.drain(..) {
            database.remove_run(run)?;
        }
        Ok(())
    }
}

/// A chunk ends at a bundle's end, at a change of the salt, and when it is large.
fn put_chunks(database: &Database, first: u64, entries: &[RecentEntry]) -> Result<(), StoreError> {
    let mut chunk: Vec<u8> = Vec::new();
    let mut chunk_first = first;
    for (sequence, entry) in (first..).zip(entries) {
        chunk.extend_from_slice(&entry.record);
        let next = entries.get((sequence - first + 1) as usize);
        let full =
            next.is_none_or(|n| n.salt != entry.salt || chunk.len() + n.record.len() > CHUNK_BYTES);
        if full || (sequence + 1) % BUNDLE == 0 {
            database.put_chunk(chunk_first, entry.salt, &chunk)?;
            chunk.clear();
            chunk_first = sequence + 1;
        }
    }
    Ok(())
}

/// How many of the newest runs are enough of like size to become one.
fn mergeable(runs: &[Run]) -> Option<usize> {
    let tier = |run: &Run| ((run.end - run.first) / ROUND).max(1).ilog(FAN_IN as u64);
    let newest = tier(runs.last()?);
    let count = runs.iter().rev().take_while(|run| tier(run) <= newest).count();
    (count >= FAN_IN).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_by_eights_and_stay_few() {
        let mut runs: Vec<Run> = Vec::new();
        let mut written = 0;
        for round in 0..4096_u64 {
            let (first, end) = (round * ROUND, (round + 1) * ROUND);
            runs.push(Run { id: 0, first, end, fences: Vec::new() });
            while let Some(count) = mergeable(&runs) {
                let merged = runs.split_off(runs.len() - count);
                let (first, end) = (merged[0].first, merged[count - 1].end);
                written += end - first;
                runs.push(Run { id: 0, first, end, fences: Vec::new() });
            }
            assert!(runs.len() <= 4 * (FAN_IN - 1), "{} runs", runs.len());
            assert!(runs.windows(2).all(|w| w[0].end == w[1].first));
        }
        assert!(written <= 4 * 4096 * ROUND, "each line is rewritten once a tier");
    }
}
