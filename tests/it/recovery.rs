//! What a start makes of a ledger that a crash, or a disk that was put back, left behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use softhsm_test::client::Delivery;
use softhsm_test::instance::{Instance, Options};

use crate::common::{Entry, good, granted, ledger, run, serial};
use crate::revocation::published;
use crate::tamper::{records, segment};

const ANCHOR: &str = "anchor_file = \"state/ledger-anchor\"\n";

/// An instance with `more` in `[ledger]`.
fn instance(more: &str) -> Instance {
    let instance = Instance::create(&Options::default()).unwrap();
    instance.configure(|text| text.replace(ANCHOR, &format!("{ANCHOR}{more}\n"))).unwrap();
    instance
}

fn state(instance: &Instance) -> PathBuf {
    instance.folder().join("state")
}

fn put(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

/// The newest entry of an event.
fn last(instance: &Instance, event: &str) -> Entry {
    ledger(instance).into_iter().rfind(|e| e.event == event).unwrap()
}

/// The crash is made here, octet for octet as one leaves it: the reservation is on the disk, the
/// certificate's commit is not, and nobody can know whether the HSM signed.
#[test]
fn what_a_crash_left_reserved_is_on_the_list_and_its_retry_names_it() {
    let mut instance = instance("checkpoint_interval = \"60s\"");
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "cut off");
    let lost = granted(&instance, &server, &device, &draft);
    let (reservation, certificate) =
        (last(&instance, "reservation"), last(&instance, "certificate"));
    let reserved = reservation.sequence.to_string();
    instance.kill().unwrap();
    let journal = segment(&state(&instance).join("ledger"));
    let bytes = std::fs::read(&journal).unwrap();
    let cut = records(&bytes)[usize::try_from(certificate.sequence).unwrap()].0;
    std::fs::write(&journal, &bytes[..cut]).unwrap();

    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    let given_up = |instance: &Instance| {
        let all = ledger(instance).into_iter().filter(|e| e.event == "abandoned");
        all.map(|e| e.field("reservation").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(given_up(&instance), [reserved.as_str()]);
    assert_eq!(last(&instance, "start").field("reason"), "the last run did not end in order");
    assert_eq!(last(&instance, "config-loaded").field("replaces"), "");
    let digest = last(&instance, "config-loaded").field("digest").to_owned();
    published(&instance, &server, &serial(&lost));

    let again = granted(&instance, &server, &device, &draft);
    assert_ne!(serial(&again), serial(&lost), "a serial was signed a second time");
    let retry = last(&instance, "reservation");
    assert_eq!(retry.field("replaces"), reserved);
    assert_eq!(retry.field("transaction"), reservation.field("transaction"));

    // The next start has nothing to give up, and the transaction has its one certificate.
    instance.stop().unwrap();
    instance.configure(|text| text.replace("\"60s\"", "\"50s\"")).unwrap();
    instance.start_roles().unwrap();
    assert_eq!(last(&instance, "start").field("reason"), "");
    assert_eq!(last(&instance, "config-loaded").field("replaces"), digest);
    let server = instance.server().unwrap();
    assert_eq!(granted(&instance, &server, &device, &draft), again);
    assert_eq!(given_up(&instance), [reserved.as_str()]);
    published(&instance, &server, &serial(&lost));
    instance.stop().unwrap();
    let verified = instance.ask(&["ledger", "verify"]).unwrap();
    assert!(verified.starts_with("the ledger is good\n"), "{verified}");
}

/// A thief of the disk, or a snapshot of the machine, puts back everything: ledger, checkpoint, the
/// anchor's file. The token knows better.
#[test]
fn a_disk_that_is_put_back_is_older_than_the_token_knows() {
    let mut instance = instance("anchor_object = { token = \"main\", label = \"ledger head\" }");
    let older = tempfile::tempdir().unwrap();
    let copy = older.path().join("state");
    for name in ["first", "second"] {
        instance.start().unwrap();
        let server = instance.server().unwrap();
        let (device, draft) = good(&instance, &server, name);
        granted(&instance, &server, &device, &draft);
        instance.stop().unwrap();
        if name == "first" {
            put(&state(&instance), &copy);
        }
    }
    std::fs::remove_dir_all(state(&instance)).unwrap();
    put(&copy, &state(&instance));

    instance.start().unwrap();
    let said = instance.ask(&["status", "--json"]).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let why = said["maintenance"].as_str().unwrap_or_default();
    assert!(why.contains("the data object \"ledger head\" of token main knows"), "{said}");
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "third");
    let sent = draft.build(&device).unwrap();
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    instance.stop().unwrap();
}
