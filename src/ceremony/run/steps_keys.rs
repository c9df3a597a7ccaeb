//! Steps that touch tokens and keys.

use super::RunError;
use super::bench::Drill;
use super::room::{Person, Room};
use crate::ceremony::artefact::{attestation, key_policy};
use crate::ceremony::plan::{Action, BackupMethod, Destroy, Generate, KeyBackup, KeyRestore, Step};
use crate::ceremony::transcript::Fact;
use crate::pki::{KeyKind, PublicKey};

impl Room<'_> {
    /// Does one step.
    pub(super) fn act(&mut self, step: &Step) -> Result<(), RunError> {
        let id = step.id.as_str();
        match &step.action {
            Action::TokenInit(s) => self.init_token(id, &s.token),
            Action::TokenClose(s) => {
                self.log_in(&s.token)?;
                self.take_inventory(&s.token, "after")?;
                self.bench.close(&s.token);
                Ok(())
            }
            Action::KeyGenerate(s) => self.generate_key(id, s),
            Action::KeyBackup(s) => self.back_up(id, s),
            Action::KeyRestore(s) => self.restore_key(id, s),
            Action::KeyDestroy(s) => self.destroy(id, s),
            Action::CertSelfSigned(s) => self.self_signed(id, s),
            Action::CsrCreate(s) => self.create_request(id, s),
            Action::CertIssue(s) => self.issue(id, s),
            Action::CertCrossSign(s) => self.cross_sign(id, s),
            Action::CertRenew(s) => self.renew(id, s),
            Action::CaRekey(s) => self.link(id, s),
            Action::CrlSign(s) => self.sign_crl(id, s),
            Action::ImportCsr(s) => self.import_request(id, s),
            Action::Export(s) => self.export(id, s),
            Action::HumanCheck(s) => self.check(id, s),
            Action::HumanAttest(s) => self.attest(id, s),
            Action::ExhibitRecord(s) => self.exhibit(id, s),
        }
    }

    fn init_token(&mut self, step: &str, token: &str) -> Result<(), RunError> {
        let Some(plan) = self.plan.tokens.get(token).cloned() else { return Ok(()) };
        let label = self.label(&plan.label);
        let announced = self.past.iter().any(
            |f| matches!(f, Fact::Secret { secret, .. } if Some(secret) == plan.so_pin.as_ref()),
        );
        if self.bench.exists(token, &label)? && !announced {
            return Err(Self::stop(
                step,
                format!("a token «{label}» is there already; nothing is overwritten"),
            ));
        }
        self.calls()?;
        let so = self.secret(plan.so_pin.as_deref().unwrap_or_default())?;
        let pin = self.secret(&plan.pin)?;
        let made = self.bench.init(token, &label, &so, &pin);
        self.calls()?;
        made?;
        self.log_in(token)?;
        let found = self.bench.describe(token)?;
        self.calls()?;
        // Before any key is made in it; what was initialised was blank, and had the plan's serial number.
        self.is_planned(token, &plan, &found)?;
        self.desk.show(&format!(
            "Token {token}: label «{}», serial number {}",
            found.label, found.serial
        ));
        let (label, serial) = (found.label.clone(), found.serial.clone());
        let (step, token) = (step.to_owned(), token.to_owned());
        self.record(Fact::Token { token: token.clone(), found })?;
        self.record(Fact::TokenInitialised { step, token: token.clone(), label, serial })?;
        self.take_inventory(&token, "before")
    }

    fn generate_key(&mut self, step: &str, s: &Generate) -> Result<(), RunError> {
        let kind = s.algorithm.kind();
        self.log_in(&s.token)?;
        let label = self.label(&s.label);
        let (id, public) = self.made_key(step, s, kind, &label)?;
        self.assess(step, &public)?;
        let read = self.bench.read_back(&s.token, &id, s.purpose)?;
        self.calls()?;
        let open: Vec<&(String, String)> = read
            .differences
            .iter()
            .filter(|(name, _)| {
                !read.explained.contains(name) && !s.accept_differences.contains(name)
            })
            .collect();
        if !open.is_empty() {
            let all: Vec<&str> = open.iter().map(|(_, text)| text.as_str()).collect();
            return Err(Self::stop(
                step,
                format!(
                    "the key is not as it was asked for: {}; destroy it and use another module, or name the \
                 attribute in accept_differences",
                    all.join("; ")
                ),
            ));
        }
        let record = self.key_record(step, &s.token, &label, &id, s.algorithm, s.purpose, &public);
        self.record(Fact::Key {
            step: step.to_owned(),
            key: record.clone(),
            attributes: read.attributes,
            differences: read.differences.into_iter().map(|(_, text)| text).collect(),
        })?;
        self.keep_key(step, &id, &public, s.purpose, record);
        self.self_test(step)?;
        let state = self.attested(step, s, &label, &public)?;
        self.record(Fact::Attestation { step: step.to_owned(), key: step.to_owned(), state })?;
        self.desk.show(&format!(
            "Key {step} ({}): {}",
            s.algorithm.name(),
            crate::ceremony::words::words(&public.fingerprint()[..4])
        ));
        Ok(())
    }

    /// Takes in the module's attestation of the key, where the plan has a file for it; otherwise the
    /// reason why there is none.
    fn attested(
        &mut self,
        step: &str,
        s: &Generate,
        label: &str,
        public: &PublicKey,
    ) -> Result<String, RunError> {
        let way = self.bench.attestation(&s.token);
        let Some(file) = &s.attestation else {
            return Ok(match way {
                Some(_) => {
                    "unavailable: the plan names no file for it, though the module has a way"
                }
                None => "unavailable: the module's profile names no way to attest keys",
            }
            .to_owned());
        };
        if self.is_rehearsed() {
            return Ok("unavailable: the token of a rehearsal attests nothing".to_owned());
        }
        let path = self.options.base.join(file);
        self.desk.show(&format!(
            "The module attests the key «{label}»: {}. Write it to {}.",
            way.as_deref().unwrap_or("use the vendor's tool"),
            path.display()
        ));
        loop {
            self.ask(step, "Press Enter when the attestation's file is there:", "")?;
            let seen = self.input(file, None, "attestation").and_then(|bytes| {
                let state = attestation(&bytes, public).map_err(|e| Self::stop(step, e))?;
                Ok((bytes, state))
            });
            match seen {
                Ok((bytes, state)) => {
                    self.record_input(step, file, "attestation", &bytes)?;
                    self.desk.show(&state);
                    return Ok(state);
                }
                Err(e) => {
                    let text =
                        format!("{e}. Type «again», or give the reason to go on without it:");
                    let answer = self.ask(step, &text, "again")?;
                    if !answer.trim().is_empty() && answer.trim() != "again" {
                        return Ok(format!("unavailable: {e}; the people went on: {answer}"));
                    }
                }
            }
        }
    }

    /// Makes the key, or finds the one that was made just before an interruption.
    fn made_key(
        &mut self,
        step: &str,
        s: &Generate,
        kind: KeyKind,
        label: &str,
    ) -> Result<(Vec<u8>, PublicKey), RunError> {
        let announced = self.past.iter().rev().find_map(|f| match f {
            Fact::KeyIntent { step: at, id, .. } if at == step => hex::decode(id).ok(),
            _ => None,
        });
        let found = self.bench.find(&s.token, label)?;
        self.calls()?;
        if let Some(id) = announced {
            if let Some((_, public)) = found.into_iter().find(|(i, _)| *i == id) {
                if public.kind() != kind {
                    return Err(Self::stop(step, "the key of before the interruption is another"));
                }
                self.desk.show("The key was made before the interruption; it is used.");
                return Ok((id, public));
            }
            let made = self.bench.generate(&s.token, kind, label, &id, s.purpose);
            self.calls()?;
            return Ok((id, made?));
        }
        if !found.is_empty() {
            return Err(Self::stop(step, format!("a key «{label}» is on the token already")));
        }
        let len = self.bench.id_length(&s.token);
        let mut id = vec![0; len];
        self.options.random.fill(&mut id)?;
        if let Some(more) = self.bench.random(&s.token, len) {
            id.iter_mut().zip(more).for_each(|(a, b)| *a ^= b);
        }
        self.record(Fact::KeyIntent {
            step: step.to_owned(),
            token: s.token.clone(),
            label: label.to_owned(),
            id: hex::encode(&id),
        })?;
        let made = self.bench.generate(&s.token, kind, label, &id, s.purpose);
        self.calls()?;
        Ok((id, made?))
    }

    /// Weak keys, and keys that were seen before.
    fn assess(&mut self, step: &str, public: &PublicKey) -> Result<(), RunError> {
        key_policy().check(public).map_err(|e| Self::stop(step, e.to_string()))?;
        let twin = self.keys.iter().find(|(name, k)| *name != step && k.public == *public);
        let used = self.certificates.iter().find(|(_, c)| c.public_key() == public);
        match twin.map(|(n, _)| n).or(used.map(|(n, _)| n)) {
            Some(name) => Err(Self::stop(
                step,
                format!("the new key is that of {name}; the module's generator is broken"),
            )),
            None => Ok(()),
        }
    }

    /// The key does what it is for, other code agrees, and disagrees after one flipped bit.
    fn self_test(&mut self, step: &str) -> Result<(), RunError> {
        let Some(key) = self.keys.get(step).cloned() else { return Ok(()) };
        let nonce: [u8; 32] = crate::random::bytes(self.options.random.as_ref())?;
        let algorithm = key.public.kind().default_signature();
        let result = if key.purpose.signs() {
            let message = [b"Chancery key self-test\0", nonce.as_slice()].concat();
            let signed = self.bench.sign(&key.token, &key.id, &key.public, algorithm, &message);
            self.calls()?;
            let mut signature = signed?;
            let good = key.public.verify(algorithm, &message, &signature).is_ok();
            if let Some(last) = signature.last_mut() {
                *last ^= 1;
            }
            good && key.public.verify(algorithm, &message, &signature).is_err()
        } else {
            let opened = self.bench.decrypts(&key.token, &key.id, &key.public, &nonce);
            self.calls()?;
            opened?
        };
        if !result {
            return Err(Self::stop(step, "the key fails its self-test; do not use it"));
        }
        let algorithm =
            if key.purpose.signs() { algorithm.to_string() } else { "RSA decryption".into() };
        let (step, result) = (step.to_owned(), "verified in software".to_owned());
        self.record(Fact::SelfTest { step: step.clone(), key: step, algorithm, result })
    }

    fn back_up(&mut self, step: &str, s: &KeyBackup) -> Result<(), RunError> {
        self.log_in(&s.token)?;
        match (s.method, &s.out) {
            (BackupMethod::TokenDirectory, Some(out)) => {
                let bytes = match self.output.read(out) {
                    // One copy, also after an interruption.
                    Ok(bytes) if !self.past.is_empty() => bytes,
                    _ => self.bench.backup(&s.token)?,
                };
                self.write(step, out, "backup", &bytes)
            }
            _ => {
                let text = "Copy the keys with the vendor's tool. What was done, and which copy has which number?";
                let text = self.ask(step, text, "copied with the vendor's tool, copy number 1")?;
                let Person { role, name: by } = self.who(step, "Who made the copy?")?;
                let about = "backup".to_owned();
                self.record(Fact::Statement { step: step.to_owned(), by, role, about, text })
            }
        }
    }

    fn restore_key(&mut self, step: &str, s: &KeyRestore) -> Result<(), RunError> {
        let file = self.files.get(&s.backup).and_then(|f| f.first()).map(|(f, _)| f.clone());
        for name in &s.keys {
            let Some(key) = self.keys.get(name).cloned() else {
                return Err(Self::stop(step, format!("there is no key {name}")));
            };
            let nonce: [u8; 32] = crate::random::bytes(self.options.random.as_ref())?;
            let result = match (&file, &s.token) {
                (Some(file), None) => {
                    let path = self.output.path(file);
                    let plan = self.plan.tokens.get(&key.token).cloned();
                    let Some(plan) = plan else { continue };
                    let pin = self.secret(&plan.pin)?;
                    let label = self.label(&plan.label);
                    let drill = Drill {
                        label: &label,
                        pin: &pin,
                        id: &key.id,
                        key: &key.public,
                        purpose: key.purpose,
                        nonce: &nonce,
                    };
                    self.bench.drill(&key.token, &path, &drill)?
                }
                (_, Some(token)) => {
                    self.log_in(token)?;
                    let algorithm = key.public.kind().default_signature();
                    if key.purpose.signs() {
                        self.bench.sign(token, &key.id, &key.public, algorithm, &nonce)?;
                    } else if !self.bench.decrypts(token, &key.id, &key.public, &nonce)? {
                        return Err(Self::stop(
                            step,
                            format!("the restored key {name} is not equal"),
                        ));
                    }
                    "equal: the restored key answered, the first key's public half agrees".into()
                }
                (None, None) => {
                    return Err(Self::stop(step, "there is neither a copy nor a second token"));
                }
            };
            self.calls()?;
            self.desk.show(&format!("Key {name}: {result}"));
            let spki_sha256 = key.record.spki_sha256.clone();
            let (step, key) = (step.to_owned(), name.clone());
            self.record(Fact::EqualityDrill { step, key, spki_sha256, result })?;
        }
        Ok(())
    }

    fn destroy(&mut self, step: &str, s: &Destroy) -> Result<(), RunError> {
        let done = |f: &Fact| matches!(f, Fact::KeyDestroyed { step: of, .. } if of == step);
        if self.past.iter().any(done) {
            return Ok(()); // all but the step's end was recorded before an interruption
        }
        let Some(key) = self.keys.get(&s.key).cloned() else {
            return Err(Self::stop(step, format!("there is no key {}", s.key)));
        };
        self.log_in(&key.token)?;
        let there = self.bench.count(&key.token, &key.id)?;
        let mut evidence = vec![format!("{there} objects with ID {} before", hex::encode(&key.id))];
        let destroyed = self.bench.destroy(&key.token, &key.id)?;
        evidence.push(format!("C_DestroyObject called on {destroyed} objects"));
        // Searched for in a new login, so that no cache answers.
        self.bench.close(&key.token);
        self.log_in(&key.token)?;
        let left = self.bench.count(&key.token, &key.id)?;
        evidence.push(format!("{left} objects after a new login"));
        let algorithm = key.public.kind().default_signature();
        let signed = self.bench.sign(&key.token, &key.id, &key.public, algorithm, b"destroyed?");
        self.calls()?;
        match signed {
            Err(e) if left == 0 => evidence.push(format!("an attempt to sign fails: {e}")),
            _ => {
                let text = "the key is still there; the module did not destroy it";
                return Err(Self::stop(step, text));
            }
        }
        let mut copies = Vec::new();
        for copy in &s.copies {
            let text = format!("Copy «{copy}»: how was it destroyed?");
            let how = self.ask(step, &text, "shredded and witnessed")?;
            if how.is_empty() {
                return Err(Self::stop(
                    step,
                    format!("nobody says that the copy «{copy}» is destroyed"),
                ));
            }
            copies.push(format!("{copy}: {how}"));
        }
        self.keys.remove(&s.key);
        self.record(Fact::KeyDestroyed {
            step: step.to_owned(),
            key: s.key.clone(),
            spki_sha256: key.record.spki_sha256,
            evidence,
            copies,
        })
    }
}
