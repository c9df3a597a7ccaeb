//! The ways to hold a ceremony: for real, as a rehearsal, dry, or only to check its plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{self, Plan, PlanProblem, TokenPlan};
use super::run::{
    AutomaticDesk, Desk, HsmBench, Journal, Options, Output, Room, RunError, SoftBench, tool,
};
use super::transcript::{Crash, Mode, Writer};
use crate::clock::SystemClock;
use crate::hsm::LABORATORY;
use crate::random::SystemRandom;

/// How a ceremony is held.
pub struct Hold<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The folder of the plan.
    pub base: &'a Path,
    /// The folder of the evidence.
    pub out: &'a Path,
    /// Whether an interrupted one goes on.
    pub resume: bool,
    /// Who answers.
    pub desk: Box<dyn Desk>,
    /// What SOFTHSM2_CONF says.
    pub softhsm_conf: Option<PathBuf>,
    /// This program's file.
    pub executable: PathBuf,
    /// Ends the process there; rehearsals only.
    pub crash: Option<Crash>,
}

/// What a dry run shows.
pub struct DryRun {
    /// Every call and every structure, in order.
    pub listing: Vec<String>,
    /// The structures themselves.
    pub structures: Vec<(String, Vec<u8>)>,
}

fn options(mode: Mode, base: &Path, executable: PathBuf) -> Options {
    Options {
        mode,
        base: base.into(),
        root: PathBuf::from("/"),
        executable,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    }
}

/// Holds a ceremony and returns its fingerprint.
pub fn hold(hold: Hold<'_>, mode: Mode) -> Result<[u8; 32], RunError> {
    let path = Output::transcript(hold.out);
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let (output, mut writer, past) = if hold.resume {
        let (writer, before) =
            Writer::resume(&path, tool(Path::new("/"), &hold.executable), clock, random)?;
        let past = before.facts().cloned().collect();
        (Output::existing(hold.out), writer, past)
    } else {
        let output = Output::create(hold.out, &hold.plan.source)?;
        (output, Writer::create(&path, clock, random)?, Vec::new())
    };
    let tokens = if mode == Mode::Rehearsal {
        rehearsed(&hold.plan.tokens)
    } else {
        hold.plan.tokens.clone()
    };
    if let Some(place) = hold.crash.filter(|_| mode == Mode::Rehearsal) {
        writer.crash(place);
    }
    let bench = HsmBench::new(&tokens, hold.softhsm_conf, hold.executable.clone());
    let options = options(mode, hold.base, hold.executable);
    let journal = Journal::File(writer);
    let mut room = Room::new(hold.plan, options, Box::new(bench), hold.desk, journal, output, past);
    room.run()
}

/// The tokens of a rehearsal: SoftHSM in place of each.
fn rehearsed(tokens: &BTreeMap<String, TokenPlan>) -> BTreeMap<String, TokenPlan> {
    let soft = |plan: &TokenPlan| TokenPlan {
        profile: LABORATORY.into(),
        module: None,
        module_sha256: None,
        serial: None,
        model: None,
        firmware: None,
        label: format!("REHEARSAL {}", plan.label),
        ..plan.clone()
    };
    tokens.iter().map(|(name, plan)| (name.clone(), soft(plan))).collect()
}

/// Goes through the whole plan with throw-away keys, without a token and without a file.
pub fn dry_run(plan: &Plan, base: &Path) -> Result<DryRun, RunError> {
    let options = options(Mode::DryRun, base, PathBuf::from("/proc/self/exe"));
    let (journal, output) = (Journal::Memory(Vec::new()), Output::Memory(BTreeMap::new()));
    let (bench, desk) = (Box::new(SoftBench::new(&plan.tokens)?), Box::new(AutomaticDesk::quiet()));
    let mut room = Room::new(plan, options, bench, desk, journal, output, Vec::new());
    room.run()?;
    Ok(DryRun { listing: room.listing().to_vec(), structures: room.structures().to_vec() })
}

/// Everything that is wrong with a plan: its text, its sense, the lints of all that it would sign.
pub fn check(source: &str, base: &Path) -> Result<Plan, Vec<PlanProblem>> {
    let plan = plan::load(source)?;
    match dry_run(&plan, base) {
        Ok(_) => Ok(plan),
        Err(e) => {
            let step = match &e {
                RunError::Step { step, .. } => plan.steps.iter().find(|s| s.id == *step),
                _ => None,
            };
            let line = step.map_or(0, |s| s.line);
            let place = step.map_or_else(|| "the plan".to_owned(), |s| format!("step {}", s.id));
            let (problem, remedy) = (e.to_string(), "change the plan".to_owned());
            Err(vec![PlanProblem { line, place, problem, remedy }])
        }
    }
}
