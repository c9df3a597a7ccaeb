//! The subcommand: arguments, the order of the steps, what is printed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::keys::{SEAL_LABEL, make_keys, make_token};
use super::layout::{Layout, Staging, write};
use super::{certificates, system, text};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{challenge, environment, ledger_key, output, secrets};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Role, load_for};
use crate::hsm::softhsm_conf;
use crate::pki::{Certificate, KeyKind};
use crate::ra::{ChallengeKey, RequestSeal, generate};
use crate::random::SystemRandom;
use crate::secret::Secret;

/// The arguments of `chancery init`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The laboratory's folder; it must not be there, or be empty. Without it, as root on an installed
    /// package: the first instance of this host, its configuration at --config, its token made by the
    /// user chancery-signer
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The kind of the CAs' keys
    #[arg(long, value_enum, value_name = "KIND", default_value_t = CaKey::Rsa3072)]
    ca_key: CaKey,
    /// The CAs' name; their subjects are "CN=NAME Root CA" and so on
    #[arg(long, value_name = "NAME", default_value = "Chancery Lab")]
    name: String,
    /// Where the frontend will listen; port 0 takes a free one at each start
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Make a second issuing CA, too, that follows the first: to try a rollover
    #[arg(long)]
    next_ca: bool,
    /// Read the challenge password from standard input instead of making one
    #[arg(long)]
    challenge_stdin: bool,
}

/// A kind of CA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CaKey {
    /// RSA with 2048 bits
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits
    #[value(name = "rsa-4096")]
    Rsa4096,
    /// EC on P-256
    #[value(name = "p-256")]
    P256,
    /// EC on P-384
    #[value(name = "p-384")]
    P384,
}

impl CaKey {
    const fn kind(self) -> KeyKind {
        match self {
            Self::Rsa2048 => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
            Self::P256 => KeyKind::P256,
            Self::P384 => KeyKind::P384,
        }
    }
}

/// Makes the laboratory.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    environment::harden()?;
    let Some(dir) = &arguments.dir else {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(
                Exit::Usage,
                "nothing was made",
                "only root makes the instance of an installed package",
                "name a folder for a laboratory by --dir DIR, or run this as root",
            ));
        }
        let config =
            std::path::absolute(&common.config).map_err(|e| unusable(&common.config, &e))?;
        return system::run(&passed_on(arguments), &config, common.json);
    };
    let wanted = std::path::absolute(dir).map_err(|e| unusable(dir, &e))?;
    check_length(&Layout::new(wanted.clone()))?;
    let staging = enter(&wanted)?;
    let complete = Arc::new(Mutex::new(false));
    remove_when_interrupted(&staging, Arc::clone(&complete))?;
    let made = make(arguments, &staging);
    // An interruption holds this to the end of the process: it has the last word, or we have it.
    let mut complete = complete.lock().map_err(|e| failed(&e))?;
    let Made { challenge, root } = made?;
    let layout = staging.wanted();
    staging.finish()?;
    *complete = true;
    drop(complete);

    // The one time that a challenge is shown: it was made for this.
    let shown = (!arguments.challenge_stdin)
        .then(|| String::from_utf8_lossy(challenge.expose()).into_owned());
    // Which port 0 will be, the frontend alone knows, and says at each start.
    let url = (arguments.listen.port() != 0)
        .then(|| format!("http://{}{}", arguments.listen, text::PATH));
    let fingerprint = hex::encode(root.fingerprint());
    if common.json {
        return output::json(&serde_json::json!({
            "folder": layout.folder(),
            "config": layout.config(),
            "url": url,
            "challenge": shown,
            "chain": layout.certificate("issuing"),
            "root": layout.certificate("root"),
            "root_sha256": fingerprint,
        }));
    }
    let url = url.unwrap_or_else(|| {
        let host = match arguments.listen.ip() {
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        };
        format!(
            "http://{host}:PORT{}\n             (PORT: what the frontend logs when it starts)",
            text::PATH
        )
    });
    output::write(&text::next(&layout, &url, shown.as_deref(), &fingerprint, &invoked_as()))
}

/// The arguments for the user who makes the token.
fn passed_on(arguments: &Arguments) -> Vec<String> {
    let key = arguments.ca_key.to_possible_value();
    let key = key.map_or_else(String::new, |value| value.get_name().to_owned());
    let mut all = vec!["--ca-key".to_owned(), key, "--name".to_owned(), arguments.name.clone()];
    all.extend(["--listen".to_owned(), arguments.listen.to_string()]);
    let switches =
        [(arguments.next_ca, "--next-ca"), (arguments.challenge_stdin, "--challenge-stdin")];
    all.extend(switches.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()));
    all
}

/// How this program was called, so that the command printed can be copied.
fn invoked_as() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "chancery".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The name of the laboratory's log.
const LOG_NAME: &str = "chancery-lab/ledger";

/// What is told of a laboratory that was made.
struct Made {
    challenge: Secret,
    root: Certificate,
}

/// Makes all files in the staging folder.
fn make(arguments: &Arguments, staging: &Staging) -> Result<Made, Failure> {
    let challenge = match arguments.challenge_stdin {
        true => challenge::check(secrets::from_stdin("Challenge password")?)?,
        false => generate(&SystemRandom).map_err(|e| failed(&e))?,
    };
    let layout = staging.layout();
    let hsm = make_token(layout, &SystemRandom)?;
    let keys = make_keys(&hsm, arguments.ca_key.kind(), arguments.next_ca, &SystemRandom)?;
    hsm.derived_secret(SEAL_LABEL, RequestSeal::CONTEXT).map_err(|e| failed(&e))?;
    let now = SystemClock.now();
    let root = certificates::make(&arguments.name, &hsm, &keys, layout, &SystemRandom, now)?;
    // The token's files are about to move.
    hsm.shutdown();
    drop(hsm);

    secrets::key(&layout.secrets().join("implicit-rejection.key"), &SystemRandom)?;
    let key = secrets::key(&layout.secrets().join("challenge-mac.key"), &SystemRandom)?;
    let mac = ChallengeKey::new(key)
        .and_then(|key| key.mac(text::ENDPOINT, &challenge))
        .map_err(|e| failed(&e))?;
    let wanted = staging.wanted();
    let log = ledger_key::named(LOG_NAME, &keys.log.public_key)?;
    let config = text::config(&wanted, arguments.listen, &keys, &log, &mac);
    secrets::create(&layout.config(), config.as_bytes())?;
    load_for(&layout.config(), Role::Both).map_err(|errors| Failure::configuration(&errors))?;
    let conf = layout.softhsm_conf();
    std::fs::remove_file(&conf).map_err(|e| unusable(&conf, &e))?;
    write(&conf, &softhsm_conf(&wanted.tokens()))?;
    Ok(Made { challenge, root })
}

/// Enters the staging folder in a process whose environment names its SoftHSM configuration: the
/// first time the process replaces itself by one.
fn enter(wanted: &Path) -> Result<Staging, Failure> {
    let resumed = environment::was_replaced();
    let staging = Staging::enter(wanted, resumed)?;
    let conf = staging.layout().softhsm_conf();
    if !resumed {
        write(&conf, &softhsm_conf(&staging.layout().tokens()))?;
    }
    let variables = BTreeMap::from([(OsString::from("SOFTHSM2_CONF"), conf.into_os_string())]);
    // On success this does not return here but in the new process.
    environment::replace_unless(&variables).map(|()| staging)
}

/// Sockets have short paths: what will not fit is refused now.
fn check_length(layout: &Layout) -> Result<(), Failure> {
    // The longest name beside the sockets: what `chancery serve` is notified through.
    let longest = layout.run().join(".frontend.notify");
    let length = longest.as_os_str().len();
    if length > 107 {
        return Err(Failure::new(
            Exit::Failed,
            "nothing was made",
            format!(
                "the path is too long: a socket's path may have 107 bytes, {} has {length}",
                longest.display()
            ),
            format!("choose a --dir that is {} bytes shorter", length - 107),
        ));
    }
    Ok(())
}

/// From here on SIGINT and SIGTERM remove the unfinished files before they end the process.
fn remove_when_interrupted(staging: &Staging, complete: Arc<Mutex<bool>>) -> Result<(), Failure> {
    let (unfinished, wanted) = (staging.layout().folder().to_owned(), staging.wanted());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| failed(&e))?;
    // The handlers are in place before the token is made.
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let handler = |kind| signal(kind).map_err(|e| failed(&e));
        (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?)
    };
    let thread = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Held to the end of the process.
        let complete = complete.lock();
        if complete.as_ref().is_ok_and(|complete| **complete) {
            let folder = wanted.folder().display();
            output::note(&format!(
                "chancery: interrupted, but {folder} is complete; delete it, or take a new challenge by \
                 `chancery challenge mac`"
            ));
        } else {
            output::note("chancery: interrupted; nothing was made");
            Staging::remove(&unfinished);
        }
        std::process::exit(Exit::Failed.code().into());
    });
    thread.map(|_| ()).map_err(|e| failed(&e))
}

fn unusable(path: &Path, e: &std::io::Error) -> Failure {
    let cause = format!("{}: {e}", path.display());
    Failure::new(Exit::Failed, "nothing was made", cause, "choose another --dir")
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, "nothing was made", cause, "mend the cause, then run it again")
}
