//! Laboratories that are made once and copied: making the keys of one takes seconds.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::binary::chancery;
use crate::error::{Context, Error, Result, fail};

/// What `chancery init --json` said of the one in the folder.
const SAID: &str = "init.json";

/// Makes a laboratory in `folder` and gives what `chancery init --json` says of it. From a test binary
/// of cargo's, one is copied that the same program made before by the same arguments: it has the same
/// keys, certificates and challenge.
pub(super) fn laboratory(folder: &Path, listen: &str, arguments: &[String]) -> Result<String> {
    let exe = std::env::current_exe()?;
    match exe.ancestors().find(|a| a.file_name().is_some_and(|n| n == "target")) {
        Some(target) => copied(&target.join("test-labs"), folder, listen, arguments),
        None => init(folder, listen, arguments),
    }
}

/// Makes one.
pub(super) fn init(folder: &Path, listen: &str, arguments: &[String]) -> Result<String> {
    let output = Command::new(chancery()?)
        .args(["init", "--json", "--listen", listen, "--dir"])
        .arg(folder)
        .args(arguments)
        .output()
        .context("chancery init")?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => fail(format!("chancery init: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn copied(kept: &Path, folder: &Path, listen: &str, arguments: &[String]) -> Result<String> {
    let template = template(kept, listen, arguments)?;
    let said = fs::read_to_string(template.join(SAID)).context(template.display())?;
    let value: serde_json::Value = serde_json::from_str(&said).context(SAID)?;
    let field =
        |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    // Where it was made; it has been moved since.
    let old = Path::new(field("config")).parent().and_then(Path::to_str).unwrap_or_default();
    let old_listen = field("url").split('/').nth(2).unwrap_or_default();
    let new = folder.to_str().ok_or_else(|| Error::new("the folder's name is not UTF-8"))?;
    if old.is_empty() || old_listen.is_empty() {
        return fail(format!("{} has no config or no url", template.join(SAID).display()));
    }
    let moved = |text: &str| text.replace(old, new).replace(old_listen, listen);
    copy(&template.join("lab"), folder, &|name, bytes| {
        let written = name.to_str().is_some_and(|n| n.ends_with(".toml") || n.ends_with(".conf"));
        match String::from_utf8(bytes) {
            Ok(text) if written => moved(&text).into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(e) => e.into_bytes(),
        }
    })?;
    Ok(moved(&said))
}

/// The kept laboratory, made now if there is none.
fn template(kept: &Path, listen: &str, arguments: &[String]) -> Result<PathBuf> {
    // One thread of many makes it; of many processes the last one to finish takes the other's.
    static MAKING: Mutex<()> = Mutex::new(());
    let program = chancery()?;
    let about = program.metadata().context(program.display())?;
    let mut hasher = DefaultHasher::new();
    (&program, about.len(), about.modified()?, arguments).hash(&mut hasher);
    let place = kept.join(format!("{:016x}", hasher.finish()));
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(kept).context(kept.display())?;
    let making = tempfile::Builder::new().prefix("making-").tempdir_in(kept)?;
    let said = init(&making.path().join("lab"), listen, arguments)?;
    fs::write(making.path().join(SAID), said)?;
    match fs::rename(making.path(), &place) {
        Err(e) if !place.is_dir() => Err(e).context(place.display()),
        _ => Ok(place),
    }
}

/// Copies a folder with its modes; `change` gets each file's name and bytes.
fn copy(from: &Path, to: &Path, change: &dyn Fn(&OsStr, Vec<u8>) -> Vec<u8>) -> Result<()> {
    DirBuilder::new()
        .mode(from.metadata()?.permissions().mode())
        .create(to)
        .context(to.display())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target, change)?;
            continue;
        }
        let bytes = change(&entry.file_name(), fs::read(&source).context(source.display())?);
        fs::write(&target, bytes).context(target.display())?;
        fs::set_permissions(&target, source.metadata()?.permissions())?;
    }
    Ok(())
}
