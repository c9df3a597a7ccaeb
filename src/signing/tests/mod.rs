//! The queue with a ledger in memory and a key that says what it was asked, in one list of calls.

mod fakes;
mod order;
mod waiting;
