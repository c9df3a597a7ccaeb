//! Raw bytes over real sockets, as clients of every age and intent send them.

mod connections;
mod requests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Extension, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::*;

/// A running server that answers with what it understood.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

fn quick() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(500),
        body_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_millis(500),
        drain: Duration::from_secs(5),
        ..Limits::default()
    }
}

async fn describe(Extension(Peer(peer)): Extension<Peer>, request: Request) -> String {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    if head.uri.path() == "/slow" {
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    assert_ne!(head.uri.path(), "/panic", "as asked");
    if head.uri.path() == "/large" {
        return "a".repeat(16 << 20);
    }
    format!("{} {} {} {}", head.method, head.uri.path(), body.len(), peer.ip())
}

impl Server {
    fn start(limits: Limits) -> Self {
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().fallback(describe);
        let task = tokio::spawn(serve(listeners, router, watch::channel(limits).1, async {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` and reads until the server closes.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    async fn stop(self) -> usize {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

/// Everything until the server closes, which it must do within ten seconds.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("closed").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// One answer of a connection that stays open; without `close`, so that the length must be announced.
async fn one(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer));
        let read = read.await.expect("an answer").unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Some(length) =
                head.split("\r\n").find_map(|l| l.strip_prefix("Content-Length: "))
            && body.len() >= length.parse().unwrap()
        {
            return text;
        }
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}
