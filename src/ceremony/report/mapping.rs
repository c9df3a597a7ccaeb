//! What the CA/Browser Forum, WebTrust and the protection profile ask of a ceremony, and where in this
//! report the evidence stands.

use crate::ceremony::document::Section;
use crate::ceremony::transcript::Fact;
use crate::ceremony::verify::{Finding, Folder, Verification};

/// A requirement, what it asks, the checks that bear on it, and what stays with the auditor.
const ROWS: [(&str, &str, &[&str], &str); 12] = [
    (
        "BR 6.1.1.1 (1)",
        "a Key Generation Script is prepared and followed",
        &["CER-010", "CER-011"],
        "the script's approval",
    ),
    (
        "BR 6.1.1.1 (2)",
        "a Qualified Auditor witnesses, or the whole is recorded on video",
        &["CER-020"],
        "the auditor's presence, the recording",
    ),
    (
        "BR 6.1.1.1 (3)",
        "the auditor reports on the script's being followed",
        &["CER-011", "CER-021"],
        "the auditor's own report",
    ),
    ("BR 6.1.1.1, all CA keys (1)", "a physically secured environment", &[], "the room"),
    (
        "BR 6.1.1.1, all CA keys (2)",
        "Trusted Roles, multi-person control, split knowledge",
        &["CER-020"],
        "who the people are",
    ),
    (
        "BR 6.1.1.1, all CA keys (3)",
        "generated within the module",
        &["CER-040", "CER-083"],
        "the module's certificate (6.2.7)",
    ),
    (
        "BR 6.1.1.1, all CA keys (4)",
        "the generation is logged",
        &["CER-001", "CER-002", "CER-041"],
        "the fingerprint on paper",
    ),
    (
        "BR 6.1.1.1, all CA keys (5)",
        "controls give reasonable assurance that the script was followed",
        &["CER-011", "CER-021", "CER-030"],
        "judgement of the remarks",
    ),
    ("BR 6.1.5, 6.1.6", "key sizes and quality", &["CER-040", "CER-060"], ""),
    ("BR 4.3.1.2", "lints before signing", &["CER-030", "CER-060"], ""),
    (
        "WebTrust 4.1",
        "CA key generation by a documented ceremony",
        &["CER-010", "CER-011", "CER-050", "CER-051"],
        "storage of the evidence",
    ),
    (
        "PP FCS_CKM.1, FAU_GEN.1",
        "key generation and its audit",
        &["CER-001", "CER-040", "CER-051"],
        "",
    ),
];

pub(super) fn section(folder: &Folder, verification: &Verification, section: &mut Section) {
    let result = |ids: &[&str]| {
        let each = ids.iter().filter_map(|id| verification.checks.iter().find(|c| c.id == *id));
        let each = each.map(|c| match c.result {
            Finding::Good => format!("{} holds", c.id),
            Finding::Bad => format!("{} DOES NOT HOLD", c.id),
            Finding::Open => format!("{} open", c.id),
        });
        each.collect::<Vec<_>>().join("\n")
    };
    let row = |(id, asks, ids, rest): &(&str, &str, &[&str], &str)| {
        vec![(*id).to_owned(), (*asks).to_owned(), result(ids), (*rest).to_owned()]
    };
    let mut rows: Vec<Vec<String>> = ROWS.iter().map(row).collect();
    if folder.facts().any(|f| matches!(f, Fact::KeyDestroyed { .. })) {
        rows.push(row(&(
            "WebTrust 4.6",
            "key destruction by a documented ceremony",
            &["CER-011"],
            "the copies' destruction",
        )));
    }
    if folder.facts().any(|f| matches!(f, Fact::EqualityDrill { .. })) {
        rows.push(row(&(
            "BR 5.2.2, 6.2.4",
            "backup and recovery under dual control",
            &["CER-020"],
            "where the copies are kept",
        )));
    }
    section.text("The mapping shows which evidence bears on which requirement; whether it suffices is the auditor's to say.");
    section.table(&["Requirement", "What it asks", "Checks", "What stays with the auditor"], rows);
}
