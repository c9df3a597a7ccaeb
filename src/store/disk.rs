//! Files that are durable when a call returns. The journal writes through this alone, so that a
//! test can stand between it and the disk.

use std::fmt::Debug;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::ledger::StoreError;

/// A file that is appended to.
pub(super) trait Tail: Send + Debug {
    /// Writes `bytes` at `offset`, the file's end.
    fn write(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()>;

    /// Brings what was written to the disk (fdatasync), and sees that the file is still there.
    fn sync(&mut self) -> std::io::Result<()>;
}

/// Where the journal's files are.
pub(super) trait Disk: Send + Sync + Debug {
    /// Makes the file `path` with `content`, whole or not at all, and durable with its name.
    fn create(&self, path: &Path, content: &[u8]) -> std::io::Result<()>;

    /// Opens `path` to append at `length`. What lies beyond is cut off, and what the last process
    /// may have left in the system's cache is brought to the disk.
    fn append_to(&self, path: &Path, length: u64) -> std::io::Result<Box<dyn Tail>>;
}

/// The operating system's files.
#[derive(Debug)]
pub(super) struct SystemDisk;

#[derive(Debug)]
struct SystemTail {
    file: File,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Disk for SystemDisk {
    fn create(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        write_durably(path, content)
    }

    fn append_to(&self, path: &Path, length: u64) -> std::io::Result<Box<dyn Tail>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        file.sync_all()?;
        let identity = identity(&file.metadata()?);
        Ok(Box::new(SystemTail { file, path: path.to_owned(), identity }))
    }
}

impl Tail for SystemTail {
    fn write(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync_data()?;
        // A deleted file takes every write, and is gone with the process.
        match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(gone()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(gone()),
            Err(e) => Err(e),
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn gone() -> std::io::Error {
    std::io::Error::other("it was deleted or exchanged while it was written")
}

/// Writes a whole file so that after a power cut either the old or the new content is there.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&temporary, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Puts `content` in the place of the file `path`, so that whoever opens it finds the old content or
/// the new, also after a power cut.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_durably(path, content).map_err(|e| io_error("write", path, &e))
}

/// The text of the file `path`; none where it is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, StoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(StoreError::Damaged(format!("{} is not text any more", path.display())))
        }
        Err(e) => Err(io_error("read", path, &e)),
    }
}

/// Makes the folder `path` for this user's eyes only, unless it is there.
pub fn make_folder(path: &Path) -> Result<(), StoreError> {
    create_folder(path)
}

/// Brings a folder's names to the disk.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a folder for our eyes only, durable with its name, unless it is there.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let io = |e: std::io::Error| io_error("create the folder", path, &e);
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(io(e)),
    }
    sync_folder(path).map_err(io)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    sync_folder(parent.unwrap_or(Path::new("."))).map_err(io)
}

/// The error of a file operation.
pub(super) fn io_error(what: &'static str, path: &Path, cause: &std::io::Error) -> StoreError {
    StoreError::Io { what, path: path.display().to_string(), cause: cause.to_string() }
}
