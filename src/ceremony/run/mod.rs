//! The ceremony itself: opening, steps, closing; the same code for a real run, a rehearsal, a dry run and the
//! check of a plan. Owns: the order of things and what is recorded when. Never: a secret in the record; an
//! effect that is not announced in the transcript before it, where it could not be made twice unseen.

mod bench;
mod closing;
mod desk;
mod environment;
mod error;
pub(crate) mod firmware;
mod hsm_bench;
mod inputs;
mod journal;
mod opening;
mod output;
mod people;
mod room;
mod secrets;
mod signing;
pub(crate) mod soft_bench;
mod softhsm_copy;
mod steps_certificates;
mod steps_exchange;
mod steps_keys;
mod steps_people;
#[cfg(test)]
mod tests;
pub(crate) mod throw_away;
mod tokens;

pub use bench::Bench;
pub(crate) use closing::seal_message;
pub use desk::{AutomaticDesk, Desk, Question};
pub(crate) use environment::{NAMES as CHECK_NAMES, tool};
pub use error::RunError;
pub use hsm_bench::HsmBench;
pub use journal::Journal;
pub(crate) use opening::clock_fault;
pub use output::Output;
pub use room::{Options, Room};
pub use soft_bench::SoftBench;
pub(crate) use softhsm_copy::DrillAnswer;
pub(crate) use tokens::{differences, worrying};
