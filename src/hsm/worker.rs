//! The threads that have the sessions: one session a thread, handles found once and cached.
//!
//! A failed operation costs its session, for some modules leave it stuck. What the failure says
//! (`retry.rs`) decides whether the operation is repeated in a new one; signing and decrypting are
//! safe to repeat. Where that fails too the job waits for the keeper, until its deadline.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::audit;
use super::error::KeyProblem;
use super::event::EVENT;
use super::job::{Answer, Job, JobError, Operation, Output};
use super::keys::{FindError, Key};
use super::login::{LoginError, is_user};
use super::mechanism::DecryptMechanism;
use super::module::locked;
use super::queue::expired;
use super::retry::{Class, Failure};
use super::shared::Shared;
use crate::control::Safeguard;

/// How often a job may call the HSM away and be tried again after its return.
const ROUNDS: u32 = 2;
/// After this a thread that found no room for a session on the token tries again.
const REST: Duration = Duration::from_secs(5);

/// One thread's state.
struct Worker {
    number: usize,
    shared: Arc<Shared>,
    open: Option<Open>,
    /// Whether the session is to be closed before the next use. After a refused ciphertext this
    /// waits, for the answer must not take longer than that to a good one (I7).
    spent: bool,
}

/// A session with what was found in it.
struct Open {
    session: Session,
    /// The module's generation in which it was opened.
    module_generation: u64,
    /// The login's generation under which the handles were found.
    login_generation: u64,
    handles: HashMap<u64, ObjectHandle>,
}

/// The name of the threads of lane `number`.
pub(super) fn name(number: usize) -> String {
    format!("hsm-{number}")
}

/// Starts a thread for lane `number`.
pub(super) fn start(number: usize, shared: &Arc<Shared>) -> std::io::Result<()> {
    let holder = shared.lanes.get(number).map_or(0, |lane| lane.holder());
    let worker = Worker { number, shared: Arc::clone(shared), open: None, spent: false };
    let thread = std::thread::Builder::new().name(name(number));
    let thread = thread.spawn(move || worker.run(holder))?;
    locked(&shared.threads).push(thread);
    Ok(())
}

/// Does one of the operations that are known to work, in a session of its own.
pub(super) fn canary(shared: &Arc<Shared>) -> Result<(), JobError> {
    let _inside = shared.module.enter();
    let mut worker =
        Worker { number: usize::MAX, shared: Arc::clone(shared), open: None, spent: false };
    let known = locked(&shared.canaries).clone();
    // Before the first key is in use a session and its login have to do.
    let mut result = if known.is_empty() {
        worker.session().map(|_| ())
    } else {
        Err(JobError::Away("no canary was tried".into()))
    };
    for (key, operation) in &known {
        result = worker.attempt(key, operation).map(|_| ());
        match result {
            Ok(()) | Err(JobError::PinRefused(_)) => break,
            Err(_) => worker.close(),
        }
    }
    worker.close();
    result
}

impl Worker {
    /// Takes jobs until the queue is closed and empty, or the lane is another's.
    fn run(mut self, holder: u64) {
        let shared = Arc::clone(&self.shared);
        while let Some(mut job) = shared.queue.pop(self.number) {
            let result = self.answer(&job, holder);
            if let Err(JobError::Failed(failure)) = &result
                && failure.class() == Class::Capacity
                && shared.rest()
            {
                let why = failure.to_string();
                // The others have sessions. One of them takes it, whichever it is.
                job.avoid = None;
                if let Err(job) = shared.queue.put_back(job) {
                    (job.reply)(result.map(|output| Answer { worker: self.number, output }));
                }
                let stays = self.sit_out(&why, holder);
                shared.resting.fetch_sub(1, Ordering::Relaxed);
                if stays {
                    continue;
                }
                break;
            }
            shared.operations.fetch_add(1, Ordering::Relaxed);
            // A refused ciphertext says something about its sender only; who waited too long has
            // counted that himself.
            let elsewhere =
                |e: &JobError| matches!(e, JobError::CiphertextRefused | JobError::Expired);
            if result.as_ref().is_err_and(|e| !elsewhere(e)) {
                shared.errors.fetch_add(1, Ordering::Relaxed);
            }
            let worker = self.number;
            (job.reply)(result.map(|output| Answer { worker, output }));
            if shared.lanes.get(worker).is_none_or(|lane| lane.holder() != holder) {
                log::warn!(
                    event = EVENT; "HSM {}: a call of thread {worker} that hung is back",
                    shared.token.label
                );
                shared.hung.fetch_sub(1, Ordering::Relaxed);
                break;
            }
        }
        let _inside = shared.module.enter();
        self.close();
    }

    /// Waits until the token has room for a session of this thread; whether the thread goes on then.
    fn sit_out(&mut self, why: &str, holder: u64) -> bool {
        let shared = Arc::clone(&self.shared);
        let (label, all) = (&shared.token.label, shared.lanes.len());
        log::warn!(
            event = EVENT; "HSM {label}: {why}; {} of {all} threads go on, the others try again every {} s",
            shared.working(), REST.as_secs()
        );
        while !shared.queue.sit_out(REST) {
            let inside = shared.module.enter();
            let lane = shared.lanes.get(self.number);
            lane.inspect(|lane| lane.begin(holder));
            let opened = self.session().map(|_| ());
            let mine = lane.is_some_and(|lane| lane.end(holder));
            if opened.is_err() {
                self.close();
            }
            drop(inside);
            if !mine {
                // Its call hung, and the lane is another's.
                shared.hung.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            if opened.is_ok() {
                log::info!(
                    event = EVENT; "HSM {label}: there is room for a session again; {} of {all} threads go on",
                    shared.working() + 1
                );
                return true;
            }
        }
        false
    }

    /// Does the job, and waits for the HSM where it is away.
    fn answer(&mut self, job: &Job, holder: u64) -> Result<Output, JobError> {
        let shared = Arc::clone(&self.shared);
        let mut round = 0;
        loop {
            shared.health.wait(job.deadline)?;
            if expired(job.deadline) {
                return Err(JobError::Expired);
            }
            let inside = shared.module.enter();
            let lane = shared.lanes.get(self.number);
            lane.inspect(|lane| lane.begin(holder));
            // A panic in the wrapper must cost one answer, not a lane.
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
                self.perform(&job.key, &job.operation)
            }));
            let mine = lane.is_some_and(|lane| lane.end(holder));
            drop(inside);
            match done {
                Ok(Err(JobError::Away(reason))) => {
                    shared.health.report(reason.clone());
                    if round == ROUNDS || !mine {
                        return Err(JobError::Away(reason));
                    }
                    round += 1;
                }
                Ok(Err(JobError::PinRefused(cause))) => {
                    shared.refuse_pin(&cause);
                    return Err(JobError::PinRefused(cause));
                }
                Ok(result) => return result,
                Err(_) => {
                    self.open = None;
                    let failure = Failure::Wrapper("the PKCS#11 wrapper panicked".into());
                    return Err(JobError::Failed(failure));
                }
            }
        }
    }

    /// Does `operation`, a second time in a new session where the first failure allows it.
    fn perform(&mut self, key: &Key, operation: &Operation) -> Result<Output, JobError> {
        let first = match self.attempt(key, operation) {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        if let (JobError::CiphertextRefused, Operation::Decrypt(mechanism, _)) = (&first, operation)
            && *mechanism != DecryptMechanism::Raw
            && Safeguard::ImplicitRejection.holds()
        {
            self.spent = true;
            return Err(first);
        }
        self.close();
        let label = &self.shared.token.label;
        match (&first, operation) {
            (JobError::Failed(failure), _) => match failure.class() {
                Class::Request | Class::Pin | Class::Capacity => return Err(first),
                Class::Session | Class::Login | Class::Handle | Class::Device => {
                    log::debug!(event = EVENT; "HSM {label}: {failure}; trying once more in a new session");
                }
            },
            // No ciphertext below the modulus can make raw RSA fail.
            (JobError::CiphertextRefused, _) => {}
            // It was there once, so the token may be what is missing.
            (JobError::Key(KeyProblem::NotFound { .. }), _) if key.seen.load(Ordering::Relaxed) => {
            }
            _ => return Err(first),
        }
        self.attempt(key, operation).map_err(|second| {
            self.close();
            match second {
                JobError::Failed(failure)
                    if !matches!(failure.class(), Class::Request | Class::Capacity) =>
                {
                    JobError::Away(failure.to_string())
                }
                JobError::Key(KeyProblem::NotFound { .. }) => {
                    JobError::Away(format!("key {} is gone from the token", key.reference))
                }
                other => other,
            }
        })
    }

    fn attempt(&mut self, key: &Key, operation: &Operation) -> Result<Output, JobError> {
        let open = self.session()?;
        let handle = match open.handles.get(&key.number) {
            Some(handle) => *handle,
            None => {
                let found = key.find(&open.session).map_err(|e| find_error(e, &open.session))?;
                open.handles.insert(key.number, found);
                found
            }
        };
        let session = &open.session;
        let failed = |e| JobError::Failed(Failure::from(e));
        match operation {
            Operation::Sign(mechanism, input) => {
                let mechanism = mechanism.pkcs11().ok_or(JobError::NoMechanism)?;
                let signature = session.sign(&mechanism, handle, input).map_err(failed)?;
                Ok(Output::Bytes(Zeroizing::new(signature)))
            }
            Operation::Decrypt(mechanism, ciphertext) => {
                let mechanism = mechanism.pkcs11().ok_or(JobError::NoMechanism)?;
                match session.decrypt(&mechanism, handle, ciphertext) {
                    Ok(plaintext) => Ok(Output::Bytes(Zeroizing::new(plaintext))),
                    Err(e) => Err(decryption_error(e.into())),
                }
            }
            Operation::Inspect => {
                audit::read(session, handle).map(Output::Attributes).map_err(failed)
            }
        }
    }

    /// The session, opened and logged in if it is not.
    fn session(&mut self) -> Result<&mut Open, JobError> {
        let shared = Arc::clone(&self.shared);
        if std::mem::take(&mut self.spent) {
            self.close();
        }
        let module_generation = shared.module.generation();
        // Of an earlier generation: forgotten, not closed, for its number may be another's.
        self.open = self.open.take().filter(|open| open.module_generation == module_generation);
        let open = match self.open.take() {
            Some(mut open) => {
                let login_generation = shared.login.generation();
                if open.login_generation != login_generation {
                    open.handles.clear();
                    open.login_generation = login_generation;
                }
                open
            }
            None => {
                let seen = shared.login.generation();
                let session =
                    shared.module.open_session(shared.slot()).map_err(JobError::Failed)?;
                let info = session.get_session_info().map_err(|e| JobError::Failed(e.into()))?;
                if !is_user(info.session_state()) {
                    shared.login.ensure(&shared.module, shared.slot(), seen).map_err(
                        |e| match e {
                            LoginError::Refused(cause) => JobError::PinRefused(cause),
                            LoginError::Failed(failure) => JobError::Failed(failure),
                        },
                    )?;
                }
                Open {
                    session,
                    module_generation,
                    login_generation: shared.login.generation(),
                    handles: HashMap::new(),
                }
            }
        };
        Ok(self.open.insert(open))
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take()
            && open.module_generation == self.shared.module.generation()
            && let Err(e) = open.session.close()
        {
            log::debug!(event = EVENT; "HSM thread {}: closing a session: {}", self.number, Failure::from(e));
        }
    }
}

/// A token shows no private key to a session that somebody logged out.
fn find_error(error: FindError, session: &Session) -> JobError {
    match error {
        FindError::Failed(failure) => JobError::Failed(failure),
        FindError::Problem(problem) => match session.get_session_info() {
            Ok(info) if is_user(info.session_state()) => JobError::Key(problem),
            Ok(_) => JobError::Failed(Failure::Returned {
                function: Function::FindObjects,
                code: RvError::UserNotLoggedIn,
            }),
            Err(e) => JobError::Failed(e.into()),
        },
    }
}

/// What C_Decrypt's failure is to us: codes that a ciphertext can cause are not told apart.
fn decryption_error(failure: Failure) -> JobError {
    match (&failure, failure.class()) {
        (Failure::Returned { function: Function::Decrypt, .. }, Class::Request) => {
            JobError::CiphertextRefused
        }
        _ => JobError::Failed(failure),
    }
}
