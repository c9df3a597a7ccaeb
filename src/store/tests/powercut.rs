//! Power cuts on a recorded disk: what was fsynced is there, of what was not any blocks may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::fixture::*;
use crate::clock::SystemClock;
use crate::ledger::{Ledger, Sequence};
use crate::random::SystemRandom;
use crate::store::disk::{Disk, SystemDisk, Tail};
use crate::store::journal::Found;
use crate::store::{FileStore, StoreOptions};

/// What happened to the disk and to the callers, in order.
#[derive(Clone, Debug)]
enum Step {
    Create(PathBuf, Vec<u8>),
    Write(PathBuf, u64, Vec<u8>),
    Sync(PathBuf),
    Acknowledged(Vec<Sequence>),
}

#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<Step>>>);

#[derive(Debug)]
struct RecordedTail(Recorder, PathBuf, Box<dyn Tail>);

impl Recorder {
    fn note(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

impl Disk for Recorder {
    fn create(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        self.note(Step::Create(path.to_owned(), content.to_vec()));
        SystemDisk.create(path, content)
    }

    fn append_to(&self, path: &Path, length: u64) -> std::io::Result<Box<dyn Tail>> {
        let tail = SystemDisk.append_to(path, length)?;
        Ok(Box::new(RecordedTail(self.clone(), path.to_owned(), tail)))
    }
}

impl Tail for RecordedTail {
    fn write(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.note(Step::Write(self.1.clone(), offset, bytes.to_vec()));
        self.2.write(bytes, offset)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        let result = self.2.sync();
        self.0.note(Step::Sync(self.1.clone()));
        result
    }
}

/// A run of commits of several sizes, with what it did to the disk.
fn recorded_run() -> Vec<Step> {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let options = StoreOptions { segment_bytes: 8 << 10, ..options(folder.path()) };
    let disk = Arc::new(recorder.clone());
    let store = FileStore::open_on(disk, options, Arc::new(SystemRandom)).unwrap();
    let ledger = Ledger::open(store, Arc::new(SystemClock)).unwrap();
    for i in 0..24_usize {
        let drafts = (0..i % 5 + 1).map(|n| start(&"x".repeat(1 + (n * 700 + i * 131) % 3000)));
        recorder.note(Step::Acknowledged(append(&ledger, drafts.collect())));
    }
    ledger.close().unwrap();
    drop(ledger);
    let steps = recorder.0.lock().unwrap();
    let here = folder.path().to_owned();
    let inside = |path: &PathBuf| path.strip_prefix(&here).unwrap().to_owned();
    let relative = steps.iter().map(|step| match step {
        Step::Create(path, content) => Step::Create(inside(path), content.clone()),
        Step::Write(path, at, bytes) => Step::Write(inside(path), *at, bytes.clone()),
        Step::Sync(path) => Step::Sync(inside(path)),
        Step::Acknowledged(all) => Step::Acknowledged(all.clone()),
    });
    relative.collect()
}

/// What is on the disk, and who was told what, after the power went at `cut`. Of each block that
/// was written and not synced, `survives` decides.
fn disk_after(
    steps: &[Step],
    cut: usize,
    mut survives: impl FnMut() -> bool,
) -> (BTreeMap<PathBuf, Vec<u8>>, u64) {
    const BLOCK: usize = 512;
    let mut durable: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut cached: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut acknowledged = 0;
    for step in &steps[..cut] {
        match step {
            Step::Create(path, content) => {
                durable.insert(path.clone(), content.clone());
                cached.insert(path.clone(), content.clone());
            }
            Step::Write(path, at, bytes) => {
                let file = cached.get_mut(path).unwrap();
                file.truncate(*at as usize);
                file.extend_from_slice(bytes);
            }
            Step::Sync(path) => {
                durable.insert(path.clone(), cached[path].clone());
            }
            Step::Acknowledged(all) => acknowledged = all.last().unwrap().0 + 1,
        }
    }
    for (path, file) in &mut durable {
        let wanted = &cached[path];
        let grown = wanted.len().max(file.len());
        if file.len() == grown {
            continue;
        }
        let old = file.len();
        // The length may have reached the disk without the blocks, which are zeros then.
        file.resize(grown, 0);
        for start in (old / BLOCK * BLOCK..grown).step_by(BLOCK) {
            if survives() {
                let range = start.max(old)..(start + BLOCK).min(grown);
                file[range.clone()].copy_from_slice(&wanted[range]);
            }
        }
    }
    (durable, acknowledged)
}

/// Opens what the cut left; everything acknowledged is there, and every call whole or not at all.
/// Where `whole`, the ledger goes on from there.
fn assert_survives(
    disk: &BTreeMap<PathBuf, Vec<u8>>,
    acknowledged: u64,
    groups: &[u64],
    whole: bool,
) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("journal")).unwrap();
    for (path, content) in disk {
        std::fs::write(folder.path().join(path), content).unwrap();
    }
    let size = Found::look(&folder.path().join("journal")).unwrap().frontier.size();
    assert!(size >= acknowledged, "{size} entries, but {acknowledged} were acknowledged");
    assert!(size == 0 || groups.contains(&size), "a call was cut in two at {size}");
    if whole {
        let ledger = ledger(folder.path());
        assert_eq!(append(&ledger, vec![start("after")]), [Sequence(size)]);
    }
}

#[test]
fn no_cut_loses_what_was_acknowledged_or_splits_a_call() {
    let steps = recorded_run();
    let groups: Vec<u64> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Acknowledged(all) => all.last().map(|s| s.0 + 1),
            _ => None,
        })
        .collect();
    assert_eq!(groups.len(), 24);
    for cut in 0..=steps.len() {
        for all in [false, true] {
            let (disk, acknowledged) = disk_after(&steps, cut, || all);
            assert_survives(&disk, acknowledged, &groups, cut % 16 == 5);
        }
    }
    let seeds = prop::collection::vec(any::<bool>(), 64);
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() };
    let mut runner = prop::test_runner::TestRunner::new(config);
    let inputs = (0..=steps.len(), seeds);
    runner
        .run(&inputs, |(cut, seeds)| {
            let mut seeds = seeds.into_iter().cycle();
            let (disk, acknowledged) = disk_after(&steps, cut, || seeds.next().unwrap());
            assert_survives(&disk, acknowledged, &groups, false);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_commit_is_one_write_and_one_sync_before_its_answer() {
    let mut since: Vec<&str> = Vec::new();
    for step in &recorded_run() {
        match step {
            Step::Create(..) => {}
            Step::Write(..) => since.push("write"),
            Step::Sync(_) => since.push("sync"),
            Step::Acknowledged(_) => {
                assert_eq!(since, ["write", "sync"]);
                since.clear();
            }
        }
    }
}
