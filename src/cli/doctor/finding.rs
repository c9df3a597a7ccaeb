//! What the doctor found: each with the thing, the cause and the next step.

use serde_json::{Value, json};

use super::thumbprint::Thumbprints;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::clock::Timestamp;
use crate::telemetry::escaped;

/// How bad it is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It does not work, or will not be accepted.
    Error,
    /// It works, and somebody should look at it.
    Warning,
    /// Worth knowing.
    Notice,
    /// As it should be.
    Good,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Good => "good",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The check's name, for scripts: one of a closed set.
    pub(super) check: &'static str,
    pub(super) thing: String,
    pub(super) cause: String,
    /// What to do; nothing where it is good.
    pub(super) next: Option<String>,
    exit: Exit,
}

/// Everything that was found.
pub(super) struct Report {
    /// The time of the examination.
    pub(super) now: Timestamp,
    findings: Vec<Finding>,
    thumbprints: Vec<Thumbprints>,
}

impl Report {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { now, findings: Vec::new(), thumbprints: Vec::new() }
    }

    pub(super) fn good(
        &mut self,
        check: &'static str,
        thing: impl Into<String>,
        cause: impl Into<String>,
    ) {
        self.add((Severity::Good, Exit::Ok), check, thing.into(), cause.into(), None);
    }

    pub(super) fn notice(
        &mut self,
        check: &'static str,
        thing: impl Into<String>,
        cause: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = Some(next.into());
        self.add((Severity::Notice, Exit::Ok), check, thing.into(), cause.into(), next);
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        thing: impl Into<String>,
        cause: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = Some(next.into());
        self.add((Severity::Warning, Exit::Ok), check, thing.into(), cause.into(), next);
    }

    /// An error; `exit` is the status with which it lets the command end.
    pub(super) fn error(
        &mut self,
        exit: Exit,
        check: &'static str,
        thing: impl Into<String>,
        cause: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = Some(next.into());
        self.add((Severity::Error, exit), check, thing.into(), cause.into(), next);
    }

    fn add(
        &mut self,
        (severity, exit): (Severity, Exit),
        check: &'static str,
        thing: String,
        cause: String,
        next: Option<String>,
    ) {
        self.findings.push(Finding { severity, check, thing, cause, next, exit });
    }

    /// Adds a certificate's thumbprints, once for each certificate.
    pub(super) fn thumbprints(&mut self, of: Thumbprints) {
        if !self.thumbprints.contains(&of) {
            self.thumbprints.push(of);
        }
    }

    /// Whether anything of this check is worse than good.
    pub(super) fn has_problem(&self, check: &str, thing: &str) -> bool {
        let here = |f: &&Finding| f.check == check && f.thing == thing;
        self.findings.iter().filter(here).any(|f| f.severity < Severity::Notice)
    }

    fn sorted(&self, problems_only: bool) -> Vec<&Finding> {
        let wanted = |f: &&Finding| !problems_only || f.severity < Severity::Good;
        let mut all: Vec<&Finding> = self.findings.iter().filter(wanted).collect();
        all.sort_by_key(|f| f.severity);
        all
    }

    pub(super) fn as_text(&self, problems_only: bool) -> String {
        let mut text = String::new();
        // What a server said may be in it.
        let safe = |value: &str| escaped(&value, 600);
        for f in self.sorted(problems_only) {
            let (word, thing, cause) = (f.severity.word(), safe(&f.thing), safe(&f.cause));
            text.push_str(&format!("{word:<8} {thing}: {cause}\n"));
            if let Some(next) = &f.next {
                text.push_str(&format!("         next: {}\n", safe(next)));
            }
        }
        if !self.thumbprints.is_empty() {
            text.push_str(
                "\nThumbprints of the whole certificates, as forms of MDM and network gear ask for them:\n",
            );
        }
        self.thumbprints.iter().for_each(|t| text.push_str(&t.as_text()));
        text
    }

    pub(super) fn as_json(&self, problems_only: bool) -> Value {
        let shown = |f: &&Finding| {
            json!({
                "severity": f.severity.word(),
                "check": f.check,
                "thing": f.thing,
                "cause": f.cause,
                "next": f.next,
            })
        };
        json!({
            "time": self.now.to_string(),
            "findings": self.sorted(problems_only).iter().map(shown).collect::<Vec<_>>(),
            "thumbprints": self.thumbprints.iter().map(Thumbprints::as_json).collect::<Vec<_>>(),
        })
    }

    /// A failure with the status of the worst error, where there is one.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        // What keeps everything from starting comes before what keeps some of it from working.
        let rank = |exit: Exit| match exit {
            Exit::Configuration => 0,
            Exit::HsmUnavailable => 1,
            Exit::NotAuthorised => 2,
            _ => 3,
        };
        let errors = self.findings.iter().filter(|f| f.severity == Severity::Error);
        let count = errors.clone().count();
        let Some(worst) = errors.min_by_key(|f| rank(f.exit)) else { return Ok(()) };
        let what = match count {
            1 => "one thing is wrong".to_owned(),
            n => format!("{n} things are wrong"),
        };
        let cause = format!("{}: {}", escaped(&worst.thing, 200), escaped(&worst.cause, 600));
        let next = escaped(&worst.next.as_deref().unwrap_or("see above"), 600);
        Err(Failure::new(worst.exit, what, cause, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_error_decides_and_warnings_do_not() {
        let mut report = Report::new(Timestamp::from_unix_seconds(0));
        report.good("clock", "the clock", "is right");
        report.warning("caps", "an endpoint", "accepts SHA-1", "move the devices");
        assert!(report.verdict().is_ok());
        report.error(Exit::Failed, "caps", "an endpoint", "is away\x1b[2J", "start it");
        report.error(Exit::HsmUnavailable, "token", "main", "is away", "plug it in");
        assert_eq!(report.verdict().unwrap_err().exit(), Exit::HsmUnavailable);
        report.error(Exit::Configuration, "configuration", "a key", "is wrong", "mend it");
        let failure = report.verdict().unwrap_err();
        assert_eq!(failure.exit(), Exit::Configuration);
        assert!(
            failure.to_string().contains("3 things") && failure.to_string().contains("mend it")
        );
        let text = report.as_text(true);
        assert!(text.starts_with("error") && !text.contains("is right") && !text.contains('\x1b'));
        assert!(report.as_text(false).contains("good     the clock: is right\n"));
        assert_eq!(report.as_json(false)["findings"].as_array().map(Vec::len), Some(5));
    }
}
