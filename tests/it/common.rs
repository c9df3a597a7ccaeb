//! What the topics share: one running instance, and short ways to say what is expected.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use softhsm_test::client::{CertRep, Csr, Delivery, Device, Draft, Parts, Server};
use softhsm_test::instance::{Instance, Options};

/// A running instance that all tests which change nothing about it use together. It ends with the
/// last of them.
pub fn shared() -> Arc<Instance> {
    static SHARED: Mutex<Weak<Instance>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(instance) = shared.upgrade() {
        return instance;
    }
    let mut instance = Instance::create(&Options::default()).expect("an instance");
    bear_unopened(&instance);
    instance.start().expect("a running instance");
    let instance = Arc::new(instance);
    *shared = Arc::downgrade(&instance);
    instance
}

/// Lets the instance bear any number of envelopes that cannot be opened.
pub fn bear_unopened(instance: &Instance) {
    let limits = "[signer]\nunopened_envelopes = { per_source = 1000000, total = 1000000 }\n";
    instance.configure(|text| text.replace("[signer]\n", limits)).expect("[signer]");
}

/// A device with a fresh key, and an ordinary PKCSReq of it that would succeed.
pub fn good(instance: &Instance, server: &Server, name: &str) -> (Device, Draft) {
    with_csr(server, name, Csr::new(name).challenge(&instance.challenge))
}

/// A device with a fresh key, and a PKCSReq that carries `csr`.
pub fn with_csr(server: &Server, name: &str, csr: Csr) -> (Device, Draft) {
    let device = Device::new(name).expect("a key");
    let csr = csr.build(&device.key).expect("a CSR");
    let draft = server.draft(&device, "19", csr).expect("a draft");
    (device, draft)
}

/// Sends the request and expects a certificate over the device's key that chains to the root.
#[track_caller]
pub fn granted(instance: &Instance, server: &Server, device: &Device, draft: &Draft) -> Parts {
    let reply = server.send(device, draft).expect("a reply");
    issued(instance, device, &reply)
}

/// The same by another way of delivery.
#[track_caller]
pub fn granted_by(
    instance: &Instance,
    server: &Server,
    (device, draft): (&Device, &Draft),
    delivery: &Delivery,
) -> Parts {
    let sent = draft.build(device).expect("a message");
    let response = server.deliver(&sent.body, delivery).expect("an answer");
    issued(instance, device, &server.read(&response, &sent, device).expect("a reply"))
}

#[track_caller]
fn issued(instance: &Instance, device: &Device, reply: &CertRep) -> Parts {
    let certificate = reply.certificate().expect("a certificate");
    assert_eq!(certificate.spki, device.key.public_key_to_der().expect("the key"));
    instance.verify(certificate).expect("a chain to the root");
    certificate.clone()
}

/// Sends the request and expects a signed FAILURE with this failInfo; returns its text.
#[track_caller]
pub fn refused(server: &Server, device: &Device, draft: &Draft, fail_info: u8) -> Option<String> {
    let reply = server.send(device, draft).expect("a signed reply");
    let (found, text) = reply.failure().expect("a FAILURE");
    assert_eq!(found, fail_info, "failInfo; the text is {text:?}");
    text.map(str::to_owned)
}

/// Whatever was answered: the ledger has no certificate with this common name, and has that of a device
/// that was granted one.
#[track_caller]
pub fn no_certificate_for(instance: &Instance, server: &Server, name: &str) {
    let control = format!("beside-{name}");
    let (device, draft) = good(instance, server, &control);
    granted(instance, server, &device, &draft);
    let has = |subject: &str| {
        let found = instance.command(&["cert", "search", "--subject", subject]).expect("an answer");
        String::from_utf8_lossy(&found.stdout).contains(subject)
    };
    assert!(has(&format!("CN={control}")) && !has(&format!("CN={name}")), "{name}");
}

/// failInfo badAlg.
pub const BAD_ALG: u8 = 0;
/// failInfo badMessageCheck.
pub const BAD_MESSAGE_CHECK: u8 = 1;
/// failInfo badRequest.
pub const BAD_REQUEST: u8 = 2;

/// One entry of the ledger as `chancery ledger list --json` prints it.
#[derive(Debug)]
pub struct Entry {
    /// Its place.
    pub sequence: u64,
    /// The kind of event.
    pub event: String,
    /// What `chancery ledger list` shows of it.
    pub fields: serde_json::Value,
}

impl Entry {
    /// A field as text; empty where the event has none of that name.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(|v| v.as_str()).unwrap_or_default()
    }
}

/// The whole ledger.
#[track_caller]
pub fn ledger(instance: &Instance) -> Vec<Entry> {
    let text =
        instance.ask(&["ledger", "list", "--limit", "10000000", "--json"]).expect("the ledger");
    let entry = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let event = value["event"].as_str().expect("an event").to_owned();
        let sequence = value["sequence"].as_u64().expect("a sequence number");
        Entry { sequence, event, fields: value["fields"].clone() }
    };
    text.lines().map(entry).collect()
}

/// A certificate's serial number in hexadecimal, as the ledger shows it.
pub fn serial(certificate: &Parts) -> String {
    let content = &certificate.serial[2..];
    let content = content.strip_prefix(&[0]).filter(|c| !c.is_empty()).unwrap_or(content);
    content.iter().map(|b| format!("{b:02x}")).collect()
}

/// Checks that each of the certificates is in the ledger exactly once, octet for octet, and no serial twice.
#[track_caller]
pub fn each_recorded_once(instance: &Instance, certificates: &[Parts]) {
    let mut recorded: HashMap<String, Vec<u8>> = HashMap::new();
    for entry in ledger(instance).iter().filter(|e| e.event == "certificate") {
        let der = hex::decode(entry.field("certificate")).expect("a certificate");
        let serial = entry.field("object").to_owned();
        assert!(recorded.insert(serial.clone(), der).is_none(), "{serial} is recorded twice");
    }
    for certificate in certificates {
        let serial = serial(certificate);
        let Some(der) = recorded.get(&serial) else {
            panic!("{serial} was handed out and is not in the ledger")
        };
        assert!(
            *der == certificate.der,
            "{serial}: the ledger has another one than was handed out"
        );
    }
}

/// Runs a command to its end and returns its standard output; a failure shows what it said.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the command starts; `make deps` installs it");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Copies a folder with all that is in it to a new one.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (source, target) = {
            let i = item.unwrap();
            (i.path(), to.join(i.file_name()))
        };
        if source.is_dir() {
            copy_folder(&source, &target);
        } else {
            fs::copy(source, target).unwrap();
        }
    }
}

/// Every file below a folder with its content, in the order of their names.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        match path.is_dir() {
            true => all.extend(contents(&path)),
            false => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}
