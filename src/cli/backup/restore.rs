//! `chancery backup restore`: a ledger from a backup, where there is none, and only with a word on what
//! may be missing.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::create::elsewhere;
use super::known::{Loss, Places, failed, lost, weigh};
use super::verify::{Good, Trust, verify};
use super::witness;
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::ledger_verify::Head;
use crate::cli::signer::ledger_failure;
use crate::cli::{environment, output};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::ledger::Fingerprint;
use crate::random::SystemRandom;
use crate::signer::{Restore, restore};
use crate::store::is_empty;

/// The arguments of `chancery backup restore`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The backup: its folder or its .tar file
    path: PathBuf,
    /// A head of the ledger that is known from elsewhere, as `ledger verify` or `backup create` printed
    /// it, or a witness has it. May be repeated
    #[arg(long = "head", value_name = "SIZE:ROOT")]
    heads: Vec<Head>,
    /// The loss that is accepted: how many entries were made after the backup, or `unknown` where
    /// nothing but the backup says how far the ledger had come. The ledger records it
    #[arg(long, value_name = "COUNT|unknown")]
    accept_loss: Option<Loss>,
    /// Do not ask the token for the head that `[ledger] anchor_object` keeps in it, for a drill or while the
    /// HSM is away. The signer's start asks it, and signs nothing where it knows more than the backup
    #[arg(long)]
    without_hsm: bool,
    /// Do not ask the witnesses of the configuration how many entries they saw, where this host cannot reach
    /// them
    #[arg(long)]
    without_witnesses: bool,
    #[command(flatten)]
    trust: Trust,
}

/// Restores the ledger of the configuration.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = common.load()?;
    let asks_token = config.ledger.anchor_object.is_some() && !arguments.without_hsm;
    if asks_token {
        environment::settle(&config)?;
    }
    let target = config.signer.ledger_dir();
    own_state(&config)?;
    if !is_empty(&target).map_err(|e| failed(Exit::Failed, &e, "mend the cause"))? {
        let cause = format!("there is a ledger in {}; nothing is overwritten", target.display());
        let next = "move that folder away if it is damaged, and keep it";
        return Err(failed(Exit::Conflict, &cause, next));
    }
    let good = verify(&arguments.path, &arguments.trust, common)?;
    let places = Places::open(&config, arguments.without_hsm)?;
    let heads = places.heads(&arguments.heads)?;
    let seen = match arguments.without_witnesses {
        true => Vec::new(),
        false => witness::ask(&config, good.opened.folder())?,
    };
    let given_up = weigh(&good.manifest, &heads, &seen, arguments.accept_loss)?;
    let known = heads.into_iter().filter(|h| h.size <= good.manifest.size).collect();
    let what = Restore {
        backup: good.opened.folder(),
        manifest: &good.manifest,
        digest: Fingerprint::of(good.text.as_bytes()),
        target: &target,
        known,
        given_up: given_up.clone(),
        actor: (rustix::process::geteuid().as_raw(), std::process::id()),
    };
    let done = restore(what, Arc::new(SystemClock), Arc::new(SystemRandom)).map_err(|e| {
        let (exit, next) = ledger_failure(&e);
        failed(exit, &e, next)
    })?;
    if let Some(given_up) = &given_up {
        places.begin_anew(given_up, good.opened.folder())?;
    }
    let Good { manifest, signed_by, .. } = &good;
    let head = Head { size: done.size, root: done.root };
    if common.json {
        return output::json(&serde_json::json!({
            "ledger": target.display().to_string(),
            "backup_entries": manifest.size,
            "signed_by": signed_by,
            "entries": done.size,
            "head": head.to_string(),
            "epoch": done.epoch,
            "voided_challenges": done.voided,
            "abandoned": done.abandoned,
            "accepted_loss": given_up.as_ref().map(|_| lost(manifest, given_up.as_deref())),
            "token_asked": asks_token,
            "needed_from_elsewhere": elsewhere(&config),
        }));
    }
    output::write(&format!(
        "ledger:     {}\nentries:    {} of the backup, {} now\nepoch:      {}\n\
         challenges: {} voided\nabandoned:  {} reservations; their serial numbers go on the CRL\n\
         head:       {head}\n",
        target.display(),
        manifest.size,
        done.size,
        done.epoch,
        done.voided,
        done.abandoned,
    ))?;
    if given_up.is_some() {
        output::note(
            "Entries are lost: certificates that were issued after the backup are in no ledger. Look \
             for them at the devices and in the published CRLs (docs/backup.md).",
        );
    }
    if let Some(object) = config.ledger.anchor_object.as_ref().filter(|_| !asks_token) {
        output::note(&format!(
            "The token {} was not asked: where its data object {:?} knows more than this backup, the signer \
             signs nothing when it starts.",
            object.token, object.label
        ));
    }
    output::note("Before the signer starts it needs, from elsewhere:");
    elsewhere(&config).iter().for_each(|line| output::note(&format!("  {line}")));
    Ok(())
}

/// What is written must be the signer's: root would leave files that it cannot open.
fn own_state(config: &Config) -> Result<(), Failure> {
    let folder = &config.signer.state_dir;
    let about = std::fs::metadata(folder).map_err(|e| {
        let cause = format!("{}: {e}", folder.display());
        let next =
            format!("make it for the signer's user: install -d -m 0700 {}", folder.display());
        failed(Exit::Failed, &cause, &next)
    })?;
    let (owner, user) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    let cause = format!("{} belongs to user {owner}, not to user {user}", folder.display());
    let next = format!("run it as the signer's user: setpriv --reuid {owner} --clear-groups …");
    Err(failed(Exit::NotAuthorised, &cause, &next))
}
