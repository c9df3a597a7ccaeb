//! What is made from the journal, indexes and hashes: the verification in the background holds it against the
//! entries, nobody signs on what is wrong, and what is deleted or broken is made anew.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use softhsm_test::client::Delivery;
use softhsm_test::instance::{Instance, Options};

use crate::common::{copy_folder, good, granted};
use crate::proofs::{json, until};

/// Entries of one round of the indexer: their indexes are in the database, those of the rest in memory.
const ROUND: u64 = 4096;

/// The database of a ledger that nobody uses.
fn open(ledger: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(ledger.join("db")).segment_size(2 << 20).open()
}

/// In the database of a ledger that nobody uses, changes the first value whose key begins with `kind`, and
/// makes its checksum right again where it has one.
fn change(ledger: &Path, kind: u8, change: impl FnOnce(&mut Vec<u8>), with_sum: bool) {
    let db = open(ledger).unwrap();
    let (key, value) = db.scan_prefix([kind]).next().expect("such a value").unwrap();
    let mut value = value.to_vec();
    change(&mut value);
    if with_sum {
        let body = value.len() - 4;
        let sum = crc32fast::hash(&value[..body]);
        value[body..].copy_from_slice(&sum.to_be_bytes());
    }
    db.insert(key, value).unwrap();
    db.flush().unwrap();
}

/// Changes an octet in every page of a file.
fn flip(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    for place in (length.min(4096) / 3..length).step_by(4096) {
        let mut octet = [0];
        file.read_exact_at(&mut octet, place).unwrap();
        file.write_all_at(&[octet[0] ^ 0x10], place).unwrap();
    }
}

fn replace(folder: &Path, with: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy_folder(with, folder);
}

#[test]
fn indexes_are_held_against_the_entries_and_made_anew() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let often = "[ledger]\nverify_every = \"1s\"\n";
    instance
        .configure(|config| config.replace("[ledger]\n", often) + "one_time_challenges = true\n")
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "before");
    let first = granted(&instance, &server, &device, &draft);
    for _ in 0..5 {
        instance.ask(&["challenge", "issue", "device", "--count", "1000", "--csv"]).unwrap();
    }
    instance.stop().unwrap();
    let ledger = instance.folder().join("state/ledger");
    let kept = tempfile::tempdir().unwrap();
    let whole = kept.path().join("whole");
    copy_folder(&ledger, &whole);
    let said = json(&instance, &["ledger", "verify", whole.to_str().unwrap()]);
    assert!(said["indexes"].as_u64() >= Some(ROUND), "{said}");

    // Who compares names what is wrong, whether the checksums of the database are right or not.
    let wrong_line = |value: &mut Vec<u8>| {
        // The last one's sequence: it stays in order.
        let at = value.len() - 4 - 2;
        value[at] ^= 1;
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, u8, Change<'_>, bool, &str); 4] = [
        ("line", 2, &wrong_line, true, "its indexes of the entries 0 to"),
        ("page", 2, &wrong_line, false, "is damaged"),
        ("fences", 3, &wrong_line, false, "is damaged"),
        (
            "copy",
            1,
            &|value| value[8 + 60] ^= 1,
            false,
            "its copy of entry 0 is missing or damaged",
        ),
    ];
    for (name, kind, damage, with_sum, place) in cases {
        let folder = kept.path().join(name);
        copy_folder(&whole, &folder);
        change(&folder, kind, damage, with_sum);
        let output = instance.command(&["ledger", "verify", folder.to_str().unwrap()]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{name}: {said}");
        assert!(said.contains(place), "{name}: {place:?} is not in {said}");
    }

    // A start cannot see it; the background does.
    replace(&ledger, &kept.path().join("line"));
    instance.start().unwrap();
    let said = until(&instance, &["status"], |said| !said["maintenance"].is_null());
    let why = said["maintenance"].as_str().unwrap();
    assert!(why.contains("its folder db/: its indexes of the entries 0 to"), "{why}");
    assert!(why.contains("delete tree/ and db/"), "{why}");
    let server = instance.server().unwrap();
    let (late, late_draft) = good(&instance, &server, "late");
    let sent = late_draft.build(&late).unwrap();
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    instance.stop().unwrap();

    let path = ledger.to_str().unwrap();
    // The remedy that it names, and then a database, hashes and a note of the last verification that are broken.
    for folder in ["db", "tree"] {
        fs::remove_dir_all(ledger.join(folder)).unwrap();
    }
    fs::remove_file(ledger.join("finding")).unwrap();
    for broken in [false, true] {
        if broken {
            for file in ["db/db", "tree/0", "tree/1", "verified"] {
                flip(&ledger.join(file));
            }
            // sled takes what it cannot read for a torn end, or does not open.
            let copy = kept.path().join("broken");
            copy_folder(&ledger, &copy);
            let left = open(&copy).map_or(0, |db| db.len());
            assert!(left < open(&whole).unwrap().len(), "nothing is broken: {left} values");
        }
        instance.start().unwrap();
        if broken {
            until(&instance, &["status"], |said| !said["verification"]["succeeded"].is_null());
        }
        let server = instance.server().unwrap();
        assert_eq!(granted(&instance, &server, &device, &draft), first, "broken: {broken}");
        granted(&instance, &server, &late, &late_draft);
        let status = json(&instance, &["status"]);
        assert!(status["maintenance"].is_null(), "{status}");
        instance.stop().unwrap();
        let said = json(&instance, &["ledger", "verify", path]);
        assert!(said["indexes"].as_u64() >= Some(ROUND), "{said}");
    }
}
