//! Revocation (RFC 5280 sections 3.3 and 5): what is revoked, why, and what the next list says.
//! Owns: the reasons and which may follow which, the reading of the ledger's entries, the numbers of
//! the lists and when the next one is due. Never: a key, a file, a schedule of its own.

mod contents;
mod number;
mod reason;
mod schedule;

pub use contents::revoked;
pub use number::{last_number, next_number};
pub use reason::{Reason, StatusError, may_follow};
pub use schedule::Schedule;
