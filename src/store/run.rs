//! A run: the lines of a stretch of entries, sorted, in pages. sled is made for a value now and
//! then; a line a key costs it fifty times the work and the memory of a page a key.

use super::database::Database;
use super::line::{LEN, Line, lines};
use crate::ledger::StoreError;

/// Lines of a page. sled reads some sixteen values together, so a page is a sixteenth of what a
/// look-up should read.
const PAGE_LINES: usize = 170;

/// A run of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Its name in the database.
    pub(super) id: u64,
    /// The first entry whose lines it holds.
    pub(super) first: u64,
    /// The first entry after those whose lines it holds.
    pub(super) end: u64,
    /// The first line of each page: what is kept of a run in memory.
    pub(super) fences: Vec<Line>,
}

impl Run {
    /// The lines in `from..=to`, ascending, at most `limit`.
    pub(super) fn range(
        &self,
        database: &Database,
        from: &Line,
        to: &Line,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        let mut found = Vec::new();
        let start = self.fences.partition_point(|f| f < from).saturating_sub(1);
        for (number, fence) in self.fences.iter().enumerate().skip(start) {
            if fence > to || found.len() >= limit {
                break;
            }
            let page = database.page(self.id, number)?;
            let after = partition_point(&page, |line| line < from);
            let rest = lines(&page[after * LEN..]).take_while(|line| line <= to);
            found.extend(rest.take(limit - found.len()));
        }
        Ok(found)
    }
}

/// The number of lines at the start of a sorted page for which `before` is true.
fn partition_point(page: &[u8], before: impl Fn(&Line) -> bool) -> usize {
    let (mut low, mut high) = (0, page.len() / LEN);
    while low < high {
        let middle = low.midpoint(high);
        let is_before = lines(&page[middle * LEN..]).next().is_some_and(|line| before(&line));
        if is_before { low = middle + 1 } else { high = middle }
    }
    low
}

/// Writes a run page by page from lines that come in order.
pub(super) struct RunWriter<'a> {
    database: &'a Database,
    run: Run,
    page: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    /// A run named `id` for the entries `first..end`.
    pub(super) const fn new(database: &'a Database, id: u64, first: u64, end: u64) -> Self {
        Self { database, run: Run { id, first, end, fences: Vec::new() }, page: Vec::new() }
    }

    /// Takes the next line.
    pub(super) fn push(&mut self, line: Line) -> Result<(), StoreError> {
        if self.page.is_empty() {
            self.run.fences.push(line);
        }
        self.page.extend_from_slice(&line.0);
        if self.page.len() == PAGE_LINES * LEN { self.write_page() } else { Ok(()) }
    }

    /// The run, written whole.
    pub(super) fn finish(mut self) -> Result<Run, StoreError> {
        if !self.page.is_empty() {
            self.write_page()?;
        }
        self.database.put_fences(&self.run)?;
        Ok(self.run)
    }

    fn write_page(&mut self) -> Result<(), StoreError> {
        self.database.put_page(self.run.id, self.run.fences.len() - 1, &self.page)?;
        self.page.clear();
        Ok(())
    }
}

/// Reads the lines of a run in order, a page at a time.
struct Cursor<'a> {
    database: &'a Database,
    run: &'a Run,
    next_page: usize,
    page: Vec<Line>,
}

impl<'a> Cursor<'a> {
    fn new(database: &'a Database, run: &'a Run) -> Result<Self, StoreError> {
        let mut cursor = Self { database, run, next_page: 0, page: Vec::new() };
        cursor.fill()?;
        Ok(cursor)
    }

    fn peek(&self) -> Option<Line> {
        self.page.last().copied()
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.page.pop();
        self.fill()
    }

    /// Keeps the page reversed, so that the next line is its last.
    fn fill(&mut self) -> Result<(), StoreError> {
        if self.page.is_empty() && self.next_page < self.run.fences.len() {
            let page = self.database.page(self.run.id, self.next_page)?;
            self.page = lines(&page).rev().collect();
            self.next_page += 1;
        }
        Ok(())
    }
}

/// Hands the lines of all `runs` to `each` in order.
pub(super) fn in_order(
    database: &Database,
    runs: &[Run],
    mut each: impl FnMut(Line) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut cursors: Vec<Cursor<'_>> =
        runs.iter().map(|run| Cursor::new(database, run)).collect::<Result<_, _>>()?;
    loop {
        let next = cursors.iter_mut().filter_map(|c| Some((c.peek()?, c))).min_by_key(|(l, _)| *l);
        let Some((line, cursor)) = next else { return Ok(()) };
        cursor.advance()?;
        each(line)?;
    }
}

/// Writes one run with the lines of `runs`, which follow one another.
pub(super) fn merge(database: &Database, id: u64, runs: &[Run]) -> Result<Run, StoreError> {
    let first = runs.first().map_or(0, |r| r.first);
    let end = runs.last().map_or(0, |r| r.end);
    let mut writer = RunWriter::new(database, id, first, end);
    let mut last: Option<Line> = None;
    in_order(database, runs, |line| {
        match last.take() {
            Some(before) if line.is_removal() && before.is_about(&line) => return Ok(()),
            Some(before) => writer.push(before)?,
            None => {}
        }
        last = Some(line);
        Ok(())
    })?;
    if let Some(line) = last {
        writer.push(line)?;
    }
    writer.finish()
}
