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
mod backup;
mod bad_input;
mod batch;
mod ceremony;
mod ceremony_room;
mod certmonger;
mod certs;
mod cli;
mod crash;
mod derived;
mod doctor;
mod ec;
mod hsm_commands;
mod hsm_faults;
mod hsm_sessions;
mod init;
mod json;
mod layers;
mod ledger_tools;
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
mod post_quantum;
mod powercut;
mod proofs;
mod public;
mod recovery;
mod reload;
mod renewal;
mod requests;
mod restore;
mod revocation;
mod roles;
mod rollover;
mod rows;
mod seal;
mod shim;
mod shutdown;
mod side_by_side;
mod slow;
mod storage_faults;
mod strongswan;
mod supply;
mod tamper;
mod threats_keys;
mod threats_load;
mod threats_messages;
mod threats_names;
mod threats_profiles;
mod tiles;
mod waiting;
mod watchdog;
mod witness;
