//! Writing a transcript: one line, one fsync.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{Entry, Fact, Line, LineError, ReadError, Tail, ToolRecord, Transcript};
use crate::clock::Clock;
use crate::random::{self, Random, RandomError};

/// A transcript that grows. After an error it takes nothing more: what is not on disk did not happen.
pub struct Writer {
    path: PathBuf,
    file: File,
    seq: u64,
    head: [u8; 32],
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    started: Instant,
    broken: bool,
    crash: Option<Crash>,
}

/// Where the crash drill of a rehearsal ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// As soon as so many lines are on disk: what the last one announces was not done.
    After(u64),
    /// When this line, counted from 1, is about to be written: what it tells of was done.
    Before(u64),
}

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file system refused.
    #[error("the transcript {} cannot be written: {cause}; nothing goes on without it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// There is one already.
    #[error("{} exists already; choose another folder, or go on with the interrupted ceremony by --resume", .0.display())]
    Exists(PathBuf),
    /// The existing one is not whole.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ReadError,
    },
    /// The ceremony has ended; nothing may follow.
    #[error("{} is complete: the ceremony has ended and cannot be resumed", .0.display())]
    Complete(PathBuf),
    /// A fact cannot be written canonically.
    #[error(transparent)]
    Line(#[from] LineError),
    /// An earlier line failed.
    #[error("the transcript failed before; resume the ceremony after the cause is gone")]
    Broken,
    /// No random bytes for the salt.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Writer {
    /// Starts a new transcript at `path`, which must not exist.
    pub fn create(
        path: &Path,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, TranscriptError> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => TranscriptError::Exists(path.into()),
            _ => TranscriptError::File { path: path.into(), cause },
        })?;
        let failed = |cause| TranscriptError::File { path: path.into(), cause };
        file.sync_all().map_err(failed)?;
        File::open(path.parent().unwrap_or(Path::new(".")))
            .and_then(|d| d.sync_all())
            .map_err(failed)?;
        Ok(Self::at(path, file, 0, [0; 32], clock, random))
    }

    /// Goes on with an interrupted transcript: cuts off a line whose writing was interrupted and
    /// records that, with the program that goes on. Returns what was there before, the new line not
    /// included.
    pub fn resume(
        path: &Path,
        tool: ToolRecord,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, Transcript), TranscriptError> {
        let failed = |cause| TranscriptError::File { path: path.into(), cause };
        let bytes = std::fs::read(path).map_err(failed)?;
        let read = Transcript::read(&bytes);
        let (transcript, tail) =
            read.map_err(|error| TranscriptError::Read { path: path.into(), error })?;
        if transcript.is_complete() && tail == Tail::Clean {
            return Err(TranscriptError::Complete(path.into()));
        }
        let torn = match tail {
            Tail::Clean => 0,
            Tail::Torn(len) => len,
        };
        let whole = bytes.len() - torn;
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let seq = transcript.lines().len() as u64;
        let mut writer = Self::at(path, file, seq, *transcript.head(), clock, random);
        writer.append(Fact::Resume {
            torn_bytes: torn as u64,
            torn_sha256: hex::encode(openssl::sha::sha256(&bytes[whole..])),
            tool,
        })?;
        Ok((writer, transcript))
    }

    fn at(
        path: &Path,
        file: File,
        seq: u64,
        head: [u8; 32],
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let path = path.to_path_buf();
        let started = Instant::now();
        Self { path, file, seq, head, clock, random, started, broken: false, crash: None }
    }

    /// Ends the process without any tidying at that place: the crash drill of a rehearsal.
    pub fn crash(&mut self, place: Crash) {
        self.crash = Some(place);
    }

    /// Writes one fact and waits until it is on disk. Returns the chain's new head.
    pub fn append(&mut self, fact: Fact) -> Result<[u8; 32], TranscriptError> {
        if self.broken {
            return Err(TranscriptError::Broken);
        }
        if self.crash == Some(Crash::Before(self.seq + 1)) {
            std::process::abort();
        }
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let time = self.clock.now().to_string();
        let entry = Entry { time, monotonic_ms: elapsed, fact };
        let salt = random::bytes(self.random.as_ref())?;
        let (line, head) = Line::new(self.seq, &self.head, salt, entry)?;
        let text = line.text()? + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(cause) = written {
            self.broken = true;
            return Err(TranscriptError::File { path: self.path.clone(), cause });
        }
        self.seq += 1;
        self.head = head;
        if matches!(self.crash, Some(Crash::After(n)) if self.seq >= n) {
            std::process::abort();
        }
        Ok(head)
    }

    /// The chain's head.
    pub fn head(&self) -> &[u8; 32] {
        &self.head
    }

    /// How many lines there are.
    pub fn len(&self) -> u64 {
        self.seq
    }

    /// Whether there is no line yet.
    pub fn is_empty(&self) -> bool {
        self.seq == 0
    }
}
