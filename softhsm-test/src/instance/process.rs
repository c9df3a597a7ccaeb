//! One service process (with whatever children it has) and its log.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{Context, Error, Result, fail};
use crate::processes;

/// A running `chancery serve`, `signer` or `frontend`. It is in a process group of its own, and nothing
/// of it is left when it is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Service {
    /// Starts `command` with its output appended to the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let out = append(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let program = command.get_program().to_owned();
        let child = command.spawn().context(format!("starting {}", program.display()))?;
        Ok(Self { child, log: log.to_path_buf(), ended: None })
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that the process and its children have used.
    pub fn processor_time(&self) -> Duration {
        let all = std::iter::once(self.pid()).chain(processes::children(self.pid()));
        all.map(|id| processes::processor_time(&format!("/proc/{id}/stat"))).sum()
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// The exit status where the process has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Sends SIGTERM to the process itself and does not wait.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid(self.pid())?, signal).context("kill")
    }

    /// Waits for the end; after `limit` it is an error.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                return fail(format!("process {} still runs after {limit:?}", self.pid()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, then waits: the polite end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if self.ended()?.is_none() {
            self.terminate()?;
        }
        self.wait(Duration::from_secs(60))
    }

    /// SIGKILL to the process and all its children. The children of `serve` have groups of their own
    /// and are told to stop when it dies; one of them may do so before its SIGKILL comes. Where no
    /// orderly end must be possible, start the roles by themselves.
    pub fn kill(&mut self) -> Result<()> {
        let children = match self.ended()? {
            None => processes::children(self.pid()),
            Some(_) => Vec::new(),
        };
        for id in std::iter::once(self.pid()).chain(children) {
            // The group outlives its leader while children run, so this is sent in any case.
            kill_process_group(pid(id)?, Signal::KILL).or_else(|e| match e {
                rustix::io::Errno::SRCH => Ok(()),
                other => Err(other).context("kill"),
            })?;
        }
        self.wait(Duration::from_secs(10)).map(drop)
    }
}

fn pid(id: u32) -> Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| Error::new("no process ID"))
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the test is over.
        let _ = self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let skip = log.lines().count().saturating_sub(40);
            eprintln!("--- the end of {}:", self.log.display());
            log.lines().skip(skip).for_each(|line| eprintln!("    {line}"));
        }
    }
}

fn append(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.context(format!("opening {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Service) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let service = Service::start(command, &folder.path().join("log")).unwrap();
        (folder, service)
    }

    fn wait_for(service: &Service, text: &str) -> String {
        for _ in 0..500 {
            if service.log().contains(text) {
                return service.log();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{text:?} never came: {}", service.log());
    }

    #[test]
    fn stop_is_polite() {
        let (_folder, mut service) =
            shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done");
        wait_for(&service, "up");
        assert_eq!(service.stop().unwrap().code(), Some(3));
        wait_for(&service, "bye");
    }

    #[test]
    fn kill_takes_the_children_too() {
        killed_with_its_parent("sleep 1000 & echo child $! up; wait");
        // In a group of its own, as the roles under `serve` are.
        killed_with_its_parent("setsid sleep 1000 & sleep 0.3; echo child $! up; wait");
    }

    fn killed_with_its_parent(script: &str) {
        let (_folder, mut service) = shell(script);
        let log = wait_for(&service, "up");
        let child = log.split(' ').nth(1).unwrap().to_owned();
        let stat = Path::new("/proc").join(child).join("stat");
        assert!(stat.exists());
        service.kill().unwrap();
        for _ in 0..500 {
            // A killed orphan that init has not reaped yet is a zombie.
            match std::fs::read_to_string(&stat) {
                Ok(s) if !s.contains(") Z") => std::thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        panic!("the child lives on");
    }
}
