//! Reading a transcript and checking its chain.

use super::{Entry, Fact, Level, Line, LineError};

/// A transcript whose chain is whole.
#[derive(Clone, Debug)]
pub struct Transcript {
    lines: Vec<Line>,
    head: [u8; 32],
}

/// What follows the last whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// The beginning of a line whose writing was interrupted: so many bytes.
    Torn(usize),
}

/// Why a transcript is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// One line is wrong.
    #[error("line {number} of the transcript is not as it was written: {error}")]
    Line {
        /// The line, from 1.
        number: usize,
        /// What is wrong.
        error: LineError,
    },
}

impl Transcript {
    /// Reads the lines of a file and checks each and the chain. What follows the last line's end is
    /// told apart: only a crash leaves it.
    pub fn read(bytes: &[u8]) -> Result<(Self, Tail), ReadError> {
        let (mut lines, mut head) = (Vec::new(), [0; 32]);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let number = lines.len() + 1;
            let at = |error| ReadError::Line { number, error };
            let text = std::str::from_utf8(&rest[..end])
                .map_err(|e| at(LineError::Malformed(e.to_string())))?;
            let (line, next) = Line::read(text, lines.len() as u64, &head).map_err(at)?;
            lines.push(line);
            head = next;
            rest = &rest[end + 1..];
        }
        let tail = if rest.is_empty() { Tail::Clean } else { Tail::Torn(rest.len()) };
        Ok((Self { lines, head }, tail))
    }

    /// The lines, redacted ones included.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The last `chain` value: the fingerprint, once the transcript is complete.
    pub fn head(&self) -> &[u8; 32] {
        &self.head
    }

    /// The entries that are not redacted, with their places.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.lines.iter().filter_map(|l| l.entry.as_ref().map(|e| (l.seq, e)))
    }

    /// The facts that are not redacted.
    pub fn facts(&self) -> impl DoubleEndedIterator<Item = &Fact> {
        self.entries().map(|(_, e)| &e.fact)
    }

    /// How many lines are redacted.
    pub fn redacted(&self) -> usize {
        self.lines.iter().filter(|l| l.entry.is_none()).count()
    }

    /// Whether the last line ends the ceremony.
    pub fn is_complete(&self) -> bool {
        matches!(self.lines.last().and_then(Line::fact), Some(Fact::End { .. }))
    }
}

/// The file of `transcript` with every line above `level` redacted.
pub fn redact(transcript: &Transcript, level: Level) -> Result<String, LineError> {
    let mut out = String::new();
    for line in transcript.lines() {
        let text = if line.level > level { line.redacted().text()? } else { line.text()? };
        out.push_str(&text);
        out.push('\n');
    }
    Ok(out)
}
