//! What the ledger says of revocation, across a restart.

use super::fixture::{abandon, append, draft, enrol, ledger, reserve};
use crate::ledger::{
    Abandoned, Event, Fingerprint, Ledger, Revocation, Sequence, SignedKind, SigningIntent,
};
use crate::revocation::{Reason, last_number, next_number, revoked};

fn revoke(ledger: &Ledger, serial: &[u8], issuer: &str, reason: Reason) {
    let event = Event::Revocation(Revocation {
        serial: serial.into(),
        issuer: issuer.into(),
        reason: reason.code(),
        date: 1_700_000_000_000,
        invalidity: None,
        comment: String::new(),
    });
    append(ledger, vec![draft(event)]);
}

/// The serials on the list of `issuing`, each with its reason.
fn listed(ledger: &Ledger) -> Vec<(Vec<u8>, u8)> {
    let all = revoked(ledger, "issuing").unwrap();
    all.into_iter().map(|e| (e.serial.content().to_vec(), e.reason.code())).collect()
}

fn begin_crl(ledger: &Ledger, issuer: &str, number: u64) -> Sequence {
    let event = Event::SigningIntent(SigningIntent {
        kind: SignedKind::Crl,
        issuer: issuer.into(),
        number: Some(number),
        digest: Fingerprint([1; 32]),
        length: 1,
        content: None,
    });
    append(ledger, vec![draft(event)])[0]
}

#[test]
fn the_last_word_on_a_serial_counts() {
    let folder = tempfile::tempdir().unwrap();
    let open = ledger(folder.path());
    let (kept, held, elsewhere) = ([1; 16], [2; 16], [3; 16]);
    revoke(&open, &held, "issuing", Reason::CertificateHold);
    revoke(&open, &kept, "issuing", Reason::CertificateHold);
    revoke(&open, &elsewhere, "another", Reason::KeyCompromise);
    assert_eq!(listed(&open), [(kept.to_vec(), 6), (held.to_vec(), 6)]);
    revoke(&open, &held, "issuing", Reason::RemoveFromCrl);
    revoke(&open, &kept, "issuing", Reason::KeyCompromise);
    assert_eq!(listed(&open), [(kept.to_vec(), 1)]);
    drop(open);
    assert_eq!(listed(&ledger(folder.path())), [(kept.to_vec(), 1)]);
}

#[test]
fn t35_what_was_ever_said_of_a_serial_is_found_under_what_was_said_since() {
    let folder = tempfile::tempdir().unwrap();
    let open = ledger(folder.path());
    let (serial, other) = ([1; 16], [2; 16]);
    let ever = |serial: &[u8]| open.was_revoked_for(serial, Reason::KeyCompromise.code()).unwrap();
    revoke(&open, &serial, "issuing", Reason::CertificateHold);
    assert!(!ever(&serial), "the control: a hold is no compromise");
    revoke(&open, &serial, "issuing", Reason::KeyCompromise);
    revoke(&open, &serial, "issuing", Reason::Superseded);
    assert!(ever(&serial) && !ever(&other));
}

#[test]
fn abandoned_serials_are_listed_and_issued_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let open = ledger(folder.path());
    enrol(&open, "good");
    let (sequence, given_up) = reserve(&open, "given up");
    append(&open, vec![abandon(sequence, &given_up)]);
    let crl = begin_crl(&open, "issuing", 1);
    let serial = Vec::new().into();
    let abandoned = Abandoned { reservation: crl.0, serial, reason: "test".into() };
    append(&open, vec![draft(Event::Abandoned(abandoned))]);
    assert_eq!(listed(&open), [(given_up.serial.0.clone(), 0)]);
    // What was open when the signer died is abandoned at the next start.
    let (_, cut_off) = reserve(&open, "cut off");
    drop(open);
    let mut expected = vec![(given_up.serial.0, 0), (cut_off.serial.0, 0)];
    expected.sort();
    assert_eq!(listed(&ledger(folder.path())), expected);
}

#[test]
fn t56_numbers_never_come_twice() {
    let folder = tempfile::tempdir().unwrap();
    let open = ledger(folder.path());
    assert_eq!(next_number(&open, "issuing", None).unwrap(), 1);
    begin_crl(&open, "issuing", 1);
    begin_crl(&open, "another", 70);
    // Also where the list was begun and nothing came of it.
    drop(open);
    let open = ledger(folder.path());
    assert_eq!(last_number(&open, "issuing").unwrap(), Some(1));
    assert_eq!(next_number(&open, "issuing", None).unwrap(), 2);
    // A ledger from a backup is older than the list that was published.
    assert_eq!(next_number(&open, "issuing", Some(9)).unwrap(), 10);
    assert_eq!(next_number(&open, "another", Some(9)).unwrap(), 71);
}
