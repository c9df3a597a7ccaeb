//! What is published as it is: CRLs (RFC 5280 section 4.2.1.13, RFC 2585) and CA certificates.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;

use crate::wire::frontend::Document as Described;

/// A document as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) media_type: HeaderValue,
    pub(super) cache_control: HeaderValue,
    /// A strong validator: a digest of the body.
    pub(super) etag: HeaderValue,
    pub(super) body: Bytes,
}

impl Document {
    /// From the signer's description; none where a part of it is no header value.
    pub(super) fn new(described: Described) -> Option<Self> {
        let digest = openssl::sha::sha256(&described.body);
        Some(Self {
            media_type: HeaderValue::from_str(&described.media_type).ok()?,
            cache_control: HeaderValue::from_str(&format!("public, max-age={}", described.max_age))
                .ok()?,
            etag: HeaderValue::from_str(&format!("\"{}\"", hex::encode(&digest[..16]))).ok()?,
            body: described.body.into(),
        })
    }

    /// The same, for what never changes under its path (RFC 8246).
    pub(super) fn immutable(self) -> Self {
        let value = [self.cache_control.as_bytes(), b", immutable"].concat();
        let cache_control = HeaderValue::from_bytes(&value).unwrap_or(self.cache_control);
        Self { cache_control, ..self }
    }

    /// Whether the client says that it has this one (RFC 9110 section 13.1.2).
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        let own = self.etag.as_bytes();
        let is_own = |tag: &str| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == own
        };
        let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(media_type: &str, body: &[u8]) -> Option<Document> {
        Document::new(Described {
            path: "/crl/a.crl".into(),
            media_type: media_type.into(),
            max_age: 300,
            body: body.to_vec(),
        })
    }

    #[test]
    fn the_tag_is_the_bodys() {
        let one = document("application/pkix-crl", b"one").unwrap();
        assert_eq!(one.cache_control, "public, max-age=300");
        assert_eq!(one.etag, document("text/plain", b"one").unwrap().etag);
        assert_ne!(one.etag, document("application/pkix-crl", b"two").unwrap().etag);
        assert_eq!(document("text/plain\r\nX: y", b"one"), None);
    }

    #[test]
    fn a_client_that_has_it_says_so_in_several_ways() {
        let one = document("application/pkix-crl", b"one").unwrap();
        let own = one.etag.to_str().unwrap();
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().unwrap());
            one.is_known(&headers)
        };
        assert!(known(own) && known("*") && known(&format!("W/{own}")));
        assert!(known(&format!("\"other\", {own}")));
        assert!(!known("\"other\"") && !known(own.trim_matches('"')));
        assert!(!one.is_known(&HeaderMap::new()));
    }
}
