//! The two forms of a backup: a folder, or one file (`.tar`) of the same content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::output;
use crate::random::{self, SystemRandom};

/// The file that names all others.
pub(super) const MANIFEST: &str = "manifest";

/// The longest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;

/// Whether `path` is, or is to be, one file.
pub(super) fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar"))
}

/// A backup that is being written, under a name of its own until it is complete.
pub(super) struct Writer {
    target: PathBuf,
    partial: PathBuf,
    archive: Option<tar::Builder<File>>,
    time: u64,
    finished: bool,
}

impl Writer {
    /// Begins the backup `target`; its files are of `time`, in seconds since 1970.
    pub(super) fn new(target: &Path, time: u64) -> io::Result<Self> {
        let mut partial = target.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut writer = Self {
            target: target.into(),
            partial,
            archive: None,
            time,
            // Until something is there, nothing is to be removed.
            finished: true,
        };
        if is_tar(target) {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&writer.partial)?;
            writer.archive = Some(tar::Builder::new(file));
        } else {
            fs::DirBuilder::new().mode(0o700).create(&writer.partial)?;
        }
        writer.finished = false;
        Ok(writer)
    }

    /// Writes the file `path` of `length` octets from `source`.
    pub(super) fn put(&mut self, path: &str, length: u64, mut source: impl Read) -> io::Result<()> {
        if let Some(archive) = &mut self.archive {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(length);
            header.set_mode(0o600);
            header.set_mtime(self.time);
            return archive.append_data(&mut header, path, source.take(length));
        }
        let to = self.partial.join(path);
        let folder = to.parent().unwrap_or(&self.partial);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
        io::copy(&mut source, &mut file)?;
        file.sync_all()
    }

    /// Brings everything to the disk and gives the backup its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.archive.take() {
            Some(archive) => archive.into_inner()?.sync_all()?,
            None => sync_folders(&self.partial)?,
        }
        fs::rename(&self.partial, &self.target)?;
        self.finished = true;
        let parent = self.target.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            remove(&self.partial);
        }
    }
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            sync_folders(&item.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Removes a backup in either form.
pub(super) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(e) = removed {
        output::note(&format!("chancery: remove {} by hand: {e}", path.display()));
    }
}

/// A backup as a folder: itself, or what its one file holds, unpacked and removed with this.
pub(super) struct Opened {
    folder: PathBuf,
    unpacked: bool,
}

impl Opened {
    /// Opens the backup at `path`; one file is unpacked into a new folder in `scratch`.
    pub(super) fn open(path: &Path, scratch: Option<&Path>) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self { folder: path.into(), unpacked: false });
        }
        let mut archive = tar::Archive::new(File::open(path)?);
        archive.set_preserve_mtime(false);
        let name: [u8; 8] =
            random::bytes(&SystemRandom).map_err(|e| io::Error::other(e.to_string()))?;
        let scratch = scratch.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = scratch.join(format!("chancery-backup-{}", hex::encode(name)));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let opened = Self { folder, unpacked: true };
        let damaged = |e: io::Error| {
            io::Error::new(e.kind(), format!("{} cannot be unpacked: {e}", path.display()))
        };
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let plain = entry.header().entry_type() == tar::EntryType::Regular;
            if !plain || !entry.unpack_in(&opened.folder).map_err(damaged)? {
                let name = entry.path().map(|p| p.display().to_string()).unwrap_or_default();
                let text = format!("{} holds «{name}», which is no plain file", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(opened)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest's text.
    pub(super) fn manifest(&self) -> io::Result<String> {
        let path = self.folder.join(MANIFEST);
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut text = String::new();
        let file = File::open(&path).map_err(named)?;
        file.take(MAX_MANIFEST).read_to_string(&mut text).map_err(named)?;
        Ok(text)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.unpacked {
            remove(&self.folder);
        }
    }
}
