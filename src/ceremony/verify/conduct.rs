//! How the ceremony was held: steps in order, confirmations, waivers, lints.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Folder};
use crate::ceremony::plan::step_digest;
use crate::ceremony::transcript::{Fact, Mode, Outcome};
use crate::ceremony::words;

pub(super) fn check(folder: &Folder, checks: &mut Checks) {
    steps(folder, checks);
    confirmations(folder, checks);
    lints(folder, checks);
    times(folder, checks);
    remarks(folder, checks);
}

fn steps(folder: &Folder, checks: &mut Checks) {
    let mut bad = Vec::new();
    let planned: Vec<String> = folder
        .facts()
        .find_map(|f| match f {
            Fact::Begin { steps, .. } => Some(steps.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let done: Vec<&String> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::StepEnd { step, outcome: Outcome::Done, .. } => Some(step),
            _ => None,
        })
        .collect();
    if !planned.iter().zip(&done).all(|(p, d)| p == *d) || done.len() > planned.len() {
        bad.push("the steps were not done in the plan's order, each once".to_owned());
    }
    let complete = folder.transcript.is_complete();
    let ended = folder.facts().any(|f| matches!(f, Fact::End { outcome: Outcome::Done, .. }));
    if complete && ended && done.len() < planned.len() {
        let missing: Vec<&str> = planned.iter().skip(done.len()).map(String::as_str).collect();
        bad.push(format!("never done: {}", missing.join(", ")));
    }
    if let Some(plan) = &folder.plan {
        for fact in folder.facts() {
            if let Fact::StepBegin { step, number, action } = fact {
                let planned = plan.steps.get(usize::try_from(*number).unwrap_or(0).wrapping_sub(1));
                if planned.is_none_or(|p| p.id != *step || p.name != action) {
                    bad.push(format!("step {step} is not the plan's number {number}"));
                }
            }
        }
    }
    checks.none(
        "CER-011",
        "the steps",
        &format!("{} of {} done, in order", done.len(), planned.len()),
        bad,
    );
}

fn confirmations(folder: &Folder, checks: &mut Checks) {
    const TITLE: &str = "confirmations by several people";
    if folder.transcript.redacted() > 0 {
        checks.open("CER-020", TITLE, "they are redacted");
        return;
    }
    let Some(plan) = &folder.plan else { return };
    let digest = plan.digest();
    let mut bad = Vec::new();
    // By step: the people, and their roles.
    let mut by_step: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    let people: BTreeSet<(&str, &str)> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::Person { role, name } => Some((role.as_str(), name.as_str())),
            _ => None,
        })
        .collect();
    for fact in folder.facts() {
        if let Fact::Confirmation { step, by, role, typed } = fact {
            if !words::is_phrase(typed, &step_digest(&digest, step)) {
                bad.push(format!("{by} typed other words for step {step}"));
            }
            if !people.contains(&(role.as_str(), by.as_str())) {
                bad.push(format!("{by} is not on the roll"));
            }
            let (names, roles) = by_step.entry(step).or_default();
            names.insert(by);
            roles.insert(role);
        }
    }
    let done = |id: &str| {
        folder
            .facts()
            .any(|f| matches!(f, Fact::StepEnd { step, outcome: Outcome::Done, .. } if step == id))
    };
    for step in plan.steps.iter().filter(|s| done(&s.id)) {
        let found = by_step.get(step.id.as_str());
        let (names, roles) = found.map_or((0, 0), |(names, roles)| (names.len(), roles.len()));
        if names < usize::from(step.confirm) {
            bad.push(format!("step {} has {names} of {} confirmations", step.id, step.confirm));
        } else if step.confirm > 1 && plan.roles.len() > 1 && roles < 2 {
            bad.push(format!("step {} was confirmed by one role alone", step.id));
        }
    }
    let confirmed: BTreeSet<(&str, &str)> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::PlanConfirmed { by, role } => Some((role.as_str(), by.as_str())),
            _ => None,
        })
        .collect();
    if folder.facts().any(|f| matches!(f, Fact::StepBegin { .. })) {
        if confirmed.len() < 2 {
            bad.push("the plan's digest was not confirmed by two people".to_owned());
        }
        let roles: BTreeSet<&str> = confirmed.iter().map(|(role, _)| *role).collect();
        if plan.roles.len() > 1 && roles.len() < 2 {
            bad.push("the plan's digest was confirmed by one role alone".to_owned());
        }
        if !confirmed.is_subset(&people) {
            bad.push("somebody who is not on the roll confirmed the plan's digest".to_owned());
        }
    }
    checks.none("CER-020", TITLE, "as many as the plan wants, with the right words", bad);
}

fn lints(folder: &Folder, checks: &mut Checks) {
    let (mut bad, mut rules, mut skipped_all) = (Vec::new(), 0, 0);
    let failed: BTreeSet<&String> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::StepEnd { step, outcome: Outcome::Failed, .. } => Some(step),
            _ => None,
        })
        .collect();
    for fact in folder.facts() {
        if let Fact::Lint { step, moment, passed, findings, skipped } = fact {
            rules += passed;
            skipped_all += skipped.len();
            // A step that failed its lints signed nothing.
            if !findings.is_empty() && !failed.contains(step) {
                bad.push(format!("step {step}, {moment}: {}", findings.join(", ")));
            }
        }
    }
    checks.none(
        "CER-030",
        "lints as recorded",
        &format!("{rules} rules passed, {skipped_all} skipped by the plan"),
        bad,
    );
}

/// The lines were written one after another: the machine's uptime never runs back but over an interruption.
fn times(folder: &Folder, checks: &mut Checks) {
    const TITLE: &str = "the times of the lines";
    let (mut bad, mut set_back) = (Vec::new(), 0);
    let mut before: Option<(u64, &str)> = None;
    for (number, entry) in folder.transcript.entries() {
        let resumed = matches!(entry.fact, Fact::Resume { .. });
        if let Some((uptime, time)) = before {
            if !resumed && entry.monotonic_ms < uptime {
                bad.push(format!("line {} was written before the one above it", number + 1));
            }
            set_back += usize::from(entry.time.as_str() < time);
        }
        before = Some((entry.monotonic_ms, &entry.time));
    }
    match set_back {
        0 => checks.none("CER-013", TITLE, "none before the one above it", bad),
        n if bad.is_empty() => {
            checks.open("CER-013", TITLE, format!("the clock was set back {n} times in between"));
        }
        _ => checks.none("CER-013", TITLE, "", bad),
    }
}

fn remarks(folder: &Folder, checks: &mut Checks) {
    let mode = folder.facts().find_map(|f| match f {
        Fact::Begin { mode, .. } => Some(*mode),
        _ => None,
    });
    if mode.is_some_and(|m| m != Mode::Production) {
        checks.open(
            "CER-012",
            "production",
            "this was a REHEARSAL: nothing of it is to be trusted",
        );
    }
    let count = |wanted: fn(&Fact) -> bool| folder.facts().filter(|f| wanted(f)).count();
    let waivers = count(|f| matches!(f, Fact::Waiver { .. }));
    let deviations = count(|f| matches!(f, Fact::Deviation { .. }));
    let breaks = count(|f| matches!(f, Fact::Break { ended: false, .. }));
    let resumed = count(|f| matches!(f, Fact::Resume { .. }));
    let odd = folder.facts().filter_map(|f| match f {
        Fact::Inventory { token, unexpected, .. } if !unexpected.is_empty() => Some(token.clone()),
        _ => None,
    });
    let odd: Vec<String> = odd.collect();
    let programs: BTreeSet<&str> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::Begin { tool, .. } | Fact::Resume { tool, .. } => Some(tool.sha256.as_str()),
            _ => None,
        })
        .collect();
    if programs.len() > 1 {
        checks.open(
            "CER-022",
            "one program throughout",
            format!("{} different ones, for it was resumed with another", programs.len()),
        );
    }
    if waivers + deviations + breaks + resumed + odd.len() > 0 {
        checks.open(
            "CER-021",
            "what people must judge",
            format!("{waivers} waivers, {deviations} deviations, {breaks} breaks, {resumed} interruptions, {} odd inventories; read them in the report", odd.len()),
        );
    }
}
