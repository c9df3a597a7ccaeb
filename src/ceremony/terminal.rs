//! The terminal in the ceremony room: plain lines, prompts, typing without echo, and a screen of its
//! own for what only one person may see.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use zeroize::Zeroizing;

use super::run::{Desk, Question, RunError};
use crate::secret::Secret;

/// The longest line that is read.
const LIMIT: u64 = 4096;
/// Wipes the screen and what was scrolled off it.
const WIPE: &str = "\x1b[2J\x1b[3J\x1b[H";

/// Writes a line to standard output; a closed output is not the ceremony's problem.
pub(super) fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A terminal with people before it.
pub struct TerminalDesk(());

impl TerminalDesk {
    /// Fails where standard input is no terminal.
    pub fn open() -> Result<Self, RunError> {
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            Ok(Self(()))
        } else {
            Err(RunError::Desk("standard input and output are not a terminal".into()))
        }
    }
}

impl Desk for TerminalDesk {
    fn show(&mut self, text: &str) {
        print(&wrapped(text, width()));
    }

    fn ask(&mut self, question: &Question<'_>) -> Result<String, RunError> {
        let _ = write!(io::stdout(), "{} ", wrapped(question.text, width()));
        let _ = io::stdout().flush();
        let line = read_line()?;
        Ok(line.trim().to_owned())
    }

    fn ask_secret(&mut self, text: &str, _: Option<&str>) -> Result<Secret, RunError> {
        let quiet = Quiet::new().map_err(|e| RunError::Desk(e.to_string()))?;
        let _ = write!(io::stdout(), "{text} ");
        let _ = io::stdout().flush();
        let line = read_line();
        drop(quiet);
        print("");
        Ok(Secret::new(line?.trim_end_matches(['\n', '\r']).as_bytes().to_vec()))
    }

    fn show_secret(&mut self, title: &str, lines: &[String]) -> Result<(), RunError> {
        let mut out = io::stdout();
        let failed = |e: io::Error| RunError::Desk(e.to_string());
        let body = Zeroizing::new(lines.join("\n    "));
        write!(out, "{WIPE}{title}\n\n    {}\n\n", body.as_str()).map_err(failed)?;
        write!(out, "Write it down, then press Enter: the screen is wiped. ").map_err(failed)?;
        out.flush().map_err(failed)?;
        let read = read_line();
        write!(out, "{WIPE}").and_then(|()| out.flush()).map_err(failed)?;
        read.map(|_| ())
    }

    fn is_human(&self) -> bool {
        true
    }
}

/// The terminal's columns; a terminal that does not know them has none.
fn width() -> usize {
    tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col))
}

/// The text with lines of at most `width` characters, broken between words: a word that is read aloud must
/// not be torn. A width of 0 leaves it as it is.
fn wrapped(text: &str, width: usize) -> String {
    if width == 0 {
        return text.to_owned();
    }
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let indent = line.len() - line.trim_start().len();
        let mut current = String::new();
        for word in line[indent..].split(' ') {
            let length = current.chars().count();
            if length > 0 && indent + length + 1 + word.chars().count() > width {
                lines.push(format!("{}{current}", &line[..indent]));
                current.clear();
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(format!("{}{current}", &line[..indent]));
    }
    lines.join("\n")
}

fn read_line() -> Result<Zeroizing<String>, RunError> {
    let mut line = Zeroizing::new(String::with_capacity(LIMIT as usize + 2));
    let read = io::stdin().lock().take(LIMIT).read_line(&mut line);
    match read {
        Ok(0) => Err(RunError::Desk("the input has ended".into())),
        Ok(_) => Ok(line),
        Err(e) => Err(RunError::Desk(e.to_string())),
    }
}

/// The terminal without echo, until dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "    kiwi ammo commando\nfrom the paper.\n\nx";
        assert_eq!(wrapped(text, 14), "    kiwi ammo\n    commando\nfrom the\npaper.\n\nx");
        assert_eq!(wrapped(text, 0), text);
        assert_eq!(wrapped("unbreakable", 4), "unbreakable");
    }
}
