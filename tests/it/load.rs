//! Devices that enrol one after the other until they are told to stop, for tests that end the
//! service meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Scope;
use std::thread::ScopedJoinHandle;

use softhsm_test::client::{Csr, Delivery, Device, Draft, Parts, Server, keys::Key};
use softhsm_test::instance::Instance;

static NAMES: AtomicUsize = AtomicUsize::new(0);

/// A request that was answered with a certificate.
pub struct Acknowledged {
    /// Who asked.
    pub device: Device,
    /// What was asked.
    pub draft: Draft,
    /// What was answered.
    pub certificate: Parts,
}

/// A request that came to anything else.
pub struct Other {
    /// Its transaction ID.
    pub transaction: String,
    /// The answer or the failure.
    pub what: String,
}

/// What a worker saw.
#[derive(Default)]
pub struct Seen {
    /// The requests that were answered with a certificate.
    pub acknowledged: Vec<Acknowledged>,
    /// The requests that were not.
    pub others: Vec<Other>,
}

/// Starts a thread for each of `keys` that enrols until `stop` is set; the first failure ends a
/// thread. The keys are made before, so that a kill meets requests and not key generation.
pub fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    (instance, server): (&'env Instance, &'env Server),
    keys: &'env [Key],
    stop: &'env AtomicBool,
) -> Vec<ScopedJoinHandle<'scope, Seen>> {
    keys.iter().map(|key| scope.spawn(|| enrol_until(instance, server, key, stop))).collect()
}

fn enrol_until(instance: &Instance, server: &Server, key: &Key, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    // One key, one name: a key under another name would be refused.
    let subject = format!("load-{}", hex(&key.public_key_to_der().unwrap()));
    while !stop.load(Ordering::Relaxed) {
        let name = format!("load-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let device = Device::with_key(key.clone(), &name).unwrap();
        let csr = Csr::new(&subject).challenge(&instance.challenge).build(&device.key).unwrap();
        let mut draft = server.draft(&device, "19", csr).unwrap();
        draft.message.transaction_id = softhsm_test::client::Text::printable(&name);
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None));
        let reply = answer.and_then(|a| server.read(&a, &sent, &device));
        match reply.and_then(|r| r.certificate().cloned()) {
            Ok(certificate) => {
                seen.acknowledged.push(Acknowledged { device, draft, certificate });
            }
            Err(e) => {
                seen.others.push(Other { transaction: name, what: e.to_string() });
                break;
            }
        }
    }
    seen
}

/// A name for a key, the same in every round.
fn hex(spki: &[u8]) -> String {
    openssl::sha::sha1(spki).iter().take(6).map(|b| format!("{b:02x}")).collect()
}
