//! What is known of the ledger outside of a backup, and what of it the backup lacks: the anchors, the
//! token's among them, what witnesses cosigned and what the operator noted.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::witness::Seen;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::ledger_verify::Head;
use crate::cli::secrets;
use crate::config::Config;
use crate::hsm::HsmError;
use crate::ledger::note::NoteKey;
use crate::ledger::{Anchor, KnownHead, Manifest, known_heads};
use crate::signer::anchor_object;
use crate::store::{FileAnchor, checkpoint_name};

/// What an operator gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// So many entries.
    Entries(u64),
    /// Nobody knows how many.
    Unknown,
}

impl FromStr for Loss {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "unknown" => Ok(Self::Unknown),
            _ => match text.parse() {
                Ok(count) if count > 0 => Ok(Self::Entries(count)),
                _ => Err("it is neither a number of entries nor `unknown`"),
            },
        }
    }
}

/// The places outside of the ledger that remember its head.
pub(super) struct Places {
    /// The signer's own, which go on with the restored ledger.
    anchors: Vec<Arc<dyn Anchor>>,
    /// What each witness cosigned last, as the signer kept it.
    cosigned: Vec<FileAnchor>,
    /// The key that signs what they hold.
    key: Option<NoteKey>,
}

impl Places {
    /// Those that `config` names. The token's object is asked unless this is to be `without_hsm`.
    pub(super) fn open(config: &Config, without_hsm: bool) -> Result<Self, Failure> {
        let mut anchors: Vec<Arc<dyn Anchor>> = Vec::new();
        if let Some(path) = &config.ledger.anchor_file {
            anchors.push(Arc::new(FileAnchor(path.clone())));
        }
        if !without_hsm && let Some(object) = in_token(config)? {
            anchors.push(object);
        }
        let folder = config.signer.witnesses_dir();
        let names = config.ledger.witness.keys();
        let cosigned = names.map(|name| FileAnchor(folder.join(name.as_str()))).collect();
        Ok(Self { anchors, cosigned, key: config.ledger.note_key() })
    }

    /// The heads that they know, after those that the operator noted.
    pub(super) fn heads(&self, noted: &[Head]) -> Result<Vec<KnownHead>, Failure> {
        let noted = noted.iter().map(|head| KnownHead {
            known_by: format!("the head {head}"),
            size: head.size,
            root: head.root,
        });
        let mut heads: Vec<KnownHead> = noted.collect();
        if let Some(key) = &self.key {
            let cosigned = self.cosigned.iter().map(|f| Arc::new(f.clone()) as Arc<dyn Anchor>);
            for place in self.anchors.iter().cloned().chain(cosigned) {
                let known = known_heads(&[place], key).map_err(|e| {
                    let next = "find out who changed it; remove it only when you know why it is not the log's";
                    failed(Exit::Integrity, &e, next)
                })?;
                heads.extend(known);
            }
        }
        Ok(heads)
    }

    /// Where a loss was accepted: each anchor that knows a head that was given up begins again with the
    /// checkpoint of `backup`, since with that head in it no signer would serve. What a witness cosigned of
    /// it is forgotten here, so that the witness is asked anew and says for itself what it saw.
    pub(super) fn begin_anew(&self, given_up: &[KnownHead], backup: &Path) -> Result<(), Failure> {
        let gave_up = |place: &dyn Anchor| given_up.iter().any(|h| h.known_by == place.name());
        let still_known = |e: &dyn Display, next: &str| {
            let what = "the ledger is restored, but a head that was given up is still known";
            Failure::new(Exit::Failed, what, e, next)
        };
        let checkpoint = backup.join(checkpoint_name());
        for anchor in self.anchors.iter().filter(|anchor| gave_up(&***anchor)) {
            let copied = std::fs::read_to_string(&checkpoint)
                .map_err(|e| format!("{}: {e}", checkpoint.display()))
                .and_then(|note| anchor.write(&note).map_err(|e| e.to_string()));
            copied.map_err(|e| {
                let (file, name) = (checkpoint_name(), anchor.name());
                let next = format!(
                    "put the backup's file `{file}` into {name} by hand, or remove what is there"
                );
                still_known(&e, &next)
            })?;
        }
        for file in self.cosigned.iter().filter(|file| gave_up(*file)) {
            std::fs::remove_file(&file.0)
                .map_err(|e| still_known(&e, &format!("remove {} by hand", file.name())))?;
        }
        Ok(())
    }
}

/// The anchor in the token, opened by the PIN; none where the configuration has none.
fn in_token(config: &Config) -> Result<Option<Arc<dyn Anchor>>, Failure> {
    let Some(object) = &config.ledger.anchor_object else { return Ok(None) };
    // The configuration's cross-checks have seen that the token is there.
    let Some(token) = config.token.get(&object.token) else { return Ok(None) };
    let name = object.token.as_str();
    // A credential is the unit's; this is a person at a terminal.
    let pin = match token.pin_credential.is_some()
        && std::env::var_os("CREDENTIALS_DIRECTORY").is_none()
    {
        true => secrets::ask(&format!("PIN of token {name}"))?,
        false => secrets::pin(name, token)?,
    };
    let opened = anchor_object(config, pin).map_err(|e| {
        let (exit, next) = match &e {
            HsmError::PinRefused { .. } => {
                (Exit::NotAuthorised, "correct the PIN before the token locks itself")
            }
            _ => (
                Exit::HsmUnavailable,
                "bring the HSM back. --without-hsm restores without it: then the signer's start asks the \
                 token, and signs nothing where it knows more than the backup",
            ),
        };
        failed(exit, &e, next)
    })?;
    Ok(opened)
}

/// Holds what is known of the ledger against the backup: the heads that are given up, where the
/// operator accepts exactly the loss that there is. Of what was `seen` the root is not known.
pub(super) fn weigh(
    manifest: &Manifest,
    heads: &[KnownHead],
    seen: &[Seen],
    accepted: Option<Loss>,
) -> Result<Option<Vec<KnownHead>>, Failure> {
    let nothing_known = heads.is_empty() && seen.is_empty();
    let seen =
        seen.iter().map(|s| KnownHead { known_by: s.by.clone(), size: s.size, root: [0; 32] });
    let all = heads.iter().cloned().chain(seen);
    let ahead: Vec<KnownHead> = all.filter(|h| h.size > manifest.size).collect();
    let last = ahead.iter().max_by_key(|h| h.size);
    let here = manifest.size;
    match (last, accepted) {
        (None, None) if !nothing_known => Ok(None),
        (None, Some(Loss::Unknown)) if nothing_known => Ok(Some(Vec::new())),
        (Some(last), Some(Loss::Entries(count))) if count == last.size - here => Ok(Some(ahead)),
        (None, None) => Err(failed(
            Exit::Integrity,
            &format!(
                "nothing but the backup says how far the ledger had come; certificates that were \
                 issued after its {here} entries would be in no ledger"
            ),
            "give a --head that was noted elsewhere, use a newer backup, or accept what is lost by \
             --accept-loss unknown",
        )),
        (Some(last), _) => {
            let (missing, by, size) = (last.size - here, &last.known_by, last.size);
            Err(failed(
                Exit::Integrity,
                &format!(
                    "the backup ends after {here} entries, but {by} knows {size}: the certificates \
                     among the {missing} that are missing would be in no ledger"
                ),
                &format!(
                    "use a newer backup; where there is none, accept the loss by --accept-loss {missing}"
                ),
            ))
        }
        (None, Some(_)) => Err(failed(
            Exit::Usage,
            &"--accept-loss does not say what is lost",
            if nothing_known {
                "where nothing is known but the backup, say --accept-loss unknown"
            } else {
                "nothing is: leave it out"
            },
        )),
    }
}

/// The number of entries that are lost; none where nobody knows.
pub(super) fn lost(manifest: &Manifest, given_up: Option<&[KnownHead]>) -> serde_json::Value {
    let most = given_up.and_then(|heads| heads.iter().map(|h| h.size - manifest.size).max());
    most.map_or_else(|| "unknown".into(), Into::into)
}

pub(super) fn failed(exit: Exit, cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(exit, "nothing was restored", cause, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn only_the_very_loss_that_there_is_can_be_accepted() {
        let manifest = Manifest {
            time: Timestamp::from_unix_seconds(0),
            software: String::new(),
            epoch: 0,
            size: 10,
            root: [0; 32],
            files: Vec::new(),
        };
        let head = |size| KnownHead { known_by: "x".into(), size, root: [0; 32] };
        let weigh = |sizes: &[u64], loss: Option<&str>| {
            let heads: Vec<KnownHead> = sizes.iter().map(|s| head(*s)).collect();
            let loss = loss.map(|text| text.parse().unwrap());
            weigh(&manifest, &heads, &[], loss).map(|g| g.map(|heads| heads.len()))
        };
        assert_eq!(weigh(&[10], None).unwrap(), None);
        assert_eq!(weigh(&[3, 10], None).unwrap(), None);
        assert_eq!(weigh(&[3, 11, 14], Some("4")).unwrap(), Some(2));
        assert_eq!(weigh(&[], Some("unknown")).unwrap(), Some(0));
        for (sizes, loss, exit) in [
            (&[][..], None, Exit::Integrity),
            (&[], Some("4"), Exit::Usage),
            (&[10], Some("unknown"), Exit::Usage),
            (&[14], None, Exit::Integrity),
            (&[14], Some("3"), Exit::Integrity),
            (&[14], Some("5"), Exit::Integrity),
            (&[14], Some("unknown"), Exit::Integrity),
        ] {
            assert_eq!(weigh(sizes, loss).unwrap_err().exit(), exit, "{sizes:?} {loss:?}");
        }
        let seen = |size, loss: Option<&str>| {
            let seen = [Seen { by: "w".into(), size }];
            super::weigh(&manifest, &[], &seen, loss.map(|text| text.parse().unwrap()))
        };
        assert!(seen(9, None).unwrap().is_none() && seen(12, Some("2")).unwrap().is_some());
        assert!(seen(12, None).is_err() && seen(9, Some("unknown")).is_err());
        assert!("0".parse::<Loss>().is_err() && "-1".parse::<Loss>().is_err());
    }
}
