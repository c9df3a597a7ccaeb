//! Everything that a running ceremony holds, and how it prompts and records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::RunError;
use super::bench::Bench;
use super::desk::{Desk, Question};
use super::journal::Journal;
use super::output::Output;
use crate::ceremony::plan::{Plan, PlanDigest, Purpose, Step};
use crate::ceremony::transcript::{Fact, KeyRecord, Mode, Outcome};
use crate::clock::Clock;
use crate::hsm::CallRecord;
use crate::pki::{Certificate, CertificateRequest, PublicKey};
use crate::random::Random;
use crate::secret::Secret;

/// How a ceremony is run.
pub struct Options {
    /// Production, rehearsal or dry run.
    pub mode: Mode,
    /// The folder that the plan's relative paths start from.
    pub base: PathBuf,
    /// Under which `/proc`, `/sys` and `/etc` are.
    pub root: PathBuf,
    /// This program's file.
    pub executable: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness of the operating system.
    pub random: Arc<dyn Random>,
}

/// A person and a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) role: String,
    pub(super) name: String,
}

/// A key under its name in the plan.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) token: String,
    pub(super) id: Vec<u8>,
    pub(super) label: String,
    pub(super) purpose: Purpose,
    pub(super) public: PublicKey,
    pub(super) record: KeyRecord,
}

/// A running ceremony.
pub struct Room<'p> {
    pub(super) plan: &'p Plan,
    pub(super) digest: PlanDigest,
    pub(super) options: Options,
    pub(super) bench: Box<dyn Bench>,
    pub(super) desk: Box<dyn Desk>,
    pub(super) journal: Journal,
    pub(super) output: Output,
    /// What happened before an interruption.
    pub(super) past: Vec<Fact>,
    pub(super) people: Vec<Person>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) certificates: BTreeMap<String, Certificate>,
    pub(super) requests: BTreeMap<String, CertificateRequest>,
    pub(super) crls: BTreeMap<String, Vec<u8>>,
    /// The files of each step, with their forms.
    pub(super) files: BTreeMap<String, Vec<(String, String)>>,
    /// Imported exchange requests, whole.
    pub(super) imported: BTreeMap<String, Vec<u8>>,
    /// Everything that was to be signed, for the dry run's listing.
    pub(super) structures: Vec<(String, Vec<u8>)>,
    pub(super) listing: Vec<String>,
    /// Whether the reason why it stops is in the record.
    told: bool,
}

impl<'p> Room<'p> {
    /// Prepares a run. `past` is the transcript of the interrupted one, where it is resumed.
    pub fn new(
        plan: &'p Plan,
        options: Options,
        bench: Box<dyn Bench>,
        desk: Box<dyn Desk>,
        journal: Journal,
        output: Output,
        past: Vec<Fact>,
    ) -> Self {
        Self {
            plan,
            digest: plan.digest(),
            options,
            bench,
            desk,
            journal,
            output,
            past,
            people: Vec::new(),
            secrets: BTreeMap::new(),
            keys: BTreeMap::new(),
            certificates: BTreeMap::new(),
            requests: BTreeMap::new(),
            crls: BTreeMap::new(),
            files: BTreeMap::new(),
            imported: BTreeMap::new(),
            structures: Vec::new(),
            listing: Vec::new(),
            told: false,
        }
    }

    /// Runs the whole ceremony. Whatever happens is in the transcript; returns the fingerprint.
    pub fn run(&mut self) -> Result<[u8; 32], RunError> {
        match self.all() {
            Ok(()) => Ok(self.journal.head()),
            Err(RunError::Aborted { at, reason }) => {
                self.calls()?;
                self.record(Fact::End {
                    outcome: Outcome::Aborted,
                    reason: format!("{at}: {reason}"),
                })?;
                Err(RunError::Aborted { at, reason })
            }
            Err(e @ (RunError::Transcript(_) | RunError::Read(_) | RunError::Line(_))) => Err(e),
            // The transcript stays open: the cause can be removed and the ceremony resumed.
            Err(e) => {
                self.calls()?;
                if !self.told {
                    let (at, by) = ("outside of the steps".to_owned(), "chancery".to_owned());
                    self.record(Fact::Deviation { at, by, text: format!("it stops: {e}") })?;
                }
                Err(e)
            }
        }
    }

    /// The calls that a dry run would have made and what it would have had signed.
    pub fn listing(&self) -> &[String] {
        &self.listing
    }

    /// Everything that was to be signed: its description and its bytes.
    pub fn structures(&self) -> &[(String, Vec<u8>)] {
        &self.structures
    }

    fn all(&mut self) -> Result<(), RunError> {
        self.open()?;
        let plan = self.plan;
        for (index, step) in plan.steps.iter().enumerate() {
            self.step(index + 1, step)?;
        }
        self.close()
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<(), RunError> {
        if self.is_done(&step.id) {
            self.desk.show(&format!("Step {number} {} was done before the interruption.", step.id));
            return self.restore(step);
        }
        self.desk.show(&format!(
            "\n--- Step {number} of {}: {} ({}, {}) ---",
            self.plan.steps.len(),
            step.title,
            step.id,
            step.name
        ));
        self.listing.push(format!("\n{number}. {} ({})", step.id, step.name));
        self.record(Fact::StepBegin {
            step: step.id.clone(),
            number: number as u64,
            action: step.name.into(),
        })?;
        self.confirm(step)?;
        let done = self.act(step);
        self.calls()?;
        match done {
            Ok(()) => {
                let (step, outcome) = (step.id.clone(), Outcome::Done);
                self.record(Fact::StepEnd { step, outcome, reason: String::new() })?;
                Ok(())
            }
            Err(e) => {
                let reason = e.to_string();
                self.desk.show(&format!("This step stops: {reason}"));
                let (id, outcome) = (step.id.clone(), Outcome::Failed);
                self.record(Fact::StepEnd { step: id, outcome, reason })?;
                self.told = true;
                Err(e)
            }
        }
    }

    /// Records a fact.
    pub(super) fn record(&mut self, fact: Fact) -> Result<(), RunError> {
        self.journal.append(fact)
    }

    /// Records the calls to modules since the last time.
    pub(super) fn calls(&mut self) -> Result<(), RunError> {
        let calls = self.bench.take_calls();
        self.record_calls(calls)
    }

    pub(super) fn record_calls(&mut self, calls: Vec<CallRecord>) -> Result<(), RunError> {
        for CallRecord { function, detail, result } in calls {
            let space = if detail.is_empty() { "" } else { " " };
            self.listing.push(format!("{function}{space}{detail}"));
            self.record(Fact::Call { function, detail, result })?;
        }
        Ok(())
    }

    /// Whether this is not the real thing: tokens and files are stand-ins.
    pub(super) fn is_rehearsed(&self) -> bool {
        self.options.mode != Mode::Production
    }

    /// Whether what is made carries the mark. A dry run makes nothing, and shows what the run will make.
    fn is_marked(&self) -> bool {
        self.options.mode == Mode::Rehearsal
    }

    /// A label as it stands on the token.
    pub(super) fn label(&self, plain: &str) -> String {
        if self.is_marked() { format!("REHEARSAL {plain}") } else { plain.to_owned() }
    }

    /// A subject as it stands in a certificate.
    pub(super) fn subject(&self, plain: &str) -> String {
        if self.is_marked() { crate::ceremony::artefact::marked(plain) } else { plain.to_owned() }
    }

    /// Whether a step was finished before the interruption.
    pub(super) fn is_done(&self, id: &str) -> bool {
        self.past
            .iter()
            .any(|f| matches!(f, Fact::StepEnd { step, outcome: Outcome::Done, .. } if step == id))
    }

    /// Asks for one line; `!` at its beginning records a deviation or a break, or ends the ceremony.
    pub(super) fn ask(
        &mut self,
        at: &str,
        text: &str,
        rehearsed: &str,
    ) -> Result<String, RunError> {
        loop {
            let answer = self.desk.ask(&Question { text, rehearsed })?;
            let Some(command) = answer.strip_prefix('!') else { return Ok(answer) };
            self.remark(at, command.trim())?;
        }
    }

    fn remark(&mut self, at: &str, command: &str) -> Result<(), RunError> {
        let line = |room: &mut Self, text: &str| room.desk.ask(&Question { text, rehearsed: "" });
        match command {
            "abort" => {
                let reason = line(self, "Why does the ceremony end here?")?;
                Err(RunError::Aborted { at: at.to_owned(), reason })
            }
            "break" => {
                let by = line(self, "A break begins. Who stays with the machine?")?;
                let text = line(self, "Why, and how are the devices kept?")?;
                let at = at.to_owned();
                self.record(Fact::Break { at: at.clone(), by: by.clone(), text, ended: false })?;
                let text =
                    line(self, "Press Enter when the break ends; write what is to be said:")?;
                self.record(Fact::Break { at, by, text, ended: true })
            }
            text => {
                let by = line(self, "A deviation is recorded. Who says it?")?;
                let text = if text.is_empty() {
                    line(self, "What departs from the script?")?
                } else {
                    text.to_owned()
                };
                self.record(Fact::Deviation { at: at.to_owned(), by, text })
            }
        }
    }

    /// Stops the step that runs.
    pub(super) fn stop(step: &str, problem: impl Into<String>) -> RunError {
        RunError::Step { step: step.to_owned(), problem: problem.into() }
    }
}
