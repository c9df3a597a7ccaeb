//! Connections: how long, how many, and the end of service.

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    let begun = Instant::now();
    let mut sent = 0;
    for byte in
        b"GET / HTTP/1.1\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".chunks(1)
    {
        if stream.write_all(byte).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{sent} bytes in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_silent_connection_is_closed_also_between_requests() {
    let server = Server::start(quick());
    let begun = Instant::now();
    assert_eq!(rest(&mut server.connect().await).await, "");
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    one(&mut stream).await;
    assert_eq!(rest(&mut stream).await, "");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let begun = Instant::now();
    let _ = read.read_to_end(&mut answer).await;
    assert_eq!(status(&String::from_utf8(answer).unwrap()), 408);
    assert!(begun.elapsed() < Duration::from_secs(4));
    drip.abort();
}

/// A client that asks for much and takes nothing holds its place for the write timeout only.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut taken = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut taken))
        .await
        .expect("closed");
    assert!(taken.len() < 16 << 20, "{} bytes", taken.len());
    // One that takes its time gets everything.
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.0\r\n\r\n").await.unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 20];
    while let read @ 1.. = stream.read(&mut buffer).await.unwrap() {
        taken += read;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(taken > 16 << 20, "{taken} bytes");
}

#[tokio::test]
async fn t65_a_panic_leaves_no_place_taken() {
    let server = Server::start(Limits { connections: 2, connections_per_source: 2, ..quick() });
    for _ in 0..10 {
        let answer = server.exchange("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(answer, "");
    }
    assert_eq!(status(&server.exchange("GET / HTTP/1.0\r\n\r\n").await), 200);
}

/// T61: idle and slow connections from the same address do not keep a client out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room() {
    let limits = Limits {
        connections: 50,
        connections_per_source: 20,
        head_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let server = Server::start(limits);
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut stream = server.connect().await;
        let begun: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET / HT",
            _ => b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        };
        stream.write_all(begun).await.unwrap();
        idle.push(stream);
        if n % 10 == 0 {
            let begun = Instant::now();
            let mut probe = server.connect().await;
            probe.write_all(GET).await.unwrap();
            assert_eq!(status(&one(&mut probe).await), 200);
            assert!(begun.elapsed() < Duration::from_secs(1));
        }
    }
    // The oldest were cut, and only as many as needed.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut open = 0;
    for stream in &idle {
        let mut byte = [0];
        open += usize::from(
            stream.try_read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!((15..=20).contains(&open), "{open} of 200 idle connections are open");
}

#[tokio::test]
async fn connections_at_work_are_never_cut_for_others() {
    let server = Server::start(Limits { connections_per_source: 2, ..quick() });
    let mut first = server.connect().await;
    first.write_all(SLOW).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(SLOW).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = rest(&mut server.connect().await).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("Retry-After: ") && answer.ends_with("\r\n\r\ntoo many connections\n"));
    assert_eq!(status(&one(&mut first).await), 200);
    assert_eq!(status(&one(&mut second).await), 200);
    assert_eq!(status(&server.exchange("GET / HTTP/1.0\r\n\r\n").await), 200);
}

#[tokio::test]
async fn the_end_answers_what_is_complete_and_closes_the_rest() {
    let server = Server::start(Limits { head_timeout: Duration::from_secs(60), ..quick() });
    let mut idle = server.connect().await;
    let mut kept = server.connect().await;
    kept.write_all(GET).await.unwrap();
    one(&mut kept).await;
    let mut slow = server.connect().await;
    slow.write_all(SLOW).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    let address = server.address;
    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    assert!(rest(&mut slow).await.ends_with("GET /slow 0 127.0.0.1"));
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut kept).await, "");
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_wait_at_the_end_has_an_end() {
    let server = Server::start(Limits { drain: Duration::from_millis(100), ..quick() });
    let mut slow = server.connect().await;
    slow.write_all(SLOW).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.stop().await, 1);
}

#[tokio::test]
async fn sockets_can_be_handed_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listeners = adopt(vec![socket]).unwrap();
    tokio::spawn(serve(
        listeners,
        Router::new().fallback(describe),
        tokio::sync::watch::channel(quick()).1,
        std::future::pending(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert_eq!(status(&one(&mut stream).await), 200);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(&[address]).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
