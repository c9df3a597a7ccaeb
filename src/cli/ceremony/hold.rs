//! `chancery ceremony rehearse`, `chancery ceremony run`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;

use super::command::{PlanFile, plan_failure, run_failure};
use crate::ceremony::hold::{self, Hold};
use crate::ceremony::plan::{self, Plan};
use crate::ceremony::run::{AutomaticDesk, Desk, DrillAnswer};
use crate::ceremony::terminal::TerminalDesk;
use crate::ceremony::transcript::{Crash, Mode};
use crate::ceremony::verify::Folder;
use crate::ceremony::{report, verify, words};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{environment, output, secrets};
use crate::hsm::{CeremonyModule, LABORATORY, Profile, TokenSelector};
use crate::pki::PublicKey;

/// Rehearse a plan.
#[derive(Debug, Args)]
pub struct Rehearse {
    #[command(flatten)]
    plan: PlanFile,
    /// The new folder for the tokens and the evidence
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ask people as in the real ceremony, instead of answering by itself
    #[arg(long)]
    interactive: bool,
    /// Go on with an interrupted rehearsal
    #[arg(long)]
    resume: bool,
    /// Crash when the transcript has so many lines, to practise resuming
    #[arg(long, value_name = "LINES")]
    crash_after: Option<u64>,
    /// Crash when this line is about to be written: what it tells of was done
    #[arg(long, value_name = "LINE", conflicts_with = "crash_after")]
    crash_before: Option<u64>,
}

/// Hold the ceremony.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    plan: PlanFile,
    /// The new folder for the evidence
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Write to no token and no file; print every PKCS#11 call and every structure to be signed
    #[arg(long)]
    dry_run: bool,
    /// Go on with an interrupted ceremony
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,
}

/// Let a key of a restored token answer.
#[derive(Debug, Args)]
pub struct TokenDrill {
    /// The token's label
    #[arg(long)]
    label: String,
    /// The key's ID in hexadecimal
    #[arg(long)]
    id: String,
    /// The public key in base64 of DER
    #[arg(long)]
    spki: String,
    /// What is signed or decrypted, in hexadecimal
    #[arg(long)]
    challenge: String,
    /// Decrypt
    #[arg(long)]
    decrypt: bool,
}

pub fn rehearse(arguments: &Rehearse) -> Result<(), Failure> {
    let text = arguments.plan.text()?;
    let plan = hold::check(&text, &arguments.plan.base()).map_err(|p| plan_failure(&p))?;
    let out = absolute(&arguments.out)?;
    if !arguments.resume && is_filled(&out) && !environment::was_replaced() {
        let cause = "it is there and not empty";
        return Err(Failure::new(
            Exit::Conflict,
            format!("{} cannot be used", out.display()),
            cause,
            "name a new folder, or use --resume",
        ));
    }
    tokens_folder(&out)?;
    let mut wanted = BTreeMap::new();
    wanted.insert(OsString::from("SOFTHSM2_CONF"), OsString::from(conf(&out)));
    environment::replace_unless(&wanted)?;
    environment::harden()?;
    let desk: Box<dyn Desk> = if arguments.interactive {
        Box::new(TerminalDesk::open().map_err(|e| run_failure(&e))?)
    } else {
        Box::new(AutomaticDesk::new())
    };
    let evidence = out.join("evidence");
    let held = hold::hold(
        Hold {
            plan: &plan,
            base: &arguments.plan.base(),
            out: &evidence,
            resume: arguments.resume,
            desk,
            softhsm_conf: Some(conf(&out)),
            executable: executable()?,
            crash: (arguments.crash_after.map(Crash::After))
                .or(arguments.crash_before.map(Crash::Before)),
        },
        Mode::Rehearsal,
    );
    held.map_err(|e| run_failure(&e))?;
    write_report(&evidence)?;
    write_snapshot(&out, &evidence)
}

pub fn run(arguments: &Run) -> Result<(), Failure> {
    let text = arguments.plan.text()?;
    let base = arguments.plan.base();
    if arguments.dry_run {
        let plan = plan::load(&text).map_err(|p| plan_failure(&p))?;
        return dry_run(&plan, &base);
    }
    let plan = hold::check(&text, &base).map_err(|p| plan_failure(&p))?;
    environment::replace_unless(&variables(&plan)?)?;
    environment::harden()?;
    let desk = Box::new(TerminalDesk::open().map_err(|e| run_failure(&e))?);
    let out = absolute(arguments.out.as_deref().unwrap_or(Path::new(".")))?;
    let held = hold::hold(
        Hold {
            plan: &plan,
            base: &base,
            out: &out,
            resume: arguments.resume,
            desk,
            softhsm_conf: std::env::var_os("SOFTHSM2_CONF").map(PathBuf::from),
            executable: executable()?,
            crash: None,
        },
        Mode::Production,
    );
    held.map_err(|e| run_failure(&e))?;
    write_report(&out)
}

fn dry_run(plan: &Plan, base: &Path) -> Result<(), Failure> {
    let run = hold::dry_run(plan, base).map_err(|e| run_failure(&e))?;
    let mut text = format!("DRY RUN of «{}»: nothing was written or signed\n\n", plan.title);
    for line in run.listing {
        text.push_str(&line);
        text.push('\n');
    }
    for (what, bytes) in run.structures {
        text.push_str(&format!("\n{what}\n{}", crate::pki::pem("TO BE SIGNED", &bytes)));
    }
    output::write(&text)
}

/// The environment that the plan's tokens want together.
fn variables(plan: &Plan) -> Result<BTreeMap<OsString, OsString>, Failure> {
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
    for (name, value) in plan.tokens.values().flat_map(|t| &t.environment) {
        let other = all.insert(name.into(), value.into());
        if other.is_some_and(|o| o != *value.as_str()) {
            let cause = format!("two tokens want different values of {name}");
            return Err(Failure::new(
                Exit::Configuration,
                "the ceremony cannot begin",
                cause,
                "use one value: a process has one environment",
            ));
        }
    }
    Ok(all)
}

/// The report beside the evidence, and the verdict of the verification.
fn write_report(out: &Path) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Failed,
            "the report cannot be written",
            e,
            "use chancery ceremony report",
        )
    };
    let verification = verify::verify(out, None).map_err(|e| failed(&e))?;
    let (folder, _) = Folder::read(out).map_err(|e| failed(&e))?;
    for (name, text) in [
        ("report.html", report::html(&folder, &verification)),
        ("report.md", report::markdown(&folder, &verification)),
    ] {
        std::fs::write(out.join(name), text).map_err(|e| failed(&e))?;
    }
    let words = verification.fingerprint.map(|f| words::words(&f)).unwrap_or_default();
    output::write(&format!("\nEvidence: {}\nFingerprint: {words}\n", out.display()))?;
    if verification.verdict == verify::Verdict::Good {
        return Ok(());
    }
    let cause = "its own verification finds faults";
    Err(Failure::new(
        Exit::Integrity,
        "the ceremony is not sound",
        cause,
        "run chancery ceremony verify",
    ))
}

/// What reviewers of the plan read, beside the evidence of a rehearsal.
fn write_snapshot(out: &Path, evidence: &Path) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the snapshot cannot be written", e, "rehearse in a new folder")
    };
    let (folder, _) = Folder::read(evidence).map_err(|e| failed(&e))?;
    let path = out.join("snapshot.md");
    std::fs::write(&path, report::snapshot(&folder)).map_err(|e| failed(&e))?;
    output::write(&format!("Snapshot to review: {}\n", path.display()))
}

pub fn token_drill(arguments: &TokenDrill) -> Result<(), Failure> {
    environment::harden()?;
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::HsmUnavailable, "the restored key does not answer", e, "see the cause")
    };
    let pin = secrets::from_stdin("PIN: ")?;
    let decode = |text: &str| hex::decode(text).map_err(|e| failed(&e));
    let (id, challenge) = (decode(&arguments.id)?, decode(&arguments.challenge)?);
    let spki = BASE64.decode(&arguments.spki).map_err(|e| failed(&e))?;
    let key = PublicKey::from_spki(&spki).map_err(|e| failed(&e))?;
    let profile = Profile::load(LABORATORY).map_err(|e| failed(&e))?;
    let module = CeremonyModule::open(profile, None).map_err(|e| failed(&e))?;
    let selector = TokenSelector::Label(arguments.label.clone());
    let mut calls = Vec::new();
    let answer = module.open_token(&selector, &pin).and_then(|token| {
        let answer = if arguments.decrypt {
            token.decrypt(&id, &challenge)
        } else {
            token.sign(&id, &key, key.kind().default_signature(), &challenge)
        };
        calls = token.close();
        answer
    });
    calls.extend(module.take_calls());
    let said = DrillAnswer {
        calls,
        problem: answer.as_ref().err().map(ToString::to_string),
        answer: answer.ok().map(hex::encode),
    };
    let said = serde_json::to_string(&said).map_err(|e| failed(&e))?;
    output::write(&format!("{said}\n"))
}

fn conf(out: &Path) -> PathBuf {
    out.join("softhsm2.conf")
}

fn is_filled(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The software tokens' folder and configuration.
fn tokens_folder(out: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("{} cannot be prepared", out.display()),
            e,
            "name another folder",
        )
    };
    let tokens = out.join("tokens");
    std::fs::create_dir_all(&tokens).map_err(failed)?;
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    std::fs::write(conf(out), text).map_err(failed)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| {
        Failure::new(
            Exit::Failed,
            format!("{} cannot be used", path.display()),
            e,
            "name another folder",
        )
    })
}

fn executable() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| {
        Failure::new(
            Exit::Failed,
            "this program's file cannot be found",
            e,
            "see that /proc is there",
        )
    })
}
