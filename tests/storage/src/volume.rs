//! A real file system on the disk.

use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{Disk, error};

/// A disk's size: mkfs.xfs makes nothing below 300 MB, and the ledger keeps 256 MB free.
const BYTES: u64 = 1 << 30;

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4 as mkfs.ext4 makes it.
    Ext4,
    /// xfs as mkfs.xfs makes it.
    Xfs,
}

/// A file system on a disk of its own. Unmounted when it is dropped.
#[derive(Debug)]
pub struct Volume {
    /// What it is on.
    pub disk: Disk,
    kind: Kind,
    folder: PathBuf,
    mounted: bool,
}

impl Kind {
    /// Its name to mkfs and mount.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// What this machine lacks for a volume of `kind`: a sentence, or nothing.
pub fn missing(kind: Kind) -> Option<String> {
    let name = kind.name();
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.trim() == name) {
        return Some(format!("the kernel has no {name}"));
    }
    let try_it = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        Volume::create(kind, folder.path()).map(drop)
    };
    try_it().err().map(|e| format!("no {name} on a FUSE disk: {e}"))
}

impl Volume {
    /// Makes a file system of this kind on a new disk and mounts it at `folder`, which is there.
    pub fn create(kind: Kind, folder: &Path) -> Result<Self> {
        let disk = Disk::new(BYTES)?;
        let mut mkfs = Command::new(format!("mkfs.{}", kind.name()));
        // Without discards: the disk knows none.
        match kind {
            Kind::Ext4 => mkfs.args(["-q", "-F", "-E", "nodiscard"]),
            Kind::Xfs => mkfs.args(["-q", "-f", "-K"]),
        };
        run(mkfs.arg(disk.file()))?;
        let mut volume = Self { disk, kind, folder: folder.to_path_buf(), mounted: false };
        volume.mount()?;
        Ok(volume)
    }

    /// The kind of the file system.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Mounts it; the file system recovers from its journal what a cut left.
    pub fn mount(&mut self) -> Result<()> {
        let mut mount = Command::new("mount");
        let options = match self.kind {
            // As installers mount it: an error in the file system makes it read-only.
            Kind::Ext4 => "loop,errors=remount-ro",
            Kind::Xfs => "loop",
        };
        mount.args(["-t", self.kind.name(), "-o", options]);
        run(mount.arg(self.disk.file()).arg(&self.folder))?;
        self.mounted = true;
        Ok(())
    }

    /// Has ext4 find an error in itself, upon which it becomes read-only under its users.
    pub fn turn_read_only(&self) -> Result<()> {
        let mut findmnt = Command::new("findmnt");
        let found = findmnt.args(["-n", "-o", "SOURCE"]).arg(&self.folder).output()?;
        let device = String::from_utf8_lossy(&found.stdout);
        let device = Path::new(device.trim()).file_name().ok_or_else(|| error("not mounted"))?;
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(trigger, "a test")
    }

    /// Unmounts it. Nothing may use it any more.
    pub fn unmount(&mut self) -> Result<()> {
        if std::mem::take(&mut self.mounted) {
            run(Command::new("umount").arg(&self.folder))?;
        }
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Whatever still uses it, the name goes now and the rest with the last user.
        if self.mounted {
            drop(run(Command::new("umount").arg("-l").arg(&self.folder)));
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|e| error(format!("{name} cannot be run: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(error(format!("{name}: {}: {}", output.status, said.trim())))
}
