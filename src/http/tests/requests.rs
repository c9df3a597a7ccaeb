//! Single requests: versions, lengths, framing.

use super::*;

#[tokio::test]
async fn http_1_0_without_host_is_answered_and_closed() {
    let server = Server::start(quick());
    let answer = server.exchange("GET /a HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: 18\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET /a 0 127.0.0.1"), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(!lower.contains("server:") && !lower.contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn a_client_that_shuts_its_sending_side_gets_its_answer() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert!(rest(&mut stream).await.ends_with("POST /slow 3 127.0.0.1"));
}

#[tokio::test]
async fn host_and_absolute_targets_change_nothing() {
    let server = Server::start(quick());
    for request in [
        "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: <script>\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/a HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    ] {
        let answer = server.exchange(request).await;
        assert!(answer.ends_with("\r\n\r\nGET /a 0 127.0.0.1"), "{request:?} {answer}");
        assert!(!answer.contains("evil") && !answer.contains("script"));
    }
}

/// `docs/scep.md` row 10.
#[tokio::test]
async fn long_targets_are_taken_and_too_long_ones_are_414() {
    let server = Server::start(quick());
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    let get =
        |length| format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target(length));
    for length in [16 * 1024, 17 * 1024, 32 * 1024] {
        assert_eq!(status(&server.exchange(get(length)).await), 200, "{length}");
    }
    // Just over the limit, over hyper's buffer, over the URI type's own limit, and absurd.
    for length in [32 * 1024 + 1, 39 * 1024, 41 * 1024, 70_000, 1 << 20, 3 << 20] {
        let answer = server.exchange(get(length)).await;
        assert_eq!(status(&answer), 414, "{length}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    }
    // Also as a later request of a connection.
    let mut stream = server.connect().await;
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&one(&mut stream).await), 200);
    stream.write_all(get(60_000).as_bytes()).await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 414);
}

#[tokio::test]
async fn large_and_many_header_fields_are_431() {
    let server = Server::start(quick());
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    assert_eq!(status(&server.exchange(long).await), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert_eq!(status(&server.exchange(many).await), 431);
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_however_they_are_framed() {
    let server = Server::start(quick());
    let post = |length: usize| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), vec![b'a'; length]].concat()
    };
    let limit = quick().body;
    assert!(server.exchange(post(limit)).await.ends_with("POST / 65536 127.0.0.1"));
    for length in [limit + 1, 1 << 20] {
        let answer = server.exchange(post(length)).await;
        assert_eq!(status(&answer), 413, "{answer}");
    }
    // Announced and never sent: refused without reading on.
    let announced = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n";
    assert_eq!(status(&server.exchange(announced).await), 413);
    // A client that asks first is not told to go on.
    let asks =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n";
    let answer = server.exchange(asks).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(!answer.contains(" 100 "), "{answer}");
}

/// Many clients read the answer only after the whole body is sent: a reset would take it from them.
#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_413() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&[b'a'; 10_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(status(&rest(&mut stream).await), 413);
}

#[tokio::test]
async fn expect_continue_within_the_limit_works() {
    let server = Server::start(quick());
    let mut stream = server.connect().await;
    let head = "POST /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("POST /e 3 127.0.0.1"));
}

#[tokio::test]
async fn chunked_bodies_are_taken_within_the_limits() {
    let server = Server::start(quick());
    let head =
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = server.exchange(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).await;
    assert!(answer.ends_with("POST / 5 127.0.0.1"), "{answer}");

    // Without end: at once where it grows over the limit, after a while where it just hangs.
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(4096));
    for _ in 0..64 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    assert_eq!(status(&rest(&mut stream).await), 413);
    assert_eq!(status(&server.exchange(format!("{head}3\r\nabc\r\n")).await), 408);

    for rubbish in ["zz\r\n", "fffffffffffffffff\r\n", "3\r\nabcd\r\n"] {
        let answer = server.exchange(format!("{head}{rubbish}")).await;
        assert_eq!(status(&answer), 400, "{rubbish:?} {answer}");
    }
}

/// T66: one reading of every request, or none.
#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let server = Server::start(quick());
    for framing in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length : 3\r\n",
        " folded: x\r\n",
        "X: a\0b\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\nabc");
        let answer = server.exchange(request).await;
        assert_eq!(status(&answer), 400, "{framing:?} {answer}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&server.exchange(old).await), 400);
}

#[tokio::test]
async fn rubbish_is_refused_and_the_service_goes_on() {
    let server = Server::start(quick());
    for rubbish in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.7\r\n\r\n",
        b"GET /\r\n\r\n",
        b"G\0T / HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
        b"{\"json\":true}\r\n\r\n",
    ] {
        let answer = server.exchange(rubbish).await;
        assert!(answer.is_empty() || status(&answer) == 400, "{rubbish:?} {answer}");
    }
    assert_eq!(status(&server.exchange("GET / HTTP/1.0\r\n\r\n").await), 200);
}

/// An upgrade would lead around every limit.
#[tokio::test]
async fn nothing_is_upgraded() {
    let server = Server::start(quick());
    let upgrade = "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
    let answer = server.exchange(upgrade).await;
    assert_eq!(status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(quick());
    let answer = server
        .exchange(
            "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\n\
             Content-Length: 2\r\n\r\nhiGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
    let order: Vec<_> =
        ["GET /slow 0", "POST /b 2", "GET /c 0"].iter().map(|a| answer.find(a)).collect();
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{answer}");
}
