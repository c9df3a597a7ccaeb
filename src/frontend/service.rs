//! What happens to a request.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Response};
use tokio::sync::{Notify, Semaphore, watch};

use super::access::Access;
use super::directory::{Directory, Endpoint};
use super::log_tiles::{self, Asked, LogTiles};
use super::operation::{self, NoOperation, Operation};
use super::precheck::{self, Carried, Message, Unreadable};
use super::query::Query;
use super::reply::Reply;
use crate::http::{self, Peer};
use crate::telemetry::metrics::FrontendMetrics;
use crate::wire::frontend::{Request as ToSigner, Response as FromSigner};
use crate::wire::{CallError, Client};

/// What every request needs.
#[derive(Debug)]
pub(super) struct Frontend {
    pub(super) signer: Client<ToSigner>,
    pub(super) directory: watch::Receiver<Option<Arc<Directory>>>,
    /// Asks for a new description.
    pub(super) description_wanted: Arc<Notify>,
    /// How many messages are read at once: one a processor, however many connections there are.
    pub(super) readers: Arc<Semaphore>,
    /// [`super::FrontendLimits::retry_after`], in seconds.
    pub(super) retry_after: NonZeroU32,
    /// Spreads Retry-After.
    pub(super) refusals: AtomicU32,
    pub(super) metrics: Arc<FrontendMetrics>,
    /// The bounds of requests as they are now.
    pub(super) http: watch::Receiver<http::Limits>,
    pub(super) log_tiles: LogTiles,
}

/// What the access log calls the fetching of a CRL or a CA certificate.
const DOCUMENT: &str = "document";

/// What the access log calls the fetching of a checkpoint or a tile.
const LOG: &str = "log";

/// Answers one request and logs it.
pub(super) async fn serve(
    State(frontend): State<Arc<Frontend>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let mut access = Access::new(peer.ip().to_canonical());
    let reply = frontend.reply(request, &mut access).await;
    access.log(&reply, &frontend.metrics);
    // A refusal may be of a PKIOperation that was not recognised: only what is known to be the same
    // for everybody may be stored.
    let cacheable = [Operation::GetCaCaps.name(), Operation::GetCaCert.name()];
    let no_store = !reply.is_public()
        && (!cacheable.contains(&access.operation) || !reply.status.is_success());
    reply.into_response(no_store)
}

impl Frontend {
    async fn reply(&self, request: Request, access: &mut Access) -> Reply {
        let (head, body) = request.into_parts();
        let directory = self.directory.borrow().clone();
        if let Some(document) = directory.as_ref().and_then(|d| d.document(head.uri.path())) {
            access.operation = DOCUMENT;
            return match head.method {
                Method::GET | Method::HEAD if document.is_known(&head.headers) => {
                    Reply::not_modified(document)
                }
                Method::GET | Method::HEAD => Reply::document(document),
                _ => Reply::wrong_method("GET, HEAD"),
            };
        }
        if LogTiles::owns(head.uri.path()) {
            access.operation = LOG;
            return self.log(&head).await;
        }
        if !matches!(head.method, Method::GET | Method::POST) {
            return Reply::wrong_method("GET, POST");
        }
        let Some(directory) = directory else {
            return self.later("no description yet", self.retry_after);
        };
        let Some(endpoint) = directory.find(head.uri.path()) else {
            return Reply::no_endpoint();
        };
        access.endpoint.clone_from(&endpoint.name);
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let operation = match operation::of(&head.method, &query) {
            Ok(operation) => operation,
            Err(NoOperation::Method) => return Reply::wrong_method("GET, POST"),
            Err(NoOperation::NotByPost(operation)) => {
                access.operation = operation.name();
                return Reply::wrong_method("GET");
            }
            Err(NoOperation::Unknown) => return Reply::unknown_operation(),
            Err(NoOperation::Ambiguous) => return Reply::ambiguous(),
        };
        access.operation = operation.name();
        match operation {
            Operation::GetCaCaps => Reply::caps(endpoint.caps.clone()),
            Operation::GetCaCert => {
                Reply::ca_certificates(endpoint.ca_content_type.clone(), endpoint.ca_body.clone())
            }
            Operation::GetNextCaCert => {
                endpoint.next_ca.clone().map_or_else(Reply::no_next_ca, Reply::next_ca)
            }
            Operation::Pki => {
                let carried = match (head.method == Method::POST, endpoint.get_pki_operation) {
                    // The body is here already, and within the limit.
                    (true, _) => to_bytes(body, self.max_body()).await.map(Carried::Post).ok(),
                    (false, true) => query.message.map(|value| Carried::Get(value.to_owned())),
                    (false, false) => return Reply::wrong_method("POST"),
                };
                match carried {
                    Some(carried) => self.pki_operation(endpoint, carried, access).await,
                    None => Reply::bad_message("the request carries no message"),
                }
            }
        }
    }

    /// The checkpoint or a tile.
    async fn log(&self, head: &Parts) -> Reply {
        let asked = match head.method {
            Method::GET | Method::HEAD => self.log_tiles.ask(head.uri.path(), &self.signer).await,
            _ => Asked::Nothing,
        };
        log_tiles::reply(&asked, &head.method, &head.headers).unwrap_or_else(|| {
            let outcome = if let Asked::Later(outcome) = asked { outcome } else { "busy" };
            self.later(outcome, self.retry_after)
        })
    }

    /// Reads the message and, where a signed reply can be made, has the signer make it.
    async fn pki_operation(
        &self,
        endpoint: &Endpoint,
        carried: Carried,
        access: &mut Access,
    ) -> Reply {
        let Message { bytes, transaction } = match self.read(carried).await {
            Ok(message) => message,
            Err(reply) => return reply,
        };
        access.transaction = transaction;
        let request = ToSigner::PkiOperation {
            endpoint: endpoint.name.clone(),
            source: access.source,
            message: bytes,
        };
        match self.signer.call(request).await {
            Ok(FromSigner::CertRep(message)) => Reply::cert_rep(message),
            Ok(FromSigner::BadRequest(reason)) => Reply::bad_message(&reason),
            Ok(FromSigner::Busy { retry_after_seconds }) => {
                self.later("busy", NonZeroU32::new(retry_after_seconds).unwrap_or(self.retry_after))
            }
            Ok(FromSigner::Unavailable(reason)) => {
                log::warn!("the signer cannot work: {reason}");
                self.later("signer unavailable", self.retry_after)
            }
            Ok(FromSigner::UnknownEndpoint) => {
                self.description_wanted.notify_one();
                Reply::no_endpoint()
            }
            Ok(
                FromSigner::Description { .. }
                | FromSigner::Metrics(_)
                | FromSigner::Health { .. }
                | FromSigner::LogCheckpoint(_)
                | FromSigner::LogTile(_)
                | FromSigner::NotPublished
                | FromSigner::WitnessWork(_)
                | FromSigner::Noted,
            ) => {
                log::error!("the signer answers a PKIOperation with something else");
                self.later("signer failed", self.retry_after)
            }
            Err(CallError::Overloaded) => self.later("busy", self.retry_after),
            Err(CallError::NotConnected(_) | CallError::Stopping) => {
                self.later("signer away", self.retry_after)
            }
            Err(CallError::Lost(_)) => self.later("signer lost", self.retry_after),
            Err(CallError::TimedOut(_)) => self.later("signer timed out", self.retry_after),
            Err(e @ (CallError::Failed | CallError::Body(_))) => {
                log::error!("the signer failed in a request: {e}");
                self.later("signer failed", self.retry_after)
            }
        }
    }

    fn max_body(&self) -> usize {
        self.http.borrow().body
    }

    /// The first reading, off the threads that serve connections.
    async fn read(&self, carried: Carried) -> Result<Message, Reply> {
        // The semaphore is never closed.
        let reader = Arc::clone(&self.readers).acquire_owned().await.ok();
        let limit = self.max_body();
        let read = tokio::task::spawn_blocking(move || {
            let message = precheck::read(carried, limit);
            drop(reader);
            message
        });
        match read.await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(Unreadable::TooLong)) => Err(Reply::too_long()),
            Ok(Err(Unreadable::Rubbish(reason))) => Err(Reply::bad_message(&reason)),
            Err(e) => {
                log::error!("reading a message failed: {e}");
                Err(Reply::bad_message("the message cannot be read"))
            }
        }
    }

    /// 503, with times that take turns between `base` and twice as much.
    fn later(&self, outcome: &'static str, base: NonZeroU32) -> Reply {
        let turn = self.refusals.fetch_add(1, Ordering::Relaxed) % base;
        Reply::unavailable(outcome, base.get().saturating_add(turn))
    }
}
