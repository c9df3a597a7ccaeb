//! What a start checks before anything is served: the lock, the space, the database, and that the
//! journal is no older than what is known of it elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::database::Database;
use super::disk::{io_error, read_if_there, sync_folder};
use super::file_store::StoreOptions;
use super::journal::Found;
use super::manifest::Manifest;
use crate::control::Safeguard;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::Frontier;
use crate::ledger::{KnownHead, StoreError};

/// The file of the latest checkpoint.
pub(super) fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

/// The latest checkpoint that was kept in `folder`.
pub(super) fn read_checkpoint(folder: &Path) -> Result<Option<String>, StoreError> {
    read_if_there(&checkpoint_path(folder))
}

/// Checks that the journal goes on from every head that is known: the kept checkpoint's and those
/// that the caller has from elsewhere. Returns the tree that the newest of them covers.
pub(super) fn check_heads(options: &StoreOptions, found: &Found) -> Result<Frontier, StoreError> {
    let mut heads = options.known_heads.clone();
    if let Some(note) = read_checkpoint(&options.folder)? {
        let path = checkpoint_path(&options.folder).display().to_string();
        let kept = Checkpoint::read_unverified(&note);
        let kept = kept.map_err(|e| StoreError::Damaged(format!("{path}: {e}")))?;
        heads.push(KnownHead { known_by: path, size: kept.size, root: kept.root });
    }
    let newest = heads.iter().map(|head| head.size).max();
    for KnownHead { known_by, size, root } in heads {
        let here = found.frontier.size();
        if here < size {
            return Err(StoreError::RolledBack { known_by, size, here });
        }
        let checked = Safeguard::TreeCheck.holds();
        if checked && found.frontier_at(size)?.root() != root {
            let why = format!("its first {size} entries are not those that {known_by} knows");
            return Err(StoreError::Damaged(why));
        }
    }
    let Some(newest) = newest else { return Ok(Frontier::new()) };
    // What nobody has signed yet is read whole, also where it began in an earlier segment.
    found.check_from(newest)?;
    found.frontier_at(newest)
}

/// Opens the database; one that errs, panics or is not a part of the journal is set aside, and an
/// empty one takes its place. One that is ahead of the journal means that the journal was cut.
pub(super) fn open_database(
    options: &StoreOptions,
    found: &Found,
) -> Result<(Database, Manifest, Option<String>), StoreError> {
    let path = options.folder.join("db");
    let why = match try_database(options, &path, found) {
        Ok((database, manifest)) => return Ok((database, manifest, None)),
        Err(
            damage @ (StoreError::Damaged(_) | StoreError::NoBarrier(_) | StoreError::Full { .. }),
        ) => {
            return Err(damage);
        }
        Err(other) => other.to_string(),
    };
    let aside = (1..)
        .map(|n: u32| options.folder.join(format!("db.damaged-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| options.folder.join("db.damaged"));
    std::fs::rename(&path, &aside).map_err(|e| io_error("set aside", &path, &e))?;
    sync_folder(&options.folder).map_err(|e| io_error("fsync", &options.folder, &e))?;
    let (database, manifest) = try_database(options, &path, found)?;
    Ok((database, manifest, Some(why)))
}

fn try_database(
    options: &StoreOptions,
    path: &Path,
    found: &Found,
) -> Result<(Database, Manifest), StoreError> {
    let database = Database::open(path, options.cache_bytes)?;
    let manifest = database.manifest()?;
    database.remove_runs_from(manifest.next_run)?;
    let head = &manifest.frontier;
    let size = found.frontier.size();
    let seen = head.size().max(database.closed_at()?);
    if seen > size {
        let why = format!("the journal ends after {size} entries, but the database knows {seen}");
        return Err(StoreError::Damaged(why));
    }
    if found.frontier_at(head.size())? != *head {
        let why = format!("its first {} entries are not the journal's", head.size());
        return Err(StoreError::Database(why));
    }
    Ok((database, manifest))
}

/// How long the lock may be held by somebody who is about to let go of it.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock of the data folder, which ends with the process. A child that this process is just
/// starting has a copy of the lock of before until its exec, so that it is waited for a moment.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error("open", &path, &e))?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked(folder.display().to_string()));
            }
            Err(e) => return Err(io_error("lock", &path, &e.into())),
        }
    }
}

/// Refuses while less than the reserve is free.
pub(super) fn check_space(options: &StoreOptions) -> Result<(), StoreError> {
    let stat = rustix::fs::statvfs(&options.folder)
        .map_err(|e| io_error("ask for the space of", &options.folder, &e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < options.reserve_bytes {
        let path = options.folder.display().to_string();
        return Err(StoreError::Full { path, free, reserve: options.reserve_bytes });
    }
    Ok(())
}
