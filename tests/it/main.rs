//! The tests of the whole: the real binary, a real SoftHSM, real clients, one module a topic.
//!
//! They need what `make deps` installs. `softhsm_test` makes the instances and plays the devices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod common;

mod away;
mod bad_input;
mod batch;
mod ceremony;
mod ceremony_room;
mod certmonger;
mod certs;
mod cli;
mod crash;
mod init;
mod layers;
mod legacy;
mod load;
mod logs;
mod messages;
mod metrics;
mod micromdm;
mod officers;
mod one_time;
mod openssl_tools;
mod oracle;
mod public;
mod renewal;
mod requests;
mod revocation;
mod roles;
mod rollover;
mod rows;
mod shutdown;
mod slow;
mod strongswan;
mod supply;
mod tamper;
mod waiting;
