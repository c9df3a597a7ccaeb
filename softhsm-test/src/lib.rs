//! Disposable SoftHSM tokens, CAs and whole Chancery instances, and a SCEP client that can play
//! every odd or hostile device: for Chancery's own tests and for any team's CI.

pub mod authority;
pub mod ceremony;
pub mod client;
mod error;
pub mod instance;
pub mod processes;
pub mod token;

pub use error::{Context, Error, Result, fail};
