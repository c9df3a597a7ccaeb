//! One token, opened: logged in, its threads running, its keys checked before they are handed out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::audit::{Deviation, Rule, audit};
use super::error::{HsmError, KeyProblem};
use super::event::EVENT;
use super::health::{Health, HsmState};
use super::job::{Operation, Output};
use super::keeper;
use super::keys::{Key, KeyReference};
use super::lane::Lane;
use super::login::{Login, LoginError};
use super::mechanism::transports;
use super::module::{ModuleUse, locked};
use super::offer::{self, MechanismOffer};
use super::profile::Profile;
use super::queue::Queue;
use super::self_test::InUse;
use super::shared::{QUEUED_PER_WORKER, Shared};
use super::sign::HsmSigner;
use super::token::{TokenDescription, TokenSelector, find};
use super::unwrap::{HsmUnwrapper, encrypted};
use super::worker;
use crate::cms::KeyTransport;
use crate::secret::Secret;
use crate::signing::{KeyUnwrapper, Signer};

/// The name of the thread that brings the HSM back.
const KEEPER: &str = "hsm-keeper";

/// What is needed to open a token.
#[derive(Debug)]
pub struct HsmOptions {
    /// The vendor's particulars.
    pub profile: Profile,
    /// The module, where it is not at one of the profile's paths.
    pub module: Option<PathBuf>,
    /// Which token.
    pub token: TokenSelector,
    /// The user's PIN. It is kept for the next login after a loss of the session.
    pub pin: Secret,
    /// How many threads, where the profile's lanes do not fit.
    pub workers: Option<usize>,
    /// Whether keys that were not made in the token or could leave it are warned about only (I3).
    pub lab: bool,
}

/// One token, opened.
pub struct Hsm {
    pub(super) shared: Arc<Shared>,
    warnings: Mutex<Vec<String>>,
    /// The keys that were handed out, for the self-test.
    pub(super) keys: Mutex<Vec<InUse>>,
    mechanisms: Result<Vec<MechanismOffer>, String>,
    lab: bool,
}

/// How an HSM is doing.
#[derive(Clone, Debug)]
pub struct HsmStatus {
    /// The token.
    pub token: TokenDescription,
    /// The profile's name, and with what it was tried.
    pub profile: String,
    /// Whether it is there.
    pub state: HsmState,
    /// Threads, one session each.
    pub workers: usize,
    /// Those of them that have none, because the token had no room for more.
    pub resting: usize,
    /// Threads left behind in a call that does not come back.
    pub hung: usize,
    /// Whether only a restart of the process can help.
    pub needs_restart: bool,
    /// Operations under way.
    pub busy: usize,
    /// Operations that wait.
    pub queued: usize,
    /// Operations since the start, good or bad.
    pub operations: u64,
    /// Those that failed or took too long.
    pub errors: u64,
    /// Signatures that did not verify and were discarded.
    pub bad_signatures: u64,
}

impl Hsm {
    /// Loads the module, finds the token, logs in once, and starts the threads.
    pub fn open(options: HsmOptions) -> Result<Arc<Self>, HsmError> {
        let HsmOptions { profile, module, token, pin, workers, lab } = options;
        let path = profile.module_path(module.as_deref())?;
        let module = ModuleUse::open(&path, &profile)?;
        let inside = module.enter();
        let found = find(module.context(), &token)?;
        let login = Login::new(pin);
        Login::check_flags(&found)
            .and_then(|()| login.ensure(&module, found.slot, 0))
            .map_err(|e| login_error(e, &found.description))?;
        let mechanisms = offer::read(module.context(), found.slot);
        drop(inside);
        let workers = profile.workers(workers);
        let shared = Arc::new(Shared {
            profile,
            module,
            token: found.description,
            login,
            queue: Queue::new(workers * QUEUED_PER_WORKER),
            lanes: (0..workers).map(|_| Lane::default()).collect(),
            threads: Mutex::default(),
            slot: Mutex::new(found.slot),
            health: Health::new(),
            canaries: Mutex::default(),
            resting: AtomicUsize::new(0),
            hung: AtomicUsize::new(0),
            needs_restart: AtomicBool::new(false),
            operations: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bad_signatures: AtomicU64::new(0),
        });
        // Made first, so that its drop ends the threads if one of them cannot be started.
        let hsm =
            Self { shared, warnings: Mutex::default(), keys: Mutex::default(), mechanisms, lab };
        hsm.start_threads().map_err(|e| HsmError::System {
            what: "starting the HSM's threads".into(),
            cause: e.to_string(),
        })?;
        Ok(Arc::new(hsm))
    }

    fn start_threads(&self) -> std::io::Result<()> {
        for number in 0..self.shared.lanes.len() {
            worker::start(number, &self.shared)?;
        }
        let shared = Arc::clone(&self.shared);
        let keeper = std::thread::Builder::new().name(KEEPER.into());
        let keeper = keeper.spawn(move || keeper::run(&shared))?;
        locked(&self.shared.threads).push(keeper);
        Ok(())
    }

    /// The signing key `reference`, after its attributes were audited and it has signed a test
    /// message.
    pub fn signer(&self, reference: &KeyReference) -> Result<Arc<dyn Signer>, HsmError> {
        Ok(Arc::new(self.hsm_signer(reference)?))
    }

    /// The same as its own type, which can sign without tokio.
    pub fn hsm_signer(&self, reference: &KeyReference) -> Result<HsmSigner, HsmError> {
        let problem = |problem| self.key_error(reference, problem);
        if !reference.purpose.signs() {
            return Err(problem(KeyProblem::Unfit("a decryption key does not sign".into())));
        }
        let key = self.audited(reference)?;
        let kind = reference.public_key.kind();
        let algorithm = reference.algorithm.unwrap_or(kind.default_signature());
        let signer = HsmSigner { shared: Arc::clone(&self.shared), key, algorithm };
        // Plain text: nobody can take it for a certificate, a CRL or an OCSP response (I2).
        let message = format!("Chancery self-test of the {} key {reference}", reference.purpose);
        let tested = signer
            .sign_blocking(message.as_bytes())
            .and_then(|_| signer.operation(algorithm, message.as_bytes()));
        let operation = tested.map_err(|e| problem(KeyProblem::SelfTest(e.to_string())))?;
        self.shared.add_canary(&signer.key, operation);
        self.in_use(InUse::Signs(signer.clone()));
        Ok(signer)
    }

    /// The decryption key `reference`, after its attributes were audited and it has opened test
    /// messages. `implicit_rejection` is the secret from which the substitutes for bad
    /// ciphertexts are derived; it stays the same over restarts and on all nodes.
    pub fn unwrapper(
        &self,
        reference: &KeyReference,
        implicit_rejection: Secret,
    ) -> Result<Arc<dyn KeyUnwrapper>, HsmError> {
        let problem = |text: &str| self.key_error(reference, KeyProblem::Unfit(text.into()));
        if reference.purpose.signs() {
            return Err(problem("a signing key does not decrypt"));
        }
        if !reference.public_key.kind().is_rsa() {
            return Err(problem("key transport needs an RSA key"));
        }
        if implicit_rejection.len() < 32 {
            return Err(problem("the secret for implicit rejection must have 32 bytes or more"));
        }
        let key = self.audited(reference)?;
        let failed = |e: String| self.key_error(reference, KeyProblem::SelfTest(e));
        let content = random().map_err(failed)?;
        let public = &reference.public_key;
        let sample =
            |transport| encrypted(public, transport, &content).map_err(|e| failed(e.to_string()));
        let unwrapper = HsmUnwrapper::new(
            Arc::clone(&self.shared),
            key,
            implicit_rejection,
            sample(KeyTransport::RsaPkcs1v15)?,
        )
        .ok_or_else(|| problem("its modulus cannot be read"))?;
        for transport in transports(&self.shared.profile.mechanisms) {
            let opened = unwrapper
                .opened_blocking(transport, sample(transport)?, content.len())
                .map_err(|e| failed(e.to_string()))?;
            if !opened.ct_eq(&content) {
                let what = "what was encrypted to the key is not what it decrypts";
                return Err(failed(format!("{transport:?}: {what}")));
            }
        }
        self.shared.add_canary(&unwrapper.key, unwrapper.canary_operation());
        let unwrapper = Arc::new(unwrapper);
        self.in_use(InUse::Opens(Arc::clone(&unwrapper)));
        Ok(unwrapper)
    }

    /// Finds the key and audits its attributes. In a laboratory a breach of I3 is a warning.
    fn audited(&self, reference: &KeyReference) -> Result<Arc<Key>, HsmError> {
        let key = Arc::new(Key::new(reference.clone()));
        let inspected = self.shared.call_blocking(&key, Operation::Inspect, None).map_err(|e| {
            let timeout = self.shared.profile.call_timeout();
            e.about(&reference.to_string(), &self.shared.token.label, timeout)
        })?;
        let Output::Attributes(attributes) = inspected.output else {
            let problem = KeyProblem::Unreadable("no attributes came back".into());
            return Err(self.key_error(reference, problem));
        };
        let not_reported = &self.shared.profile.audit.not_reported;
        let found = audit(&attributes, reference.purpose, not_reported);
        self.judge(&reference.to_string(), found).map(|()| key)
    }

    /// Refuses `key` for its deviations. In a laboratory those of custody are warnings.
    pub(super) fn judge(&self, key: &str, found: Vec<Deviation>) -> Result<(), HsmError> {
        let token = &self.shared.token.label;
        let (tolerated, deviations): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|d| self.lab && d.rule == Rule::Custody);
        if !deviations.is_empty() {
            let problem = KeyProblem::Attributes { deviations };
            return Err(HsmError::Key { key: key.into(), token: token.clone(), problem });
        }
        if !tolerated.is_empty() {
            let list: Vec<_> = tolerated.iter().map(ToString::to_string).collect();
            locked(&self.warnings).push(format!(
                "key {key} on token {token}: {}; outside of a laboratory it would be refused",
                list.join(", ")
            ));
        }
        Ok(())
    }

    fn key_error(&self, reference: &KeyReference, problem: KeyProblem) -> HsmError {
        let token = self.shared.token.label.clone();
        HsmError::Key { key: reference.to_string(), token, problem }
    }

    /// What was let pass because this is a laboratory; for the log, loudly.
    pub fn warnings(&self) -> Vec<String> {
        locked(&self.warnings).clone()
    }

    /// What the token offered when it was opened (C_GetMechanismList), or why it did not say.
    pub fn mechanisms(&self) -> Result<&[MechanismOffer], &str> {
        self.mechanisms.as_deref().map_err(String::as_str)
    }

    /// How it is doing.
    pub fn status(&self) -> HsmStatus {
        let shared = &self.shared;
        HsmStatus {
            token: shared.token.clone(),
            profile: format!("{} (tried: {})", shared.profile.name, shared.profile.tried),
            state: shared.health.state(),
            workers: shared.lanes.len(),
            resting: shared.resting.load(Ordering::Relaxed),
            hung: shared.hung.load(Ordering::Relaxed),
            needs_restart: shared.needs_restart.load(Ordering::Relaxed),
            busy: shared.lanes.iter().filter(|lane| lane.busy_for().is_some()).count(),
            queued: shared.queue.len(),
            operations: shared.operations.load(Ordering::Relaxed),
            errors: shared.errors.load(Ordering::Relaxed),
            bad_signatures: shared.bad_signatures.load(Ordering::Relaxed),
        }
    }

    /// Whether the threads live that it must have: the keeper, and one in each lane. One that hangs in the
    /// module lives. After [`Hsm::shutdown`] nothing must.
    pub fn lives(&self) -> bool {
        let threads = locked(&self.shared.threads);
        let live = |name: &str| {
            threads.iter().any(|t| t.thread().name() == Some(name) && !t.is_finished())
        };
        let mut lanes = 0..self.shared.lanes.len();
        threads.is_empty() || (live(KEEPER) && lanes.all(|n| live(&worker::name(n))))
    }

    /// Does what waits, closes the sessions, logs out and finalises the module. Waits no longer than
    /// one operation may take, for a hung call cannot be ended: then the answer is false, and the
    /// process should be aborted, because the module's exit handlers may wait for that call too.
    pub fn shutdown(&self) -> bool {
        self.shared.queue.close();
        self.shared.health.stop();
        let deadline = Instant::now() + self.shared.profile.call_timeout();
        let running = || locked(&self.shared.threads).iter().any(|thread| !thread.is_finished());
        while running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut threads = locked(&self.shared.threads);
        let (finished, hanging): (Vec<_>, Vec<_>) =
            threads.drain(..).partition(|thread| thread.is_finished());
        *threads = hanging;
        let label = &self.shared.token.label;
        for thread in finished {
            if thread.join().is_err() {
                log::warn!(event = EVENT; "HSM {label}: a thread had panicked");
            }
        }
        if !threads.is_empty() {
            log::warn!(event = EVENT; "HSM {label}: {} calls hang and are left behind", threads.len());
            return false;
        }
        self.shared.login.close(&self.shared.module);
        self.shared.module.release();
        true
    }
}

impl Drop for Hsm {
    /// As [`Hsm::shutdown`]: a process that ends while a thread is inside a module may hang in the
    /// module's exit handlers.
    fn drop(&mut self) {
        self.shutdown();
    }
}

pub(super) fn login_error(error: LoginError, token: &TokenDescription) -> HsmError {
    match error {
        LoginError::Refused(cause) => HsmError::PinRefused { token: token.label.clone(), cause },
        LoginError::Failed(failure) => {
            HsmError::Call { what: format!("logging in to token {token}"), failure }
        }
    }
}

pub(super) fn random() -> Result<Zeroizing<Vec<u8>>, String> {
    let mut content = Zeroizing::new(vec![0; 32]);
    openssl::rand::rand_bytes(&mut content).map_err(|e| e.to_string())?;
    Ok(content)
}
