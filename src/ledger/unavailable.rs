//! The ledger of a signer in maintenance mode: the files are left alone, nothing is appended, and
//! whoever asks is told why.

use std::sync::{Arc, Mutex};

use super::handle::Head;
use super::merkle::{Frontier, Hash};
use super::proof::HashSource;
use super::{Index, Key, Ledger, LedgerError, Record, Store, StoreError};
use crate::clock::Timestamp;

/// A store without files; every use of it is answered with the reason.
struct NoStore(StoreError);

impl NoStore {
    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(self.0.clone())
    }
}

impl HashSource for NoStore {
    fn hashes(&self, _: u8, _: u64, _: u64) -> Result<Vec<Hash>, StoreError> {
        self.refuse()
    }
}

impl Store for NoStore {
    fn size(&self) -> u64 {
        0
    }

    fn frontier(&self) -> Frontier {
        Frontier::new()
    }

    fn ready(&self) -> Result<(), StoreError> {
        self.refuse()
    }

    fn append(&self, _: Vec<Record>) -> Result<(), StoreError> {
        self.refuse()
    }

    fn read(&self, _: u64, _: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.refuse()
    }

    fn lookup(&self, _: Index, _: &Key) -> Result<Vec<u64>, StoreError> {
        self.refuse()
    }

    fn range(&self, _: Index, _: &Key, _: &Key, _: usize) -> Result<Vec<(Key, u64)>, StoreError> {
        self.refuse()
    }

    fn keep_checkpoint(&self, _: &str) -> Result<(), StoreError> {
        self.refuse()
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.refuse()
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Ledger {
    /// A ledger that cannot be relied on: it takes no entry and shows none, for the reason `why`.
    pub fn unavailable(why: LedgerError) -> Arc<Self> {
        // Whatever the cause is: that it cannot be read now is no damage of its own.
        let store = StoreError::Unavailable(why.to_string());
        let head = Head {
            frontier: Frontier::new(),
            last_time: Timestamp::from_unix_millis(0),
            poisoned: Some(why),
        };
        Arc::new(Self::without_writer(Arc::new(NoStore(store)), Arc::new(Mutex::new(head))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Draft, Event, Lifecycle, Sequence};

    #[tokio::test]
    async fn it_takes_nothing_and_says_why() {
        let why = LedgerError::Store(StoreError::Damaged("entry 7".into()));
        let ledger = Ledger::unavailable(why.clone());
        let event = Event::Stop(Lifecycle { software: "x".into(), reason: "y".into() });
        let appended = ledger.append(vec![Draft::of_system("signer", event)]).await;
        assert_eq!(appended, Err(why.clone()));
        let said = ledger.entry(Sequence(0)).unwrap_err();
        assert_eq!(said, LedgerError::Store(StoreError::Unavailable(why.to_string())));
        assert_eq!(ledger.head().poisoned, Some(why));
        assert_eq!(ledger.close(), Ok(()));
    }
}
