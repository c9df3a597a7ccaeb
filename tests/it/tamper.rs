//! A ledger that somebody changed: `chancery ledger verify` names the first bad place and exits with
//! 3, touches nothing, and no signer serves on what its start sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted};

/// Octets of a record before its entry (`docs/ledger-format.md`).
const RECORD_HEADER: usize = 56;

/// An instance that has enrolled twice and stopped in order, with copies of its ledger after each.
struct Scene {
    instance: Instance,
    ledger: PathBuf,
    copies: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let mut instance = Instance::create(&Options::default()).unwrap();
        let copies = tempfile::tempdir().unwrap();
        let mut ledger = PathBuf::new();
        for name in ["older", "newer"] {
            instance.start().unwrap();
            let server = instance.server().unwrap();
            let (device, draft) = good(&instance, &server, name);
            granted(&instance, &server, &device, &draft);
            instance.stop().unwrap();
            ledger = parent_of_journal(instance.folder()).expect("a ledger");
            copy(&ledger, &copies.path().join(name));
        }
        Self { instance, ledger, copies }
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.copies.path().join(name)
    }

    /// A fresh copy of the whole ledger on which `damage` was done.
    fn damaged(&self, name: &str, damage: impl FnOnce(&Path)) -> PathBuf {
        let folder = self.kept(name);
        copy(&self.kept("newer"), &folder);
        damage(&segment(&folder));
        folder
    }

    fn verify(&self, folder: &Path, more: &[&str]) -> Output {
        let folder = folder.to_str().unwrap();
        self.instance.command(&[&["ledger", "verify", folder], more].concat()).unwrap()
    }

    /// The command's verdict: not good, `place` named, the folder as it was.
    #[track_caller]
    fn finds(&self, folder: &Path, more: &[&str], place: &str) {
        let before = contents(folder);
        let output = self.verify(folder, more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{}: {said}", folder.display());
        assert!(said.contains(place), "{}: {place:?} is not in {said}", folder.display());
        assert!(contents(folder) == before, "{} was touched", folder.display());
    }

    /// A signer on `folder` ends with status 3 and serves nothing before.
    #[track_caller]
    fn no_signer_serves(&mut self, folder: &Path) {
        fs::remove_dir_all(&self.ledger).unwrap();
        copy(folder, &self.ledger);
        self.instance.start_role("signer").unwrap();
        let ended = self.instance.service("signer").unwrap().wait(Duration::from_secs(60));
        assert_eq!(ended.unwrap().code(), Some(3), "{}", folder.display());
        let status = self.instance.command(&["status"]).unwrap();
        assert!(!status.status.success(), "{}: something serves", folder.display());
    }
}

#[test]
fn every_change_of_the_files_is_found_and_signed_on_by_nobody() {
    let mut scene = Scene::new();
    let whole = scene.kept("newer");
    let before = contents(&whole);
    let good = scene.verify(&whole, &["--json"]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    let said: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((&said["ok"], &said["certificates"]), (&true.into(), &2.into()), "{said}");
    assert!(contents(&whole) == before, "a verification changes nothing");
    let head = said["head"].as_str().unwrap().to_owned();

    let bytes = fs::read(segment(&whole)).unwrap();
    let records = records(&bytes);
    let (second, third, last) = (records[1], records[2], *records.last().unwrap());
    let header = records[0].0;
    let flips = [
        ("magic", 0),
        ("version", 17),
        ("count", 19),
        ("size", 27),
        ("previous", 35),
        ("salt", 43),
        ("header-sum", header - 1),
        ("record-magic", second.0),
        ("flags", second.0 + 1),
        ("length", second.0 + 3),
        ("sum", second.0 + 7),
        ("sequence", second.0 + 15),
        ("commit", second.0 + 23),
        ("leaf", second.0 + 24),
        ("entry-start", second.0 + RECORD_HEADER),
        ("entry-end", second.1 - 1),
        ("last-entry", last.1 - 1),
    ];
    for (name, place) in flips {
        let folder = scene.damaged(name, |path| change(path, |bytes| bytes[place] ^= 1));
        scene.finds(&folder, &[], "journal");
    }
    // Where it is, is said.
    let octet = format!("octet {}", second.0);
    scene.finds(&scene.kept("entry-end"), &[], &octet);

    let removed =
        scene.damaged("removed", |path| change(path, |b| drop(b.drain(second.0..second.1))));
    scene.finds(&removed, &[], &octet);
    let swapped = scene.damaged("swapped", |path| {
        change(path, |b| b[second.0..third.1].rotate_left(second.1 - second.0));
    });
    scene.finds(&swapped, &[], &octet);
    let cut = scene.damaged("cut", |path| change(path, |b| b.truncate(last.0)));
    scene.finds(&cut, &[], "the database knows");
    let empty = scene.damaged("empty", |path| fs::remove_file(path).unwrap());
    scene.finds(&empty, &[], "the database knows");
    let bare = scene.damaged("bare", |path| {
        fs::remove_dir_all(path.parent().unwrap().with_file_name("db")).unwrap();
    });
    scene.finds(&bare, &[], "index database is missing");

    for folder in [scene.kept("entry-end"), removed, swapped, cut] {
        scene.no_signer_serves(&folder);
    }

    // An older copy is good in itself: only a head that was kept elsewhere knows of more.
    let older = scene.kept("older");
    assert_eq!(scene.verify(&older, &[]).status.code(), Some(0));
    scene.finds(&older, &["--head", &head], "the ledger ends at");
    let resumed = scene.verify(&whole, &["--json", "--head", &head, "--resume"]);
    let said: serde_json::Value = serde_json::from_slice(&resumed.stdout).unwrap();
    assert_eq!((&said["ok"], &said["certificates"]), (&true.into(), &0.into()), "{said}");
}

/// Who knows the format makes checksums and hashes right again. The rules tell of an entry that cannot
/// follow; of one that could have been written so, only a head that was kept elsewhere tells.
#[test]
fn a_change_with_right_checksums_is_found() {
    let scene = Scene::new();
    let bytes = fs::read(segment(&scene.kept("newer"))).unwrap();
    let records = records(&bytes);
    let said = scene.instance.command(&["ledger", "verify", "--json"]).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let head = said["head"].as_str().unwrap().to_owned();

    // The last octet of the configuration's digest entry is a letter of its summary.
    let (start, end) = records[1];
    let quiet = scene.damaged("quiet", |path| {
        change(path, |bytes| {
            let last = bytes[start..end].iter().rposition(u8::is_ascii_lowercase).unwrap();
            bytes[start + last] ^= 1;
            seal(bytes, start, end);
        });
    });
    scene.finds(&quiet, &["--head", &head], "are not those that the head");

    // A second certificate for a reservation that has one.
    let count = records.len();
    let certificate = records.iter().rev().find(|r| r.1 - r.0 > 600).copied().unwrap();
    let doubled = scene.damaged("doubled", |path| {
        change(path, |bytes| {
            let copy = bytes[certificate.0..certificate.1].to_vec();
            let start = bytes.len();
            bytes.extend_from_slice(&copy);
            renumber(bytes, start, count);
        });
    });
    scene.finds(&doubled, &[], &format!("entry {count}: "));
}

#[test]
fn a_running_ledger_is_verified_in_place_and_other_folders_are_refused() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "running");
    granted(&instance, &server, &device, &draft);
    let said = instance.ask(&["ledger", "verify"]).unwrap();
    assert!(said.starts_with("the ledger is good\n"), "{said}");
    assert!(said.contains("certificates: 1 ") && said.contains("not compared"), "{said}");

    let nothing = tempfile::tempdir().unwrap();
    let path = nothing.path().to_str().unwrap();
    let output = instance.command(&["ledger", "verify", path]).unwrap();
    assert_eq!(output.status.code(), Some(1), "a folder without a ledger is no good ledger");
    let usage = instance.command(&["ledger", "verify", "--head", "12"]).unwrap();
    assert_eq!(usage.status.code(), Some(2));
    // Another CA's key under the issuer's name: the signature is not its own.
    let root = format!("issuing={}", instance.root.display());
    let output = instance.command(&["ledger", "verify", "--issuer", &root]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("is not signed by the issuer"), "{said}");
}

/// The folder that has a folder `journal`, at or below `folder`.
fn parent_of_journal(folder: &Path) -> Option<PathBuf> {
    if folder.join("journal").is_dir() {
        return Some(folder.to_owned());
    }
    let below = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    below.filter(|path| path.is_dir()).find_map(|path| parent_of_journal(&path))
}

fn segment(ledger: &Path) -> PathBuf {
    let mut all = fs::read_dir(ledger.join("journal")).unwrap().map(|f| f.unwrap().path());
    all.next().expect("a segment")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (source, target) = {
            let i = item.unwrap();
            (i.path(), to.join(i.file_name()))
        };
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(source, target).unwrap();
        }
    }
}

/// Every file below `folder` with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        match path.is_dir() {
            true => all.extend(contents(&path)),
            false => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where each record of a segment begins and ends.
fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| usize::from(u16::from_be_bytes([segment[at], segment[at + 1]]));
    let mut all = Vec::new();
    let mut start = 48 + 32 * number(18);
    while start < segment.len() {
        let end = start + RECORD_HEADER + number(start + 2);
        all.push((start, end));
        start = end;
    }
    assert!(all.len() >= 8 && all.last().unwrap().1 == segment.len(), "{all:?}");
    all
}

/// Makes leaf hash and checksum of the record right again.
fn seal(segment: &mut [u8], start: usize, end: usize) {
    let entry = &segment[start + RECORD_HEADER..end];
    let leaf = openssl::sha::sha256(&[&[0], entry].concat());
    segment[start + 24..start + RECORD_HEADER].copy_from_slice(&leaf);
    let record = &segment[start..end];
    let sum = crc32fast::hash(&[&segment[36..44], &record[..4], &record[8..]].concat());
    segment[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Makes the record at `start`, the last, one of number `sequence` and of a commit of its own.
fn renumber(segment: &mut [u8], start: usize, sequence: usize) {
    let end = segment.len();
    let old = u64::from_be_bytes(segment[start + 8..start + 16].try_into().unwrap());
    let (old, new) = (u8::try_from(old).unwrap(), u8::try_from(sequence).unwrap());
    let entry = &mut segment[start + RECORD_HEADER..end];
    let at = entry.windows(3).position(|w| w == [2, 1, old]).expect("its number");
    entry[at + 2] = new;
    for place in [8, 16] {
        let number = (sequence as u64).to_be_bytes();
        segment[start + place..start + place + 8].copy_from_slice(&number);
    }
    segment[start + 1] = 1;
    seal(segment, start, end);
}
