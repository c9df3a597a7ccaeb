//! `chancery hsm`: how the signer's HSMs do, a test of their keys, a look at PKCS#11 modules.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, output, secrets};
use crate::hsm::{HsmError, Profile, TokenSelector, probe};
use crate::telemetry::escaped;
use crate::wire::admin::{HsmState, HsmTest, Request, Response};

/// What to do with an HSM.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the signer's tokens do: sessions, operations, what is wrong
    Status,
    /// Let the signer sign or decrypt once with each of its keys and check the result
    ///
    /// A signature is over a text that says what it is, and is verified in software; a decryption is of random
    /// bytes. The exit status is 7 where a key fails.
    Selftest,
    /// Look at a module that has no profile: its mechanisms, limits and behaviour; draft a profile
    Probe(Probe),
}

/// Which module, and where the draft goes.
#[derive(Debug, Args)]
pub struct Probe {
    /// The PKCS#11 module
    #[arg(long, value_name = "PATH")]
    module: PathBuf,
    /// The token's label, where there are several
    #[arg(long, conflicts_with = "serial")]
    token: Option<String>,
    /// The token's serial number, where several have one label
    #[arg(long)]
    serial: Option<String>,
    /// The file with the user PIN; with it the behaviour is tried with a key that ends with the session
    ///
    /// The PIN is tried once. A logout and a new login are part of it: use a token that nothing else uses at the
    /// time.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Write the draft of a profile to this file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs `command`.
pub fn run(command: &Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Status => run_status(common),
        Command::Selftest => run_selftest(common),
        Command::Probe(arguments) => run_probe(arguments, common),
    }
}

fn run_status(common: &Common) -> Result<(), Failure> {
    let Response::Hsms(all) = admin::ask(common, Request::HsmStatus)? else {
        return Err(admin::unexpected());
    };
    if common.json {
        return output::json(&all.iter().map(status_json).collect());
    }
    output::write(&all.iter().map(status_text).collect::<Vec<_>>().join("\n"))
}

fn status_text(hsm: &HsmState) -> String {
    let state = match &hsm.problem {
        Some(problem) => escaped(problem, 500),
        None => "works".to_owned(),
    };
    let mut text = format!(
        "token:      {} \"{}\" (serial number {}), {}\nprofile:    {}\nstate:      {state}\n\
         threads:    {}, {} busy, {} operations wait\noperations: {}, {} failed, {} bad signatures discarded\n",
        escaped(&hsm.name, 64),
        escaped(&hsm.label, 64),
        escaped(&hsm.serial, 64),
        escaped(&hsm.model, 80),
        escaped(&hsm.profile, 200),
        hsm.threads,
        hsm.busy,
        hsm.queued,
        hsm.operations,
        hsm.errors,
        hsm.bad_signatures,
    );
    if hsm.without_session > 0 {
        text += &format!(
            "warning:    the token has no room for the sessions of {} threads; lower `workers`\n",
            hsm.without_session
        );
    }
    if hsm.hung > 0 {
        text += &format!("warning:    {} calls hang\n", hsm.hung);
    }
    if hsm.needs_restart {
        text += "warning:    only a restart of the signer helps\n";
    }
    text
}

fn status_json(hsm: &HsmState) -> serde_json::Value {
    serde_json::json!({
        "name": hsm.name,
        "label": hsm.label,
        "serial": hsm.serial,
        "model": hsm.model,
        "profile": hsm.profile,
        "problem": hsm.problem,
        "threads": hsm.threads,
        "without_session": hsm.without_session,
        "hung": hsm.hung,
        "needs_restart": hsm.needs_restart,
        "busy": hsm.busy,
        "queued": hsm.queued,
        "operations": hsm.operations,
        "errors": hsm.errors,
        "bad_signatures": hsm.bad_signatures,
    })
}

/// Each key may wait for its deadline, where the HSM is away.
const PATIENCE: Duration = Duration::from_secs(600);

fn run_selftest(common: &Common) -> Result<(), Failure> {
    let session = admin::Session::open(common, PATIENCE)?;
    let Response::HsmTests(all) = session.ask(Request::HsmSelfTest)? else {
        return Err(admin::unexpected());
    };
    if common.json {
        output::json(&all.iter().map(test_json).collect())?;
    } else {
        output::write(&all.iter().map(test_text).collect::<String>())?;
    }
    let failed = all.iter().filter(|t| t.outcome.is_err()).count();
    if failed == 0 {
        return Ok(());
    }
    let cause = format!("{failed} of {} keys failed", all.len());
    let next =
        "`chancery hsm status` shows the tokens; docs/hsm.md says what the signer does by itself";
    Err(Failure::new(Exit::HsmUnavailable, "the self-test failed", cause, next))
}

fn test_text(test: &HsmTest) -> String {
    let outcome = match &test.outcome {
        Ok(micros) => format!("good, {:.1} ms", *micros as f64 / 1000.0),
        Err(why) => format!("FAILED: {}", escaped(why, 300)),
    };
    let (token, key) = (escaped(&test.token, 64), escaped(&test.key, 100));
    format!("{token}: {} key {key}: {outcome}\n", test.purpose)
}

fn test_json(test: &HsmTest) -> serde_json::Value {
    serde_json::json!({
        "token": test.token,
        "key": test.key,
        "purpose": test.purpose,
        "good": test.outcome.is_ok(),
        "micros": test.outcome.as_ref().ok(),
        "problem": test.outcome.as_ref().err(),
    })
}

fn run_probe(arguments: &Probe, common: &Common) -> Result<(), Failure> {
    let pin = match &arguments.pin_file {
        Some(path) => Some(secrets::from_file(path, "the token's PIN")?),
        None => None,
    };
    let selector = match (&arguments.token, &arguments.serial) {
        (_, Some(serial)) => Some(TokenSelector::Serial(serial.clone())),
        (Some(label), None) => Some(TokenSelector::Label(label.clone())),
        (None, None) => None,
    };
    let probed = probe(&arguments.module, selector.as_ref(), pin.as_ref()).map_err(failure)?;
    if let Some(path) = &arguments.out {
        output::write_new(path, &probed.draft)?;
        Profile::load(&path.display().to_string()).map_err(|cause| {
            let next = "correct the file by hand";
            Failure::new(Exit::Failed, "the draft does not load", cause, next)
        })?;
        output::note(&format!("the draft of a profile is in {}", path.display()));
    }
    if common.json {
        let value = serde_json::json!({ "findings": probed.findings, "draft": probed.draft });
        return output::json(&value);
    }
    output::write(&(probed.findings.join("\n") + "\n"))
}

fn failure(cause: HsmError) -> Failure {
    let next = "see that the module's configuration is in the environment, and name the token with --token or --serial";
    Failure::new(Exit::HsmUnavailable, "the module cannot be looked at", cause, next)
}
