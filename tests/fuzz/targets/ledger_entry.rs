//! One entry of the ledger. Only the canonical encoding is read.
#![no_main]

use chancery::ledger::{Entry, postings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(entry) = Entry::decode(data) else { return };
    let _ = postings(&entry);
    assert_eq!(entry.encode().as_deref(), Ok(data), "another encoding of the same entry is read");
});
