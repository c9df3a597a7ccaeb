//! The typed messages between the roles and their framing over Unix sockets: versioned, length-limited,
//! multiplexed. Owns: encoding and peers by kernel uid. Never: trust in what a peer says.
//!
//! A connection opens with one [`hello`] each way, which settles protocol, version and the number of
//! requests that may be in flight. After it both sides send [`frame`]s: a length, a request id, a
//! kind, and a body in postcard's encoding. Requests are pipelined; answers come in any order and
//! carry the id of their request.
//!
//! What holds:
//! - no length that a peer claims reserves memory; only bytes that arrived are kept, up to the
//!   protocol's limit;
//! - malformed input closes the connection and does nothing else;
//! - the server serves only the user ids that it was given, as the kernel reports them;
//! - a request over the bound is refused with [`Refusal::Overloaded`], and a peer that does not read
//!   its answers is not read from;
//! - a lost connection ends every outstanding call with [`CallError::Lost`];
//! - a handler that was started runs to its end, whether or not its peer is still there.

pub mod admin;
mod admin_backup;
mod admin_enrolment;
mod admin_examination;
mod admin_hsm;
mod admin_ledger;
mod admin_permission;
mod admin_reload;
mod admin_search;
mod backoff;
mod client;
mod connection;
mod exchange;
pub mod frame;
pub mod frontend;
pub mod hello;
mod link;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod writer;

pub use client::{Client, ClientLimits, LinkStatus};
pub use connection::{BoxFuture, Peer};
pub use exchange::{Exchange, Refusal};
pub use hello::ConnectError;
pub use link::CallError;
pub use server::{ServeError, ServerLimits, serve};
pub use socket::bind;
