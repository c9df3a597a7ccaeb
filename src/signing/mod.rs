//! When it is signed: the bounded queue and the traits of the keys. Owns: the order reserve, sign,
//! record (I1, I2), priorities, fairness between endpoints. Never: what is signed.

mod keys;
mod lanes;
mod queue;
#[cfg(test)]
mod tests;

pub use keys::{BoxFuture, KeyUnwrapper, KeyUseError, Signer};
pub use lanes::Class;
pub use queue::{Abandon, Assemble, Committed, Permit, Queue, QueueLimits, SigningError, Work};
