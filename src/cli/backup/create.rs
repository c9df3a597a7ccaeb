//! `chancery backup create`: fetches what the signer has signed, and writes it durably.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::form::{MANIFEST, Writer, remove};
use crate::cli::admin::{Session, unexpected};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::ledger_verify::Head;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::{Fingerprint, Manifest};
use crate::wire::admin::{Request, Response};

/// How long the signer may take to read its whole journal.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The arguments of `chancery backup create`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The backup to make: a new folder, or a new file where the name ends in .tar
    #[arg(required_unless_present = "into", conflicts_with = "into")]
    path: Option<PathBuf>,
    /// Make it in this folder, named by the time (chancery-YYYYMMDDTHHMMSSZ)
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Afterwards remove all but the newest COUNT backups of such names there
    #[arg(long, value_name = "COUNT", requires = "into", conflicts_with = "path",
          value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

/// Makes a backup and has the signer record it.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = common.load()?;
    // Before the signer reads its whole ledger.
    let lock = arguments.into.as_deref().map(hold).transpose()?;
    if let Some(path) = arguments.path.as_ref().filter(|p| p.exists()) {
        return Err(there(path));
    }
    let session = Session::open(common, PATIENCE)?;
    let Response::Backup(plan) = session.ask(Request::BackupBegin)? else {
        return Err(unexpected());
    };
    let (manifest, signed) = Manifest::read_unverified(&plan.manifest)
        .map_err(|e| failed(&e, "run the same release of chancery as the signer"))?;
    let path = match (&arguments.path, &arguments.into) {
        (Some(path), _) => path.clone(),
        (None, into) => into.clone().unwrap_or_default().join(name(manifest.time)),
    };
    let place = path.display().to_string();
    fetch(&session, plan.id, (&plan.manifest, &manifest), &path)
        .inspect_err(|failure| session.tell_failure(true, &place, failure))?;
    match session.ask(Request::BackupDone { id: plan.id, place })? {
        Response::Done => {}
        Response::NotFound => {
            let next = "the files are whole, yet the signer does not know of them; make another";
            return Err(failed(&"the signer has forgotten this backup", next));
        }
        _ => return Err(unexpected()),
    }
    if let (Some(folder), Some(keep)) = (&arguments.into, arguments.keep) {
        prune(folder, keep as usize)?;
    }
    drop(lock);
    let head = Head { size: manifest.size, root: manifest.root };
    if common.json {
        return output::json(&serde_json::json!({
            "backup": path.display().to_string(),
            "entries": manifest.size,
            "head": head.to_string(),
            "files": manifest.files.len() + 1,
            "octets": manifest.files.iter().map(|f| f.length).sum::<u64>(),
            "epoch": manifest.epoch,
            "signed": signed,
            "manifest_sha256": Fingerprint::of(plan.manifest.as_bytes()).to_string(),
            "keep_elsewhere": elsewhere(&config),
        }));
    }
    let signed = if signed { "signed by the log's key" } else { "not signed: the log has no key" };
    output::write(&format!(
        "backup:   {}\nentries:  {}\nhead:     {head}\nmanifest: {signed}\n",
        path.display(),
        manifest.size
    ))?;
    output::note("It holds no secret. A restore needs these as well; keep them elsewhere:");
    elsewhere(&config).iter().for_each(|line| output::note(&format!("  {line}")));
    output::note("docs/backup.md says how.");
    Ok(())
}

/// What no backup holds and a restored instance needs.
pub(super) fn elsewhere(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    for (name, token) in &config.token {
        all.push(format!("the keys in the token {name}: a copy by its vendor's own means"));
        all.push(match &token.pin_file {
            Some(path) => format!("the PIN of the token {name} ({})", path.display()),
            None => format!("the PIN of the token {name}"),
        });
    }
    let challenge = config.signer.challenge_key();
    all.push(format!("{}: under it configured challenges are kept", challenge.display()));
    let seal = match (&config.signer.seal_key, &config.signer.seal_credential) {
        (Some(key), _) => format!("the secret key {} in the token {}", key.label, key.token),
        (None, Some(credential)) => format!("the credential {credential}"),
        (None, None) => config.signer.request_seal_key().display().to_string(),
    };
    all.push(format!("{seal}: under it the ledger's requests are sealed"));
    all
}

/// The name of a backup of `time`.
fn name(time: Timestamp) -> String {
    let digits: String = time.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("chancery-{}Z", digits.split('.').next().unwrap_or_default())
}

/// Whether [`name`] makes such names.
fn is_name(text: &str) -> bool {
    let pattern = "chancery-00000000T000000Z";
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
            b'0' => b.is_ascii_digit(),
            other => b == other,
        })
}

/// Makes sure that nobody else works in `folder` while the result lives; removes what an earlier run
/// that was killed left.
fn hold(folder: &Path) -> Result<File, Failure> {
    let unable = |e: io::Error| {
        let next =
            format!("make the folder for this user: install -d -m 0700 {}", folder.display());
        failed(&format!("{}: {e}", folder.display()), &next)
    };
    if !folder.exists() {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().mode(0o700).create(folder).map_err(unable)?;
    }
    let file = File::open(folder).map_err(unable)?;
    let lock = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    lock.map_err(|_| {
        let cause = format!("another backup is being made in {}", folder.display());
        Failure::new(Exit::Conflict, "no backup was made", cause, "wait for that one")
    })?;
    for path in names(folder).map_err(unable)? {
        let text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if text.strip_suffix(".partial").is_some_and(is_name) {
            remove(&path);
        }
    }
    Ok(file)
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|item| Ok(item?.path())).collect::<io::Result<_>>()?;
    all.sort();
    Ok(all)
}

fn prune(folder: &Path, keep: usize) -> Result<(), Failure> {
    let all = names(folder).map_err(|e| failed(&e, "remove old backups by hand"))?;
    let named = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(is_name);
    let mine: Vec<PathBuf> = all.into_iter().filter(named).collect();
    let old = mine.len().saturating_sub(keep);
    mine[..old].iter().for_each(|path| remove(path));
    Ok(())
}

fn fetch(
    session: &Session,
    id: u64,
    (text, manifest): (&str, &Manifest),
    path: &Path,
) -> Result<(), Failure> {
    let unwritten = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => there(path),
        _ => failed(&format!("{}: {e}", path.display()), "see that there is room, then try again"),
    };
    let mut writer = Writer::new(path, manifest.time.unix_seconds()).map_err(unwritten)?;
    writer.put(MANIFEST, text.len() as u64, text.as_bytes()).map_err(unwritten)?;
    let total = manifest.files.iter().map(|f| f.length).sum();
    let (mut done, mut progress) = (0, Progress::new("octets", total));
    for (file, index) in manifest.files.iter().zip(0..) {
        let mut source = Source {
            session,
            place: (id, index),
            offset: 0,
            part: Vec::new(),
            read: 0,
            hasher: openssl::sha::Sha256::new(),
            failure: None,
        };
        let put = writer.put(&file.path, file.length, &mut source);
        if let Some(failure) = source.failure {
            return Err(failure);
        }
        put.map_err(unwritten)?;
        if source.offset != file.length || source.hasher.finish() != file.digest {
            let cause = format!("{}: the signer sent other octets than it signed for", file.path);
            let next = "stop the signer and run `chancery ledger verify`";
            return Err(Failure::new(Exit::Integrity, "no backup was made", cause, next));
        }
        done += file.length;
        progress.at(done);
    }
    writer.finish().map_err(unwritten)
}

/// A file of the backup, as the signer sends it.
struct Source<'a> {
    session: &'a Session,
    place: (u64, u32),
    /// Octets that were fetched.
    offset: u64,
    part: Vec<u8>,
    read: usize,
    hasher: openssl::sha::Sha256,
    failure: Option<Failure>,
}

impl Source<'_> {
    fn next_part(&mut self) -> Result<(), Failure> {
        let ((id, file), offset) = (self.place, self.offset);
        match self.session.ask(Request::BackupRead { id, file, offset })? {
            Response::BackupPart(part) => {
                self.hasher.update(&part);
                self.offset += part.len() as u64;
                (self.part, self.read) = (part, 0);
                Ok(())
            }
            Response::NotFound => {
                let cause = "the signer was restarted, or other backups were begun";
                Err(failed(&cause, "try again"))
            }
            _ => Err(unexpected()),
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.part.len()
            && let Err(failure) = self.next_part()
        {
            self.failure = Some(failure);
            return Err(io::Error::other("the signer does not answer"));
        }
        let rest = &self.part[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

fn there(path: &Path) -> Failure {
    let cause = format!("{} is there already", path.display());
    Failure::new(
        Exit::Conflict,
        "no backup was made",
        cause,
        "name another, nothing is overwritten",
    )
}

fn failed(cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(Exit::Failed, "no backup was made", cause, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_named_by_its_second() {
        let time = Timestamp::from_unix_millis(1_700_000_000_123);
        assert_eq!(name(time), "chancery-20231114T221320Z");
        assert!(is_name(&name(time)));
        for other in ["chancery-20231114T221320Z.tar", "chancery-2023111aT221320Z", "chancery", ""]
        {
            assert!(!is_name(other), "{other}");
        }
    }
}
