//! Checkpoints, tiles, proofs and anchors of a ledger on disk.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use super::fixture::*;
use crate::clock::SystemClock;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::{Hash, leaf_hash};
use crate::ledger::note::NoteKey;
use crate::ledger::proof::{self, Leaves};
use crate::ledger::proof_file::{self, ProofError};
use crate::ledger::{Anchor, Entry, Ledger, NoteSigner, Sequence, StoreError, Tile, known_heads};
use crate::pki::PublicKey;
use crate::random::SystemRandom;
use crate::store::{FileAnchor, FileStore, StoreOptions};

/// A log's key in software.
pub(super) struct SoftKey(PKey<Private>, NoteKey);

impl SoftKey {
    pub(super) fn new(name: &str) -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let public = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
        let note_key = NoteKey::new(name, public).unwrap();
        Self(key, note_key)
    }
}

impl NoteSigner for SoftKey {
    fn key(&self) -> &NoteKey {
        &self.1
    }

    fn sign(
        &self,
        text: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>> {
        let mut signer = Signer::new_without_digest(&self.0).unwrap();
        let signature = signer.sign_oneshot_to_vec(&text).unwrap();
        Box::pin(std::future::ready(Ok(signature)))
    }
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Opens with what the anchor knows.
fn open_anchored(folder: &Path, anchor: &Arc<dyn Anchor>, key: &SoftKey) -> Result<(), StoreError> {
    let known_heads = known_heads(std::slice::from_ref(anchor), key.key()).unwrap();
    let options = StoreOptions { known_heads, ..options(folder) };
    FileStore::open(options, Arc::new(SystemRandom)).map(drop)
}

#[test]
fn tiles_bundles_and_proofs_agree_with_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = super::fixture::ledger(folder.path());
    enrol_many(&ledger, 300);
    let key = SoftKey::new("ca.example/log");
    let note = wait(ledger.sign_checkpoint(&key, &[])).unwrap();
    assert_eq!(ledger.checkpoint().unwrap(), Some(note.clone()));
    append(&ledger, vec![start("later")]);
    let checkpoint = Checkpoint::open(&note, key.key()).unwrap();
    assert_eq!(checkpoint.size, 600);

    // The leaves, once from the bundles and once from the tiles.
    let tile = |path: &str| ledger.tile(&Tile::from_path(path).unwrap(), 600).unwrap();
    let mut from_bundles: Vec<Hash> = Vec::new();
    for path in ["entries/000", "entries/001", "entries/002.p/88"] {
        let bundle = tile(path).unwrap();
        let mut rest = &bundle[..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            assert_eq!(Entry::decode(entry).unwrap().sequence.0, from_bundles.len() as u64);
            from_bundles.push(leaf_hash(entry));
            rest = after;
        }
    }
    let from_tiles: Vec<u8> = ["0/000", "0/001", "0/002.p/88"].map(|p| tile(p).unwrap()).concat();
    assert_eq!(from_bundles.concat(), from_tiles);
    let leaves = Leaves(from_bundles);
    assert_eq!(proof::root(&leaves, 600), Ok(checkpoint.root));
    let upper: Vec<u8> = [&leaves.0[..256], &leaves.0[256..512]]
        .map(|part| proof::root(&Leaves(part.to_vec()), 256).unwrap())
        .concat();
    assert_eq!(tile("1/000.p/2").unwrap(), upper);
    for missing in ["0/002.p/89", "0/002", "0/003", "1/000", "1/000.p/3", "2/000.p/1"] {
        assert_eq!(tile(missing), None, "{missing}");
    }
    assert!(tile("0/002.p/87").is_some() && tile("entries/001.p/9").is_some());

    for sequence in [0, 1, 255, 256, 511, 599] {
        let file = ledger.proof_file(Sequence(sequence), &note).unwrap().unwrap();
        let (entry, covering) = proof_file::verify(&file, key.key()).unwrap();
        assert_eq!((entry.sequence, &covering), (Sequence(sequence), &checkpoint));
        assert_eq!(Some(entry), ledger.entry(Sequence(sequence)).unwrap());
        let moved = file.replace(&format!("index {sequence}\n"), "index 7\n");
        assert_eq!(proof_file::verify(&moved, key.key()), Err(ProofError::NotIncluded));
        let stranger = SoftKey::new("ca.example/log");
        assert!(matches!(
            proof_file::verify(&file, stranger.key()),
            Err(ProofError::Checkpoint(_))
        ));
        for cut in (0..file.len()).step_by(101).filter(|cut| file.is_char_boundary(*cut)) {
            assert!(proof_file::verify(&file[..cut], key.key()).is_err());
        }
    }
    assert_eq!(ledger.proof_file(Sequence(600), &note), Ok(None));

    let old = ledger.root_at(300).unwrap().unwrap();
    let path = ledger.consistency(300, 600).unwrap().unwrap();
    assert!(proof::proves_consistency(300, &old, 600, &checkpoint.root, &path));
    assert_eq!(ledger.consistency(600, 602), Ok(None));
    assert_eq!(ledger.root_at(602), Ok(None));
}

#[test]
fn hashes_that_are_gone_or_wrong_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = super::fixture::ledger(folder.path());
    enrol_many(&ledger, 300);
    let (head, root) = (ledger.head(), ledger.root_at(512).unwrap());
    drop(ledger);
    let tree = folder.path().join("tree");
    let damage: [&dyn Fn(); 3] = [
        &|| fs::remove_dir_all(&tree).unwrap(),
        &|| fs::write(tree.join("0"), [0; 10]).unwrap(),
        &|| fs::write(tree.join("1"), [1; 4000]).unwrap(),
    ];
    for damage in damage {
        damage();
        let ledger = super::fixture::ledger(folder.path());
        assert_eq!(ledger.root_at(head.size()).unwrap(), Some(head.root()));
        assert_eq!(ledger.root_at(512).unwrap(), root);
    }
}

#[test]
fn an_older_copy_is_not_opened_where_a_checkpoint_or_an_anchor_knows_more() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let key = SoftKey::new("ca.example/log");
    let anchor: Arc<dyn Anchor> = Arc::new(FileAnchor(elsewhere.path().join("anchor")));
    assert_eq!(known_heads(std::slice::from_ref(&anchor), key.key()), Ok(vec![]));
    let sign = |ledger: &Ledger| {
        wait(ledger.sign_checkpoint(&key, std::slice::from_ref(&anchor))).unwrap()
    };
    let ledger = super::fixture::ledger(&data);
    enrol_many(&ledger, 30);
    sign(&ledger);
    drop(ledger);
    let copy = folder.path().join("copy");
    copy_folder(&data, &copy);
    let forked = folder.path().join("forked");
    copy_folder(&data, &forked);

    let ledger = super::fixture::ledger(&data);
    append(&ledger, vec![start("one")]);
    let note = sign(&ledger);
    append(&ledger, vec![start("two")]);
    drop(ledger);
    open_anchored(&data, &anchor, &key).unwrap();

    let refused = open_anchored(&copy, &anchor, &key);
    let known_by = elsewhere.path().join("anchor").display().to_string();
    assert_eq!(refused, Err(StoreError::RolledBack { known_by, size: 61, here: 60 }));
    assert!(super::fixture::store(&copy).is_ok(), "without the anchor nothing shows");
    fs::write(copy.join("checkpoint"), &note).unwrap();
    let refused = super::fixture::store(&copy).map(drop);
    assert!(matches!(refused, Err(StoreError::RolledBack { .. })), "{refused:?}");

    // As long as the real one, but with another history.
    let ledger = super::fixture::ledger(&forked);
    append(&ledger, vec![start("another")]);
    drop(ledger);
    let refused = open_anchored(&forked, &anchor, &key);
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");

    // A note that the log's key did not sign is no anchor.
    let forged = wait(super::fixture::ledger(&forked).sign_checkpoint(&SoftKey::new("x"), &[]));
    fs::write(elsewhere.path().join("anchor"), forged.unwrap()).unwrap();
    assert!(known_heads(std::slice::from_ref(&anchor), key.key()).is_err());
}

#[test]
fn a_torn_end_is_damage_where_the_checkpoint_covers_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = super::fixture::ledger(folder.path());
    let (sequence, reservation) = reserve(&ledger, "t");
    append(&ledger, vec![draft(issued(sequence, &reservation))]);
    let key = SoftKey::new("log");
    wait(ledger.sign_checkpoint(&key, &[])).unwrap();
    drop(ledger);
    let path = folder.path().join("journal/00000000000000000000.journal");
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(length - 1).unwrap();
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    let refused = store(folder.path()).map(drop);
    assert!(matches!(refused, Err(StoreError::RolledBack { size: 2, here: 1, .. })), "{refused:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), length - 1, "nothing was cut off");
}

#[test]
fn damage_behind_the_newest_head_is_found_at_the_start_in_whatever_segment() {
    let folder = tempfile::tempdir().unwrap();
    let open = store(folder.path()).unwrap();
    let ledger = Ledger::open(open.clone(), Arc::new(SystemClock)).unwrap();
    enrol_many(&ledger, 100);
    wait(ledger.sign_checkpoint(&SoftKey::new("log"), &[])).unwrap();
    // So many that the database has them, and a start has nothing to bring to it.
    enrol_many(&ledger, 3000);
    while open.indexed_size() < 4096 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    ledger.close().unwrap();
    drop((ledger, open));
    let first_of =
        |path: &Path| -> u64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let all = fs::read_dir(folder.path().join("journal")).unwrap().map(|f| f.unwrap().path());
    let mut all: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == "journal")).collect();
    all.sort();
    let between = |low: u64, high: u64| {
        all.iter().find(|path| (low..high).contains(&first_of(path))).expect("a segment").clone()
    };
    for (path, seen) in [(between(0, 1), false), (between(300, 2000), true)] {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&path, bad).unwrap();
        let opened = store(folder.path()).map(drop);
        match opened {
            Err(StoreError::Damaged(what)) => {
                assert!(seen && what.contains(path.to_str().unwrap()), "{what}");
            }
            // What a checkpoint covers is read by the verification that begins with the service.
            other => assert!(!seen && other.is_ok(), "{other:?}"),
        }
        fs::write(&path, good).unwrap();
    }
    store(folder.path()).unwrap();
}
