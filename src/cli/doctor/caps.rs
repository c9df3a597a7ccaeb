//! The answer to GetCACaps: whether it reads well to real clients, and whether it is the policy's.

use std::collections::BTreeSet;

use super::finding::Report;
use crate::cli::exit::Exit;

const CHECK: &str = "capabilities";

/// The registered keywords (RFC 8894 section 3.5.2), and SHA-384, which strongSwan needs.
const KNOWN: [&str; 10] = [
    "AES",
    "DES3",
    "GetNextCACert",
    "POSTPKIOperation",
    "Renewal",
    "SCEPStandard",
    "SHA-1",
    "SHA-256",
    "SHA-384",
    "SHA-512",
];

/// Looks at the text.
pub(super) fn judge(report: &mut Report, thing: &str, text: &str) {
    let server = "mend the server, or what stands between it and the devices";
    if text.contains('\r') && !text.replace("\r\n", "").contains('\r') {
        let cause = "the lines end with CR LF; some clients compare whole lines";
        report.notice(CHECK, thing, cause, server);
    }
    if text.lines().any(|line| line.trim().is_empty()) {
        // docs/scep.md Q8.
        let cause = "there is a blank line, which strongSwan takes for every keyword at once";
        report.error(Exit::Failed, CHECK, thing, cause, server);
    }
    let found = keywords(text);
    for keyword in &found {
        let meant = KNOWN.iter().find(|k| k.eq_ignore_ascii_case(keyword) && *k != keyword);
        if let Some(meant) = meant {
            let cause = format!("it says {keyword} where clients look for {meant}");
            report.error(Exit::Failed, CHECK, thing, cause, server);
        }
    }
    let has = |keyword: &str| found.contains(keyword);
    let missing: Vec<&str> = ["SCEPStandard", "AES", "POSTPKIOperation", "SHA-256"]
        .into_iter()
        .filter(|k| !has(k))
        .collect();
    if !missing.is_empty() {
        // Row 18: each of them is listed, or older clients fall back to DES and MD5.
        let cause = format!(
            "{} is missing: clients fall back to DES, MD5 and GET, and a careful client stops",
            missing.join(", ")
        );
        report.error(Exit::Failed, CHECK, thing, cause, server);
    }
    if !has("SHA-384") {
        let cause = "SHA-384 is missing: strongSwan before 5.9.11 finds no capability at all (docs/scep.md Q7)";
        report.notice(CHECK, thing, cause, "update strongSwan on the devices");
    }
    if !has("Renewal") {
        let cause =
            "Renewal is missing: devices enrol anew, with a challenge, when a certificate ends";
        report.notice(CHECK, thing, cause, "set `renewal.enabled = true` if devices are to renew");
    }
    for (keyword, what) in [("DES3", "triple DES"), ("SHA-1", "SHA-1")] {
        if has(keyword) {
            let cause = format!("{what} is accepted");
            let next = "move the devices to AES and SHA-256, then remove it from the endpoint's `algorithms`";
            report.warning(CHECK, thing, cause, next);
        }
    }
    if !report.has_problem(CHECK, thing) {
        let all: Vec<&str> = found.into_iter().collect();
        report.good(CHECK, thing, all.join(" "));
    }
}

/// Whether two answers list the same, but for GetNextCACert, which comes and goes with a rollover.
pub(super) fn differ(a: &str, b: &str) -> Option<String> {
    let (a, b) = (keywords(a), keywords(b));
    let differences: Vec<&str> = a.symmetric_difference(&b).copied().collect();
    let real: Vec<&str> = differences.into_iter().filter(|k| *k != "GetNextCACert").collect();
    (!real.is_empty()).then(|| real.join(", "))
}

/// The keywords of an answer.
pub(super) fn keywords(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn text(caps: &str) -> String {
        let mut report = Report::new(Timestamp::from_unix_seconds(0));
        judge(&mut report, "e", caps);
        report.as_text(false)
    }

    #[test]
    fn what_trips_clients_is_said() {
        let good = "AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-384\nSHA-512\nSCEPStandard\n";
        assert!(text(good).starts_with("good"), "{}", text(good));
        assert!(text(&format!("{good}\n")).contains("blank line"));
        assert!(text(&good.replace("Renewal", "RENEWAL")).contains("look for Renewal"));
        assert!(text(&good.replace("SHA-256\n", "")).contains("SHA-256 is missing"));
        assert!(text("").contains("SCEPStandard, AES, POSTPKIOperation, SHA-256 is missing"));
        assert!(text(&format!("{good}SHA-1\n")).contains("SHA-1 is accepted"));
    }

    #[test]
    fn a_rollover_is_no_difference() {
        assert_eq!(differ("AES\nGetNextCACert\n", "AES\n"), None);
        assert_eq!(differ("AES\nDES3\n", "AES\n").as_deref(), Some("DES3"));
    }
}
