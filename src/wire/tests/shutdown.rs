//! The end of service, and sockets that lie about.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn what_is_in_flight_is_answered_and_nothing_new_is_started() {
    let server = Server::start(quick()).await;
    let finished = Arc::clone(&server.finished);
    let mut client = server.client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call(operation("sleep 400", b"late")).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.call(operation("x", b"")).await.unwrap_err(), CallError::Stopping);
    assert_eq!(call.await.unwrap().unwrap(), Response::CertRep(b"late".to_vec()));
    stopping.await.unwrap().unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
    assert!(matches!(client.changed().await, LinkStatus::Down(_)));
}

#[tokio::test]
async fn handlers_of_a_peer_that_left_are_waited_for() {
    let server = Server::start(quick()).await;
    let finished = Arc::clone(&server.finished);
    let client = server.client().await;
    let call = client.call(operation("sleep 400", b""));
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop().await.unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_wait_has_an_end() {
    let limits = ServerLimits { drain: Duration::from_millis(200), ..quick() };
    let server = Server::start(limits).await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.call(operation("sleep 60000", b"")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = server.stop().await.unwrap_err();
    assert!(matches!(error, ServeError::Undrained { connections: 1, .. }), "{error}");
    assert!(matches!(call.await.unwrap().unwrap_err(), CallError::Lost(_)));
}

#[tokio::test]
async fn stale_sockets_are_replaced_and_live_ones_and_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = bind(&path, 0o660).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let error = bind(&path, 0o600).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(first);
    bind(&path, 0o600).await.unwrap();

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = bind(&file, 0o600).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
