//! The writer: one thread that puts together whatever arrived while the last commit was on its way
//! to the disk, and commits it at once. No timers: a lone caller waits for one fsync, many callers
//! share one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::draft_rules::{Rules, read_entry};
use super::handle::Head;
use super::merkle::{self, Frontier};
use super::{Abandoned, Draft, Entry, Event, Index, LedgerError, Record, Sequence, Store, index};
use crate::clock::{Clock, Timestamp};
use crate::control::Safeguard;

/// The most entries and bytes of one commit: what keeps the wait for one commit short.
const COMMIT_ENTRIES: usize = 2048;
const COMMIT_BYTES: usize = 8 << 20;

/// How far the clock may be behind the last entry before nothing is appended.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// What a call of `append` is answered.
pub(super) type Answer = Result<Vec<Sequence>, LedgerError>;

/// One call of `append`.
pub(super) struct Call {
    pub(super) drafts: Vec<Draft>,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The writer's own state.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) frontier: Frontier,
    pub(super) last_time: Timestamp,
    pub(super) head: Arc<Mutex<Head>>,
}

/// An accepted call whose records await the commit.
struct Accepted {
    reply: Option<oneshot::Sender<Answer>>,
    sequences: Vec<Sequence>,
}

impl Writer {
    /// Takes up where the store ends: the clock's last time and the open write-ahead entries.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        head: Arc<Mutex<Head>>,
    ) -> Result<Self, LedgerError> {
        let frontier = store.frontier();
        let last_time = match frontier.size().checked_sub(1) {
            Some(last) => read_entry(&*store, last)?.time,
            None => Timestamp::from_unix_millis(0),
        };
        let mut rules = Rules::default();
        for open in store.lookup(Index::Open, &index::ONLY_KEY)? {
            rules.restore(&read_entry(&*store, open)?);
        }
        let writer = Self { store, clock, rules, frontier, last_time, head };
        writer.publish();
        Ok(writer)
    }

    /// Records every open write-ahead entry as abandoned: the last run ended between it and what
    /// should have come of it, and nobody knows whether the key signed. They are never signed again.
    pub(super) fn recover(&mut self) -> Result<Vec<Sequence>, LedgerError> {
        let mut drafts = Vec::new();
        for open in self.store.lookup(Index::Open, &index::ONLY_KEY)? {
            let (serial, object) = match read_entry(&*self.store, open)?.event {
                Event::Reservation(r) => (r.serial.clone(), r.serial().to_string()),
                _ => (Vec::new().into(), format!("entry {open}")),
            };
            let reason = "the signer stopped before the result was recorded".to_owned();
            let event = Event::Abandoned(Abandoned { reservation: open, serial, reason });
            drafts.push(Draft::of_system(object, event));
        }
        let mut abandoned = Vec::new();
        for part in drafts.chunks(COMMIT_ENTRIES) {
            let mut records = Vec::new();
            abandoned.extend(self.accept(part, &mut records)?);
            self.commit(records)?;
        }
        Ok(abandoned)
    }

    /// Serves calls until all senders are gone. After the first failed commit every call is
    /// refused (I10).
    pub(super) fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        while let Some(first) = calls.blocking_recv() {
            let mut next = Some(first);
            let mut records = Vec::new();
            let mut accepted = Vec::new();
            let mut bytes = 0;
            while let Some(call) = next {
                let before = records.len();
                match self.accept(&call.drafts, &mut records) {
                    Ok(sequences) => {
                        accepted.push(Accepted { reply: Some(call.reply), sequences });
                    }
                    // A caller that has gone away needs no answer.
                    Err(e) => drop(call.reply.send(Err(e))),
                }
                bytes += records[before..].iter().map(|r| r.entry.len()).sum::<usize>();
                let room = records.len() < COMMIT_ENTRIES && bytes < COMMIT_BYTES;
                next = if room { calls.try_recv().ok() } else { None };
            }
            if records.is_empty() {
                continue;
            }
            if !Safeguard::Reservation.holds() {
                acknowledge_reservations(&mut accepted, &records);
                // As a lazy writer does it; a killed process loses only what it has not written.
                std::thread::sleep(Duration::from_millis(50));
            }
            let result = self.commit(records);
            for call in &mut accepted {
                let answer = result.clone().map(|()| std::mem::take(&mut call.sequences));
                if let Some(reply) = call.reply.take() {
                    drop(reply.send(answer));
                }
            }
            if let Err(e) = result
                && Safeguard::LastFailure.holds()
            {
                return refuse_all(calls, &e);
            }
        }
    }

    /// Checks and encodes the drafts of one call and appends their records, all or none.
    fn accept(
        &mut self,
        drafts: &[Draft],
        records: &mut Vec<Record>,
    ) -> Result<Vec<Sequence>, LedgerError> {
        // A full disk refuses before anything is written, so that it does not poison.
        self.store.ready()?;
        let now = self.clock.now();
        let behind = self.last_time.since(now);
        if behind > CLOCK_TOLERANCE {
            return Err(LedgerError::ClockWentBack { seconds: behind.as_secs() });
        }
        let first = self.frontier.size() + records.len() as u64;
        let mut group = Vec::with_capacity(drafts.len());
        for (sequence, draft) in (first..).zip(drafts) {
            let entry = Entry::new(Sequence(sequence), now, draft.clone());
            let bytes = entry.encode()?;
            group.push(Record {
                sequence,
                leaf: merkle::leaf_hash(&bytes),
                postings: index::postings(&entry)?,
                entry: bytes,
                ends_group: sequence + 1 == first + drafts.len() as u64,
            });
        }
        // Last, because what it notes cannot be taken back.
        self.rules.accept(&*self.store, first, drafts)?;
        self.last_time = self.last_time.max(now);
        let sequences = group.iter().map(|r| Sequence(r.sequence)).collect();
        records.append(&mut group);
        Ok(sequences)
    }

    /// Makes the records durable and publishes the new head.
    fn commit(&mut self, records: Vec<Record>) -> Result<(), LedgerError> {
        let leaves: Vec<_> = records.iter().map(|r| r.leaf).collect();
        self.store.append(records).map_err(|e| LedgerError::Poisoned(e.to_string())).inspect_err(
            |e| {
                let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
                if Safeguard::LastFailure.holds() {
                    head.poisoned = Some(e.clone());
                }
            },
        )?;
        leaves.into_iter().for_each(|leaf| self.frontier.push(leaf));
        self.rules.committed();
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.frontier = self.frontier.clone();
        head.last_time = self.last_time;
    }
}

/// The positive control: the caller is told that its reservation is durable before it is.
fn acknowledge_reservations(accepted: &mut [Accepted], records: &[Record]) {
    let opens = |sequence: &Sequence| {
        let record = records.iter().find(|r| r.sequence == sequence.0);
        record.is_some_and(|r| r.postings.iter().any(|p| p.index == Index::Open && p.present))
    };
    for call in accepted.iter_mut().filter(|call| call.sequences.iter().all(opens)) {
        if let Some(reply) = call.reply.take() {
            drop(reply.send(Ok(call.sequences.clone())));
        }
    }
}

/// Answers every call with `error` until all senders are gone.
fn refuse_all(mut calls: mpsc::Receiver<Call>, error: &LedgerError) {
    while let Some(call) = calls.blocking_recv() {
        drop(call.reply.send(Err(error.clone())));
    }
}
