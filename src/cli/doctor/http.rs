//! An endpoint over HTTP, as a device reaches it: one request a connection, HTTP/1.1, no redirects.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, Uri, header};

use crate::clock::Timestamp;
use crate::http;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer that is read.
const LONGEST: usize = 1 << 20;

/// Where an endpoint is.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) has_length: bool,
    /// The server's clock, in whole seconds.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    /// From the URL that a device has.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("it is no URL: {e}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("Chancery serves HTTP, and the doctor speaks nothing else; SCEP protects itself".into());
            }
            _ => return Err("it does not begin with http://".into()),
        }
        let host = uri.host().filter(|h| !h.is_empty()).ok_or("it names no host")?;
        if uri.query().is_some() {
            return Err("it has a query; devices add `?operation=…` themselves".into());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path().into(),
        })
    }

    /// An endpoint of this host.
    pub(super) fn at(address: std::net::SocketAddr, path: &str) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), path: path.into() }
    }

    /// Asks by GET; `query` follows the `?`.
    pub(super) async fn get(&self, query: &str) -> Result<Answer, String> {
        self.send(Method::GET, &self.path, query, Bytes::new()).await
    }

    /// The same at a path with more at its end.
    pub(super) async fn get_below(&self, suffix: &str, query: &str) -> Result<Answer, String> {
        let path = format!("{}{suffix}", self.path.trim_end_matches('/'));
        self.send(Method::GET, &path, query, Bytes::new()).await
    }

    /// Sends `body` by POST.
    pub(super) async fn post(&self, query: &str, body: &'static [u8]) -> Result<Answer, String> {
        self.send(Method::POST, &self.path, query, Bytes::from_static(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(method, path, query, body));
        answer.await.unwrap_or_else(|_| {
            Err(format!("no answer from {} within {} s", self.authority(), PATIENCE.as_secs()))
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        let authority = self.authority();
        let request =
            Request::builder().method(method).uri(format!("{path}?{query}")).body(Full::new(body));
        let request = request.map_err(|e| format!("{authority} cannot be asked: {e}"))?;
        let address = (self.host.as_str(), self.port);
        let (head, body) = http::send(address, &authority, request, LONGEST).await?;
        let field = |name| head.headers.get(name).and_then(|v| v.to_str().ok());
        let date = field(header::DATE).and_then(|d| httpdate::parse_http_date(d).ok());
        let date = date.and_then(|d| d.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: field(header::CONTENT_TYPE).map(str::to_owned),
            has_length: head.headers.contains_key(header::CONTENT_LENGTH),
            date: date.map(|d| Timestamp::from_unix_seconds(d.as_secs())),
            body: body.to_vec(),
        })
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_devices_have_them() {
        for url in
            ["http://ca.example/scep/device", "http://[::1]:8080/scep", "http://192.0.2.1:80/x"]
        {
            let shown = Endpoint::parse(url).unwrap().to_string();
            assert_eq!(Endpoint::parse(&shown).unwrap().to_string(), shown);
        }
        for (url, cause) in [
            ("https://ca.example/scep", "HTTP"),
            ("ftp://ca.example/scep", "http://"),
            ("ca.example/scep", "no URL"),
            ("http://ca.example/scep?operation=GetCACaps", "query"),
            ("not a url", "no URL"),
        ] {
            assert!(Endpoint::parse(url).unwrap_err().contains(cause), "{url}");
        }
    }
}
