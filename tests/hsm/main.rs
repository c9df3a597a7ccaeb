//! The HSM layer on a real SoftHSM.
//!
//! C_Initialize is about the whole process and SOFTHSM2_CONF is read then, so each test runs
//! itself again in a process of its own, with an empty token directory in memory where there is
//! /dev/shm.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong in a test's helper fails the test"
)]

mod audit;
mod opening;
mod prompt;
mod provision;
mod recovery;
mod signing;
mod support;
mod unwrapping;
