//! A disk whose power can be cut, for tests of what survives that.
//!
//! [`Disk`] is a disk with a volatile write cache, as hardware has one: what was written before a
//! flush is durable, and of what was written since, a cut leaves nothing, all, the first writes with
//! the last of them torn, or any sectors. It is one file of a FUSE file system that this process
//! serves from memory. [`Volume`] is a real file system on it (ext4 or xfs, by a loop device), so that
//! everything between a program's `write` and the disk is the kernel's own: page cache, writeback,
//! the file system's journal and its recovery. The disk can also fail its writes and its flushes.
//!
//! It needs root, `/dev/fuse` and a loop device; [`missing`] says what of it is not there.

mod disk;
mod sectors;
mod volume;

pub use disk::{Disk, Fault};
pub use sectors::Survivors;
pub use volume::{Kind, Volume, missing};
