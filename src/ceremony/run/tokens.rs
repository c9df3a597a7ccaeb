//! Tokens: loading, the gate, inventories, and what stands in for existing ones in a rehearsal.

use super::room::{Key, Room};
use super::{RunError, firmware};
use crate::ceremony::plan::{Action, ExistingKey, KeyAlgorithm, Purpose, TokenPlan};
use crate::ceremony::transcript::{Fact, KeyRecord, Mode, Object, TokenRecord};
use crate::pki::PublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

impl Room<'_> {
    /// Whether a step initialises the token.
    pub(super) fn initialises(&self, token: &str) -> bool {
        let init = |a: &Action| matches!(a, Action::TokenInit(i) if i.token == token);
        self.plan.steps.iter().any(|s| init(&s.action))
    }

    /// Loads the module and measures it.
    pub(super) fn load(&mut self, token: &str) -> Result<(), RunError> {
        let facts = self.bench.module(token)?;
        self.calls()?;
        let wanted = self.plan.tokens.get(token).and_then(|t| t.module_sha256.clone());
        if let Some(wanted) = wanted
            && !wanted.eq_ignore_ascii_case(&facts.sha256)
            && !self.is_rehearsed()
        {
            return Err(RunError::Refused(format!(
                "the module {} has the SHA-256 {}, and the plan wants {wanted}; use the approved one",
                facts.path, facts.sha256
            )));
        }
        let (path, sha256) = (facts.path, facts.sha256);
        self.record(Fact::Module { path, sha256, library: facts.library, profile: facts.profile })
    }

    /// In a rehearsal or dry run, tokens that should exist are made, with the keys that they should hold.
    pub(super) fn stand_ins(&mut self) -> Result<(), RunError> {
        if !self.is_rehearsed() {
            return Ok(());
        }
        for (name, plan) in self.plan.tokens.clone() {
            let label = self.label(&plan.label);
            if self.initialises(&name) || self.bench.exists(&name, &label)? {
                continue;
            }
            let pin = self.secret(&plan.pin)?;
            self.bench.init(&name, &label, &pin, &pin)?;
            self.bench.open(&name, &label, &pin)?;
            for (_, key) in self.plan.keys.clone().into_iter().filter(|(_, k)| k.token == name) {
                let label = self.label(&key.label);
                let id = crate::random::bytes::<16>(self.options.random.as_ref())?;
                self.bench.generate(&name, key.algorithm.kind(), &label, &id, key.purpose)?;
            }
            self.bench.close(&name);
            if self.options.mode == Mode::DryRun {
                // Nobody makes stand-ins in the run.
                self.bench.take_calls();
            }
            self.calls()?;
        }
        Ok(())
    }

    /// The gate: the token is the one of the plan, and holds what the plan says.
    pub(super) fn admit(&mut self, token: &str) -> Result<(), RunError> {
        self.identify(token)?;
        self.log_in(token)?;
        self.take_inventory(token, "before")
    }

    fn identify(&mut self, token: &str) -> Result<(), RunError> {
        let Some(plan) = self.plan.tokens.get(token).cloned() else { return Ok(()) };
        let found = self.bench.describe(token)?;
        self.calls()?;
        if self.is_rehearsed() {
            // Its serial number and model are those of the stand-in.
            return Ok(());
        }
        self.is_planned(token, &plan, &found)?;
        for flag in worrying(&found) {
            self.waive(&format!("token {token}"), flag)?;
        }
        self.record(Fact::Token { token: token.to_owned(), found })
    }

    /// Whether the token that was found is the plan's, by all that the plan says of it. A rehearsal's is a
    /// stand-in with a serial number and a model of its own.
    pub(super) fn is_planned(
        &self,
        token: &str,
        plan: &TokenPlan,
        found: &TokenRecord,
    ) -> Result<(), RunError> {
        if self.is_rehearsed() {
            return Ok(());
        }
        let wrong = differences(plan, found);
        if wrong.is_empty() {
            return Ok(());
        }
        let all = wrong.join("; ");
        Err(RunError::Refused(format!("token {token}: {all}; use the right token")))
    }

    /// Logs in, unless that is done.
    pub(super) fn log_in(&mut self, token: &str) -> Result<(), RunError> {
        if self.bench.is_open(token) {
            return Ok(());
        }
        let Some(plan) = self.plan.tokens.get(token).cloned() else { return Ok(()) };
        let pin = self.secret(&plan.pin)?;
        let label = self.label(&plan.label);
        let opened = self.bench.open(token, &label, &pin);
        self.calls()?;
        opened
    }

    /// Everything on the token, compared with what should be there.
    pub(super) fn take_inventory(&mut self, token: &str, moment: &str) -> Result<(), RunError> {
        let objects = self.bench.inventory(token)?;
        self.calls()?;
        let expected = self.expected(token);
        let unknown = |o: &&Object| !expected.contains(&o.label);
        let mut unexpected: Vec<String> = objects
            .iter()
            .filter(unknown)
            .map(|o| format!("{} «{}» (ID {}) is not expected", o.class, o.label, o.id))
            .collect();
        // Keys that are there before: one of each. A rehearsal has stand-ins of the plan's own keys alone.
        let first = moment == "before" && self.past.is_empty() && !self.is_rehearsed();
        let listed = self.plan.tokens.get(token).into_iter().flat_map(|t| &t.expect_objects);
        let missing = listed.filter(|l| first && !objects.iter().any(|o| o.label == **l));
        unexpected.extend(missing.map(|l| format!("«{l}» is missing")));
        let twice = objects.windows(2).filter(|w| {
            (&w[0].class, &w[0].label) == (&w[1].class, &w[1].label)
                && (w[0].class == "CKO_PRIVATE_KEY"
                    || !self
                        .plan
                        .tokens
                        .get(token)
                        .is_some_and(|t| t.expect_objects.contains(&w[0].label)))
        });
        unexpected.extend(twice.map(|w| format!("{} «{}» is there twice", w[0].class, w[0].label)));
        let private =
            |l: &str| objects.iter().any(|o| o.class == "CKO_PRIVATE_KEY" && o.label == l);
        if moment == "after" {
            let gone = expected.iter().filter(|l| {
                !private(l) && self.keys.values().any(|k| k.token == token && k.label == **l)
            });
            unexpected.extend(gone.map(|l| format!("the private key «{l}» is missing")));
        }
        let found = unexpected.clone();
        self.record(Fact::Inventory {
            token: token.to_owned(),
            moment: moment.to_owned(),
            objects,
            unexpected,
        })?;
        if found.is_empty() {
            return Ok(());
        }
        Err(RunError::Refused(format!(
            "token {token} does not hold what it should: {}; find out why before anything is signed",
            found.join("; ")
        )))
    }

    /// The labels that may be on a token now.
    fn expected(&self, token: &str) -> Vec<String> {
        let plan = self.plan.tokens.get(token);
        let listed = plan.into_iter().flat_map(|t| &t.expect_objects).map(|l| self.label(l));
        let made = self.keys.values().filter(|k| k.token == token).map(|k| k.label.clone());
        // Keys of before an interruption; one may have been made just before it.
        let announced = self.past.iter().filter_map(|f| match f {
            Fact::KeyIntent { token: t, label, .. } if t == token => Some(label.clone()),
            _ => None,
        });
        listed.chain(made).chain(announced).collect()
    }

    /// Finds the keys that were there before.
    pub(super) fn find_existing_key(
        &mut self,
        name: &str,
        key: &ExistingKey,
    ) -> Result<(), RunError> {
        if self.past.iter().any(|f| matches!(f, Fact::KeyDestroyed { key, .. } if key == name)) {
            return Ok(());
        }
        let label = self.label(&key.label);
        let found = self.bench.find(&key.token, &label)?;
        self.calls()?;
        if found.is_empty()
            && let Some(record) = self.destroyed_halfway(name)
            && let Some(public) =
                BASE64.decode(&record.spki).ok().and_then(|b| PublicKey::from_spki(&b).ok())
        {
            let id = hex::decode(&record.id).unwrap_or_default();
            self.keep_key(name, &id, &public, key.purpose, record);
            return Ok(());
        }
        let [(id, public)] = found.as_slice() else {
            return Err(RunError::Refused(format!(
                "token {} has {} private keys «{label}» with a public half, and one is wanted",
                key.token,
                found.len()
            )));
        };
        let fits = key
            .spki_sha256
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(&hex::encode(public.fingerprint())));
        if !fits && !self.is_rehearsed() {
            return Err(RunError::Refused(format!(
                "the key «{label}» is {}, which is not the plan's",
                hex::encode(public.fingerprint())
            )));
        }
        let record =
            self.key_record(name, &key.token, &label, id, key.algorithm, key.purpose, public);
        self.record(Fact::KeyFound { key: record.clone() })?;
        self.keep_key(name, id, public, key.purpose, record);
        Ok(())
    }

    /// The record of a key whose destruction had begun before an interruption.
    fn destroyed_halfway(&self, name: &str) -> Option<KeyRecord> {
        let step = self
            .plan
            .steps
            .iter()
            .find(|s| matches!(&s.action, Action::KeyDestroy(d) if d.key == name))?;
        let begun = |f: &Fact| matches!(f, Fact::StepBegin { step: at, .. } if *at == step.id);
        self.past.iter().any(begun).then_some(())?;
        self.past.iter().find_map(|f| match f {
            Fact::KeyFound { key } if key.key == name => Some(key.clone()),
            _ => None,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one record, each once")]
    pub(super) fn key_record(
        &self,
        name: &str,
        token: &str,
        label: &str,
        id: &[u8],
        algorithm: KeyAlgorithm,
        purpose: Purpose,
        public: &PublicKey,
    ) -> KeyRecord {
        KeyRecord {
            key: name.to_owned(),
            token: token.to_owned(),
            label: label.to_owned(),
            id: hex::encode(id),
            algorithm: algorithm.name().to_owned(),
            purpose: purpose.name().to_owned(),
            spki: BASE64.encode(public.spki()),
            spki_sha256: hex::encode(public.fingerprint()),
        }
    }

    pub(super) fn keep_key(
        &mut self,
        name: &str,
        id: &[u8],
        public: &PublicKey,
        purpose: Purpose,
        record: KeyRecord,
    ) {
        let (token, label) = (record.token.clone(), record.label.clone());
        let (id, public) = (id.to_vec(), public.clone());
        self.keys.insert(name.to_owned(), Key { token, id, label, purpose, public, record });
    }
}

/// How the token that was found is not the plan's.
pub(crate) fn differences(plan: &TokenPlan, found: &TokenRecord) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, wanted: Option<&String>, found: &str| {
        if let Some(wanted) = wanted
            && wanted != found
        {
            wrong.push(format!("its {what} is «{found}», and the plan wants «{wanted}»"));
        }
    };
    same("label", Some(&plan.label), &found.label);
    same("serial number", plan.serial.as_ref(), &found.serial);
    same("model", plan.model.as_ref(), &found.model);
    if let Some(range) = plan.firmware.as_deref().and_then(firmware::parse)
        && !firmware::accepts(&range, &found.firmware)
    {
        wrong.push(format!("its firmware {} is not the plan's", found.firmware));
    }
    wrong
}

/// The flags of a token that is about to lock itself: each needs a waiver.
pub(crate) fn worrying(found: &TokenRecord) -> Vec<&'static str> {
    let flags = ["CKF_USER_PIN_COUNT_LOW", "CKF_USER_PIN_FINAL_TRY", "CKF_SO_PIN_COUNT_LOW"];
    flags.into_iter().filter(|flag| found.flags.iter().any(|f| f == flag)).collect()
}
