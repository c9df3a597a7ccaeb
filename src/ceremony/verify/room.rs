//! The machine, the clock and the tokens: what was found against the plan, and who let a difference pass.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::records;
use super::{Checks, Folder};
use crate::ceremony::plan::{Action, Plan};
use crate::ceremony::run::{CHECK_NAMES, clock_fault, differences, worrying};
use crate::ceremony::transcript::{Fact, Mode, Object, Outcome, TokenRecord};

const MACHINE: &str = "the machine and the clock";
const TOKENS: &str = "the tokens";
const INVENTORIES: &str = "the inventories";

pub(super) fn check(folder: &Folder, checks: &mut Checks) {
    if folder.transcript.redacted() > 0 {
        for (id, title) in [("CER-023", MACHINE), ("CER-024", TOKENS), ("CER-025", INVENTORIES)] {
            checks.open(id, title, "they are redacted");
        }
        return;
    }
    let Some(plan) = &folder.plan else { return };
    let production =
        folder.facts().any(|f| matches!(f, Fact::Begin { mode: Mode::Production, .. }));
    if production {
        checks.none("CER-023", MACHINE, "as they should be, or waived", machine(folder, plan));
        checks.none("CER-024", TOKENS, "those of the plan", tokens(folder, plan));
    } else {
        for (id, title) in [("CER-023", MACHINE), ("CER-024", TOKENS)] {
            checks.open(id, title, "a rehearsal is held on any machine, with stand-ins");
        }
    }
    inventories(folder, plan, checks);
}

/// The facts of each sitting that came to a step: from the beginning or a resumption to the next one.
fn sittings(folder: &Folder) -> Vec<Vec<&Fact>> {
    let mut all = vec![Vec::new()];
    for fact in folder.facts() {
        if matches!(fact, Fact::Resume { .. }) {
            all.push(Vec::new());
        }
        if let Some(last) = all.last_mut() {
            last.push(fact);
        }
    }
    let worked = |facts: &Vec<&Fact>| facts.iter().any(|f| matches!(f, Fact::StepBegin { .. }));
    all.into_iter().filter(worked).collect()
}

/// Whether somebody on the roll let `what` pass.
fn is_waived(folder: &Folder, what: &str) -> bool {
    folder
        .facts()
        .any(|f| matches!(f, Fact::Waiver { what: w, by, .. } if w == what && on_roll(folder, by)))
}

fn on_roll(folder: &Folder, who: &str) -> bool {
    folder.facts().any(|f| matches!(f, Fact::Person { name, .. } if name == who))
}

fn machine(folder: &Folder, plan: &Plan) -> Vec<String> {
    let mut bad = Vec::new();
    for sitting in sittings(folder) {
        for name in CHECK_NAMES {
            if !sitting
                .iter()
                .any(|f| matches!(f, Fact::Environment { check, .. } if check == name))
            {
                bad.push(format!("nobody looked at {name}"));
            }
        }
        if !sitting.iter().any(|f| matches!(f, Fact::Clock { .. })) {
            bad.push("nobody compared the clock".to_owned());
        }
    }
    for fact in folder.facts() {
        match fact {
            Fact::Environment { outcome: Outcome::Done, .. } => {}
            Fact::Environment { check, found, .. } => {
                let fault = format!("{check}: {found}");
                let open = !is_waived(folder, &fault);
                bad.extend(open.then(|| format!("{fault}, and nobody on the roll waived it")));
            }
            Fact::Clock { difference_s, by, .. } => {
                let limit = plan.environment.clock_skew_s;
                let fault = format!("the clock: {}", clock_fault(*difference_s, limit));
                if difference_s.unsigned_abs() > u64::from(limit) && !is_waived(folder, &fault) {
                    bad.push(format!("{fault}, and nobody on the roll waived it"));
                }
                if !on_roll(folder, by) {
                    bad.push(format!("{by}, who compared the clock, is not on the roll"));
                }
            }
            _ => {}
        }
    }
    bad
}

fn tokens(folder: &Folder, plan: &Plan) -> Vec<String> {
    let mut bad = Vec::new();
    let made = |token: &str| {
        plan.steps.iter().any(|s| matches!(&s.action, Action::TokenInit(i) if i.token == token))
    };
    for (name, token) in &plan.tokens {
        for sitting in sittings(folder) {
            let seen =
                sitting.iter().any(|f| matches!(f, Fact::Token { token, .. } if token == name));
            if !made(name) && !seen {
                bad.push(format!("nobody looked at the token {name} before the steps"));
            }
        }
        let wanted = token.module_sha256.as_deref();
        let loaded = |wanted: &str| {
            folder.facts().any(
                |f| matches!(f, Fact::Module { sha256, .. } if sha256.eq_ignore_ascii_case(wanted)),
            )
        };
        if wanted.is_some_and(|wanted| !loaded(wanted)) {
            bad.push(format!("the module of the token {name} is not the plan's"));
        }
    }
    let mut last: BTreeMap<&str, &TokenRecord> = BTreeMap::new();
    for fact in folder.facts() {
        match fact {
            Fact::Token { token, found } => {
                match plan.tokens.get(token) {
                    Some(planned) => {
                        let wrong = differences(planned, found);
                        bad.extend(wrong.into_iter().map(|w| format!("token {token}: {w}")));
                    }
                    None => bad.push(format!("the token {token} is not in the plan")),
                }
                let flags =
                    worrying(found).into_iter().map(|flag| format!("token {token}: {flag}"));
                let open = flags.filter(|flag| !made(token) && !is_waived(folder, flag));
                bad.extend(open.map(|flag| format!("{flag}, and nobody on the roll waived it")));
                if last.insert(token, found).is_some_and(|before| before.serial != found.serial) {
                    bad.push(format!("the token {token} was another one after an interruption"));
                }
            }
            Fact::TokenInitialised { token, serial, .. } => {
                let seen = last.get(token.as_str()).is_some_and(|found| found.serial == *serial);
                let problem = || format!("the token {token} was initialised and not looked at");
                bad.extend((!seen).then(problem));
            }
            _ => {}
        }
    }
    bad
}

/// What should be on one token.
#[derive(Default)]
struct Shelf {
    /// Class, label and ID of every object; none before the first inventory.
    known: Option<BTreeSet<(String, String, String)>>,
    /// IDs of keys that a step may have made or removed before its line was written.
    open: BTreeSet<String>,
    /// Whether a key was made or destroyed since the last inventory.
    changed: bool,
    /// Whether the last inventory was the one after the steps.
    closed: bool,
}

/// Each inventory is the one before it, with the keys that were made in between and without the destroyed
/// ones; the last comes after every change.
fn inventories(folder: &Folder, plan: &Plan, checks: &mut Checks) {
    let records = records(folder);
    let mut shelves: BTreeMap<&str, Shelf> = BTreeMap::new();
    let (mut bad, mut count) = (Vec::new(), 0);
    for fact in folder.facts() {
        match fact {
            Fact::TokenInitialised { token, .. } => {
                shelves.entry(token).or_default().known.get_or_insert_default();
            }
            Fact::StepBegin { step, .. } => {
                match plan.steps.iter().find(|s| s.id == *step).map(|s| &s.action) {
                    Some(Action::KeyDestroy(s)) => {
                        if let Some(record) = records.get(s.key.as_str()) {
                            let shelf = shelves.entry(&record.token).or_default();
                            shelf.open.insert(record.id.clone());
                        }
                    }
                    Some(Action::KeyRestore(s)) => {
                        let Some(token) = &s.token else { continue };
                        let ids = s.keys.iter().filter_map(|k| records.get(k.as_str()));
                        let ids = ids.map(|record| record.id.clone());
                        shelves.entry(token).or_default().open.extend(ids);
                    }
                    _ => {}
                }
            }
            Fact::KeyIntent { token, id, .. } => {
                shelves.entry(token).or_default().open.insert(id.clone());
            }
            // What was announced is told by now, or was never made.
            Fact::StepEnd { step, outcome: Outcome::Done, .. } => {
                for fact in folder.facts() {
                    if let Fact::KeyIntent { step: of, token, id, .. } = fact
                        && of == step
                    {
                        shelves.entry(token).or_default().open.remove(id);
                    }
                }
            }
            Fact::Key { key, .. } => {
                let shelf = shelves.entry(&key.token).or_default();
                shelf.open.remove(&key.id);
                shelf.changed = true;
                let known = shelf.known.get_or_insert_default();
                for class in ["CKO_PRIVATE_KEY", "CKO_PUBLIC_KEY"] {
                    known.insert((class.to_owned(), key.label.clone(), key.id.clone()));
                }
            }
            Fact::KeyDestroyed { key, .. } => {
                let Some(record) = records.get(key.as_str()) else { continue };
                let shelf = shelves.entry(&record.token).or_default();
                shelf.changed = true;
                shelf.open.remove(&record.id);
                shelf.known.get_or_insert_default().retain(|(_, _, id)| *id != record.id);
            }
            Fact::Inventory { token, moment, objects, .. } => {
                count += 1;
                let shelf = shelves.entry(token).or_default();
                let key = |o: &Object| (o.class.clone(), o.label.clone(), o.id.clone());
                let found: BTreeSet<_> = objects.iter().map(key).collect();
                if let Some(known) = &shelf.known {
                    let odd = known.symmetric_difference(&found);
                    let odd = odd.filter(|(_, _, id)| !shelf.open.contains(id));
                    for (class, label, id) in odd {
                        let what = if found.contains(&(class.clone(), label.clone(), id.clone())) {
                            "came from nowhere"
                        } else {
                            "is gone"
                        };
                        bad.push(format!("token {token}: {class} «{label}» (ID {id}) {what}"));
                    }
                }
                shelf.closed = moment == "after";
                (shelf.known, shelf.changed) = (Some(found), false);
            }
            _ => {}
        }
    }
    let ended = folder.facts().any(|f| matches!(f, Fact::End { outcome: Outcome::Done, .. }));
    for (token, shelf) in shelves.iter().filter(|_| ended) {
        if shelf.changed || !shelf.closed {
            bad.push(format!("token {token}: there is no inventory after its last change"));
        }
    }
    let good = format!("{count}: what was there before, with what the steps made and destroyed");
    checks.none("CER-025", INVENTORIES, &good, bad);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::ceremony::run::{AutomaticDesk, Journal, Options, Output, Room, SoftBench};
    use crate::ceremony::transcript::Writer;
    use crate::ceremony::verify::Finding;
    use crate::clock::SystemClock;
    use crate::random::SystemRandom;

    const PLAN: &str = r##"
schema = 1
title = "T"
policy = "https://pki.example/cps/v1#1"
[roles.administrator]
[roles.witness]
[token.root]
profile = "softhsm2"
label = "R"
pin = "pin"
so_pin = "pin"
[secret.pin]
source = "generate"
holder = "administrator"
[[step]]
id = "init"
do = "token.init"
token = "root"
confirm = 2
[[step]]
id = "k"
do = "key.generate"
token = "root"
label = "K"
algorithm = "ec-p256"
purpose = "log-sign"
[[step]]
id = "l"
do = "key.generate"
token = "root"
label = "L"
algorithm = "ec-p256"
purpose = "log-sign"
[[step]]
id = "d"
do = "key.destroy"
key = "k"
reason = "test"
"##;

    fn writer(folder: &Path) -> Writer {
        let path = Output::transcript(folder);
        Writer::create(&path, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap()
    }

    /// A production ceremony on a machine of which nothing can be read, all of it waived.
    fn held() -> Vec<Fact> {
        let folder = tempfile::tempdir().unwrap();
        let plan = crate::ceremony::plan::load(PLAN).unwrap();
        let options = Options {
            mode: Mode::Production,
            base: PathBuf::from("."),
            root: PathBuf::from("/nonexistent"),
            executable: PathBuf::from("/proc/self/exe"),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let bench = Box::new(SoftBench::new(&plan.tokens).unwrap());
        let (desk, output) = (Box::new(AutomaticDesk::quiet()), Output::Memory(BTreeMap::new()));
        let journal = Journal::File(writer(folder.path()));
        Room::new(&plan, options, bench, desk, journal, output, Vec::new()).run().unwrap();
        Folder::read(folder.path()).unwrap().0.facts().cloned().collect()
    }

    /// The checks that do not hold.
    fn bad(facts: &[Fact]) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.toml"), PLAN).unwrap();
        let mut writer = writer(folder.path());
        for fact in facts {
            writer.append(fact.clone()).unwrap();
        }
        let (folder, _) = Folder::read(folder.path()).unwrap();
        let mut checks = Checks { all: Vec::new() };
        check(&folder, &mut checks);
        checks.all.iter().filter(|c| c.result == Finding::Bad).map(|c| c.id).collect()
    }

    #[test]
    fn what_nobody_waived_saw_or_planned_is_found() {
        let whole = held();
        assert_eq!(bad(&whole), Vec::<&str>::new());
        let without = |gone: fn(&Fact) -> bool| {
            let left: Vec<Fact> = whole.iter().filter(|f| !gone(f)).cloned().collect();
            assert!(left.len() < whole.len());
            bad(&left)
        };
        assert_eq!(without(|f| matches!(f, Fact::Waiver { .. })), ["CER-023"]);
        assert_eq!(without(|f| matches!(f, Fact::Environment { .. })), ["CER-023"]);
        assert_eq!(without(|f| matches!(f, Fact::Clock { .. })), ["CER-023"]);
        assert_eq!(without(|f| matches!(f, Fact::Token { .. })), ["CER-024"]);
        let after = |f: &Fact| matches!(f, Fact::Inventory { moment, .. } if moment == "after");
        assert_eq!(without(after), ["CER-025"]);
        assert_eq!(without(|f| matches!(f, Fact::Key { .. })), ["CER-025"]);
        let changed = |change: fn(&mut Fact)| {
            let mut facts = whole.clone();
            facts.iter_mut().for_each(change);
            assert_ne!(facts, whole);
            bad(&facts)
        };
        let stranger = |f: &mut Fact| {
            if let Fact::Waiver { by, .. } = f {
                *by = "a passer-by".into();
            }
        };
        assert_eq!(changed(stranger), ["CER-023"]);
        let off = |f: &mut Fact| {
            if let Fact::Clock { difference_s, .. } = f {
                *difference_s = -3600;
            }
        };
        assert_eq!(changed(off), ["CER-023"]);
        let other = |f: &mut Fact| {
            if let Fact::Token { found, .. } = f {
                found.label = "another".into();
            }
        };
        assert_eq!(changed(other), ["CER-024"]);
        let more = |f: &mut Fact| match f {
            Fact::Inventory { objects, moment, .. } if moment == "after" => {
                let mut rogue = objects[0].clone();
                rogue.id = "00".into();
                objects.push(rogue);
            }
            _ => {}
        };
        assert_eq!(changed(more), ["CER-025"]);
        let fewer = |f: &mut Fact| match f {
            Fact::Inventory { objects, moment, .. } if moment == "after" => objects.truncate(1),
            _ => {}
        };
        assert_eq!(changed(fewer), ["CER-025"]);
    }
}
