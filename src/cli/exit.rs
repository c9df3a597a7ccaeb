//! Exit statuses: the same meaning in every subcommand, for scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something that must not change has changed.
    Integrity = 3,
    /// A ceremony did not end as planned.
    Incomplete = 4,
    /// This user may not.
    NotAuthorised = 5,
    /// The HSM cannot be used.
    HsmUnavailable = 7,
    /// The configuration has errors.
    Configuration = 8,
    /// Something is there already, or a name fits more than one thing.
    Conflict = 9,
}

impl Exit {
    /// All of them with their meaning, for the help and the man page.
    pub const MEANINGS: [(Self, &'static str); 9] = [
        (Self::Ok, "done"),
        (Self::Failed, "not done"),
        (Self::Usage, "the command line is wrong"),
        (Self::Integrity, "integrity: something that must not change has changed"),
        (Self::Incomplete, "a ceremony did not end as planned"),
        (Self::NotAuthorised, "this user may not"),
        (Self::HsmUnavailable, "the HSM cannot be used"),
        (Self::Configuration, "the configuration has errors"),
        (Self::Conflict, "something is there already, or a name fits more than one thing"),
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
