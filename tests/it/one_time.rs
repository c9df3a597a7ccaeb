//! One-time challenges (rows 58, 59, 62; T04, T05, T06, T17).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use softhsm_test::client::{Csr, Delivery, Device, Draft, Server, Text};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_REQUEST, granted, ledger, refused, serial, with_csr};

/// An instance with one-time challenges, and a second endpoint where an officer approves.
pub(crate) fn instance() -> Arc<Instance> {
    static SHARED: Mutex<Weak<Instance>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(instance) = shared.upgrade() {
        return instance;
    }
    let mut instance = unstarted();
    instance.start().unwrap();
    let instance = Arc::new(instance);
    *shared = Arc::downgrade(&instance);
    instance
}

/// The same for one test, not yet started.
pub(crate) fn unstarted() -> Instance {
    let instance = Instance::create(&Default::default()).unwrap();
    let held = |name: &str, lifetime: &str| {
        format!(
            "[endpoint.{name}]\npath = \"/scep/{name}\"\nca = \"issuing\"\nprofile = \"device\"\n\
             one_time_challenges = true\napproval = \"officer\"\npending_lifetime = \"{lifetime}\"\n"
        )
    };
    let more = format!("{}{}", held("held", "7d"), held("brief", "1s"));
    instance.configure(|text| text + "one_time_challenges = true\n" + &more).unwrap();
    instance
}

/// `chancery challenge issue` with one challenge: its number and itself.
pub(crate) fn issue(instance: &Instance, endpoint: &str, more: &[&str]) -> (u64, String) {
    let arguments = [&["challenge", "issue", endpoint, "--json"], more].concat();
    let text = instance.ask(&arguments).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    (value["id"].as_u64().unwrap(), value["challenge"].as_str().unwrap().to_owned())
}

fn asking(server: &Server, name: &str, challenge: &str) -> (Device, Draft) {
    with_csr(server, name, Csr::new(name).challenge(challenge))
}

fn state(instance: &Instance, id: u64) -> String {
    let text = instance.ask(&["challenge", "list", "--json"]).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let found = lines.into_iter().find(|l| l["id"] == id).expect("the challenge is listed");
    found["state"].as_str().unwrap().to_owned()
}

#[test]
fn row_058_a_second_use_is_refused_and_logged() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (id, challenge) = issue(&instance, "device", &[]);
    assert_eq!((challenge.len(), state(&instance, id).as_str()), (48, "open"));
    let (device, draft) = asking(&server, "first", &challenge);
    granted(&instance, &server, &device, &draft);
    assert_eq!(state(&instance, id), "used");
    let (device, draft) = asking(&server, "second", &challenge);
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("used before") && !text.contains(&challenge), "{text}");
    let logs = instance.logs();
    let line = logs.lines().find(|l| l.contains("challenge-reused")).expect("a security event");
    assert!(line.contains(&device.transaction_id()) && !logs.contains(&challenge), "{line}");
}

#[test]
fn row_062_quirk_23_a_challenge_is_consumed_by_an_issuance_alone() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (id, challenge) = issue(&instance, "device", &[]);
    let csr = Csr::with_subject(vec![0x30, 0]).challenge(&challenge);
    let (device, draft) = with_csr(&server, "nameless", csr);
    refused(&server, &device, &draft, BAD_REQUEST);
    assert_eq!(state(&instance, id), "open", "a refused request consumes nothing");
    let (device, draft) = asking(&server, "lost reply", &challenge);
    let first = granted(&instance, &server, &device, &draft);
    assert_eq!(granted(&instance, &server, &device, &draft), first, "answered from the ledger");
}

#[test]
fn row_059_challenges_end() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (id, revoked) = issue(&instance, "device", &[]);
    instance.ask(&["challenge", "revoke", &id.to_string()]).unwrap();
    let (_, late) = issue(&instance, "device", &["--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for (challenge, word) in [(revoked, "revoked"), (late, "expired")] {
        let (device, draft) = asking(&server, word, &challenge);
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains(word), "{text}");
    }
    let (_, elsewhere) = issue(&instance, "held", &[]);
    let (device, draft) = asking(&server, "elsewhere", &elsewhere);
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("wrong"), "{text}");
}

#[test]
fn t05_the_challenge_binds_subject_and_names() {
    let instance = instance();
    let server = instance.server().unwrap();
    let bound = ["--subject", "CN=bound", "--san", "dns:bound.example"];
    let (_, challenge) = issue(&instance, "device", &bound);
    let csr = |cn: &str, dns: &[&str]| {
        let csr = Csr::new(cn).challenge(&challenge);
        if dns.is_empty() { csr } else { csr.dns_names(dns) }
    };
    for (csr, rule) in [
        (csr("admin", &["bound.example"]), "another subject"),
        (csr("bound", &[]), "other alternative names"),
        (csr("bound", &["bound.example", "admin.example"]), "other alternative names"),
    ] {
        let (device, draft) = with_csr(&server, "bound", csr);
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains(rule), "{text}");
    }
    let (device, draft) = with_csr(&server, "bound", csr("bound", &["bound.example"]));
    granted(&instance, &server, &device, &draft);
}

#[test]
fn t06_simultaneous_requests_take_each_use_once() {
    let instance = instance();
    let server = instance.server().unwrap();
    for uses in [1, 3] {
        let (_, challenge) = issue(&instance, "device", &["--uses", &uses.to_string()]);
        let ready: Vec<_> =
            (0..8).map(|i| asking(&server, &format!("parallel {i}"), &challenge)).collect();
        let granted = std::thread::scope(|scope| {
            let send = |(device, draft): &(Device, Draft)| {
                server.send(device, draft).unwrap().certificate().is_ok()
            };
            let all: Vec<_> = ready.iter().map(|r| scope.spawn(move || send(r))).collect();
            all.into_iter().map(|t| t.join().unwrap()).filter(|g| *g).count()
        });
        assert_eq!(granted, uses, "certificates for {uses} uses");
    }
}

#[test]
fn t04_t17_guesses_hit_nothing_and_the_disk_holds_no_challenge() {
    let mut instance = unstarted();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (_, used) = issue(&instance, "device", &[]);
    let (_, live) = issue(&instance, "device", &["--uses", "2"]);
    let held = instance.url.replace("/scep/device", "/scep/held");
    let held = Server::discover(&held).unwrap();
    let (_, waiting) = issue(&instance, "held", &[]);
    for challenge in [&used, &live] {
        let (device, draft) = asking(&server, "canary", challenge);
        granted(&instance, &server, &device, &draft);
    }
    let (device, draft) = asking(&held, "canary", &waiting);
    assert!(held.send(&device, &draft).unwrap().certificate().is_err());
    for guess in 0..20 {
        let guess = format!("{guess:02}{}", &live[2..]);
        if guess != live {
            let (device, draft) = asking(&server, "guess", &guess);
            refused(&server, &device, &draft, BAD_REQUEST);
        }
    }
    instance.stop().unwrap();
    for secret in [&used, &live, &waiting] {
        holds_not(instance.folder(), secret.as_bytes());
        assert!(!instance.logs().contains(secret.as_str()));
    }
    instance.start().unwrap();
    let all = ledger(&instance);
    let wrong = all.iter().filter(|e| e.field("reason") == "wrong-challenge");
    let count: usize = wrong.map(|e| e.field("count").parse::<usize>().unwrap()).sum();
    assert!((19..=20).contains(&count), "{count} guesses are in the ledger");
    let server = instance.server().unwrap();
    let (device, draft) = asking(&server, "after the restart", &used);
    refused(&server, &device, &draft, BAD_REQUEST);
}

#[test]
fn t04_who_guesses_too_often_is_not_looked_at_any_more() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits = "[signer]\nwrong_challenges = { per_source = 3 }";
    instance.configure(|text| text.replace("[signer]", limits)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (holder, draft) = asking(&server, "holder", &instance.challenge);
    granted(&instance, &server, &holder, &draft);
    for _ in 0..3 {
        let (device, draft) = asking(&server, "guesser", "a wrong guess");
        refused(&server, &device, &draft, BAD_REQUEST);
    }
    // Right and wrong get one answer now, so that it says nothing of the challenge.
    for challenge in ["a wrong guess", instance.challenge.as_str()] {
        let (device, draft) = asking(&server, "guesser", challenge);
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    }
    assert!(instance.logs().contains("event=challenges-tried"), "{}", instance.logs());
}

#[test]
fn t35_a_key_of_another_name_or_a_compromised_one_is_refused() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = asking(&server, "owner", &instance.challenge);
    let certificate = granted(&instance, &server, &device, &draft);
    let with_key = |name: &str| {
        let csr = Csr::new(name).challenge(&instance.challenge).build(&device.key).unwrap();
        let mut draft = server.draft(&device, "19", csr).unwrap();
        draft.message.transaction_id = Text::printable(&format!("t35 {name}"));
        draft
    };
    let text = refused(&server, &device, &with_key("thief"), BAD_REQUEST).unwrap();
    assert!(text.contains("under another name"), "{text}");
    granted(&instance, &server, &device, &with_key("owner"));
    let number = serial(&certificate);
    instance.ask(&["cert", "revoke", &number, "--reason", "keyCompromise", "--yes"]).unwrap();
    let mut again = with_key("owner");
    again.message.transaction_id = Text::printable("t35 after");
    let text = refused(&server, &device, &again, BAD_REQUEST).unwrap();
    assert!(text.contains("compromised"), "{text}");
    let (other, draft) = asking(&server, "other", &instance.challenge);
    granted(&instance, &server, &other, &draft);
}

#[test]
fn t35_of_two_names_at_once_one_gets_the_key() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    // Each round one key under four names at once, and one name with another key as the control.
    for round in 0..6 {
        let shared = Device::new("shared").unwrap();
        let own = Device::new("own").unwrap();
        let names = ["a", "b", "c", "d", "own"];
        let issued = std::thread::scope(|scope| {
            let one = |name: &'static str| {
                let device = if name == "own" { &own } else { &shared };
                let csr = Csr::new(&format!("t35 {round} {name}")).challenge(&instance.challenge);
                let csr = csr.build(&device.key).unwrap();
                let mut draft = server.draft(device, "19", csr).unwrap();
                draft.message.transaction_id = Text::printable(&format!("t35 {round} {name}"));
                let server = &server;
                scope.spawn(move || (name, server.send(device, &draft).unwrap()))
            };
            let running: Vec<_> = names.map(one).into_iter().collect();
            let answers = running.into_iter().map(|thread| thread.join().unwrap());
            answers
                .filter(|(_, reply)| reply.certificate().is_ok())
                .map(|(n, _)| n)
                .collect::<Vec<_>>()
        });
        assert_eq!(issued.len(), 2, "round {round}: {issued:?}");
        assert!(issued.contains(&"own"), "round {round}: {issued:?}");
    }
}

/// Checks that no file below `folder` holds `secret`, and, as a control, that some file holds what every
/// configuration does.
#[track_caller]
pub(crate) fn holds_not(folder: &Path, secret: &[u8]) {
    assert!(!holding(folder, b"[endpoint.").is_empty(), "the control: this is an instance");
    let found = holding(folder, secret);
    assert!(found.is_empty(), "{found:?} hold a secret");
}

/// The files below `folder` that hold `octets`. A signer may run, and remove one meanwhile.
fn holding(folder: &Path, octets: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, octets));
        } else if path.is_file() {
            match std::fs::read(&path) {
                Ok(bytes) if bytes.windows(octets.len()).any(|w| w == octets) => found.push(path),
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{path:?}: {e}"),
                _ => {}
            }
        }
    }
    found
}
