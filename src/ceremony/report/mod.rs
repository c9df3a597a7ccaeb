//! The report of a ceremony, from its folder and its verification: for the auditor who was not there. Owns: the
//! order of what is told. Never: a judgement that verification has not made.

mod mapping;
mod snapshot;
mod tables;

use super::document::Document;
use super::script::word_lines;
use super::transcript::{Fact, Mode, Outcome};
use super::verify::{Finding, Folder, Verdict, Verification};
use super::words;

pub use snapshot::snapshot;

/// The report as one HTML page.
pub fn html(folder: &Folder, verification: &Verification) -> String {
    document(folder, verification).html()
}

/// The report as Markdown.
pub fn markdown(folder: &Folder, verification: &Verification) -> String {
    document(folder, verification).markdown()
}

fn document(folder: &Folder, verification: &Verification) -> Document {
    let begin = folder.facts().find_map(|f| match f {
        Fact::Begin { title, mode, .. } => Some((title.clone(), *mode)),
        _ => None,
    });
    let (title, mode) = begin.unwrap_or_else(|| ("unknown".into(), Mode::Production));
    let mut document = Document {
        title: format!("Key ceremony report: {title}"),
        mark: (mode != Mode::Production).then(|| "REHEARSAL: nothing of this is production".into()),
        sections: Vec::new(),
    };
    summary(folder, verification, &mut document);
    tables::people(folder, document.section("Participants"));
    tables::machine(folder, document.section("Machine and program"));
    tables::tokens(folder, document.section("Tokens"));
    tables::steps(folder, document.section("Steps"));
    tables::keys(folder, document.section("Keys"));
    tables::certificates(folder, document.section("Certificates, requests and CRLs"));
    tables::remarks(folder, document.section("Deviations, waivers, breaks and statements"));
    let checks = document.section("Verification");
    let rows = verification.checks.iter().map(|c| {
        let result = match c.result {
            Finding::Good => "holds",
            Finding::Bad => "DOES NOT HOLD",
            Finding::Open => "cannot be checked here",
        };
        vec![c.id.into(), c.title.into(), result.into(), c.detail.clone()]
    });
    checks.table(&["Check", "What", "Result", "Found"], rows.collect());
    mapping::section(folder, verification, document.section("Requirements and their evidence"));
    let sign = document.section("Signatures");
    sign.text("By signing, we confirm that the fingerprint above is the one that was shown at the end of the ceremony.");
    let rows = tables::roll(folder).into_iter();
    let rows = rows.map(|(role, name)| vec![role, name, " ".into(), " ".into()]);
    sign.table(&["Role", "Name", "Signature", "Date"], rows.collect());
    document
}

fn summary(folder: &Folder, verification: &Verification, document: &mut Document) {
    let section = document.section("Summary");
    let verdict = match verification.verdict {
        Verdict::Good => "The ceremony ended as planned, and everything that can be checked holds.",
        Verdict::Mismatch => "SOMETHING DOES NOT HOLD: see Verification.",
        Verdict::Incomplete => "The ceremony did not end as planned; what there is of it is whole.",
    };
    section.text(verdict);
    let unknown = || "unknown".to_owned();
    let times: Vec<&str> = folder.transcript.entries().map(|(_, e)| e.time.as_str()).collect();
    let done = folder
        .facts()
        .filter(|f| matches!(f, Fact::StepEnd { outcome: Outcome::Done, .. }))
        .count();
    let planned = folder.facts().find_map(|f| match f {
        Fact::Begin { steps, plan_sha256, .. } => Some((steps.len(), plan_sha256.clone())),
        _ => None,
    });
    let (steps, plan_sha256) = planned.unwrap_or_default();
    section.table(
        &["", ""],
        vec![
            vec!["Begun (UTC)".into(), times.first().map_or_else(unknown, |t| tables::moment(t))],
            vec![
                "Last line (UTC)".into(),
                times.last().map_or_else(unknown, |t| tables::moment(t)),
            ],
            vec!["Steps done".into(), format!("{done} of {steps}")],
            vec!["Lines of the transcript".into(), folder.transcript.lines().len().to_string()],
            vec!["Redacted lines".into(), folder.transcript.redacted().to_string()],
            vec!["SHA-256 of the plan".into(), plan_sha256],
        ],
    );
    if let Some(fingerprint) = &verification.fingerprint {
        section.text("Fingerprint of the transcript:");
        section.code(words::grouped_hex(fingerprint));
        section.code(word_lines(fingerprint));
        section.qr(&format!("chancery-ceremony:{}", hex::encode(fingerprint)));
    }
}
