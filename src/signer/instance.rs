//! The signer as a whole: everything that a configuration names, opened and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::authority::{Authority, one_purpose};
use super::crl::{Publisher, Tools};
use super::error::SignerError;
use super::in_flight::InFlight;
use super::observe::{self, Ends};
use super::one_time::Claims;
use super::pipeline::Pipeline;
use super::profile::profile;
use super::publication;
use super::refusals::RefusalCounter;
use super::rollover::{Blueprint, Endpoints, Plan, Rollovers};
use super::tokens::Tokens;
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, Name};
use crate::issuance::{Issuer, Profile};
use crate::ledger::{Configuration, Draft, Event, Fingerprint, Ledger, Lifecycle};
use crate::ra::{Blocklist, ChallengeKey, GuessLimits, Guesses, RequestSeal};
use crate::random::Random;
use crate::revocation::Schedule;
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
    /// The key of the seal over the requests in the ledger.
    pub request_seal: Secret,
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
    pub(super) started: Timestamp,
    /// Whether this is a laboratory.
    pub(super) lab: bool,
}

impl Instance {
    /// Opens HSM and ledger, checks keys against certificates, and records the start.
    pub(super) async fn open(
        config: &Config,
        secrets: Secrets,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>, SignerError> {
        let tokens = Tokens::open(config, secrets.pins)?;
        let metrics = Arc::new(SignerMetrics::new()?);
        let mut authorities = BTreeMap::new();
        for (name, ca) in &config.ca {
            let authority =
                Authority::new(name.as_str(), ca, &tokens, &secrets.implicit_rejection)?
                    .measured(&metrics);
            authorities.insert(name, Arc::new(authority));
        }
        one_purpose(&authorities)?;
        for warning in tokens.warnings() {
            log::warn!(event = event::HSM; "{warning}");
        }
        let profiles = profiles(config, &authorities)?;
        let key = ChallengeKey::new(secrets.challenge_key)?;
        let crls = publishers(config, &authorities)?;
        let ledger = open_ledger(config, clock.clone(), random.clone())?;
        let started = clock.now();
        let plan = Plan {
            authorities: authorities.iter().map(|(n, a)| (n.as_str().into(), a.clone())).collect(),
            next: followers(config),
            blueprints: blueprints(config, &profiles),
            key,
            crls: crls.clone(),
            folder: config.signer.next_ca_dir(),
        };
        make_folder(&plan.folder)?;
        let rollovers = Rollovers::open(plan, &ledger, started)?;
        ledger.append(start_entries(config)).await?;
        let limits = QueueLimits {
            waiting: config.signer.queue as usize,
            under_way: u32::try_from(tokens.lanes() * 4 + 32).unwrap_or(u32::MAX),
        };
        let admission = Semaphore::new(limits.waiting + limits.under_way as usize);
        let queue = Queue::start(ledger.clone(), clock.clone(), limits);
        let pipeline = Pipeline {
            ledger,
            queue,
            clock,
            random,
            seal: RequestSeal::new(secrets.request_seal)?,
            in_flight: InFlight::new(),
            subjects: InFlight::new(),
            refusals: RefusalCounter::default(),
            claims: Claims::default(),
            admission,
            guesses: Guesses::new(guess_limits(&config.signer.wrong_challenges)),
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
            started,
            lab: config.lab,
        };
        instance.publish_due().await;
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
        for publisher in self.crls.values() {
            publisher.publish_if_due(&self.crl_tools()).await;
        }
        self.rollovers.announce_due(&self.crl_tools()).await;
    }

    /// Answers one request of the frontend.
    pub(super) async fn answer(&self, request: Request) -> Response {
        match request {
            Request::Describe => Response::Description {
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
        self.pipeline.queue.drain().await;
        self.record_refusals(true).await;
        let lifecycle = Lifecycle { software: software(), reason: "told to stop".into() };
        let stopped =
            self.ledger().append(vec![Draft::of_system("signer", Event::Stop(lifecycle))]).await;
        let closed = self.ledger().close();
        let ended = self.tokens.shutdown();
        stopped?;
        closed?;
        if ended { Ok(()) } else { Err(SignerError::ModuleHangs) }
    }
}

fn profiles<'a>(
    config: &'a Config,
    authorities: &BTreeMap<&Name, Arc<Authority>>,
) -> Result<BTreeMap<&'a Name, Arc<Profile>>, SignerError> {
    let mut profiles = BTreeMap::new();
    for (name, settings) in &config.profile {
        let mut profile = profile(name.as_str(), settings);
        profile.keys.blocklists = blocklists(name, settings)?;
        profile.check().map_err(SignerError::Profile)?;
        for (ca, authority) in authorities {
            for (what, key) in authority.own_keys() {
                profile.keys.refuse_own(format!("{what} of {ca}"), key);
            }
        }
        profiles.insert(name, Arc::new(profile));
    }
    Ok(profiles)
}

/// Which CA follows which.
fn followers(config: &Config) -> BTreeMap<Arc<str>, Arc<str>> {
    let pairs = config.ca.iter().filter_map(|(name, ca)| Some((name, ca.next.as_ref()?)));
    pairs.map(|(name, next)| (name.as_str().into(), next.as_str().into())).collect()
}

/// The endpoints as they are configured.
fn blueprints(config: &Config, profiles: &BTreeMap<&Name, Arc<Profile>>) -> Vec<Blueprint> {
    // The configuration's cross-checks have seen that every profile is there.
    let all = config.endpoint.iter().filter_map(|(name, settings)| {
        let profile = profiles.get(&settings.profile)?.clone();
        Some(Blueprint { name: name.as_str().into(), settings: settings.clone(), profile })
    });
    all.collect()
}

/// The lists of keys that the profile refuses. A profile that takes RSA keys and has none is
/// shouted about: nothing else knows the keys of Debian's broken generator.
fn blocklists(name: &Name, settings: &config::Profile) -> Result<Vec<Arc<Blocklist>>, SignerError> {
    if settings.key_blocklists.is_empty() && settings.key_types.iter().any(|t| t.kind().is_rsa()) {
        let profile = name.as_str();
        log::warn!(
            event = event::CONFIGURATION, profile;
            "the profile takes RSA keys and has no key_blocklists: keys that are publicly known \
             (Debian's of 2006 to 2008, leaked ones) are not found; see docs/keys.md"
        );
    }
    let read = |path: &PathBuf| {
        let unusable = |cause: String| SignerError::KeyBlocklist { path: path.clone(), cause };
        let text = std::fs::read_to_string(path).map_err(|e| unusable(e.to_string()))?;
        let list = Blocklist::parse(&text).map_err(|e| unusable(e.to_string()))?;
        if list.is_empty() {
            return Err(unusable("it lists no key; take it out of key_blocklists".into()));
        }
        let (profile, keys) = (name.as_str(), list.len());
        let path = path.display().to_string();
        log::info!(
            event = event::CONFIGURATION, profile, path = path.as_str(), keys;
            "keys on the list are refused"
        );
        Ok(Arc::new(list))
    };
    settings.key_blocklists.iter().map(read).collect()
}

fn guess_limits(settings: &config::WrongChallenges) -> GuessLimits {
    let config::WrongChallenges { per_source, total, window } = settings;
    GuessLimits { per_source: *per_source, total: *total, window: *window }
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
        let schedule =
            Schedule { next_update: settings.crl.next_update, refresh: settings.crl.refresh };
        let file = folder.join(format!("{name}.crl"));
        let publisher =
            Publisher::open(authority.issuer.clone(), authority.signer.clone(), schedule, file)?;
        publishers.insert(name.as_str().into(), Arc::new(publisher));
    }
    Ok(publishers)
}

fn open_ledger(
    config: &Config,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<Ledger>, SignerError> {
    let store = FileStore::open(StoreOptions::new(config.signer.ledger_dir()), random)?;
    if let Some(why) = store.database_rebuilt() {
        log::warn!(event = event::LEDGER; "the index database was rebuilt from the journal: {why}");
    }
    let ledger = Ledger::open(store, clock)?;
    let abandoned = ledger.abandoned_at_open().len();
    let entries = ledger.head().size();
    log::info!(event = event::LEDGER, entries, abandoned; "the ledger is open");
    Ok(ledger)
}

fn start_entries(config: &Config) -> Vec<Draft> {
    let lifecycle = Lifecycle { software: software(), reason: String::new() };
    let configuration = Configuration {
        digest: Fingerprint(config.digest()),
        replaces: None,
        summary: format!(
            "{} endpoints, {} CAs{}",
            config.endpoint.len(),
            config.ca.len(),
            if config.lab { ", lab = true" } else { "" }
        ),
    };
    vec![
        Draft::of_system("signer", Event::Start(lifecycle)),
        Draft::of_system("configuration", Event::ConfigLoaded(configuration)),
    ]
}

fn software() -> String {
    concat!("chancery ", env!("CARGO_PKG_VERSION")).into()
}
