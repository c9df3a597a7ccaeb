//! A store and a key that record the order of calls and can be held.

use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::proof::HashSource;
use crate::ledger::{
    Abandoned, Draft, Entry, Event, Fingerprint, Index, Key, Ledger, Outcome, Record, SignedKind,
    SignedObject, SigningIntent, Store, StoreError,
};
use crate::pki::{Digest, PublicKey, SignatureAlgorithm};
use crate::signing::{
    BoxFuture, Class, KeyUseError, Permit, Queue, QueueLimits, Signer, SigningError, Work,
};

pub(super) const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// What happened, in its order.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    pub(super) fn add(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Something that can be made to wait.
#[derive(Default)]
pub(super) struct Gate {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let held = self.held.lock().unwrap();
        drop(self.changed.wait_while(held, |held| *held).unwrap());
    }
}

/// A store in memory whose appends say what is durable from now on.
struct Memory {
    entries: Mutex<Vec<Vec<u8>>>,
    calls: Calls,
    gate: Arc<Gate>,
    /// The kind of entry whose append fails.
    broken: Option<&'static str>,
}

impl HashSource for Memory {
    fn hashes(&self, _: u8, _: u64, _: u64) -> Result<Vec<Hash>, StoreError> {
        Ok(Vec::new())
    }
}

impl Store for Memory {
    fn size(&self) -> u64 {
        self.entries.lock().unwrap().len() as u64
    }

    fn frontier(&self) -> Frontier {
        Frontier::new()
    }

    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.gate.pass();
        for record in records {
            let entry = Entry::decode(&record.entry).unwrap();
            let kind = entry.event.name();
            if self.broken == Some(kind) {
                return Err(StoreError::Database("broken on purpose".into()));
            }
            self.entries.lock().unwrap().push(record.entry);
            self.calls.add(format!("{kind} {}", entry.object));
        }
        Ok(())
    }

    fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let entries = self.entries.lock().unwrap();
        Ok(entries.iter().skip(first as usize).take(limit).cloned().collect())
    }

    fn lookup(&self, _: Index, _: &Key) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }

    fn range(&self, _: Index, _: &Key, _: &Key, _: usize) -> Result<Vec<(Key, u64)>, StoreError> {
        Ok(Vec::new())
    }

    fn keep_checkpoint(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A key whose signatures are the messages themselves.
struct FakeKey {
    calls: Calls,
    gate: Arc<Gate>,
    fails: bool,
}

impl Signer for FakeKey {
    fn public_key(&self) -> &PublicKey {
        static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
            let key = openssl::pkey::PKey::generate_ed25519().unwrap();
            PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
        });
        &KEY
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }

    fn sign(&self, message: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        self.sign_with(SignatureAlgorithm::Ecdsa(Digest::Sha256), message)
    }

    fn sign_with(
        &self,
        _: SignatureAlgorithm,
        message: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        Box::pin(async move {
            self.calls.add(format!("sign {}", String::from_utf8_lossy(&message)));
            tokio::task::block_in_place(|| self.gate.pass());
            match self.fails {
                true => Err(KeyUseError::Unavailable("the token is away".into())),
                false => Ok(message),
            }
        })
    }
}

/// A queue between its fakes.
pub(super) struct Bench {
    pub(super) calls: Calls,
    pub(super) disk: Arc<Gate>,
    pub(super) hsm: Arc<Gate>,
    pub(super) queue: Queue,
}

impl Bench {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self::with(limits, None)
    }

    /// One whose store fails at the first entry of this kind.
    pub(super) fn with(limits: QueueLimits, broken: Option<&'static str>) -> Self {
        let (calls, disk) = (Calls::default(), Arc::new(Gate::default()));
        let entries = Mutex::default();
        let store = Memory { entries, calls: calls.clone(), gate: disk.clone(), broken };
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let ledger = Ledger::open(Arc::new(store), clock.clone()).unwrap();
        let queue = Queue::start(ledger, clock, limits);
        Self { calls, disk, hsm: Arc::default(), queue }
    }

    /// Work named `name` for a key that works.
    pub(super) fn work(&self, name: &str) -> Work {
        self.work_of(name, false)
    }

    pub(super) fn work_of(&self, name: &str, fails: bool) -> Work {
        let message = name.as_bytes().to_vec();
        let intent = Event::SigningIntent(SigningIntent {
            kind: SignedKind::Crl,
            issuer: "ca".into(),
            number: None,
            digest: Fingerprint::of(&message),
            length: message.len() as u64,
            content: None,
        });
        let (recorded, abandoned) = (name.to_owned(), name.to_owned());
        Work {
            class: Class::Enrolment,
            endpoint: "a".into(),
            signer: Arc::new(FakeKey { calls: self.calls.clone(), gate: self.hsm.clone(), fails }),
            message,
            reservation: Draft::of_system(name, intent),
            assemble: Box::new(move |intent, signature| {
                let event = Event::SignedObject(SignedObject {
                    intent: intent.0,
                    digest: Fingerprint([0; 32]),
                    length: signature.len() as u64,
                    signature: signature.to_vec().into(),
                });
                Ok((Draft::of_system(recorded, event), [b"signed ", signature].concat()))
            }),
            abandon: Box::new(move |intent, reason| Draft {
                outcome: Outcome::Failure,
                ..Draft::of_system(
                    abandoned,
                    Event::Abandoned(Abandoned {
                        reservation: intent.0,
                        serial: Vec::new().into(),
                        reason: reason.into(),
                    }),
                )
            }),
            deadline: NOW.after(Duration::from_secs(1)),
        }
    }

    pub(super) fn enqueue(&self, name: &str) -> Result<Permit, SigningError> {
        self.queue.enqueue(self.work(name))
    }

    /// Waits until that many calls were made, then a little for one more than should be.
    pub(super) async fn calls_of(&self, count: usize) -> Vec<String> {
        for _ in 0..500 {
            if self.calls.all().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.calls.all()
    }
}

pub(super) const fn limits(waiting: usize, under_way: u32) -> QueueLimits {
    QueueLimits { waiting, under_way }
}
