//! kill -9 at any moment loses no acknowledged certificate (I1) and leaves no reservation without its
//! end (I2). The roles run by themselves and are killed by their own process IDs: a signer under
//! `serve` would be told to stop when `serve` dies, and would end in order. ROUNDS sets how often; 50
//! by default.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use softhsm_test::client::{Delivery, Device, Draft, Parts, Server, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{Entry, each_recorded_once, good, granted, ledger};
use crate::load;

#[test]
fn row_097_no_acknowledged_certificate_is_lost() {
    let rounds = std::env::var_os("ROUNDS");
    let rounds = rounds.and_then(|r| r.to_str()?.parse().ok()).unwrap_or(50);
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    let keys = keys::many_rsa(8).unwrap();
    let (probe, draft) = good(&instance, &server, "probe");
    let first = granted(&instance, &server, &probe, &draft);
    let mut all: Vec<Parts> = vec![first.clone()];
    let mut starts = 1;
    for round in 0..rounds {
        let victims = victims(round);
        let stop = AtomicBool::new(false);
        // Spread over what one batch takes, so that every step of the pipeline is hit.
        let moment = Duration::from_millis(40 + (round * 37) % 260);
        let pids: Vec<Pid> =
            victims.iter().map(|role| pid(instance.service(role).unwrap().pid())).collect();
        let seen: Vec<load::Seen> = std::thread::scope(|scope| {
            let workers = load::start(scope, (&instance, &server), &keys, &stop);
            std::thread::sleep(moment);
            pids.iter().for_each(|pid| kill_process(*pid, Signal::KILL).unwrap());
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        for role in victims {
            let ended = instance.service(role).unwrap().wait(Duration::from_secs(10)).unwrap();
            assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "round {round}: {role}");
            instance.start_role(role).unwrap();
            starts += usize::from(*role == "signer");
        }
        instance.wait_ready().unwrap_or_else(|e| panic!("round {round}: {e}"));
        let again = granted_in_time(&server, &probe, &draft);
        assert_eq!(again, first, "round {round}: the probe has another certificate");
        // The last answer of each device again: the device whose reply was lost asks like this (I5).
        for last in seen.iter().filter_map(|s| s.acknowledged.last()) {
            let again = granted(&instance, &server, &last.device, &last.draft);
            assert_eq!(again, last.certificate, "round {round}: another certificate");
        }
        all.extend(seen.into_iter().flat_map(|s| s.acknowledged).map(|a| a.certificate));
    }
    each_recorded_once(&instance, &all);
    let entries = ledger(&instance);
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!((count("stop"), count("start")), (0, starts), "a run that ended in order");
    each_reservation_has_its_end(&entries);
    let cut_off = count("reservation") - all.len();
    assert!(all.len() > 1 && cut_off > 0, "the kill never met a request under way");
    let statuses = instance.stop().unwrap();
    assert!(statuses.iter().all(|s| s.success()), "{statuses:?}");
    let abandoned = count("abandoned");
    eprintln!(
        "{rounds} rounds: {} acknowledged, {cut_off} cut off, {abandoned} of them abandoned",
        all.len()
    );
}

/// Who is killed in this round: mostly the signer, for it writes the ledger.
const fn victims(round: u64) -> &'static [&'static str] {
    match round % 5 {
        3 => &["frontend"],
        4 => &["signer", "frontend"],
        _ => &["signer"],
    }
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).unwrap()
}

/// Sends the request until the frontend has found the signer again.
fn granted_in_time(server: &Server, device: &Device, draft: &Draft) -> Parts {
    let start = Instant::now();
    loop {
        let sent = draft.build(device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        if answer.status != 503 {
            return server.read(&answer, &sent, device).unwrap().certificate().unwrap().clone();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no reconnection: {}", answer.text());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Checks that whatever was reserved became one certificate or is once recorded as given up.
#[track_caller]
fn each_reservation_has_its_end(entries: &[Entry]) {
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for entry in entries.iter().filter(|e| ["certificate", "abandoned"].contains(&&*e.event)) {
        *ends.entry(entry.field("reservation")).or_default() += 1;
    }
    for reservation in entries.iter().filter(|e| e.event == "reservation") {
        let sequence = reservation.sequence.to_string();
        assert_eq!(ends.remove(&*sequence), Some(1), "the ends of reservation {sequence}");
    }
    assert!(ends.is_empty(), "ends without a reservation: {ends:?}");
}
