//! The command line as a whole: common options, dispatch, exit status.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::{
    backup, ca, ceremony, cert, challenge, config, credential, crl, doctor, exchange, frontend,
    generate, hsm, import, init, ledger, maintenance, metrics, output, reload, request, role,
    roles, serve, signer, status, trace,
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
    /// Check, show or explain the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Show how the signer is
    Status,
    /// Have the configuration read again without a restart; one with errors changes nothing
    Reload(reload::Arguments),
    /// Look for what is wrong: configuration, certificates, HSM, clock, endpoints; show thumbprints
    Doctor(doctor::Arguments),
    /// Print the signer's metrics in Prometheus' text format
    Metrics,
    /// Show how the HSMs do, test their keys, look at PKCS#11 modules
    #[command(subcommand)]
    Hsm(hsm::Command),
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
    /// Let the signer issue nothing for a while
    #[command(subcommand)]
    Maintenance(maintenance::Command),
    /// Back up the ledger and restore it
    #[command(subcommand)]
    Backup(Box<backup::Command>),
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
        Command::Reload(arguments) => reload::run(&arguments, common),
        Command::Doctor(arguments) => doctor::run(&arguments, common),
        Command::Metrics => metrics::run(common),
        Command::Hsm(command) => hsm::run(&command, common),
        Command::Role(command) => roles::run(&command, common),
        Command::Ca(command) => ca::run(&command, common),
        Command::Trace(arguments) => trace::run(arguments, common),
        Command::Request(command) => request::run(command, common),
        Command::Cert(command) => cert::run(*command, common),
        Command::Crl(command) => crl::run(command, common),
        Command::Ledger(command) => ledger::run(command, common),
        Command::Maintenance(command) => maintenance::run(command, common),
        Command::Backup(command) => backup::run(*command, common),
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
    use clap::error::ErrorKind;

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

    /// What the documents tell people to type is understood: each command and option is there. Words in
    /// capitals stand for values, so that a value that does not fit is no mistake of the document.
    #[test]
    fn the_documents_name_commands_and_options_that_are_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut documents = vec![root.join("README.md"), root.join("SECURITY.md")];
        let folder = std::fs::read_dir(root.join("docs")).unwrap();
        documents.extend(folder.map(|item| item.unwrap().path()));
        let mut seen = 0;
        for document in documents.iter().filter(|d| d.extension().is_some_and(|e| e == "md")) {
            let text = std::fs::read_to_string(document).unwrap();
            for words in commands(&text) {
                seen += 1;
                let parsed = Cli::command().try_get_matches_from(&words);
                let Err(e) = parsed else { continue };
                let fits = matches!(
                    e.kind(),
                    ErrorKind::ValueValidation | ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                );
                assert!(fits, "{}: {words:?}: {e}", document.display());
            }
        }
        assert!(seen > 80, "{seen} commands were found");
    }

    /// The words of each command of this program in blocks of shell code.
    fn commands(markdown: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        let mut shell = false;
        for line in markdown.replace("\\\n", " ").lines().map(str::trim) {
            if line.starts_with("```") {
                shell = line == "```sh";
                continue;
            }
            // A user's name and its groups may stand before it.
            let Some(at) = line.find("chancery ").filter(|_| shell) else { continue };
            let own = at == 0 || line.starts_with("setpriv ") || line.starts_with("target/");
            if own {
                found.push(words(&line[at..]));
            }
        }
        found
    }

    /// The words of a command line up to a comment or a redirection.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in line.chars() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '#' | '>' | ';' | '|') => break,
                (None, ' ') => words.push(String::new()),
                _ => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_declarations_agree_with_each_other() {
        Cli::command().debug_assert();
    }
}
