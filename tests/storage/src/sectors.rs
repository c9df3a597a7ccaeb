//! What a disk with a write cache holds: what is durable, and what was written since the last flush.

use std::collections::HashMap;
use std::sync::Arc;

/// A disk writes a sector whole or not at all.
const SECTOR: usize = 512;

/// Contents are shared between the durable and the present state in pieces of this size.
const BLOCK: usize = 4096;

type Blocks = HashMap<u64, Arc<[u8; BLOCK]>>;

/// What of the writes that were not flushed a cut leaves on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing of them.
    None,
    /// The first of them in order; the last of these is torn.
    Prefix,
    /// Any of them, each whole.
    Writes,
    /// Any of their sectors.
    Sectors,
    /// All of them.
    All,
}

impl Survivors {
    /// One of the kinds.
    pub fn any(random: &mut fastrand::Rng) -> Self {
        let all = [Self::None, Self::Prefix, Self::Writes, Self::Sectors, Self::All];
        all[random.usize(..all.len())]
    }
}

/// The contents of a disk. What was never written is zero.
#[derive(Debug, Default)]
pub(crate) struct Sectors {
    durable: Blocks,
    present: Blocks,
    /// The writes since the last flush, in order.
    pending: Vec<(u64, Vec<u8>)>,
}

impl Sectors {
    /// Reads what the disk's cache and the disk hold.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let at = offset + out.len() as u64;
            let (number, start) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let wanted = (length - out.len()).min(BLOCK - start);
            match self.present.get(&number) {
                Some(block) => out.extend_from_slice(&block[start..start + wanted]),
                None => out.resize(out.len() + wanted, 0),
            }
        }
        out
    }

    /// Writes into the cache.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.present, offset, bytes);
        self.pending.push((offset, bytes.to_vec()));
    }

    /// Makes durable what was written.
    pub(crate) fn flush(&mut self) {
        for (offset, bytes) in self.pending.drain(..) {
            let last = (offset + bytes.len() as u64).saturating_sub(1) / BLOCK as u64;
            for number in offset / BLOCK as u64..=last {
                if let Some(block) = self.present.get(&number) {
                    self.durable.insert(number, block.clone());
                }
            }
        }
    }

    /// Cuts the power: what is durable and some of the rest is what the disk holds now. Returns how
    /// many writes were not flushed.
    pub(crate) fn cut(&mut self, survivors: Survivors, random: &mut fastrand::Rng) -> usize {
        let pending = std::mem::take(&mut self.pending);
        let count = pending.len();
        let kept = random.usize(..=count);
        for (index, (offset, bytes)) in pending.into_iter().enumerate() {
            let torn = random.usize(..=bytes.len() / SECTOR) * SECTOR;
            match survivors {
                Survivors::None => {}
                Survivors::Prefix if index + 1 < kept => put(&mut self.durable, offset, &bytes),
                Survivors::Prefix if index + 1 == kept => {
                    put(&mut self.durable, offset, &bytes[..torn]);
                }
                Survivors::Prefix => {}
                Survivors::Writes if random.bool() => put(&mut self.durable, offset, &bytes),
                Survivors::Writes => {}
                Survivors::Sectors => {
                    for (number, sector) in (0_u64..).zip(bytes.chunks(SECTOR)) {
                        if random.bool() {
                            put(&mut self.durable, offset + number * SECTOR as u64, sector);
                        }
                    }
                }
                Survivors::All => put(&mut self.durable, offset, &bytes),
            }
        }
        self.present = self.durable.clone();
        count
    }
}

fn put(blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
    let mut rest = bytes;
    let mut at = offset;
    while !rest.is_empty() {
        let (number, start) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
        let (now, later) = rest.split_at(rest.len().min(BLOCK - start));
        let block = blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK]));
        Arc::make_mut(block)[start..start + now.len()].copy_from_slice(now);
        at += now.len() as u64;
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with one flushed write of ones, and twos over it and beyond that were not.
    fn written() -> Sectors {
        let mut disk = Sectors::default();
        disk.write(512, &[1; 8192]);
        disk.flush();
        disk.write(512, &[2; 8192]);
        disk.write(20_480, &[2; 4096]);
        disk
    }

    fn after(survivors: Survivors, seed: u64) -> (Vec<u8>, Vec<u8>) {
        let mut disk = written();
        assert_eq!(disk.read(512, 8192), [2; 8192]);
        assert_eq!(disk.cut(survivors, &mut fastrand::Rng::with_seed(seed)), 2);
        assert_eq!((disk.read(0, 512), disk.read(8704, 512)), (vec![0; 512], vec![0; 512]));
        (disk.read(512, 8192), disk.read(20_480, 4096))
    }

    #[test]
    fn what_was_flushed_stays_and_the_rest_is_as_chance_has_it() {
        let (one, two) = (vec![1; 8192], vec![2; 8192]);
        assert_eq!(after(Survivors::None, 1), (one.clone(), vec![0; 4096]));
        assert_eq!(after(Survivors::All, 1), (two.clone(), vec![2; 4096]));
        let (mut torn, mut reordered, mut mixed) = (false, false, false);
        for seed in 0..64 {
            let (first, second) = after(Survivors::Prefix, seed);
            torn |= first != one && first != two;
            assert!(second.iter().all(|b| *b == 0) || first == two, "the order is not kept");
            let (first, second) = after(Survivors::Writes, seed);
            assert!(first == one || first == two, "a write is torn");
            reordered |= first == one && second == [2; 4096];
            let (first, _) = after(Survivors::Sectors, seed);
            assert!(first.chunks(512).all(|s| s == [1; 512] || s == [2; 512]), "a sector is torn");
            mixed |= first.windows(2).any(|w| w == [2, 1]);
        }
        assert!(torn && reordered && mixed);
    }

    #[test]
    fn a_second_cut_changes_nothing() {
        let mut disk = written();
        let mut random = fastrand::Rng::with_seed(7);
        disk.cut(Survivors::Sectors, &mut random);
        let left = disk.read(0, 32_768);
        assert_eq!(disk.cut(Survivors::Sectors, &mut random), 0);
        assert_eq!(disk.read(0, 32_768), left);
    }
}
