//! A secret asked for on the controlling terminal, without echo.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::read::{MAX_LENGTH, failed, one_line};
use crate::cli::failure::Failure;
use crate::secret::Secret;

/// Asks for `what` ("PIN of token main") and reads one line.
pub fn ask(what: &str) -> Result<Secret, Failure> {
    let line = answer(what).map_err(|e| {
        let cause = format!("it cannot be asked for on a terminal: {e}");
        failed(what, &cause, "name a file or a credential where there is no terminal")
    })?;
    one_line(&line, what, &"the answer")
}

fn answer(question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let answer = write!(terminal, "{question}: ")
        .and_then(|()| terminal.flush())
        .and_then(|()| terminal.try_clone())
        .and_then(read_line);
    let restored = tcsetattr(&terminal, OptionalActions::Flush, &before);
    // Best effort: the answer counts, not the new line after it.
    let _ = writeln!(terminal);
    restored?;
    answer
}

fn read_line(input: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 4));
    // One byte at a time keeps no copy in a buffer of the reader's.
    BufReader::with_capacity(1, input.take(MAX_LENGTH as u64 + 3)).read_until(b'\n', &mut line)?;
    Ok(line)
}
