//! The manifest of a backup: what is read is what is written, and no path leads out of the backup.
#![no_main]

use std::path::{Component, Path};

use chancery::ledger::Manifest;
use chancery::ledger::note::NoteKey;
use libfuzzer_sys::fuzz_target;

/// Ed25519, of nobody's private key.
const KEY: &str = include_str!("../seeds/log-key.txt");

fuzz_target!(|text: &str| {
    let key = NoteKey::from_text(KEY).expect("the key of this target");
    let _ = Manifest::open(text, &key);
    let _ = Manifest::read_unverified(text);
    let Ok(manifest) = Manifest::parse(text) else { return };
    for file in &manifest.files {
        let inside = |c: Component<'_>| matches!(c, Component::Normal(_));
        assert!(Path::new(&file.path).components().all(inside), "{}", file.path);
    }
    assert_eq!(Manifest::parse(&manifest.text()).as_ref(), Ok(&manifest));
});
