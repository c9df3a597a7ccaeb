//! The one log line of a SCEP message: transaction, serial, endpoint, outcome, time taken. Never
//! the message, never a secret (I11), never a subject's name (RFC 8894 section 7.7).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::failure::Failure;
use super::pipeline::Answer;
use crate::scep::SignedRequest;
use crate::telemetry::event;
use crate::telemetry::metrics::{Request, SignerMetrics};
use crate::wire::frontend::Response;

/// What is known of a message so far.
pub(super) struct LogLine {
    endpoint: Arc<str>,
    source: IpAddr,
    began: Instant,
    transaction: String,
    message_type: &'static str,
}

impl LogLine {
    pub(super) fn new(endpoint: Arc<str>, source: IpAddr) -> Self {
        let unknown = || "-".to_owned();
        Self { endpoint, source, began: Instant::now(), transaction: unknown(), message_type: "-" }
    }

    pub(super) fn request(&mut self, request: &SignedRequest) {
        self.transaction = request.transaction_id().to_string();
        self.message_type = request.message_type().name();
    }

    pub(super) fn finish(
        self,
        outcome: &Result<Answer, Failure>,
        response: &Response,
        metrics: &SignerMetrics,
    ) {
        let endpoint: &str = &self.endpoint;
        let source = self.source.to_string();
        let took = self.began.elapsed();
        let millis = took.as_millis() as u64;
        let (transaction, message_type) = (self.transaction.as_str(), self.message_type);
        let replied = match response {
            Response::Unavailable(text) => Some(text.as_str()),
            _ => None,
        };
        let (word, reason) = words(outcome, replied);
        metrics.request(&Request { endpoint, message_type, outcome: word, reason, took });
        match (outcome, replied) {
            (Ok(Answer::Found(_)), None) => {
                log::info!(
                    event = event::QUERY, endpoint, transaction, message_type,
                    outcome = word, source = source.as_str(), millis;
                    "{message_type} answered"
                );
            }
            (Ok(Answer::Issued(issued)), None) => {
                let serial = issued.certificate().serial().to_string();
                log::info!(
                    event = event::ENROLMENT, endpoint, transaction, message_type, outcome = word,
                    serial = serial.as_str(), source = source.as_str(), millis;
                    "{word} {serial}"
                );
            }
            (Err(Failure::Pending), None) => {
                log::info!(
                    event = event::ENROLMENT, endpoint, transaction, message_type,
                    outcome = word, source = source.as_str(), millis;
                    "{message_type} waits for an officer"
                );
            }
            (Ok(Answer::Found(_)), Some(text)) => {
                log::error!(
                    event = event::QUERY, endpoint, transaction, message_type,
                    outcome = word, reason = text, source = source.as_str(), millis;
                    "{message_type}: no reply could be made: {text}"
                );
            }
            (Ok(Answer::Issued(issued)), Some(text)) => {
                let serial = issued.certificate().serial().to_string();
                log::error!(
                    event = event::ENROLMENT, endpoint, transaction, message_type,
                    outcome = word, serial = serial.as_str(), reason = text,
                    source = source.as_str(), millis;
                    "{serial} is in the ledger, but no reply could be made: {text}"
                );
            }
            (Err(failure), replied) => {
                let decided = is_decided(failure);
                let reused = matches!(failure, Failure::Refused(r) if r.reason == "challenge-used");
                let event = if reused { event::CHALLENGE_REUSED } else { event::REFUSED };
                let reason = match replied {
                    Some(text) if decided => format!("{}; no reply: {text}", failure.log_text()),
                    _ => failure.log_text(),
                };
                log::warn!(
                    event, endpoint, transaction, message_type, outcome = word,
                    reason = reason.as_str(), source = source.as_str(), millis;
                    "{message_type} {word}: {reason}"
                );
            }
        }
    }
}

/// The outcome in a word, and the kind of refusal.
fn words(
    outcome: &Result<Answer, Failure>,
    unanswered: Option<&str>,
) -> (&'static str, &'static str) {
    match (outcome, unanswered) {
        (Ok(_), Some(_)) => ("unanswered", ""),
        (Ok(Answer::Found(_)), None) => ("answered", ""),
        (Ok(Answer::Issued(issued)), None) if issued.is_fresh() => ("issued", ""),
        (Ok(Answer::Issued(_)), None) => ("repeated", ""),
        (Err(Failure::Pending), None) => ("pending", ""),
        (Err(failure), None) if is_decided(failure) => ("refused", failure.kind()),
        (Err(failure), _) => ("failed", failure.kind()),
    }
}

/// Whether the message was looked at to its end.
const fn is_decided(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(_) | Failure::Unreadable(_) | Failure::Pending)
}
