//! The role over real sockets; the signer is a made-up handler behind the real wire protocol.

mod answers;
mod any;
mod faults;

use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::cms::testing::device;
use crate::scep::testing::request_around;
use crate::wire::frontend::{EndpointDescription, Request, Response};
use crate::wire::{self, BoxFuture, Peer, ServerLimits};

/// The transaction of every [`message`].
pub(super) const TRANSACTION: &str = "TcdzCaaepcsM2gXCBqEypYdE4FI=";

/// A signed PKCSReq with `content` in place of an envelope.
pub(super) fn message(content: &[u8]) -> Vec<u8> {
    request_around(device(), content.to_vec()).build()
}

fn endpoint(name: &str) -> EndpointDescription {
    EndpointDescription {
        name: name.to_owned(),
        paths: vec![format!("/scep/{name}")],
        default: false,
        get_pki_operation: true,
        caps: b"AES\nPOSTPKIOperation\nSCEPStandard\n".to_vec(),
        ca_content_type: "application/x-x509-ca-ra-cert".to_owned(),
        ca_body: vec![0x30, 0x03, 1, 1, 0xff],
        next_ca: None,
    }
}

type Script = Arc<Mutex<Box<dyn FnMut(Request) -> Answer + Send>>>;

/// What the made-up signer does with a PKIOperation.
enum Answer {
    Now(Response),
    Never,
}

/// A made-up signer on a socket.
struct Signer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), wire::ServeError>>,
}

impl Signer {
    async fn start(
        path: &Path,
        endpoints: Vec<EndpointDescription>,
        answer: impl FnMut(Request) -> Answer + Send + 'static,
    ) -> Self {
        let listener = wire::bind(path, 0o600).await.unwrap();
        let answer: Script = Arc::new(Mutex::new(Box::new(answer)));
        let handler = Arc::new(move |_: Peer, request: Request| -> BoxFuture<Response> {
            let (endpoints, answer) = (endpoints.clone(), Arc::clone(&answer));
            Box::pin(async move {
                if request == Request::Describe {
                    return Response::Description {
                        generation: 0,
                        endpoints,
                        documents: Vec::new(),
                    };
                }
                // The role asks for it by itself; the scripts are about what clients ask for.
                if request == Request::WitnessWork {
                    return Response::WitnessWork(Vec::new());
                }
                let answer = (answer.lock().unwrap())(request);
                match answer {
                    Answer::Now(response) => response,
                    Answer::Never => pending().await,
                }
            })
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let uid = rustix::process::geteuid().as_raw();
        let limits = ServerLimits { drain: Duration::from_millis(100), ..ServerLimits::default() };
        let task = tokio::spawn(async move {
            wire::serve(listener, |peer| peer == uid, limits, handler, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { stop, task }
    }

    /// One that answers every message with itself in reverse.
    async fn mirror(path: &Path, endpoints: Vec<EndpointDescription>) -> Self {
        Self::start(path, endpoints, |request| {
            let Request::PkiOperation { mut message, .. } = request else { unreachable!() };
            message.reverse();
            Answer::Now(Response::CertRep(message))
        })
        .await
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await.unwrap();
    }
}

/// A running frontend.
struct Role {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

fn quick() -> FrontendLimits {
    let mut limits = FrontendLimits { refresh: Duration::from_millis(200), ..Default::default() };
    limits.signer.first_retry = Duration::from_millis(10);
    limits.signer.longest_retry = Duration::from_millis(50);
    limits.signer.call = Duration::from_millis(500);
    limits
}

impl Role {
    async fn start(socket: PathBuf) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let options = FrontendOptions {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            has_witnesses: false,
            signer_socket: socket,
            limits: quick(),
            ..Default::default()
        };
        let mut tell = Some(tell);
        let bound = move |progress: Progress<'_>| {
            if let Progress::Bound(addresses) = progress {
                tell.take().unwrap().send(addresses[0]).unwrap();
            }
        };
        tokio::spawn(run(options, bound, async {
            let _ = stopped.await;
        }));
        Self { address: told.await.unwrap(), _stop: stop }
    }

    /// Sends raw bytes on a connection of their own; the answer's head and body.
    async fn raw(&self, request: impl AsRef<[u8]>) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("closed").unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let body = answer.split_off(end + 4);
        (String::from_utf8(answer).unwrap(), body)
    }

    async fn get(&self, target: &str) -> (String, Vec<u8>) {
        self.raw(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }

    async fn post(&self, target: &str, body: &[u8]) -> (String, Vec<u8>) {
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        self.raw([head.as_bytes(), body].concat()).await
    }

    /// Waits until `target` is answered with `expected`.
    async fn until(&self, target: &str, expected: u16) {
        for _ in 0..500 {
            if status(&self.get(target).await.0) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{target} never answered {expected}");
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// The value of a header field that is there once; none where it is not there.
fn field(head: &str, name: &str) -> Option<String> {
    let mut values = head.split("\r\n").filter_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    });
    let value = values.next();
    assert!(values.next().is_none(), "{name} twice in {head}");
    value
}

/// A frontend with the mirroring signer and the endpoints `a` and `b`, of which `b` is the default.
async fn mirrored() -> (tempfile::TempDir, Signer, Role) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let default = EndpointDescription { default: true, ..endpoint("b") };
    let signer = Signer::mirror(&socket, vec![endpoint("a"), default]).await;
    let role = Role::start(socket).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;
    (folder, signer, role)
}
