//! Where the commands for auditors read the ledger: from the signer that runs on it, or, without one and
//! without its HSM, from a copy of the folder that they make and remove again. The original is never
//! opened: the database has no opening that only reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::admin::{self, Session};
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::clock::SystemClock;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::{Ledger, LedgerError, Store as _, StoreError, Tile};
use crate::random::{self, SystemRandom};
use crate::signer::{certificate_proof, consistency, listed};
use crate::store::{FileStore, Quiet, StoreOptions};
use crate::wire::admin::{Consistency, Entry, Request, Response};

/// How long the signer may take for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which ledger to read.
#[derive(Debug, Args)]
pub struct Place {
    /// Read the ledger in this folder, for example an auditor's copy, and ask no signer
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Where there is room for a copy of the ledger while no signer runs; without it the system's folder
    /// for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

/// A ledger that can be asked for proofs.
pub(super) enum Source {
    /// The signer that runs on it.
    Signer(Session),
    /// A copy of its folder.
    Copy(Copied),
}

/// A copy, open.
pub(super) struct Copied {
    ledger: Arc<Ledger>,
    /// How many entries the original has: an opening adds to the copy what it gives up.
    size: u64,
    checkpoint: Option<String>,
    /// After the ledger, which is in it.
    _files: Copy,
}

impl Source {
    /// The signer's, or a copy of the folder where none runs.
    pub(super) fn open(place: &Place, common: &Common) -> Result<Self, Failure> {
        if place.folder.is_none()
            && let Some(session) = signer(common)?
        {
            return Ok(Self::Signer(session));
        }
        let folder = match &place.folder {
            Some(folder) => folder.clone(),
            None => common.load()?.signer.ledger_dir(),
        };
        let scratch = place.scratch.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self::Copy(Copied::open(&folder, &scratch).map_err(|e| failed(&folder, &e))?))
    }

    /// The newest signed checkpoint.
    pub(super) fn checkpoint(&self) -> Result<String, Failure> {
        let note = match self {
            Self::Signer(session) => match session.ask(Request::LedgerCheckpoint)? {
                Response::Checkpoint(note) => note,
                _ => return Err(admin::unexpected()),
            },
            Self::Copy(copied) => copied.checkpoint.clone(),
        };
        note.ok_or_else(unsigned)
    }

    /// Entries from the number `from` on, `limit` at most; fewer may come, none at the end.
    pub(super) fn entries(&self, from: u64, limit: u32) -> Result<Vec<Entry>, Failure> {
        match self {
            Self::Signer(session) => match session.ask(Request::LedgerList { from, limit })? {
                Response::Entries(entries) => Ok(entries),
                _ => Err(admin::unexpected()),
            },
            Self::Copy(copied) => {
                let left = u32::try_from(copied.size.saturating_sub(from)).unwrap_or(u32::MAX);
                let entries = listed(&copied.ledger, from, limit.min(left));
                entries.map_err(|why| {
                    let next = "`chancery ledger verify` names the first bad place";
                    Failure::new(Exit::Integrity, "the entries cannot be read", why, next)
                })
            }
        }
    }

    /// The proof file of the certificate with this serial number; none where there is none.
    pub(super) fn proof(&self, serial: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Signer(session) => {
                match session.ask(Request::LedgerProof { serial: serial.into() })? {
                    Response::Proof(file) => Ok(Some(file)),
                    Response::NotFound => Ok(None),
                    _ => Err(admin::unexpected()),
                }
            }
            Self::Copy(copied) => {
                certificate_proof(&copied.ledger, &self.checkpoint()?, serial).map_err(refused)
            }
        }
    }

    /// The proof that the first `old` entries are the start of the first `new`; none where there are
    /// fewer.
    pub(super) fn consistency(&self, old: u64, new: u64) -> Result<Option<Consistency>, Failure> {
        match self {
            Self::Signer(session) => match session.ask(Request::LedgerConsistency { old, new })? {
                Response::Consistency(proof) => Ok(Some(proof)),
                Response::NotFound => Ok(None),
                _ => Err(admin::unexpected()),
            },
            Self::Copy(copied) => consistency(&copied.ledger, old, new).map_err(refused),
        }
    }

    /// A tile under the newest checkpoint, or under one that was the newest: it is the same.
    pub(super) fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Signer(session) => {
                match session.ask(Request::LedgerTile { path: tile.path() })? {
                    Response::Tile(bytes) => Ok(Some(bytes)),
                    Response::NotFound => Ok(None),
                    _ => Err(admin::unexpected()),
                }
            }
            Self::Copy(copied) => {
                let size = copied.ledger.head().size();
                copied.ledger.tile(tile, size).map_err(|e| refused(e.to_string()))
            }
        }
    }
}

/// The signer of the configuration, where one runs and its ledger can be read; none otherwise. A signer
/// that this user may not ask is an error.
pub(super) fn signer(common: &Common) -> Result<Option<Session>, Failure> {
    let session = match Session::open(common, PATIENCE) {
        Ok(session) => session,
        Err(e) if matches!(e.exit(), Exit::NotAuthorised | Exit::Configuration) => return Err(e),
        Err(_) => return Ok(None),
    };
    match session.ask(Request::Status)? {
        // Also in maintenance mode, where the ledger is open.
        Response::Status(status) if status.ledger_sequence.is_some() => Ok(Some(session)),
        // It has no ledger that it could show.
        Response::Status(_) => Ok(None),
        _ => Err(admin::unexpected()),
    }
}

impl Copied {
    fn open(folder: &Path, scratch: &Path) -> Result<Self, LedgerError> {
        let quiet = Quiet::hold(folder)?;
        let files = Copy::make(&quiet, folder, scratch)?;
        drop(quiet);
        let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::new(&files.0) };
        let store = FileStore::open(options, Arc::new(SystemRandom))?;
        let size = store.size();
        let ledger = Ledger::open(store, Arc::new(SystemClock))?;
        let checkpoint = ledger.checkpoint()?;
        Ok(Self { ledger, size, checkpoint, _files: files })
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(e) = self.ledger.close() {
            log::debug!("the copy was not closed: {e}");
        }
    }
}

/// A copy of a data folder, removed with this.
pub(super) struct Copy(pub(super) PathBuf);

impl Copy {
    pub(super) fn make(quiet: &Quiet, folder: &Path, scratch: &Path) -> Result<Self, StoreError> {
        let name: [u8; 8] = random::bytes(&SystemRandom).map_err(|e| StoreError::Io {
            what: "name",
            path: scratch.display().to_string(),
            cause: e.to_string(),
        })?;
        let copy = Self(scratch.join(format!("chancery-verify-{}", hex::encode(name))));
        quiet.copy(folder, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            output::note(&format!("chancery: remove {} by hand: {e}", self.0.display()));
        }
    }
}

/// The size that a checkpoint is of.
pub(super) fn size_of(note: &str) -> Result<u64, Failure> {
    Checkpoint::read_unverified(note).map(|c| c.size).map_err(|e| {
        let next = "verify the ledger: `chancery ledger verify`";
        Failure::new(Exit::Integrity, "the kept checkpoint cannot be read", e, next)
    })
}

fn failed(folder: &Path, e: &LedgerError) -> Failure {
    let what = format!("the ledger in {} cannot be read", folder.display());
    let (exit, next) = match e {
        LedgerError::Store(StoreError::Locked(_)) => (
            Exit::Conflict,
            "ask the signer that runs on it: leave --folder out, or mend what `chancery status` shows",
        ),
        LedgerError::Store(StoreError::Damaged(_) | StoreError::RolledBack { .. }) => {
            (Exit::Integrity, "`chancery ledger verify` names the first bad place")
        }
        _ => (
            Exit::Failed,
            "name a folder that has a ledger and that you may read, and by --scratch one with room",
        ),
    };
    Failure::new(exit, what, e, next)
}

fn refused(why: String) -> Failure {
    Failure::new(Exit::Failed, "there is no such proof", why, "do what the cause says")
}

fn unsigned() -> Failure {
    Failure::new(
        Exit::Failed,
        "there is no checkpoint",
        "none has been signed",
        "`chancery status` says why; `log_key` in [ledger] names the key that signs them",
    )
}
