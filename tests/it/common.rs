//! What the topics share: one running instance, and short ways to say what is expected.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use softhsm_test::client::{CertRep, Csr, Delivery, Device, Draft, Parts, Server};
use softhsm_test::instance::Instance;

/// A running instance that all tests which change nothing about it use together. It ends with the
/// last of them.
pub fn shared() -> Arc<Instance> {
    static SHARED: Mutex<Weak<Instance>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(instance) = shared.upgrade() {
        return instance;
    }
    let instance = Arc::new(Instance::serve().expect("an instance"));
    *shared = Arc::downgrade(&instance);
    instance
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

/// failInfo badAlg.
pub const BAD_ALG: u8 = 0;
/// failInfo badMessageCheck.
pub const BAD_MESSAGE_CHECK: u8 = 1;
/// failInfo badRequest.
pub const BAD_REQUEST: u8 = 2;

/// One entry of the ledger as `chancery ledger list --json` prints it.
pub struct Entry {
    /// Its place.
    pub sequence: u64,
    /// The kind of event.
    pub event: String,
    fields: serde_json::Value,
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

/// Checks that each of the certificates is in the ledger exactly once, and no serial twice.
#[track_caller]
pub fn each_recorded_once(instance: &Instance, certificates: &[Parts]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for entry in ledger(instance).iter().filter(|e| e.event == "certificate") {
        *counts.entry(entry.field("object").to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, n)| **n != 1).collect();
    assert!(twice.is_empty(), "serials recorded more than once: {twice:?}");
    for certificate in certificates {
        let serial = serial(certificate);
        assert!(counts.contains_key(&serial), "{serial} was handed out and is not in the ledger");
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
