//! Slow and idle clients take nothing from the others (row 9, threats T60 and T61).

use std::time::{Duration, Instant};

use softhsm_test::client::http::{Connection, Request};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted};

#[test]
fn t61_half_sent_headers_and_bodies_are_cut_off() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits = "[frontend]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"";
    instance.configure(|text| text.replace("[frontend]", limits)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let start = Instant::now();
    let mut slow: Vec<Connection> = (0..300)
        .map(|n| {
            let mut connection = Connection::open(&server.url, Duration::from_secs(30)).unwrap();
            let half: &[u8] = match n % 3 {
                0 => b"",
                1 => b"POST /scep/device?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nX: ",
                _ => b"POST /scep/device HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n0",
            };
            connection.send_half(half).unwrap();
            connection
        })
        .collect();
    let (device, draft) = good(&instance, &server, "quick");
    let asked = Instant::now();
    granted(&instance, &server, &device, &draft);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    // Each ends in an error or an answer of 4xx, long before the 30 s that the client would wait.
    let caps = Request::get("/scep/device?operation=GetCACaps").bytes("x");
    // Those that sent nothing come last: the service has the time of all others to cut them off.
    let (silent, half): (Vec<_>, Vec<_>) =
        slow.iter_mut().enumerate().partition(|(n, _)| n % 3 == 0);
    for (n, connection) in half.into_iter().chain(silent) {
        if let Ok(answer) = connection.send_raw(&caps, false) {
            assert!((400..500).contains(&answer.status), "connection {n}: {}", answer.status);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[test]
fn t60_a_body_without_end_is_not_read_to_its_end() {
    let instance = crate::common::shared();
    let server = instance.server().unwrap();
    let head = format!("POST {}?operation=PKIOperation HTTP/1.1\r\nHost: x\r\n", server.url.path);
    let huge = format!("{head}Content-Length: 99999999999\r\n\r\n");
    let mut connection = Connection::open(&server.url, Duration::from_secs(30)).unwrap();
    assert_eq!(connection.send_raw(huge.as_bytes(), false).unwrap().status, 413);

    let chunk = format!("10000\r\n{}\r\n", "0".repeat(0x10000));
    let endless = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(32));
    let mut connection = Connection::open(&server.url, Duration::from_secs(30)).unwrap();
    // The server may close before it has read all, which can cut its own answer off.
    if let Ok(answer) = connection.send_raw(endless.as_bytes(), false) {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    let (device, draft) = good(&instance, &server, "after");
    granted(&instance, &server, &device, &draft);
}
