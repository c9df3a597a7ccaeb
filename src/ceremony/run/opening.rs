//! The opening: what is run by whom, the machine, the clock, the tokens that are there before.

use super::room::Room;
use super::{RunError, environment};
use crate::ceremony::plan::AirGap;
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
            let network = matches!(
                check.name,
                "network interfaces that are up" | "default routes" | "radios that are not blocked"
            );
            let recorded = network && self.plan.environment.air_gap == AirGap::Record;
            // A rehearsal is held on anybody's desk.
            let passes = check.good || recorded || self.is_rehearsed();
            let outcome = match (check.good, passes) {
                (true, _) => Outcome::Done,
                (false, true) => Outcome::Failed,
                (false, false) => Outcome::Waived,
            };
            if outcome == Outcome::Waived {
                self.waive(check.name, &check.found)?;
            }
            self.record(Fact::Environment {
                check: check.name.to_owned(),
                found: check.found,
                outcome,
            })?;
        }
        Ok(())
    }

    /// A person reads a wall clock; the difference must be small.
    fn clock(&mut self) -> Result<(), RunError> {
        let now = self.options.clock.now();
        let system = now.to_string();
        self.desk.show(&format!("The computer's clock says {} UTC.", &system[..19]));
        let wall = loop {
            let text =
                "Time of the wall clock in UTC (YYYY-MM-DDTHH:MM:SSZ, or Enter if it agrees):";
            let typed = self.ask("the clock", text, "")?;
            if typed.is_empty() {
                break system.clone();
            }
            if typed.parse::<der::DateTime>().is_ok() {
                break typed;
            }
            self.desk.show("Write it as 2026-03-01T12:00:00Z.");
        };
        let wall_seconds = wall
            .parse::<der::DateTime>()
            .map_or(now.unix_seconds(), |d| d.unix_duration().as_secs());
        let off = i128::from(now.unix_seconds()) - i128::from(wall_seconds);
        let difference_s = i64::try_from(off).unwrap_or(i64::MAX);
        let limit = u64::from(self.plan.environment.clock_skew_s);
        if difference_s.unsigned_abs() > limit {
            self.waive("the clock", &format!("{difference_s} s off, {limit} s allowed"))?;
        }
        let by = self.people.first().map(|p| p.name.clone()).unwrap_or_default();
        self.record(Fact::Clock { system, wall, difference_s, by })
    }
}
