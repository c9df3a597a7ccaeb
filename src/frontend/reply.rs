//! What is answered: the only place that makes HTTP out of an outcome.

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;

use super::document::Document;

/// The media type of GetCACaps and of every text (RFC 8894 section 3.5.2); bare, because clients
/// compare it as a string (`docs/scep.md` row 14).
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// The media type of a CertRep (section 4.3.1).
const PKI_MESSAGE: HeaderValue = HeaderValue::from_static("application/x-pki-message");
const NEXT_CA: HeaderValue = HeaderValue::from_static("application/x-x509-next-ca-cert");
/// What an unknown operation is told.
const SUPPORTED: &str = "unknown operation; this server supports GetCACaps, GetCACert and \
                         GetNextCACert by GET, and PKIOperation by POST and GET (RFC 8894)\n";

/// An answer, before it is HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// A word for the access log.
    pub(super) outcome: &'static str,
    pub(super) status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
    allow: Option<&'static str>,
    retry_after: Option<u32>,
    /// Cache-Control and ETag of a document.
    public: Option<(HeaderValue, HeaderValue)>,
}

impl Reply {
    fn new(
        outcome: &'static str,
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
    ) -> Self {
        Self { outcome, status, content_type, body, allow: None, retry_after: None, public: None }
    }

    fn text(outcome: &'static str, status: StatusCode, text: &'static str) -> Self {
        Self::new(outcome, status, TEXT, Bytes::from_static(text.as_bytes()))
    }

    /// The capabilities of the endpoint.
    pub(super) fn caps(caps: Bytes) -> Self {
        Self::new("ok", StatusCode::OK, TEXT, caps)
    }

    /// The certificates of the endpoint.
    pub(super) fn ca_certificates(content_type: HeaderValue, body: Bytes) -> Self {
        Self::new("ok", StatusCode::OK, content_type, body)
    }

    /// A published document.
    pub(super) fn document(document: &Document) -> Self {
        let (media_type, body) = (document.media_type.clone(), document.body.clone());
        let reply = Self::new("ok", StatusCode::OK, media_type, body);
        Self { public: Some((document.cache_control.clone(), document.etag.clone())), ..reply }
    }

    /// The client has the document already.
    pub(super) fn not_modified(document: &Document) -> Self {
        let known = Self::document(document);
        Self {
            outcome: "not modified",
            status: StatusCode::NOT_MODIFIED,
            body: Bytes::new(),
            ..known
        }
    }

    /// Whether caches may keep it.
    pub(super) const fn is_public(&self) -> bool {
        self.public.is_some()
    }

    /// A CertRep of any status.
    pub(super) fn cert_rep(message: Vec<u8>) -> Self {
        Self::new("answered", StatusCode::OK, PKI_MESSAGE, message.into())
    }

    /// The message is not readable to the degree that a signed reply could be made.
    pub(super) fn bad_message(reason: &str) -> Self {
        let body = format!("{reason}\n");
        Self::new("bad message", StatusCode::BAD_REQUEST, TEXT, body.into())
    }

    /// The message is longer than is taken.
    pub(super) fn too_long() -> Self {
        Self::text("too long", StatusCode::PAYLOAD_TOO_LARGE, "the message is too long\n")
    }

    pub(super) fn unknown_operation() -> Self {
        Self::text("unknown operation", StatusCode::BAD_REQUEST, SUPPORTED)
    }

    pub(super) fn ambiguous() -> Self {
        let text = "operation and message may be given once each\n";
        Self::text("ambiguous", StatusCode::BAD_REQUEST, text)
    }

    /// Neither GET nor POST, or the other one of them.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        let text = "this method is not supported here\n";
        let reply = Self::text("wrong method", StatusCode::METHOD_NOT_ALLOWED, text);
        Self { allow: Some(allow), ..reply }
    }

    pub(super) fn no_endpoint() -> Self {
        Self::text("no endpoint", StatusCode::NOT_FOUND, "there is no SCEP endpoint at this path\n")
    }

    /// Nothing of the log is there, or it is not published.
    pub(super) fn not_published() -> Self {
        let text = "the log has no such tile, or does not publish it\n";
        Self::text("not published", StatusCode::NOT_FOUND, text)
    }

    /// What the current CA signed of the next one (RFC 8894 section 4.7.1).
    pub(super) fn next_ca(message: Bytes) -> Self {
        Self::new("ok", StatusCode::OK, NEXT_CA, message)
    }

    pub(super) fn no_next_ca() -> Self {
        Self::text("no next CA", StatusCode::NOT_FOUND, "there is no next CA certificate\n")
    }

    /// Not now; `retry_after` is in seconds.
    pub(super) fn unavailable(outcome: &'static str, retry_after: u32) -> Self {
        let text = "the service is temporarily unavailable; try again later\n";
        let reply = Self::text(outcome, StatusCode::SERVICE_UNAVAILABLE, text);
        Self { retry_after: Some(retry_after.max(1)), ..reply }
    }

    /// As HTTP; `no_store` keeps caches from answering in our place.
    pub(super) fn into_response(self, no_store: bool) -> Response<Body> {
        // A body of known length: hyper sends Content-Length, never chunks.
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type);
        if let Some((cache_control, etag)) = self.public {
            headers.insert(CACHE_CONTROL, cache_control);
            headers.insert(ETAG, etag);
        }
        if no_store {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
