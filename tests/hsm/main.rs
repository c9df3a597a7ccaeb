//! The HSM layer on a real SoftHSM, and its core on Kryoptic as a second module.
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
mod data_object;
mod kryoptic;
mod opening;
mod probing;
mod prompt;
mod provision;
mod recovery;
mod replicas;
mod secret_key;
mod signing;
mod support;
mod unwrapping;
