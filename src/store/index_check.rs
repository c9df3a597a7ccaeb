//! The database held against the journal: every chunk octet by octet, and of every run that it has
//! exactly the lines of its entries, in order.

use super::database::Database;
use super::file_store::FileStore;
use super::indexer::Shared;
use super::line::{LEN, Line, lines};
use super::run::Run;
use crate::ledger::{Entry, Store, StoreError, postings};

/// Entries that are read at once.
const PART: usize = 512;

impl FileStore {
    /// Verifies that the database says what the journal says, as far as it has come; `progress` is
    /// told how many entries are done and ends it by returning false. Look-ups and appends go on
    /// meanwhile. The first difference is the error.
    pub fn verify_database(
        &self,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<u64, StoreError> {
        let mut next = 0;
        while let Some(run) = self.shared().run_from(next) {
            let Some(expected) = self.sum_of_entries(&run, progress)? else { return Ok(next) };
            // While this was summed up the run may have been merged into another one.
            if self.shared().run_from(next).as_ref() != Some(&run) {
                continue;
            }
            match sum_of_run(self.shared(), &run) {
                Ok(found) if found == expected => next = run.end,
                _ if self.shared().run_from(next).as_ref() != Some(&run) => {}
                Ok(_) => {
                    let (first, last) = (run.first, run.end - 1);
                    return Err(StoreError::Database(format!(
                        "its indexes of the entries {first} to {last} are not what the entries say"
                    )));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(next)
    }

    /// The sum over the lines of the entries of a run, and a look at their chunks.
    fn sum_of_entries(
        &self,
        run: &Run,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Sum>, StoreError> {
        let mut sum = Sum::default();
        let mut next = run.first;
        while next < run.end {
            let limit = PART.min((run.end - next) as usize);
            let entries = self.read(next, limit)?;
            let copies = self.shared().database().read(next, entries.len())?;
            for (bytes, copy) in entries.iter().zip(&copies) {
                if bytes != copy {
                    let why = format!("its copy of entry {next} is not the journal's");
                    return Err(StoreError::Database(why));
                }
                let entry = Entry::decode(bytes)
                    .and_then(|entry| postings(&entry))
                    .map_err(|e| StoreError::unreadable(next, &e))?;
                entry.iter().for_each(|posting| sum.add(&Line::of(posting)));
                next += 1;
            }
            if !progress(next) {
                return Ok(None);
            }
        }
        Ok(Some(sum))
    }
}

/// The sum over the lines of a run, which must be in order and where the fences say.
fn sum_of_run(shared: &Shared, run: &Run) -> Result<Sum, StoreError> {
    let mut sum = Sum::default();
    let mut last: Option<Line> = None;
    for (number, fence) in run.fences.iter().enumerate() {
        let page = shared.database().page(run.id, number)?;
        if page.len() % LEN != 0 || lines(&page).next() != Some(*fence) {
            let why = format!("page {number} of run {} is not what its fence says", run.id);
            return Err(StoreError::Database(why));
        }
        for line in lines(&page) {
            if last.is_some_and(|last| last >= line) {
                let why = format!("page {number} of run {} is out of order", run.id);
                return Err(StoreError::Database(why));
            }
            sum.add(&line);
            last = Some(line);
        }
    }
    Ok(sum)
}

/// A sum that does not depend on the order of the lines, in which an addition and the removal of
/// the same posting are nothing, as they are in a merged run. It finds accidents; who can write to
/// the database at will is found by the look-ups, which compare what they find with the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, line: &Line) {
        let digest = openssl::sha::sha256(&line.0[..LEN - 1]);
        let (half, _) = digest.split_at(16);
        let value = half.iter().fold(0, |all: u128, digit| all << 8 | u128::from(*digit));
        self.0 = match line.is_removal() {
            true => self.0.wrapping_sub(value),
            false => self.0.wrapping_add(value),
        };
    }
}

impl Database {
    /// The entries from `first` on, at most `limit`, from their copies here.
    pub(super) fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let damaged = |sequence: u64| {
            StoreError::Database(format!("its copy of entry {sequence} is missing or damaged"))
        };
        let mut entries: Vec<Vec<u8>> = Vec::new();
        while entries.len() < limit {
            let next = first + entries.len() as u64;
            let found = self.chunk_of(next)?;
            let more = found.into_iter().filter(|(sequence, _)| *sequence >= next);
            let before = entries.len();
            for (sequence, entry) in more.take(limit - entries.len()) {
                if sequence != first + entries.len() as u64 {
                    return Err(damaged(sequence));
                }
                entries.push(entry);
            }
            if entries.len() == before {
                return Err(damaged(next));
            }
        }
        Ok(entries)
    }
}
