//! The one log line of a SCEP message: transaction, serial, endpoint, outcome, time taken. Never
//! the message, never a secret (I11), never a subject's name (RFC 8894 section 7.7).

use std::net::IpAddr;
use std::sync::Arc;

use super::failure::Failure;
use super::pipeline::Answer;
use crate::clock::{Clock, Timestamp};
use crate::scep::SignedRequest;
use crate::telemetry::event;
use crate::wire::frontend::Response;

/// What is known of a message so far.
pub(super) struct LogLine {
    endpoint: Arc<str>,
    source: IpAddr,
    began: Timestamp,
    transaction: String,
    message_type: &'static str,
}

impl LogLine {
    pub(super) fn new(endpoint: Arc<str>, source: IpAddr, clock: &dyn Clock) -> Self {
        let unknown = || "-".to_owned();
        Self { endpoint, source, began: clock.now(), transaction: unknown(), message_type: "-" }
    }

    pub(super) fn request(&mut self, request: &SignedRequest) {
        self.transaction = request.transaction_id().to_string();
        self.message_type = request.message_type().name();
    }

    pub(super) fn finish(
        self,
        outcome: &Result<Answer, Failure>,
        response: &Response,
        clock: &dyn Clock,
    ) {
        let endpoint: &str = &self.endpoint;
        let source = self.source.to_string();
        let millis = clock.now().since(self.began).as_millis() as u64;
        let (transaction, message_type) = (self.transaction.as_str(), self.message_type);
        let replied = match response {
            Response::Unavailable(text) => Some(text.as_str()),
            _ => None,
        };
        match (outcome, replied) {
            (Ok(Answer::Found(_)), None) => {
                log::info!(
                    event = event::QUERY, endpoint, transaction, message_type,
                    outcome = "answered", source = source.as_str(), millis;
                    "{message_type} answered"
                );
            }
            (Ok(Answer::Issued(issued)), None) => {
                let serial = issued.certificate().serial().to_string();
                let outcome = if issued.is_fresh() { "issued" } else { "repeated" };
                log::info!(
                    event = event::ENROLMENT, endpoint, transaction, message_type, outcome,
                    serial = serial.as_str(), source = source.as_str(), millis;
                    "{outcome} {serial}"
                );
            }
            (Err(Failure::Pending), None) => {
                log::info!(
                    event = event::ENROLMENT, endpoint, transaction, message_type,
                    outcome = "pending", source = source.as_str(), millis;
                    "{message_type} waits for an officer"
                );
            }
            (Ok(Answer::Found(_)), Some(text)) => {
                log::error!(
                    event = event::QUERY, endpoint, transaction, message_type,
                    outcome = "unanswered", reason = text, source = source.as_str(), millis;
                    "{message_type}: no reply could be made: {text}"
                );
            }
            (Ok(Answer::Issued(issued)), Some(text)) => {
                let serial = issued.certificate().serial().to_string();
                log::error!(
                    event = event::ENROLMENT, endpoint, transaction, message_type,
                    outcome = "unanswered", serial = serial.as_str(), reason = text,
                    source = source.as_str(), millis;
                    "{serial} is in the ledger, but no reply could be made: {text}"
                );
            }
            (Err(failure), replied) => {
                let decided = matches!(
                    failure,
                    Failure::Refused(_) | Failure::Unreadable(_) | Failure::Pending
                );
                let reused = matches!(failure, Failure::Refused(r) if r.reason == "challenge-used");
                let event = if reused { event::CHALLENGE_REUSED } else { event::REFUSED };
                let outcome = if decided && replied.is_none() { "refused" } else { "failed" };
                let reason = match replied {
                    Some(text) if decided => format!("{}; no reply: {text}", failure.log_text()),
                    _ => failure.log_text(),
                };
                log::warn!(
                    event, endpoint, transaction, message_type, outcome,
                    reason = reason.as_str(), source = source.as_str(), millis;
                    "{message_type} {outcome}: {reason}"
                );
            }
        }
    }
}
