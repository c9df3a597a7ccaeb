//! Backups of a data folder: what is copied while a signer runs on it, and how it comes back.
//!
//! A backup's folder has the journal's segments and the checkpoint where a data folder has them. The
//! journal only grows, so that its first octets are of one moment, whenever they are copied. The
//! database and the tree are not copied: they are made from the journal.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::{create_folder, io_error, sync_folder, write_durably};
use super::journal::Found;
use super::segment::Segment;
use super::startup::checkpoint_path;
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::{BackupFile, StoreError};

/// The folder of the segments, in a data folder and in a backup.
const JOURNAL: &str = "journal";

/// The checkpoint's file in a backup.
const CHECKPOINT: &str = "checkpoint";

/// The journal of a data folder up to one moment, for copying.
#[derive(Debug)]
pub struct Snapshot {
    segments: Vec<(PathBuf, u64)>,
    frontier: Frontier,
}

impl Snapshot {
    /// The first `size` entries of the data folder `folder`, which may be in use: nothing is written,
    /// and no lock is taken. `size` is that of a commit that is durable.
    pub fn take(folder: &Path, size: u64) -> Result<Self, StoreError> {
        let found = Found::look_only(&folder.join(JOURNAL))?;
        let (frontier, end) = found.cut_at(size)?;
        let segments = found.segments().filter(|s| s.first() < size.max(1)).map(Segment::place);
        let mut segments: Vec<_> = segments.collect();
        if let Some((_, length)) = segments.last_mut() {
            *length = end;
        }
        Ok(Self { segments, frontier })
    }

    /// The tree over the entries.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The segments as files of a backup. Reads all of them.
    pub fn files(&self) -> Result<Vec<BackupFile>, StoreError> {
        let file = |(path, length): &(PathBuf, u64)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = File::open(path).map_err(|e| io_error("read", path, &e))?;
            let digest = digest(path, file.take(*length))?;
            Ok(BackupFile { path: format!("{JOURNAL}/{name}"), length: *length, digest })
        };
        self.segments.iter().map(file).collect()
    }

    /// At most `limit` octets of the segment number `index` from `offset` on; none at its end.
    pub fn read(&self, index: usize, offset: u64, limit: u64) -> Result<Vec<u8>, StoreError> {
        let Some((path, length)) = self.segments.get(index) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; length.saturating_sub(offset).min(limit) as usize];
        let io = |e: std::io::Error| io_error("read", path, &e);
        File::open(path).map_err(io)?.read_exact_at(&mut bytes, offset).map_err(io)?;
        Ok(bytes)
    }
}

/// The path of the checkpoint in a backup.
pub const fn checkpoint_name() -> &'static str {
    CHECKPOINT
}

/// SHA-256 of all that `source` gives; `path` is what an error names.
fn digest(path: &Path, mut source: impl Read) -> Result<Hash, StoreError> {
    let mut hasher = openssl::sha::Sha256::new();
    let mut part = vec![0; 1 << 20];
    loop {
        match source.read(&mut part).map_err(|e| io_error("read", path, &e))? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&part[..count]),
        }
    }
}

/// What is wrong with the file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// It has another length.
    #[error("{path} has {here} octets instead of {length}")]
    Length {
        /// The file.
        path: String,
        /// Octets that it has.
        here: u64,
        /// Octets that the manifest says.
        length: u64,
    },
    /// It has another content.
    #[error("{0} is not what the manifest says: its SHA-256 is another one")]
    Content(String),
    /// The manifest does not name it.
    #[error("{0} is not in the manifest")]
    Unnamed(String),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

/// Holds the files of the backup in `folder` against `files`, its manifest's; there must be no others
/// but `manifest`. The first fault ends it.
pub fn check_files(folder: &Path, files: &[BackupFile], manifest: &str) -> Result<(), FileFault> {
    for file in files {
        let path = folder.join(&file.path);
        let here = match path.symlink_metadata() {
            Ok(about) if about.is_file() => about.len(),
            _ => return Err(FileFault::Missing(file.path.clone())),
        };
        if here != file.length {
            return Err(FileFault::Length { path: file.path.clone(), here, length: file.length });
        }
        let source = File::open(&path).map_err(|e| io_error("read", &path, &e))?;
        if digest(&path, source)? != file.digest {
            return Err(FileFault::Content(file.path.clone()));
        }
    }
    let named = |path: &str| path == manifest || files.iter().any(|f| f.path == path);
    match all_files(folder, "")?.into_iter().find(|path| !named(path)) {
        Some(other) => Err(FileFault::Unnamed(other)),
        None => Ok(()),
    }
}

/// The paths of all files below `folder`, with slashes.
fn all_files(folder: &Path, before: &str) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    let io = |e: std::io::Error| io_error("list", folder, &e);
    for item in std::fs::read_dir(folder).map_err(io)? {
        let item = item.map_err(io)?;
        let name = format!("{before}{}", item.file_name().to_string_lossy());
        if item.file_type().map_err(io)?.is_dir() {
            all.extend(all_files(&item.path(), &format!("{name}/"))?);
        } else {
            all.push(name);
        }
    }
    Ok(all)
}

/// Whether `folder` holds nothing, or is not there.
pub fn is_empty(folder: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(folder) {
        Ok(mut items) => Ok(items.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(io_error("list", folder, &e)),
    }
}

/// Makes the data folder `target` from the backup in `source`: its segments and its checkpoint, durably.
/// `target` must be empty or not there. Everything else is made when a store is opened on it.
pub fn copy_in(source: &Path, files: &[BackupFile], target: &Path) -> Result<(), StoreError> {
    if !is_empty(target)? {
        let path = target.display().to_string();
        let cause = "it is not empty".to_owned();
        return Err(StoreError::Io { what: "restore into", path, cause });
    }
    create_folder(target)?;
    let journal = target.join(JOURNAL);
    create_folder(&journal)?;
    for file in files {
        let from = source.join(&file.path);
        if file.path == CHECKPOINT {
            let note = std::fs::read(&from).map_err(|e| io_error("read", &from, &e))?;
            let to = checkpoint_path(target);
            write_durably(&to, &note).map_err(|e| io_error("write", &to, &e))?;
        }
        let Some(name) = file.path.strip_prefix("journal/") else { continue };
        let to = journal.join(name);
        std::fs::copy(&from, &to).map_err(|e| io_error("copy to", &to, &e))?;
        let copied = File::open(&to).and_then(|f| f.sync_all());
        copied.map_err(|e| io_error("fsync", &to, &e))?;
    }
    sync_folder(&journal).map_err(|e| io_error("fsync", &journal, &e))
}

/// Puts the finished data folder `from` in the place of the empty or missing folder `to`, at once.
pub fn move_in(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|e| io_error("put in place", to, &e))?;
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(parent).map_err(|e| io_error("fsync", parent, &e))
}
