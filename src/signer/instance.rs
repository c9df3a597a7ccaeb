//! The signer as a whole: everything that a configuration names, opened and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::authority::{Authority, one_purpose};
use super::backup::Backups;
use super::checkpoints::{Log, is_distrusted};
use super::crl::{Publisher, Tools};
use super::envelope::Derivations;
use super::error::SignerError;
use super::in_flight::InFlight;
use super::maintenance::Maintenance;
use super::observe::{self, Ends};
use super::one_time::Claims;
use super::pipeline::Pipeline;
use super::policy::{blueprints, guess_limits, query_limits, schedule, unopened_limits};
use super::publication;
use super::refusals::RefusalCounter;
use super::reload::{Reloads, Tell};
use super::roles::RoleMap;
use super::rollover::{Endpoints, Plan, Rollovers};
use super::run::World;
use super::start;
use super::state::State;
use super::tokens::Tokens;
use super::transparency;
use super::verification::{Background, check_findings};
use super::witnesses::{self, Witnesses};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Name};
use crate::issuance::Issuer;
use crate::ledger::verify::{IssuerKeys, check_tail};
use crate::ledger::{Draft, Event, Ledger, LedgerError, Lifecycle};
use crate::ra::{ChallengeKey, Guesses};
use crate::random::Random;
use crate::secret::Secret;
use crate::signing::{Queue, QueueLimits};
use crate::store::{FileStore, StoreOptions, make_folder};
use crate::telemetry::event;
use crate::telemetry::metrics::SignerMetrics;
use crate::wire::frontend::{Request, Response};

/// The secrets of the signer, read by the command line and wiped after use.
#[derive(Debug)]
pub struct Secrets {
    /// The user PIN of each token.
    pub pins: BTreeMap<Name, Secret>,
    /// The key under which challenges are kept.
    pub challenge_key: Secret,
    /// The key of the seal over the requests in the ledger; none where it comes from a token.
    pub request_seal: Option<Secret>,
    /// From what the substitutes of content keys that cannot be decrypted come (I7).
    pub implicit_rejection: Secret,
}

/// Everything that serves requests.
pub(super) struct Instance {
    /// The endpoints, and how far the rollovers of their CAs are.
    pub(super) rollovers: Rollovers,
    /// Every CA, whether or not an endpoint uses it.
    pub(super) issuers: Vec<Arc<Issuer>>,
    /// When the certificates of every CA end.
    pub(super) authorities: Vec<Ends>,
    /// The folder of the ledger.
    pub(super) ledger_dir: PathBuf,
    /// The CAs that sign lists, by their names.
    pub(super) crls: BTreeMap<Arc<str>, Arc<Publisher>>,
    /// Held while a certificate's status is looked at and changed.
    pub(super) status_changes: tokio::sync::Mutex<()>,
    pub(super) pipeline: Pipeline,
    pub(super) tokens: Tokens,
    pub(super) backups: Backups,
    /// What signs the ledger's checkpoints; none in a laboratory that does without.
    pub(super) log: Option<Log>,
    /// The verification of the ledger in the background.
    pub(super) verification: Background,
    /// Set when the end has begun.
    stopping: AtomicBool,
    /// Who cosigns the ledger's checkpoints.
    pub(super) witnesses: Witnesses,
    pub(super) started: Timestamp,
    /// The configuration that is in force, and how it is replaced.
    pub(super) reloads: Reloads,
    /// Who hears of what the signer does by itself.
    pub(super) tell: Tell,
    /// What was told of how it is.
    pub(super) state: State,
    /// Whether this is a laboratory.
    pub(super) lab: bool,
}

impl Instance {
    /// Opens HSM and ledger, checks keys against certificates, and records the start.
    pub(super) async fn open(
        config: &Config,
        secrets: Secrets,
        world: World,
    ) -> Result<Arc<Self>, SignerError> {
        let World { clock, random, configuration, tell, .. } = world;
        let roles = RoleMap::new(config)?;
        let tokens = Tokens::open(config, secrets.pins)?;
        let metrics = Arc::new(SignerMetrics::new()?);
        let mut authorities = BTreeMap::new();
        for (name, ca) in &config.ca {
            let authority =
                Authority::new(name.as_str(), ca, &tokens, &secrets.implicit_rejection)?
                    .measured(&metrics);
            authorities.insert(name, Arc::new(authority));
        }
        let seal = tokens.seal(config, secrets.request_seal)?;
        let log = Log::open(config, &tokens)?;
        one_purpose(&authorities, log.as_ref().map(|l| l.note_key().public_key()))?;
        for warning in tokens.warnings() {
            log::warn!(event = event::HSM; "{warning}");
        }
        let blueprints =
            blueprints(config, authorities.iter().map(|(name, a)| (name.as_str(), &**a)))?;
        let key = ChallengeKey::new(secrets.challenge_key)?;
        let crls = publishers(config, &authorities)?;
        let keys = authorities.values().map(|a| &a.issuer);
        let known = Known { log: log.as_ref(), issuers: issuer_keys(keys) };
        let ledger = open_ledger(config, known, clock.clone(), random.clone())?;
        let started = clock.now();
        let plan = Plan {
            authorities: authorities.iter().map(|(n, a)| (n.as_str().into(), a.clone())).collect(),
            next: followers(config),
            key,
            crls: crls.clone(),
            folder: config.signer.next_ca_dir(),
        };
        make_folder(&plan.folder)?;
        let rollovers = Rollovers::open(plan, blueprints, &ledger, started)?;
        let backups = Backups::open(config, &configuration, &ledger)?;
        if ledger.refusal().is_none() {
            ledger.append(start::entries(config, &ledger)?).await?;
        }
        let limits = QueueLimits {
            waiting: config.signer.queue as usize,
            under_way: u32::try_from(tokens.lanes() * 4 + 32).unwrap_or(u32::MAX),
        };
        let admission = Semaphore::new(limits.waiting + limits.under_way as usize);
        let queue = Queue::start(ledger.clone(), clock.clone(), limits);
        let maintenance = Maintenance::open(&ledger)?;
        let pipeline = Pipeline {
            maintenance,
            ledger,
            queue,
            clock,
            random,
            seal,
            in_flight: InFlight::new(),
            subjects: InFlight::new(),
            keys: InFlight::new(),
            refusals: RefusalCounter::default(),
            claims: Claims::default(),
            admission,
            guesses: Guesses::new(guess_limits(&config.signer.wrong_challenges)),
            strangers: Guesses::new(query_limits(&config.signer.unknown_queries)),
            unopened: Guesses::new(unopened_limits(&config.signer.unopened_envelopes)),
            derivations: Derivations::new(),
            metrics,
        };
        let instance = Self {
            rollovers,
            issuers: authorities.values().map(|a| a.issuer.clone()).collect(),
            authorities: authorities.values().map(|a| a.ends()).collect(),
            ledger_dir: config.signer.ledger_dir(),
            crls,
            status_changes: tokio::sync::Mutex::new(()),
            pipeline,
            tokens,
            backups,
            witnesses: Witnesses::open(config, log.as_ref().map(Log::note_key))?,
            log,
            verification: Background::new(config.ledger.verify_every, &config.signer.ledger_dir()),
            stopping: AtomicBool::new(false),
            started,
            reloads: Reloads::new(config, configuration, roles, started),
            tell,
            state: State::default(),
            lab: config.lab,
        };
        instance.publish_due().await;
        instance.sign_due().await;
        Ok(Arc::new(instance))
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.pipeline.ledger
    }

    /// What making a list needs.
    pub(super) fn crl_tools(&self) -> Tools<'_> {
        let Pipeline { ledger, queue, clock, metrics, .. } = &self.pipeline;
        Tools { ledger, queue, clock: clock.as_ref(), metrics }
    }

    /// The endpoints as they are now.
    pub(super) fn endpoints(&self) -> Arc<Endpoints> {
        self.rollovers.endpoints()
    }

    /// Makes every list and announcement that is due; one that cannot be made is tried again at the
    /// next call.
    pub(super) async fn publish_due(&self) {
        if self.ledger().refusal().is_some() {
            return;
        }
        for publisher in self.crls.values() {
            publisher.publish_if_due(&self.crl_tools()).await;
        }
        self.rollovers.announce_due(&self.crl_tools()).await;
    }

    /// Whether the end has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Signs the ledger's head where that is due.
    pub(super) async fn sign_due(&self) {
        if let Some(log) = &self.log {
            log.sign_if_due(self.ledger(), self.pipeline.clock.now()).await;
        }
    }

    /// Answers one request of the frontend.
    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Response {
        match request {
            Request::WitnessWork => Response::WitnessWork(self.witnesses.work(self)),
            Request::WitnessAnswer(answer) => {
                self.witnesses.answered(&answer, self.pipeline.clock.now());
                Response::Noted
            }
            Request::LogCheckpoint | Request::LogTile { .. } => {
                transparency::published(self, request).await
            }
            Request::Describe => Response::Description {
                generation: self.reloads.generation(),
                endpoints: self.endpoints().values().map(|e| e.description.clone()).collect(),
                documents: publication::documents(self),
            },
            Request::Metrics => {
                observe::metrics(self).map_or_else(Response::Unavailable, Response::Metrics)
            }
            Request::Health => Response::Health { problems: observe::problems(self) },
            Request::PkiOperation { endpoint, source, message } => {
                match self.endpoints().get(endpoint.as_str()).cloned() {
                    Some(endpoint) => {
                        self.pipeline.pki_operation(&endpoint, source, &message).await
                    }
                    None => Response::UnknownEndpoint,
                }
            }
        }
    }

    /// Counts a user who may not use a socket of the signer; false, so that it is turned away.
    pub(super) fn turned_away(&self, uid: u32, reason: &'static str) -> bool {
        self.pipeline.refusals.count_user(self.pipeline.clock.now(), uid, reason);
        false
    }

    /// Puts the counted refusals of past minutes into the ledger; of all minutes at shutdown.
    pub(super) async fn record_refusals(&self, at_shutdown: bool) {
        let now = (!at_shutdown).then(|| self.pipeline.clock.now());
        let due = self.pipeline.refusals.due(now);
        if due.is_empty() {
            return;
        }
        if let Err(e) = self.ledger().append(due).await {
            log::error!(event = event::LEDGER; "counted refusals were not recorded: {e}");
        }
    }

    /// Ends in order: what is queued is finished, what was done is recorded, then the ledger and
    /// the HSM are closed.
    pub(super) async fn close(&self) -> Result<(), SignerError> {
        self.stopping.store(true, Ordering::Relaxed);
        self.pipeline.queue.drain().await;
        self.record_refusals(true).await;
        let lifecycle = Lifecycle { software: software(), reason: "told to stop".into() };
        let stopped = match self.ledger().refusal() {
            Some(LedgerError::Poisoned(_)) | None => {
                let stop = Draft::of_system("signer", Event::Stop(lifecycle));
                self.ledger().append(vec![stop]).await.map(|_| ())
            }
            // In maintenance mode there is nothing to record it in.
            Some(_) => Ok(()),
        };
        if let Some(log) = self.log.as_ref().filter(|_| self.ledger().refusal().is_none()) {
            log.sign_last(self.ledger(), self.pipeline.clock.now()).await;
        }
        let closed = self.ledger().close();
        let ended = self.tokens.shutdown();
        stopped?;
        closed?;
        if ended { Ok(()) } else { Err(SignerError::ModuleHangs) }
    }
}

/// Which CA follows which.
fn followers(config: &Config) -> BTreeMap<Arc<str>, Arc<str>> {
    let pairs = config.ca.iter().filter_map(|(name, ca)| Some((name, ca.next.as_ref()?)));
    pairs.map(|(name, next)| (name.as_str().into(), next.as_str().into())).collect()
}

/// The CAs that sign lists, each with its file.
fn publishers(
    config: &Config,
    authorities: &BTreeMap<&Name, Arc<Authority>>,
) -> Result<BTreeMap<Arc<str>, Arc<Publisher>>, SignerError> {
    let folder = config.signer.crl_dir();
    make_folder(&folder)?;
    let mut publishers = BTreeMap::new();
    for (name, settings) in config.ca.iter().filter(|(_, ca)| ca.crl.enabled) {
        let Some(authority) = authorities.get(name) else { continue };
        authority.check_crl_sign(&settings.certificate)?;
        let schedule = schedule(&settings.crl);
        let file = folder.join(format!("{name}.crl"));
        let publisher =
            Publisher::open(authority.issuer.clone(), authority.signer.clone(), schedule, file)?;
        publishers.insert(name.as_str().into(), Arc::new(publisher));
    }
    Ok(publishers)
}

/// What the ledger is held against when it is opened.
struct Known<'a> {
    log: Option<&'a Log>,
    issuers: IssuerKeys,
}

/// The keys of `issuers`, each under the name that the ledger has for it.
pub(super) fn issuer_keys<'a>(issuers: impl IntoIterator<Item = &'a Arc<Issuer>>) -> IssuerKeys {
    let key = |i: &Arc<Issuer>| (i.id().to_owned(), i.certificate().public_key().clone());
    issuers.into_iter().map(key).collect()
}

fn open_ledger(
    config: &Config,
    known: Known<'_>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<Ledger>, SignerError> {
    match try_ledger(config, known, clock, random) {
        // What a person has to look at does not end the signer: its lists and its status are needed.
        Err(e) if is_distrusted(&e) => {
            log::error!(event = event::LEDGER; "maintenance mode, nothing is signed: {e}");
            Ok(Ledger::unavailable(e))
        }
        opened => Ok(opened?),
    }
}

fn try_ledger(
    config: &Config,
    known: Known<'_>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<Ledger>, LedgerError> {
    let mut options = StoreOptions::new(config.signer.ledger_dir());
    check_findings(&options.folder)?;
    if let Some(log) = known.log {
        options.known_heads = log.known_heads(&options.folder, &witnesses::cosigned(config))?;
    }
    let store = FileStore::open(options, random)?;
    if let Some(why) = store.database_rebuilt() {
        log::warn!(event = event::LEDGER; "the index database was rebuilt from the journal: {why}");
    }
    // Before anything is appended, since the next checkpoint signs whatever stands there.
    check_tail(&*store, store.signed_at_open(), known.issuers)?;
    let ledger = Ledger::open(store, clock)?;
    let abandoned = ledger.abandoned_at_open().len();
    let entries = ledger.head().size();
    log::info!(event = event::LEDGER, entries, abandoned; "the ledger is open");
    Ok(ledger)
}

pub(super) fn software() -> String {
    concat!("chancery ", env!("CARGO_PKG_VERSION")).into()
}
