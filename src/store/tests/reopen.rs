//! Appending, looking up, closing, opening again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fixture::*;
use crate::clock::Timestamp;
use crate::ledger::merkle::{Frontier, leaf_hash};
use crate::ledger::{
    Authorizer, Event, Evidence, Fingerprint, Ledger, LedgerError, Sequence, Store, StoreError,
    TransactionState,
};

/// Every look-up finds the certificate of `transaction`.
fn assert_found(ledger: &Ledger, transaction: &str, expected: &[u8]) {
    let record = ledger.transaction("device", transaction.as_bytes()).unwrap().unwrap();
    let TransactionState::Issued { sequence, certificate, .. } = &record.state else {
        panic!("{transaction} is {:?}", record.state)
    };
    assert_eq!(&**certificate, expected);
    assert_eq!(record.csr_sha256, Fingerprint::of(&[0x30; 600]).0);
    let by_serial = ledger.by_serial(&record.reservation.serial()).unwrap().unwrap();
    assert_eq!(by_serial, record);
    let fingerprint = Fingerprint::of(expected).0;
    let found = ledger.by_fingerprint(&fingerprint).unwrap().unwrap();
    assert_eq!((found.sequence, &*found.certificate), (*sequence, expected));
    assert!(ledger.transaction("other", transaction.as_bytes()).unwrap().is_none());
}

/// The tree's root is that of the entries as they are read.
fn assert_root(ledger: &Ledger) {
    let mut tree = Frontier::new();
    loop {
        let entries = ledger.entries(Sequence(tree.size()), 100).unwrap();
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            assert_eq!(entry.sequence.0, tree.size());
            tree.push(leaf_hash(&entry.encode().unwrap()));
        }
    }
    assert_eq!(ledger.head().frontier, tree);
}

#[test]
fn keeps_and_finds_everything_through_segments_bundles_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut certificates = Vec::new();
    for run in 0..3 {
        let ledger = ledger(folder.path());
        for i in 0..200 {
            let transaction = format!("{run}-{i}");
            let certificate = enrol(&ledger, &transaction);
            assert_found(&ledger, &transaction, &certificate);
            certificates.push((transaction, certificate));
        }
        assert_eq!(ledger.abandoned_at_open(), []);
        assert_root(&ledger);
        ledger.close().unwrap();
    }
    let ledger = ledger(folder.path());
    assert_eq!(ledger.head().size(), 1200);
    for (transaction, certificate) in &certificates {
        assert_found(&ledger, transaction, certificate);
    }
    let expiring = |from, to, limit| {
        let at = Timestamp::from_unix_seconds;
        ledger.expiring(at(from), at(to), limit).unwrap().len()
    };
    let end = 1_767_225_600; // 2026-01-01
    assert_eq!((expiring(end, end + 1, 1000), expiring(end, end + 1, 7)), (600, 7));
    assert_eq!((expiring(0, end, 10), expiring(end + 1, end + 9999, 10)), (0, 0));
    assert!(std::fs::read_dir(folder.path().join("journal")).unwrap().count() > 10);
}

#[test]
fn a_reservation_left_open_is_abandoned_at_the_next_start_and_never_recorded_later() {
    let folder = tempfile::tempdir().unwrap();
    let first = ledger(folder.path());
    let (open, reserved) = reserve(&first, "t1");
    enrol(&first, "t2");
    let state = |l: &Ledger| l.transaction("device", b"t1").unwrap().unwrap().state;
    assert_eq!(state(&first), TransactionState::Reserved);
    first.close().unwrap();
    drop(first);

    let second = ledger(folder.path());
    assert_eq!(second.abandoned_at_open(), [Sequence(3)]);
    assert!(matches!(state(&second), TransactionState::Abandoned { sequence: Sequence(3), .. }));
    let abandoned = second.abandoned().unwrap();
    assert_eq!(abandoned.len(), 1);
    assert_eq!(abandoned[0].1.serial, reserved.serial);
    let late = wait(second.append(vec![draft(issued(open, &reserved))]));
    assert!(matches!(late, Err(LedgerError::Refused(_))), "{late:?}");

    let mut again = reservation("t1", &new_serial());
    again.replaces = Some(open.0);
    append(&second, vec![draft(Event::Reservation(again))]);
    assert_eq!(state(&second), TransactionState::Reserved);
    second.close().unwrap();
    drop(second);
    assert_eq!(ledger(folder.path()).abandoned_at_open(), [Sequence(5)]);
}

#[test]
fn the_rules_hold_within_a_call_across_calls_and_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = ledger(folder.path());
    let refused = |ledger: &Ledger, drafts| {
        let size = ledger.head().size();
        let answer = wait(ledger.append(drafts));
        assert!(matches!(answer, Err(LedgerError::Refused(_))), "{answer:?}");
        assert_eq!(ledger.head().size(), size);
    };
    let serial = new_serial();
    let one_time = |transaction: &str, mac: &[u8]| {
        let mut r = reservation(transaction, &new_serial());
        let reference = Some(mac.into());
        let authorizer = Authorizer::OneTimeChallenge;
        r.evidence.push(Evidence { authorizer, reference, detail: None });
        draft(Event::Reservation(r))
    };
    let plain = |transaction: &str, serial: &[u8]| {
        draft(Event::Reservation(reservation(transaction, serial)))
    };
    refused(&ledger, vec![start("x"), plain("a", &serial), plain("b", &serial)]);
    refused(&ledger, vec![plain("a", &serial), plain("a", &new_serial())]);
    refused(&ledger, vec![one_time("a", b"mac"), one_time("b", b"mac")]);
    let done = append(&ledger, vec![one_time("a", b"mac"), plain("b", &serial)]);
    for _ in 0..2 {
        refused(&ledger, vec![plain("c", &serial)]);
        refused(&ledger, vec![one_time("c", b"mac")]);
        let mut replacing = reservation("c", &new_serial());
        replacing.replaces = Some(done[1].0);
        refused(&ledger, vec![draft(Event::Reservation(replacing))]);
        let mut other = reservation("c", &new_serial());
        other.serial = new_serial().into();
        refused(&ledger, vec![draft(Event::Reservation(other))]);
        let b = reservation("b", &serial);
        refused(&ledger, vec![draft(issued(done[0], &b))]);
        refused(&ledger, vec![draft(issued(Sequence(99), &b))]);
        if ledger.abandoned_at_open().is_empty() {
            refused(&ledger, vec![plain("b", &new_serial())]);
            refused(&ledger, vec![draft(issued(done[1], &b)), draft(issued(done[1], &b))]);
            refused(&ledger, vec![draft(issued(done[1], &b)), abandon(done[1], &b)]);
            append(&ledger, vec![draft(issued(done[1], &b))]);
            drop(ledger);
            ledger = super::fixture::ledger(folder.path());
        }
        refused(&ledger, vec![draft(issued(done[1], &b))]);
    }
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path()).unwrap();
    assert!(matches!(store(folder.path()), Err(StoreError::Locked(_))));
    first.close().unwrap();
    drop(first);
    store(folder.path()).unwrap();
}

/// A child has a copy of the lock from its start to its exec; who opens the folder again meanwhile waits.
#[test]
fn a_child_that_is_being_started_does_not_hold_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::process::Command::new("true").status().unwrap();
            }
        });
        let opened: Vec<_> = (0..150).map(|_| store(folder.path()).map(drop)).collect();
        over.store(true, Ordering::Relaxed);
        for result in opened {
            result.unwrap();
        }
    });
}

#[test]
fn many_callers_share_commits_and_each_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let sequences = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..500 {
            let ledger = ledger.clone();
            tasks.spawn(async move {
                let reservation = reservation(&i.to_string(), &new_serial());
                let event = Event::Reservation(reservation.clone());
                let reserved = ledger.append(vec![draft(event)]).await.unwrap()[0];
                let id = reservation.transaction.clone();
                assert!(ledger.transaction("device", &id).unwrap().is_some());
                let certificate = draft(issued(reserved, &reservation));
                ledger.append(vec![start("a"), certificate, start("b")]).await.unwrap()
            });
        }
        tasks.join_all().await
    });
    let mut all: Vec<u64> = sequences.iter().map(|s| s[0].0).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 500);
    assert!(sequences.iter().all(|s| s[1].0 == s[0].0 + 1 && s[2].0 == s[0].0 + 2));
    assert_eq!(ledger.head().size(), 2000);
    assert_root(&ledger);
}

#[test]
fn t43_a_clock_that_goes_back_far_stops_appending_until_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(StoppedClock(AtomicU64::new(10_000)));
    let ledger = Ledger::open(store(folder.path()).unwrap(), clock.clone()).unwrap();
    append(&ledger, vec![start("a")]);
    clock.0.store(9_800, Ordering::Relaxed);
    append(&ledger, vec![start("b")]);
    clock.0.store(9_600, Ordering::Relaxed);
    let behind = LedgerError::ClockWentBack { seconds: 400 };
    assert_eq!(wait(ledger.append(vec![start("c")])), Err(behind));
    ledger.close().unwrap();
    drop(ledger);
    let ledger = Ledger::open(store(folder.path()).unwrap(), clock.clone()).unwrap();
    assert!(wait(ledger.append(vec![start("c")])).is_ok(), "the last entry's time counts");
    clock.0.store(20_000, Ordering::Relaxed);
    assert!(wait(ledger.append(vec![start("d")])).is_ok());
}

#[test]
fn an_entry_that_does_not_fit_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let big = start(&"x".repeat(70_000));
    assert!(matches!(wait(ledger.append(vec![big])), Err(LedgerError::Entry(_))));
    append(&ledger, vec![start(&"x".repeat(65_000))]);
    assert_eq!(ledger.head().size(), 1);
}
