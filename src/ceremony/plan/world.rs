//! The model of what exists after each step. A step that needs what no earlier step made, or that
//! was destroyed or closed before, is a problem of the plan and not of the day.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, CertificateKind, Destroy, KeyAlgorithm, Plan, PlanProblem, Purpose, Step};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
enum Thing {
    Key { token: String, algorithm: KeyAlgorithm, purpose: Purpose, alive: bool },
    Certificate { key: Option<String>, kind: CertificateKind },
    Csr { key: Option<String>, imported: bool },
    Crl { issuer: String },
    Backup { token: String, name: String },
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenState {
    Empty,
    Ready,
    Closed,
}

/// Walks through the steps.
pub(super) struct World<'p> {
    plan: &'p Plan,
    things: BTreeMap<String, Thing>,
    tokens: BTreeMap<String, TokenState>,
    labels: BTreeSet<(String, String)>,
    problems: Vec<PlanProblem>,
}

/// The problems of the order and the kinds of things.
pub(super) fn walk(plan: &Plan) -> Vec<PlanProblem> {
    let mut world = World {
        plan,
        things: BTreeMap::new(),
        tokens: BTreeMap::new(),
        labels: BTreeSet::new(),
        problems: Vec::new(),
    };
    world.begin();
    for step in &plan.steps {
        world.step(step);
    }
    world.finish();
    world.problems
}

impl World<'_> {
    fn begin(&mut self) {
        let plan = self.plan;
        let made = |name: &str| {
            plan.steps.iter().any(|s| matches!(&s.action, Action::TokenInit(i) if i.token == name))
        };
        for name in plan.tokens.keys() {
            let state = if made(name) { TokenState::Empty } else { TokenState::Ready };
            self.tokens.insert(name.clone(), state);
        }
        for (name, key) in &plan.keys {
            let place = format!("key.{name}");
            if self.tokens.get(&key.token) == Some(&TokenState::Empty) {
                self.add(
                    &place,
                    "it is on a token that a step initialises",
                    "name the token that holds it",
                );
            } else if !self.tokens.contains_key(&key.token) {
                self.add(
                    &place,
                    format!("there is no [token.{}]", key.token),
                    "name a token of the plan",
                );
            }
            self.labels.insert((key.token.clone(), key.label.clone()));
            self.things.insert(
                name.clone(),
                Thing::Key {
                    token: key.token.clone(),
                    algorithm: key.algorithm,
                    purpose: key.purpose,
                    alive: true,
                },
            );
        }
        for (name, certificate) in &plan.certificates {
            let kind = plan.profiles.get(&certificate.profile).map(|p| p.kind);
            let key = certificate.key.clone();
            let kind = kind.unwrap_or(CertificateKind::RootCa);
            self.insert(&format!("certificate.{name}"), name, Thing::Certificate { key, kind });
        }
        for (name, crl) in &plan.crls {
            self.insert(&format!("crl.{name}"), name, Thing::Crl { issuer: crl.issuer.clone() });
        }
    }

    fn step(&mut self, step: &Step) {
        let at = format!("step {}", step.id);
        match &step.action {
            Action::TokenInit(s) => match self.tokens.insert(s.token.clone(), TokenState::Ready) {
                Some(TokenState::Empty) | None => {}
                Some(_) => self.add(
                    &at,
                    "the token was initialised before",
                    "remove the second token.init",
                ),
            },
            Action::TokenClose(s) => {
                self.token(&at, &s.token);
                self.tokens.insert(s.token.clone(), TokenState::Closed);
            }
            Action::KeyGenerate(s) => {
                self.token(&at, &s.token);
                if !self.labels.insert((s.token.clone(), s.label.clone())) {
                    self.add(
                        &at,
                        "a key with this label is on the token already",
                        "choose another label",
                    );
                }
                let token = s.token.clone();
                let (algorithm, purpose) = (s.algorithm, s.purpose);
                self.insert(&at, &step.id, Thing::Key { token, algorithm, purpose, alive: true });
            }
            Action::CertSelfSigned(s) => {
                self.key(&at, &s.key, Some(Purpose::CaSign));
                let kind = self.profile(&at, &s.profile, &[CertificateKind::RootCa]);
                self.insert(&at, &step.id, Thing::Certificate { key: Some(s.key.clone()), kind });
            }
            Action::CsrCreate(s) => {
                self.key(&at, &s.key, None);
                let key = Some(s.key.clone());
                self.insert(&at, &step.id, Thing::Csr { key, imported: false });
            }
            Action::CertIssue(s) => {
                self.issuer(&at, &s.issuer);
                let kind = self.profile(&at, &s.profile, &[]);
                if kind == CertificateKind::RootCa {
                    self.add(
                        &at,
                        "a root is not issued by another CA",
                        "use kind = \"issuing-ca\"",
                    );
                }
                let key = match (&s.csr, &s.key) {
                    (Some(csr), None) => match self.things.get(csr) {
                        Some(Thing::Csr { key, .. }) => key.clone(),
                        _ => {
                            self.missing(&at, csr, "a certification request");
                            None
                        }
                    },
                    (None, Some(key)) => {
                        if s.subject.is_none() {
                            self.add(&at, "it has no subject", "add subject = \"C=…, O=…, CN=…\"");
                        }
                        Some(key.clone())
                    }
                    _ => {
                        self.add(&at, "it needs either csr or key", "name one of both");
                        None
                    }
                };
                if let Some(key) = &key {
                    self.key(&at, key, Some(kind.purpose()));
                }
                self.insert(&at, &step.id, Thing::Certificate { key, kind });
            }
            Action::CertCrossSign(s) => {
                self.issuer(&at, &s.issuer);
                let kind = self.profile(&at, &s.profile, &[CertificateKind::IssuingCa]);
                let key = self.certificate(&at, &s.certificate);
                self.insert(&at, &step.id, Thing::Certificate { key, kind });
            }
            Action::CertRenew(s) => {
                let key = self.certificate(&at, &s.certificate);
                let kind = self.profile(&at, &s.profile, &[]);
                match &s.issuer {
                    Some(issuer) => self.issuer(&at, issuer),
                    None => self.issuer(&at, &s.certificate),
                }
                self.insert(&at, &step.id, Thing::Certificate { key, kind });
            }
            Action::CaRekey(s) => {
                self.issuer(&at, &s.old);
                self.issuer(&at, &s.new);
                self.profile(&at, &s.profile, &[CertificateKind::IssuingCa]);
                self.insert(&at, &step.id, Thing::File);
            }
            Action::CrlSign(s) => {
                self.issuer(&at, &s.issuer);
                if s.previous != "none" {
                    match self.things.get(&s.previous) {
                        Some(Thing::Crl { issuer }) if *issuer == s.issuer => {}
                        Some(Thing::Crl { .. }) => {
                            self.add(
                                &at,
                                "the previous CRL is of another issuer",
                                "name this issuer's last CRL",
                            );
                        }
                        _ => self.missing(&at, &s.previous, "a CRL"),
                    }
                }
                for revoked in &s.revoked {
                    match (&revoked.certificate, &revoked.serial) {
                        (Some(name), None) => {
                            self.certificate(&at, name);
                        }
                        (None, Some(serial))
                            if serial.parse::<crate::pki::SerialNumber>().is_ok() => {}
                        (None, Some(_)) => {
                            self.add(&at, "a serial number is no hexadecimal", "write 1a2b…");
                        }
                        _ => self.add(
                            &at,
                            "a revocation needs certificate or serial",
                            "name one of both",
                        ),
                    }
                }
                self.insert(&at, &step.id, Thing::Crl { issuer: s.issuer.clone() });
            }
            Action::KeyBackup(s) => {
                self.token(&at, &s.token);
                let name = s.out.clone().unwrap_or_else(|| step.id.clone());
                self.insert(&at, &step.id, Thing::Backup { token: s.token.clone(), name });
            }
            Action::KeyRestore(s) => {
                let token = match self.things.get(&s.backup) {
                    Some(Thing::Backup { token, .. }) => Some(token.clone()),
                    _ => {
                        self.missing(&at, &s.backup, "a backup");
                        None
                    }
                };
                for key in &s.keys {
                    self.key(&at, key, None);
                    if let (Some(token), Some(Thing::Key { token: of, .. })) =
                        (&token, self.things.get(key))
                        && token != of
                    {
                        self.add(
                            &at,
                            format!("key {key} is not in that backup"),
                            "name keys of its token",
                        );
                    }
                }
                if let Some(token) = &s.token {
                    self.token(&at, token);
                }
            }
            Action::KeyDestroy(s) => {
                self.key(&at, &s.key, None);
                self.copies_are_named(&at, s);
                if let Some(Thing::Key { alive, .. }) = self.things.get_mut(&s.key) {
                    *alive = false;
                }
            }
            Action::ImportCsr(_) => {
                self.insert(&at, &step.id, Thing::Csr { key: None, imported: true });
            }
            Action::Export(s) => {
                self.key(&at, &s.key, Some(Purpose::LogSign));
                for item in &s.items {
                    match self.things.get(item) {
                        Some(
                            Thing::Certificate { .. }
                            | Thing::Csr { .. }
                            | Thing::Crl { .. }
                            | Thing::File,
                        ) => {}
                        _ => self.missing(&at, item, "a file made"),
                    }
                }
                if let Some(import) = &s.reply_to
                    && !matches!(self.things.get(import), Some(Thing::Csr { imported: true, .. }))
                {
                    self.missing(&at, import, "an imported request");
                }
                self.insert(&at, &step.id, Thing::File);
            }
            Action::HumanCheck(_) | Action::HumanAttest(_) | Action::ExhibitRecord(_) => {}
        }
    }

    fn finish(&mut self) {
        if let Some(seal) = &self.plan.seal {
            self.key("seal", &seal.key, Some(Purpose::LogSign));
        }
    }

    fn insert(&mut self, at: &str, name: &str, thing: Thing) {
        if self.things.insert(name.to_owned(), thing).is_some() {
            self.add(at, format!("the name {name} is used twice"), "choose another one");
        }
    }

    fn token(&mut self, at: &str, token: &str) {
        match self.tokens.get(token) {
            Some(TokenState::Ready) => {}
            Some(TokenState::Empty) => {
                self.add(
                    at,
                    format!("token {token} is not initialised yet"),
                    "put its token.init before",
                );
            }
            Some(TokenState::Closed) => {
                self.add(
                    at,
                    format!("token {token} was closed before"),
                    "put its token.close after",
                );
            }
            None => {
                self.add(at, format!("there is no [token.{token}]"), "name a token of the plan");
            }
        }
    }

    fn key(&mut self, at: &str, name: &str, purpose: Option<Purpose>) {
        match self.things.get(name).cloned() {
            Some(Thing::Key { alive: false, .. }) => {
                self.add(
                    at,
                    format!("key {name} was destroyed before"),
                    "use it before it is destroyed",
                );
            }
            Some(Thing::Key { token, purpose: found, .. }) => {
                if let Some(wanted) = purpose
                    && wanted != found
                {
                    let problem = format!(
                        "key {name} is for {}, and {} is needed",
                        found.name(),
                        wanted.name()
                    );
                    self.add(at, problem, "one key has one purpose: use another key");
                }
                self.token(at, &token);
            }
            _ => self.missing(at, name, "a key"),
        }
    }

    /// The key of a certificate, where it is on a token of the plan.
    fn certificate(&mut self, at: &str, name: &str) -> Option<String> {
        match self.things.get(name) {
            Some(Thing::Certificate { key, .. }) => key.clone(),
            _ => {
                self.missing(at, name, "a certificate");
                None
            }
        }
    }

    /// A certificate whose key can sign certificates now.
    fn issuer(&mut self, at: &str, name: &str) {
        match self.things.get(name).cloned() {
            Some(Thing::Certificate { kind, .. }) if !kind.is_ca() => {
                self.add(at, format!("{name} is no CA"), "name a CA's certificate");
            }
            Some(Thing::Certificate { key: Some(key), .. }) => {
                self.key(at, &key, Some(Purpose::CaSign));
            }
            Some(Thing::Certificate { key: None, .. }) => {
                self.add(
                    at,
                    format!("the key of {name} is on no token of the plan"),
                    "name its key",
                );
            }
            _ => self.missing(at, name, "a certificate"),
        }
    }

    fn profile(&mut self, at: &str, name: &str, kinds: &[CertificateKind]) -> CertificateKind {
        let Some(profile) = self.plan.profiles.get(name) else {
            self.add(at, format!("there is no [profile.{name}]"), "name a profile of the plan");
            return kinds.first().copied().unwrap_or(CertificateKind::IssuingCa);
        };
        if !kinds.is_empty() && !kinds.contains(&profile.kind) {
            self.add(
                at,
                format!("profile {name} is of another kind than this step makes"),
                "use another profile",
            );
        }
        profile.kind
    }

    /// A key whose backup the plan makes is only destroyed when somebody says what became of that copy.
    fn copies_are_named(&mut self, at: &str, s: &Destroy) {
        let Some(Thing::Key { token, .. }) = self.things.get(&s.key) else { return };
        let of_it = self.things.values().filter_map(|thing| match thing {
            Thing::Backup { token: of, name } if of == token => Some(name.clone()),
            _ => None,
        });
        let unnamed =
            of_it.filter(|name| !s.copies.iter().any(|copy| copy.contains(name.as_str())));
        for name in unnamed.collect::<Vec<_>>() {
            self.add(
                at,
                format!("the backup {name} still holds the key {}", s.key),
                format!(
                    "add copies = [\"{name}\"]: somebody then says how that copy was destroyed"
                ),
            );
        }
    }

    fn missing(&mut self, at: &str, name: &str, what: &str) {
        let later = self.plan.steps.iter().any(|s| s.id == name);
        let (problem, remedy) = if later {
            (
                format!("{name} is not {what} at this point"),
                "change the order of the steps, or the name",
            )
        } else {
            (
                format!("{name} is not {what}: nothing of the plan makes it"),
                "correct the name or add the step",
            )
        };
        self.add(at, problem, remedy);
    }

    fn add(&mut self, at: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let id = at.strip_prefix("step ");
        let step = self.plan.steps.iter().find(|s| Some(s.id.as_str()) == id);
        let line = step.map(|s| s.line).or_else(|| self.plan.lines.get(at).copied()).unwrap_or(0);
        let (problem, remedy) = (problem.into(), remedy.into());
        self.problems.push(PlanProblem { line, place: at.to_owned(), problem, remedy });
    }
}
