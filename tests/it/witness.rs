//! A witness that cosigns the log of a running instance: played here over real sockets. What it checks of a
//! checkpoint is what `tests/foreign` holds against another project's libraries.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery::clock::{Clock as _, SystemClock};
use chancery::ledger::checkpoint::Checkpoint;
use chancery::ledger::merkle::Hash;
use chancery::ledger::note::NoteKey;
use chancery::ledger::proof::proves_consistency;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use softhsm_test::instance::{Instance, Options};

use crate::common::{copy_folder, good, granted};
use crate::tiles::{get, verifier};

const NAME: &str = "witness.example/w1";

/// What the witness knows, and how it behaves.
#[derive(Default)]
pub struct Memory {
    /// The log's key; until it is known everything is refused.
    pub log: Option<String>,
    pub seen: Option<(u64, Hash)>,
    cosigned: u32,
    conflicts: u32,
    /// Sign with the wrong time under the signature.
    lies: bool,
}

pub struct Witness {
    key: PKey<Private>,
    pub memory: Arc<Mutex<Memory>>,
    pub url: String,
}

impl Witness {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/w1", listener.local_addr().unwrap());
        let key = PKey::generate_ed25519().unwrap();
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (kept, signing) = (memory.clone(), key.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &signing, &mut kept.lock().unwrap());
            }
        });
        Self { key, memory, url }
    }

    fn vkey(&self) -> String {
        let id = hex::encode(id(&self.key));
        format!("{NAME}+{id}+{}", STANDARD.encode(encoded(&self.key)))
    }
}

fn encoded(key: &PKey<Private>) -> Vec<u8> {
    [&[4][..], &key.raw_public_key().unwrap()].concat()
}

fn id(key: &PKey<Private>) -> [u8; 4] {
    let digest = openssl::sha::sha256(&[NAME.as_bytes(), b"\n", &encoded(key)].concat());
    digest[..4].try_into().unwrap()
}

fn serve(mut stream: TcpStream, key: &PKey<Private>, memory: &mut Memory) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    assert!(head[0].starts_with("post /w1/add-checkpoint "), "{head:?}");
    let length = head.iter().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let (status, text) = judge(&String::from_utf8(body).unwrap(), key, memory);
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
}

/// What C2SP tlog-witness says of `add-checkpoint`.
fn judge(body: &str, key: &PKey<Private>, memory: &mut Memory) -> (u16, String) {
    let Some(log) = &memory.log else { return (404, "unknown log\n".into()) };
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let hash = |line| STANDARD.decode(line).unwrap().try_into().unwrap();
    let path: Vec<Hash> = lines.map(hash).collect();
    let Ok(new) = Checkpoint::open(note, &NoteKey::from_text(log).unwrap()) else {
        return (403, "no signature of the log\n".into());
    };
    let seen = memory.seen.map_or(0, |(size, _)| size);
    if old != seen {
        memory.conflicts += 1;
        return (409, format!("{seen}\n"));
    }
    if let Some((size, root)) = memory.seen
        && !proves_consistency(size, &root, new.size, &new.root, &path)
    {
        return (422, "the proof does not hold\n".into());
    }
    memory.seen = Some((new.size, new.root));
    memory.cosigned += 1;
    let time = SystemClock.now().unix_millis() / 1000;
    let signed = if memory.lies { time + 1 } else { time };
    let message = format!("cosignature/v1\ntime {signed}\n{}", new.text());
    let mut signer = Signer::new_without_digest(key).unwrap();
    let signature = signer.sign_oneshot_to_vec(message.as_bytes()).unwrap();
    let line = STANDARD.encode([&id(key)[..], &time.to_be_bytes(), &signature].concat());
    (200, format!("\u{2014} {NAME} {line}\n"))
}

pub fn status(instance: &Instance) -> serde_json::Value {
    let text = instance.ask(&["status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status["log"]["witnesses"][0].clone()
}

#[track_caller]
pub fn until(what: &str, limit: u64, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(limit), "not in {limit} s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub fn enrol(instance: &Instance, name: &str) {
    let server = instance.server().unwrap();
    let (device, draft) = good(instance, &server, name);
    granted(instance, &server, &device, &draft);
}

pub fn watched(witness: &Witness) -> Instance {
    let instance = Instance::create(&Options::default()).unwrap();
    let section =
        format!("\n[ledger.witness.w1]\nkey = \"{}\"\nurl = \"{}\"\n", witness.vkey(), witness.url);
    let quick = "[ledger]\ncheckpoint_interval = \"1s\"\n";
    instance.configure(|text| text.replace("[ledger]\n", quick) + &section).unwrap();
    instance
}

#[test]
fn a_witness_cosigns_and_the_checkpoint_carries_it() {
    let witness = Witness::start();
    let mut instance = watched(&witness);
    instance.start().unwrap();
    // It does not know the log yet: a problem that is shown, and nothing that stops the service.
    until("the refusal is shown", 30, || {
        status(&instance)["problem"].as_str().is_some_and(|p| p.contains("404"))
    });
    enrol(&instance, "meanwhile");
    witness.memory.lock().unwrap().log = Some(verifier(&instance));
    until("a cosignature", 90, || status(&instance)["size"].is_u64());
    assert!(status(&instance)["problem"].is_null());

    let published = || get(&instance, "/log/checkpoint").text();
    until("the checkpoint carries it", 30, || published().contains(NAME));
    // More entries, a consistency proof, another cosignature.
    let before = witness.memory.lock().unwrap().seen.unwrap().0;
    enrol(&instance, "more");
    until("the next cosignature", 60, || status(&instance)["size"].as_u64() > Some(before));
    assert!(instance.ask(&["status"]).unwrap().contains("witness: w1 cosigned"));

    // After a restart it goes on from what it kept; after the loss of that, from what the witness says.
    instance.stop().unwrap();
    let seen = witness.memory.lock().unwrap().seen.unwrap().0;
    instance.start().unwrap();
    until("a cosignature after a restart", 60, || status(&instance)["size"].as_u64() > Some(seen));
    assert_eq!(witness.memory.lock().unwrap().conflicts, 0);
    instance.stop().unwrap();
    std::fs::remove_dir_all(instance.folder().join("state/witnesses")).unwrap();
    let seen = witness.memory.lock().unwrap().seen.unwrap().0;
    instance.start().unwrap();
    until("a cosignature after a conflict", 60, || status(&instance)["size"].as_u64() > Some(seen));
    assert_eq!(witness.memory.lock().unwrap().conflicts, 1);
}

/// An older ledger was put back, and the anchor with it: what a witness cosigned still knows of more.
#[test]
fn a_ledger_that_is_older_than_what_a_witness_cosigned_is_not_signed_on() {
    let witness = Witness::start();
    let mut instance = watched(&witness);
    instance.start().unwrap();
    witness.memory.lock().unwrap().log = Some(verifier(&instance));
    instance.stop().unwrap();
    let state = instance.folder().join("state");
    let kept = tempfile::tempdir().unwrap();
    copy_folder(&state.join("ledger"), &kept.path().join("older"));
    instance.start().unwrap();
    enrol(&instance, "newer");
    until("a cosignature", 90, || status(&instance)["size"].is_u64());
    instance.stop().unwrap();
    copy_folder(&state.join("ledger"), &kept.path().join("newer"));
    let cosigned = state.join("witnesses/w1");
    let note = std::fs::read_to_string(&cosigned).unwrap();
    let maintenance = |instance: &mut Instance, ledger: &str| {
        std::fs::remove_dir_all(state.join("ledger")).unwrap();
        copy_folder(&kept.path().join(ledger), &state.join("ledger"));
        drop(std::fs::remove_file(state.join("ledger-anchor")));
        instance.start().unwrap();
        let said = instance.ask(&["status", "--json"]).unwrap();
        instance.stop().unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["maintenance"].as_str().unwrap_or_default().to_owned()
    };
    let why = maintenance(&mut instance, "older");
    assert!(why.contains("witnesses/w1 knows") && why.contains("was cut"), "{why}");
    assert!(!state.join("ledger-anchor").exists(), "no head was signed");
    // One that the log's key did not sign was changed by somebody.
    std::fs::write(&cosigned, note.replacen('\n', "\n1", 1)).unwrap();
    let why = maintenance(&mut instance, "newer");
    assert!(why.contains("witnesses/w1 cannot be used"), "{why}");
    std::fs::write(&cosigned, note).unwrap();
    assert_eq!(maintenance(&mut instance, "newer"), "");
}

#[test]
fn what_a_witness_did_not_sign_is_no_cosignature() {
    let witness = Witness::start();
    let mut instance = watched(&witness);
    instance.start().unwrap();
    {
        let mut memory = witness.memory.lock().unwrap();
        memory.lies = true;
        memory.log = Some(verifier(&instance));
    }
    until("the lie is shown", 90, || {
        status(&instance)["problem"].as_str().is_some_and(|p| p.contains("does not verify"))
    });
    assert!(status(&instance)["size"].is_null());
    assert!(!get(&instance, "/log/checkpoint").text().contains(NAME));
    // It knows of more entries than there are: shown as what it may be.
    let far = Some((1_000_000, [7; 32]));
    witness.memory.lock().unwrap().seen = far;
    until("the rollback is shown", 90, || {
        status(&instance)["problem"].as_str().is_some_and(|p| p.contains("older ledger"))
    });
    let warned = instance.ask(&["status"]).unwrap();
    assert!(warned.contains("warning: the witness w1"), "{warned}");
}

#[test]
fn a_witness_that_cannot_be_asked_is_an_error_of_the_configuration() {
    let witness = Witness::start();
    let instance = watched(&witness);
    let check = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&instance.config).unwrap();
        let changed = instance.folder().join("changed.toml");
        std::fs::write(&changed, text.replace(from, to)).unwrap();
        let mut command = std::process::Command::new(softhsm_test::instance::chancery().unwrap());
        let output = command.args(["config", "check", "--config"]).arg(changed).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check("nothing", "nothing").0, Some(0));
    let key = witness.vkey();
    let plain = key.replacen("+B", "+A", 1);
    for (from, to) in [
        ("http://127", "https://127"),
        (NAME, "another"),
        (&key, &plain),
        ("url = \"http://", "url = \""),
    ] {
        let (code, said) = check(from, to);
        assert_eq!(code, Some(8), "{from} {to}: {said}");
        assert!(said.contains("ledger.witness.w1"), "{said}");
    }
}
