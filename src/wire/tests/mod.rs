//! Real Unix sockets; the handlers are made up, the protocols are the real ones.

mod client;
mod codec;
mod hostile;
mod shutdown;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::frontend::{Request, Response};
use super::hello::{Hello, Verdict};
use super::*;

/// A running server; the socket's folder goes with it.
struct Server {
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
    /// Handlers that came to their end.
    finished: Arc<AtomicUsize>,
}

fn my_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn quick() -> ServerLimits {
    ServerLimits {
        handshake: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        stall: Duration::from_millis(300),
        drain: Duration::from_secs(5),
        ..ServerLimits::default()
    }
}

fn quick_client() -> ClientLimits {
    ClientLimits {
        keepalive: Duration::from_millis(100),
        first_retry: Duration::from_millis(10),
        longest_retry: Duration::from_millis(50),
        ..ClientLimits::default()
    }
}

/// What the endpoint's name asks the handler to do.
fn handle(peer: Peer, request: Request) -> BoxFuture<Response> {
    Box::pin(async move {
        assert_eq!(peer.uid, my_uid());
        let Request::PkiOperation { endpoint, message, .. } = request else {
            return Response::Description {
                generation: 0,
                endpoints: Vec::new(),
                documents: Vec::new(),
            };
        };
        match endpoint.split_once(' ') {
            Some(("sleep", ms)) => {
                tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
                Response::CertRep(message)
            }
            Some(("answer", length)) => Response::CertRep(vec![7; length.parse().unwrap()]),
            _ if endpoint == "panic" => panic!("as asked"),
            _ => Response::CertRep(message),
        }
    })
}

impl Server {
    async fn start(limits: ServerLimits) -> Self {
        Self::start_for(limits, vec![my_uid()]).await
    }

    async fn start_for(limits: ServerLimits, uids: Vec<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, limits, uids).await
    }

    async fn start_in(folder: tempfile::TempDir, limits: ServerLimits, uids: Vec<u32>) -> Self {
        let listener = bind(&folder.path().join("socket"), 0o600).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let finished = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&finished);
        let handler = Arc::new(move |peer, request: Request| -> BoxFuture<Response> {
            let count = Arc::clone(&count);
            Box::pin(async move {
                let response = handle(peer, request).await;
                count.fetch_add(1, Ordering::SeqCst);
                response
            })
        });
        let task = tokio::spawn(async move {
            serve(listener, |uid| uids.contains(&uid), limits, handler, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { folder, stop, task, finished }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    async fn client(&self) -> Client<Request> {
        Client::connect(self.path(), quick_client()).await.unwrap()
    }

    /// A raw connection that has been greeted as the frontend protocol.
    async fn raw(&self) -> UnixStream {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        let hello = greeting(0);
        stream.write_all(&hello.to_bytes()).await.unwrap();
        let mut answer = [0; hello::LENGTH];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(Hello::from_bytes(answer).unwrap().verdict, Verdict::Welcome);
        stream
    }

    async fn stop(self) -> Result<(), ServeError> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

fn operation(endpoint: &str, message: &[u8]) -> Request {
    Request::PkiOperation {
        endpoint: endpoint.to_owned(),
        source: IpAddr::from([192, 0, 2, 1]),
        message: message.to_vec(),
    }
}

/// Reads until the peer closes; whether it did within two seconds.
async fn closes(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest));
    read.await.is_ok()
}

/// The hello of one who speaks the frontend's protocol as it is now.
fn greeting(in_flight: u16) -> Hello {
    Hello {
        protocol: Request::TAG,
        verdict: Verdict::Welcome,
        version: Request::VERSION,
        in_flight,
    }
}
