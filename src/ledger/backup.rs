//! Backups: the manifest, which names every file of one and is signed by the log's key, and what the
//! entries say of backups and restores.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::draft_rules::read_entry;
use super::merkle::Hash;
use super::note::{self, NoteKey};
use super::{
    Backup, BackupAction, Challenge, ChallengeAction, Event, Ledger, LedgerError, Sequence,
};
use crate::clock::Timestamp;

/// The first line of every manifest. No checkpoint begins so: a log's name has no spaces.
const FIRST_LINE: &str = "chancery backup, version 1";

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// Its path below the backup's folder, with slashes.
    pub path: String,
    /// Its length in octets.
    pub length: u64,
    /// SHA-256 of its content.
    pub digest: Hash,
}

/// What a backup holds, as its manifest says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// When it was made.
    pub time: Timestamp,
    /// The program that made it.
    pub software: String,
    /// How often the ledger had been restored before.
    pub epoch: u32,
    /// Number of entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// Every file but the manifest itself.
    pub files: Vec<BackupFile>,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no manifest of a backup: {0}")]
pub struct ManifestError(String);

impl fmt::Display for BackupFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", hex::encode(self.digest), self.length, self.path)
    }
}

impl Manifest {
    /// The text that the log's key signs.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\ntime {}\nsoftware {}\nepoch {}\nsize {}\nroot {}\n",
            self.time,
            self.software,
            self.epoch,
            self.size,
            STANDARD.encode(self.root),
        );
        for file in &self.files {
            text.push_str(&format!("file {file}\n"));
        }
        text
    }

    /// The manifest in a file of one, and whether that is a signed note. No signature is verified.
    pub fn read_unverified(file: &str) -> Result<(Self, bool), ManifestError> {
        match note::parts(file) {
            Ok((text, _)) => Ok((Self::parse(text)?, true)),
            Err(_) => Ok((Self::parse(file)?, false)),
        }
    }

    /// The manifest in a file that `key` signed.
    pub fn open(file: &str, key: &NoteKey) -> Result<Self, ManifestError> {
        Self::parse(key.open(file).map_err(|e| ManifestError(e.to_string()))?)
    }

    /// Reads the text. Paths are relative, of plain characters, and lead nowhere else.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let bad = |why: &str| ManifestError(why.to_owned());
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(bad(&format!("it does not begin with «{FIRST_LINE}»")));
        }
        let mut value = |name: &str| {
            let found = lines.next().and_then(|line| line.strip_prefix(name));
            found.and_then(|rest| rest.strip_prefix(' ')).ok_or_else(|| bad(&format!("no {name}")))
        };
        let time = read_time(value("time")?).ok_or_else(|| bad("its time is none"))?;
        let software = value("software")?.to_owned();
        let epoch = value("epoch")?.parse().map_err(|_| bad("its epoch is no number"))?;
        let size = value("size")?.parse().map_err(|_| bad("its size is no number"))?;
        let root = STANDARD.decode(value("root")?).ok().and_then(|r| Hash::try_from(r).ok());
        let root = root.ok_or_else(|| bad("its root is no hash"))?;
        let mut files: Vec<BackupFile> = Vec::new();
        for line in lines {
            let file = read_file(line).ok_or_else(|| bad(&format!("«{line}» is no file")))?;
            if files.iter().any(|other| other.path == file.path) {
                return Err(bad(&format!("it names {} twice", file.path)));
            }
            files.push(file);
        }
        Ok(Self { time, software, epoch, size, root, files })
    }
}

/// A time as [`Timestamp`] prints it.
fn read_time(text: &str) -> Option<Timestamp> {
    let (seconds, millis) = text.strip_suffix('Z')?.split_once('.')?;
    let millis: u64 = millis.parse().ok().filter(|_| millis.len() == 3)?;
    let seconds = Timestamp::parse(&format!("{seconds}Z"))?;
    Some(Timestamp::from_unix_millis(seconds.unix_millis() + millis))
}

fn read_file(line: &str) -> Option<BackupFile> {
    let mut parts = line.strip_prefix("file ")?.splitn(3, ' ');
    let digest = hex::decode(parts.next()?).ok().and_then(|d| Hash::try_from(d).ok())?;
    let length = parts.next()?.parse().ok()?;
    let path = parts.next()?.to_owned();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    let good = path.bytes().all(plain)
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    good.then_some(BackupFile { path, length, digest })
}

/// A backup or a restore that the ledger tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRecord {
    /// The entry.
    pub sequence: Sequence,
    /// When it was recorded.
    pub time: Timestamp,
    /// What was recorded.
    pub backup: Backup,
}

impl Ledger {
    /// The entries that say that `action` was done with a backup, oldest first.
    pub fn backups(&self, action: BackupAction) -> Result<Vec<BackupRecord>, LedgerError> {
        let mut found = Vec::new();
        for sequence in self.of_event("backup")? {
            let entry = read_entry(&*self.store, sequence.0)?;
            if let Event::Backup(backup) = entry.event
                && backup.action == action
            {
                found.push(BackupRecord { sequence, time: entry.time, backup });
            }
        }
        Ok(found)
    }

    /// How often this ledger was restored from a backup.
    pub fn epoch(&self) -> Result<u32, LedgerError> {
        Ok(self.backups(BackupAction::Restored)?.last().map_or(0, |r| r.backup.epoch))
    }

    /// The one-time challenges that were made, are not ended and have not expired at `now`.
    pub fn live_challenges(&self, now: Timestamp) -> Result<Vec<Challenge>, LedgerError> {
        let all = self.challenges(usize::MAX)?.into_iter();
        let live = all.filter(|c| c.ended.is_none() && c.challenge.expires > now.unix_millis());
        Ok(live.map(|c| c.challenge).collect())
    }
}

impl Challenge {
    /// The same challenge, voided because the ledger was restored.
    pub fn voided(self) -> Self {
        Self { action: ChallengeAction::Voided, sealed: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |path: &str, length| BackupFile {
            path: path.into(),
            length,
            digest: openssl::sha::sha256(path.as_bytes()),
        };
        Manifest {
            time: Timestamp::from_unix_millis(1_700_000_000_007),
            software: "chancery 1.2.3".into(),
            epoch: 2,
            size: 604,
            root: [7; 32],
            files: vec![file("journal/00000000000000000000.journal", 9), file("chancery.toml", 0)],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest.clone()));
        let text = manifest.text();
        for (from, to) in [
            ("version 1", "version 2"),
            ("epoch 2", "epoch -2"),
            ("size 604", "size"),
            ("root ", "root A"),
            (".007Z", "Z"),
            ("chancery.toml", "../chancery.toml"),
            ("chancery.toml", "/etc/chancery.toml"),
            ("chancery.toml", ".hidden"),
            ("chancery.toml", "a//b"),
            ("chancery.toml", "a b"),
            ("chancery.toml", "journal/00000000000000000000.journal"),
        ] {
            let changed = text.replace(from, to);
            assert!(changed != text && Manifest::parse(&changed).is_err(), "{to}");
        }
    }

    #[test]
    fn no_manifest_is_a_checkpoint() {
        let note = format!("{}\n\u{2014} log AAAAAAAA\n", manifest().text());
        assert!(super::super::checkpoint::Checkpoint::read_unverified(&note).is_err());
    }
}
