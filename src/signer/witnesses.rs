//! Witnesses of the log. The signer has no network: it says what to send to whom, the frontend sends it,
//! and what comes back is believed for its signature alone. So an answer that carries none (a refusal, a
//! witness that knows of more) is shown to people and ends nothing: whoever stands on the way could make
//! it up.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::SignerError;
use super::instance::Instance;
use super::transparency::anchored;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::NoteKey;
use crate::ledger::{Anchor, Cosignature, Ledger, WitnessKey, add_checkpoint};
use crate::store::{FileAnchor, make_folder};
use crate::telemetry::event;
use crate::wire::admin::WitnessState;
use crate::wire::frontend::{WitnessAnswer, WitnessWork};

/// How long after a failure a witness is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How long an answer is waited for before the frontend may ask again: it may have gone away.
const UNANSWERED_AFTER: Duration = Duration::from_secs(30);

/// HTTP statuses of C2SP tlog-witness.
const OK: u16 = 200;
const CONFLICT: u16 = 409;

/// Every witness of the configuration.
pub(super) struct Witnesses(Vec<Witness>);

struct Witness {
    name: String,
    url: String,
    key: WitnessKey,
    /// The last checkpoint that it cosigned, with its cosignature.
    file: FileAnchor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of entries that the witness saw last, as far as is known.
    known: u64,
    cosigned: Option<(u64, Cosignature)>,
    /// What the frontend was told to send, and when.
    asked: Option<(u64, Arc<str>, Timestamp)>,
    problem: Option<String>,
    not_before: Option<Timestamp>,
}

impl Witnesses {
    /// Reads what the witnesses cosigned in earlier runs.
    pub(super) fn open(config: &Config, log: Option<&NoteKey>) -> Result<Self, SignerError> {
        let folder = config.signer.witnesses_dir();
        if config.ledger.witness.is_empty() {
            return Ok(Self(Vec::new()));
        }
        make_folder(&folder)?;
        let all = config.ledger.witness.iter().filter_map(|(name, settings)| {
            // The configuration's cross-checks have read it.
            let key = WitnessKey::from_text(&settings.key).ok()?;
            Some(Witness::open(
                name.as_str(),
                settings.url.trim_end_matches('/'),
                key,
                &folder,
                log,
            ))
        });
        Ok(Self(all.collect()))
    }

    /// What should be sent to witnesses now.
    pub(super) fn work(&self, instance: &Instance) -> Vec<WitnessWork> {
        let Some(latest) = anchored(instance) else { return Vec::new() };
        let now = instance.pipeline.clock.now();
        let all = self.0.iter().zip(0..);
        all.filter_map(|(witness, index)| {
            let body = witness.body(instance.ledger(), (latest.size, &latest.note), now)?;
            let url = format!("{}/add-checkpoint", witness.url);
            Some(WitnessWork { index, size: latest.size, url, body })
        })
        .collect()
    }

    /// Takes what a witness answered.
    pub(super) fn answered(&self, answer: &WitnessAnswer, now: Timestamp) {
        if let Some(witness) = self.0.get(answer.index as usize) {
            witness.answered(answer, now);
        }
    }

    /// The signature lines of the witnesses that cosigned the checkpoint of `size` entries.
    pub(super) fn lines(&self, size: u64) -> String {
        let of = |witness: &Witness| {
            let state = witness.lock();
            let cosigned = state.cosigned.as_ref().filter(|(of, _)| *of == size);
            cosigned.map(|(_, cosignature)| cosignature.line.clone())
        };
        self.0.iter().filter_map(of).collect()
    }

    /// The witnesses for people.
    pub(super) fn status(&self) -> Vec<WitnessState> {
        let of = |witness: &Witness| {
            let state = witness.lock();
            WitnessState {
                name: witness.name.clone(),
                url: witness.url.clone(),
                size: state.cosigned.as_ref().map(|(size, _)| *size),
                time: state.cosigned.as_ref().map(|(_, c)| c.time.unix_millis()),
                problem: state.problem.clone(),
            }
        };
        self.0.iter().map(of).collect()
    }
}

/// The files of what each witness of `config` cosigned last.
pub(super) fn cosigned(config: &Config) -> Vec<Arc<dyn Anchor>> {
    let folder = config.signer.witnesses_dir();
    let names = config.ledger.witness.keys();
    names.map(|name| Arc::new(FileAnchor(folder.join(name.as_str()))) as Arc<dyn Anchor>).collect()
}

impl Witness {
    fn open(name: &str, url: &str, key: WitnessKey, folder: &Path, log: Option<&NoteKey>) -> Self {
        let file = FileAnchor(folder.join(name));
        let mut state = State::default();
        match file.read() {
            Ok(Some(note)) => match kept(&note, &key, log) {
                Ok((size, cosignature)) => {
                    state.known = size;
                    state.cosigned = Some((size, cosignature));
                }
                Err(e) => log::warn!(
                    event = event::LEDGER;
                    "what the witness {name} cosigned before is not used: {e}"
                ),
            },
            Ok(None) => {}
            Err(e) => log::warn!(event = event::LEDGER; "{e}"),
        }
        Self { name: name.into(), url: url.into(), key, file, state: Mutex::new(state) }
    }

    /// What to send of the newest checkpoint; nothing where it is cosigned, asked for, or not yet time.
    fn body(
        &self,
        ledger: &Ledger,
        (size, note): (u64, &Arc<str>),
        now: Timestamp,
    ) -> Option<String> {
        let mut state = self.lock();
        let done = state.cosigned.as_ref().is_some_and(|(of, _)| *of >= size);
        let asked = |since: &Timestamp| now >= *since && now.since(*since) < UNANSWERED_AFTER;
        if done
            || state.asked.as_ref().is_some_and(|(_, _, since)| asked(since))
            || state.not_before.is_some_and(|time| now < time)
            || state.known > size
        {
            return None;
        }
        let path = match ledger.consistency(state.known, size) {
            Ok(path) => path?,
            Err(e) => {
                log::error!(event = event::LEDGER; "no consistency proof for {}: {e}", self.name);
                return None;
            }
        };
        state.asked = Some((size, note.clone(), now));
        Some(add_checkpoint(state.known, &path, note))
    }

    fn answered(&self, answer: &WitnessAnswer, now: Timestamp) {
        let mut state = self.lock();
        // An answer to another question is of no use.
        let Some((size, note, _)) = state.asked.take_if(|(size, ..)| *size == answer.size) else {
            return;
        };
        let outcome = match answer.status {
            OK => self.key.find(&note, &answer.body).map(Some).map_err(|e| e.to_string()),
            CONFLICT => match answer.body.trim().parse::<u64>() {
                Ok(seen) if seen > size => Err(format!(
                    "it says that it saw {seen} entries of this log, which has {size} in its newest \
                     checkpoint: unless the witness is wrong, an older ledger was put back"
                )),
                Ok(seen) if seen == state.known => {
                    Err(format!("it does not accept the checkpoint after {seen} entries"))
                }
                Ok(seen) => {
                    state.known = seen;
                    Ok(None)
                }
                Err(_) => Err("it answers 409 without the size that it saw".into()),
            },
            0 => Err(answer.body.clone()),
            status => Err(format!("it answers {status}: {}", answer.body)),
        };
        match outcome {
            Ok(cosignature) => {
                state.problem = None;
                state.not_before = None;
                let Some(cosignature) = cosignature else { return };
                if let Err(e) = self.file.write(&format!("{note}{}", cosignature.line)) {
                    log::warn!(event = event::LEDGER; "a cosignature is not kept: {e}");
                }
                state.known = size;
                state.cosigned = Some((size, cosignature));
            }
            Err(why) => {
                if state.problem.as_ref() != Some(&why) {
                    log::error!(event = event::LEDGER; "the witness {}: {why}", self.name);
                }
                state.problem = Some(why);
                state.not_before = Some(now.after(RETRY_AFTER));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kept note shows: a checkpoint of this log, and the witness's cosignature on it.
fn kept(note: &str, key: &WitnessKey, log: Option<&NoteKey>) -> Result<(u64, Cosignature), String> {
    let log = log.ok_or("the log has no key")?;
    let checkpoint = Checkpoint::open(note, log).map_err(|e| e.to_string())?;
    let lines = note.rsplit_once("\n\n").map_or("", |(_, lines)| lines);
    Ok((checkpoint.size, key.find(note, lines).map_err(|e| e.to_string())?))
}
