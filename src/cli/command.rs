//! The command line as a whole: common options, dispatch, exit status.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::{
    ca, ceremony, cert, challenge, config, credential, crl, exchange, frontend, generate, import,
    init, ledger, metrics, output, request, role, roles, serve, signer, status, trace,
};
use crate::config::{Config, LogLevel};

/// Where the packages put the configuration.
const DEFAULT_CONFIG: &str = "/etc/chancery/chancery.toml";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "chancery",
    version,
    about = "Certificate authority for SCEP enrolment with its keys in an HSM",
    max_term_width = 100,
    after_help = exit_statuses(),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more or less than the configuration says: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level)]
    pub log_level: Option<LogLevel>,
}

impl Common {
    /// The configuration without looking at the files that it names.
    pub fn load(&self) -> Result<Config, Failure> {
        crate::config::load(&self.config).map_err(|errors| Failure::configuration(&errors))
    }

    /// The level of the logs: the command line's, else the configuration's.
    pub fn log_level(&self, config: &Config) -> log::LevelFilter {
        self.log_level.unwrap_or(config.log.level).filter()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a laboratory: a software token, a CA, a configuration
    Init(init::Arguments),
    /// Run signer and frontend together (laboratories only)
    Serve(serve::Arguments),
    /// Run the role that holds the keys and has no network
    Signer(role::Arguments),
    /// Run the role that faces the network and holds no secret
    Frontend(role::Arguments),
    /// Check or explain the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Show how the signer is
    Status,
    /// Print the signer's metrics in Prometheus' text format
    Metrics,
    /// Show who may do what
    #[command(subcommand)]
    Role(roles::Command),
    /// Show the CAs' certificates
    #[command(subcommand)]
    Ca(ca::Command),
    /// Tell the story of one transaction
    Trace(trace::Arguments),
    /// Show devices' requests and decide on those that wait
    #[command(subcommand)]
    Request(request::Command),
    /// Show and revoke certificates
    #[command(subcommand)]
    Cert(Box<cert::Command>),
    /// Make and show lists of revoked certificates
    #[command(subcommand)]
    Crl(crl::Command),
    /// Show what was done
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Make challenge passwords: an endpoint's own, and one-time ones
    #[command(subcommand)]
    Challenge(challenge::Command),
    /// Plan, rehearse, hold and verify a key ceremony
    #[command(subcommand)]
    Ceremony(ceremony::Command),
    /// Look at messages between an offline and an online CA
    #[command(subcommand)]
    Exchange(exchange::Command),
    /// Take over what a ceremony left
    Import(import::Arguments),
    /// Seal a token's PIN for systemd
    #[command(subcommand)]
    Credential(credential::Command),
    /// Write the man pages to a folder
    #[command(hide = true)]
    Man(generate::Man),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(generate::Completions),
}

/// Runs the process's command line to its exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come this way too, with status 0. Who closed the output wants none.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            output::note(&failure.to_string());
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let common = &cli.common;
    match cli.command {
        Command::Init(arguments) => init::run(&arguments, common),
        Command::Serve(arguments) => serve::run(&arguments, common),
        Command::Signer(arguments) => signer::run(&arguments, common),
        Command::Frontend(arguments) => frontend::run(&arguments, common),
        Command::Config(command) => config::run(command, common),
        Command::Status => status::run(common),
        Command::Metrics => metrics::run(common),
        Command::Role(command) => roles::run(&command, common),
        Command::Ca(command) => ca::run(&command, common),
        Command::Trace(arguments) => trace::run(arguments, common),
        Command::Request(command) => request::run(command, common),
        Command::Cert(command) => cert::run(*command, common),
        Command::Crl(command) => crl::run(command, common),
        Command::Ledger(command) => ledger::run(command, common),
        Command::Challenge(command) => challenge::run(command, common),
        Command::Ceremony(command) => ceremony::run(command, common),
        Command::Exchange(command) => exchange::run(command, common),
        Command::Import(arguments) => import::run(&arguments, common),
        Command::Credential(command) => credential::run(command, common),
        Command::Man(man) => generate::man(&man, Cli::command()),
        Command::Completions(shell) => generate::completions(&shell, Cli::command()),
    }
}

fn log_level(word: &str) -> Result<LogLevel, String> {
    LogLevel::from_word(word)
        .ok_or_else(|| format!("expected one of {}", LogLevel::WORDS.join(", ")))
}

fn exit_statuses() -> String {
    let lines = Exit::MEANINGS.map(|(exit, meaning)| format!("  {}  {meaning}", exit.code()));
    format!("Exit status:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every help text, as it was last agreed. After a deliberate change:
    /// `UPDATE_GOLDEN=1 cargo test --lib cli::command`.
    #[test]
    fn help_is_as_agreed() {
        let mut command = Cli::command().term_width(100).max_term_width(100);
        command.build();
        let mut found = String::new();
        collect(&mut command, &mut found);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &found).unwrap();
        }
        let agreed = std::fs::read_to_string(path).unwrap();
        assert!(found == agreed, "the help differs from {path}; now:\n{found}");
    }

    fn collect(command: &mut clap::Command, out: &mut String) {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        out.push_str(&format!(
            "=== {}\n{}\n\n",
            command.get_display_name().unwrap_or("chancery"),
            lines.join("\n")
        ));
        let hidden = |c: &clap::Command| c.is_hide_set() || c.get_name() == "help";
        for below in command.get_subcommands_mut().filter(|c| !hidden(c)) {
            collect(below, out);
        }
    }

    #[test]
    fn the_declarations_agree_with_each_other() {
        Cli::command().debug_assert();
    }
}
