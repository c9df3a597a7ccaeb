//! Whatever an HSM does while devices enrol without pause: every transaction comes to exactly one certificate
//! that holds, the ledger verifies, and the service is back by itself when the HSM is (ARCHITECTURE.md, I5,
//! I8). The faults are played by the shim in front of SoftHSM.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use softhsm_test::client::{Csr, Delivery, Device, Parts, Server, Text, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{each_recorded_once, ledger};
use crate::shim::Shim;

/// How long a fault lasts at least; single ones are over when they have happened.
const HELD: Duration = Duration::from_millis(800);

/// A name for the report, and the shim's rules.
const FAULTS: [(&str, &str); 22] = [
    ("CKR_DEVICE_ERROR now and then", "fail C_Sign 0x30 every=3 count=9"),
    ("CKR_GENERAL_ERROR now and then", "fail C_Sign 0x5 every=3 count=9"),
    ("CKR_FUNCTION_FAILED", "fail C_Sign 0x6 every=3 count=9"),
    ("CKR_DEVICE_REMOVED", "fail C_SignInit 0x32 every=3 count=9"),
    ("CKR_TOKEN_NOT_PRESENT", "fail C_SignInit 0xe0 every=3 count=9"),
    ("a code of the vendor's own", "fail C_Sign 0x80000001 every=3 count=9"),
    ("CKR_SESSION_HANDLE_INVALID", "fail C_SignInit 0xb3 count=6"),
    ("CKR_SESSION_CLOSED", "fail C_Sign 0xb0 count=6"),
    ("CKR_OPERATION_ACTIVE", "fail C_SignInit 0x90 count=6"),
    ("CKR_USER_NOT_LOGGED_IN", "fail C_Sign 0x101 count=6"),
    ("CKR_KEY_HANDLE_INVALID", "fail C_SignInit 0x60 count=6"),
    ("CKR_OBJECT_HANDLE_INVALID", "fail C_DecryptInit 0x82 count=6"),
    ("CKR_HOST_MEMORY", "fail C_SignInit 0x2 every=3 count=9"),
    ("CKR_DEVICE_MEMORY", "fail C_Sign 0x31 every=3 count=9"),
    ("CKR_CRYPTOKI_NOT_INITIALIZED", "fail C_SignInit 0x190 count=3"),
    ("every session closed", "kill_sessions=1"),
    ("logged out", "logout=1"),
    ("one call hangs", "hang C_Sign 1200 count=2"),
    ("a corrupted signature", "corrupt every=5 count=6"),
    ("the device is dead", "down 0x30"),
    ("the token is gone", "down 0xe0"),
    ("the HSM reboots", "down 0xb3"),
];

#[test]
fn every_fault_leaves_one_certificate_a_transaction() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let shim = Shim::before(&instance);
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let keys = keys::many_rsa(8).unwrap();
    let (stop, granted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let certificates: Vec<Parts> = std::thread::scope(|scope| {
        let devices: Vec<_> = keys
            .iter()
            .map(|key| scope.spawn(|| enrol(&instance, &server, key, &stop, &granted)))
            .collect();
        for (name, rules) in FAULTS {
            await_some(&granted, name);
            shim.rules(rules);
            std::thread::sleep(HELD);
            shim.rules("");
            let back = await_some(&granted, name);
            eprintln!("{name}: back after {back:.1?}");
        }
        stop.store(true, Ordering::Relaxed);
        devices.into_iter().flat_map(|d| d.join().unwrap()).collect()
    });
    let serials: HashSet<&[u8]> = certificates.iter().map(|c| c.serial.as_slice()).collect();
    assert_eq!(serials.len(), certificates.len(), "a serial was handed out twice");
    certificates.iter().for_each(|c| instance.verify(c).unwrap());
    each_recorded_once(&instance, &certificates);
    // No transaction has a second certificate, not even one that nobody got.
    let mut transactions = HashSet::new();
    let entries = ledger(&instance);
    let ended = |sequence: u64| {
        let sequence = sequence.to_string();
        entries.iter().any(|e| e.event == "certificate" && e.field("reservation") == sequence)
    };
    for reserved in entries.iter().filter(|e| e.event == "reservation" && ended(e.sequence)) {
        let transaction = reserved.field("transaction");
        assert!(transactions.insert(transaction.to_owned()), "{transaction} has two certificates");
    }
    instance.ask(&["ledger", "verify"]).unwrap();
    let logs = instance.logs();
    assert!(logs.contains("does not verify"), "nobody was told of the corrupted signatures");
    eprintln!("{} certificates", certificates.len());
}

/// Waits until some more devices have their certificates; how long that took.
#[track_caller]
fn await_some(granted: &AtomicUsize, fault: &str) -> Duration {
    let (start, wanted) = (Instant::now(), granted.load(Ordering::Relaxed) + 8);
    while granted.load(Ordering::Relaxed) < wanted {
        assert!(start.elapsed() < Duration::from_secs(90), "{fault}: nobody enrols any more");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// Enrols one transaction after the other; each is asked again, octet for octet, until it is granted.
fn enrol(
    instance: &Instance,
    server: &Server,
    key: &keys::Key,
    stop: &AtomicBool,
    granted: &AtomicUsize,
) -> Vec<Parts> {
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let mut all = Vec::new();
    let subject = format!("fault-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    while !stop.load(Ordering::Relaxed) {
        let name = format!("fault-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let device = Device::with_key(key.clone(), &name).unwrap();
        let csr = Csr::new(&subject).challenge(&instance.challenge).build(&device.key).unwrap();
        let mut draft = server.draft(&device, "19", csr).unwrap();
        draft.message.transaction_id = Text::printable(&name);
        let sent = draft.build(&device).unwrap();
        let start = Instant::now();
        loop {
            let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
            if answer.status == 200 {
                let reply = server.read(&answer, &sent, &device).unwrap();
                all.push(reply.certificate().expect("a certificate").clone());
                granted.fetch_add(1, Ordering::Relaxed);
                break;
            }
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(start.elapsed() < Duration::from_secs(90), "{}", answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    all
}
