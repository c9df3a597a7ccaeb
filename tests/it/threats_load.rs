//! The service under those who want it away (docs/threats.md section 3e): floods, growth, smuggled requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use softhsm_test::client::http::{self, Request};
use softhsm_test::client::{Csr, Delivery};
use softhsm_test::instance::{Instance, Options};

use crate::common::{bear_unopened, good, granted, ledger, shared, with_csr};

fn status(instance: &Instance) -> serde_json::Value {
    serde_json::from_str(&instance.ask(&["status", "--json"]).unwrap()).unwrap()
}

fn operations(instance: &Instance) -> u64 {
    status(instance)["tokens"][0]["operations"].as_u64().unwrap()
}

#[test]
fn t63_a_flood_that_costs_the_hsm_does_not_keep_it_from_its_duties() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    bear_unopened(&instance);
    instance.start().unwrap();
    let server = instance.server().unwrap();
    // A sound message around rubbish: each costs a private-key operation before it shows.
    let (device, mut draft) = good(&instance, &server, "flood");
    draft.plaintext = b"not a request".to_vec();
    let body = draft.build(&device).unwrap().body;
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = operations(&instance);
    let (list, enrolments) = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = server.deliver(&body, &Delivery::Post(None)).unwrap();
                    assert!([200, 503].contains(&answer.status), "HTTP {}", answer.status);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        let list = instance.ask(&["crl", "now"]);
        let list = list.map(|_| began.elapsed());
        let mut enrolments = Vec::new();
        for n in 0..3 {
            let (device, draft) = good(&instance, &server, &format!("legitimate {n}"));
            let began = Instant::now();
            granted(&instance, &server, &device, &draft);
            enrolments.push(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        (list, enrolments)
    });
    let limit = Duration::from_secs(20);
    assert!(list.expect("a list") < limit);
    assert!(enrolments.iter().all(|took| *took < limit), "{enrolments:?}");
    // The control: the flood was one, and each of its messages did cost the HSM.
    let (flood, taken) = (answered.into_inner(), operations(&instance) - before);
    assert!(flood >= 50, "{flood} messages are no flood");
    assert!(taken >= flood, "{taken} operations for {flood} messages");
}

#[test]
fn t14_who_sends_too_many_envelopes_that_cannot_be_opened_is_told_to_come_back() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits =
        "[signer]\nunopened_envelopes = { per_source = 5, total = 100, window = \"24h\" }\n";
    instance.configure(|text| text.replace("[signer]\n", limits)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "prober");
    granted(&instance, &server, &device, &draft);
    draft.envelope.as_mut().unwrap().encrypted_key = Some(vec![5; 256]);
    for _ in 0..5 {
        assert_eq!(server.send(&device, &draft).unwrap().failure().unwrap(), (2, None));
    }
    let before = operations(&instance);
    // Nothing from there is opened now, and nobody learns whether it could have been.
    let (other, sound) = good(&instance, &server, "another behind the same address");
    for (device, draft) in [(&device, &draft), (&other, &sound)] {
        let sent = draft.build(device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 60);
    }
    assert_eq!(operations(&instance), before, "the HSM is left alone");
    assert!(instance.logs().contains("signer.unopened_envelopes is reached"));
    // At its end the signer writes what it counted.
    instance.stop().unwrap();
    instance.start().unwrap();
    let counted = ledger(&instance);
    let counted = counted.iter().filter(|e| e.event == "refusals");
    let objects: Vec<String> = counted.map(|e| e.field("object").to_owned()).collect();
    assert!(objects.iter().any(|o| o.contains("too-many-unopened")), "{objects:?}");
    granted(&instance, &server, &other, &sound);
}

/// Bytes in all files of a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.map(|p| if p.is_dir() { size(&p) } else { p.metadata().map_or(0, |m| m.len()) }).sum()
}

#[test]
fn t64_what_is_refused_leaves_counters_and_nothing_that_grows() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits = "[signer]\nwrong_challenges = { per_source = 100000, total = 100000 }";
    instance.configure(|text| text.replace("[signer]", limits)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let entries = || status(&instance)["ledger_sequence"].as_u64().unwrap();
    let journal = || size(&instance.folder().join("state").join("ledger").join("journal"));
    assert!(journal() > 0, "the journal is where it is looked for");
    let (first_entry, first_size) = (entries(), journal());
    let refusals = 150;
    for n in 0..refusals {
        let csr = Csr::new(&format!("unique {n} {}", "x".repeat(40))).challenge("wrong");
        let (device, draft) = with_csr(&server, "unique", csr);
        server.send(&device, &draft).unwrap().failure().unwrap();
    }
    let (grown, bytes) = (entries() - first_entry, journal() - first_size);
    // One counter a minute and reason, however many there were.
    assert!(grown <= 10, "{grown} entries of {refusals} refusals");
    assert!(bytes < 16 * 1024, "{bytes} bytes of {refusals} refusals");
    // The control: what is granted is recorded, and the measure sees it.
    let (before, before_size) = (entries(), journal());
    for n in 0..3 {
        let (device, draft) = good(&instance, &server, &format!("granted {n}"));
        granted(&instance, &server, &device, &draft);
    }
    assert!(entries() - before >= 6, "a reservation and a certificate each");
    assert!(journal() - before_size > 3 * 2048, "{} bytes", journal() - before_size);
}

/// Sends bytes as they are and reads whatever comes until the server closes or falls silent.
fn raw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    // A server that answers and closes early is no error.
    let _ = stream.write_all(bytes);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// The status codes of the answers in a stream.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let starts = text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12));
    starts.filter_map(|code| code.parse().ok()).collect()
}

#[test]
fn t66_nothing_is_smuggled_and_no_host_is_believed() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (address, path) = (server.url.address(), server.url.path.clone());
    let target = format!("{path}?operation=GetCACaps");
    let smuggled = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST {path}?operation=PKIOperation HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}")
    };
    let chunked = format!("0\r\n\r\n{smuggled}");
    let ambiguous = [
        (
            "CL and TE",
            post(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len()),
                &chunked,
            ),
        ),
        (
            "TE and CL",
            post(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunked.len()),
                &chunked,
            ),
        ),
        (
            "two lengths",
            post(
                &format!("Content-Length: 0\r\nContent-Length: {}\r\n", smuggled.len()),
                &smuggled,
            ),
        ),
        ("a list of lengths", post("Content-Length: 0, 5\r\n", &smuggled)),
        ("a signed length", post("Content-Length: +0\r\n", &smuggled)),
        ("a length in hexadecimal", post("Content-Length: 0x0\r\n", &smuggled)),
        ("an unknown coding", post("Transfer-Encoding: xchunked\r\n", &chunked)),
        ("a coding behind chunked", post("Transfer-Encoding: chunked, identity\r\n", &chunked)),
        ("a space before the colon", post("Content-Length : 0\r\n", &smuggled)),
        ("NUL in a field", post("X-Field: a\0b\r\n", &smuggled)),
        ("a bad chunk size", post("Transfer-Encoding: chunked\r\n", &format!("zz\r\n{smuggled}"))),
    ];
    for (what, bytes) in ambiguous {
        let found = statuses(&raw(&address, bytes.as_bytes()));
        // At most one answer, and none that a smuggled GET would have got.
        assert!(found.len() <= 1 && !found.contains(&200), "{what}: {found:?}");
    }
    for (what, line) in [
        ("TRACE", format!("TRACE {target} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("CONNECT", "CONNECT ca.example:443 HTTP/1.1\r\nHost: ca.example:443\r\n\r\n".into()),
        ("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".into()),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("HTTP/3 on the line", format!("GET {target} HTTP/3.0\r\nHost: x\r\n\r\n")),
        ("no version", format!("GET {target}\r\n\r\n")),
    ] {
        let found = statuses(&raw(&address, line.as_bytes()));
        let refused = found.iter().all(|s| [400, 404, 405, 505].contains(s));
        assert!(found.len() <= 1 && refused, "{what}: {found:?}");
    }
    let upgrade = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"
    );
    assert_eq!(statuses(&raw(&address, upgrade.as_bytes())), [200], "no protocol is changed");

    // Whatever a client says of the host, the answer is the same and does not repeat it.
    let plain = http::send(&server.url, &Request::get(&target)).unwrap();
    for host in
        ["evil.example", "127.0.0.1", "", "a:1:2", "xn--nxasmq6b", "evil.example/../x", "[::1]"]
    {
        let request = Request { host: false, ..Request::get(&target) }.header("Host", host);
        let answer = http::send(&server.url, &request).unwrap();
        if answer.status == 200 {
            assert_eq!(answer.body, plain.body, "{host}");
        } else {
            assert_eq!(answer.status, 400, "{host}");
        }
        let shown = format!("{:?}{}", answer.headers, answer.text());
        assert!(host.len() < 6 || !shown.contains(host), "{host} comes back: {shown}");
    }
    let absolute = format!(
        "GET http://evil.example{target} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(&address, absolute.as_bytes());
    assert!(!String::from_utf8_lossy(&answer).contains("example"));

    // The control: two honest requests in a row get two answers, so that a smuggled one would be seen.
    let last = smuggled.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&raw(&address, format!("{smuggled}{last}").as_bytes())), [200, 200]);
    assert_eq!(
        statuses(&raw(&address, format!("{}{last}", post("Content-Length: 0\r\n", "")).as_bytes())),
        [400, 200]
    );
}
