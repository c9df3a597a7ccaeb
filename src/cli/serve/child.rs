//! One child process: its start, its notifications, its end.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::cli::ready::{self, Notice};

/// How to start a role.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The role's name.
    pub role: &'static str,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A child that was started.
#[derive(Debug)]
pub struct Running {
    /// When.
    pub since: Instant,
    process: Child,
    notices: UnixDatagram,
    path: PathBuf,
}

/// What a child did.
#[derive(Debug)]
pub enum Happening {
    /// It said something.
    Notice(Notice),
    /// It ended.
    Ended(ExitStatus),
}

impl Running {
    /// Starts the role. Its notifications come through a socket in `notify_dir`.
    pub fn start(launch: &Launch, notify_dir: &Path) -> io::Result<Self> {
        // One name, so that a socket that a killed process left is replaced.
        let path = notify_dir.join(format!(".{}.notify", launch.role));
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let notices = UnixDatagram::bind(&path)?;
        let process = Command::new(&launch.program)
            .args(&launch.arguments)
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            // A group of its own: Ctrl-C is for us, who stop the children in their order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let process = process.inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
        })?;
        Ok(Self { since: Instant::now(), process, notices, path })
    }

    /// Waits for the next thing that happens. May be dropped and called again.
    pub async fn next(&mut self) -> io::Result<Happening> {
        let mut buffer = [0; 2048];
        tokio::select! {
            // What it said before it ended comes first.
            biased;
            received = self.notices.recv(&mut buffer) => {
                Ok(Happening::Notice(ready::read(&buffer[..received?])))
            }
            ended = self.process.wait() => Ok(Happening::Ended(ended?)),
        }
    }

    /// Waits for its end alone.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Sends a signal; a child that has ended meanwhile does not mind.
    pub fn signal(&self, signal: Signal) {
        let pid = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid
            && let Err(e) = kill_process(pid, signal)
        {
            log::warn!(event = crate::telemetry::event::CHILD; "a child cannot be signalled: {e}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
