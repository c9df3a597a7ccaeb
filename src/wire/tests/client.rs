//! Calls, bounds and reconnecting.

use std::time::Instant;

use tokio::net::UnixListener;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_pipelined_calls_each_get_their_own_answer() {
    let server = Server::start(quick()).await;
    let client = server.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..64_u32 {
        let client = client.clone();
        calls.spawn(async move {
            for n in 0..100_u32 {
                let message = [caller.to_be_bytes(), n.to_be_bytes()].concat();
                let endpoint = format!("sleep {}", (caller + n) % 3);
                let answer = client.call(operation(&endpoint, &message)).await.unwrap();
                assert_eq!(answer, Response::CertRep(message));
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(server.finished.load(Ordering::SeqCst), 6400);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_request_does_not_hold_up_a_quick_one() {
    let server = Server::start(quick()).await;
    let client = server.client().await;
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.call(operation("sleep 500", b"slow")).await }
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    client.call(operation("quick", b"quick")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(400));
    assert_eq!(slow.await.unwrap().unwrap(), Response::CertRep(b"slow".to_vec()));
}

#[tokio::test]
async fn the_servers_bound_is_the_clients_bound() {
    let server = Server::start(ServerLimits { in_flight: 2, ..quick() }).await;
    let client = server.client().await;
    let call = || client.call(operation("sleep 300", b""));
    let (a, b, c) = tokio::join!(call(), call(), call());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(c.unwrap_err(), CallError::Overloaded);
    // The slots come back.
    client.call(operation("x", b"")).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_call_still_counts_at_the_server() {
    let server = Server::start(ServerLimits { in_flight: 1, ..quick() }).await;
    let client = server.client().await;
    let abandoned =
        tokio::time::timeout(Duration::from_millis(50), client.call(operation("sleep 400", b"")));
    assert!(abandoned.await.is_err());
    assert_eq!(client.call(operation("x", b"")).await.unwrap_err(), CallError::Overloaded);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.finished.load(Ordering::SeqCst), 1, "the handler ran to its end");
    client.call(operation("x", b"")).await.unwrap();
}

#[tokio::test]
async fn calls_time_out() {
    let server = Server::start(quick()).await;
    let limits = ClientLimits { call: Duration::from_millis(50), ..quick_client() };
    let client: Client<Request> = Client::connect(server.path(), limits).await.unwrap();
    let error = client.call(operation("sleep 1000", b"")).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut(Duration::from_millis(50)));
}

#[tokio::test]
async fn too_long_a_request_is_not_sent() {
    let server = Server::start(quick()).await;
    let client = server.client().await;
    let error = client.call(operation("x", &vec![0; Request::MAX_MESSAGE])).await.unwrap_err();
    assert!(matches!(error, CallError::Body(_)), "{error}");
    client.call(operation("x", &vec![0; Request::MAX_MESSAGE - 100])).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_ends_the_calls_and_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = bind(&path, 0o600).await.unwrap();
    let greet = |listener: UnixListener| async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; hello::LENGTH];
        stream.read_exact(&mut hello).await.unwrap();
        let hello = Hello { in_flight: 8, ..Hello::from_bytes(hello).unwrap() };
        stream.write_all(&hello.to_bytes()).await.unwrap();
        (stream, listener)
    };
    let first = tokio::spawn(greet(listener));
    let mut client: Client<Request> = Client::connect(&path, quick_client()).await.unwrap();
    let (mut stream, listener) = first.await.unwrap();

    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call(operation("x", b"")).await }
    });
    let mut request = [0; 16];
    stream.read_exact(&mut request).await.unwrap();
    drop((stream, listener));
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error}");

    // Nobody listens: refused at once, with the reason.
    while !matches!(client.status(), LinkStatus::Down(ConnectError::Unreachable { .. })) {
        client.changed().await;
    }
    let error = client.call(operation("x", b"")).await.unwrap_err();
    assert!(matches!(error, CallError::NotConnected(_)), "{error}");

    // A new server takes over the stale socket.
    let server = Server::start_in(folder, quick(), vec![my_uid()]).await;
    while client.status() != (LinkStatus::Up { generation: 2 }) {
        client.changed().await;
    }
    client.call(operation("x", b"")).await.unwrap();
    drop(server);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = bind(&path, 0o600).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; hello::LENGTH];
        stream.read_exact(&mut hello).await.unwrap();
        let hello = Hello { in_flight: 8, ..Hello::from_bytes(hello).unwrap() };
        stream.write_all(&hello.to_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let client: Client<Request> = Client::connect(&path, quick_client()).await.unwrap();
    let begun = Instant::now();
    let error = client.call(operation("x", b"")).await.unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn pings_keep_an_idle_connection() {
    let server = Server::start(quick()).await;
    let client = server.client().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(client.status(), LinkStatus::Up { generation: 1 });
    client.call(operation("x", b"")).await.unwrap();
}

#[tokio::test]
async fn t65_a_panic_costs_its_own_request_alone() {
    let server = Server::start(ServerLimits { in_flight: 1, ..quick() }).await;
    let client = server.client().await;
    for _ in 0..3 {
        assert_eq!(client.call(operation("panic", b"")).await.unwrap_err(), CallError::Failed);
        client.call(operation("x", b"")).await.unwrap();
    }
    assert_eq!(client.status(), LinkStatus::Up { generation: 1 });
}

#[tokio::test]
async fn an_answer_over_the_limit_is_a_failure() {
    let server = Server::start(quick()).await;
    let client = server.client().await;
    let request = operation(&format!("answer {}", Request::MAX_ANSWER), b"");
    assert_eq!(client.call(request).await.unwrap_err(), CallError::Failed);
    client.call(operation("x", b"")).await.unwrap();
}
