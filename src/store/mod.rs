//! The ledger on disk, in one folder that one process may use at a time:
//!
//! - `journal/`: append-only segments of checksummed records, one `fdatasync` a commit. What is
//!   here is what happened; everything else can be made from it. Entries are read from here.
//! - `db/`: the same entries and their indexes in sled, the only use of sled in the tree. It lags
//!   behind the journal by what is in memory, and is set aside and rebuilt when it errs, panics or
//!   disagrees.
//! - `tree/`: the Merkle tree's hashes, level by level, as tiles cut them.
//! - `checkpoint`: the latest signed checkpoint.
//! - `verified`, `finding`: where the last verification of it all ended well, or what it found.
//! - `lock`: held while the folder is in use.
//!
//! Owns: files and durability (I1, I2, I10), the indexes' storage. Never: what an entry means
//! beyond its index keys. The formats are in `docs/ledger-format.md`.

mod anchor;
mod archive;
mod backup;
mod copy;
mod database;
mod disk;
mod file_store;
mod hash_files;
mod index_check;
mod indexer;
mod journal;
mod journal_view;
mod line;
mod manifest;
mod recent;
mod record;
mod run;
mod segment;
mod startup;
#[cfg(test)]
mod tests;
mod verified;

pub use anchor::FileAnchor;
pub use backup::{FileFault, Snapshot, check_files, checkpoint_name, copy_in, is_empty, move_in};
pub use copy::Quiet;
pub use disk::{make_folder, replace_file};
pub use file_store::{FileStore, StoreOptions};
pub use journal_view::JournalView;
pub use verified::Verifications;
