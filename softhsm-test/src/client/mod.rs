//! A SCEP client for tests (RFC 8894): polite by default, with a knob for everything that an odd
//! or hostile client may do. It shares no code with the server, builds its CMS byte by byte, and
//! reads replies more strictly than any real client does.
//!
//! The way of a request: [`Server::discover`] learns the CA; a [`Device`] has the key and the
//! certificate that signs; [`Server::draft`] makes a [`Draft`] whose fields are the knobs;
//! [`Server::send`] builds, posts and checks. [`Draft::build`], [`Server::deliver`] and
//! [`Server::read`] are the same in single steps, for tests that spoil the bytes in between.

pub mod algorithms;
pub mod certificate;
pub mod csr;
pub mod der;
pub mod envelope;
pub mod get;
pub mod http;
pub mod keys;
pub mod message;
mod open;
pub mod padding;
pub mod password;
pub mod reply;
mod server;

pub use algorithms::{Cipher, Digest, Transport};
pub use certificate::{Parts, SelfSigned};
pub use csr::Csr;
pub use envelope::{Envelope, Identifier, Recipient};
pub use get::Escaping;
pub use keys::Key;
pub use message::{Edit, Message, Text};
pub use open::certs_only;
pub use padding::Padding;
pub use password::Password;
pub use reply::{CertRep, Outcome};
pub use server::{Delivery, Device, Draft, Sent, Server, legacy_ciphers};

#[cfg(test)]
mod tests;
