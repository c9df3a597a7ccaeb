//! `softhsm-test run`: a whole instance for the time of one command.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use softhsm_test::instance::{Instance, Options};
use softhsm_test::{Context as _, Result};

/// How long the command may take to end after a signal before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run a command with a Chancery instance up, and remove the instance after it.
///
/// CMD finds in its environment: CHANCERY_URL (the SCEP endpoint), CHANCERY_CHALLENGE (its challenge
/// password), CHANCERY_CHAIN and CHANCERY_ROOT (PEM files of the issuing CA and of the root) and
/// CHANCERY_CONFIG (for `chancery` subcommands). The exit status is CMD's. SIGINT, SIGTERM and SIGHUP are
/// passed on to CMD; the instance is removed after them too.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Keep the instance in this folder, which must not exist yet.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Run {
    pub fn run(self) -> Result<ExitCode> {
        // Before there is anything to leave behind.
        let signals = Signals::catch()?;
        let options = Options { folder: self.keep.clone(), own_keys: true, ..Options::default() };
        let mut instance = Instance::create(&options)?;
        instance.start()?;
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(ExitCode::FAILURE);
        };
        if let Some(signal) = signals.take() {
            instance.stop()?;
            return Ok(killed_by(signal));
        }
        let child = Command::new(program)
            .args(arguments)
            .env("CHANCERY_URL", &instance.url)
            .env("CHANCERY_CHALLENGE", &instance.challenge)
            .env("CHANCERY_CHAIN", &instance.chain)
            .env("CHANCERY_ROOT", &instance.root)
            .env("CHANCERY_CONFIG", &instance.config)
            .spawn()
            .context(program);
        let ended = child.and_then(|child| signals.wait_for(child));
        let logs = instance.logs();
        instance.stop()?;
        let (status, signal) = ended?;
        if !status.success() {
            eprintln!("softhsm-test: {program} ended with {status}; the instance said:\n{logs}");
        }
        // A command that a signal ended gets the status that a shell gives it; one that ended well after
        // a signal was told to stop all the same.
        let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
        match signal {
            Some(signal) if code == 0 => Ok(killed_by(signal)),
            _ => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        }
    }
}

fn killed_by(signal: usize) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

/// The signals that end a job, caught; 0 is none.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn catch() -> Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let value = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&last), value)
                .context("catching signals")?;
        }
        Ok(Self(last))
    }

    /// The signal that came since the last call.
    fn take(&self) -> Option<usize> {
        Some(self.0.swap(0, Ordering::Relaxed)).filter(|signal| *signal != 0)
    }

    /// Waits for the end of `child` and passes signals on to it; the last one comes back with the status.
    fn wait_for(&self, mut child: Child) -> Result<(ExitStatus, Option<usize>)> {
        let mut told: Option<(usize, Instant)> = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, told.map(|(signal, _)| signal)));
            }
            if let Some(signal) = self.take() {
                told = Some((signal, Instant::now()));
                let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                let known = i32::try_from(signal).ok().and_then(Signal::from_named_raw);
                if let (Some(id), Some(signal)) = (id, known) {
                    // The command may have ended this moment; then the next look sees it.
                    let _ = kill_process(id, signal);
                }
            }
            if told.is_some_and(|(_, since)| since.elapsed() > PATIENCE) {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
