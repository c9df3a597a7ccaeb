//! Peers that should not be there, or do not keep to the protocol.

use proptest::prelude::*;

use super::super::frame::{self, Kind};
use super::*;

async fn still_serves(server: &Server) {
    server.client().await.call(operation("x", b"alive")).await.unwrap();
}

#[tokio::test]
async fn other_users_are_refused_by_the_kernels_word() {
    let server = Server::start_for(quick(), vec![my_uid().wrapping_add(1)]).await;
    let error = Client::<Request>::connect(server.path(), quick_client()).await.unwrap_err();
    assert_eq!(error, ConnectError::WrongUser { path: server.path() });
    assert_eq!(server.finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn another_protocol_or_version_is_told_apart() {
    let server = Server::start(quick()).await;
    let error = Client::<admin::Request>::connect(server.path(), quick_client()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("same release") && text.contains("admin"), "{text}");

    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    let hello = Hello { protocol: 1, verdict: Verdict::Welcome, version: 999, in_flight: 0 };
    stream.write_all(&hello.to_bytes()).await.unwrap();
    let mut answer = [0; hello::LENGTH];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = Hello::from_bytes(answer).unwrap();
    assert_eq!((answer.verdict, answer.version), (Verdict::WrongVersion, Request::VERSION));
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let server = Server::start(ServerLimits { connections: 1, ..quick() }).await;
    let first = server.client().await;
    let error = Client::<Request>::connect(server.path(), quick_client()).await.unwrap_err();
    assert_eq!(error, ConnectError::Full { path: server.path() });
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    still_serves(&server).await;
}

#[tokio::test]
async fn silent_and_half_silent_peers_are_closed() {
    let server = Server::start(quick()).await;
    // No handshake, half a handshake, nothing after it, half a frame.
    let mut mute = UnixStream::connect(server.path()).await.unwrap();
    let mut half = UnixStream::connect(server.path()).await.unwrap();
    half.write_all(b"CHNY\x01").await.unwrap();
    let mut idle = server.raw().await;
    let mut stalled = server.raw().await;
    stalled.write_all(&[0, 0, 0, 50, 1, 2, 3]).await.unwrap();
    for stream in [&mut mute, &mut half, &mut idle, &mut stalled] {
        assert!(closes(stream).await);
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn a_peer_that_drips_a_frame_is_closed() {
    let server = Server::start(quick()).await;
    let mut stream = server.raw().await;
    let bytes = frame::encode(1, Kind::Request, &[0; 100]);
    let begun = std::time::Instant::now();
    for byte in bytes.chunks(1) {
        if stream.write_all(byte).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(1500), "each byte must not earn new patience");
}

#[tokio::test]
async fn malformed_frames_close_the_connection() {
    let server = Server::start(quick()).await;
    let frames: [&[u8]; 6] = [
        &u32::MAX.to_be_bytes(),
        &(9 + Request::MAX_MESSAGE as u32 + 1).to_be_bytes(),
        &8_u32.to_be_bytes(),
        &frame::encode(1, Kind::Answer, b""),
        &frame::encode(1, Kind::Request, b"\xff\xff\xff"),
        // Describe with a byte too many.
        &frame::encode(1, Kind::Request, b"\x00\x00"),
    ];
    for bytes in frames {
        let mut stream = server.raw().await;
        stream.write_all(bytes).await.unwrap();
        assert!(closes(&mut stream).await, "{bytes:?}");
    }
    let mut kind = frame::encode(1, Kind::Request, b"\x00");
    kind[12] = 99;
    let mut stream = server.raw().await;
    stream.write_all(&kind).await.unwrap();
    assert!(closes(&mut stream).await);
    still_serves(&server).await;
    assert_eq!(server.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_not_read_from_and_then_closed() {
    let limits = ServerLimits { in_flight: 4, stall: Duration::from_millis(800), ..quick() };
    let server = Server::start(limits).await;
    let mut stream = server.raw().await;
    let request = postcard::to_stdvec(&operation("answer 60000", b"")).unwrap();
    // Every answer is large and none is read: the server must stop taking requests.
    let mut sent = 0_usize;
    let flood = async {
        loop {
            let bytes = frame::encode(sent as u64, Kind::Request, &request);
            if stream.write_all(&bytes).await.is_err() {
                break;
            }
            sent += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), flood).await.expect("closed for not reading");
    let handled = server.finished.load(Ordering::SeqCst);
    assert!(handled < 60, "{handled} handlers ran for a peer that reads nothing");
    still_serves(&server).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes after the handshake: the server survives, and starts no handler for rubbish.
    #[test]
    fn any_bytes_leave_the_server_standing(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        framed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start(quick()).await;
            let mut stream = server.raw().await;
            let sent = if framed { frame::encode(1, Kind::Request, &bytes) } else { bytes };
            let _ = stream.write_all(&sent).await;
            stream.shutdown().await.unwrap();
            assert!(closes(&mut stream).await);
            still_serves(&server).await;
        });
    }

    /// Whatever the server says, the client ends the call with an error and lives.
    #[test]
    fn any_bytes_from_a_server_end_the_call(bytes in prop::collection::vec(any::<u8>(), 1..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let listener = bind(&path, 0o600).await.unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let hello = greeting(8);
                stream.write_all(&hello.to_bytes()).await.unwrap();
                // The client's hello and its request.
                stream.read_exact(&mut [0; hello::LENGTH]).await.unwrap();
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(&bytes).await;
            });
            let limits = ClientLimits { call: Duration::from_secs(2), ..quick_client() };
            let client = Client::<Request>::connect(&path, limits).await.unwrap();
            assert!(client.call(operation("x", b"")).await.is_err());
        });
    }
}
