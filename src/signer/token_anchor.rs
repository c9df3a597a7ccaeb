//! An anchor in the HSM: a data object of the token that keeps the ledger's newest checkpoint. A disk that
//! is put back as it was does not take it along.

use std::sync::{Arc, Mutex};

use super::tokens::token_of;
use crate::config::Config;
use crate::hsm::{Hsm, HsmError, HsmOptions};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::{Anchor, AnchorError};
use crate::secret::Secret;

/// The data object.
pub(super) struct TokenAnchor {
    hsm: Arc<Hsm>,
    /// The token's name in the configuration.
    token: String,
    label: String,
    /// Held during a write: one that hangs is not followed by another.
    writing: Mutex<()>,
}

impl TokenAnchor {
    /// The data object `label` in `hsm`, which is `token` in the configuration.
    pub(super) fn new(hsm: Arc<Hsm>, token: String, label: String) -> Self {
        Self { hsm, token, label, writing: Mutex::default() }
    }

    fn failed(&self, cause: &HsmError) -> AnchorError {
        AnchorError { name: self.name(), cause: cause.to_string() }
    }
}

impl Anchor for TokenAnchor {
    fn name(&self) -> String {
        format!("the data object \"{}\" of token {}", self.label, self.token)
    }

    /// Of two objects, which a replacement that was cut off leaves, the one of the longer ledger.
    fn read(&self) -> Result<Option<String>, AnchorError> {
        let values = self.hsm.data_objects(&self.label).map_err(|e| self.failed(&e))?;
        newest(values).map_err(|cause| AnchorError { name: self.name(), cause })
    }

    fn write(&self, note: &str) -> Result<(), AnchorError> {
        let Ok(_writing) = self.writing.try_lock() else {
            let cause = "an earlier write has not come back".to_owned();
            return Err(AnchorError { name: self.name(), cause });
        };
        let written = self.hsm.replace_data_object(&self.label, note.as_bytes());
        written.map_err(|e| self.failed(&e))
    }
}

/// The anchor in the token that `config` names, for a command while no signer runs: the token is opened for it
/// alone, and closed with it. None where the configuration has none.
pub fn anchor_object(config: &Config, pin: Secret) -> Result<Option<Arc<dyn Anchor>>, HsmError> {
    let Some(object) = &config.ledger.anchor_object else { return Ok(None) };
    // The configuration's cross-checks have seen that the token is there.
    let Some(token) = config.token.get(&object.token) else { return Ok(None) };
    let (profile, selector) = token_of(token)?;
    let hsm = Hsm::open(HsmOptions {
        profile,
        module: token.module.clone(),
        token: selector,
        pin,
        workers: Some(1),
        lab: config.lab,
    })?;
    let (token, label) = (object.token.to_string(), object.label.clone());
    Ok(Some(Arc::new(TokenAnchor::new(hsm, token, label))))
}

/// The checkpoint of the most entries; an error where there are values and none is a checkpoint.
fn newest(values: Vec<Vec<u8>>) -> Result<Option<String>, String> {
    let none = values.is_empty();
    let notes = values.into_iter().filter_map(|value| {
        let note = String::from_utf8(value).ok()?;
        Some((Checkpoint::read_unverified(&note).ok()?.size, note))
    });
    match notes.max_by_key(|(size, _)| *size) {
        Some((_, note)) => Ok(Some(note)),
        None if none => Ok(None),
        None => Err("what it holds is no checkpoint".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_longer_ledger_of_two_counts_and_rubbish_is_no_checkpoint() {
        let note = |size: u64| {
            let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
            format!("log\n{size}\n{root}\n\n\u{2014} log Az3grlgt\n").into_bytes()
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        assert_eq!(newest(vec![]), Ok(None));
        assert_eq!(newest(vec![note(9), note(10)]), Ok(text(note(10))));
        assert_eq!(newest(vec![note(7), b"torn".to_vec()]), Ok(text(note(7))));
        assert!(newest(vec![b"\xff".to_vec()]).is_err());
    }
}
