//! `chancery challenge issue`, `list` and `revoke` on the signer's side.

use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;
use super::one_time::{restriction, used};
use super::pipeline::Pipeline;
use crate::clock::Timestamp;
use crate::ledger::{
    Actor, Challenge, ChallengeAction, ChallengeRecord, Draft, Event, LedgerError, Origin, Outcome,
    Sequence,
};
use crate::ra::{Restriction, generate};
use crate::wire::Peer;
use crate::wire::admin::{ChallengeOrder, ChallengeStatus, Disclosed, NewChallenge, Response};

/// The most challenges of one order.
const MOST: u32 = 1000;
/// The most lines of one list.
const MOST_LISTED: usize = 5000;
/// The longest life of a challenge.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Makes challenges; the answer is the only place where they stand in clear.
pub(super) async fn issue(instance: &Arc<Instance>, peer: Peer, order: ChallengeOrder) -> Response {
    match make(instance, peer, order).await {
        Ok(made) => Response::NewChallenges(made),
        Err(why) => Response::Refused(why),
    }
}

async fn make(
    instance: &Arc<Instance>,
    peer: Peer,
    order: ChallengeOrder,
) -> Result<Vec<NewChallenge>, String> {
    let Some(endpoint) = instance.endpoints().get(order.endpoint.as_str()).cloned() else {
        return Err(format!("there is no endpoint {}", order.endpoint.escape_debug()));
    };
    if !endpoint.authorizer.one_time {
        return Err(format!(
            "endpoint {} takes no one-time challenges; set one_time_challenges = true there and restart the signer",
            endpoint.name
        ));
    }
    if !(1..=MOST).contains(&order.count) {
        return Err(format!("{} challenges at once; choose 1 to {MOST}", order.count));
    }
    let lifetime = Duration::from_millis(order.lifetime);
    if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
        return Err("a challenge lives between one second and 366 days".into());
    }
    if endpoint.sealed_challenges && order.uses != 1 {
        return Err(format!(
            "a challenge of endpoint {} is good for one certificate, because its transaction ID is; \
             make more of them with --count",
            endpoint.name
        ));
    }
    let profile = endpoint.profile.name.clone();
    let ChallengeOrder { subject, san, uses, count, .. } = order;
    let restriction = Restriction { profile, uses, subject, san };
    restriction.check().map_err(|e| e.to_string())?;
    let expires = instance.pipeline.clock.now().after(lifetime).unix_millis();
    let (mut secrets, mut drafts) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let secret = generate(instance.pipeline.random.as_ref()).map_err(|e| e.to_string())?;
        let mac = endpoint.authorizer.key.one_time_mac(&endpoint.name, &secret);
        let mac = mac.map_err(|e| e.to_string())?;
        let (mut sealed, mut transaction_id) = (None, None);
        if endpoint.sealed_challenges {
            let Pipeline { seal, random, .. } = &instance.pipeline;
            let content = seal.seal_challenge(&mac, &secret, random.as_ref());
            sealed = Some(content.map_err(|e| e.to_string())?.into());
            transaction_id = Some(mac.transaction_id());
        }
        secrets.push((secret, transaction_id));
        drafts.push(draft(
            peer,
            Challenge {
                mac: mac.as_bytes().as_slice().into(),
                action: ChallengeAction::Made,
                endpoint: endpoint.name.to_string(),
                expires,
                restriction: Some(restriction.to_text()),
                sealed,
            },
        ));
    }
    let sequences = instance.ledger().append(drafts).await.map_err(|e| e.to_string())?;
    let made = sequences.into_iter().zip(secrets);
    Ok(made
        .map(|(sequence, (secret, transaction_id))| NewChallenge {
            id: sequence.0,
            challenge: Disclosed(secret),
            expires,
            transaction_id,
        })
        .collect())
}

/// Withdraws the challenge that entry `id` made.
pub(super) async fn revoke(instance: &Arc<Instance>, peer: Peer, id: u64) -> Response {
    let record = match find(instance, id) {
        Ok(Some(record)) => record,
        Ok(None) => return Response::NotFound,
        Err(e) => return Response::Refused(e.to_string()),
    };
    if record.ended.is_some() {
        return Response::Refused("the challenge is revoked already".into());
    }
    let challenge =
        Challenge { action: ChallengeAction::Revoked, sealed: None, ..record.challenge };
    match instance.ledger().append(vec![draft(peer, challenge)]).await {
        Ok(_) => Response::Done,
        Err(e) => Response::Refused(e.to_string()),
    }
}

fn find(instance: &Instance, id: u64) -> Result<Option<ChallengeRecord>, LedgerError> {
    let Some(entry) = instance.ledger().entry(Sequence(id))? else { return Ok(None) };
    match entry.event {
        Event::Challenge(c) if c.action == ChallengeAction::Made => {
            instance.ledger().challenge(&c.mac)
        }
        _ => Ok(None),
    }
}

/// Every challenge and how it stands, oldest first.
pub(super) fn list(instance: &Instance) -> Result<Response, LedgerError> {
    let now = instance.pipeline.clock.now();
    let records = instance.ledger().challenges(MOST_LISTED)?;
    let lines: Result<Vec<_>, _> = records.iter().map(|r| line(instance, r, now)).collect();
    Ok(Response::Challenges(lines?))
}

fn line(
    instance: &Instance,
    record: &ChallengeRecord,
    now: Timestamp,
) -> Result<ChallengeStatus, LedgerError> {
    let restriction = restriction(record).ok();
    let uses = restriction.as_ref().map_or(0, |r| r.uses);
    let used = used(instance.ledger(), record, uses)?;
    let state = match record.ended {
        Some(ChallengeAction::Revoked) => "revoked",
        _ if uses > 0 && used >= uses => "used",
        Some(_) => "voided",
        None if now.unix_millis() >= record.challenge.expires => "expired",
        None => "open",
    };
    Ok(ChallengeStatus {
        id: record.sequence.0,
        endpoint: record.challenge.endpoint.clone(),
        made: record.time.unix_millis(),
        expires: record.challenge.expires,
        state: state.into(),
        uses,
        used,
        subject: restriction.as_ref().and_then(|r| r.subject.clone()),
        san: restriction.map(|r| r.san).unwrap_or_default(),
    })
}

fn draft(peer: Peer, challenge: Challenge) -> Draft {
    Draft {
        actor: Actor::Uid(peer.uid),
        origin: origin(peer),
        object: format!("challenge at {}", challenge.endpoint),
        outcome: Outcome::Success,
        event: Event::Challenge(challenge),
    }
}

/// Where an operator's command came from.
pub(super) fn origin(peer: Peer) -> Origin {
    let pid = peer.pid.and_then(|pid| u32::try_from(pid).ok());
    pid.map_or(Origin::Internal, Origin::Process)
}
