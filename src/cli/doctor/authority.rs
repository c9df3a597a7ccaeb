//! The certificates of CA and RA, as clients choose among them (RFC 8894 sections 2.1.2 and 2.2).

use std::time::Duration;

use super::finding::Report;
use super::thumbprint::Thumbprints;
use crate::cli::exit::Exit;
use crate::pki::extension::{BASIC_CONSTRAINTS, BasicConstraints, KeyUsage};
use crate::pki::{Certificate, name};

/// How long before its end a certificate is warned of.
const WARN_BEFORE_END: Duration = Duration::from_secs(90 * 86_400);

const CHECK: &str = "certificates";
const VALIDITY: &str = "validity";

/// Looks at what GetCACert returned, in its order.
pub(super) fn judge(report: &mut Report, thing: &str, certificates: &[Certificate]) {
    let fetched = |at: usize| format!("{thing}, certificate {}", at + 1);
    for (at, certificate) in certificates.iter().enumerate() {
        validity(report, &fetched(at), certificate);
        report.thumbprints(Thumbprints::new(role(certificate), certificate));
    }
    let ra: Vec<&Certificate> = certificates.iter().filter(|c| !is_ca(c)).collect();
    let cas: Vec<&Certificate> = certificates.iter().filter(|c| is_ca(c)).collect();
    let error = |report: &mut Report, cause: String, next: &str| {
        report.error(Exit::Failed, CHECK, thing, cause, next);
    };
    let can = |c: &Certificate, usage| usage_of(c).is_none_or(|u| u.contains(usage));
    let encryption: Vec<_> =
        ra.iter().filter(|c| can(c, KeyUsage::KEY_ENCIPHERMENT)).copied().collect();
    match encryption.as_slice() {
        [] if cas.iter().any(|c| can(c, KeyUsage::KEY_ENCIPHERMENT)) => {}
        [] => error(
            report,
            "no certificate has keyEncipherment, so no device can encrypt a request".into(),
            "let the endpoint's `ca_cert_response` name ra-decryption, and see its keyUsage",
        ),
        [_] => {}
        _ => report.warning(
            CHECK,
            thing,
            "several RA certificates have keyEncipherment: some clients take the wrong one (docs/scep.md Q15)",
            "issue the RA's signing certificate again with digitalSignature alone",
        ),
    }
    if cas.iter().any(|c| usage_of(c).is_some_and(|u| u.contains(KeyUsage::KEY_ENCIPHERMENT))) {
        report.warning(
            CHECK,
            thing,
            "a CA certificate has keyEncipherment: Apple's clients may encrypt to it (docs/scep.md Q15)",
            "leave it out of `ca_cert_response`, or issue it again without",
        );
    }
    if !ra.is_empty() && !ra.iter().any(|c| can(c, KeyUsage::DIGITAL_SIGNATURE)) {
        error(
            report,
            "no RA certificate has digitalSignature: clients refuse the replies".into(),
            "let `ca_cert_response` name ra-signing, and see its keyUsage",
        );
    }
    if cas.is_empty() {
        error(
            report,
            "there is no CA certificate in it: clients cannot verify anything".into(),
            "let `ca_cert_response` name issuing",
        );
    }
    for c in &ra {
        let subject = name::display(c.subject());
        if !c.public_key().kind().is_rsa() {
            error(
                report,
                format!(
                    "«{subject}» has a {} key; SCEP's key transport needs RSA",
                    c.public_key().kind()
                ),
                "make the RA's keys as RSA keys of 2048 bits or more",
            );
        }
        if !cas.is_empty() && !cas.iter().any(|ca| issued(ca, c)) {
            // Q30: Windows stops after GetCACert with 0x8010002c and never says why.
            error(
                report,
                format!(
                    "no CA in the answer issued the RA «{subject}»: Windows and others stop here"
                ),
                "let the CA itself issue the RA's certificates, and `ca_cert_response` name issuing",
            );
        }
    }
    if let Some(top) = cas.last()
        && !cas.iter().any(|c| c.is_self_issued())
    {
        let top = name::display(top.subject());
        report.notice(
            CHECK,
            thing,
            format!("the chain ends with «{top}», without a root"),
            "give devices the root another way, or let `ca_cert_response` name upper and root",
        );
    }
    if certificates.iter().position(is_ca).is_some_and(|first| first < ra.len()) {
        report.notice(
            CHECK,
            thing,
            "a CA certificate comes before the RA's: some clients take the first one to encrypt to",
            "put ra-decryption and ra-signing first in `ca_cert_response`",
        );
    }
    if !report.has_problem(CHECK, thing) {
        let count = certificates.len();
        let text =
            format!("{count} certificates; the RA's are the CA's own, with fitting key usages");
        report.good(CHECK, thing, text);
    }
}

/// Whether the certificate is valid, and for how long.
pub(super) fn validity(report: &mut Report, thing: &str, certificate: &Certificate) {
    let subject = name::display(certificate.subject());
    let (from, to, now) = (certificate.not_before(), certificate.not_after(), report.now);
    if now < from {
        let cause = format!("«{subject}» is valid only from {from}, and it is {now}");
        let next = "set the clock right, or wait";
        report.error(Exit::Configuration, VALIDITY, thing, cause, next);
    } else if now > to {
        let cause = format!("«{subject}» ended on {to}");
        report.error(
            Exit::Configuration,
            VALIDITY,
            thing,
            cause,
            "issue it again, for the same key or a new one",
        );
    } else if to <= now.after(WARN_BEFORE_END) {
        let days = to.since(now).as_secs() / 86_400;
        let cause = format!("«{subject}» ends in {days} days, on {to}");
        report.warning(
            VALIDITY,
            thing,
            cause,
            "renew it in time; docs/rollover.md has the way of a CA",
        );
    } else {
        report.good(VALIDITY, thing, format!("«{subject}» is valid until {to}"));
    }
}

fn is_ca(certificate: &Certificate) -> bool {
    let constraints = certificate.extension(BASIC_CONSTRAINTS);
    constraints
        .and_then(|e| BasicConstraints::from_der(&e.value).ok())
        .is_some_and(|constraints| constraints.ca)
}

/// The key usages; none where the certificate has no such extension, which allows everything.
fn usage_of(certificate: &Certificate) -> Option<KeyUsage> {
    certificate.key_usage().map(KeyUsage::from_bits)
}

fn issued(ca: &Certificate, certificate: &Certificate) -> bool {
    ca.subject() == certificate.issuer() && certificate.verify_signature(ca.public_key()).is_ok()
}

/// What the certificate is, by what it says.
pub(super) fn role(certificate: &Certificate) -> &'static str {
    let has = |usage| usage_of(certificate).is_some_and(|u| u.contains(usage));
    match (is_ca(certificate), certificate.is_self_issued()) {
        (true, true) => "root",
        (true, false) => "issuing or intermediate CA",
        _ if has(KeyUsage::KEY_ENCIPHERMENT) => "RA, encryption",
        _ if has(KeyUsage::DIGITAL_SIGNATURE) => "RA, signatures",
        _ => "RA",
    }
}
