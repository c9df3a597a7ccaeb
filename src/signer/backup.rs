//! `chancery backup create` and `verify` on the signer's side: what a backup has, its signed manifest,
//! its octets, and the ledger's entry of it. Secrets are in none: no PIN, no key of the state folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::audit::Attempt;
use super::challenges::origin;
use super::checkpoints::Log;
use super::instance::{Instance, software};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::{
    Actor, Backup, BackupAction, BackupFile, BackupRecord, Draft, Event, Fingerprint, Ledger,
    LedgerError, Manifest, Outcome,
};
use crate::store::{Snapshot, checkpoint_name};
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{BACKUP_PART, BackupPlan, LastBackup, Request, Response};

/// How many backups can be fetched at the same time.
const UNDER_WAY: usize = 4;

/// The longest place that is recorded, in characters.
const LONGEST_PLACE: usize = 500;

/// The configuration in a backup.
const CONFIGURATION: &str = "chancery.toml";

/// The backups of this signer.
pub(super) struct Backups {
    ledger_dir: PathBuf,
    /// Files beside the ledger, by their paths in a backup. One that is not there is left out.
    beside: Vec<(String, PathBuf)>,
    under_way: Mutex<VecDeque<UnderWay>>,
    next: AtomicU64,
    last: Mutex<Option<BackupRecord>>,
    epoch: u32,
}

/// A backup that is being fetched.
#[derive(Clone)]
struct UnderWay {
    id: u64,
    snapshot: Arc<Snapshot>,
    segments: usize,
    /// The files behind the segments, in the manifest's order.
    small: Arc<[Vec<u8>]>,
    size: u64,
    root: Fingerprint,
    manifest: Fingerprint,
}

impl Backups {
    /// The backups of the instance that `config`, the file `path`, describes.
    pub(super) fn open(config: &Config, path: &Path, ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut beside = vec![(CONFIGURATION.to_owned(), path.to_owned())];
        for (name, ca) in &config.ca {
            let mut add = |what: &str, path: &PathBuf| {
                beside.push((format!("certificates/{name}/{what}.pem"), path.clone()));
            };
            add("ca", &ca.certificate);
            for (index, path) in ca.chain.iter().enumerate() {
                add(&format!("chain-{}", index + 1), path);
            }
            add("ra-decryption", &ca.ra_decryption.certificate);
            add("ra-signing", &ca.ra_signing.certificate);
            let crl = config.signer.crl_dir().join(format!("{name}.crl"));
            beside.push((format!("crl/{name}.crl"), crl));
        }
        // In maintenance mode the ledger tells nothing.
        let (last, epoch) = match ledger.refusal() {
            Some(_) => (None, 0),
            None => (ledger.backups(BackupAction::Created)?.pop(), ledger.epoch()?),
        };
        Ok(Self {
            ledger_dir: config.signer.ledger_dir(),
            beside,
            under_way: Mutex::default(),
            next: AtomicU64::new(1),
            last: Mutex::new(last),
            epoch,
        })
    }

    /// The last backup that somebody fetched whole.
    pub(super) fn last(&self) -> Option<LastBackup> {
        let last = lock(&self.last);
        let last = last.as_ref()?;
        Some(LastBackup { time: last.time.unix_millis(), size: last.backup.size })
    }

    /// How often the ledger was restored.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    fn find(&self, id: u64) -> Option<UnderWay> {
        lock(&self.under_way).iter().find(|one| one.id == id).cloned()
    }
}

/// Held for a look or a change in memory only; a poisoned one is still in order.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at what is there now, and makes and signs the manifest.
pub(super) async fn begin(instance: &Arc<Instance>) -> Result<Response, String> {
    let gathered = {
        let instance = instance.clone();
        // The whole journal is read: it must not hold up the threads that serve devices.
        tokio::task::spawn_blocking(move || gather(&instance))
    };
    let (snapshot, manifest, small) = gathered.await.map_err(|e| e.to_string())??;
    let text = manifest.text();
    let file = match &instance.log {
        Some(log) => {
            log.sign_note(&text).await.map_err(|e| format!("{e}; nothing is backed up"))?
        }
        None => text,
    };
    let backups = &instance.backups;
    let id = backups.next.fetch_add(1, Ordering::Relaxed);
    let one = UnderWay {
        id,
        segments: manifest.files.len() - small.len(),
        snapshot: Arc::new(snapshot),
        small: small.into(),
        size: manifest.size,
        root: Fingerprint(manifest.root),
        manifest: Fingerprint::of(file.as_bytes()),
    };
    let mut under_way = lock(&backups.under_way);
    under_way.push_back(one);
    while under_way.len() > UNDER_WAY {
        under_way.pop_front();
    }
    Ok(Response::Backup(BackupPlan { id, manifest: file }))
}

fn gather(instance: &Instance) -> Result<(Snapshot, Manifest, Vec<Vec<u8>>), String> {
    let backups = &instance.backups;
    // In this order: the checkpoint covers no more than what is copied.
    let checkpoint = instance.log.as_ref().and_then(Log::latest);
    let head = instance.ledger().head();
    if let Some(why) = head.poisoned {
        return Err(format!("{why}; only a ledger that is in order is backed up"));
    }
    let snapshot = Snapshot::take(&backups.ledger_dir, head.size()).map_err(|e| e.to_string())?;
    if *snapshot.frontier() != head.frontier {
        return Err("the journal on the disk is not what was written to it; stop the signer and \
                    run `chancery ledger verify`"
            .into());
    }
    let mut files = snapshot.files().map_err(|e| e.to_string())?;
    let mut small = Vec::new();
    let mut add = |path: &str, content: Vec<u8>| {
        let digest = Fingerprint::of(&content).0;
        files.push(BackupFile { path: path.to_owned(), length: content.len() as u64, digest });
        small.push(content);
    };
    if let Some(signed) = checkpoint {
        add(checkpoint_name(), signed.note.as_bytes().to_vec());
    }
    for (name, path) in &backups.beside {
        match std::fs::read(path) {
            Ok(content) => add(name, content),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("{} cannot be read: {e}", path.display())),
        }
    }
    let manifest = Manifest {
        time: instance.pipeline.clock.now(),
        software: software(),
        epoch: backups.epoch,
        size: head.size(),
        root: head.root(),
        files,
    };
    Ok((snapshot, manifest, small))
}

/// A part of a file.
pub(super) async fn read(
    instance: &Arc<Instance>,
    (id, file, offset): (u64, u32, u64),
) -> Result<Response, String> {
    let Some(one) = instance.backups.find(id) else { return Ok(Response::NotFound) };
    let file = file as usize;
    if let Some(index) = file.checked_sub(one.segments) {
        let content = one.small.get(index).map(Vec::as_slice).unwrap_or_default();
        let rest = content.get(offset as usize..).unwrap_or_default();
        return Ok(Response::BackupPart(rest[..rest.len().min(BACKUP_PART as usize)].to_vec()));
    }
    let part = tokio::task::spawn_blocking(move || one.snapshot.read(file, offset, BACKUP_PART));
    let part = part.await.map_err(|e| e.to_string())?;
    part.map(Response::BackupPart).map_err(|e| e.to_string())
}

/// Records that a backup was fetched whole.
pub(super) async fn done(
    instance: &Arc<Instance>,
    peer: Peer,
    (id, place): (u64, String),
) -> Result<Response, String> {
    let backups = &instance.backups;
    let Some(one) = backups.find(id) else { return Ok(Response::NotFound) };
    let backup = Backup {
        action: BackupAction::Created,
        size: one.size,
        root: one.root,
        manifest: one.manifest,
        epoch: backups.epoch,
        given_up: None,
    };
    let (sequence, time) = record(instance, peer, &place, backup.clone()).await?;
    *lock(&backups.last) = Some(BackupRecord { sequence, time, backup });
    lock(&backups.under_way).retain(|other| other.id != id);
    log::info!(
        event = event::LEDGER, entries = one.size, uid = peer.uid;
        "a backup of {} entries was made by uid {}", one.size, peer.uid
    );
    Ok(Response::Done)
}

/// Records that a backup of this log was verified.
pub(super) async fn verified(
    instance: &Arc<Instance>,
    peer: Peer,
    (file, place): (&str, &str),
) -> Result<Response, String> {
    let Some(log) = &instance.log else {
        return Err(
            "a verification is recorded of a signed backup alone, and this log has no key".into()
        );
    };
    let manifest = Manifest::open(file, log.note_key()).map_err(|e| e.to_string())?;
    let backup = Backup {
        action: BackupAction::Verified,
        size: manifest.size,
        root: Fingerprint(manifest.root),
        manifest: Fingerprint::of(file.as_bytes()),
        epoch: manifest.epoch,
        given_up: None,
    };
    record(instance, peer, place, backup).await?;
    Ok(Response::Done)
}

/// Records that a backup could not be made or does not verify, as its command found.
pub(super) async fn failed(
    instance: &Instance,
    peer: Peer,
    request: &Request,
) -> Result<Response, String> {
    let (Request::BackupFailed { cause, .. }, Some(attempt)) =
        (request, Attempt::of(peer, request))
    else {
        return Ok(Response::NotFound);
    };
    let draft = attempt.failure(cause);
    instance.ledger().append(vec![draft]).await.map_err(|e| e.to_string())?;
    Ok(Response::Done)
}

async fn record(
    instance: &Instance,
    peer: Peer,
    place: &str,
    backup: Backup,
) -> Result<(crate::ledger::Sequence, Timestamp), String> {
    let draft = Draft {
        actor: Actor::Uid(peer.uid),
        origin: origin(peer),
        object: place.chars().take(LONGEST_PLACE).collect(),
        outcome: Outcome::Success,
        event: Event::Backup(backup),
    };
    let time = instance.pipeline.clock.now();
    let done = instance.ledger().append(vec![draft]).await.map_err(|e| e.to_string())?;
    let sequence = done.first().copied().ok_or("nothing was recorded")?;
    Ok((sequence, time))
}
