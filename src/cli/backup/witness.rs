//! What the witnesses of the configuration saw of the log, asked over the network (C2SP tlog-witness).

use std::path::Path;
use std::time::Duration;

use super::known::failed;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{output, role};
use crate::config::{Config, Witness};
use crate::http;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::{WitnessKey, add_checkpoint};
use crate::store::checkpoint_name;

/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many entries of the log a witness saw.
pub(super) struct Seen {
    /// The witness, for messages.
    pub(super) by: String,
    /// Number of entries.
    pub(super) size: u64,
}

/// Asks each witness, by offering the checkpoint of `backup` as what follows itself: who saw exactly that
/// cosigns it again, who saw another one answers with its size. That size is not signed. Whoever stands on
/// the way can make a restore refuse by it, and the operator has the last word; what would let an old backup
/// pass, a witness's signature, cannot be made up.
pub(super) fn ask(config: &Config, backup: &Path) -> Result<Vec<Seen>, Failure> {
    if config.ledger.witness.is_empty() {
        return Ok(Vec::new());
    }
    let path = backup.join(checkpoint_name());
    let next =
        "--without-witnesses restores without asking them; then say by --head what they know";
    let note = std::fs::read_to_string(&path)
        .map_err(|e| failed(Exit::Failed, &format!("{}: {e}", path.display()), next))?;
    // It was verified with the backup.
    let size = Checkpoint::read_unverified(&note).map_err(|e| failed(Exit::Integrity, &e, next))?;
    let mut all = Vec::new();
    for (name, witness) in &config.ledger.witness {
        let by = format!("the witness {name}");
        let cause = |e: String| failed(Exit::Failed, &format!("{by}: {e}"), next);
        match seen(witness, &note, size.size).map_err(cause)? {
            Some(size) => all.push(Seen { by, size }),
            None => output::note(&format!("{by} does not know this log; it proves nothing")),
        }
    }
    Ok(all)
}

/// How many entries the witness saw; none where it does not know the log, or nothing of it.
fn seen(witness: &Witness, note: &str, size: u64) -> Result<Option<u64>, String> {
    let url = format!("{}/add-checkpoint", witness.url.trim_end_matches('/'));
    let body = add_checkpoint(size, &[], note);
    let asked = role::block_on(async { Ok(http::post(&url, body, PATIENCE).await) });
    match asked.map_err(|e| e.to_string())?? {
        (200, answer) => {
            let key = WitnessKey::from_text(&witness.key).map_err(|e| e.to_string())?;
            key.find(note, &answer).map_err(|e| e.to_string())?;
            Ok(Some(size))
        }
        (404, _) => Ok(None),
        (409, answer) => match answer.trim().parse::<u64>() {
            Ok(0) => Ok(None),
            Ok(size) => Ok(Some(size)),
            Err(_) => Err("it answers 409 without the size that it saw".into()),
        },
        (422, _) => {
            Err(format!("it saw other entries among the first {size}: this is another ledger"))
        }
        (status, _) => Err(format!("it answers {status}")),
    }
}
