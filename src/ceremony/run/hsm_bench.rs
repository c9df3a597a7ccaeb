//! The tokens themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::bench::{Bench, Drill, ModuleFacts, ReadBackFacts, hsm_purpose};
use super::{RunError, softhsm_copy};
use crate::ceremony::plan::{Purpose, TokenPlan};
use crate::ceremony::transcript::{Object, TokenRecord};
use crate::hsm::{CallRecord, CeremonyModule, CeremonyToken, Profile, TokenSelector};
use crate::pki::{KeyKind, PublicKey, SignatureAlgorithm};
use crate::secret::Secret;

struct Token {
    plan: TokenPlan,
    selector: TokenSelector,
    // Before the module: a session is closed before its module is finalised.
    open: Option<CeremonyToken>,
    module: Option<Rc<CeremonyModule>>,
}

/// Real tokens.
pub struct HsmBench {
    tokens: BTreeMap<String, Token>,
    modules: BTreeMap<PathBuf, Rc<CeremonyModule>>,
    calls: Vec<CallRecord>,
    softhsm_conf: Option<PathBuf>,
    tool: PathBuf,
}

impl HsmBench {
    /// For the tokens of a plan. `softhsm_conf` is what SOFTHSM2_CONF says, `tool` this program's file:
    /// it is started once more to look at a restored copy.
    pub fn new(
        plans: &BTreeMap<String, TokenPlan>,
        softhsm_conf: Option<PathBuf>,
        tool: PathBuf,
    ) -> Self {
        let token = |plan: &TokenPlan| {
            let selector = match &plan.serial {
                Some(serial) => TokenSelector::Serial(serial.clone()),
                None => TokenSelector::Label(plan.label.clone()),
            };
            Token { plan: plan.clone(), selector, open: None, module: None }
        };
        let tokens = plans.iter().map(|(name, plan)| (name.clone(), token(plan))).collect();
        let (modules, calls) = (BTreeMap::new(), Vec::new());
        Self { tokens, modules, calls, softhsm_conf, tool }
    }

    fn token(&mut self, name: &str) -> Result<&mut Token, RunError> {
        let missing = || RunError::Refused(format!("there is no token {name} in the plan"));
        self.tokens.get_mut(name).ok_or_else(missing)
    }

    fn loaded(&mut self, name: &str) -> Result<Rc<CeremonyModule>, RunError> {
        let token = self.token(name)?;
        if let Some(module) = &token.module {
            return Ok(Rc::clone(module));
        }
        let profile = Profile::load(&token.plan.profile)?;
        let path = profile.module_path(token.plan.module.as_deref())?;
        let module = match self.modules.get(&path) {
            Some(module) => Rc::clone(module),
            None => {
                let module = Rc::new(CeremonyModule::open(profile, Some(&path))?);
                self.modules.insert(path, Rc::clone(&module));
                module
            }
        };
        self.token(name)?.module = Some(Rc::clone(&module));
        Ok(module)
    }

    /// Runs `work` on the logged-in token and keeps its calls.
    fn with<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&CeremonyToken) -> Result<T, crate::hsm::HsmError>,
    ) -> Result<T, RunError> {
        let token = self.token(name)?;
        let closed = || RunError::Refused(format!("nobody is logged in to token {name}"));
        let open = token.open.as_ref().ok_or_else(closed)?;
        let result = work(open);
        let calls = open.take_calls();
        self.calls.extend(calls);
        Ok(result?)
    }
}

impl Bench for HsmBench {
    fn module(&mut self, token: &str) -> Result<ModuleFacts, RunError> {
        let module = self.loaded(token)?;
        let path = module.path().to_path_buf();
        let bytes =
            std::fs::read(&path).map_err(|cause| RunError::File { path: path.clone(), cause })?;
        let library = module.library();
        self.calls.extend(module.take_calls());
        Ok(ModuleFacts {
            path: path.display().to_string(),
            sha256: hex::encode(openssl::sha::sha256(&bytes)),
            library: library?,
            profile: module.profile().name.clone(),
        })
    }

    fn exists(&mut self, token: &str, label: &str) -> Result<bool, RunError> {
        let module = self.loaded(token)?;
        let result = module.has_token(label);
        self.calls.extend(module.take_calls());
        Ok(result?)
    }

    fn describe(&mut self, token: &str) -> Result<TokenRecord, RunError> {
        let module = self.loaded(token)?;
        let selector = self.token(token)?.selector.clone();
        let facts = module.describe(&selector);
        self.calls.extend(module.take_calls());
        let facts = facts?;
        Ok(TokenRecord {
            label: facts.label,
            serial: facts.serial,
            model: facts.model,
            manufacturer: facts.manufacturer,
            firmware: facts.firmware,
            hardware: facts.hardware,
            flags: facts.flags,
        })
    }

    fn init(
        &mut self,
        token: &str,
        label: &str,
        so: &Secret,
        user: &Secret,
    ) -> Result<(), RunError> {
        let module = self.loaded(token)?;
        let serial = self.token(token)?.plan.serial.clone();
        let done = module.has_token(label).and_then(|exists| {
            // After a crash the token may have its label and not yet its user's PIN.
            if !exists {
                module.init_token(label, serial.as_deref(), so)?;
            }
            module.init_pin(label, so, user)
        });
        self.calls.extend(module.take_calls());
        done?;
        self.token(token)?.selector = TokenSelector::Label(label.into());
        Ok(())
    }

    fn open(&mut self, token: &str, label: &str, pin: &Secret) -> Result<(), RunError> {
        let module = self.loaded(token)?;
        let entry = self.token(token)?;
        if entry.plan.serial.is_none() {
            entry.selector = TokenSelector::Label(label.into());
        }
        let selector = entry.selector.clone();
        let opened = module.open_token(&selector, pin);
        self.calls.extend(module.take_calls());
        let opened = opened?;
        self.token(token)?.open = Some(opened);
        Ok(())
    }

    fn is_open(&self, token: &str) -> bool {
        self.tokens.get(token).is_some_and(|t| t.open.is_some())
    }

    fn close(&mut self, token: &str) {
        if let Some(open) = self.tokens.get_mut(token).and_then(|t| t.open.take()) {
            self.calls.extend(open.close());
        }
    }

    fn inventory(&mut self, token: &str) -> Result<Vec<Object>, RunError> {
        let objects = self.with(token, CeremonyToken::inventory)?;
        let object = |o: crate::hsm::ObjectFacts| Object {
            class: o.class,
            label: o.label,
            id: hex::encode(o.id),
            key_type: o.key_type,
            spki_sha256: o.public_key.map(|k| hex::encode(k.fingerprint())),
        };
        let mut all: Vec<Object> = objects.into_iter().map(object).collect();
        all.sort();
        Ok(all)
    }

    fn attestation(&self, token: &str) -> Option<String> {
        let open = self.tokens.get(token).and_then(|t| t.open.as_ref());
        open.and_then(CeremonyToken::attestation).map(str::to_owned)
    }

    fn id_length(&self, token: &str) -> usize {
        let open = self.tokens.get(token).and_then(|t| t.open.as_ref());
        open.map_or(16, CeremonyToken::id_length)
    }

    fn random(&mut self, token: &str, len: usize) -> Option<Vec<u8>> {
        self.with(token, |t| t.random(len)).ok()
    }

    fn generate(
        &mut self,
        token: &str,
        kind: KeyKind,
        label: &str,
        id: &[u8],
        purpose: Purpose,
    ) -> Result<PublicKey, RunError> {
        self.with(token, |t| t.generate(kind, label, id, hsm_purpose(purpose)))
    }

    fn find(&mut self, token: &str, label: &str) -> Result<Vec<(Vec<u8>, PublicKey)>, RunError> {
        self.with(token, |t| t.keys_with_label(label))
    }

    fn read_back(
        &mut self,
        token: &str,
        id: &[u8],
        purpose: Purpose,
    ) -> Result<ReadBackFacts, RunError> {
        self.with(token, |t| {
            let read = t.read_back(id, hsm_purpose(purpose))?;
            let names = read.differences.iter().map(|(name, _)| name.clone());
            let explained = names.filter(|n| t.explains(n)).collect();
            let (attributes, differences) = (read.attributes, read.differences);
            Ok(ReadBackFacts { attributes, differences, explained })
        })
    }

    fn sign(
        &mut self,
        token: &str,
        id: &[u8],
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RunError> {
        self.with(token, |t| t.sign(id, key, algorithm, message))
    }

    fn decrypts(
        &mut self,
        token: &str,
        id: &[u8],
        key: &PublicKey,
        content: &[u8],
    ) -> Result<bool, RunError> {
        self.with(token, |t| t.decrypts(id, key, content))
    }

    fn destroy(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        self.with(token, |t| t.destroy(id))
    }

    fn count(&mut self, token: &str, id: &[u8]) -> Result<usize, RunError> {
        self.with(token, |t| t.count(id))
    }

    fn backup(&mut self, token: &str) -> Result<Vec<u8>, RunError> {
        let serial = self.describe(token)?.serial;
        let conf = self.softhsm_conf.clone();
        let conf = conf.ok_or_else(|| RunError::Refused("SOFTHSM2_CONF is not set".into()))?;
        softhsm_copy::pack(&conf, &serial)
    }

    fn drill(&mut self, _: &str, copy: &Path, drill: &Drill<'_>) -> Result<String, RunError> {
        softhsm_copy::drill(&self.tool, copy, drill, &mut self.calls)
    }

    fn take_calls(&mut self) -> Vec<CallRecord> {
        std::mem::take(&mut self.calls)
    }
}
