//! The one reader of secrets.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::prompt;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::config::Token;
use crate::secret::{Secret, closed_to_others};

/// The longest secret in bytes. The longest PIN in the vendors' manuals has 255, as a challenge has.
pub(super) const MAX_LENGTH: usize = 1024;

/// The user PIN of the token `name`, from wherever the configuration says.
pub fn pin(name: &str, token: &Token) -> Result<Secret, Failure> {
    let what = format!("PIN of token {name}");
    if let Some(path) = &token.pin_file {
        return from_file(path, &what);
    }
    if let Some(credential) = &token.pin_credential {
        return from_credential(credentials().as_deref(), credential, &what);
    }
    prompt::ask(&what)
}

/// The folder of the credentials: systemd names it in this variable, which itself is no secret.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The 32 bytes whose hexadecimal digits systemd's credential `name` holds.
pub fn credential_key(name: &str) -> Result<Secret, Failure> {
    key_in(credentials().as_deref(), name)
}

fn key_in(folder: Option<&Path>, name: &str) -> Result<Secret, Failure> {
    let what = format!("the key in the credential {name}");
    let digits = from_credential(folder, name, &what)?;
    let key = hex::decode(digits.expose()).map(Secret::new).ok().filter(|key| key.len() == 32);
    key.ok_or_else(|| {
        let next = "put there what `openssl rand -hex 32` prints";
        failed(&what, &"it does not hold 64 hexadecimal digits", next)
    })
}

/// The one line in the file `path`, which must be closed to others. `what` it is ("PIN of token main")
/// stands in the errors.
pub fn from_file(path: &Path, what: &str) -> Result<Secret, Failure> {
    let content = contents(path, what)?;
    one_line(content.expose(), what, &path.display())
}

/// The secret in systemd's credential `name`; `folder` is what $CREDENTIALS_DIRECTORY says.
fn from_credential(folder: Option<&Path>, name: &str, what: &str) -> Result<Secret, Failure> {
    let odd = |c: char| c == '/' || c.is_control();
    if matches!(name, "" | "." | "..") || name.contains(odd) {
        let cause = format!("{name:?} cannot be the name of a systemd credential");
        return Err(failed(what, &cause, "correct its name in the configuration"));
    }
    let Some(folder) = folder else {
        let next = format!(
            "start the service by systemd with LoadCredential={name}:FILE, or name a file or a key instead"
        );
        return Err(failed(what, &"no credentials directory was handed over", &next));
    };
    // systemd makes these files itself, in a folder that is the service's own.
    let content = File::open(folder.join(name)).and_then(read).map_err(|e| {
        let cause = format!("the credential {name}: {e}");
        failed(what, &cause, &format!("see that the unit has LoadCredential={name}:FILE"))
    })?;
    one_line(content.expose(), what, &format!("the credential {name}"))
}

/// A secret from standard input: from a terminal without echo, else the first line. `what` it is stands
/// in the question and in the errors.
pub fn from_stdin(what: &str) -> Result<Secret, Failure> {
    if io::stdin().is_terminal() {
        return prompt::ask(what);
    }
    let content = read(io::stdin().lock())
        .map_err(|e| failed(what, &e, "give it on standard input, on one line"))?;
    let line = content.expose().split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    one_line(line, what, &"standard input")
}

/// The whole content of a secret's file, which must be closed to others.
pub(super) fn contents(path: &Path, what: &str) -> Result<Secret, Failure> {
    let shown = path.display();
    let fail = |e: io::Error| {
        let next = "see that it is there and that this user may read it";
        failed(what, &format!("{shown}: {e}"), next)
    };
    let file = File::open(path).map_err(fail)?;
    // Of the opened file, so that nobody exchanges it in between.
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(failed(what, &format!("{shown} is not a regular file"), "name a file"));
    }
    let mode = metadata.mode() & 0o7777;
    if !closed_to_others(mode) {
        let cause = format!("others than its owner may use {shown} (mode {mode:04o})");
        let next = format!("chmod 600 {shown}, and change the secret if others could read it");
        return Err(failed(what, &cause, &next));
    }
    read(file).map_err(fail)
}

fn read(source: impl Read) -> io::Result<Secret> {
    // Of its full size from the start: growing would leave copies behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 4));
    source.take(MAX_LENGTH as u64 + 3).read_to_end(&mut buffer)?;
    if buffer.len() > MAX_LENGTH + 2 {
        let long = format!("it is longer than {MAX_LENGTH} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, long));
    }
    Ok(Secret::new(buffer.to_vec()))
}

/// The one line in `content`, without its end.
pub(super) fn one_line(
    content: &[u8],
    what: &str,
    origin: &dyn std::fmt::Display,
) -> Result<Secret, Failure> {
    let line = content.strip_suffix(b"\n").unwrap_or(content);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let odd = |b: &u8| matches!(b, b'\n' | b'\r' | 0);
    if line.is_empty() || line.len() > MAX_LENGTH || line.iter().any(odd) {
        let cause = format!("{origin} does not hold one line of 1 to {MAX_LENGTH} bytes");
        return Err(failed(what, &cause, "put it there alone, on one line"));
    }
    Ok(Secret::new(line.to_vec()))
}

pub(super) fn failed(what: &str, cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(Exit::Failed, format!("cannot be read: {what}"), cause, next)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(folder: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.join("pin");
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn one_line_is_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b"1234"[..], b"1234\n", b"1234\r\n"] {
            for mode in [0o600, 0o400] {
                let pin = from_file(&file(folder.path(), content, mode), "PIN").unwrap();
                assert!(pin.ct_eq(b"1234"), "{content:?}");
            }
        }
        let pin = from_file(&file(folder.path(), b" user:pass word \n", 0o600), "PIN").unwrap();
        assert!(pin.ct_eq(b" user:pass word "));
    }

    #[test]
    fn other_contents_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![b'1'; MAX_LENGTH + 1];
        for content in [&b""[..], b"\n", b"12\n34\n", b"12\0", &long] {
            let failure = from_file(&file(folder.path(), content, 0o600), "PIN of token t");
            let failure = failure.unwrap_err().to_string();
            assert!(
                failure.contains("one line") && failure.contains("PIN of token t"),
                "{failure}"
            );
        }
        let most = vec![b'1'; MAX_LENGTH];
        let secret = from_file(&file(folder.path(), &most, 0o600), "PIN").unwrap();
        assert_eq!(secret.len(), MAX_LENGTH);
        assert!(read(io::repeat(b'x')).is_err());
    }

    #[test]
    fn a_file_for_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620, 0o700, 0o4600] {
            let failure = from_file(&file(folder.path(), b"1234", mode), "PIN").unwrap_err();
            let failure = failure.to_string();
            assert!(failure.contains("chmod 600") && !failure.contains("1234"), "{failure}");
        }
        let failure = from_file(folder.path(), "PIN").unwrap_err().to_string();
        assert!(failure.contains("not a regular file"), "{failure}");
    }

    #[test]
    fn a_credential_stays_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), b"1234\n", 0o440);
        assert!(from_credential(Some(folder.path()), "pin", "PIN").unwrap().ct_eq(b"1234"));
        for name in ["../pin", "", ".", "..", "a/b", "a\nb"] {
            let failure = from_credential(Some(folder.path()), name, "PIN").unwrap_err();
            assert!(failure.to_string().contains("cannot be the name"), "{name:?}");
        }
    }

    #[test]
    fn a_key_in_a_credential_is_64_hexadecimal_digits() {
        let folder = tempfile::tempdir().unwrap();
        let digits = "0a".repeat(32);
        file(folder.path(), format!("{digits}\n").as_bytes(), 0o440);
        assert!(key_in(Some(folder.path()), "pin").unwrap().ct_eq(&[10; 32]));
        for bad in ["", "1234", &digits[2..], &format!("{digits}00"), &digits.replace('a', "g")] {
            file(folder.path(), bad.as_bytes(), 0o440);
            let failure = key_in(Some(folder.path()), "pin").unwrap_err().to_string();
            assert!(bad.is_empty() || failure.contains("openssl rand -hex 32"), "{failure}");
        }
        let failure = key_in(None, "seal").unwrap_err().to_string();
        assert!(failure.contains("LoadCredential=seal"), "{failure}");
    }

    #[test]
    fn the_pin_comes_from_where_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), b"1234\n", 0o600);
        let token = |source: &str| {
            let text = format!(
                "version = 1\n[token.t]\nprofile = \"softhsm2\"\nlabel = \"x\"\n{source}\n{REST}"
            );
            let config = crate::config::parse(&folder.path().join("chancery.toml"), &text).unwrap();
            config.token["t"].clone()
        };
        assert!(pin("t", &token("pin_file = \"pin\"")).unwrap().ct_eq(b"1234"));
        let failure = pin("t", &token("pin_file = \"none\"")).unwrap_err().to_string();
        assert!(failure.contains("token t") && failure.contains("none"), "{failure}");
        // No systemd has handed over a credential to this test.
        let failure = pin("t", &token("pin_credential = \"hsm-pin\"")).unwrap_err().to_string();
        assert!(failure.contains("LoadCredential=hsm-pin"), "{failure}");
    }

    const REST: &str = r#"[ca.c]
certificate = "c"
key = { token = "t", label = "a" }
ra_decryption = { certificate = "c", key = { token = "t", label = "b" } }
ra_signing = { certificate = "c", key = { token = "t", label = "c" } }
[profile.p]
[endpoint.e]
path = "/e"
ca = "c"
profile = "p"
"#;
}
