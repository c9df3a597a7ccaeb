//! HTTP listeners: accept loop with header timeouts, connection limits, size limits. Owns: sockets.
//! Never: SCEP.
//!
//! axum's own `serve` has no timeout for a request head, so the accept loop here drives hyper itself.
//! What holds for every request that reaches the router:
//! - its head came within [`Limits::head_timeout`] and is within [`Limits::head`]; a target over
//!   [`Limits::target`] was answered 414 (RFC 9110 section 15.5.15);
//! - its body came whole within [`Limits::body_timeout`] and is within [`Limits::body`]; a longer one
//!   was answered 413 without being kept;
//! - its request extensions hold the [`Peer`].
//!
//! And for connections: their number is bounded in all and by source. Where a bound is reached, the
//! connection that has been waiting longest for its client makes room, so that idle and slow clients
//! cannot keep the others out; a connection whose request is complete is never cut for another.
//! HTTP/1.0 and 1.1 only, no upgrades, no Server header.

mod client;
mod io;
mod limits;
mod listener;
mod places;
mod server;
mod service;
#[cfg(test)]
mod tests;

pub use client::{post, send};
pub use limits::Limits;
pub use listener::{BindError, adopt, bind};
pub use server::serve;
pub use service::Peer;
