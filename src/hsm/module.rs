//! The module itself: loaded once, initialised while somebody uses it.
//!
//! C_Initialize and C_Finalize are about the whole process, so every user of one module shares one
//! [`Library`]. The file stays mapped for good: modules leave exit handlers behind that crash when
//! their code is gone. A generation number tells sessions of before a re-initialisation from those
//! after it: handles are numbered from 1 again, and closing an old one would close somebody else's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::error::HsmError;
use super::event::EVENT;
use super::profile::{Profile, QuirkName};
use super::retry::Failure;

static LOADED: LazyLock<Mutex<HashMap<PathBuf, Arc<Library>>>> =
    LazyLock::new(|| Mutex::new(HashMap::new()));

/// A loaded module.
struct Library {
    context: Pkcs11,
    users: Mutex<usize>,
    generation: AtomicU64,
    gate: Mutex<Gate>,
    moved: Condvar,
}

/// Who is inside the module.
#[derive(Default)]
struct Gate {
    inside: usize,
    closed: bool,
}

/// Being inside the module: as long as this lives it is not re-initialised.
pub(super) struct Inside<'a>(&'a Library);

/// Why the module was not re-initialised.
pub(super) enum ReinitError {
    /// Somebody is in a call that does not come back.
    Hung,
    /// C_Initialize failed.
    Failed(Failure),
}

/// A use of a module; when the last is dropped the module is finalised.
pub(super) struct ModuleUse {
    library: Arc<Library>,
    finalize: bool,
    read_write: bool,
    released: AtomicBool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind our mutexes is whole after each step, so a panic elsewhere changes nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ModuleUse {
    /// Loads and initialises the module at `path`, unless that is done already.
    pub(super) fn open(path: &Path, profile: &Profile) -> Result<Self, HsmError> {
        let refused = |cause: String, conf_env: Option<String>| HsmError::Module {
            path: path.into(),
            cause,
            conf_env,
        };
        let canonical = path.canonicalize().map_err(|e| refused(e.to_string(), None))?;
        let mut loaded = locked(&LOADED);
        let library = match loaded.get(&canonical) {
            Some(library) => Arc::clone(library),
            None => {
                let context = Pkcs11::new(&canonical).map_err(|e| refused(e.to_string(), None))?;
                let library = Library {
                    context,
                    users: Mutex::new(0),
                    generation: AtomicU64::new(1),
                    gate: Mutex::default(),
                    moved: Condvar::new(),
                };
                Arc::clone(loaded.entry(canonical).or_insert(Arc::new(library)))
            }
        };
        drop(loaded);
        let mut users = locked(&library.users);
        if *users == 0 {
            initialize(&library.context)
                .map_err(|e| refused(e.to_string(), profile.conf_env.clone()))?;
        }
        *users += 1;
        drop(users);
        Ok(Self {
            library,
            finalize: !profile.has(QuirkName::NeverFinalize),
            read_write: profile.sessions.read_write,
            released: AtomicBool::new(false),
        })
    }

    /// The functions of the module.
    pub(super) fn context(&self) -> &Pkcs11 {
        &self.library.context
    }

    /// Counts the initialisations: a session belongs to the generation in which it was opened.
    pub(super) fn generation(&self) -> u64 {
        self.library.generation.load(Ordering::Acquire)
    }

    /// Opens a session that is closed by [`Session::close`] alone, never by being dropped: after a
    /// re-initialisation its number may be another session's.
    pub(super) fn open_session(&self, slot: Slot) -> Result<Session, Failure> {
        let session = if self.read_write {
            self.context().open_rw_session_no_drop(slot)
        } else {
            self.context().open_ro_session_no_drop(slot)
        };
        Ok(session?)
    }

    /// Goes inside, and waits while the module is being re-initialised.
    pub(super) fn enter(&self) -> Inside<'_> {
        let library = &*self.library;
        let mut gate = locked(&library.gate);
        while gate.closed {
            gate = library.moved.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        gate.inside += 1;
        Inside(library)
    }

    /// Ends this use; the last one finalises the module.
    pub(super) fn release(&self) {
        let mut users = locked(&self.library.users);
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        *users -= 1;
        if *users == 0 && self.finalize {
            self.library.generation.fetch_add(1, Ordering::AcqRel);
            if let Err(e) = self.library.context.clone().finalize() {
                log::warn!(event = EVENT; "closing the PKCS#11 module: {}", Failure::from(e));
            }
        }
    }

    /// C_Finalize and C_Initialize, once everybody is outside; gives up after `patience`.
    pub(super) fn reinitialize(&self, patience: Duration) -> Result<(), ReinitError> {
        let library = &*self.library;
        let _users = locked(&library.users);
        let deadline = Instant::now() + patience;
        let mut gate = locked(&library.gate);
        gate.closed = true;
        while gate.inside > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                gate.closed = false;
                library.moved.notify_all();
                return Err(ReinitError::Hung);
            }
            let waited = library.moved.wait_timeout(gate, left);
            (gate, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(gate);
        library.generation.fetch_add(1, Ordering::AcqRel);
        if let Err(e) = library.context.clone().finalize() {
            // It may be that it lost itself, and a module that cannot finalise may still initialise.
            log::debug!(event = EVENT; "re-initialising the PKCS#11 module: {}", Failure::from(e));
        }
        let initialized = initialize(&library.context).map_err(ReinitError::Failed);
        locked(&library.gate).closed = false;
        library.moved.notify_all();
        initialized
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        locked(&self.0.gate).inside -= 1;
        self.0.moved.notify_all();
    }
}

impl Drop for ModuleUse {
    fn drop(&mut self) {
        self.release();
    }
}

fn initialize(context: &Pkcs11) -> Result<(), Failure> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Somebody else in this process came first; the module counts as ours all the same.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
