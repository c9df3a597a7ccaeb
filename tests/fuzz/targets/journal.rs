//! A journal's segment as it lies on the disk: raw, and with its checksums and hashes made right, which no
//! chance finds.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use chancery::ledger::merkle::leaf_hash;
use chancery::ledger::verify::EntrySource;
use chancery::store::JournalView;
use libfuzzer_sys::fuzz_target;

const HEADER: usize = 44;
const RECORD: usize = 56;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let shm = PathBuf::from("/dev/shm");
    let base = if shm.is_dir() { shm } else { std::env::temp_dir() };
    let folder = base.join(format!("chancery-fuzz-journal-{}", std::process::id()));
    fs::create_dir_all(folder.join("journal")).expect("a folder");
    folder
});

fuzz_target!(|data: &[u8]| {
    look(data);
    look(&mended(data));
});

/// Opens it and reads every entry that it claims to have.
fn look(segment: &[u8]) {
    let name = format!("{:020}.journal", 0);
    fs::write(FOLDER.join("journal").join(name), segment).expect("a file");
    let Ok(view) = JournalView::open(&FOLDER) else { return };
    assert!(view.torn_bytes() <= segment.len() as u64);
    assert_eq!(view.frontier().size(), view.size());
    let mut read = 0;
    while read < view.size() {
        let entries = view.read_entries(read, 100).expect("entries that were counted");
        assert!(!entries.is_empty(), "{read} of {} entries", view.size());
        assert!(entries.iter().all(|entry| entry.len() + RECORD <= segment.len()));
        read += entries.len() as u64;
    }
}

/// The same segment with every sum of the header and of the records right, as far as the lengths lead.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let Some(fixed) = data.get(..HEADER) else { return out };
    let end = HEADER + 32 * usize::from(u16::from_be_bytes([fixed[18], fixed[19]]));
    if out.len() < end + 4 {
        return out;
    }
    let sum = crc32fast::hash(&out[..end]).to_be_bytes();
    out[end..end + 4].copy_from_slice(&sum);
    let salt = out[36..44].to_vec();
    let mut at = end + 4;
    while at + RECORD <= out.len() {
        let length = usize::from(u16::from_be_bytes([out[at + 2], out[at + 3]]));
        let Some(record) = out.get_mut(at..at + RECORD + length) else { break };
        let leaf = leaf_hash(&record[RECORD..]);
        record[24..56].copy_from_slice(&leaf);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt);
        hasher.update(&record[..4]);
        hasher.update(&record[8..]);
        record[4..8].copy_from_slice(&hasher.finalize().to_be_bytes());
        at += RECORD + length;
    }
    out
}
