//! Reads a plan's text: every unknown key with a suggestion, every wrong value, at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::document::{Head, Plan};
use super::steps::{Action, Step, StepHead};
use super::{Environment, PlanProblem};

/// The version of the schema.
const SCHEMA: u32 = 1;

/// Keys that hold a secret in other programs' files.
const SECRETS: [&str; 8] = [
    "user_pin",
    "so_pin_value",
    "password",
    "passphrase",
    "passwd",
    "value",
    "pin_value",
    "private_key",
];

type Table<'i> = DeTable<'i>;

/// Reads a plan's text, without looking at its sense.
pub fn read(source: &str) -> Result<Plan, Vec<PlanProblem>> {
    let mut reader = Reader { source, problems: Vec::new(), lines: BTreeMap::new() };
    let document = match DeTable::parse(source) {
        Ok(document) => document,
        Err(e) => {
            let line = e.span().map_or(0, |s| reader.line(s.start));
            reader.add(line, "the plan", e.message().to_owned(), "mend the TOML");
            return Err(reader.problems);
        }
    };
    let plan = reader.plan(document.get_ref());
    let mut problems = reader.problems;
    problems.sort_by_key(|p| p.line);
    match plan {
        Some(plan) if problems.is_empty() => Ok(Plan { lines: reader.lines, ..plan }),
        _ => Err(problems),
    }
}

struct Reader<'s> {
    source: &'s str,
    problems: Vec<PlanProblem>,
    lines: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.source.get(..offset).map_or(0, |before| before.matches('\n').count() + 1)
    }

    fn add(
        &mut self,
        line: usize,
        place: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (place, problem, remedy) = (place.to_owned(), problem.into(), remedy.into());
        self.problems.push(PlanProblem { line, place, problem, remedy });
    }

    fn plan(&mut self, document: &Table<'_>) -> Option<Plan> {
        const SECTIONS: [&str; 10] = [
            "environment",
            "roles",
            "token",
            "secret",
            "profile",
            "key",
            "certificate",
            "crl",
            "seal",
            "step",
        ];
        let head: Option<Head> = self.section(document, "the plan", 1, &SECTIONS);
        if let Some(head) = &head
            && head.schema != SCHEMA
        {
            let problem = format!("schema {} is not known", head.schema);
            self.add(1, "the plan", problem, format!("this version reads schema = {SCHEMA}"));
        }
        let environment = match document.get("environment") {
            Some(value) => self.table_at(value, "environment"),
            None => Environment::deserialize(toml::Table::new()).ok(),
        };
        let seal = match document.get("seal") {
            Some(value) => Some(self.table_at(value, "seal")?),
            None => None,
        };
        let roles = self.named(document, "roles");
        let tokens = self.named(document, "token");
        let secrets = self.named(document, "secret");
        let profiles = self.named(document, "profile");
        let keys = self.named(document, "key");
        let certificates = self.named(document, "certificate");
        let crls = self.named(document, "crl");
        let steps = self.steps(document);
        let head = head?;
        Some(Plan {
            source: self.source.to_owned(),
            title: head.title,
            policy: head.policy,
            description: head.description,
            environment: environment?,
            roles,
            tokens,
            secrets,
            profiles,
            keys,
            certificates,
            crls,
            seal,
            steps,
            lines: BTreeMap::new(),
        })
    }

    /// The tables `[section.NAME]`.
    fn named<T: DeserializeOwned>(
        &mut self,
        document: &Table<'_>,
        section: &str,
    ) -> BTreeMap<String, T> {
        let mut all = BTreeMap::new();
        let Some(value) = document.get(section) else { return all };
        let line = self.line(value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            self.add(line, section, "it is no table", format!("write [{section}.NAME]"));
            return all;
        };
        for (name, value) in table {
            let place = format!("{section}.{}", name.get_ref());
            if let Some(read) = self.table_at(value, &place) {
                all.insert(name.get_ref().to_string(), read);
            }
        }
        all
    }

    fn table_at<T: DeserializeOwned>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        place: &str,
    ) -> Option<T> {
        let line = self.line(value.span().start);
        self.lines.insert(place.to_owned(), line);
        match value.get_ref() {
            DeValue::Table(table) => self.section(table, place, line, &[]),
            _ => {
                self.add(line, place, "it is no table", format!("write [{place}]"));
                None
            }
        }
    }

    /// Reads `table` as a `T`, whose fields are the keys that may stand in it beside `others`.
    fn section<T: DeserializeOwned>(
        &mut self,
        table: &Table<'_>,
        place: &str,
        line: usize,
        others: &[&str],
    ) -> Option<T> {
        let fields = fields_of::<T>();
        let mut known = Table::new();
        for (name, value) in table {
            let key = name.get_ref().as_ref();
            if fields.contains(&key) {
                known.insert(name.clone(), value.clone());
            } else if !others.contains(&key) {
                let all: Vec<&str> = fields.iter().chain(others).copied().collect();
                let (problem, remedy) = unknown(key, &all);
                self.add(self.line(name.span().start), place, problem, remedy);
            }
        }
        let end = self.source.len();
        let value = Spanned::new(end..end, DeValue::Table(known));
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => Some(read),
            Err(e) => {
                let at = e.span().filter(|s| s.start < end).map_or(line, |s| self.line(s.start));
                self.add(
                    at,
                    place,
                    e.message().to_owned(),
                    "see docs/ceremony.md for the keys and values",
                );
                None
            }
        }
    }

    fn steps(&mut self, document: &Table<'_>) -> Vec<Step> {
        let Some(DeValue::Array(steps)) = document.get("step").map(Spanned::get_ref) else {
            self.add(0, "the plan", "it has no steps", "write [[step]] for each");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, value) in steps.iter().enumerate() {
            let line = self.line(value.span().start);
            let DeValue::Table(table) = value.get_ref() else {
                self.add(line, "step", "it is no table", "write [[step]]");
                continue;
            };
            let name = table.get("id").and_then(|v| v.get_ref().as_str());
            let place =
                format!("step {}", name.map_or_else(|| (index + 1).to_string(), str::to_owned));
            all.extend(self.step(table, &place, line));
        }
        all
    }

    fn step(&mut self, table: &Table<'_>, place: &str, line: usize) -> Option<Step> {
        let common = fields_of::<StepHead>();
        // The action's own keys are judged once the action is known.
        let keys: Vec<&str> = table.iter().map(|(name, _)| name.get_ref().as_ref()).collect();
        let head: StepHead = self.section(table, place, line, &keys)?;
        macro_rules! actions {
            ($($word:literal => $variant:ident),+ $(,)?) => {
                match head.action.as_str() {
                    $($word => ($word, Action::$variant(self.section(table, place, line, common)?)),)+
                    other => {
                        let (_, remedy) = unknown(other, &[$($word),+]);
                        let problem = format!("there is no action «{}»", other.escape_debug());
                        self.add(line, place, problem, remedy);
                        return None;
                    }
                }
            };
        }
        let (name, action) = actions! {
            "token.init" => TokenInit, "token.close" => TokenClose, "key.generate" => KeyGenerate,
            "cert.self-signed" => CertSelfSigned, "csr.create" => CsrCreate, "cert.issue" => CertIssue,
            "cert.cross-sign" => CertCrossSign, "cert.renew" => CertRenew, "ca.rekey" => CaRekey,
            "crl.sign" => CrlSign, "key.backup" => KeyBackup, "key.restore" => KeyRestore,
            "key.destroy" => KeyDestroy, "exchange.import-csr" => ImportCsr, "exchange.export" => Export,
            "human.check" => HumanCheck, "human.attest" => HumanAttest, "exhibit.record" => ExhibitRecord,
        };
        let title = if head.title.is_empty() { name.to_owned() } else { head.title };
        Some(Step {
            id: head.id,
            title,
            confirm: head.confirm,
            note: head.note,
            name,
            action,
            line,
        })
    }
}

/// The problem and remedy of a key that is none of `known`.
fn unknown(key: &str, known: &[&str]) -> (String, String) {
    let plain = key.to_ascii_lowercase().replace('-', "_");
    if SECRETS.contains(&plain.as_str()) {
        return (
            format!("a secret must not stand in the plan («{plain}»)"),
            "remove it, change the secret if others could read it, and name a [secret.NAME]".into(),
        );
    }
    let near = known.iter().map(|k| (strsim::jaro_winkler(&plain, k), *k));
    let best = near.filter(|(s, _)| *s > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    let remedy = match best {
        Some((_, word)) => format!("did you mean «{word}»?"),
        None => format!("known are: {}", known.join(", ")),
    };
    (format!("«{}» is not known here", key.escape_debug()), remedy)
}

/// The names of a struct's fields, as its `Deserialize` announces them.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Fields<'a>(&'a mut &'static [&'static str]);
    impl<'de> serde::Deserializer<'de> for Fields<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("only the names are wanted"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("no struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
            unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    // The result is always the error from above.
    let _ = T::deserialize(Fields(&mut names));
    names
}
