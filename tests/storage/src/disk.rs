//! The disk as a file of a FUSE file system, and the switches of its power and its faults.

use std::ffi::OsStr;
use std::io::{Error, Result};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use crate::sectors::{Sectors, Survivors};

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What the disk fails to do. It says so: EIO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// To take a write.
    Write,
    /// To flush its cache.
    Flush,
}

/// A disk with a volatile write cache. Gone when it is dropped.
pub struct Disk {
    state: Shared,
    file: PathBuf,
    // Unmounts; before its folder is removed.
    _session: BackgroundSession,
    _folder: tempfile::TempDir,
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<State>, Condvar)>);

struct State {
    bytes: u64,
    sectors: Sectors,
    power: Power,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// Goes off after so many writes and flushes.
    Until(u64),
    Off,
}

impl Disk {
    /// A disk of zeros with room for `bytes`; it takes memory for what is written.
    pub fn new(bytes: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("powercut-").tempdir()?;
        let state = State { bytes, sectors: Sectors::default(), power: Power::On, fault: None };
        let state = Shared(Arc::new((Mutex::new(state), Condvar::new())));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("powercut".into())];
        let session = fuser::spawn_mount(Files(state.clone()), folder.path(), &config)?;
        Ok(Self { state, file: folder.path().join(NAME), _session: session, _folder: folder })
    }

    /// The file that is the disk.
    pub fn file(&self) -> &PathBuf {
        &self.file
    }

    /// Cuts the power after `operations` more writes and flushes; 0 is now. Whatever is asked of the
    /// disk then fails with EIO.
    pub fn cut_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.power = if operations == 0 { Power::Off } else { Power::Until(operations) };
        self.state.0.1.notify_all();
    }

    /// Takes back a cut that is to come. Whether the power is on still.
    pub fn stay_on(&self) -> bool {
        let mut state = self.state.lock();
        let on = state.power != Power::Off;
        if on {
            state.power = Power::On;
        }
        on
    }

    /// Waits until the power is off, at most `limit`. Whether it is.
    pub fn wait_for_cut(&self, limit: Duration) -> bool {
        let state = self.state.lock();
        let wait = self.state.0.1.wait_timeout_while(state, limit, |s| s.power != Power::Off);
        wait.unwrap_or_else(PoisonError::into_inner).0.power == Power::Off
    }

    /// Gives the power back after a cut that left `survivors`. Returns how many writes had not been
    /// flushed.
    pub fn power_on(&self, survivors: Survivors, random: &mut fastrand::Rng) -> usize {
        let mut state = self.state.lock();
        state.power = Power::On;
        state.fault = None;
        state.sectors.cut(survivors, random)
    }

    /// From now on the disk has this fault, or none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write or a flush, unless the disk is off or has the fault.
    fn change(&self, kind: Fault, work: impl FnOnce(&mut State)) -> std::result::Result<(), Errno> {
        let mut state = self.lock();
        if state.power == Power::Off || state.fault == Some(kind) {
            return Err(Errno::EIO);
        }
        work(&mut state);
        match state.power {
            Power::Until(1) => {
                state.power = Power::Off;
                self.0.1.notify_all();
            }
            Power::Until(more) => state.power = Power::Until(more - 1),
            Power::On | Power::Off => {}
        }
        Ok(())
    }
}

/// The file system: its root and the disk in it.
struct Files(Shared);

impl Files {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let (kind, perm, size) = match inode {
            FILE => (FileType::RegularFile, 0o600, self.0.lock().bytes),
            _ => (FileType::Directory, 0o700, 0),
        };
        FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match parent == INodeNo::ROOT && name == NAME {
            true => reply.entry(&FOR_EVER, &self.attributes(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Past the page cache, which would remember what a cut has undone.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.0.lock();
        if state.power == Power::Off {
            return reply.error(Errno::EIO);
        }
        let length = u64::from(size).min(state.bytes.saturating_sub(offset));
        reply.data(&state.sectors.read(offset, length as usize));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.change(Fault::Write, |state| state.sectors.write(offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.0.change(Fault::Flush, |state| state.sectors.flush()) {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("file", &self.file).finish_non_exhaustive()
    }
}

/// An error of the tests' disk.
pub(crate) fn error(text: impl Into<String>) -> Error {
    Error::other(text.into())
}
