//! `chancery init` as root on an installed package: the first instance of this host. The token is made
//! by the signer's user, the configuration goes to /etc/chancery, the PIN to systemd's credentials.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::layout::Layout;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;

/// The users and the group of the packages.
const SIGNER: &str = "chancery-signer";
const FRONTEND: &str = "chancery-frontend";
const GROUP: &str = "chancery";

/// The signer's state, as its unit has it (StateDirectory=).
const STATE: &str = "/var/lib/chancery";

/// Where the PIN lies, readable for root alone: systemd hands it to the signer.
const PIN: &str = "/etc/chancery/credentials/hsm-pin";

/// The drop-in that names it.
const DROP_IN: &str = "/etc/systemd/system/chancery-signer.service.d/pin.conf";

/// What the drop-in says.
const LOAD_PIN: &str = "# Made by `chancery init`. `chancery credential seal` encrypts the PIN to this host.\n\
                        [Service]\nLoadCredential=hsm-pin:/etc/chancery/credentials/hsm-pin\n";

/// Makes the instance; `arguments` go to the signer's user, who makes the token. `config` is where the
/// configuration will be.
pub fn run(arguments: &[String], config: &Path, json: bool) -> Result<(), Failure> {
    let signer = user(SIGNER)?;
    let group = group(GROUP)?;
    user(FRONTEND)?;
    let layout = Layout::new(Path::new(STATE).join("lab"));
    for path in [config, Path::new(PIN), Path::new(DROP_IN)] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(
                Exit::Conflict,
                "nothing was made",
                format!("{} is there already", path.display()),
                "this host has an instance; a laboratory beside it is made by --dir DIR. To begin anew, \
                 move that file away first, and keep /var/lib/chancery if any of its certificates counts",
            ));
        }
    }
    folder(Path::new(STATE), 0o700, Some(signer))?;
    let said = as_signer(arguments, layout.folder(), signer)?;
    let made = fs::read_to_string(layout.config()).map_err(|e| failed(&layout.config(), &e))?;
    let pin =
        zeroize::Zeroizing::new(fs::read(layout.pin()).map_err(|e| failed(&layout.pin(), &e))?);
    for path in [config, Path::new(PIN), Path::new(DROP_IN)] {
        folder(path.parent().unwrap_or(Path::new("/")), 0o755, None)?;
    }
    mode(Path::new(PIN).parent().unwrap_or(Path::new("/")), 0o700)?;
    create(Path::new(PIN), &pin, 0o600)?;
    create(Path::new(DROP_IN), LOAD_PIN.as_bytes(), 0o644)?;
    // The configuration comes last: where it is, the rest is.
    create(config, installed(&made, &layout).as_bytes(), 0o640)?;
    chown(config, Some(0), Some(group)).map_err(|e| failed(config, &e))?;
    for path in [layout.pin(), layout.config()] {
        fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
    }
    fs::remove_dir(layout.run()).map_err(|e| failed(&layout.run(), &e))?;
    systemd_reads_again();
    show(&said, &layout, config, json)
}

/// The configuration of a laboratory, with the places of an installed package.
fn installed(text: &str, layout: &Layout) -> String {
    let lab = layout.folder().display();
    text.replace(
        "state_dir = \"state\"\n",
        &format!("state_dir = \"{lab}/state\"\nfrontend_user = \"{FRONTEND}\"\n"),
    )
    .replace("socket = \"run/", "socket = \"/run/chancery/")
    .replace("\"certificates/", &format!("\"{lab}/certificates/"))
    .replace("anchor_file = \"state/", &format!("anchor_file = \"{lab}/state/"))
    .replace("pin_file = \"pin\"\n", "pin_credential = \"hsm-pin\"\n")
}

/// Has the signer's user make the token, the CA and the signer's own secrets.
fn as_signer(
    arguments: &[String],
    folder: &Path,
    (uid, gid): (u32, u32),
) -> Result<serde_json::Value, Failure> {
    let stopped = |cause: &dyn std::fmt::Display| {
        let next = "mend the cause, then run it again";
        Failure::new(Exit::Failed, "nothing was made", cause, next)
    };
    let program = std::env::current_exe().map_err(|e| stopped(&e))?;
    let made = Command::new(program)
        .args(["init", "--json", "--dir"])
        .arg(folder)
        .args(arguments)
        .uid(uid)
        .gid(gid)
        .current_dir("/")
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| stopped(&e))?;
    if !made.status.success() {
        let known = Exit::MEANINGS
            .into_iter()
            .find(|(e, _)| made.status.code() == Some(e.code().into()) && *e != Exit::Ok);
        let exit = known.map_or(Exit::Failed, |(exit, _)| exit);
        let cause = format!("the user {SIGNER} could not make it; it said why above");
        return Err(Failure::new(
            exit,
            "nothing was made",
            cause,
            "do as it said, then run this again",
        ));
    }
    serde_json::from_slice(&made.stdout).map_err(|e| stopped(&e))
}

/// uid and gid of a user of the package.
fn user(name: &str) -> Result<(u32, u32), Failure> {
    let fields = entry("/etc/passwd", name)?;
    let number = |at: usize| fields.get(at).and_then(|n| n.parse().ok());
    number(2).zip(number(3)).ok_or_else(|| absent(name))
}

fn group(name: &str) -> Result<u32, Failure> {
    let fields = entry("/etc/group", name)?;
    fields.get(2).and_then(|n| n.parse().ok()).ok_or_else(|| absent(name))
}

fn entry(file: &str, name: &str) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(file).map_err(|e| failed(Path::new(file), &e))?;
    let found = text.lines().find(|line| line.split(':').next() == Some(name));
    let found = found.ok_or_else(|| absent(name))?;
    Ok(found.split(':').map(str::to_owned).collect())
}

fn absent(name: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "nothing was made",
        format!("this host has no {name}, which the package brings"),
        "install the package (systemd-sysusers makes its users), or make a laboratory by --dir DIR",
    )
}

fn folder(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| match owner {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        })
        .map_err(|e| failed(path, &e))
}

fn mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| failed(path, &e))
}

/// Writes a file that must not be there.
fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(content)?;
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    });
    written.map_err(|e| failed(path, &e))
}

/// systemd has to see the drop-in; where it does not run, there is nothing to tell.
fn systemd_reads_again() {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let done = Command::new("systemctl").arg("daemon-reload").status();
    if !done.is_ok_and(|status| status.success()) {
        output::note("chancery: run `systemctl daemon-reload` before the units are started");
    }
}

fn show(
    said: &serde_json::Value,
    layout: &Layout,
    config: &Path,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let mut said = said.clone();
        said["config"] = serde_json::json!(config);
        // It listens where the socket unit says.
        said["url"] = serde_json::Value::Null;
        return output::json(&said);
    }
    let field = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let challenge = match said["challenge"].as_str() {
        Some(text) => format!("{text}\n             (shown this once; only its MAC is kept)"),
        None => "as you gave it (only its MAC is kept)".to_owned(),
    };
    let root: PathBuf = layout.certificate("root");
    output::write(&format!(
        "The first instance of this host: {config}\n\
         \n  \
           challenge: {challenge}\n  \
           root:      {root}\n             SHA-256 {fingerprint}\n  \
           PIN:       {PIN}\n\
         \n\
         Start it:    systemctl enable --now chancery-signer chancery-frontend.socket chancery-frontend\n\
         Look at it:  chancery status; chancery doctor\n\
         Devices:     http://THIS-HOST/scep/device\n\
         \n\
         Its keys lie in SoftHSM's files (`lab = true`): nothing that it issues counts. For production, hold a\n\
         key ceremony and put its result in place by `chancery import` (docs/ceremony.md).\n",
        config = config.display(),
        root = root.display(),
        fingerprint = field("root_sha256"),
    ))
}

fn failed(path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "the instance is not complete",
        format!("{}: {e}", path.display()),
        "mend the cause, remove what was made (/var/lib/chancery/lab), then run it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn an_installed_configuration_has_the_places_of_the_package() {
        let layout = Layout::new("/var/lib/chancery/lab".into());
        let text = r#"version = 1
lab = true
[signer]
state_dir = "state"
socket = "run/signer.sock"
admin_socket = "run/admin.sock"
[ledger]
log_key = { token = "main", label = "log" }
verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
anchor_file = "state/ledger-anchor"
[token.main]
profile = "softhsm2"
label = "x"
pin_file = "pin"
[ca.issuing]
certificate = "certificates/issuing.pem"
key = { token = "main", label = "ca" }
ra_decryption = { certificate = "certificates/d.pem", key = { token = "main", label = "d" } }
ra_signing = { certificate = "certificates/s.pem", key = { token = "main", label = "s" } }
[profile.device]
[endpoint.device]
path = "/scep"
ca = "issuing"
profile = "device"
"#;
        let text = installed(text, &layout);
        let config = parse(Path::new("/etc/chancery/chancery.toml"), &text).unwrap();
        let own = format!("{:?}", config);
        assert!(!own.contains("/etc/chancery/"), "no relative path is left: {own}");
        assert_eq!(config.signer.socket, Path::new("/run/chancery/signer.sock"));
        assert_eq!(config.signer.frontend_user.as_deref(), Some(FRONTEND));
        assert!(config.token.values().all(|t| t.pin_file.is_none() && t.pin_credential.is_some()));
    }

    #[test]
    fn nothing_is_overwritten_and_modes_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        create(&path, b"1", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, b"2", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }
}
