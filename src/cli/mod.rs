//! The command line: one file a subcommand, with its arguments, output and exit codes. Owns: what a
//! person reads and types. Never: a decision that another part could take.

mod admin;
mod backup;
mod ca;
mod ceremony;
mod cert;
mod challenge;
mod command;
mod config;
mod credential;
mod crl;
mod doctor;
pub mod environment;
mod exchange;
pub mod exit;
pub mod failure;
mod frontend;
mod generate;
mod hsm;
mod import;
mod init;
mod ledger;
mod ledger_export;
mod ledger_key;
mod ledger_online;
mod ledger_proof;
mod ledger_source;
mod ledger_verify;
mod maintenance;
mod metrics;
mod officer;
mod one_time;
mod output;
mod progress;
pub mod ready;
mod reload;
mod request;
mod role;
mod roles;
mod rollover;
pub mod secrets;
mod serve;
mod signer;
mod status;
mod trace;

pub use command::main;
