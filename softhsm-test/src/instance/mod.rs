//! Whole Chancery instances for tests: a folder made by the real `chancery init`, the real
//! processes, their logs, and every way to end them.

mod binary;
mod lab;
mod objects;
mod port;
mod process;
mod template;

pub use binary::chancery;
pub use lab::{Instance, Options};
pub use port::Port;
pub use process::Service;
