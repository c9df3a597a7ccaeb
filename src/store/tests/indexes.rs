//! The indexes are a function of the entries: the same before and after the database is gone.

use std::collections::BTreeSet;
use std::fs;

use super::fixture::*;
use crate::ledger::{
    Authorizer, Bytes, Challenge, ChallengeAction, Decision, Entry, Event, Evidence, Fingerprint,
    Index, Key, Ledger, Pending, Revocation, SealedRequest, SignedKind, SignedObject,
    SigningIntent, Store, Verdict, postings,
};

/// Entries that go to the database at once; more than that many are made here.
const ROUND: usize = 4096;

/// All lines of one index.
type Lines = BTreeSet<(Key, u64)>;

/// What every index has.
fn content(store: &dyn Store) -> Vec<(Index, Lines)> {
    let lines = |index| store.range(index, &[0; 16], &[0xff; 16], usize::MAX).unwrap();
    Index::ALL.map(|index| (index, lines(index).into_iter().collect())).to_vec()
}

/// What every index should have, from the entries alone.
fn expected(store: &dyn Store) -> Vec<(Index, Lines)> {
    let mut all: Vec<(Index, Lines)> = Index::ALL.map(|index| (index, Lines::new())).to_vec();
    let mut next = 0;
    while next < store.size() {
        for bytes in store.reread(next, 512).unwrap() {
            for posting in postings(&Entry::decode(&bytes).unwrap()).unwrap() {
                let (_, lines) = all.iter_mut().find(|(i, _)| *i == posting.index).unwrap();
                let line = (posting.key, posting.sequence);
                assert!(if posting.present { lines.insert(line) } else { lines.remove(&line) });
            }
            next += 1;
        }
    }
    all
}

fn challenge(mac: &[u8], action: ChallengeAction) -> Event {
    Event::Challenge(Challenge {
        mac: mac.into(),
        action,
        endpoint: "device".into(),
        expires: 1_900_000_000_000,
        restriction: None,
        sealed: None,
    })
}

fn intent() -> Event {
    Event::SigningIntent(SigningIntent {
        kind: SignedKind::Crl,
        issuer: "issuing".into(),
        number: Some(1),
        digest: Fingerprint([1; 32]),
        length: 1,
        content: None,
    })
}

/// Something of everything that an index has: open and ended, decided and undecided.
fn add_of_each_kind(ledger: &Ledger) {
    let one = |event| append(ledger, vec![draft(event)])[0];
    let (given_up, reserved) = reserve(ledger, "given up");
    append(ledger, vec![abandon(given_up, &reserved)]);
    let mut once = reservation("once", &new_serial());
    let mac: Bytes = vec![7; 32].into();
    one(challenge(&mac, ChallengeAction::Made));
    let (authorizer, reference) = (Authorizer::OneTimeChallenge, Some(mac));
    once.evidence = vec![Evidence { authorizer, reference, detail: None }];
    one(Event::Reservation(once));
    one(challenge(&[8; 32], ChallengeAction::Made));
    one(challenge(&[8; 32], ChallengeAction::Revoked));
    one(Event::Revocation(Revocation {
        serial: new_serial().into(),
        issuer: "issuing".into(),
        reason: 1,
        date: 1_700_000_000_000,
        invalidity: None,
        comment: String::new(),
    }));
    let signed = one(intent());
    one(Event::SignedObject(SignedObject {
        intent: signed.0,
        digest: Fingerprint([2; 32]),
        length: 2,
        signature: vec![3].into(),
    }));
    one(intent());
    for (transaction, verdict) in [("waits", None), ("denied", Some(Verdict::Denied))] {
        let request = SealedRequest { digest: Fingerprint([4; 32]), sealed: vec![5].into() };
        let (endpoint, transaction) = ("device".into(), transaction.as_bytes().into());
        let pending =
            one(Event::Pending(Pending { endpoint, transaction, request, evidence: vec![] }));
        if let Some(verdict) = verdict {
            let reason = "no".into();
            one(Event::Decision(Decision { pending: pending.0, verdict, reason }));
        }
    }
}

#[test]
fn every_index_is_the_same_after_the_database_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let open = ledger(folder.path());
    add_of_each_kind(&open);
    let (late, reserved) = reserve(&open, "late");
    enrol_many(&open, ROUND);
    // In memory still, while what it ends is in the database already.
    append(&open, vec![draft(issued(late, &reserved))]);
    open.close().unwrap();
    drop(open);

    let before = store(folder.path()).unwrap();
    assert!(before.indexed_size() > 0 && before.indexed_size() < before.size(), "both have some");
    let was = content(&*before);
    for (index, lines) in &was {
        assert!(!lines.is_empty(), "nothing of the test is in {index:?}");
    }
    assert_eq!(was, expected(&*before));
    before.close().unwrap();
    drop(before);

    fs::remove_dir_all(folder.path().join("db")).unwrap();
    let rebuilt = store(folder.path()).unwrap();
    assert!(rebuilt.indexed_size() > 0, "the database was filled again");
    assert_eq!(content(&*rebuilt), was);
    let compared = rebuilt.verify_database(&mut |_| true);
    assert_eq!(compared, Ok(rebuilt.indexed_size()));
}
