//! Tiles' paths, signed notes, checkpoints and proof files.
#![no_main]

use chancery::ledger::checkpoint::Checkpoint;
use chancery::ledger::note::NoteKey;
use chancery::ledger::{Tile, proof_file};
use libfuzzer_sys::fuzz_target;

/// Ed25519, of nobody's private key.
const KEY: &str = include_str!("../seeds/log-key.txt");

fuzz_target!(|text: &str| {
    if let Some(tile) = Tile::from_path(text) {
        assert_eq!(tile.path(), text);
    }
    if let Ok(key) = NoteKey::from_text(text) {
        assert_eq!(key.text(), text.trim());
    }
    let _ = Checkpoint::read_unverified(text);
    let key = NoteKey::from_text(KEY).expect("the key of this target");
    let _ = Checkpoint::open(text, &key);
    let _ = proof_file::verify(text, &key);
});
