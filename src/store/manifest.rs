//! What the database has: the value under its head key. It is written after all that it names, so
//! whatever it names is there.
//!
//! | octets | field |
//! |---|---|
//! | 2 | version, 2 |
//! | 8 | number of entries |
//! | 8 | name of the next run |
//! | 2 | number of hashes, then 32 octets each: the tree's frontier |
//! | 2 | number of runs, then 24 each: name, first entry, end |
//! | 2 | number of runs to be removed, then 8 each: name |
//! | 4 | CRC-32 of all before |

use super::run::Run;
use crate::ledger::merkle::Frontier;

/// Version of all that is in the database; another one is set aside and rebuilt.
const VERSION: u16 = 2;

/// What the database has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The tree over the entries.
    pub(super) frontier: Frontier,
    /// Name of the next run.
    pub(super) next_run: u64,
    /// The runs, in the order of their entries; without fences where it was just read.
    pub(super) runs: Vec<Run>,
    /// Runs that were merged into others, and may or may not be there still.
    pub(super) garbage: Vec<u64>,
}

impl Manifest {
    /// The value's octets.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_be_bytes().to_vec();
        let hashes = self.frontier.subtrees();
        out.extend_from_slice(&self.frontier.size().to_be_bytes());
        out.extend_from_slice(&self.next_run.to_be_bytes());
        out.extend_from_slice(&(hashes.len() as u16).to_be_bytes());
        hashes.iter().for_each(|hash| out.extend_from_slice(hash));
        out.extend_from_slice(&(self.runs.len() as u16).to_be_bytes());
        for number in self.runs.iter().flat_map(|run| [run.id, run.first, run.end]) {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&(self.garbage.len() as u16).to_be_bytes());
        self.garbage.iter().for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    /// Reads the value; nothing where it is damaged or of another version.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (body, sum) = value.split_last_chunk()?;
        if crc32fast::hash(body).to_be_bytes() != *sum {
            return None;
        }
        let mut rest = body;
        if short(&mut rest)? != VERSION {
            return None;
        }
        let (size, next_run) = (long(&mut rest)?, long(&mut rest)?);
        let mut hashes = Vec::new();
        for _ in 0..short(&mut rest)? {
            hashes.push(take::<32>(&mut rest)?);
        }
        let mut runs = Vec::new();
        for _ in 0..short(&mut rest)? {
            let (id, first, end) = (long(&mut rest)?, long(&mut rest)?, long(&mut rest)?);
            runs.push(Run { id, first, end, fences: Vec::new() });
        }
        let count = short(&mut rest)?;
        let garbage = (0..count).map(|_| long(&mut rest)).collect::<Option<_>>()?;
        let frontier = Frontier::from_parts(size, hashes)?;
        rest.is_empty().then_some(Self { frontier, next_run, runs, garbage })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn short(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(u16::from_be_bytes)
}

fn long(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_no_damage() {
        let mut frontier = Frontier::new();
        (0..7).for_each(|i| frontier.push([i; 32]));
        let run = |id| Run { id, first: id * 10, end: id * 10 + 10, fences: Vec::new() };
        let manifest =
            Manifest { frontier, next_run: 9, runs: vec![run(1), run(2)], garbage: vec![3, 4] };
        let value = manifest.encode();
        assert_eq!(Manifest::decode(&value), Some(manifest));
        for at in 0..value.len() {
            let mut damaged = value.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Manifest::decode(&damaged), None);
            assert_eq!(Manifest::decode(&value[..at]), None);
        }
    }
}
