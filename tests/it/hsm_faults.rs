//! Whatever an HSM does while devices enrol without pause: every transaction comes to exactly one certificate
//! that holds, the ledger verifies, and the service is back by itself when the HSM is (ARCHITECTURE.md, I5,
//! I8). The faults are played by the shim in front of SoftHSM.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use softhsm_test::client::{Csr, Delivery, Device, Parts, Server, Text, keys};
use softhsm_test::instance::{Instance, Options};

use crate::away::token;
use crate::common::{each_recorded_once, ledger, run};
use crate::shim::Shim;

/// How long the HSM is away at least.
const AWAY: Duration = Duration::from_millis(800);
/// How soon after the HSM's return the next device has its certificate.
const BACK: Duration = Duration::from_secs(10);
/// Nothing in here takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(90);

const FUNCTIONS: [&str; 4] = ["C_SignInit", "C_Sign", "C_DecryptInit", "C_Decrypt"];

/// The classes of return codes as `src/hsm/retry.rs` has them for most functions, and their codes.
const CLASSES: [(&str, &[u32]); 7] = [
    ("request", &[0x12, 0x20, 0x21, 0x40, 0x41, 0x62, 0x63, 0x68, 0x70, 0x71, 0xd0, 0xd1, 0x140]),
    ("session", &[0x90, 0x91, 0xb0, 0xb3, 0x150]),
    ("login", &[0x101]),
    ("PIN", &[0xa0, 0xa2, 0xa3, 0xa4]),
    ("handle", &[0x60, 0x82]),
    ("capacity", &[0x02, 0x31, 0xb1]),
    ("device", &[0x03, 0x05, 0x06, 0x30, 0x32, 0xe0, 0xe1, 0x190, 0x8000_0001]),
];

/// What else happens: a name, and the shim's rules meanwhile.
const TROUBLES: [(&str, &str); 8] = [
    ("every session closed", "kill_sessions=1"),
    ("logged out", "logout=1"),
    (
        "logged out, and the keys are not found at once",
        "logout=2\nfail C_FindObjectsInit 0x30 count=2\nfail C_Login 0x6 count=1",
    ),
    ("no session can be opened", "kill_sessions=2\nfail C_OpenSession 0x30 count=4"),
    ("a corrupted signature", "corrupt every=5 count=6"),
    ("the device is dead", "down 0x30"),
    ("the token is gone", "down 0xe0"),
    ("the HSM reboots", "down 0xb3\nkill_sessions=3"),
];

#[test]
fn every_fault_leaves_one_certificate_a_transaction() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let shim = Shim::before(&instance);
    impatient(&instance);
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let all = keys::many_rsa(9).unwrap();
    let (last, keys) = all.split_last().unwrap();
    let (stop, granted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut certificates: Vec<Parts> = std::thread::scope(|scope| {
        let devices: Vec<_> = keys
            .iter()
            .map(|key| scope.spawn(|| enrol(&instance, &server, key, &stop, &granted)))
            .collect();
        for (class, codes) in CLASSES {
            for function in FUNCTIONS {
                // Two in a row of each code, and three good calls before the next.
                let rule = |(n, code)| format!("fail {function} {code:#x} skip={} count=2", 5 * n);
                let rules: Vec<String> = codes.iter().enumerate().map(rule).collect();
                play(&shim, &granted, 1, &format!("{function}, {class}"), &rules);
            }
        }
        for (name, rules) in TROUBLES {
            let rules: Vec<String> = rules.lines().map(str::to_owned).collect();
            play(&shim, &granted, keys.len(), name, &rules);
        }
        hung(&instance, &shim, &granted);
        replaced(&instance, &granted);
        stop.store(true, Ordering::Relaxed);
        devices.into_iter().flat_map(|d| d.join().unwrap()).collect()
    });
    certificates.push(pin_refused(&mut instance, &shim, &server, last));
    let serials: HashSet<&[u8]> = certificates.iter().map(|c| c.serial.as_slice()).collect();
    assert_eq!(serials.len(), certificates.len(), "a serial was handed out twice");
    certificates.iter().for_each(|c| instance.verify(c).unwrap());
    each_recorded_once(&instance, &certificates);
    // No transaction has a second certificate, not even one that nobody got.
    let mut transactions = HashSet::new();
    let entries = ledger(&instance);
    let of = |event: &'static str| entries.iter().filter(move |e| e.event == event);
    let ended: HashSet<&str> = of("certificate").map(|e| e.field("reservation")).collect();
    for reserved in of("reservation").filter(|e| ended.contains(&*e.sequence.to_string())) {
        let transaction = reserved.field("transaction");
        assert!(transactions.insert(transaction.to_owned()), "{transaction} has two certificates");
    }
    assert_eq!(of("start").count(), 2, "it came back by itself but from the refused PIN");
    instance.ask(&["ledger", "verify"]).unwrap();
    let logs = instance.logs();
    for told in ["does not verify", "is away", "is back"] {
        assert!(logs.contains(told), "nobody was told «{told}»");
    }
    eprintln!("{} certificates", certificates.len());
}

/// A call is given up after two seconds, so that the test need not wait longer for one that hangs.
fn impatient(instance: &Instance) {
    let profile = include_str!("../../pkcs11-profiles/softhsm2.toml");
    let quick = profile.replace("call_timeout_seconds = 10", "call_timeout_seconds = 2");
    assert_ne!(quick, profile);
    let path = instance.folder().join("impatient.toml");
    fs::write(&path, quick).unwrap();
    let named = format!("profile = {path:?}\n");
    instance.configure(|text| text.replace("profile = \"softhsm2\"\n", &named)).unwrap();
}

/// Plays the rules until each has come true as often as it says, and waits until so many `more` devices have
/// their certificates.
#[track_caller]
fn play(shim: &Shim, granted: &AtomicUsize, more: usize, name: &str, rules: &[String]) {
    let start = Instant::now();
    shim.rules(&rules.join("\n"));
    for rule in rules {
        let wanted = match rule.split_once("count=") {
            Some((_, count)) => count.parse().unwrap(),
            None if rule.starts_with("down") => {
                std::thread::sleep(AWAY);
                continue;
            }
            None => 1,
        };
        while shim.played(rule) < wanted {
            assert!(start.elapsed() < NEVER, "{name}: «{rule}» does not come true");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    shim.rules("");
    let played = start.elapsed();
    eprintln!("{name}: {played:.1?}, back after {:.1?}", await_return(granted, more, name));
}

/// A call that hangs costs its lane alone: the others go on, and its thread ends when it is back.
fn hung(instance: &Instance, shim: &Shim, granted: &AtomicUsize) {
    let start = Instant::now();
    let told = |what: &str| {
        while !instance.logs().contains(what) {
            assert!(start.elapsed() < NEVER, "nobody is told «{what}»");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    shim.rules("hang C_Sign 3500 count=1");
    told("hangs in a call");
    await_return(granted, 1, "a call hangs");
    told("that hung is back");
    shim.rules("");
    eprintln!("one call hangs: {:.1?}", start.elapsed());
}

/// What is wrong with the token, where something is.
fn problem(instance: &Instance) -> Option<String> {
    let text = instance.ask(&["hsm", "status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status[0]["problem"].as_str().map(str::to_owned)
}

/// Another token in the place of ours, with the same label and PIN but other keys and another serial number, is
/// not ours: nothing is done with it.
fn replaced(instance: &Instance, granted: &AtomicUsize) {
    let at = |name| instance.folder().join(name);
    let (there, away) = (token(instance.folder()).expect("a token"), at("away"));
    fs::rename(&there, &away).unwrap();
    let pin = |name| fs::read_to_string(at(name)).unwrap();
    run(Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "chancery-lab"])
        .args(["--pin", pin("pin").trim(), "--so-pin", pin("so-pin").trim()])
        .env("SOFTHSM2_CONF", at("softhsm2.conf")));
    let other = token(&at("tokens")).expect("another token");
    assert_ne!(other, there);
    // What was signed before is answered; then nobody gets anything.
    let start = Instant::now();
    while problem(instance).is_none() {
        assert!(start.elapsed() < NEVER, "the token is not missed");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(AWAY);
    let before = granted.load(Ordering::Relaxed);
    // Long enough for some attempts to bring the token back.
    std::thread::sleep(2 * AWAY);
    assert_eq!(granted.load(Ordering::Relaxed), before, "a key of another token was used");
    fs::rename(other, at("other")).unwrap();
    fs::rename(away, there).unwrap();
    eprintln!("the token is another: back after {:.1?}", await_return(granted, 1, "another token"));
}

/// A PIN that was refused is not tried again, though it would be taken: only a restart does. The device that came
/// in vain gets its certificate then.
fn pin_refused(instance: &mut Instance, shim: &Shim, server: &Server, key: &keys::Key) -> Parts {
    shim.rules("logout=3\nfail C_Login 0xa0 count=1");
    let device = Device::with_key(key.clone(), "refused").unwrap();
    let csr = Csr::new("refused").challenge(&instance.challenge).build(&device.key).unwrap();
    let sent = server.draft(&device, "19", csr).unwrap().build(&device).unwrap();
    let ask = || server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    for _ in 0..4 {
        let answer = ask();
        assert_eq!(answer.status, 503, "{}", answer.text());
        std::thread::sleep(AWAY / 4);
    }
    let problem = problem(instance).expect("a problem");
    assert!(problem.contains("CKR_PIN_INCORRECT"), "{problem}");
    shim.rules("");
    instance.stop().unwrap();
    instance.start().unwrap();
    server.read(&ask(), &sent, &device).unwrap().certificate().expect("a certificate").clone()
}

/// Waits until so many more devices have their certificates; how long that took.
#[track_caller]
fn await_return(granted: &AtomicUsize, more: usize, fault: &str) -> Duration {
    let (start, wanted) = (Instant::now(), granted.load(Ordering::Relaxed) + more);
    while granted.load(Ordering::Relaxed) < wanted {
        assert!(start.elapsed() < BACK, "{fault}: not back after {BACK:?}");
        std::thread::sleep(Duration::from_millis(5));
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
            assert!(start.elapsed() < NEVER, "{}", answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    all
}
