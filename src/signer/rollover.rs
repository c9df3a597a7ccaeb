//! A CA's rollover (RFC 8894 sections 4.7 and 5.1): the configuration says who follows whom, the
//! ledger's entries how far it is, and from both follows what each endpoint offers.
//!
//! The envelope decides: a request to the RA of one CA is issued under that CA and answered by that RA,
//! so that no device gets a certificate of a CA that it does not know yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::authority::Authority;
use super::challenges::origin;
use super::crl::{Publisher, Tools};
use super::endpoint::{Endpoint, Kin};
use super::error::SignerError;
use super::next_ca::{self, AnnouncementError};
use crate::clock::Timestamp;
use crate::config;
use crate::issuance::Profile;
use crate::ledger::{
    Actor, Draft, Event, Fingerprint, Ledger, LedgerError, Outcome, RolloverStage,
};
use crate::ra::ChallengeKey;
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{Rollover as Shown, RolloverStep};

/// The endpoints by their names.
pub(super) type Endpoints = BTreeMap<Arc<str>, Arc<Endpoint>>;

/// An endpoint as it is configured, whichever CA it offers now.
pub(super) struct Blueprint {
    pub(super) name: Arc<str>,
    pub(super) settings: config::Endpoint,
    pub(super) profile: Arc<Profile>,
}

/// What never changes while the signer runs.
pub(super) struct Plan {
    pub(super) authorities: BTreeMap<Arc<str>, Arc<Authority>>,
    /// Which CA follows which.
    pub(super) next: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) key: ChallengeKey,
    pub(super) crls: BTreeMap<Arc<str>, Arc<Publisher>>,
    /// Where the announcements are kept.
    pub(super) folder: PathBuf,
}

/// How far the rollovers are, and what follows from it.
pub(super) struct Rollovers {
    plan: Plan,
    state: RwLock<State>,
    /// One step at a time.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    blueprints: Vec<Blueprint>,
    stages: Stages,
    /// The answers to GetNextCACert, by the CA that signed them.
    announcements: BTreeMap<Arc<str>, Vec<u8>>,
    endpoints: Arc<Endpoints>,
}

/// The last stage of each CA, by its certificate's fingerprint: another certificate under an old name
/// has not come as far.
#[derive(Clone, Debug, Default)]
struct Stages(BTreeMap<[u8; 32], RolloverStage>);

impl Stages {
    fn read(ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut stages = Self::default();
        for sequence in ledger.of_event("rollover")? {
            if let Some(Event::Rollover(r)) = ledger.entry(sequence)?.map(|e| e.event) {
                stages.0.insert(Fingerprint::of(&r.certificate).0, r.stage);
            }
        }
        Ok(stages)
    }

    fn of(&self, authority: &Authority) -> Option<RolloverStage> {
        self.0.get(&authority.issuer.certificate().fingerprint()).copied()
    }

    fn was_activated(&self, authority: &Authority) -> bool {
        matches!(self.of(authority), Some(RolloverStage::Activated | RolloverStage::Retired))
    }
}

impl Plan {
    fn authority(&self, ca: &str) -> Option<&Arc<Authority>> {
        self.authorities.get(ca)
    }

    fn next(&self, ca: &str) -> Option<&Arc<Authority>> {
        self.authority(self.next.get(ca)?)
    }

    fn previous(&self, ca: &str) -> Option<&Arc<Authority>> {
        let (previous, _) = self.next.iter().find(|(_, next)| &***next == ca)?;
        self.authority(previous)
    }

    /// The CA that an endpoint of `ca` offers. The configuration has no circles.
    fn current<'a>(&'a self, ca: &'a str, stages: &Stages) -> &'a str {
        let mut current = ca;
        while let Some(next) = self.next(current).filter(|next| stages.was_activated(next)) {
            current = next.issuer.id();
        }
        current
    }

    /// The CAs beside `current` whose requests are accepted: the one before until it is retired, and
    /// the one after once it is staged.
    fn overlapping(&self, current: &str, stages: &Stages) -> Vec<&Arc<Authority>> {
        let activated = self.authority(current).is_some_and(|a| stages.was_activated(a));
        let previous = self
            .previous(current)
            .filter(|p| activated && stages.of(p) != Some(RolloverStage::Retired));
        let next = self.next(current).filter(|n| stages.of(n) == Some(RolloverStage::Staged));
        previous.into_iter().chain(next).collect()
    }

    /// Every CA that follows or is followed by `ca`, with itself.
    fn kin(&self, ca: &str) -> Vec<Kin> {
        let mut first = ca;
        while let Some(previous) = self.previous(first) {
            first = previous.issuer.id();
        }
        let line = std::iter::successors(self.authority(first), |a| self.next(a.issuer.id()));
        line.map(|a| Kin { issuer: a.issuer.clone(), crl: self.crls.get(a.issuer.id()).cloned() })
            .collect()
    }

    fn endpoints(
        &self,
        blueprints: &[Blueprint],
        stages: &Stages,
        announcements: &BTreeMap<Arc<str>, Vec<u8>>,
    ) -> Endpoints {
        let mut endpoints = Endpoints::new();
        for blueprint in blueprints {
            let current = self.current(blueprint.settings.ca.as_str(), stages);
            let Some(authority) = self.authority(current) else { continue };
            let kin = self.kin(current);
            let beside = self.overlapping(current, stages);
            let others = beside.iter().map(|other| {
                let recipients = vec![other.ra_decryption.clone()];
                let endpoint =
                    Endpoint::new(blueprint, other, &self.key, kin.clone(), recipients, None);
                Arc::new(endpoint)
            });
            let others: Vec<Arc<Endpoint>> = others.collect();
            let recipients = std::iter::once(authority).chain(beside);
            let recipients = recipients.map(|a| a.ra_decryption.clone()).collect();
            let is_staged =
                self.next(current).is_some_and(|n| stages.of(n) == Some(RolloverStage::Staged));
            let announced = announcements.get(current).filter(|_| is_staged).cloned();
            let mut endpoint =
                Endpoint::new(blueprint, authority, &self.key, kin, recipients, announced);
            endpoint.others = others;
            endpoints.insert(blueprint.name.clone(), Arc::new(endpoint));
        }
        endpoints
    }

    fn file(&self, ca: &str) -> PathBuf {
        self.folder.join(format!("{ca}.p7s"))
    }
}

impl Rollovers {
    /// Reads from the ledger how far the rollovers are. A CA that an endpoint needs must be valid; one
    /// that was followed by another may have ended, and one that is not activated may begin later.
    pub(super) fn open(
        plan: Plan,
        blueprints: Vec<Blueprint>,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<Self, SignerError> {
        // In maintenance mode nothing is issued, whichever CA an endpoint offers.
        let in_service = ledger.refusal().is_none();
        let stages = if in_service { Stages::read(ledger)? } else { Stages::default() };
        for (name, authority) in &plan.authorities {
            let Err(problem) = authority.check_validity(now) else { continue };
            let is_direct = blueprints.iter().any(|b| b.settings.ca.as_str() == &**name);
            let followed = plan.next(name).is_some_and(|n| stages.was_activated(n));
            let upcoming =
                plan.previous(name).is_some() && !stages.was_activated(authority) && !is_direct;
            if !followed && !upcoming && in_service {
                return Err(problem);
            }
            log::warn!(event = event::CONFIGURATION, ca = &**name; "{problem}");
        }
        let mut announcements = BTreeMap::new();
        for (name, authority) in &plan.authorities {
            let next = plan.next(name).filter(|n| stages.of(n) == Some(RolloverStage::Staged));
            if let Some(next) = next
                && let Some(message) = next_ca::kept(authority, next, &plan.file(name))
            {
                announcements.insert(name.clone(), message);
            }
        }
        let endpoints = Arc::new(plan.endpoints(&blueprints, &stages, &announcements));
        let state = RwLock::new(State { blueprints, stages, announcements, endpoints });
        Ok(Self { plan, state, turn: tokio::sync::Mutex::new(()) })
    }

    /// The endpoints as they are now.
    pub(super) fn endpoints(&self) -> Arc<Endpoints> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).endpoints.clone()
    }

    /// Every CA.
    pub(super) fn authorities(&self) -> impl Iterator<Item = (&str, &Authority)> {
        self.plan.authorities.iter().map(|(name, authority)| (&**name, &**authority))
    }

    /// Whether the CA that endpoints of `ca` would offer is valid now.
    pub(super) fn check_validity(&self, ca: &str, now: Timestamp) -> Result<(), SignerError> {
        let offered = self.plan.authority(self.plan.current(ca, &self.stages()));
        offered.map_or(Ok(()), |authority| authority.check_validity(now))
    }

    /// Serves other endpoints from now on; requests that are under way keep theirs.
    pub(super) fn replace(&self, blueprints: Vec<Blueprint>) {
        self.change(|state| state.blueprints = blueprints);
    }

    fn stages(&self) -> Stages {
        self.state.read().unwrap_or_else(PoisonError::into_inner).stages.clone()
    }

    fn is_announced(&self, ca: &str) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.announcements.contains_key(ca)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let endpoints = self.plan.endpoints(&state.blueprints, &state.stages, &state.announcements);
        state.endpoints = Arc::new(endpoints);
    }

    /// Makes the announcements that are due and not there, such as after a restore of the ledger
    /// alone; what cannot be made is tried again at the next call.
    pub(super) async fn announce_due(&self, tools: &Tools<'_>) {
        let _turn = self.turn.lock().await;
        let stages = self.stages();
        for (name, authority) in &self.plan.authorities {
            let next = self.plan.next(name);
            let Some(next) = next.filter(|n| stages.of(n) == Some(RolloverStage::Staged)) else {
                continue;
            };
            if self.is_announced(name) {
                continue;
            }
            if let Err(e) = self.announce(tools, authority, next).await {
                log::error!(event = event::ROLLOVER, ca = &**name; "GetNextCACert has no answer: {e}");
            }
        }
    }

    async fn announce(
        &self,
        tools: &Tools<'_>,
        current: &Authority,
        next: &Authority,
    ) -> Result<(), AnnouncementError> {
        let id = current.issuer.id();
        let message = next_ca::announce(tools, current, next, &self.plan.file(id)).await?;
        self.change(|state| drop(state.announcements.insert(id.into(), message)));
        Ok(())
    }

    /// Does one step of the rollover of `ca`; the error says what to do first.
    pub(super) async fn step(
        &self,
        tools: &Tools<'_>,
        peer: Peer,
        ca: &str,
        step: RolloverStep,
    ) -> Result<Shown, String> {
        let _turn = self.turn.lock().await;
        let current = self.plan.authority(ca).ok_or_else(|| {
            let known: Vec<&str> = self.plan.authorities.keys().map(AsRef::as_ref).collect();
            format!("there is no [ca.{ca}]; the configuration has {}", known.join(", "))
        })?;
        let next = self.plan.next(ca).ok_or_else(|| {
            format!(
                "no CA follows {ca}; configure the next one as [ca.NAME] with its own keys, name it by \
                 next = \"NAME\" in [ca.{ca}], and restart the signer"
            )
        })?;
        let stages = self.stages();
        let now = tools.clock.now();
        let id = next.issuer.id();
        let at = stages.of(next);
        let (about, stage) = match (step, at) {
            (RolloverStep::Stage, None | Some(RolloverStage::Imported)) => {
                if let Some(previous) = self.plan.previous(ca)
                    && stages.of(previous) != Some(RolloverStage::Retired)
                    && stages.was_activated(current)
                {
                    let old = previous.issuer.id();
                    return Err(format!("retire {old} first: chancery ca rollover retire {old}"));
                }
                if next.issuer.certificate().not_after() <= now {
                    return Err(format!("the certificate of {id} has ended; make a new one"));
                }
                self.announce(tools, current, next).await.map_err(|e| e.to_string())?;
                (next, RolloverStage::Staged)
            }
            (RolloverStep::Stage, _) => {
                return Err(format!("{id} is {} already", word(at, stages.of(current))));
            }
            (RolloverStep::Activate, Some(RolloverStage::Staged)) => {
                next.check_validity(now).map_err(|e| e.to_string())?;
                (next, RolloverStage::Activated)
            }
            (RolloverStep::Activate, None | Some(RolloverStage::Imported)) => {
                return Err(format!("stage {id} first: chancery ca rollover stage {ca}"));
            }
            (RolloverStep::Activate, _) => {
                return Err(format!("{id} was activated already"));
            }
            (RolloverStep::Retire, Some(RolloverStage::Activated | RolloverStage::Retired)) => {
                if stages.of(current) == Some(RolloverStage::Retired) {
                    return Err(format!("{ca} was retired already"));
                }
                (current, RolloverStage::Retired)
            }
            (RolloverStep::Retire, _) => {
                return Err(format!("{ca} still issues; first chancery ca rollover activate {ca}"));
            }
        };
        self.record(tools, peer, (ca, id), about, stage).await.map_err(|e| e.to_string())?;
        Ok(self.shown(ca, next))
    }

    async fn record(
        &self,
        tools: &Tools<'_>,
        peer: Peer,
        (ca, next): (&str, &str),
        about: &Authority,
        stage: RolloverStage,
    ) -> Result<(), LedgerError> {
        let certificate = about.issuer.certificate();
        let draft = Draft {
            actor: Actor::Uid(peer.uid),
            origin: origin(peer),
            object: format!("{ca} to {next}"),
            outcome: Outcome::Success,
            event: Event::Rollover(crate::ledger::Rollover {
                issuer: about.issuer.id().into(),
                stage,
                certificate: certificate.der().into(),
            }),
        };
        tools.ledger.append(vec![draft]).await?;
        self.change(|state| {
            state.stages.0.insert(certificate.fingerprint(), stage);
            if stage == RolloverStage::Activated {
                state.announcements.remove(ca);
            }
        });
        log::info!(event = event::ROLLOVER, ca, next, uid = peer.uid; "rollover: {stage:?}");
        Ok(())
    }

    /// Every rollover that the configuration knows.
    pub(super) fn list(&self) -> Vec<Shown> {
        let pairs = self.plan.next.keys().filter_map(|ca| Some((ca, self.plan.next(ca)?)));
        pairs.map(|(ca, next)| self.shown(ca, next)).collect()
    }

    fn shown(&self, ca: &str, next: &Authority) -> Shown {
        let stages = self.stages();
        let old = self.plan.authority(ca).and_then(|a| stages.of(a));
        Shown {
            ca: ca.into(),
            next: next.issuer.id().into(),
            state: word(stages.of(next), old).into(),
            announced: self.is_announced(ca),
        }
    }
}

/// How far a rollover is, from the stages of the next CA and of the old one.
const fn word(next: Option<RolloverStage>, old: Option<RolloverStage>) -> &'static str {
    match (next, old) {
        (None | Some(RolloverStage::Imported), _) => "planned",
        (Some(RolloverStage::Staged), _) => "staged",
        (_, Some(RolloverStage::Retired)) => "retired",
        _ => "activated",
    }
}
