//! `chancery serve`: signer and frontend as children of one process, for laboratories. It starts again
//! what dies, and stops them in the order in which no request is lost.

mod child;
mod command;
mod supervise;
#[cfg(test)]
mod tests;

pub use command::{Arguments, run};
