//! Verification of a ceremony's folder or bundle: offline, without an HSM, by what is in it. Owns: the checks,
//! each with a number that stays, and what could not be checked. Never: trust in anything that the folder
//! says about itself where it can be computed.

mod artefacts;
mod conduct;
mod keys;
mod room;

use std::path::{Path, PathBuf};

use super::plan::{self, Plan};
use super::transcript::{Fact, ReadError, Tail, Transcript};
use super::words;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds.
    Good,
    /// It does not.
    Bad,
    /// Nothing can be said.
    Open,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its number; it stays the same over versions.
    pub id: &'static str,
    /// What is checked.
    pub title: &'static str,
    /// How it ended.
    pub result: Finding,
    /// What was found.
    pub detail: String,
}

/// The verdict over everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that can be checked holds.
    Good,
    /// Something does not.
    Mismatch,
    /// The ceremony did not end as planned.
    Incomplete,
}

/// The result of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Every check.
    pub checks: Vec<Check>,
    /// The verdict.
    pub verdict: Verdict,
    /// The last chain value, where the transcript could be read.
    pub fingerprint: Option<[u8; 32]>,
}

/// A folder that was read.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The transcript.
    pub transcript: Transcript,
    /// The plan, if it is there and can be read.
    pub plan: Option<Plan>,
    /// The plan's bytes.
    pub plan_text: Option<String>,
}

/// Why a folder cannot be looked at at all.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is missing.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The transcript is not whole.
    #[error("{0}")]
    Transcript(#[from] ReadError),
}

/// Collects checks.
pub(super) struct Checks {
    all: Vec<Check>,
}

impl Checks {
    /// A check that holds if nothing is listed against it.
    pub(super) fn none(
        &mut self,
        id: &'static str,
        title: &'static str,
        good: &str,
        bad: Vec<String>,
    ) {
        let result = if bad.is_empty() { Finding::Good } else { Finding::Bad };
        let detail = if bad.is_empty() { good.to_owned() } else { bad.join("; ") };
        self.all.push(Check { id, title, result, detail });
    }

    /// Something that cannot be checked here.
    pub(super) fn open(
        &mut self,
        id: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) {
        self.all.push(Check { id, title, result: Finding::Open, detail: detail.into() });
    }
}

impl Folder {
    /// Reads the transcript and the plan of a folder. Returns the tail, too: a torn line is the sign of
    /// a crash.
    pub fn read(path: &Path) -> Result<(Self, Tail), FolderError> {
        let file = path.join("transcript.jsonl");
        let bytes =
            std::fs::read(&file).map_err(|cause| FolderError::File { path: file, cause })?;
        let (transcript, tail) = Transcript::read(&bytes)?;
        let plan_text = std::fs::read_to_string(path.join("plan.toml")).ok();
        let plan = plan_text.as_deref().and_then(|t| plan::load(t).ok());
        Ok((Self { path: path.into(), transcript, plan, plan_text }, tail))
    }

    /// The facts that are not redacted.
    pub fn facts(&self) -> impl DoubleEndedIterator<Item = &Fact> {
        self.transcript.facts()
    }
}

/// Verifies the folder at `path`. `fingerprint` is what stands on paper.
pub fn verify(
    path: &Path,
    fingerprint: Option<&[u8; 32]>,
) -> std::result::Result<Verification, FolderError> {
    let (folder, tail) = match Folder::read(path) {
        Ok(read) => read,
        Err(FolderError::Transcript(error)) => {
            let mut checks = Checks { all: Vec::new() };
            checks.none("CER-001", "the transcript's chain", "", vec![error.to_string()]);
            return Ok(Verification {
                checks: checks.all,
                verdict: Verdict::Mismatch,
                fingerprint: None,
            });
        }
        Err(e) => return Err(e),
    };
    let mut checks = Checks { all: Vec::new() };
    let lines = folder.transcript.lines().len();
    checks.none(
        "CER-001",
        "the transcript's chain",
        &format!("{lines} lines, each bound to the one before"),
        Vec::new(),
    );
    let head = *folder.transcript.head();
    match fingerprint {
        Some(paper) if *paper == head => {
            checks.none("CER-002", "the fingerprint on paper", "the same", Vec::new());
        }
        Some(_) => {
            checks.none("CER-002", "the fingerprint on paper", "", vec!["it is another".into()]);
        }
        None => checks.open(
            "CER-002",
            "the fingerprint on paper",
            "not given: compare these words with the signed paper",
        ),
    }
    plan_checks(&folder, &mut checks);
    conduct::check(&folder, &mut checks);
    room::check(&folder, &mut checks);
    keys::check(&folder, &mut checks);
    artefacts::check(&folder, &mut checks);
    open_points(&folder, &mut checks);
    let complete = complete(&folder, &tail, &mut checks);
    let bad = checks.all.iter().any(|c| c.result == Finding::Bad && c.id != "CER-090");
    let verdict = match (bad, complete) {
        (true, _) => Verdict::Mismatch,
        (false, false) => Verdict::Incomplete,
        (false, true) => Verdict::Good,
    };
    Ok(Verification { checks: checks.all, verdict, fingerprint: Some(head) })
}

fn plan_checks(folder: &Folder, checks: &mut Checks) {
    let title = "the plan";
    let begin = folder.facts().find_map(|f| match f {
        Fact::Begin { plan_sha256, steps, .. } => Some((plan_sha256.clone(), steps.clone())),
        _ => None,
    });
    if folder.transcript.lines().is_empty() {
        checks.open("CER-010", title, "the ceremony was interrupted before its first line");
        return;
    }
    let Some((sha256, steps)) = begin else {
        checks.none(
            "CER-010",
            title,
            "",
            vec!["the transcript does not begin with the plan's digest".into()],
        );
        return;
    };
    let Some(text) = &folder.plan_text else {
        checks.none("CER-010", title, "", vec!["plan.toml is missing".into()]);
        return;
    };
    let mut bad = Vec::new();
    if plan::PlanDigest::of(text).hex() != sha256 {
        bad.push("plan.toml is not the plan that was run".to_owned());
    }
    match &folder.plan {
        Some(plan) => {
            let ids: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
            if ids != steps {
                bad.push("the transcript names other steps".to_owned());
            }
        }
        None => bad.push("plan.toml does not pass its own check".to_owned()),
    }
    let words = words::words(&plan::PlanDigest::of(text).0);
    checks.none("CER-010", title, &format!("its digest is {words}"), bad);
}

fn open_points(folder: &Folder, checks: &mut Checks) {
    let redacted = folder.transcript.redacted();
    if redacted > 0 {
        checks.open("CER-080", "redacted lines", format!("{redacted} lines are redacted: what they say is not checked, only that they are unchanged"));
    }
    checks.open(
        "CER-081",
        "what people said",
        "statements, names and the room cannot be checked from files",
    );
    checks.open(
        "CER-082",
        "the program and the module",
        "their SHA-256 is in the transcript: compare it with the approved ones",
    );
    let attested = folder
        .facts()
        .any(|f| matches!(f, Fact::Attestation { state, .. } if !state.starts_with("unavailable")));
    let open = if attested {
        "the vendor's own signature and root are not checked: verify the file with the vendor's tool, and compare the root's SHA-256"
    } else {
        "no module attested its keys: that they are in the HSM stands on the transcript and the witnesses"
    };
    checks.open("CER-083", "attestation of the keys", open);
}

/// Whether the ceremony ended as planned.
fn complete(folder: &Folder, tail: &Tail, checks: &mut Checks) -> bool {
    use super::transcript::Outcome;
    let end = folder.facts().find_map(|f| match f {
        Fact::End { outcome, reason } => Some((*outcome, reason.clone())),
        _ => None,
    });
    let problem = match (end, tail) {
        (Some((Outcome::Done, _)), Tail::Clean) => None,
        (Some((Outcome::Done, _)), Tail::Torn(n)) => Some(format!("{n} bytes follow the end")),
        (Some((_, reason)), _) => Some(format!("the people ended it early: {reason}")),
        (None, Tail::Clean) => Some("it was interrupted; what is there is whole".to_owned()),
        (None, Tail::Torn(n)) => Some(format!(
            "it was interrupted in the middle of a line ({n} bytes); what is before is whole"
        )),
    };
    let good = problem.is_none();
    checks.none(
        "CER-090",
        "the ceremony's end",
        "it ended as planned",
        problem.into_iter().collect(),
    );
    good
}
