//! What happens to a request before the router sees it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::time::timeout;
use tower::ServiceExt;

use super::limits::Limits;
use super::places::Held;

/// The address of the client; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Why a body was not taken.
enum BodyError {
    TooLong,
    TooSlow,
    Broken,
}

/// Takes the request in whole, hands it to the router and returns its answer.
pub(super) async fn answer(
    request: Request<Incoming>,
    router: Router,
    peer: Peer,
    held: Arc<Held>,
    limits: Limits,
) -> Result<Response<Body>, Infallible> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target {
        return Ok(refuse(StatusCode::URI_TOO_LONG, "the request target is too long\n"));
    }
    let (head, body) = request.into_parts();
    let body = match take_in(body, &limits).await {
        Ok(body) => body,
        Err(BodyError::TooLong) => {
            return Ok(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long\n"));
        }
        Err(BodyError::TooSlow) => {
            return Ok(refuse(StatusCode::REQUEST_TIMEOUT, "the request body came too slowly\n"));
        }
        Err(BodyError::Broken) => {
            return Ok(refuse(StatusCode::BAD_REQUEST, "the request body is broken\n"));
        }
    };
    let mut request = Request::from_parts(head, Body::from(body));
    request.extensions_mut().insert(peer);
    let busy = held.busy();
    let answered = router.oneshot(request).await;
    drop(busy);
    answered
}

async fn take_in(body: Incoming, limits: &Limits) -> Result<Bytes, BodyError> {
    // An announced length is believed only where it forbids: nothing is asked for, nothing is read.
    if body.size_hint().lower() > u64::try_from(limits.body).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLong);
    }
    let collected = timeout(limits.body_timeout, Limited::new(body, limits.body).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(BodyError::TooLong),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TooSlow),
    }
}

/// An answer that ends the connection: what is left of the request is not worth reading.
fn refuse(status: StatusCode, text: &'static str) -> Response<Body> {
    let close = (CONNECTION, HeaderValue::from_static("close"));
    (status, [(CONTENT_TYPE, HeaderValue::from_static("text/plain")), close], text).into_response()
}
