//! A posting as the database keeps it: 24 octets that sort as look-ups want them.
//!
//! | octets | field |
//! |---|---|
//! | 1 | index |
//! | 16 | key |
//! | 6 | sequence |
//! | 1 | 0 where the posting is added, 1 where it is taken away |

use crate::ledger::{Index, Key, Posting};

/// Length of a line.
pub(super) const LEN: usize = 24;

const REMOVED: u8 = 1;

/// One line of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line(pub(super) [u8; LEN]);

impl Line {
    /// The line of a posting.
    pub(super) fn of(posting: &Posting) -> Self {
        let mut line = Self::first(posting.index, &posting.key);
        // 2^48 entries are a thousand a second for nine thousand years.
        line.0[17..23].copy_from_slice(&posting.sequence.to_be_bytes()[2..]);
        line.0[23] = if posting.present { 0 } else { REMOVED };
        line
    }

    /// Before every line of `key`.
    pub(super) fn first(index: Index, key: &Key) -> Self {
        let mut line = [0; LEN];
        line[0] = index as u8;
        line[1..17].copy_from_slice(key);
        Self(line)
    }

    /// After every line of `key` but the greatest conceivable.
    pub(super) fn last(index: Index, key: &Key) -> Self {
        let mut line = Self::first(index, key);
        line.0[17..].fill(0xff);
        line
    }

    /// The key.
    pub(super) fn key(&self) -> Key {
        let mut key = [0; 16];
        key.copy_from_slice(&self.0[1..17]);
        key
    }

    /// The entry that is posted.
    pub(super) fn sequence(&self) -> u64 {
        self.0[17..23].iter().fold(0, |all, digit| all << 8 | u64::from(*digit))
    }

    /// Whether this line takes the posting away.
    pub(super) const fn is_removal(&self) -> bool {
        self.0[23] == REMOVED
    }

    /// Whether both are about the same posting.
    pub(super) fn is_about(&self, other: &Self) -> bool {
        self.0[..23] == other.0[..23]
    }
}

/// The lines in a page's octets.
pub(super) fn lines(page: &[u8]) -> impl DoubleEndedIterator<Item = Line> + ExactSizeIterator + '_ {
    page.chunks_exact(LEN).map(|chunk| {
        let mut line = [0; LEN];
        line.copy_from_slice(chunk);
        Line(line)
    })
}

/// Leaves of sorted lines those that say something: an addition and the removal of the same
/// posting are nothing together.
pub(super) fn settle(lines: impl IntoIterator<Item = Line>) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for line in lines {
        match out.last() {
            Some(last) if *last == line => {}
            Some(last) if line.is_removal() && last.is_about(&line) => drop(out.pop()),
            _ => out.push(line),
        }
    }
    out
}
