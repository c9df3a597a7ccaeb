//! Keys of test devices. RSA keys are kept on disk between runs, because a test of a thousand
//! distinct keys would otherwise spend a minute making them. They are worthless by design.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use crate::error::{Context, Result};

/// A private key, RSA or EC.
pub type Key = PKey<Private>;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A fresh RSA key of `bits`, made now.
pub fn fresh_rsa(bits: u32) -> Result<Key> {
    Ok(PKey::from_rsa(Rsa::generate(bits)?)?)
}

/// A fresh EC key on `curve`.
pub fn fresh_ec(curve: Nid) -> Result<Key> {
    let group = EcGroup::from_curve_name(curve)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

/// An RSA-2048 key that nothing else in this process has had.
pub fn rsa() -> Result<Key> {
    pooled(2048, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `count` RSA-2048 keys that nothing else in this process has had, made on all processors.
pub fn many_rsa(count: usize) -> Result<Vec<Key>> {
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|t| {
                scope.spawn(move || {
                    (t..count).step_by(threads).map(|n| pooled(2048, first + n)).collect()
                })
            })
            .collect();
        let mut keys = Vec::with_capacity(count);
        for worker in workers {
            let made: Result<Vec<Key>> = worker.join().unwrap_or_else(|_| Ok(Vec::new()));
            keys.extend(made?);
        }
        Ok(keys)
    })
}

/// The pool's key number `index` of `bits`: read from the disk, or made and left there.
pub fn pooled(bits: u32, index: usize) -> Result<Key> {
    let folder = pool_folder().join(format!("rsa-{bits}"));
    let path = folder.join(format!("{index:05}.der"));
    if let Ok(der) = fs::read(&path)
        && let Ok(key) = PKey::private_key_from_der(&der)
    {
        return Ok(key);
    }
    let key = fresh_rsa(bits)?;
    fs::create_dir_all(&folder).context(format!("making {}", folder.display()))?;
    // Written beside and renamed, so that another process never reads half a key.
    let scratch = folder.join(format!("{index:05}.{}.tmp", std::process::id()));
    fs::write(&scratch, key.private_key_to_der()?)
        .and_then(|()| fs::rename(&scratch, &path))
        .context(format!("keeping {}", path.display()))?;
    Ok(key)
}

/// `target/test-keys` beside the running binary's profile folder, else the temporary folder.
fn pool_folder() -> PathBuf {
    let target = std::env::current_exe().ok().and_then(|exe| {
        exe.ancestors()
            .find(|a| a.file_name().is_some_and(|n| n == "target"))
            .map(Path::to_path_buf)
    });
    target.unwrap_or_else(std::env::temp_dir).join("test-keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_keys_are_kept_and_distinct() {
        let spki = |k: &Key| k.public_key_to_der().unwrap();
        let (a, b) = (pooled(2048, 1).unwrap(), pooled(2048, 1).unwrap());
        assert_eq!(spki(&a), spki(&b));
        let many = many_rsa(4).unwrap();
        let mut all: Vec<_> = many.iter().map(spki).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
