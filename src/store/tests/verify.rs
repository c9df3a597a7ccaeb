//! Verification finds the first thing that is wrong, and nothing where nothing is.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use super::fixture::*;
use super::heads::SoftKey;
use crate::clock::SystemClock;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::{Frontier, leaf_hash};
use crate::ledger::verify::{EntrySource, Finding, IssuerKeys, Verified, Verifier, check_tail};
use crate::ledger::{
    Authorizer, Certificate, Entry, Event, Evidence, Fingerprint, Ledger, LedgerError, NoteSigner,
    Record, Sequence, Store, StoreError, Tile, postings,
};
use crate::pki::{Digest, PublicKey};
use crate::store::line::LEN;
use crate::store::{FileStore, JournalView};

/// The issuer's key.
static ISSUER: LazyLock<PKey<Private>> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
});

fn issuer_keys() -> IssuerKeys {
    let key = PublicKey::from_spki(&ISSUER.public_key_to_der().unwrap()).unwrap();
    vec![("another".into(), other_key()), ("issuing".into(), key)]
}

fn other_key() -> PublicKey {
    let key = PKey::generate_ed25519().unwrap();
    PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
}

/// The certificate of a TBSCertificate, really signed.
fn signed(tbs: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(Digest::Sha256.openssl(), &ISSUER).unwrap();
    let signature = signer.sign_oneshot_to_vec(tbs).unwrap();
    let algorithm = hex::decode("300a06082a8648ce3d040302").unwrap();
    let bits = tlv(0x03, &[&[0], &signature[..]].concat());
    tlv(0x30, &[tbs, &algorithm, &bits].concat())
}

/// A ledger of `count` enrolments and more, with a checkpoint at its end.
fn filled(folder: &Path, count: usize) -> (SoftKey, Checkpoint) {
    let ledger = ledger(folder);
    append(&ledger, vec![start("begin")]);
    let all: Vec<_> = (0..count).map(|i| reservation(&i.to_string(), &new_serial())).collect();
    for part in all.chunks(50) {
        let drafts = part.iter().cloned().map(|r| draft(Event::Reservation(r))).collect();
        let done = append(&ledger, drafts);
        let drafts = done.iter().zip(part).map(|(sequence, r)| {
            let certificate = signed(&r.tbs).into();
            draft(Event::Certificate(Certificate { reservation: sequence.0, certificate }))
        });
        append(&ledger, drafts.collect());
    }
    let (abandoned, reserved) = reserve(&ledger, "given up");
    append(&ledger, vec![abandon(abandoned, &reserved)]);
    let mut again = reservation("given up", &new_serial());
    again.replaces = Some(abandoned.0);
    append(&ledger, vec![draft(Event::Reservation(again))]);
    let key = SoftKey::new("log");
    let note = wait(ledger.sign_checkpoint(&key, &[])).unwrap();
    ledger.close().unwrap();
    let checkpoint = Checkpoint::open(&note, key.key()).unwrap();
    (key, checkpoint)
}

fn verify(
    source: &dyn EntrySource,
    end: u64,
    checkpoint: &Checkpoint,
    trusted: Option<&Checkpoint>,
) -> Result<Verified, Finding> {
    let checkpoints = vec![("the checkpoint".to_owned(), checkpoint.clone())];
    let mut verifier = Verifier::new(issuer_keys(), checkpoints, trusted);
    while !verifier.step(source, end)? {}
    verifier.finish()
}

fn verify_folder(folder: &Path, checkpoint: &Checkpoint) -> Result<Verified, Finding> {
    let view = JournalView::open(folder).unwrap();
    verify(&view, view.size(), checkpoint, None)
}

#[test]
fn a_good_ledger_is_found_good_in_place_and_by_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = filled(folder.path(), 300);
    let expected = Verified {
        entries: 604,
        root: checkpoint.root,
        certificates: 300,
        checkpoints: 1,
        unknown: 0,
        open: 1,
    };
    let before: Vec<_> = listing(folder.path());
    assert_eq!(verify_folder(folder.path(), &checkpoint), Ok(expected.clone()));
    assert_eq!(listing(folder.path()), before, "a reader changes nothing");
    let store = store(folder.path()).unwrap();
    assert_eq!(verify(&*store, 604, &checkpoint, None), Ok(expected.clone()));
    let again = verify(&*store, 604, &checkpoint, Some(&checkpoint));
    assert_eq!(again, Ok(Verified { certificates: 0, checkpoints: 2, ..expected }));
    let mut told = Vec::new();
    assert_eq!(
        store.verify_database(&mut |n| {
            told.push(n);
            true
        }),
        Ok(512)
    );
    assert_eq!(told.last(), Some(&512));
    assert_eq!(store.verify_database(&mut |_| false), Ok(0));
}

fn listing(folder: &Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut all = Vec::new();
    for item in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let meta = item.metadata().unwrap();
        match meta.is_dir() {
            true => all.extend(listing(&item.path())),
            false => all.push((item.path(), meta.len(), meta.modified().unwrap())),
        }
    }
    all.sort();
    all
}

/// Writes a ledger whose records are all in order, from entries that `change` has changed: what
/// somebody does who has the disk and knows the format.
fn forge(from: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> tempfile::TempDir {
    let view = JournalView::open(from).unwrap();
    let mut entries = Vec::new();
    while entries.len() < view.size() as usize {
        entries.extend(view.read_entries(entries.len() as u64, 1000).unwrap());
    }
    change(&mut entries);
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).unwrap();
    let records = (0..).zip(entries).map(|(sequence, entry)| {
        let decoded = Entry::decode(&entry);
        Record {
            sequence,
            leaf: leaf_hash(&entry),
            ends_group: true,
            postings: decoded.and_then(|e| postings(&e)).unwrap_or_default(),
            entry,
        }
    });
    store.append(records.collect()).unwrap();
    store.close().unwrap();
    folder
}

/// Changes the entry at `place` and encodes it again.
fn edit(entries: &mut [Vec<u8>], place: usize, change: impl FnOnce(&mut Entry)) {
    let mut entry = Entry::decode(&entries[place]).unwrap();
    change(&mut entry);
    entries[place] = entry.encode().unwrap();
}

fn found(at: u64, what: &str, result: Result<Verified, Finding>) {
    let finding = result.unwrap_err();
    assert_eq!(finding.sequence, Some(Sequence(at)), "{finding}");
    assert!(finding.what.contains(what), "{finding} has not «{what}»");
}

/// What to change, where it must be found, and how it is named.
type Forgery<'a> = (&'a dyn Fn(&mut Vec<Vec<u8>>), u64, &'a str);

#[test]
fn a_forger_who_keeps_the_format_is_found_at_the_first_bad_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = filled(folder.path(), 20);
    // 0 start, 1..=20 reservations, 21..=40 certificates, 41 reservation, 42 abandoned, 43 another.
    let last = checkpoint.size - 1;
    assert_eq!(last, 43);
    let rest = "are not those that the checkpoint covers";
    let cases: [Forgery<'_>; 15] = [
        (&|_| {}, u64::MAX, ""),
        (&|e| edit(e, 0, |e| e.object = "x".into()), last, rest),
        (&|e| edit(e, 5, |e| e.time = e.time.after(std::time::Duration::from_secs(1))), last, rest),
        (&|e| e.swap(3, 4), 3, "it says that it is entry 4"),
        (&|e| drop(e.remove(7)), 7, "it says that it is entry 8"),
        (&|e| e.insert(9, e[9].clone()), 10, "it says that it is entry 9"),
        (&|e| e[11][20] ^= 0x80, 11, ""),
        (&|e| e[2] = [&e[2][..], &[0]].concat(), 2, ""),
        (
            &|e| {
                edit(e, 25, |e| {
                    let Event::Certificate(c) = &mut e.event else { panic!() };
                    let last = c.certificate.0.len() - 1;
                    c.certificate.0[last] ^= 1;
                });
            },
            25,
            "is not signed by the issuer",
        ),
        (
            &|e| {
                let other = Entry::decode(&e[26]).unwrap();
                edit(e, 25, |e| {
                    let (Event::Certificate(c), Event::Certificate(o)) =
                        (&mut e.event, other.event)
                    else {
                        panic!()
                    };
                    c.certificate = o.certificate;
                });
            },
            25,
            "is not the reserved one",
        ),
        (
            &|e| {
                edit(e, 30, |e| {
                    let Event::Certificate(c) = &mut e.event else { panic!() };
                    c.reservation -= 1;
                });
            },
            30,
            "is no open write-ahead entry",
        ),
        (
            &|e| {
                let first = Entry::decode(&e[1]).unwrap();
                edit(e, 8, |e| {
                    let (Event::Reservation(r), Event::Reservation(f)) =
                        (&mut e.event, first.event)
                    else {
                        panic!()
                    };
                    (r.serial, r.tbs) = (f.serial, f.tbs);
                });
            },
            8,
            "was reserved before",
        ),
        (
            &|e| {
                edit(e, 43, |e| {
                    let Event::Reservation(r) = &mut e.event else { panic!() };
                    r.replaces = Some(2);
                });
            },
            43,
            "which was not abandoned",
        ),
        (
            &|e| edit(e, 12, |e| e.time = crate::clock::Timestamp::from_unix_seconds(1)),
            12,
            "is before",
        ),
        (
            &|e| {
                edit(e, 43, |e| {
                    let Event::Reservation(r) = &mut e.event else { panic!() };
                    (r.transaction, r.replaces) = (b"19"[..].into(), None);
                });
            },
            43,
            "its transaction has a certificate already",
        ),
    ];
    for (change, at, what) in cases {
        let forged = forge(folder.path(), change);
        let result = verify_folder(forged.path(), &checkpoint);
        if at == u64::MAX {
            assert_eq!(result.unwrap().entries, 44);
            tails(forged.path(), 44, None);
        } else {
            found(at, what, result);
            // What a head does not cover is found alike; the whole ledger is covered by none of these.
            tails(forged.path(), at, (what != rest).then_some(what));
        }
    }
}

/// Checks the tail behind each of the first `most` entries: the same is `wrong` wherever it begins.
fn tails(folder: &Path, most: u64, wrong: Option<&str>) {
    let store = match store(folder) {
        // What cannot be decoded is seen before that.
        Err(StoreError::Damaged(said)) if wrong.is_some() => {
            return assert!(said.contains(&format!("entry {most} ")), "{said}");
        }
        opened => opened.unwrap(),
    };
    let mut signed = Frontier::new();
    for size in 0..=most {
        let result = check_tail(&*store, &signed, issuer_keys());
        match wrong {
            None => assert_eq!(result.unwrap().entries, 44, "behind {size}"),
            Some(what) => {
                let Err(LedgerError::Store(StoreError::Damaged(said))) = result else {
                    panic!("behind {size}: {result:?}")
                };
                assert!(said.contains(&format!("entry {most}: ")), "behind {size}: {said}");
                assert!(said.contains(what), "behind {size}: {said}");
            }
        }
        if let Some(entry) = store.read(size, 1).unwrap().first() {
            signed.push(leaf_hash(entry));
        }
    }
}

/// The writer lets a request that was given up use its one-time challenge again, and so must every
/// verification; for another request it is used up.
#[test]
fn a_one_time_challenge_may_come_again_with_its_own_request_only() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let mut first = reservation("one", &new_serial());
    first.evidence = vec![Evidence {
        authorizer: Authorizer::OneTimeChallenge,
        reference: Some(vec![7; 33].into()),
        detail: None,
    }];
    let done = append(&ledger, vec![draft(Event::Reservation(first.clone()))]);
    append(&ledger, vec![abandon(done[0], &first)]);
    let mut again = reservation("one", &new_serial());
    (again.evidence, again.replaces) = (first.evidence, Some(done[0].0));
    let done = append(&ledger, vec![draft(Event::Reservation(again))]);
    let key = SoftKey::new("log");
    let note = wait(ledger.sign_checkpoint(&key, &[])).unwrap();
    ledger.close().unwrap();
    drop(ledger);
    let checkpoint = Checkpoint::open(&note, key.key()).unwrap();
    assert_eq!(verify_folder(folder.path(), &checkpoint).unwrap().entries, 3);
    assert_eq!(done[0], Sequence(2));
    for size in 0..=2 {
        let store = store(folder.path()).unwrap();
        let mut signed = Frontier::new();
        store.read(0, size).unwrap().iter().for_each(|e| signed.push(leaf_hash(e)));
        assert_eq!(check_tail(&*store, &signed, issuer_keys()).unwrap().entries, 3);
    }
    let forged = forge(folder.path(), |entries| {
        edit(entries, 2, |e| {
            let Event::Reservation(r) = &mut e.event else { panic!() };
            r.request.digest = Fingerprint([1; 32]);
        });
    });
    found(2, "one-time challenge was used before", verify_folder(forged.path(), &checkpoint));
    let store = store(forged.path()).unwrap();
    let mut signed = Frontier::new();
    store.read(0, 2).unwrap().iter().for_each(|e| signed.push(leaf_hash(e)));
    let result = check_tail(&*store, &signed, issuer_keys());
    assert!(result.unwrap_err().to_string().contains("one-time challenge was used before"));
}

#[test]
fn a_cut_or_lengthened_ledger_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = filled(folder.path(), 20);
    let cut = forge(folder.path(), |entries| drop(entries.pop()));
    let finding = verify_folder(cut.path(), &checkpoint).unwrap_err();
    assert_eq!(finding.to_string(), "the ledger ends at 43 entries, but the checkpoint covers 44");
    // Entries behind the checkpoint are held against the rules alone: nobody has signed them yet.
    let longer = forge(folder.path(), |entries| {
        let mut entry = Entry::decode(&entries[0]).unwrap();
        entry.sequence = Sequence(44);
        entry.time = Entry::decode(&entries[43]).unwrap().time;
        entries.push(entry.encode().unwrap());
    });
    assert_eq!(verify_folder(longer.path(), &checkpoint).unwrap().entries, 45);
    // And an issuer that nobody knows is no issuer.
    let view = JournalView::open(folder.path()).unwrap();
    let mut verifier = Verifier::new(Vec::new(), Vec::new(), None);
    let finding = verifier.step(&view, 44).unwrap_err();
    assert!(finding.to_string().contains("entry 21: no certificate of the issuer «issuing»"));
}

#[test]
fn every_flipped_bit_of_the_journal_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = filled(folder.path(), 60);
    let mut segments: Vec<_> = fs::read_dir(folder.path().join("journal")).unwrap().collect();
    segments.retain(|s| s.as_ref().unwrap().path().extension().unwrap() == "journal");
    let paths: Vec<_> = segments.into_iter().map(|s| s.unwrap().path()).collect();
    assert!(paths.len() > 1);
    for path in paths {
        let good = fs::read(&path).unwrap();
        for place in (0..good.len()).step_by(1009) {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 8);
            fs::write(&path, bad).unwrap();
            let wrong = match JournalView::open(folder.path()) {
                Err(StoreError::Damaged(_)) => true,
                Err(e) => panic!("{e}"),
                Ok(view) => verify(&view, view.size(), &checkpoint, None).is_err(),
            };
            assert!(wrong, "{} at {place}", path.display());
        }
        fs::write(&path, good).unwrap();
    }
    assert!(verify_folder(folder.path(), &checkpoint).is_ok());
}

#[test]
fn a_database_that_says_something_else_is_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 300);
    let changes: [&dyn Fn(&FileStore); 3] = [
        &|store| {
            let database = store.shared().database();
            let mut page = database.page(0, 0).unwrap().to_vec();
            page[7] ^= 1;
            database.put_page(0, 0, &page).unwrap();
        },
        &|store| {
            let database = store.shared().database();
            let page = database.page(0, 0).unwrap();
            database.put_page(0, 0, &page[..page.len() - LEN]).unwrap();
        },
        &|store| {
            let (_, entry) = store.shared().database().chunk_of(0).unwrap().remove(0);
            let leaf = leaf_hash(&entry);
            let record =
                Record { sequence: 0, entry, leaf, ends_group: true, postings: Vec::new() };
            let mut bytes = Vec::new();
            crate::store::record::write(&mut bytes, &record, 0, [1; 8]);
            store.shared().database().put_chunk(0, [1; 8], &bytes).unwrap();
        },
    ];
    for change in changes {
        let copy = tempfile::tempdir().unwrap();
        super::heads::copy_folder(folder.path(), copy.path());
        let store = store(copy.path()).unwrap();
        assert_eq!(store.verify_database(&mut |_| true), Ok(512));
        change(&store);
        let result = store.verify_database(&mut |_| true);
        assert!(matches!(result, Err(StoreError::Database(_))), "{result:?}");
    }
}

#[test]
fn verification_goes_on_beside_appends_and_merges() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).unwrap();
    let ledger = Ledger::open(store.clone(), Arc::new(SystemClock)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..60 {
                append(&ledger, (0..1000).map(|n| start(&format!("{i}-{n}"))).collect());
            }
        });
        while !writer.is_finished() {
            store.verify_database(&mut |_| true).unwrap();
        }
    });
    let verified = store.verify_database(&mut |_| true).unwrap();
    assert!(verified > 40_000, "{verified}");
}

/// An octet of `tree/` that is wrong is found by a verification, and no tile under the head is served that
/// has it or stands on it.
#[test]
fn a_kept_hash_that_is_not_the_entries_is_found_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = filled(folder.path(), 300);
    let ledger = ledger(folder.path());
    let size = ledger.head().size();
    let tile = |path: &str| {
        let tile = Tile::from_path(path).unwrap();
        ledger.tile(&tile, size).map(|content| content.expect("there is such a tile"))
    };
    // 605 entries: two complete tiles, one of the rest, and their level above.
    let rest = size - 512;
    let all =
        ["0/000", "0/001", &format!("0/002.p/{rest}"), "1/000.p/2", "entries/000", "entries/001"];
    let good: Vec<_> = all.iter().map(|path| tile(path).unwrap()).collect();
    assert_eq!(verify(&*ledger, size, &checkpoint, None).unwrap().entries, size);
    // Where, which tile has it, and who stands on it.
    let cases: [(&str, u64, &[usize]); 5] = [
        ("0", 0, &[0, 4]),
        ("0", 32 * 300 + 7, &[1, 5]),
        ("0", 32 * 604, &[2]),
        ("1", 31, &[0, 3, 4]),
        ("1", 32, &[1, 3, 5]),
    ];
    for (level, place, bad) in cases {
        let path = folder.path().join("tree").join(level);
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let mut octet = [0];
        file.read_exact_at(&mut octet, place).unwrap();
        file.write_all_at(&[octet[0] ^ 1], place).unwrap();
        for (number, path) in all.iter().enumerate() {
            match tile(path) {
                Ok(content) => {
                    assert!(content == good[number], "{path} with octet {place} of {level}");
                    assert!(!bad.contains(&number), "{path} with octet {place} of {level}");
                }
                Err(e) => assert!(e.to_string().contains("tree/"), "{e}"),
            }
        }
        let finding = verify(&*ledger, size, &checkpoint, None).unwrap_err();
        let what = format!("tree/{level} has another hash {} ", place / 32);
        assert!(finding.what.contains(&what), "{finding}");
        // Who reads the files in place sees it but in the last segment, which a start writes anew.
        let view = JournalView::open(folder.path()).unwrap();
        let seen = verify(&view, size, &checkpoint, None);
        assert_eq!(seen.is_err(), place < 32 * 604, "octet {place} of {level}: {seen:?}");
        file.write_all_at(&octet, place).unwrap();
    }
    assert!(all.iter().zip(&good).all(|(path, good)| tile(path).as_ref() == Ok(good)));
}
