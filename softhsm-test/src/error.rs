//! The one error of this crate: a sentence that says what failed and why.

use std::fmt;

/// What went wrong, as a sentence for the person who reads the test's output.
#[derive(Debug)]
pub struct Error(String);

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error from its sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// `Err` with a sentence.
pub fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(Error(text.into()))
}

/// Says what was being done when a foreign error came.
pub trait Context<T> {
    /// Puts `what` before the error's own text.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error(format!("{what}: {e}")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<openssl::error::ErrorStack> for Error {
    fn from(e: openssl::error::ErrorStack) -> Self {
        Self(format!("openssl: {e}"))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}
