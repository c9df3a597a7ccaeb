//! What `chancery status` shows: the signer on one screen, with what needs somebody's attention.

use std::time::Duration;

use super::checkpoints::Log;
use super::crl::ends;
use super::endpoint::Endpoint;
use super::instance::Instance;
use super::{maintenance, observe};
use crate::clock::Timestamp;
use crate::wire::admin::{CertificateEnd, CrlState, LogState, Status, VerificationState};

/// How long before the end of a certificate of ours everybody who looks is told.
const WARN_BEFORE_END: Duration = Duration::from_secs(90 * 86_400);

/// How old the last backup may be before everybody who looks is told; the timer makes one a day.
const WARN_AFTER_BACKUP: Duration = Duration::from_secs(2 * 86_400);

/// The signer as it is.
pub(super) fn status(instance: &Instance) -> Status {
    let head = instance.ledger().head();
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        started: instance.started.unix_millis(),
        queued: u32::try_from(instance.pipeline.queue.waiting()).unwrap_or(u32::MAX),
        ledger_sequence: head.size().checked_sub(1),
        maintenance: maintenance::reason(instance),
        tokens: instance.tokens.status(),
        certificates: certificates(instance),
        crls: lists(instance),
        warnings: warnings(instance),
        last_backup: instance.backups.last(),
        epoch: instance.backups.epoch(),
        log: instance.log.as_ref().map(|l| log(l, instance)),
        verification: verification(instance),
    }
}

fn log(log: &Log, instance: &Instance) -> LogState {
    let latest = log.latest();
    LogState {
        verifier: log.note_key().text(),
        size: latest.as_ref().map(|l| l.size),
        signed: latest.map(|l| l.time.unix_millis()).filter(|time| *time > 0),
        problem: log.problem(),
        witnesses: instance.witnesses.status(),
    }
}

fn verification(instance: &Instance) -> VerificationState {
    let state = instance.verification.state();
    VerificationState {
        done: state.done,
        end: state.end,
        succeeded: state.succeeded.map(Timestamp::unix_millis),
        finding: state.finding,
    }
}

fn certificates(instance: &Instance) -> Vec<CertificateEnd> {
    let mut all = Vec::new();
    for a in &instance.authorities {
        let end = |what: &str, end: Timestamp| CertificateEnd {
            ca: a.ca.to_string(),
            what: what.into(),
            not_after: end.unix_millis(),
        };
        all.push(end("CA", a.not_after));
        all.extend(a.ra_not_after.iter().map(|(what, time)| end(&format!("RA {what}"), *time)));
    }
    all
}

pub(super) fn lists(instance: &Instance) -> Vec<CrlState> {
    let list = |(ca, publisher): (&std::sync::Arc<str>, &std::sync::Arc<super::crl::Publisher>)| {
        let crl = publisher.published()?;
        Some(CrlState {
            ca: ca.to_string(),
            number: crl.number().unwrap_or_default(),
            this_update: crl.this_update().unix_millis(),
            next_update: ends(&crl).unix_millis(),
            entries: crl.revoked().count() as u64,
        })
    };
    instance.crls.iter().filter_map(list).collect()
}

/// What somebody should know or do, a line each.
fn warnings(instance: &Instance) -> Vec<String> {
    let now = instance.pipeline.clock.now();
    let mut warnings = observe::problems(instance);
    warnings.extend(instance.reloads.last().refused.map(|(time, why)| {
        format!("the configuration of {time} was refused, the one before is in force: {why}")
    }));
    if instance.lab {
        warnings.push("lab = true: software keys are trusted; nothing here counts".into());
    }
    for end in certificates(instance) {
        let time = Timestamp::from_unix_millis(end.not_after);
        if time <= now.after(WARN_BEFORE_END) {
            let days = time.since(now).as_secs() / 86_400;
            warnings.push(format!("{} of {} ends in {days} days: {time}", end.what, end.ca));
        }
    }
    for (ca, publisher) in &instance.crls {
        match publisher.published() {
            None => warnings.push(format!("{ca} has no CRL yet: `chancery crl now` says why")),
            Some(crl) if ends(&crl) <= now => {
                warnings.push(format!("the CRL of {ca} ran out at {}", ends(&crl)));
            }
            Some(_) => {}
        }
    }
    let troubled = instance.witnesses.status().into_iter();
    warnings
        .extend(troubled.filter_map(|w| Some(format!("the witness {}: {}", w.name, w.problem?))));
    let unsigned = instance.log.as_ref().and_then(Log::problem);
    warnings
        .extend(unsigned.map(|why| format!("there is no newer checkpoint of the ledger: {why}")));
    warnings.extend(backup(instance, now));
    warnings.extend(instance.endpoints().values().filter_map(|e| legacy(e)));
    warnings
}

/// What is said of backups, unless the last one is young. Nobody backs up a laboratory.
fn backup(instance: &Instance, now: Timestamp) -> Option<String> {
    if instance.lab {
        return None;
    }
    let Some(last) = instance.backups.last() else {
        return Some("no backup was made yet: `chancery backup create`".into());
    };
    let time = Timestamp::from_unix_millis(last.time);
    let old = now.since(time) > WARN_AFTER_BACKUP;
    old.then(|| format!("the last backup is of {time}: see `systemctl status chancery-backup`"))
}

/// The algorithms that an endpoint accepts beyond today's.
fn legacy(endpoint: &Endpoint) -> Option<String> {
    let legacy = endpoint.algorithms.legacy;
    let on = [
        (legacy.des_and_md5, "single DES and MD5, against RFC 8894"),
        (legacy.des3, "triple DES"),
        (legacy.sha1, "SHA-1"),
    ];
    let on: Vec<&str> = on.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    let name = &endpoint.name;
    (!on.is_empty()).then(|| format!("the endpoint {name} accepts {}", on.join("; ")))
}
