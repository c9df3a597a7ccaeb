//! A program on a terminal of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::instance::chancery;
use crate::{Context as _, Result};

pub(super) struct Terminal {
    child: Child,
    input: File,
    output: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Starts `chancery` with `arguments` in `folder`.
    pub(super) fn start(arguments: &[&str], folder: &Path) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("a terminal")?;
        grantpt(&master).context("a terminal")?;
        unlockpt(&master).context("a terminal")?;
        let name = ptsname(&master, Vec::new()).context("a terminal")?;
        let name = name.to_string_lossy();
        let slave = File::options().read(true).write(true).open(&*name).context(&name)?;
        let child = Command::new(chancery()?)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave))
            .spawn()
            .context("chancery")?;
        let input = File::from(master);
        let mut reader = input.try_clone()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal's other end is closed with an error when the program ends.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, input, output })
    }

    /// What is shown until nothing more comes for a while; none when the program has ended.
    pub(super) fn read(&mut self) -> Result<Option<String>> {
        let mut shown = Vec::new();
        loop {
            match self.output.recv_timeout(Duration::from_millis(250)) {
                Ok(bytes) => shown.extend(bytes),
                Err(RecvTimeoutError::Timeout) if shown.is_empty() => {
                    if self.child.try_wait()?.is_some() {
                        return Ok(None);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) if shown.is_empty() => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(Some(String::from_utf8_lossy(&shown).replace('\r', "")))
    }

    pub(super) fn answer(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}").context("the terminal")
    }

    /// Waits for the program's end.
    pub(super) fn end(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}
