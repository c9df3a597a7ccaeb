use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::ceremony::plan::{Plan, load, step_digest};
use crate::ceremony::transcript::{Fact, Mode, Outcome};
use crate::ceremony::words;
use crate::clock::SystemClock;
use crate::random::SystemRandom;
use crate::secret::Secret;

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
so_pin = "so"
[secret.pin]
source = "generate"
holder = "administrator"
[secret.so]
source = "typed"
holder = "witness"
[[step]]
id = "init"
do = "token.init"
token = "root"
confirm = 2
[[step]]
id = "look"
do = "human.check"
role = "witness"
text = "Is it blue?"
expect = "yes"
"##;

/// Answers from a list; what the list does not have is answered as rehearsed.
struct Scripted {
    answers: VecDeque<(&'static str, String)>,
}

impl Desk for Scripted {
    fn show(&mut self, _: &str) {}

    fn ask(&mut self, question: &Question<'_>) -> Result<String, RunError> {
        match self.answers.front() {
            Some((part, _)) if question.text.contains(part) => {
                Ok(self.answers.pop_front().map(|(_, answer)| answer).unwrap_or_default())
            }
            _ => Ok(question.rehearsed.to_owned()),
        }
    }

    fn ask_secret(&mut self, _: &str, rehearsed: Option<&str>) -> Result<Secret, RunError> {
        Ok(Secret::new(rehearsed.unwrap_or("unknown").as_bytes().to_vec()))
    }

    fn show_secret(&mut self, _: &str, _: &[String]) -> Result<(), RunError> {
        Ok(())
    }

    fn is_human(&self) -> bool {
        true
    }
}

/// Runs the plan with these answers and returns what was recorded.
fn run(plan: &Plan, answers: &[(&'static str, &str)]) -> (Result<(), RunError>, Vec<Fact>) {
    let answers = answers.iter().map(|(part, answer)| (*part, (*answer).to_owned())).collect();
    let options = Options {
        mode: Mode::Rehearsal,
        base: PathBuf::from("."),
        root: PathBuf::from("/nonexistent"),
        executable: PathBuf::from("/nonexistent"),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let (journal, output) = (Journal::Memory(Vec::new()), Output::Memory(BTreeMap::new()));
    let desk = Box::new(Scripted { answers });
    let bench = Box::new(SoftBench::new(&plan.tokens).unwrap());
    let mut room = Room::new(plan, options, bench, desk, journal, output, Vec::new());
    let result = room.run().map(|_| ());
    let Journal::Memory(facts) = room.journal else { panic!("the journal is in memory") };
    (result, facts)
}

#[test]
fn the_same_person_does_not_confirm_twice() {
    let plan = load(PLAN).unwrap();
    let first = "Rehearsal administrator 1";
    let answers = [("Who confirms?", first), ("Who confirms?", first), ("Who confirms?", "nobody")];
    let answers = [answers, answers].concat();
    let (result, facts) = run(&plan, &answers);
    result.unwrap();
    let confirmed: Vec<&str> = facts
        .iter()
        .filter_map(|f| match f {
            Fact::Confirmation { by, .. } => Some(by.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(confirmed, [first, "Rehearsal witness 1"]);
    let plan_by: Vec<&str> = facts
        .iter()
        .filter_map(|f| match f {
            Fact::PlanConfirmed { by, .. } => Some(by.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(plan_by, [first, "Rehearsal witness 1"]);
}

#[test]
fn one_role_alone_does_not_confirm() {
    let plan =
        load(&PLAN.replace("[roles.administrator]", "[roles.administrator]\nmin = 2")).unwrap();
    let (first, second) = ("Rehearsal administrator 1", "Rehearsal administrator 2");
    let (result, facts) = run(&plan, &[("Who confirms?", first), ("Who confirms?", second)]);
    result.unwrap();
    let roles = facts.iter().filter_map(|f| match f {
        Fact::PlanConfirmed { role, .. } => Some(role.as_str()),
        _ => None,
    });
    assert_eq!(roles.collect::<Vec<_>>(), ["administrator", "witness"]);
}

#[test]
fn wrong_words_end_the_ceremony() {
    let plan = load(PLAN).unwrap();
    let wrong = words::phrase(&step_digest(&plan.digest(), "look"));
    let answers: Vec<(&'static str, &str)> =
        std::iter::repeat_n(("types the words", wrong.as_str()), 5).collect();
    let (result, facts) = run(&plan, &answers);
    assert!(matches!(result, Err(RunError::Aborted { .. })));
    assert!(matches!(facts.last(), Some(Fact::End { outcome: Outcome::Aborted, .. })));
    assert!(!facts.iter().any(|f| matches!(f, Fact::StepBegin { .. })));
}

#[test]
fn remarks_are_recorded_at_any_prompt_and_the_question_comes_again() {
    let plan = load(PLAN).unwrap();
    let answers = [
        ("Name of administrator", "!the door was open"),
        ("Who says it?", "W"),
        ("Who confirms?", "!break"),
        ("Who stays", "A"),
        ("Why", "lunch"),
        ("Press Enter", "all as before"),
    ];
    let (result, facts) = run(&plan, &answers);
    result.unwrap();
    assert!(facts.iter().any(|f| matches!(f, Fact::Deviation { by, text, .. } if by == "W" && text == "the door was open")));
    let breaks: Vec<bool> = facts
        .iter()
        .filter_map(|f| match f {
            Fact::Break { ended, .. } => Some(*ended),
            _ => None,
        })
        .collect();
    assert_eq!(breaks, [false, true]);
    assert!(
        facts
            .iter()
            .any(|f| matches!(f, Fact::Person { name, .. } if name == "Rehearsal administrator 1"))
    );
}

#[test]
fn an_unexpected_answer_needs_a_waiver() {
    let plan = load(PLAN).unwrap();
    let answers = [
        ("answers:", "green"),
        ("give the reason", "short"),
        ("give the reason", "the lamp is green today"),
        ("responsibility", "a passer-by"),
    ];
    let (result, facts) = run(&plan, &answers);
    result.unwrap();
    let waived = |f: &Fact| matches!(f, Fact::Waiver { reason, by, .. } if reason.contains("lamp") && by == "Rehearsal administrator 1");
    assert!(facts.iter().any(waived));
}

#[test]
fn a_clock_that_is_off_needs_a_waiver() {
    let plan = load(PLAN).unwrap();
    let (result, facts) = run(&plan, &[("wall clock", "2020-01-01T00:00:00Z")]);
    result.unwrap();
    assert!(facts.iter().any(|f| matches!(f, Fact::Waiver { what, .. } if what.contains("clock"))));
    assert!(
        facts.iter().any(|f| matches!(f, Fact::Clock { difference_s, .. } if *difference_s > 60))
    );
}

#[test]
fn no_generated_pin_is_in_the_record() {
    let plan = load(PLAN).unwrap();
    let (result, facts) = run(&plan, &[]);
    result.unwrap();
    let ready = facts.iter().filter(|f| matches!(f, Fact::SecretReady { .. })).count();
    assert_eq!(ready, 2);
    let generated = facts
        .iter()
        .any(|f| matches!(f, Fact::Secret { how, bits, .. } if how == "generated" && *bits >= 96));
    assert!(generated);
}
