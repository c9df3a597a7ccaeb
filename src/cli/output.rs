//! Standard output: data and nothing else. Messages go to standard error.

use std::io::{self, Write as _};

use super::exit::Exit;
use super::failure::Failure;

/// Writes `text` as it is. A reader that has gone (`chancery … | head`) is no failure.
pub fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Failed,
            "the output could not be written",
            e,
            "see that the disk is not full, or name another output",
        )),
        _ => Ok(()),
    }
}

/// Writes a JSON value as one line.
pub fn json(value: &serde_json::Value) -> Result<(), Failure> {
    write(&format!("{value}\n"))
}

/// A message for the person at the terminal.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
