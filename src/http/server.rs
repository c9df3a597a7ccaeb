//! The accept loop and the life of a connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::io::ClientIo;
use super::limits::Limits;
use super::places::{Held, Places};
use super::service::{Peer, answer};

/// Header fields of a request.
const MAX_HEADERS: usize = 64;
/// How long the end of service leaves clients to finish a request that they have begun.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// What a client gets where no place can be made for it.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\n\
      Content-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n";

/// Serves `router` on `listeners`, which share the limits, until `shutdown` ends. Limits that change
/// meanwhile hold for connections that come afterwards.
///
/// At the end nothing new is accepted; requests that are complete are answered, for
/// [`Limits::drain`] at the most. The result says how many connections were cut.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: watch::Receiver<Limits>,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let places = Places::new();
    let (stop, stopped) = watch::channel(false);
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let server = Server {
            router: router.clone(),
            limits: limits.clone(),
            places: Arc::clone(&places),
            stopped: stopped.clone(),
        };
        acceptors.spawn(server.accept(listener));
    }
    shutdown.await;
    stop.send_replace(true);
    acceptors.join_all().await.into_iter().sum()
}

#[derive(Clone)]
struct Server {
    router: Router,
    limits: watch::Receiver<Limits>,
    places: Arc<Places>,
    stopped: watch::Receiver<bool>,
}

impl Server {
    /// Accepts until the service ends, and waits for its connections; how many had to be cut.
    async fn accept(mut self, listener: TcpListener) -> usize {
        let mut connections = JoinSet::new();
        let mut limits = self.limits.borrow_and_update().within_open_files();
        while !*self.stopped.borrow() {
            tokio::select! {
                biased;
                changed = self.stopped.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => {
                    // An error says that the sender is gone: nothing changes any more.
                    if self.limits.has_changed().unwrap_or_default() {
                        limits = self.limits.borrow_and_update().within_open_files();
                    }
                    match accepted {
                        Ok((socket, address)) => match self.places.take(address.ip(), &limits) {
                            Some(held) => {
                                let server = self.clone();
                                connections.spawn(server.converse(socket, address, held, limits));
                            }
                            None => turn_away(&socket),
                        },
                        Err(e) => pause_after(&e).await,
                    }
                }
            }
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        let drain = self.limits.borrow().drain;
        match timeout(drain, all).await {
            Ok(()) => 0,
            Err(_) => connections.len(),
        }
    }

    /// Serves one connection to its end.
    async fn converse(self, socket: TcpStream, address: SocketAddr, held: Held, limits: Limits) {
        // Answers leave at once; failure costs milliseconds.
        let _ = socket.set_nodelay(true);
        let io = ClientIo::new(socket, limits.write_timeout, limits.target);
        let held = Arc::new(held);
        let service = service_fn(|request| {
            answer(request, self.router.clone(), Peer(address), Arc::clone(&held), limits)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head.max(8192))
            .max_headers(MAX_HEADERS)
            // Clients that shut their sending side after the request still get their answer.
            .half_close(true)
            // Old clients look for header names as the RFCs print them.
            .title_case_headers(true)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let mut stopped = self.stopped.clone();
        tokio::select! {
            // Errors here are the client's: timeouts, resets, rubbish. hyper has answered if it could.
            _ = connection.as_mut() => return,
            () = held.cut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = sleep(LAST_REQUESTS) => {}
        }
        if !held.is_waiting() {
            let _ = connection.await;
        }
    }
}

fn turn_away(socket: &TcpStream) {
    // The buffer of a new socket is empty: the bytes fit, or the client is gone.
    let _ = socket.try_write(FULL);
}

/// Most errors concern one connection; running out of descriptors passes when others close.
async fn pause_after(error: &io::Error) {
    let own = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if !own.contains(&error.kind()) {
        log::warn!("cannot accept a connection: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}
