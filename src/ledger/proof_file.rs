//! Proof files (C2SP tlog-proof): an entry that proves by itself that a signed checkpoint covers it,
//! on any machine. The entry travels as the file's extra data.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, leaf_hash};
use super::note::{NoteError, NoteKey};
use super::{Entry, EntryError, Ledger, LedgerError, Sequence, StoreError, proof};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The longest file that is read: an entry, a path, a note.
const MAX_FILE_LEN: usize = 256 << 10;

/// Why a proof file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It cannot be read.
    #[error("this is no proof file: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not the log's.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// Its entry cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The path does not lead from the entry to the checkpoint's root.
    #[error("the checkpoint does not cover the entry: the path leads elsewhere")]
    NotIncluded,
    /// The entry says that it has another place than the file says.
    #[error("the entry is number {0}, not the one that the file names")]
    WrongPlace(u64),
}

impl Ledger {
    /// The proof file of the entry at `sequence` under `checkpoint`, a note of this ledger. Nothing
    /// where the checkpoint does not cover it.
    pub fn proof_file(
        &self,
        sequence: Sequence,
        checkpoint: &str,
    ) -> Result<Option<String>, LedgerError> {
        let kept = Checkpoint::read_unverified(checkpoint)
            .map_err(|e| StoreError::Damaged(format!("the kept checkpoint: {e}")))?;
        let path = proof::inclusion(&*self.store, sequence.0, kept.size)?;
        let entry = self.store.read(sequence.0, 1)?.pop();
        let Some((path, entry)) = path.zip(entry) else { return Ok(None) };
        let leaf = leaf_hash(&entry);
        if !proof::proves_inclusion(leaf, sequence.0, kept.size, &kept.root, &path) {
            return Err(hashes_damaged());
        }
        let mut text = format!("{FIRST_LINE}\nextra {}\n", STANDARD.encode(entry));
        text.push_str(&format!("index {sequence}\n"));
        for hash in path {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(checkpoint);
        Ok(Some(text))
    }

    /// The proof that the first `old` entries are the start of the first `new`. Nothing where the
    /// ledger has fewer than `new`, or `old` is greater.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        if new > self.head().size() {
            return Ok(None);
        }
        let path = proof::consistency(&*self.store, old, new)?;
        let (Some(before), Some(after)) = (self.root_at(old)?, self.root_at(new)?) else {
            return Ok(None);
        };
        let holds = |path: &Vec<Hash>| proof::proves_consistency(old, &before, new, &after, path);
        match path {
            Some(path) if !holds(&path) => Err(hashes_damaged()),
            path => Ok(path),
        }
    }

    /// The root of the first `size` entries; nothing where there are fewer.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, LedgerError> {
        if size > self.head().size() {
            return Ok(None);
        }
        let root = proof::root(&*self.store, size)?;
        // The head was computed from the entries; what is kept of the tree must lead to it.
        let head = self.head();
        let path = proof::consistency(&*self.store, size, head.size())?.unwrap_or_default();
        if !proof::proves_consistency(size, &root, head.size(), &head.root(), &path) {
            return Err(hashes_damaged());
        }
        Ok(Some(root))
    }
}

/// What is kept of the tree is not what the entries say.
pub(super) fn hashes_damaged() -> LedgerError {
    LedgerError::Distrusted(
        "the hashes in its folder tree/ do not lead to its head, though its entries do: stop the signer, \
         delete tree/ and start it again, which makes them anew"
            .into(),
    )
}

/// Checks a proof file with the log's key alone: the entry, and the checkpoint that covers it.
pub fn verify(file: &str, key: &NoteKey) -> Result<(Entry, Checkpoint), ProofError> {
    let malformed = ProofError::Malformed;
    if file.len() > MAX_FILE_LEN {
        return Err(malformed("it is too long"));
    }
    let (head, note) = file.split_once("\n\n").ok_or(malformed("it has no empty line"))?;
    let mut lines = head.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(malformed("its first line is another"));
    }
    let extra = lines.next().and_then(|l| l.strip_prefix("extra "));
    let entry = extra.and_then(|text| STANDARD.decode(text).ok());
    let entry = entry.ok_or(malformed("it carries no entry"))?;
    let digits = lines.next().and_then(|l| l.strip_prefix("index "));
    let index: Option<u64> = digits.and_then(|d| d.parse().ok());
    let index = index.filter(|i| Some(i.to_string().as_str()) == digits);
    let index = index.ok_or(malformed("its index is no number"))?;
    let mut path = Vec::new();
    for line in lines {
        let hash = STANDARD.decode(line).ok().and_then(|h| Hash::try_from(h).ok());
        path.push(hash.ok_or(malformed("a line of its path is no hash"))?);
    }
    let checkpoint = Checkpoint::open(note, key)?;
    if !proof::proves_inclusion(leaf_hash(&entry), index, checkpoint.size, &checkpoint.root, &path)
    {
        return Err(ProofError::NotIncluded);
    }
    let entry = Entry::decode(&entry)?;
    if entry.sequence.0 == index {
        Ok((entry, checkpoint))
    } else {
        Err(ProofError::WrongPlace(entry.sequence.0))
    }
}
