//! The signer's own secrets: files of mode 0600 in folders of mode 0700.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::read::contents;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::random::{Random, bytes};
use crate::secret::Secret;
use crate::telemetry::event;

/// The length of a key in bytes.
const KEY_LENGTH: usize = 32;

/// Writes a new secret's file, which must not exist: mode 0600, durable. Where root makes it for a
/// service, it goes to the folder's owner.
pub fn create(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let fail = |e: io::Error| {
        not_made(path, &e, "see that its folder is there and that nothing has its name")
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    let write = |file: &mut File| {
        give_to_owner(path, file)?;
        file.write_all(content)?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write(&mut file).map_err(|e| {
        // Half a secret is worse than none.
        let _ = fs::remove_file(path);
        fail(e)
    })
}

/// The 32 bytes of a key's file, made from `random` where there is none yet, with its folder. Since
/// what was done under an earlier key is lost by a new one, the log says so.
pub fn key(path: &Path, random: &dyn Random) -> Result<Secret, Failure> {
    let there = path.try_exists();
    if !there.map_err(|e| not_made(path, &e, "let this user enter its folder"))? {
        make_folder(path)?;
        let fresh = bytes::<KEY_LENGTH>(random).map(Zeroizing::new);
        let fresh = fresh.map_err(|e| not_made(path, &e, "see the cause"))?;
        create(path, fresh.as_slice())?;
        log::warn!(
            event = event::CONFIGURATION, path:% = path.display();
            "a key was not there and was made anew; if there was one before, restore it from the backup"
        );
    }
    kept_key(path)
}

/// The 32 bytes of a key's file, which must be there.
pub fn kept_key(path: &Path) -> Result<Secret, Failure> {
    let what = format!("the key {}", path.display());
    let key = contents(path, &what)?;
    if key.len() == KEY_LENGTH {
        return Ok(key);
    }
    let cause = format!("it has {} bytes where {KEY_LENGTH} are needed", key.len());
    let what = format!("{what} cannot be used");
    Err(Failure::new(Exit::Failed, what, cause, "restore it from the backup"))
}

/// Makes the folder of `path` where there is none, for its owner alone.
fn make_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let made = match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other,
    };
    made.and_then(|()| give_to_owner(folder, &File::open(folder)?)).map_err(|e| {
        let above = folder.parent().unwrap_or(folder).display();
        not_made(path, &e, &format!("see that {above} is there and that this user may write to it"))
    })
}

/// Where root made `file` at `path` for a service, it goes to the owner of the folder above.
fn give_to_owner(path: &Path, file: &File) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let owner = fs::metadata(folder)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn not_made(path: &Path, cause: &dyn std::fmt::Display, next: &str) -> Failure {
    let what = format!("the secret file {} cannot be made", path.display());
    Failure::new(Exit::Failed, what, cause, next)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::random::SystemRandom;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn nothing_is_overwritten_and_a_key_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("challenge-mac.key");
        let first = key(&path, &SystemRandom).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(key(&path, &SystemRandom).unwrap().ct_eq(first.expose()));
        assert!(create(&path, b"other").is_err());
        fs::write(&path, b"short").unwrap();
        assert!(key(&path, &SystemRandom).unwrap_err().to_string().contains("5 bytes"));
    }

    #[test]
    fn the_folder_is_made_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("secrets/challenge-mac.key");
        key(&path, &SystemRandom).unwrap();
        assert_eq!(mode(&state.path().join("secrets")), 0o700);
        let nowhere = state.path().join("none/secrets/challenge-mac.key");
        let failure = key(&nowhere, &SystemRandom).unwrap_err().to_string();
        assert!(failure.contains("none is there"), "{failure}");
    }

    #[test]
    fn a_key_that_must_be_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("challenge-mac.key");
        let failure = kept_key(&path).unwrap_err().to_string();
        assert!(failure.contains("challenge-mac.key") && !path.exists(), "{failure}");
    }
}
