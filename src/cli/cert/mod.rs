//! `chancery cert`: certificates and their status. Owns: filters, pages, output. Never: a look into the
//! ledger of its own.

mod command;
mod find;
mod many;

pub use command::{Command, run};
