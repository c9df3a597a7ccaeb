//! A SoftHSM token as a file, in place of a vendor's cloning: its directory packed as JSON, restored
//! aside, and looked at by this program started once more (a process has one SOFTHSM2_CONF).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::RunError;
use super::bench::{Drill, on_the_copy};
use super::throw_away::ThrowAway;
use crate::ceremony::plan::Purpose;
use crate::hsm::CallRecord;

const FORMAT: &str = "chancery-softhsm-token-1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    format: String,
    folder: String,
    files: Vec<PackedFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedFile {
    name: String,
    content: String,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> RunError {
    let path = path.to_path_buf();
    move |cause| RunError::File { path, cause }
}

/// Packs the directory of the token `serial`.
pub(super) fn pack(conf: &Path, serial: &str) -> Result<Vec<u8>, RunError> {
    let text = std::fs::read_to_string(conf).map_err(file_error(conf))?;
    let folder = text.lines().find_map(|l| l.trim().strip_prefix("directories.tokendir"));
    let folder = folder.and_then(|l| l.trim_start().strip_prefix('=')).map(str::trim);
    let tokens = PathBuf::from(folder.ok_or_else(|| {
        RunError::Refused(format!("{} names no directories.tokendir", conf.display()))
    })?);
    let entries = std::fs::read_dir(&tokens).map_err(file_error(&tokens))?;
    // SoftHSM's serial number is the end of the directory's UUID.
    let token = entries.flatten().map(|e| e.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('-', "");
        name.ends_with(serial)
    });
    let token = token
        .ok_or_else(|| RunError::Refused(format!("{} has no token {serial}", tokens.display())))?;
    let mut files = Vec::new();
    let mut names: Vec<PathBuf> = std::fs::read_dir(&token)
        .map_err(file_error(&token))?
        .flatten()
        .map(|e| e.path())
        .collect();
    names.sort();
    for path in names.into_iter().filter(|p| p.is_file()) {
        let content = BASE64.encode(std::fs::read(&path).map_err(file_error(&path))?);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(PackedFile { name, content });
    }
    let folder = token.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let packed = Packed { format: FORMAT.into(), folder, files };
    serde_json::to_vec(&packed).map_err(|e| RunError::Refused(e.to_string()))
}

/// Unpacks a copy below `into` and returns the configuration file that leads to it.
fn unpack(copy: &Path, into: &Path) -> Result<PathBuf, RunError> {
    let bytes = std::fs::read(copy).map_err(file_error(copy))?;
    let bad = |e: String| RunError::Refused(format!("{}: {e}", copy.display()));
    let packed: Packed = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let plain = |n: &str| !n.is_empty() && !n.contains('/') && !n.starts_with('.');
    if packed.format != FORMAT
        || !plain(&packed.folder)
        || packed.files.iter().any(|f| !plain(&f.name))
    {
        return Err(bad("it is no copy of a SoftHSM token".into()));
    }
    let folder = into.join("tokens").join(&packed.folder);
    std::fs::create_dir_all(&folder).map_err(file_error(&folder))?;
    for file in packed.files {
        let path = folder.join(&file.name);
        let content = BASE64.decode(&file.content).map_err(|e| bad(e.to_string()))?;
        std::fs::write(&path, content).map_err(file_error(&path))?;
    }
    let conf = into.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\n",
        into.join("tokens").display()
    );
    std::fs::write(&conf, text).map_err(file_error(&conf))?;
    Ok(conf)
}

/// What this program, started once more, says of the restored copy.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillAnswer {
    /// Every call that it made.
    pub(crate) calls: Vec<CallRecord>,
    /// The signature or the plaintext, in hexadecimal.
    pub(crate) answer: Option<String>,
    /// Why there is none.
    pub(crate) problem: Option<String>,
}

/// Restores `copy` aside and lets the restored key answer a challenge that the first key's public half
/// checks. The calls go to `calls`.
pub(super) fn drill(
    tool: &Path,
    copy: &Path,
    drill: &Drill<'_>,
    calls: &mut Vec<CallRecord>,
) -> Result<String, RunError> {
    let aside = Aside::new(copy)?;
    let conf = unpack(copy, &aside.0)?;
    let algorithm = drill.key.kind().default_signature();
    let challenge = if drill.purpose.signs() {
        drill.nonce.to_vec()
    } else {
        let rsa = drill.key.rsa();
        let rsa = rsa.ok_or_else(|| RunError::Refused("a decryption key is RSA".into()))?;
        let mut out = vec![0; rsa.size() as usize];
        let len = rsa.public_encrypt(drill.nonce, &mut out, openssl::rsa::Padding::PKCS1)?;
        out.truncate(len);
        out
    };
    let mut command = Command::new(tool);
    command.args([
        "ceremony",
        "token-drill",
        "--label",
        drill.label,
        "--id",
        &hex::encode(drill.id),
    ]);
    command.args([
        "--spki",
        &BASE64.encode(drill.key.spki()),
        "--challenge",
        &hex::encode(challenge),
    ]);
    if drill.purpose == Purpose::RaDecrypt {
        command.arg("--decrypt");
    }
    command.env("SOFTHSM2_CONF", &conf).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(file_error(tool))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(drill.pin.expose())
            .and_then(|()| stdin.write_all(b"\n"))
            .map_err(file_error(tool))?;
    }
    let output = child.wait_with_output().map_err(file_error(tool))?;
    let said: DrillAnswer = serde_json::from_slice(&output.stdout).map_err(|e| {
        RunError::Refused(format!(
            "the look at the restored copy ended with {}: {e}",
            output.status
        ))
    })?;
    calls.extend(said.calls.into_iter().map(|mut call| {
        on_the_copy(&mut call);
        call
    }));
    if let Some(problem) = said.problem {
        return Err(RunError::Refused(format!("the restored key does not answer: {problem}")));
    }
    let answer = said.answer.and_then(|a| hex::decode(a).ok()).unwrap_or_default();
    let equal = if drill.purpose.signs() {
        drill.key.verify(algorithm, drill.nonce, &answer).is_ok()
    } else {
        answer == drill.nonce
    };
    if equal {
        Ok("equal: the restored key answered, the first key's public half agrees".into())
    } else {
        Err(RunError::Refused("the restored key is not equal to the first one".into()))
    }
}

/// A folder beside the copy that is gone afterwards.
struct Aside(PathBuf);

impl Aside {
    fn new(copy: &Path) -> Result<Self, RunError> {
        let path = copy.with_extension("drill");
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).map_err(file_error(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A throw-away certification request that stands for one that comes from elsewhere.
pub(super) fn stand_in_request(
    kind: crate::pki::KeyKind,
    subject: &[u8],
) -> Result<Vec<u8>, RunError> {
    let key = ThrowAway::new(kind)?;
    let public = key.public()?;
    let info = crate::ceremony::artefact::request_info(subject, &public)?;
    let algorithm = kind.default_signature();
    let signature = key.sign(algorithm, &info)?;
    Ok(crate::pki::signed(&info, algorithm, &signature)?)
}
