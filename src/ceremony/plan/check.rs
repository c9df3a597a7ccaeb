//! The sense of a plan beyond its text: names, numbers, roles, secrets, files.

use std::collections::BTreeSet;

use super::document::SecretSource;
use super::{Action, BackupMethod, Plan, PlanProblem, Step, world};
use crate::hsm::Profile;

/// The mark of a rehearsal stands before a label, so labels must leave room for it.
const LABEL_MAX: usize = 32 - "REHEARSAL ".len();

/// Every problem, in the order of the text.
pub(super) fn check(plan: &Plan) -> Vec<PlanProblem> {
    let mut checks = Checks { plan, problems: world::walk(plan) };
    checks.head();
    checks.roles();
    checks.secrets();
    checks.tokens();
    checks.profiles();
    checks.steps();
    checks.problems.sort_by_key(|p| p.line);
    checks.problems
}

struct Checks<'p> {
    plan: &'p Plan,
    problems: Vec<PlanProblem>,
}

impl Checks<'_> {
    fn add(&mut self, place: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let id = place.strip_prefix("step ");
        let step = self.plan.steps.iter().find(|s| Some(s.id.as_str()) == id);
        let line =
            step.map(|s| s.line).or_else(|| self.plan.lines.get(place).copied()).unwrap_or(0);
        let (problem, remedy) = (problem.into(), remedy.into());
        self.problems.push(PlanProblem { line, place: place.to_owned(), problem, remedy });
    }

    fn head(&mut self) {
        if self.plan.title.trim().is_empty() {
            self.add("the plan", "it has no title", "say what the ceremony is for");
        }
        self.policy("the plan", &self.plan.policy.clone());
        if self.plan.steps.is_empty() {
            self.add("the plan", "it has no steps", "write [[step]] for each");
        }
    }

    /// A policy is a URL of one version and one section, so that it says the same in ten years.
    fn policy(&mut self, place: &str, url: &str) {
        let section = url.split_once('#').is_some_and(|(_, s)| !s.is_empty());
        if !(url.starts_with("https://") || url.starts_with("http://")) || !section {
            self.add(
                place,
                "policy is no URL with a version and a section",
                "write for example https://pki.example/cps/v3.2#6.1.1",
            );
        }
    }

    fn roles(&mut self) {
        if self.plan.roles.is_empty() {
            self.add(
                "the plan",
                "it has no roles",
                "write [roles.administrator] and [roles.witness]",
            );
        }
        let people: u32 = self.plan.roles.values().map(|r| u32::from(r.min)).sum();
        if people == 1 {
            let remedy = "add a role, [roles.witness], or raise min";
            self.add("the plan", "a ceremony is held by two people at the least", remedy);
        }
        for (name, role) in &self.plan.roles {
            if role.min == 0 {
                self.add(
                    &format!("roles.{name}"),
                    "min = 0 means nobody",
                    "remove the role, or ask for one",
                );
            }
        }
    }

    fn role(&mut self, place: &str, role: &str) {
        if !self.plan.roles.contains_key(role) {
            let known: Vec<&str> = self.plan.roles.keys().map(String::as_str).collect();
            self.add(
                place,
                format!("there is no role {role}"),
                format!("the roles are: {}", known.join(", ")),
            );
        }
    }

    fn secrets(&mut self) {
        let used: BTreeSet<&str> = self
            .plan
            .tokens
            .values()
            .flat_map(|t| [Some(t.pin.as_str()), t.so_pin.as_deref()])
            .flatten()
            .collect();
        for (name, secret) in &self.plan.secrets {
            let place = format!("secret.{name}");
            if !used.contains(name.as_str()) {
                self.add(
                    &place,
                    "no token uses it",
                    "remove it, or name it as a token's pin or so_pin",
                );
            }
            if secret.source == SecretSource::Generate && !(80..=256).contains(&secret.bits) {
                self.add(&place, "bits must be 80 to 256", "leave it out for 96");
            }
            match (&secret.share, &secret.holder) {
                (Some(share), None) => {
                    if share.threshold < 2 || share.threshold > share.of || share.of > 16 {
                        self.add(
                            &place,
                            "these numbers of shares make no sense",
                            "choose 2 <= threshold <= of <= 16",
                        );
                    }
                    self.role(&place, &share.role);
                    let people = self.plan.roles.get(&share.role).map_or(0, |r| r.min);
                    let needed = match secret.source {
                        SecretSource::Shares => share.threshold,
                        _ => share.of,
                    };
                    if people < needed {
                        let remedy = format!("set min = {needed} for the role {}", share.role);
                        self.add(&place, "there are fewer holders than shares", remedy);
                    }
                }
                (None, Some(holder)) => self.role(&place, holder),
                _ => self.add(&place, "it needs either share or holder", "say who holds it"),
            }
            if secret.source == SecretSource::Shares && secret.share.is_none() {
                self.add(
                    &place,
                    "it comes from shares but share is missing",
                    "add share = { threshold, of, role }",
                );
            }
        }
    }

    fn tokens(&mut self) {
        for (name, token) in &self.plan.tokens {
            let place = format!("token.{name}");
            if let Err(e) = Profile::load(&token.profile) {
                self.add(&place, e.to_string(), "name a profile that is there");
            }
            if token.label.is_empty() || token.label.len() > LABEL_MAX {
                self.add(
                    &place,
                    "the label must have 1 to 22 bytes",
                    "a rehearsal puts its mark before it",
                );
            }
            let made = self.plan.steps.iter().any(|s| is_init(s, name));
            // A name that is none may be a PIN that somebody wrote here, so it is not repeated.
            for (key, secret) in [("pin", Some(&token.pin)), ("so_pin", token.so_pin.as_ref())] {
                let Some(secret) = secret else { continue };
                match self.plan.secrets.get(secret) {
                    None => self.add(
                        &place,
                        format!("{key} names no [secret.NAME]"),
                        "a PIN must not stand in the plan: name a secret; change the PIN if you wrote it here",
                    ),
                    Some(s) if s.source == SecretSource::Generate && !made => {
                        self.add(&place, format!("{key} is generated, but no step initialises the token"), "use source = \"typed\" or \"shares\"");
                    }
                    Some(s) if s.source == SecretSource::Shares && made => {
                        self.add(&place, format!("{key} comes from earlier shares, but a step initialises the token"), "use source = \"generate\"");
                    }
                    Some(_) => {}
                }
            }
            if made && token.so_pin.is_none() {
                self.add(
                    &place,
                    "a step initialises it, but it has no so_pin",
                    "name the secret of the security officer",
                );
            }
            if made && !token.expect_objects.is_empty() {
                self.add(
                    &place,
                    "a token that is initialised has no objects to expect",
                    "remove expect_objects",
                );
            }
            if let Some(range) = &token.firmware
                && crate::ceremony::run::firmware::parse(range).is_none()
            {
                self.add(&place, "firmware is no range of versions", "write \">=2.0, <3.0\"");
            }
            for digest in [&token.module_sha256].into_iter().flatten() {
                self.sha256(&place, digest);
            }
            let expected: Vec<&String> =
                self.plan.keys.values().filter(|k| k.token == *name).map(|k| &k.label).collect();
            if !made {
                for label in expected.into_iter().filter(|l| !token.expect_objects.contains(l)) {
                    self.add(
                        &place,
                        format!("expect_objects lacks «{label}»"),
                        "list every key that is there before",
                    );
                }
            }
        }
    }

    fn sha256(&mut self, place: &str, text: &str) {
        if hex::decode(text).map_or(true, |b| b.len() != 32) {
            self.add(place, "a SHA-256 has 64 hexadecimal digits", "write what sha256sum prints");
        }
    }

    fn profiles(&mut self) {
        let mut used: BTreeSet<&str> =
            self.plan.certificates.values().map(|c| c.profile.as_str()).collect();
        used.extend(self.plan.steps.iter().filter_map(|s| profile_of(&s.action)));
        for (name, profile) in &self.plan.profiles {
            let place = format!("profile.{name}");
            if !used.contains(name.as_str()) {
                self.add(&place, "nothing uses it", "remove it");
            }
            if profile.path_length.is_some() && !profile.kind.is_ca() {
                self.add(&place, "path_length is for CAs", "remove it");
            }
            for oid in profile.policies.iter().chain(&profile.extended_key_usage) {
                if oid.parse::<der::asn1::ObjectIdentifier>().is_err() {
                    self.add(
                        &place,
                        format!("«{}» is no object identifier", oid.escape_debug()),
                        "write 1.2.3",
                    );
                }
            }
            for url in profile.crl_urls.iter().chain(&profile.aia_urls) {
                if !url.starts_with("http://") || !url.is_ascii() {
                    self.add(
                        &place,
                        "a CRL or AIA address is no http:// URL",
                        "RFC 5280 section 4.2.1.13 wants http or ldap",
                    );
                }
            }
            if profile.cps.is_some() && profile.policies.is_empty() {
                self.add(
                    &place,
                    "cps qualifies a policy, and there is none",
                    "add policies = [\"…\"]",
                );
            }
        }
    }

    fn steps(&mut self) {
        let (mut ids, mut files) = (BTreeSet::new(), BTreeSet::new());
        let people: u32 = self.plan.roles.values().map(|r| u32::from(r.min)).sum();
        for step in &self.plan.steps {
            let place = format!("step {}", step.id);
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if step.id.is_empty() || step.id.len() > 40 || !step.id.chars().all(plain) {
                self.add(
                    &place,
                    "an id has 1 to 40 letters, digits, - and _",
                    "choose another one",
                );
            }
            if !ids.insert(step.id.as_str()) {
                self.add(&place, "the id is used twice", "choose another one");
            }
            if u32::from(step.confirm) > people {
                self.add(
                    &place,
                    format!("confirm = {} is more than the roles have people", step.confirm),
                    "lower it, or raise min of a role",
                );
            }
            for file in outputs(&step.action) {
                if !is_file_name(file) {
                    self.add(
                        &place,
                        format!("«{}» is no plain file name", file.escape_debug()),
                        "files go to the folder artefacts/ of the ceremony",
                    );
                }
                if !files.insert(file.to_owned()) {
                    self.add(
                        &place,
                        format!("the file {file} is written twice"),
                        "choose another name",
                    );
                }
            }
            self.action(&place, step);
        }
    }

    fn action(&mut self, place: &str, step: &Step) {
        match &step.action {
            Action::KeyGenerate(s) => {
                if s.label.is_empty() || s.label.len() > LABEL_MAX {
                    self.add(
                        place,
                        "the label must have 1 to 22 bytes",
                        "a rehearsal puts its mark before it",
                    );
                }
                if !s.purpose.signs() && !s.algorithm.kind().is_rsa() {
                    self.add(
                        place,
                        "a decryption key for SCEP is RSA",
                        "choose rsa-3072 or rsa-4096",
                    );
                }
            }
            Action::CertIssue(s) => self.step_policy(place, s.policy.as_deref()),
            Action::CertSelfSigned(s) => self.step_policy(place, s.policy.as_deref()),
            Action::CertCrossSign(s) => self.step_policy(place, s.policy.as_deref()),
            Action::CertRenew(s) => self.step_policy(place, s.policy.as_deref()),
            Action::KeyBackup(s) if s.method == BackupMethod::TokenDirectory => {
                // A profile that does not load is named where the tokens are checked.
                let profile = self.plan.tokens.get(&s.token).map(|t| Profile::load(&t.profile));
                let folder = profile.is_some_and(|p| p.is_ok_and(|p| p.token_directory));
                if !folder {
                    self.add(
                        place,
                        "token-directory is for a token that is a folder of files, and this one's profile does not say so",
                        "use method = \"vendor\", or set token_directory = true in the profile",
                    );
                }
                if s.out.is_none() {
                    self.add(place, "token-directory needs the name of a file", "add out");
                }
            }
            Action::HumanCheck(s) => self.role(place, &s.role),
            Action::HumanAttest(s) => self.role(place, &s.role),
            Action::ExhibitRecord(s) => {
                self.role(place, &s.role);
                if s.fields.is_empty() {
                    self.add(place, "nothing is recorded", "add fields = [\"serial number\"]");
                }
            }
            Action::ImportCsr(s) => {
                for digest in [&s.signer_sha256].into_iter().flatten() {
                    self.sha256(place, digest);
                }
            }
            _ => {}
        }
    }

    fn step_policy(&mut self, place: &str, policy: Option<&str>) {
        if let Some(policy) = policy {
            self.policy(place, policy);
        }
    }
}

fn is_init(step: &Step, token: &str) -> bool {
    matches!(&step.action, Action::TokenInit(i) if i.token == token)
}

fn profile_of(action: &Action) -> Option<&str> {
    match action {
        Action::CertSelfSigned(s) => Some(&s.profile),
        Action::CertIssue(s) => Some(&s.profile),
        Action::CertCrossSign(s) => Some(&s.profile),
        Action::CertRenew(s) => Some(&s.profile),
        Action::CaRekey(s) => Some(&s.profile),
        _ => None,
    }
}

/// The files under `artefacts/` that an action writes.
pub(in crate::ceremony) fn outputs(action: &Action) -> Vec<&str> {
    match action {
        Action::CertSelfSigned(s) => vec![&s.out],
        Action::CsrCreate(s) => vec![&s.out],
        Action::CertIssue(s) => vec![&s.out],
        Action::CertCrossSign(s) => vec![&s.out],
        Action::CertRenew(s) => vec![&s.out],
        Action::CaRekey(s) => vec![&s.out_new_with_old, &s.out_old_with_new],
        Action::CrlSign(s) => vec![&s.out],
        Action::KeyBackup(s) => s.out.iter().map(String::as_str).collect(),
        Action::Export(s) => vec![&s.out],
        _ => Vec::new(),
    }
}

fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(plain)
}
