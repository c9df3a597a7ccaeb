//! The barrier that makes sled durable. sled 0.34 flushes with `sync_file_range`, which orders
//! nothing and waits for no disk cache, so a power cut loses what it acknowledged. This function
//! takes the C library's place at link time and calls `fdatasync` instead. [`calls`] counts, so
//! that the store can see at each start that sled's flushes arrive here.
#![allow(unsafe_code, reason = "a C function that replaces another one at link time")]

use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// fdatasync(2); takes any number for a descriptor and fails with EBADF where it is none.
    safe fn fdatasync(fd: c_int) -> c_int;
}

/// Stands in for sync_file_range(2) in this program: brings all data of the file to the disk,
/// whatever the range. Returns 0, or -1 with the cause in `errno`.
// SAFETY: the name and the signature are those of the C library's function (off64_t is 64 bits
// wide on every target), its contract is met by doing more than was asked, and nobody else in the
// program defines it.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, _offset: i64, _nbytes: i64, _flags: c_uint) -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    fdatasync(fd)
}

/// How often the barrier was called in this process.
#[must_use]
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}
