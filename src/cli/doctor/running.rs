//! The running signer, through its admin socket: tokens, ledger, clock, lists, and whether it runs with
//! this configuration.

use super::caps;
use super::device::Expected;
use super::finding::Report;
use super::token;
use crate::cli::admin;
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::hsm::MechanismOffer;
use crate::signer::capabilities;
use crate::wire::admin::{EndpointExamination, Examination, Request, Response, TokenExamination};

use std::collections::BTreeMap;
use std::time::Duration;

/// How far the signer's clock and this process's may be apart: they read the same one.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// Asks the signer and looks at its answer. Returns what it serves, by endpoint; none where it does not
/// answer.
pub(super) fn examine(
    report: &mut Report,
    config: &Config,
    common: &Common,
) -> Option<BTreeMap<String, Expected>> {
    let thing = "the signer";
    let found = match admin::ask(common, Request::Examine) {
        Ok(Response::Examination(found)) => found,
        Ok(_) => {
            let next = "run the same release of chancery as the signer";
            report.error(
                Exit::Failed,
                "signer",
                thing,
                "its answer belongs to another question",
                next,
            );
            return None;
        }
        Err(failure) => {
            report.error(failure.exit(), "signer", thing, failure.cause(), failure.next());
            return None;
        }
    };
    if found.config_digest == config.digest() {
        report.good("signer", thing, "it answers and runs with this configuration");
    } else {
        let cause = "it answers, but the configuration was changed since it started";
        report.warning("signer", thing, cause, "restart the signer, or undo the change");
    }
    if let Some(why) = &found.maintenance {
        let cause = format!("nothing is issued: {why}");
        let next = "where an operator wants it so: `chancery maintenance off`; otherwise mend the cause and \
                    restart the signer (docs/ledger.md)";
        report.error(Exit::Failed, "ledger", "maintenance mode", cause, next);
    } else {
        report.good("ledger", "the ledger", "it takes entries, and certificates are issued");
    }
    clock(report, &found);
    for t in &found.tokens {
        examine_token(report, config, t);
    }
    lists(report, &found);
    for endpoint in &found.endpoints {
        policy(report, config, endpoint);
    }
    let expected = |e: EndpointExamination| (e.name, Expected { caps: e.caps, ca_body: e.ca_body });
    Some(found.endpoints.into_iter().map(expected).collect())
}

fn clock(report: &mut Report, found: &Examination) {
    let (thing, check) = ("the clock", "clock");
    let (signer, now) = (time(found.now), report.now);
    let last = time(found.ledger_time);
    let apart = now.since(signer).max(signer.since(now));
    if apart > CLOCK_SLACK {
        let cause = format!("the signer's says {signer}, this command's {now}");
        let next = "run this on the signer's host; restart the signer if its clock was changed for it alone";
        report.error(Exit::Failed, check, thing, cause, next);
    } else if last > now.after(CLOCK_SLACK) {
        let cause =
            format!("it says {now}, but the ledger's last entry is of {last}: it was set back");
        let next =
            "set it right (NTP); until then the ledger refuses entries or dates them wrongly";
        report.error(Exit::Failed, check, thing, cause, next);
    } else {
        report.good(
            check,
            thing,
            format!("it agrees with the signer's and with the ledger: {now}"),
        );
    }
}

fn examine_token(report: &mut Report, config: &Config, found: &TokenExamination) {
    let thing = format!("token.{}", found.name);
    match &found.problem {
        Some(cause) => {
            let next =
                "bring the HSM back; the signer reconnects by itself, unless it refused the PIN";
            report.error(Exit::HsmUnavailable, "token", thing.as_str(), cause.as_str(), next);
        }
        None => {
            let (profile, workers) = (&found.profile, found.workers);
            report.good(
                "token",
                thing.as_str(),
                format!("it works, with {workers} sessions; profile {profile}; its keys passed the audit and a test at the start"),
            );
        }
    }
    for warning in &found.warnings {
        let next =
            "make the key in the token, not extractable; `chancery ceremony` leads through it";
        report.warning("keys", thing.as_str(), warning.as_str(), next);
    }
    let Some((name, token)) = config.token.iter().find(|(name, _)| name.as_str() == found.name)
    else {
        return;
    };
    match &found.mechanisms {
        Ok(offered) => {
            let offered: Vec<MechanismOffer> = offered
                .iter()
                .map(|m| MechanismOffer {
                    name: m.name.clone(),
                    min_bits: m.min_bits,
                    max_bits: m.max_bits,
                })
                .collect();
            token::mechanisms(report, config, (name, token), &offered);
        }
        Err(cause) => {
            let next =
                "the keys passed their tests, so nothing needs to be done; ask the HSM's vendor";
            report.notice(
                "mechanisms",
                thing,
                format!("the token does not list them: {cause}"),
                next,
            );
        }
    }
}

fn lists(report: &mut Report, found: &Examination) {
    for crl in &found.crls {
        let (thing, end) = (format!("the CRL of {}", crl.ca), time(crl.next_update));
        if end <= report.now {
            let next = "run `chancery crl now`, which says why there is no new one";
            report.error(Exit::Failed, "crl", thing, format!("it ran out at {end}"), next);
        } else {
            report.good("crl", thing, format!("number {} is good until {end}", crl.number));
        }
    }
    for ca in &found.without_crl {
        let next =
            "run `chancery crl now`, which says why; or set `enabled = false` in [ca.NAME.crl]";
        report.error(Exit::Failed, "crl", format!("the CRL of {ca}"), "there is none yet", next);
    }
}

/// What the endpoint lists, against what the configuration allows.
fn policy(report: &mut Report, config: &Config, found: &EndpointExamination) {
    let thing = format!("endpoint.{}", found.name);
    let settings = config.endpoint.iter().find(|(name, _)| name.as_str() == found.name);
    let Some((_, settings)) = settings else {
        let cause = "the signer serves it, but the configuration does not have it any more";
        return report.warning("policy", thing, cause, "restart the signer");
    };
    let allowed = capabilities(settings, false).text();
    match caps::differ(&allowed, &String::from_utf8_lossy(&found.caps)) {
        Some(what) => {
            let cause =
                format!("the signer's capabilities are not those of the configuration: {what}");
            report.error(Exit::Failed, "policy", thing, cause, "restart the signer");
        }
        None => {
            let ca = &found.ca;
            report.good(
                "policy",
                thing,
                format!("its capabilities are what the policy allows; it issues by the CA {ca}"),
            );
        }
    }
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}
