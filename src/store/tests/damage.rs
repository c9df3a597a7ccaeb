//! Damage: found where it matters, repaired where something else has what was lost.

use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::*;
use crate::ledger::{Ledger, Sequence, Store, StoreError};
use crate::store::journal::Found;

/// A kind of damage: its name and what does it.
type Case<'a, T> = (&'a str, &'a dyn Fn(&T));

/// A ledger of `count` enrolments, closed.
fn filled(folder: &Path, count: usize) {
    let ledger = ledger(folder);
    enrol_many(&ledger, count);
    ledger.close().unwrap();
}

/// The journal's segments, oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder.join("journal")).unwrap().map(|f| f.unwrap().path());
    let mut all: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == "journal")).collect();
    all.sort();
    all
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn assert_damaged(folder: &Path, what: &str) {
    match Found::look(&folder.join("journal")) {
        Err(StoreError::Damaged(_)) => {}
        Err(e) => panic!("{what}: {e}"),
        Ok(found) => panic!("{what}: it opened with {} entries", found.frontier.size()),
    }
}

fn assert_whole(ledger: &Ledger, count: usize) {
    for i in 0..count {
        assert!(ledger.transaction("device", format!("t{i}").as_bytes()).unwrap().is_some(), "{i}");
        assert!(ledger.entry(Sequence(i as u64)).unwrap().is_some());
    }
}

#[test]
fn a_flipped_bit_in_what_was_acknowledged_is_damage_and_not_a_torn_end() {
    let origin = tempfile::tempdir().unwrap();
    filled(origin.path(), 25);
    let path = &segments(origin.path())[0];
    // All but the last commit: whether that one was acknowledged only a head elsewhere can tell.
    let before_last = fs::metadata(path).unwrap().len() as usize;
    append(&ledger(origin.path()), vec![start("last")]);
    for place in (0..before_last).step_by(97) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("journal")).unwrap();
        let copy = folder.path().join("journal").join(path.file_name().unwrap());
        fs::copy(path, &copy).unwrap();
        change(&copy, |bytes| bytes[place] ^= 1 << (place % 8));
        assert_damaged(folder.path(), &format!("octet {place}"));
    }
}

#[test]
fn missing_and_shortened_segments_are_damage() {
    let origin = tempfile::tempdir().unwrap();
    filled(origin.path(), 300);
    let names: Vec<_> = segments(origin.path());
    assert!(names.len() >= 4);
    let damage: [Case<'_, [PathBuf]>; 5] = [
        ("first missing", &|s| fs::remove_file(&s[0]).unwrap()),
        ("middle missing", &|s| fs::remove_file(&s[1]).unwrap()),
        ("middle cut", &|s| change(&s[1], |b| b.truncate(b.len() - 1))),
        ("middle longer", &|s| change(&s[1], |b| b.push(0))),
        ("middle doubled", &|s| assert!(fs::copy(&s[1], &s[2]).unwrap() > 0)),
    ];
    for (what, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("journal")).unwrap();
        for path in &names {
            fs::copy(path, folder.path().join("journal").join(path.file_name().unwrap())).unwrap();
        }
        damage(&segments(folder.path()));
        assert_damaged(folder.path(), what);
    }
}

#[test]
fn a_journal_that_is_shorter_than_the_database_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 200);
    let last = segments(folder.path()).pop().unwrap();
    fs::remove_file(last).unwrap();
    let opened = store(folder.path()).map(drop);
    assert!(matches!(opened, Err(StoreError::Damaged(_))), "{opened:?}");
}

#[test]
fn octets_after_the_end_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10);
    let path = segments(folder.path()).pop().unwrap();
    for rest in [&[0; 9000][..], b"rubbish", &[0xca; 100]] {
        change(&path, |bytes| bytes.extend_from_slice(rest));
        let store = store(folder.path()).unwrap();
        assert_eq!((store.size(), store.torn_bytes()), (20, rest.len() as u64));
    }
    assert_whole(&ledger(folder.path()), 10);
}

#[test]
fn a_database_that_is_gone_damaged_or_another_ones_is_rebuilt() {
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), 300);
    let damage: [Case<'_, Path>; 5] = [
        ("gone", &|db| fs::remove_dir_all(db).unwrap()),
        ("emptied", &|db| fs::write(db.join("db"), []).unwrap()),
        ("zeroed", &|db| change(&db.join("db"), |b| b[4096..].fill(0))),
        ("configuration damaged", &|db| change(&db.join("conf"), |b| b[3] ^= 0xff)),
        ("another ledger's", &|db| {
            fs::remove_dir_all(db).unwrap();
            fs::create_dir(db).unwrap();
            for name in ["db", "conf"] {
                fs::copy(other.path().join("db").join(name), db.join(name)).unwrap();
            }
        }),
    ];
    for (what, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 400);
        damage(&folder.path().join("db"));
        let ledger = ledger(folder.path());
        assert_whole(&ledger, 400);
        eprintln!("{what}: whole");
        enrol(&ledger, "after");
    }
}

#[test]
fn a_database_with_any_damage_gives_right_answers_or_none() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 400);
    let db = folder.path().join("db").join("db");
    let good = fs::read(&db).unwrap();
    let used = good.iter().rposition(|b| *b != 0).unwrap();
    for round in 0..12 {
        let place = (round * 7919 * 131) % used;
        fs::write(&db, &good).unwrap();
        change(&db, |bytes| bytes[place] ^= 0x40);
        let ledger = ledger(folder.path());
        let mut refused = 0;
        for i in 0..400 {
            match ledger.transaction("device", format!("t{i}").as_bytes()) {
                Ok(found) => assert!(found.is_some(), "octet {place}: t{i} was forgotten"),
                Err(_) => refused += 1,
            }
        }
        eprintln!("octet {place}: {refused} look-ups refused");
        drop(ledger);
    }
}

#[test]
fn offsets_that_are_gone_or_wrong_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 400);
    let offsets = |n: usize| segments(folder.path())[n].with_extension("offsets");
    fs::remove_file(offsets(0)).unwrap();
    change(&offsets(1), |bytes| bytes.truncate(8));
    change(&offsets(2), |bytes| bytes[10] ^= 0xff);
    change(&offsets(3), |bytes| bytes[15] ^= 1);
    assert_whole(&ledger(folder.path()), 400);
}
