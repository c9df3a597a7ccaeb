//! The subcommands, one file each.

mod arguments;
mod ca;
mod enrol;
mod new;
mod run;

pub use arguments::Arguments;
