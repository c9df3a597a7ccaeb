//! The files and folders that a configuration names: whether they are there and who may read them.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::model::Config;
use super::reader::Reader;
use super::token::VendorProfile;
use super::{certificates, ledger, users};
use crate::secret::closed_to_others;

/// Whose files are looked at: each role runs as its own user and may not see the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `chancery signer`.
    Signer,
    /// `chancery frontend`.
    Frontend,
    /// Both, in one process tree: `chancery serve`.
    Both,
}

/// Adds what is wrong with the files that `role` touches.
pub(super) fn check(config: &Config, role: Role, reader: &mut Reader<'_>) {
    check_parent("signer.socket", &config.signer.socket, reader);
    if role == Role::Frontend {
        return;
    }
    check_parent("signer.admin_socket", &config.signer.admin_socket, reader);
    if check_state("signer.state_dir", &config.signer.state_dir, reader) {
        check_own_secrets(config, reader);
    }
    users::check(config, reader);
    for (name, token) in &config.token {
        if let Some(path) = &token.pin_file {
            check_secret(&format!("token.{name}.pin_file"), path, reader, None);
        }
        if let Some(path) = &token.module {
            check_file(&format!("token.{name}.module"), path, reader);
        }
        if let VendorProfile::Path(path) = &token.profile {
            check_file(&format!("token.{name}.profile"), path, reader);
        }
    }
    for (name, profile) in &config.profile {
        for (index, path) in profile.key_blocklists.iter().enumerate() {
            check_file(&format!("profile.{name}.key_blocklists[{index}]"), path, reader);
        }
    }
    for (name, ca) in &config.ca {
        let key = format!("ca.{name}");
        check_file(&format!("{key}.certificate"), &ca.certificate, reader);
        for (index, path) in ca.chain.iter().enumerate() {
            check_file(&format!("{key}.chain[{index}]"), path, reader);
        }
        let decryption = &ca.ra_decryption.certificate;
        check_file(&format!("{key}.ra_decryption.certificate"), decryption, reader);
        check_file(&format!("{key}.ra_signing.certificate"), &ca.ra_signing.certificate, reader);
    }
    certificates::check(config, reader);
    ledger::check_required(config, reader);
}

/// Whether users beyond owner and group may write.
pub(super) fn writable_by_everybody(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o002 != 0
}

/// A file that must be readable and that not everybody may change.
fn check_file(key: &str, path: &Path, reader: &mut Reader<'_>) -> Option<Metadata> {
    let shown = path.display();
    let metadata = match std::fs::File::open(path).and_then(|f| f.metadata()) {
        Ok(metadata) => metadata,
        Err(e) => {
            reader.fail(
                key,
                format!("{shown} cannot be read: {e}"),
                match e.kind() {
                    std::io::ErrorKind::NotFound => "put the file there or correct the path",
                    _ => "let the signer's user read it (chown, chmod)",
                },
            );
            return None;
        }
    };
    if !metadata.is_file() {
        reader.fail(key, format!("{shown} is not a file"), "name a file");
        return None;
    }
    if writable_by_everybody(&metadata) {
        reader.fail(
            key,
            format!("every user of this host may change {shown}"),
            format!("chmod o-w {shown}, and see that its content is right"),
        );
    }
    Some(metadata)
}

/// The secrets that the signer keeps in its state folder. It makes them at its first start, but for the
/// key of challenges that are configured already: under a new one they would not hold.
fn check_own_secrets(config: &Config, reader: &mut Reader<'_>) {
    const KEY: &str = "signer.state_dir";
    let signer = &config.signer;
    // Of what cannot be looked into, the state folder's own check tells.
    let there = |path: &Path| path.try_exists().ok();
    if there(&signer.secrets_dir()) == Some(true) {
        check_state(KEY, &signer.secrets_dir(), reader);
    }
    for path in [signer.challenge_key(), signer.implicit_rejection_key()] {
        if there(&path) == Some(true) {
            check_secret(KEY, &path, reader, Some(32));
        }
    }
    let path = signer.challenge_key();
    for (name, endpoint) in &config.endpoint {
        if endpoint.challenge_mac.is_some() && there(&path) == Some(false) {
            reader.fail(
                &format!("endpoint.{name}.challenge_mac"),
                format!("the key under which it was made, {}, is not there", path.display()),
                format!(
                    "restore the key from the backup, or make a new line by `chancery challenge mac \
                     {name}`"
                ),
            );
        }
    }
}

/// A file that only its owner may read: of `length` bytes, or of any number of them but none.
fn check_secret(key: &str, path: &Path, reader: &mut Reader<'_>, length: Option<u64>) {
    let Some(metadata) = check_file(key, path, reader) else { return };
    let shown = path.display();
    let mode = metadata.permissions().mode() & 0o7777;
    if !closed_to_others(mode) {
        reader.fail(
            key,
            format!("others than its owner may use {shown} (mode {mode:04o})"),
            format!("chmod 600 {shown}, and change the secret if others could read it"),
        );
    }
    match length {
        None if metadata.len() == 0 => {
            reader.fail(key, format!("{shown} is empty"), "write the PIN into it, on one line");
        }
        Some(length) if metadata.len() != length => reader.fail(
            key,
            format!("{shown} has {} bytes where {length} are needed", metadata.len()),
            "restore it from the backup",
        ),
        _ => {}
    }
}

/// A folder of the signer's state: there, a folder, ours, closed to others. Whether it is there.
fn check_state(key: &str, path: &Path, reader: &mut Reader<'_>) -> bool {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) => {
            reader.fail(
                key,
                format!("{shown} cannot be used: {e}"),
                format!("make it for the signer's user: install -d -m 0700 {shown}"),
            );
            return false;
        }
    };
    if !metadata.is_dir() {
        reader.fail(key, format!("{shown} is not a folder"), "name a folder");
        return false;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        reader.fail(
            key,
            format!("others than its owner may enter {shown}"),
            format!("chmod 700 {shown}"),
        );
    }
    let user = rustix::process::geteuid().as_raw();
    // Root looks at everybody's.
    if user != 0 && metadata.uid() != user {
        reader.fail(
            key,
            format!("{shown} belongs to user {}, not to user {user} who runs this", metadata.uid()),
            "run as the signer's user, or chown the folder to it",
        );
    }
    true
}

/// A socket's folder must be there, and the path short enough for the kernel.
fn check_parent(key: &str, path: &Path, reader: &mut Reader<'_>) {
    // sockaddr_un: 108 bytes with the closing NUL.
    if path.as_os_str().len() > 107 {
        reader.fail(
            key,
            format!("the path has {} bytes, and a socket's may have 107", path.as_os_str().len()),
            "choose a shorter one, such as under /run",
        );
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        reader.fail(
            key,
            format!("the folder {} is not there", parent.display()),
            format!("make it: install -d -m 0755 {}", parent.display()),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::path::PathBuf;

    use super::*;
    use crate::config::{ConfigError, load, load_for};

    const TEXT: &str = r#"version = 1
lab = true
[signer]
state_dir = "state"
socket = "signer.sock"
admin_socket = "admin.sock"
[token.main]
profile = "softhsm2"
label = "x"
pin_file = "pin"
[ca.issuing]
certificate = "ca.pem"
key = { token = "main", label = "ca" }
ra_decryption = { certificate = "decryption.pem", key = { token = "main", label = "d" } }
ra_signing = { certificate = "signing.pem", key = { token = "main", label = "s" } }
[profile.device]
[endpoint.device]
path = "/scep"
ca = "issuing"
profile = "device"
"#;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A folder with everything that the configuration names, and the configuration's path.
    fn complete(folder: &Path) -> PathBuf {
        let mut files = Vec::from(certificates::tests::authority());
        files.extend([("pin", b"1234\n".to_vec()), ("chancery.toml", TEXT.into())]);
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
            mode(&folder.join(name), 0o600);
        }
        fs::create_dir(folder.join("state")).unwrap();
        mode(&folder.join("state"), 0o700);
        folder.join("chancery.toml")
    }

    fn errors(path: &Path, role: Role) -> Vec<ConfigError> {
        load_for(path, role).err().unwrap_or_default()
    }

    #[test]
    fn a_complete_folder_is_good_and_each_defect_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let config = complete(folder.path());
        assert_eq!(errors(&config, Role::Both), []);

        mode(&at("pin"), 0o640);
        mode(&at("state"), 0o755);
        for file in ["ca.pem", "decryption.pem", "signing.pem"] {
            mode(&at(file), 0o666);
        }
        let found = errors(&config, Role::Signer);
        let keys: Vec<&str> = found.iter().map(|e| e.key.as_str()).collect();
        let certificates = [
            "ca.issuing.certificate",
            "ca.issuing.ra_decryption.certificate",
            "ca.issuing.ra_signing.certificate",
        ];
        assert_eq!(keys[..2], ["signer.state_dir", "token.main.pin_file"]);
        assert_eq!(keys[2..], certificates);
        assert!(found[1].remedy.contains("chmod 600") && found[1].line == 10, "{}", found[1]);
        // The frontend runs as a user who cannot see these, and does not look.
        assert_eq!(errors(&config, Role::Frontend), []);

        fs::remove_file(at("pin")).unwrap();
        fs::remove_dir(at("state")).unwrap();
        let found = errors(&config, Role::Signer);
        assert!(found[0].remedy.contains("install -d -m 0700"), "{}", found[0]);
        assert!(found[1].problem.contains("cannot be read"), "{}", found[1]);
    }

    #[test]
    fn only_a_laboratory_goes_without_a_signed_and_anchored_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        let text = TEXT.replace("lab = true\n", "");
        let with = |ledger: &str| {
            fs::write(&config, format!("{text}[ledger]\n{ledger}")).unwrap();
            errors(&config, Role::Signer).into_iter().map(|e| e.problem).collect::<Vec<_>>()
        };
        let bare = with("");
        assert!(bare.iter().any(|p| p.contains("nothing signs")), "{bare:?}");
        assert!(bare.iter().any(|p| p.contains("nothing outside")), "{bare:?}");
        let verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = "log_key = { token = \"main\", label = \"log\" }\n";
        let signed = format!("{key}verifier = \"{verifier}\"\n");
        assert_eq!(with(&format!("{signed}anchor_file = \"anchor\"")), Vec::<String>::new());
        assert!(with(&signed)[0].contains("nothing outside"));
        let inside = with(&format!("{signed}anchor_file = \"state/ledger/anchor\""));
        assert!(inside[0].contains("own folder"), "{inside:?}");
        let nobody = with(&format!("{key}anchor_file = \"anchor\""));
        assert!(nobody[0].contains("no `verifier`"), "{nobody:?}");
        let shared =
            with(&format!("{}anchor_file = \"anchor\"", signed.replace("\"log\"", "\"ca\"")));
        assert!(shared[0].contains("the key of ca.issuing.key too"), "{shared:?}");
    }

    #[test]
    fn certificates_are_what_they_are_named_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        let wrong = |replace: &str, by: &str, key: &str, problem: &str| {
            fs::write(&config, TEXT.replace(replace, by)).unwrap();
            let found = errors(&config, Role::Both);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].key == key && found[0].line > 1, "{}", found[0]);
            assert!(found[0].problem.contains(problem), "{}", found[0]);
        };
        let ca = "certificate = \"ca.pem\"";
        let here = "ca.issuing.certificate";
        wrong(ca, "certificate = \"pin\"", here, "holds no certificate");
        wrong(ca, "certificate = \"signing.pem\"", here, "is not a CA's");
        let decryption = "ca.issuing.ra_decryption.certificate";
        wrong("decryption.pem", "signing.pem", decryption, "lacks keyEncipherment");
        let [_, (_, stranger), _] = certificates::tests::authority();
        fs::write(folder.path().join("other.pem"), stranger).unwrap();
        wrong("decryption.pem", "other.pem", decryption, "did not issue it");
        wrong("softhsm2", "softhsm3", "token.main.profile", "is not known");
    }

    #[test]
    fn errors_of_what_is_not_in_the_file_do_not_hide_a_misspelt_key() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        fs::write(&config, TEXT.replace("[signer]", "[singer]")).unwrap();
        let found = errors(&config, Role::Both);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].key == "singer" && found[0].remedy.contains("signer"), "{}", found[0]);
    }

    #[test]
    fn the_own_secrets_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        let secrets = folder.path().join("state/secrets");
        fs::create_dir(&secrets).unwrap();
        mode(&secrets, 0o755);
        fs::write(secrets.join("implicit-rejection.key"), [0; 31]).unwrap();
        mode(&secrets.join("implicit-rejection.key"), 0o644);
        let found = errors(&config, Role::Signer);
        assert!(found[0].problem.contains("secrets") && found[0].remedy.contains("chmod 700"));
        assert!(found[1].remedy.contains("chmod 600"), "{}", found[1]);
        assert!(found[2].problem.contains("31 bytes") && found.len() == 3, "{found:#?}");
    }

    #[test]
    fn a_challenge_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        let mac = format!("{TEXT}challenge_mac = \"hmac-sha256:{}\"\n", "0".repeat(64));
        fs::write(&config, mac).unwrap();
        let found = errors(&config, Role::Signer);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].key.as_str(), found[0].line), ("endpoint.device.challenge_mac", 21));
        assert!(found[0].remedy.contains("chancery challenge mac device"), "{}", found[0]);
        let secrets = folder.path().join("state/secrets");
        fs::create_dir(&secrets).unwrap();
        mode(&secrets, 0o700);
        fs::write(secrets.join("challenge-mac.key"), [7; 32]).unwrap();
        mode(&secrets.join("challenge-mac.key"), 0o600);
        assert_eq!(errors(&config, Role::Both), []);
    }

    #[test]
    fn a_configuration_that_everybody_may_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        mode(&config, 0o602);
        assert!(load(&config).unwrap_err()[0].remedy.contains("chmod o-w"));
        assert!(load(&folder.path().join("none.toml")).unwrap_err()[0].remedy.contains("--config"));
        let error = load(folder.path()).unwrap_err().remove(0);
        assert!(error.problem.contains("not a file"), "{error}");
        assert!(!error.remedy.contains("chmod"), "{error}");
        fs::write(&config, b"version = 1\n# \xff").unwrap();
        mode(&config, 0o600);
        assert_eq!(load(&config).unwrap_err()[0].line, 2);
    }

    #[test]
    fn a_socket_needs_a_folder_and_a_short_path() {
        let folder = tempfile::tempdir().unwrap();
        let config = complete(folder.path());
        let long = "x".repeat(110);
        let text = TEXT.replace("\"signer.sock\"", &format!("\"none/{long}\""));
        fs::write(&config, text).unwrap();
        let found = errors(&config, Role::Frontend);
        assert!(
            found[0].problem.contains("107") && found[1].problem.contains("is not there"),
            "{found:#?}"
        );
    }
}
