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

/// Writes a file that is not there yet, durably: what somebody keeps is not written over.
pub fn write_new(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| {
        let there = e.kind() == std::io::ErrorKind::AlreadyExists;
        let exit = if there { Exit::Conflict } else { Exit::Failed };
        Failure::new(exit, format!("{} was not written", path.display()), e, "name another file")
    })
}

/// A message for the person at the terminal.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
