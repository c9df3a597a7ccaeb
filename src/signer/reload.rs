//! A reload: the configuration is read again while the signer runs. Profiles, endpoints, roles and limits
//! are replaced at once; requests that are under way end under what they began with. What is wrong leaves
//! the old one in force (I9).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::challenges::origin;
use super::error::SignerError;
use super::instance::Instance;
use super::policy::{blueprints, guess_limits, query_limits, schedule, unopened_limits};
use super::roles::{RoleMap, changes as role_changes};
use super::start::summary;
use super::state;
use crate::clock::Timestamp;
use crate::config::{self, Config, ConfigError, Role};
use crate::ledger::{
    Actor, Command, Configuration, Draft, Event, Fingerprint, LedgerError, Origin, Outcome,
};
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{ConfigurationError, Reloaded, Response};

/// The longest list of changed keys, and the longest error, in an entry of the ledger, in characters.
const LONGEST: usize = 500;

/// What the signer does by itself and its process should hear of.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Another configuration is in force.
    Configuration(&'a Config),
    /// How the signer is, in a line, when that is something else.
    State(&'a str),
}

/// Who hears of it.
pub type Tell = Arc<dyn Fn(Told<'_>) + Send + Sync>;

/// The configuration that is in force.
pub(super) struct Reloads {
    path: PathBuf,
    config: RwLock<Arc<Config>>,
    roles: RwLock<Arc<RoleMap>>,
    generation: AtomicU64,
    outcome: Mutex<LastReload>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
}

/// How the last reloads ended.
#[derive(Clone, Debug)]
pub(super) struct LastReload {
    /// When the configuration in force was loaded.
    pub(super) loaded: Timestamp,
    /// Configurations that were refused since the start.
    pub(super) failures: u64,
    /// When the last attempt was refused and why, where none was better since.
    pub(super) refused: Option<(Timestamp, String)>,
}

impl Reloads {
    /// At the start of the signer.
    pub(super) fn new(config: &Config, path: PathBuf, roles: RoleMap, now: Timestamp) -> Self {
        Self {
            path,
            config: RwLock::new(Arc::new(config.clone())),
            roles: RwLock::new(Arc::new(roles)),
            // Another one at each start, so that a frontend that stayed hears of it.
            generation: AtomicU64::new(now.unix_millis()),
            outcome: Mutex::new(LastReload { loaded: now, failures: 0, refused: None }),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The configuration that is in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who may use the admin socket.
    pub(super) fn roles(&self) -> Arc<RoleMap> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another number with each configuration.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How the last reloads ended.
    pub(super) fn last(&self) -> LastReload {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ended(&self, change: impl FnOnce(&mut LastReload)) {
        change(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why a configuration does not come into force.
enum Problem {
    /// The file has errors.
    File(Vec<ConfigError>),
    /// What it names does not fit, or the change cannot be recorded.
    Other(String, &'static str),
}

impl From<SignerError> for Problem {
    fn from(e: SignerError) -> Self {
        Self::Other(e.to_string(), "correct the configuration or the files that it names")
    }
}

/// A reload that an operator asked for.
pub(super) async fn asked(instance: &Arc<Instance>, peer: Peer) -> Response {
    match reload(instance, Some(peer)).await {
        Ok(reloaded) => Response::Reloaded(reloaded),
        Err(errors) => Response::Misconfigured(errors),
    }
}

/// Reads the configuration again and puts it into force; without a peer a signal asked for it.
pub(super) async fn reload(
    instance: &Arc<Instance>,
    peer: Option<Peer>,
) -> Result<Reloaded, Vec<ConfigurationError>> {
    let reloads = &instance.reloads;
    let _turn = reloads.turn.lock().await;
    match replace(instance, peer).await {
        Ok((config, changed)) => {
            let now = instance.pipeline.clock.now();
            reloads.ended(|last| {
                *last = LastReload { loaded: now, refused: None, ..last.clone() };
            });
            let digest = config.digest();
            let (hex, keys) = (hex::encode(digest), changed.join(", "));
            log::info!(
                event = event::CONFIGURATION, configuration = hex.as_str(), changed = keys.as_str();
                "the configuration was read again and is in force"
            );
            (instance.tell)(Told::Configuration(&config));
            state::tell(instance);
            Ok(Reloaded { digest, changed })
        }
        Err(problem) => {
            let errors = errors(problem, &reloads.path);
            refused(instance, peer, &errors).await;
            Err(errors)
        }
    }
}

async fn replace(
    instance: &Arc<Instance>,
    peer: Option<Peer>,
) -> Result<(Arc<Config>, Vec<String>), Problem> {
    let reloads = &instance.reloads;
    let old = reloads.config();
    let (path, in_force) = (reloads.path.clone(), old.clone());
    let read = move || config::reload(&path, Some(Role::Signer), &in_force);
    let config = tokio::task::spawn_blocking(read).await;
    let config = config.map_err(|e| Problem::Other(e.to_string(), "try again"))?;
    let config = Arc::new(config.map_err(Problem::File)?);
    let now = instance.pipeline.clock.now();
    for endpoint in config.endpoint.values() {
        instance.rollovers.check_validity(endpoint.ca.as_str(), now)?;
    }
    let blueprints = blueprints(&config, instance.rollovers.authorities())?;
    let roles = RoleMap::new(&config)?;
    let changed = config.changes(&old);
    let digest = Fingerprint(config.digest());
    let loaded = Configuration {
        digest,
        replaces: Some(Fingerprint(old.digest())).filter(|before| *before != digest),
        summary: format!("reload; {}; changed: {}", summary(&config), shortened(&changed)),
    };
    let mut drafts =
        vec![draft(peer, "configuration", Outcome::Success, Event::ConfigLoaded(loaded))];
    let unrecorded = |e: LedgerError| {
        let cause = format!("the ledger cannot record the change: {e}");
        Problem::Other(cause, "mend that and reload again")
    };
    drafts.extend(role_changes(&config, instance.ledger()).map_err(unrecorded)?);
    instance.ledger().append(drafts).await.map_err(unrecorded)?;
    // From here on nothing fails.
    let socket = &config.signer.admin_socket;
    if let Err(e) = std::fs::set_permissions(socket, Permissions::from_mode(roles.socket_mode())) {
        log::error!(event = event::PEER; "the mode of {} stays: {e}", socket.display());
    }
    *reloads.roles.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roles);
    instance.rollovers.replace(blueprints);
    for (name, publisher) in &instance.crls {
        if let Some((_, ca)) = config.ca.iter().find(|(ca, _)| ca.as_str() == &**name) {
            publisher.reschedule(schedule(&ca.crl));
        }
    }
    let (pipeline, signer) = (&instance.pipeline, &config.signer);
    pipeline.guesses.limit(guess_limits(&signer.wrong_challenges));
    pipeline.strangers.limit(query_limits(&signer.unknown_queries));
    pipeline.unopened.limit(unopened_limits(&signer.unopened_envelopes));
    *reloads.config.write().unwrap_or_else(PoisonError::into_inner) = config.clone();
    reloads.generation.fetch_add(1, Ordering::AcqRel);
    Ok((config, changed))
}

/// Notes an attempt that came to nothing, wherever somebody may look for it.
async fn refused(instance: &Instance, peer: Option<Peer>, errors: &[ConfigurationError]) {
    let first = errors.first().map(shown).unwrap_or_default();
    let count = errors.len();
    log::error!(
        event = event::CONFIGURATION, errors = count, first = first.as_str();
        "the configuration has errors; the one before stays in force"
    );
    let now = instance.pipeline.clock.now();
    instance.reloads.ended(|last| {
        last.failures += 1;
        last.refused = Some((now, first.clone()));
    });
    state::tell(instance);
    let command = Command {
        command: "reload".into(),
        change: format!(
            "refused, {count} errors; first: {}",
            shortened(std::slice::from_ref(&first))
        ),
        dry_run: false,
    };
    let draft = draft(peer, "configuration", Outcome::Failure, Event::Command(command));
    if let Err(e) = instance.ledger().append(vec![draft]).await {
        log::error!(event = event::LEDGER; "the refused configuration is not recorded: {e}");
    }
}

fn draft(peer: Option<Peer>, object: &str, outcome: Outcome, event: Event) -> Draft {
    let (actor, origin) = match peer {
        Some(peer) => (Actor::Uid(peer.uid), origin(peer)),
        None => (Actor::System, Origin::Internal),
    };
    Draft { actor, origin, object: object.into(), outcome, event }
}

fn shown(e: &ConfigurationError) -> String {
    let place = if e.line > 0 { format!("{}:{}", e.file, e.line) } else { e.file.clone() };
    let key = if e.key.is_empty() { String::new() } else { format!(": {}", e.key) };
    format!("{place}{key}: {}", e.problem)
}

fn errors(problem: Problem, path: &std::path::Path) -> Vec<ConfigurationError> {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    match problem {
        Problem::File(errors) => errors
            .into_iter()
            .map(|e| ConfigurationError {
                file: e.file.display().to_string(),
                line: number(e.line),
                column: number(e.column),
                key: e.key,
                problem: e.problem,
                remedy: e.remedy,
            })
            .collect(),
        Problem::Other(problem, remedy) => vec![ConfigurationError {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            key: String::new(),
            problem,
            remedy: remedy.into(),
        }],
    }
}

fn shortened(items: &[String]) -> String {
    if items.is_empty() {
        return "nothing".into();
    }
    items.join(", ").chars().take(LONGEST).collect()
}
