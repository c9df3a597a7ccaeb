//! `softhsm-test run`: a whole instance for the time of one command.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use softhsm_test::instance::{Instance, Options};
use softhsm_test::{Context as _, Result};

/// Run a command with a Chancery instance up, and remove the instance after it.
///
/// CMD finds in its environment: CHANCERY_URL (the SCEP endpoint), CHANCERY_CHALLENGE (its challenge
/// password), CHANCERY_CHAIN and CHANCERY_ROOT (PEM files of the issuing CA and of the root) and
/// CHANCERY_CONFIG (for `chancery` subcommands). The exit status is CMD's.
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
        let options = Options { folder: self.keep.clone(), ..Options::default() };
        let mut instance = Instance::create(&options)?;
        instance.start()?;
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(ExitCode::FAILURE);
        };
        let status = Command::new(program)
            .args(arguments)
            .env("CHANCERY_URL", &instance.url)
            .env("CHANCERY_CHALLENGE", &instance.challenge)
            .env("CHANCERY_CHAIN", &instance.chain)
            .env("CHANCERY_ROOT", &instance.root)
            .env("CHANCERY_CONFIG", &instance.config)
            .status()
            .context(program);
        let logs = instance.logs();
        instance.stop()?;
        let status = status?;
        if !status.success() {
            eprintln!("softhsm-test: {program} ended with {status}; the instance said:\n{logs}");
        }
        // A command that a signal ended gets the status that a shell gives it.
        use std::os::unix::process::ExitStatusExt as _;
        let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}
