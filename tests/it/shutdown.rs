//! SIGTERM finishes what is in the queue, answers it and closes the ledger.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use softhsm_test::client::{Parts, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{each_recorded_once, ledger};
use crate::load;

/// What a device may meet instead of a certificate: nobody listens, a connection that nobody took, or
/// the frontend says that it is stopping. A half answer or an error of the server is none of these.
const AT_THE_DOOR: [&str; 4] = [
    "Connection refused (os error 111)",
    "Connection reset by peer (os error 104)",
    "the connection ended before an answer's header did",
    "HTTP 503: ",
];

#[test]
fn sigterm_under_load_answers_what_was_taken_in() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let keys = keys::many_rsa(8).unwrap();
    let mut all: Vec<Parts> = Vec::new();
    let mut turned_away: HashSet<String> = HashSet::new();
    for round in 0..3 {
        instance.start().unwrap();
        let server = instance.server().unwrap();
        let stop = AtomicBool::new(false);
        let seen: Vec<load::Seen> = std::thread::scope(|scope| {
            let workers = load::start(scope, (&instance, &server), &keys, &stop);
            std::thread::sleep(Duration::from_millis(400 + 70 * round));
            instance.terminate("serve").unwrap();
            std::thread::sleep(Duration::from_secs(2));
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        let statuses = instance.stop().unwrap();
        assert!(statuses.iter().all(|s| s.success()), "{statuses:?}\n{}", instance.logs());
        for seen in seen {
            for other in seen.others {
                let what = &other.what;
                assert!(AT_THE_DOOR.iter().any(|d| what.contains(d)), "{what}");
                turned_away.insert(other.transaction);
            }
            all.extend(seen.acknowledged.into_iter().map(|a| a.certificate));
        }
    }
    assert!(!all.is_empty() && !turned_away.is_empty());
    instance.start().unwrap();
    each_recorded_once(&instance, &all);
    let entries = ledger(&instance);
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!(count("abandoned"), 0, "a shutdown left reservations without certificates");
    assert_eq!(count("reservation"), count("certificate"));
    // Whoever was not answered was not served either: no certificate that nobody received.
    for entry in entries.iter().filter(|e| e.event == "reservation") {
        let transaction = entry.field("transaction");
        assert!(!transaction.is_empty());
        assert!(!turned_away.contains(transaction), "{transaction} was taken in and not answered");
    }
    assert_eq!(count("certificate"), all.len());
}
