//! A disk that fails: the first failure is final (I10), nothing is acknowledged after it, and the
//! next start has everything that was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::*;
use crate::clock::SystemClock;
use crate::ledger::{Ledger, LedgerError, Sequence, Store, StoreError};
use crate::random::SystemRandom;
use crate::store::disk::{Disk, SystemDisk, Tail};
use crate::store::{FileStore, StoreOptions};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing is written.
    Write,
    /// Half is written, then the disk is full.
    HalfWrite,
    /// All is written, the fsync fails.
    Sync,
    /// A new segment cannot be made.
    Create,
}

/// Fails once, after so many good operations of the kind, then works again.
#[derive(Clone, Debug)]
struct Faulty(Fault, Arc<AtomicUsize>);

#[derive(Debug)]
struct FaultyTail(Faulty, Box<dyn Tail>);

impl Faulty {
    fn strikes(&self, here: &[Fault]) -> bool {
        here.contains(&self.0) && self.1.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

fn error() -> std::io::Error {
    std::io::Error::from_raw_os_error(5)
}

impl Disk for Faulty {
    fn create(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        if self.strikes(&[Fault::Create]) {
            return Err(error());
        }
        SystemDisk.create(path, content)
    }

    fn append_to(&self, path: &Path, length: u64) -> std::io::Result<Box<dyn Tail>> {
        Ok(Box::new(FaultyTail(self.clone(), SystemDisk.append_to(path, length)?)))
    }
}

impl Tail for FaultyTail {
    fn write(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        if self.0.strikes(&[Fault::Write, Fault::HalfWrite]) {
            if self.0.0 == Fault::HalfWrite {
                self.1.write(&bytes[..bytes.len() / 2], offset)?;
            }
            return Err(error());
        }
        self.1.write(bytes, offset)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        if self.0.strikes(&[Fault::Sync]) { Err(error()) } else { self.1.sync() }
    }
}

#[test]
fn the_first_failure_is_final_and_loses_nothing_acknowledged() {
    for fault in [Fault::Write, Fault::HalfWrite, Fault::Sync, Fault::Create] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Faulty(fault, Arc::new(AtomicUsize::new(4)));
        let options = StoreOptions { segment_bytes: 4 << 10, ..options(folder.path()) };
        let store = FileStore::open_on(Arc::new(disk), options, Arc::new(SystemRandom)).unwrap();
        let ledger = Ledger::open(store, Arc::new(SystemClock)).unwrap();
        let mut acknowledged = Vec::new();
        let failure = loop {
            match wait(ledger.append(vec![start(&"x".repeat(1500)), start("y")])) {
                Ok(done) => acknowledged.extend(done),
                Err(e) => break e,
            }
        };
        assert!(!acknowledged.is_empty(), "{fault:?}");
        let text = failure.to_string();
        assert!(matches!(failure, LedgerError::Poisoned(_)), "{fault:?}: {text}");
        assert!(text.contains(".journal: Input/output error"), "{text}");
        for _ in 0..3 {
            assert_eq!(wait(ledger.append(vec![start("late")])), Err(failure.clone()));
        }
        assert_eq!(ledger.head().poisoned, Some(failure));
        assert!(ledger.entry(*acknowledged.last().unwrap()).unwrap().is_some());
        drop(ledger);

        let ledger = super::fixture::ledger(folder.path());
        let size = ledger.head().size();
        let told = acknowledged.len() as u64;
        // What failed after the write may be there, whole.
        assert!(size == told || fault == Fault::Sync && size == told + 2, "{fault:?}: {size}");
        assert_eq!(append(&ledger, vec![start("again")]), [Sequence(size)]);
    }
}

#[test]
fn below_the_reserve_nothing_is_appended_and_nothing_is_poisoned() {
    let folder = tempfile::tempdir().unwrap();
    drop(ledger(folder.path()));
    let starved = StoreOptions { reserve_bytes: u64::MAX, ..options(folder.path()) };
    let refused = FileStore::open(starved, Arc::new(SystemRandom)).map(drop);
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("free some space"));
}

/// A small file system of our own, unmounted at the end; none where the system forbids it.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]);
        let done = mount.arg(folder.path()).status().is_ok_and(|s| s.success());
        done.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_disk_that_fills_up_stops_appending_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(64) else {
        eprintln!("no tmpfs can be mounted here: run as root to test a full disk");
        return;
    };
    let folder = disk.0.path().join("ledger");
    let options = || StoreOptions { reserve_bytes: 4 << 20, ..options(&folder) };
    let store = FileStore::open(options(), Arc::new(SystemRandom)).unwrap();
    let ledger = Ledger::open(store, Arc::new(SystemClock)).unwrap();
    let big = || vec![start(&"x".repeat(60_000))];
    append(&ledger, big());
    // Somebody else fills the disk.
    let ballast = disk.0.path().join("ballast");
    let mut size = 60_u64 << 20;
    while size > 0 {
        drop(std::fs::write(&ballast, vec![1; size as usize]));
        if std::fs::metadata(&ballast).is_ok_and(|m| m.len() == size) {
            break;
        }
        size -= 1 << 20;
    }
    let before = ledger.head().size();
    for _ in 0..3 {
        let refused = wait(ledger.append(big()));
        assert!(
            matches!(&refused, Err(LedgerError::Store(StoreError::Full { .. }))),
            "{refused:?}"
        );
    }
    assert_eq!(ledger.head().size(), before);
    assert!(ledger.entry(Sequence(0)).unwrap().is_some());
    std::fs::remove_file(&ballast).unwrap();
    append(&ledger, big());
    drop(ledger);
    // Now without a reserve, to the last octet: the write itself fails.
    let spare = disk.0.path().join("spare");
    std::fs::write(&spare, vec![1; 12 << 20]).unwrap();
    let greedy = StoreOptions { reserve_bytes: 0, ..options() };
    let store = FileStore::open(greedy, Arc::new(SystemRandom)).unwrap();
    let ledger = Ledger::open(store, Arc::new(SystemClock)).unwrap();
    let mut told = ledger.head().size();
    let failure = loop {
        match wait(ledger.append(big())) {
            Ok(_) => told += 1,
            Err(e) => break e,
        }
    };
    let text = failure.to_string();
    assert!(text.contains("No space left") || text.contains("database"), "{text}");
    drop(ledger);
    std::fs::remove_file(spare).unwrap();
    let store = FileStore::open(options(), Arc::new(SystemRandom)).unwrap();
    assert!(store.size() >= told, "{} of {told}", store.size());
}
