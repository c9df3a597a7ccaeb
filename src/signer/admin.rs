//! What operators ask through the admin socket.

use std::sync::Arc;

use super::instance::Instance;
use super::officer::{self, Word};
use super::{
    audit, backup, challenges, examine, maintenance, observe, reload, revoke, search, status,
    transparency, waiting,
};
use crate::clock::Timestamp;
use crate::ledger::{
    Actor, Entry, Event, Fingerprint, GivenUp, Ledger, Origin, Sequence, TransactionState, Verdict,
};
use crate::pki::SerialNumber;
use crate::revocation::Reason;
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{self, Request, Response, Transaction};

/// The most entries in one answer.
const MOST_ENTRIES: usize = 100;

/// Answers a request where the peer's roles allow it, and records what has no event of its own: an attempt
/// at more, a command that came to nothing.
pub(super) async fn allowed(instance: &Arc<Instance>, peer: Peer, request: Request) -> Response {
    let attempt = audit::Attempt::of(peer, &request);
    if instance.reloads.roles().allows(peer, &request) {
        let answer = answer(instance, peer, request).await;
        if let Some(draft) = attempt.and_then(|attempt| attempt.entry(&answer)) {
            audit::record(instance, draft).await;
        }
        return answer;
    }
    let (name, needed) = (request.name(), request.permission().what());
    log::warn!(event = event::PEER, uid = peer.uid, command = name; "uid {} may not: {name}", peer.uid);
    if let Some(attempt) = attempt {
        let why = format!("refused: needs the right to {needed}");
        audit::record(instance, attempt.failure(&why)).await;
    }
    Response::NotAllowed(format!("`{name}` needs the right to {needed}"))
}

/// Answers one request of an operator's command.
async fn answer(instance: &Arc<Instance>, peer: Peer, request: Request) -> Response {
    let answer = match request {
        Request::Status => Ok(Response::Status(status::status(instance))),
        Request::RequestShow { endpoint, transaction } => {
            transactions(instance, endpoint.as_deref(), transaction.as_bytes())
        }
        Request::Trace { endpoint, transaction } => {
            story(instance, endpoint.as_deref(), transaction.as_bytes())
        }
        Request::LedgerCheckpoint => {
            let latest = instance.log.as_ref().and_then(super::checkpoints::Log::latest);
            Ok(Response::Checkpoint(latest.map(|signed| transparency::cosigned(instance, &signed))))
        }
        Request::Maintenance { enter: None, .. } => {
            Ok(Response::Maintenance(instance.pipeline.maintenance.reason()))
        }
        Request::Maintenance { enter: Some(enter), reason } => {
            Ok(maintenance::change(instance, peer, enter, reason).await)
        }
        request @ (Request::LedgerRead { .. }
        | Request::LedgerProof { .. }
        | Request::LedgerConsistency { .. }
        | Request::LedgerTile { .. }) => transparency::answer(instance, request).await,
        Request::LedgerList { from, limit } => {
            listed(instance.ledger(), from, limit).map(Response::Entries)
        }
        Request::RolloverList => Ok(Response::Rollovers(instance.rollovers.list())),
        Request::RolloverStep { ca, step } => {
            let tools = instance.crl_tools();
            let moved = instance.rollovers.step(&tools, peer, &ca, step).await;
            moved.map(|rollover| Response::Rollovers(vec![rollover]))
        }
        Request::RequestList { pending } => {
            officer::list(instance, pending).map_err(|e| e.to_string())
        }
        Request::RequestDecide { endpoint, transaction, approve, reason } => {
            let verdict = if approve { Verdict::Approved } else { Verdict::Denied };
            let word = Word { endpoint, transaction, verdict, reason };
            Ok(officer::decide(instance, peer, word).await)
        }
        Request::ChallengeIssue(order) => Ok(challenges::issue(instance, peer, order).await),
        Request::ChallengeList => challenges::list(instance).map_err(|e| e.to_string()),
        Request::ChallengeRevoke { id } => Ok(challenges::revoke(instance, peer, id).await),
        Request::CertSearch { filter, from } => {
            let instance = instance.clone();
            let found = move || search::search(&instance, &filter, from).map_err(|e| e.to_string());
            // A page is many reads: it must not hold up the threads that serve devices.
            tokio::task::spawn_blocking(found).await.unwrap_or_else(|e| Err(e.to_string()))
        }
        Request::CertShow { serial } => revoke::show(instance, &serial).map_err(|e| e.to_string()),
        Request::CertRevoke(change) => {
            revoke::revoke(instance, peer, change).await.map_err(|e| e.to_string())
        }
        Request::CrlNow { ca } => Ok(revoke::lists(instance, ca.as_deref(), true).await),
        Request::BackupBegin => backup::begin(instance).await,
        Request::BackupRead { id, file, offset } => {
            backup::read(instance, (id, file, offset)).await
        }
        Request::BackupDone { id, place } => backup::done(instance, peer, (id, place)).await,
        Request::BackupVerified { manifest, place } => {
            backup::verified(instance, peer, (&manifest, &place)).await
        }
        request @ Request::BackupFailed { .. } => backup::failed(instance, peer, &request).await,
        Request::HsmStatus => Ok(Response::Hsms(instance.tokens.hsms())),
        Request::HsmSelfTest => {
            let instance = instance.clone();
            let tested = move || Response::HsmTests(instance.tokens.self_test());
            // It waits for the HSM.
            tokio::task::spawn_blocking(tested).await.map_err(|e| e.to_string())
        }
        Request::Examine => Ok(Response::Examination(examine::examination(instance))),
        Request::Metrics => observe::metrics(instance).map(Response::Metrics),
        Request::Reload => Ok(reload::asked(instance, peer).await),
        Request::CrlShow { ca } => Ok(revoke::lists(instance, ca.as_deref(), false).await),
    };
    answer.unwrap_or_else(Response::Refused)
}

fn transactions(
    instance: &Instance,
    endpoint: Option<&str>,
    id: &[u8],
) -> Result<Response, String> {
    let mut found = Vec::new();
    let endpoints = instance.endpoints();
    let names = endpoints.keys().map(AsRef::as_ref);
    for name in names.filter(|name| endpoint.is_none_or(|wanted| wanted == *name)) {
        let record = instance.ledger().transaction(name, id).map_err(|e| e.to_string())?;
        let pending = instance.ledger().pending(name, id).map_err(|e| e.to_string())?;
        if let Some(pending) = pending.filter(|p| waiting::is_current(p, record.as_ref())) {
            found.push(Transaction {
                endpoint: name.to_owned(),
                sequence: pending.sequence.0,
                state: officer::state(instance, &pending).map_err(|e| e.to_string())?.into(),
                request: opened(instance, &pending.pending.request.sealed)?,
                certificate: None,
            });
            continue;
        }
        let Some(record) = record else { continue };
        let (state, certificate) = match record.state {
            TransactionState::Reserved => ("reserved", None),
            TransactionState::Issued { certificate, .. } => ("issued", Some(certificate.0)),
            TransactionState::Abandoned { .. } => ("abandoned", None),
        };
        found.push(Transaction {
            endpoint: name.to_owned(),
            sequence: record.sequence.0,
            state: state.into(),
            request: opened(instance, &record.reservation.request.sealed)?,
            certificate,
        });
    }
    Ok(if found.is_empty() { Response::NotFound } else { Response::Transactions(found) })
}

fn story(instance: &Instance, endpoint: Option<&str>, id: &[u8]) -> Result<Response, String> {
    let mut entries = Vec::new();
    let endpoints = instance.endpoints();
    let names = endpoints.keys().map(AsRef::as_ref);
    for name in names.filter(|name| endpoint.is_none_or(|wanted| wanted == *name)) {
        entries.extend(instance.ledger().story(name, id).map_err(|e| e.to_string())?);
    }
    entries.sort_by_key(|entry| entry.sequence);
    Ok(if entries.is_empty() { Response::NotFound } else { Response::Entries(shown(entries)) })
}

fn opened(instance: &Instance, sealed: &[u8]) -> Result<Vec<u8>, String> {
    instance.pipeline.seal.open(sealed).map_err(|e| e.to_string())
}

/// Entries for people from the number `from` on, `limit` at most and never more than one answer holds; the
/// error is a sentence.
pub fn listed(ledger: &Ledger, from: u64, limit: u32) -> Result<Vec<admin::Entry>, String> {
    let limit = (limit as usize).min(MOST_ENTRIES);
    ledger.entries(Sequence(from), limit).map(shown).map_err(|e| e.to_string())
}

fn shown(entries: Vec<Entry>) -> Vec<admin::Entry> {
    entries.into_iter().map(show).collect()
}

/// An entry for people: what identifies it first, long values last.
fn show(entry: Entry) -> admin::Entry {
    let mut fields = vec![
        ("outcome".to_owned(), format!("{:?}", entry.outcome).to_lowercase()),
        ("actor".to_owned(), actor(entry.actor)),
        ("origin".to_owned(), origin(entry.origin)),
    ];
    if !entry.object.is_empty() {
        fields.push(("object".to_owned(), entry.object.clone()));
    }
    fields.extend(event_fields(&entry.event));
    admin::Entry {
        sequence: entry.sequence.0,
        time: entry.time.unix_millis(),
        event: entry.event.name().into(),
        fields,
        // An entry that was read can be encoded again: the encoding is canonical.
        der: entry.encode().unwrap_or_default(),
    }
}

pub(super) fn actor(actor: Actor) -> String {
    match actor {
        Actor::System => "system".into(),
        Actor::Anonymous => "anonymous".into(),
        Actor::Uid(uid) => format!("uid {uid}"),
        Actor::Officer(certificate) => format!("officer {certificate}"),
        Actor::Device(key) => format!("device key {key}"),
    }
}

pub(super) fn origin(origin: Origin) -> String {
    match origin {
        Origin::Internal => "internal".into(),
        Origin::Process(pid) => format!("process {pid}"),
        Origin::Address(address) => address.to_string(),
    }
}

fn event_fields(event: &Event) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields: Vec<(&str, String)> = match event {
        Event::Reservation(r) => {
            let evidence = r.evidence.iter().map(|e| format!("{:?}", e.authorizer));
            let mut fields = vec![
                ("endpoint", r.endpoint.clone()),
                ("transaction", text(&r.transaction)),
                ("serial", r.serial().to_string()),
                ("profile", r.profile.clone()),
                ("issuer", r.issuer.clone()),
                ("evidence", evidence.collect::<Vec<_>>().join(", ").to_lowercase()),
            ];
            fields.extend(r.replaces.map(|s| ("replaces", s.to_string())));
            fields.push(("request sha-256", r.request.digest.to_string()));
            fields.push(("sealed request", r.request.sealed.to_string()));
            fields.push(("tbs", r.tbs.to_string()));
            fields
        }
        Event::Certificate(c) => vec![
            ("reservation", c.reservation.to_string()),
            ("certificate", c.certificate.to_string()),
        ],
        Event::Abandoned(a) => {
            vec![("reservation", a.reservation.to_string()), ("reason", a.reason.clone())]
        }
        Event::Pending(p) => vec![
            ("endpoint", p.endpoint.clone()),
            ("transaction", text(&p.transaction)),
            ("request sha-256", p.request.digest.to_string()),
            ("sealed request", p.request.sealed.to_string()),
        ],
        Event::Decision(d) => vec![
            ("pending", d.pending.to_string()),
            ("verdict", format!("{:?}", d.verdict).to_lowercase()),
            ("reason", d.reason.clone()),
        ],
        Event::Challenge(c) => vec![
            ("action", format!("{:?}", c.action).to_lowercase()),
            ("endpoint", c.endpoint.clone()),
            ("expires", Timestamp::from_unix_millis(c.expires).to_string()),
            ("restriction", c.restriction.clone().unwrap_or_default()),
            ("mac", c.mac.to_string()),
        ],
        Event::Start(l)
        | Event::Stop(l)
        | Event::MaintenanceEntered(l)
        | Event::MaintenanceLeft(l) => {
            vec![("software", l.software.clone()), ("reason", l.reason.clone())]
        }
        Event::ConfigLoaded(c) => {
            let mut fields = vec![("digest", c.digest.to_string()), ("summary", c.summary.clone())];
            fields.extend(c.replaces.map(|before| ("replaces", before.to_string())));
            fields
        }
        Event::Refusals(r) => vec![
            ("endpoint", r.endpoint.clone()),
            ("source", r.source.clone()),
            ("reason", r.reason.clone()),
            ("count", r.count.to_string()),
        ],
        Event::Revocation(r) => {
            let reason = Reason::from_code(r.reason);
            let mut fields = vec![
                ("serial", SerialNumber::from_content(&r.serial).to_string()),
                ("issuer", r.issuer.clone()),
                ("reason", reason.map_or_else(|| r.reason.to_string(), |r| r.to_string())),
                ("date", Timestamp::from_unix_millis(r.date).to_string()),
            ];
            fields.push(("comment", r.comment.clone()));
            fields
        }
        Event::SigningIntent(i) => {
            let mut fields = vec![
                ("kind", format!("{:?}", i.kind).to_lowercase()),
                ("issuer", i.issuer.clone()),
            ];
            fields.extend(i.number.map(|n| ("number", n.to_string())));
            fields.push(("digest", i.digest.to_string()));
            fields.extend(i.content.as_ref().map(|c| ("content", c.to_string())));
            fields
        }
        Event::SignedObject(o) => {
            vec![("intent", o.intent.to_string()), ("digest", o.digest.to_string())]
        }
        Event::Backup(b) => {
            let mut fields = vec![
                ("action", format!("{:?}", b.action).to_lowercase()),
                ("entries", b.size.to_string()),
                ("root", b.root.to_string()),
                ("manifest sha-256", b.manifest.to_string()),
                ("epoch", b.epoch.to_string()),
            ];
            fields.extend(b.given_up.as_ref().map(|heads| ("given up", given_up(heads))));
            fields
        }
        Event::Command(c) => {
            let mut fields = vec![("command", c.command.clone()), ("change", c.change.clone())];
            if c.dry_run {
                fields.push(("dry run", c.dry_run.to_string()));
            }
            fields
        }
        Event::Verification(v) => {
            vec![("entries", v.size.to_string()), ("root", v.root.to_string())]
        }
        Event::Rollover(r) => vec![
            ("issuer", r.issuer.clone()),
            ("stage", format!("{:?}", r.stage).to_lowercase()),
            ("certificate sha-256", Fingerprint::of(&r.certificate).to_string()),
        ],
        Event::Ceremony(c) => vec![
            ("name", c.name.clone()),
            ("bundle sha-256", c.bundle.to_string()),
            ("deviations", c.deviations.clone()),
        ],
        Event::Hsm(h) => vec![("token", h.token.clone()), ("what", h.what.clone())],
        Event::Role(r) => vec![
            ("subject", r.subject.clone()),
            ("role", r.role.clone()),
            ("granted", r.granted.to_string()),
        ],
    };
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The heads that a restore gave up, for people.
fn given_up(heads: &[GivenUp]) -> String {
    let head = |h: &GivenUp| {
        format!("{} entries with the root {}, known by {}", h.size, h.root, h.known_by)
    };
    match heads {
        [] => "what the backup does not have, unknown".into(),
        some => some.iter().map(head).collect::<Vec<_>>().join("; "),
    }
}
