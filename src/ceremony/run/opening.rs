//! The opening: what is run by whom, the machine, the clock, the tokens that are there before.

use super::room::Room;
use super::{RunError, environment};
use crate::ceremony::transcript::{Fact, Mode, Outcome};

const FORMAT: u64 = 1;

impl Room<'_> {
    /// Everything before the first step.
    pub(super) fn open(&mut self) -> Result<(), RunError> {
        self.begin()?;
        self.gather()?;
        self.confirm_plan()?;
        self.machine()?;
        self.clock()?;
        self.listing.push("Opening".into());
        let tokens: Vec<String> = self.plan.tokens.keys().cloned().collect();
        for token in &tokens {
            self.load(token)?;
        }
        self.stand_ins()?;
        for token in &tokens {
            if !self.initialises(token) {
                self.admit(token)?;
            }
        }
        self.existing()
    }

    fn begin(&mut self) -> Result<(), RunError> {
        let mode = match self.options.mode {
            Mode::Production => "PRODUCTION",
            Mode::Rehearsal => "REHEARSAL",
            Mode::DryRun => "DRY RUN",
        };
        self.desk.show(&format!("{mode} of the ceremony «{}»", self.plan.title));
        self.desk.show(
            "At any prompt: !TEXT records a deviation, !break a break, !abort ends the ceremony.",
        );
        let tool = environment::tool(&self.options.root, &self.options.executable);
        if let Some(wanted) = &self.plan.environment.tool_sha256
            && !wanted.eq_ignore_ascii_case(&tool.sha256)
            && self.options.mode == Mode::Production
        {
            return Err(RunError::Refused(format!(
                "this program's SHA-256 is {}, and the plan wants {wanted}; use the approved program",
                tool.sha256
            )));
        }
        if self.options.mode == Mode::Production && tool.sha256.len() != 64 {
            return Err(RunError::Refused(format!(
                "this program cannot be measured: {}; see that its file can be read",
                tool.sha256
            )));
        }
        let begin = self.past.iter().find(|f| matches!(f, Fact::Begin { .. }));
        if let Some(Fact::Begin { plan_sha256, mode, .. }) = begin {
            if *plan_sha256 != self.digest.hex() {
                return Err(RunError::Refused(
                    "the plan was changed since the interruption; resume with the same plan".into(),
                ));
            }
            if *mode != self.options.mode {
                return Err(RunError::Refused(
                    "the interrupted ceremony was of another mode".into(),
                ));
            }
            return Ok(());
        }
        self.record(Fact::Begin {
            format: FORMAT,
            mode: self.options.mode,
            title: self.plan.title.clone(),
            plan_sha256: self.digest.hex(),
            steps: self.plan.steps.iter().map(|s| s.id.clone()).collect(),
            tool,
        })
    }

    fn machine(&mut self) -> Result<(), RunError> {
        for check in environment::checks(&self.options.root) {
            let outcome = match check.good {
                true => Outcome::Done,
                // A rehearsal is held on anybody's desk.
                false if self.is_rehearsed() => Outcome::Failed,
                false => {
                    self.waive(check.name, &check.found)?;
                    Outcome::Waived
                }
            };
            self.record(Fact::Environment {
                check: check.name.to_owned(),
                found: check.found,
                outcome,
            })?;
        }
        Ok(())
    }

    /// A person reads a wall clock and types what it says; the difference must be small.
    fn clock(&mut self) -> Result<(), RunError> {
        let asked = self.options.clock.now();
        let system = asked.to_string();
        self.desk.show(&format!("The computer's clock says {} UTC.", &system[..19]));
        let person = self.who("the clock", "Who compares the clocks?")?;
        let text = format!(
            "{} types the time of the wall clock in UTC (YYYY-MM-DDTHH:MM:SSZ):",
            person.name
        );
        let (wall, seconds) = loop {
            let typed = self.ask("the clock", &text, &format!("{}Z", &system[..19]))?;
            match typed.parse::<der::DateTime>() {
                Ok(date) => break (typed, date.unix_duration().as_secs()),
                Err(_) => self.desk.show("Write it as 2026-03-01T12:00:00Z."),
            }
        };
        // Between the question and the answer the clock runs on.
        let now = self.options.clock.now();
        let (from, to) = (asked.unix_seconds(), now.unix_seconds());
        let off = i128::from(seconds.clamp(from, to.max(from))) - i128::from(seconds);
        let difference_s = i64::try_from(off).unwrap_or(i64::MAX);
        let limit = self.plan.environment.clock_skew_s;
        if difference_s.unsigned_abs() > u64::from(limit) {
            self.waive("the clock", &clock_fault(difference_s, limit))?;
        }
        let (system, by) = (now.to_string(), person.name);
        self.record(Fact::Clock { system, wall, difference_s, by })
    }
}

/// What a clock that is off is waived as.
pub(crate) fn clock_fault(difference_s: i64, limit: u32) -> String {
    format!("{difference_s} s off, {limit} s allowed")
}
