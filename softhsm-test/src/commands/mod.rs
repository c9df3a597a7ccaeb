//! The subcommands, one file each.

mod arguments;
mod ca;
mod ceremony;
mod enrol;
mod new;
mod run;

pub use arguments::Arguments;
