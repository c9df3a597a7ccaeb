//! One request to another server, over HTTP without TLS: for what is signed and public.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is read, in octets.
const LONGEST: usize = 16 << 10;

/// Posts `body` to `url`, an `http://` one, and waits `patience` for the answer: its status and text. No
/// redirect is followed. The error says what failed.
pub async fn post(url: &str, body: String, patience: Duration) -> Result<(u16, String), String> {
    let answer = tokio::time::timeout(patience, exchange(url, body)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer from {url} within {} s", patience.as_secs())))
}

async fn exchange(url: &str, body: String) -> Result<(u16, String), String> {
    let uri: Uri = url.parse().map_err(|e| format!("{url} is no URL: {e}"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("{url} is no http:// URL"));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri.path())
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Full::new(Bytes::from(body)));
    let request = request.map_err(|e| format!("{url} cannot be asked: {e}"))?;
    let address = (host, authority.port_u16().unwrap_or(80));
    let (head, body) = send(address, authority.as_str(), request, LONGEST).await?;
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// Sends one request over a connection of its own to `address`, a host (IPv6 without brackets) and a port,
/// and reads the answer: its head, and its body of at most `longest` octets. `authority` is the Host header
/// and stands in the error, which says what failed.
pub async fn send(
    address: (&str, u16),
    authority: &str,
    mut request: Request<Full<Bytes>>,
    longest: usize,
) -> Result<(Parts, Bytes), String> {
    let broken = |e: &dyn std::fmt::Display| format!("{authority} breaks off: {e}");
    let host = HeaderValue::from_str(authority).map_err(|e| broken(&e))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|e| format!("{authority} cannot be reached: {e}"))?;
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|e| broken(&e))?;
    // Ends with the answer, or with the sender.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, longest).collect().await.map_err(|e| broken(&e))?;
    driver.abort();
    Ok((head, body.to_bytes()))
}
