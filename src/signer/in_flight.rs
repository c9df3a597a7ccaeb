//! Transactions under way: a second message of one transaction waits for the first one's outcome
//! instead of starting a second issuance (I5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What names a transaction: the endpoint and the transaction ID's octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TransactionKey {
    pub(super) endpoint: Arc<str>,
    pub(super) id: Vec<u8>,
}

/// The transactions under way, each with the fingerprint of its request and a place for its outcome.
#[derive(Debug)]
pub(super) struct InFlight<T>(Arc<Mutex<Entries<T>>>);

type Entries<T> = HashMap<TransactionKey, ([u8; 32], watch::Receiver<Option<T>>)>;

/// The part that a caller has in a transaction.
#[derive(Debug)]
pub(super) enum Part<T> {
    /// The first: does the work and must set its outcome.
    Leads(Lead<T>),
    /// A duplicate: waits for the first one's outcome.
    Follows(Follow<T>),
    /// Another request has the transaction ID just now: wait until it is done, and look again. Who
    /// comes first must not decide before anybody is authorized.
    Waits(Follow<T>),
}

/// The duty to set a transaction's outcome. Dropped without it, the followers learn that there is none.
#[derive(Debug)]
pub(super) struct Lead<T> {
    key: TransactionKey,
    entries: Arc<Mutex<Entries<T>>>,
    outcome: watch::Sender<Option<T>>,
}

/// The right to a transaction's outcome.
#[derive(Debug)]
pub(super) struct Follow<T>(watch::Receiver<Option<T>>);

impl<T: Clone> InFlight<T> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the transaction `key` with the request of fingerprint `request`.
    pub(super) fn join(&self, key: TransactionKey, request: [u8; 32]) -> Part<T> {
        let mut entries = lock(&self.0);
        match entries.get(&key) {
            Some((known, outcome)) if *known == request => Part::Follows(Follow(outcome.clone())),
            Some((_, outcome)) => Part::Waits(Follow(outcome.clone())),
            None => {
                let (sender, receiver) = watch::channel(None);
                entries.insert(key.clone(), (request, receiver));
                Part::Leads(Lead { key, entries: self.0.clone(), outcome: sender })
            }
        }
    }
}

impl InFlight<()> {
    /// The right to `key`, once nobody else has it.
    pub(super) async fn turn(&self, key: TransactionKey) -> Lead<()> {
        loop {
            match self.join(key.clone(), [0; 32]) {
                Part::Leads(lead) => return lead,
                Part::Follows(other) | Part::Waits(other) => drop(other.outcome().await),
            }
        }
    }
}

impl<T> Lead<T> {
    /// Ends the transaction with `outcome`, which every follower receives.
    pub(super) fn finish(self, outcome: T) {
        // The entry goes in drop, after the outcome stands: nobody can see neither.
        self.outcome.send_replace(Some(outcome));
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        lock(&self.entries).remove(&self.key);
    }
}

impl<T: Clone> Follow<T> {
    /// The outcome, or `None` where the first one ended without.
    pub(super) async fn outcome(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|o| o.clone())
    }
}

fn lock<T>(entries: &Mutex<Entries<T>>) -> MutexGuard<'_, Entries<T>> {
    // Held for map operations only; a poisoned one is still in order.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TransactionKey {
        TransactionKey { endpoint: "device".into(), id: b"1".to_vec() }
    }

    #[tokio::test]
    async fn a_duplicate_gets_the_first_ones_outcome() {
        let all = InFlight::new();
        let Part::Leads(lead) = all.join(key(), [1; 32]) else { panic!("the first leads") };
        let Part::Follows(follow) = all.join(key(), [1; 32]) else { panic!("the second follows") };
        let Part::Waits(other) = all.join(key(), [2; 32]) else { panic!("another request waits") };
        lead.finish(7);
        assert_eq!(follow.outcome().await, Some(7));
        assert_eq!(other.outcome().await, Some(7));
        assert!(matches!(all.join(key(), [2; 32]), Part::Leads(_)));
    }

    /// What holds the lead may panic at any await: it takes nothing with it.
    #[tokio::test]
    async fn t65_a_panic_frees_the_transaction_and_its_place() {
        let all = Arc::new(InFlight::<u8>::new());
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        for at in 0..4 {
            let Part::Leads(lead) = all.join(key(), [1; 32]) else { panic!("taken at {at}") };
            let Part::Follows(follow) = all.join(key(), [1; 32]) else { panic!("none follows") };
            let place = places.clone().try_acquire_owned().expect("the place is free");
            assert!(places.clone().try_acquire_owned().is_err(), "the control: it is taken now");
            let work = tokio::spawn(async move {
                let _place = place;
                for _ in 0..at {
                    tokio::task::yield_now().await;
                }
                assert!(at > 9, "as asked");
                lead.finish(7);
            });
            assert_eq!(follow.outcome().await, None, "the follower is told");
            assert!(work.await.unwrap_err().is_panic());
        }
        let Part::Leads(lead) = all.join(key(), [2; 32]) else { panic!("taken") };
        let Part::Waits(other) = all.join(key(), [1; 32]) else { panic!("none waits") };
        lead.finish(7);
        assert_eq!(
            other.outcome().await,
            Some(7),
            "the control: what does not panic has an outcome"
        );
    }

    #[tokio::test]
    async fn a_lost_lead_is_told() {
        let all = InFlight::<u8>::new();
        let Part::Leads(lead) = all.join(key(), [1; 32]) else { panic!("the first leads") };
        let Part::Follows(follow) = all.join(key(), [1; 32]) else { panic!("the second follows") };
        drop(lead);
        assert_eq!(follow.outcome().await, None);
    }
}
