//! A ledger that somebody changed: `chancery ledger verify` names the first bad place and exits with
//! 3, touches nothing, and no signer serves on what its start sees.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use softhsm_test::client::Delivery;
use softhsm_test::client::http::{self, Request};
use softhsm_test::instance::{Instance, Options};

use crate::common::{contents, copy_folder, good, granted};

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
            copy_folder(&ledger, &copies.path().join(name));
        }
        Self { instance, ledger, copies }
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.copies.path().join(name)
    }

    /// A fresh copy of the whole ledger on which `damage` was done.
    fn damaged(&self, name: &str, damage: impl FnOnce(&Path)) -> PathBuf {
        let folder = self.kept(name);
        copy_folder(&self.kept("newer"), &folder);
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
        assert_eq!(output.status.code(), Some(3), "{}: {place:?}: {said}", folder.display());
        assert!(said.contains(place), "{}: {place:?} is not in {said}", folder.display());
        assert!(contents(folder) == before, "{} was touched", folder.display());
    }

    /// A service on `folder` signs nothing, and says that `why`.
    #[track_caller]
    fn nothing_is_signed(&mut self, folder: &Path, why: &str) {
        self.signs_nothing(folder, why, &[]);
    }

    /// The same where the start must open the indexes to see it: they and the tree's hashes, which are
    /// made from the journal, may be brought up to it. Entries, checkpoint and anchor stay.
    #[track_caller]
    fn no_new_head_is_signed(&mut self, folder: &Path, why: &str) {
        self.signs_nothing(folder, why, &["db", "tree"]);
    }

    #[track_caller]
    fn signs_nothing(&mut self, folder: &Path, why: &str, derived: &[&str]) {
        let kept = |ledger: &Path| {
            let mut all = contents(ledger);
            all.retain(|(path, _)| !derived.iter().any(|d| path.starts_with(ledger.join(d))));
            all
        };
        let anchor = self.instance.folder().join("state/ledger-anchor");
        let anchored = fs::read(&anchor).ok();
        fs::remove_dir_all(&self.ledger).unwrap();
        copy_folder(folder, &self.ledger);
        let before = kept(&self.ledger);
        let checkpoint = fs::read_to_string(self.ledger.join("checkpoint")).unwrap_or_default();
        self.instance.start().unwrap();
        let status = self.instance.ask(&["status", "--json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let reason = status["maintenance"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{}: {reason}", folder.display());
        // The CA's certificate and its list are served on; nothing is opened or signed.
        let server = self.instance.server().unwrap();
        let (device, draft) = good(&self.instance, &server, "late");
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        let crl = http::send(&server.url, &Request::get("/crl/issuing.crl")).unwrap();
        let head = http::send(&server.url, &Request::get("/log/checkpoint")).unwrap();
        let refused = self.instance.command(&["crl", "now"]).unwrap();
        let files = kept(&self.ledger);
        self.instance.stop().unwrap();
        assert_eq!(crl.status, 200, "{}", folder.display());
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{}", folder.display());
        assert!(!refused.status.success(), "{}: a list was signed", folder.display());
        assert!(files == before, "{}: the signer touched it", folder.display());
        assert!(fs::read(&anchor).ok() == anchored, "{}: another anchor", folder.display());
        assert!(
            head.status != 200 || head.text() == checkpoint,
            "{}: a head was served: {}",
            folder.display(),
            head.text()
        );
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
        // What looks like a commit that a crash tore is known by the checkpoint over it.
        let found = if name == "last-entry" { "its kept checkpoint covers" } else { "journal" };
        scene.finds(&folder, &[], found);
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
    scene.finds(&cut, &[], "its kept checkpoint covers");
    let unsigned = scene.damaged("unsigned", |path| {
        change(path, |b| b.truncate(last.0));
        fs::remove_file(path.parent().unwrap().with_file_name("checkpoint")).unwrap();
    });
    scene.finds(&unsigned, &[], "the database knows");
    let empty = scene.damaged("empty", |path| fs::remove_file(path).unwrap());
    scene.finds(&empty, &[], "its kept checkpoint covers");
    let bare = scene.damaged("bare", |path| {
        fs::remove_dir_all(path.parent().unwrap().with_file_name("db")).unwrap();
    });
    scene.finds(&bare, &[], "index database is missing");

    for (folder, why) in [
        (scene.kept("entry-end"), "damaged"),
        (removed, "damaged"),
        (swapped, "damaged"),
        (cut, "was cut"),
        (unsigned, "was cut"),
        (empty, "was cut"),
        (scene.kept("older"), "was cut or an old copy"),
    ] {
        scene.nothing_is_signed(&folder, why);
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
    let mut scene = Scene::new();
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
    scene.finds(&quiet, &[], "are not those that its kept checkpoint covers");
    scene.nothing_is_signed(&quiet, "are not those that");
    // Who wrote the entries anew takes the checkpoint away, too: the anchor still knows.
    fs::remove_file(quiet.join("checkpoint")).unwrap();
    scene.finds(&quiet, &["--head", &head], "are not those that the head");
    scene.nothing_is_signed(&quiet, "ledger-anchor");

    // A second certificate for a reservation that has one.
    let count = records.len();
    let certificate = records.iter().rev().find(|r| r.1 - r.0 > 600).copied().unwrap();
    let doubled = scene.damaged("doubled", |path| again(path, certificate, count, |_| {}));
    scene.finds(&doubled, &[], &format!("entry {count}: "));
    // Records and hashes are right and no head covers them yet: the start holds them against the rules
    // before it signs one.
    let why = format!("the ledger is damaged: entry {count}: entry ");
    scene.no_new_head_is_signed(&doubled, &why);

    // A second certificate for a transaction begins with a second reservation.
    let at = records.iter().position(|r| *r == certificate).unwrap() - 1;
    let reservation = records[at];
    let serial = serial_of(&bytes[certificate.0 + RECORD_HEADER..certificate.1]);
    let second = scene.damaged("second", |path| {
        again(path, reservation, count, |copy| {
            let places: Vec<_> =
                (0..copy.len()).filter(|i| copy[*i..].starts_with(&serial)).collect();
            assert!(places.len() >= 2, "the number stands in the entry and in its TBSCertificate");
            places.iter().for_each(|place| copy[place + serial.len() - 1] ^= 1);
        });
    });
    let why = format!("entry {count}: its transaction has");
    scene.finds(&second, &[], &why);
    scene.no_new_head_is_signed(&second, &why);

    // The same serial once more.
    let twice = scene.damaged("twice", |path| again(path, reservation, count, |_| {}));
    scene.finds(&twice, &[], "was reserved before");
    scene.no_new_head_is_signed(&twice, "was reserved before");
}

/// The heads that a start goes by, and the note of damage that was found: whatever is wrong with one of them,
/// the lists and the status are served on and nothing is signed.
#[test]
fn a_head_or_a_finding_that_was_changed_is_signed_on_by_nobody() {
    let mut scene = Scene::new();
    let anchor = scene.instance.folder().join("state/ledger-anchor");
    let anchored = fs::read(&anchor).unwrap();
    let note = fs::read_to_string(scene.kept("newer").join("checkpoint")).unwrap();
    let line = |number: usize| {
        let lines = note.split_inclusive('\n').take(number);
        lines.map(str::len).sum::<usize>()
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, Change<'_>, &str); 7] = [
        ("origin", &|note| note[0] ^= 1, "checkpoint"),
        ("size", &|note| note[line(1)] ^= 1, "checkpoint"),
        ("root", &|note| note[line(2) + 4] ^= 1, "checkpoint"),
        (
            "signature",
            &|note| {
                let end = note.len() - 9;
                note[end] ^= 1;
            },
            "checkpoint",
        ),
        ("cut-off", &|note| note.truncate(line(2) + 9), "checkpoint"),
        ("emptied", &|note| note.clear(), "checkpoint"),
        ("no-text", &|note| note[line(2)] = 0xff, "checkpoint is not text any more"),
    ];
    for (name, damage, place) in cases {
        let folder = scene.damaged(name, |path| {
            change(&path.parent().unwrap().with_file_name("checkpoint"), damage);
        });
        scene.finds(&folder, &[], place);
    }
    scene.nothing_is_signed(&scene.kept("root"), "the checkpoint in");
    scene.nothing_is_signed(&scene.kept("no-text"), "not text any more");

    let whole = scene.kept("newer");
    let another_root = |note: &mut Vec<u8>| note[line(2) + 4] ^= 1;
    let no_text = |note: &mut Vec<u8>| note[0] = 0xff;
    for damage in [&another_root as Change<'_>, &no_text] {
        change(&anchor, damage);
        scene.nothing_is_signed(&whole, "ledger-anchor");
        fs::write(&anchor, &anchored).unwrap();
    }
    // Whatever stands in it.
    let found = scene.damaged("found", |path| {
        fs::write(path.parent().unwrap().with_file_name("finding"), [0xff]).unwrap();
    });
    scene.nothing_is_signed(&found, "finding is not text any more");
}

/// What a later release wrote is not damaged, and is not guessed at: every reader says what it needs, and
/// nothing is signed.
#[test]
fn an_entry_of_an_unknown_version_is_refused_by_its_number() {
    let mut scene = Scene::new();
    let bytes = fs::read(segment(&scene.kept("newer"))).unwrap();
    let all = records(&bytes);
    let ((start, end), last) = (*all.last().unwrap(), all.len() - 1);
    let later = scene.damaged("later", |path| {
        change(path, |bytes| {
            let entry = start + RECORD_HEADER;
            let version = bytes[entry..end].windows(3).position(|w| w == [2, 1, 1]).unwrap();
            assert!(version <= 4, "the first field is the version");
            bytes[entry + version + 2] = 2;
            seal(bytes, start, end);
        });
    });
    // Heads over other octets would be found first.
    fs::remove_file(later.join("checkpoint")).unwrap();
    fs::remove_file(scene.instance.folder().join("state/ledger-anchor")).unwrap();
    let said = format!("entry {last}: the entry has version 2, this program reads version 1");
    scene.finds(&later, &[], &said);
    let folder = later.to_str().unwrap();
    let arguments = ["ledger", "migrate", "--check", "--folder", folder];
    let before = contents(&later);
    let output = scene.instance.command(&arguments).unwrap();
    let migrate = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{migrate}");
    assert!(migrate.contains(&said) && migrate.contains("install the release"), "{migrate}");
    assert!(contents(&later) == before, "a check changes nothing");
    let why = format!("entry {last} has version 2, this program reads version 1: use a newer");
    scene.nothing_is_signed(&later, &why);
    assert!(!later.join("finding").exists(), "no damage is remembered: the release is too old");
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
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(3),
        "a folder without a journal is no good ledger: {said}"
    );
    assert!(said.contains("«journal», which holds every entry, is missing"), "{said}");
    let usage = instance.command(&["ledger", "verify", "--head", "12"]).unwrap();
    assert_eq!(usage.status.code(), Some(2));
    // Another CA's key under the issuer's name: the signature is not its own.
    let root = format!("issuing={}", instance.root.display());
    let output = instance.command(&["ledger", "verify", "--issuer", &root]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("is not signed by the issuer"), "{said}");
}

/// Changes a letter of the first entry, in place and under a signer that may be appending; its checksum
/// and leaf are made right where wanted. Returns what puts it back.
pub fn rewrite_first_entry(segment: &Path, with_right_sums: bool) -> impl FnOnce() + use<> {
    let mut bytes = fs::read(segment).unwrap();
    let before = bytes.clone();
    let (start, end) = records(&bytes)[0];
    let last = bytes[start..end].iter().rposition(u8::is_ascii_lowercase).unwrap();
    bytes[start + last] ^= 1;
    if with_right_sums {
        seal(&mut bytes, start, end);
    }
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.write_all_at(&bytes[start..end], start as u64).unwrap();
    move || file.write_all_at(&before[start..end], start as u64).unwrap()
}

/// The folder that has a folder `journal`, at or below `folder`.
fn parent_of_journal(folder: &Path) -> Option<PathBuf> {
    if folder.join("journal").is_dir() {
        return Some(folder.to_owned());
    }
    let below = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    below.filter(|path| path.is_dir()).find_map(|path| parent_of_journal(&path))
}

pub fn segment(ledger: &Path) -> PathBuf {
    let mut all = fs::read_dir(ledger.join("journal")).unwrap().map(|f| f.unwrap().path());
    all.next().expect("a segment")
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where each record of a segment begins and ends.
pub fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| usize::from(u16::from_be_bytes([segment[at], segment[at + 1]]));
    let mut all = Vec::new();
    let mut start = 48 + 32 * number(18);
    while start < segment.len() {
        let end = start + RECORD_HEADER + number(start + 2);
        all.push((start, end));
        start = end;
    }
    assert!(all.len() >= 4 && all.last().unwrap().1 == segment.len(), "{all:?}");
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

/// Appends the record in `place` once more, with what `edit` makes of it, as number `sequence`.
fn again(
    path: &Path,
    (start, end): (usize, usize),
    sequence: usize,
    edit: impl FnOnce(&mut Vec<u8>),
) {
    change(path, |bytes| {
        let mut copy = bytes[start..end].to_vec();
        edit(&mut copy);
        let start = bytes.len();
        bytes.extend_from_slice(&copy);
        renumber(bytes, start, sequence);
    });
}

/// The content octets of the serial number of the certificate in `entry`: they follow its version.
fn serial_of(entry: &[u8]) -> Vec<u8> {
    let version = [0xa0, 3, 2, 1, 2, 2];
    let place = entry.windows(version.len()).position(|w| w == version).expect("a version");
    let (length, rest) = entry[place + version.len()..].split_first().unwrap();
    rest[..usize::from(*length)].to_vec()
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
