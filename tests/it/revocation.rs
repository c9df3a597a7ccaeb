//! Revocation end to end: the list, its publication, renewal, GetCert and GetCRL (rows 98 to 100).

use std::process::Command;
use std::time::{Duration, Instant};

use softhsm_test::client::http::{self, Request, Response};
use softhsm_test::client::{Csr, Device, Draft, Outcome, Parts, Server, Text, der};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_REQUEST, good, granted, ledger, refused, run, serial, shared, with_csr};

/// failInfo badCertId.
const BAD_CERT_ID: u8 = 4;

/// An instance that answers GetCert and GetCRL and renews at once.
fn instance() -> Instance {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let more =
        "[endpoint.device]\nget_cert = true\nget_crl = true\nrenewal = { window = \"365d\" }";
    instance.configure(|text| text.replace("[endpoint.device]", more)).unwrap();
    instance.start().unwrap();
    instance
}

fn enrolled(instance: &Instance, server: &Server, name: &str) -> (Device, Parts) {
    let csr = Csr::new(name).challenge(&instance.challenge);
    let (device, draft) = with_csr(server, name, csr);
    let certificate = granted(instance, server, &device, &draft);
    (Device::issued(device.key, certificate.clone()), certificate)
}

/// A RenewalReq of `old` for a new key.
fn renewal(server: &Server, old: &Device, name: &str) -> (Device, Draft) {
    let new = Device::new(name).unwrap();
    let csr = Csr::new(name).build(&new.key).unwrap();
    let mut draft = server.draft(old, "17", csr).unwrap();
    draft.message.transaction_id = Text::printable(&new.transaction_id());
    (new, draft)
}

fn get(server: &Server, request: Request) -> Response {
    http::send(&server.url, &request).unwrap()
}

/// The published list once it has `wanted`, as a PEM file's text that OpenSSL has verified.
pub fn published(instance: &Instance, server: &Server, wanted: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.crl");
    let began = Instant::now();
    loop {
        let response = get(server, Request::get("/crl/issuing.crl"));
        assert_eq!(response.status, 200, "{}", response.text());
        std::fs::write(&file, &response.body).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["crl", "-inform", "DER", "-noout", "-text", "-CAfile"]);
        openssl.arg(&instance.chain).arg("-in").arg(&file);
        let output = openssl.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("verify OK"), "{said}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.to_lowercase().contains(wanted) {
            return text;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{wanted} is not on the list:\n{text}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn row_071_a_revoked_certificate_is_on_the_list_and_renews_nothing() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (device, certificate) = enrolled(&instance, &server, "stolen");
    let hex = serial(&certificate);
    let (new, draft) = renewal(&server, &device, "stolen");
    let reply = server.send(&device, &draft).unwrap();
    assert_eq!(reply.certificate().unwrap().spki, new.key.public_key_to_der().unwrap());

    let before = published(&instance, &server, "no revoked certificates");
    assert!(before.contains("X509v3 CRL Number") && before.contains("X509v3 Authority Key"));
    let reason = ["cert", "revoke", &hex, "--reason", "keyCompromise"];
    let asks = instance.command(&reason).unwrap();
    assert!(!asks.status.success(), "without a terminal and without --yes nothing is revoked");
    let shown = instance.ask(&["cert", "show", &hex]).unwrap();
    assert!(shown.contains("state: valid") && shown.contains("CN=stolen"), "{shown}");
    instance.ask(&[&reason[..], &["--comment", "lost on a train", "--yes"]].concat()).unwrap();
    let shown = instance.ask(&["cert", "show", &hex]).unwrap();
    assert!(shown.contains("state: revoked") && shown.contains("keyCompromise"), "{shown}");

    let list = published(&instance, &server, &hex);
    assert!(list.contains("Key Compromise"), "{list}");
    let (_, draft) = renewal(&server, &device, "stolen");
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("revoked"), "{text}");
    let again = instance.command(&[&reason[..], &["--yes"]].concat()).unwrap();
    assert!(!again.status.success(), "revocation is for good");

    let entries = ledger(&instance);
    let revocation = entries.iter().find(|e| e.event == "revocation").unwrap();
    assert_eq!(
        (revocation.field("serial"), revocation.field("comment")),
        (&*hex, "lost on a train")
    );
    // I2: each list that was signed was announced before; I1: and recorded.
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!(count("signing-intent"), 2);
    assert_eq!(count("signed-object"), 2);
}

#[test]
fn row_063_071_five_renewals_then_revoked_and_renewed_no_more() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (mut device, mut certificate) = enrolled(&instance, &server, "long life");
    for _ in 0..5 {
        let (new, draft) = renewal(&server, &device, "long life");
        certificate = server.send(&device, &draft).unwrap().certificate().unwrap().clone();
        instance.verify(&certificate).unwrap();
        device = Device::issued(new.key, certificate.clone());
    }
    let number = serial(&certificate);
    instance.ask(&["cert", "revoke", &number, "--reason", "keyCompromise", "--yes"]).unwrap();
    let list = published(&instance, &server, &number);
    assert!(list.contains("Key Compromise"), "{list}");
    let (_, draft) = renewal(&server, &device, "long life");
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("revoked"), "{text}");
}

#[test]
fn t56_the_lists_number_grows_across_restarts() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let number = |instance: &Instance, command: &str| {
        let said = instance.ask(&["crl", command, "--json"]).unwrap();
        let said: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
        said["number"].as_u64().unwrap()
    };
    instance.start().unwrap();
    assert_eq!(number(&instance, "show"), 1);
    assert_eq!(number(&instance, "now"), 2);
    instance.kill().unwrap();
    instance.start().unwrap();
    assert_eq!(number(&instance, "show"), 2, "a good list is kept");
    instance.stop().unwrap();
    // An older file, as after a crash between the ledger and the file: the number is not used again.
    std::fs::remove_file(instance.folder().join("state/crl/issuing.crl")).unwrap();
    instance.start().unwrap();
    assert_eq!(number(&instance, "show"), 3);
}

#[test]
fn row_099_the_next_list_is_made_on_its_schedule() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let schedule = "\n[ca.issuing.crl]\nrefresh = \"1m\"\nnext_update = \"10m\"\n";
    instance.configure(|text| text + schedule).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let served = || get(&server, Request::get("/crl/issuing.crl")).body;
    let first = served();
    let began = Instant::now();
    // Nobody asks for it and nothing is revoked: the time alone makes it.
    let second = loop {
        let now = served();
        if now != first {
            break now;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{}", instance.logs());
        std::thread::sleep(Duration::from_millis(500));
    };
    let times = |der: &[u8]| {
        let crl = openssl::x509::X509Crl::from_der(der).unwrap();
        let epoch = openssl::asn1::Asn1Time::from_unix(0).unwrap();
        let since = |time: &openssl::asn1::Asn1TimeRef| {
            let since = epoch.diff(time).unwrap();
            i64::from(since.days) * 86_400 + i64::from(since.secs)
        };
        (since(crl.last_update()), since(crl.next_update().unwrap()))
    };
    let ((made, until), (next, _)) = (times(&first), times(&second));
    assert_eq!(until - made, 600);
    assert!(next - made >= 60, "{made} {next}");
    assert!(next < until, "the next one is there before the old one ends");
}

#[test]
fn lists_and_certificates_are_served_with_their_headers() {
    let instance = shared();
    let server = instance.server().unwrap();
    for (path, kind) in
        [("/crl/issuing.crl", "application/pkix-crl"), ("/ca/issuing.cer", "application/pkix-cert")]
    {
        let response = get(&server, Request::get(path));
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)));
        let length = response.body.len().to_string();
        assert_eq!(response.header("content-length"), Some(&*length));
        assert!(response.header("cache-control").unwrap().contains("max-age="));
        let tag = response.header("etag").unwrap();
        let known = get(&server, Request::get(path).header("If-None-Match", tag));
        assert_eq!((known.status, known.body.len()), (304, 0));
        assert_eq!(get(&server, Request::post(path, vec![1])).status, 405);
    }
    let served = get(&server, Request::get("/ca/issuing.cer")).body;
    assert_eq!(served, server.issuing().unwrap().der);
    assert_eq!(get(&server, Request::get("/crl/other.crl")).status, 404);
}

fn query(server: &Server, device: &Device, kind: &str, serial: &[u8]) -> Draft {
    let issuer = &server.issuing().unwrap().subject;
    server.draft(device, kind, der::seq(&[issuer, serial])).unwrap()
}

#[test]
fn row_098_099_t19_queries_are_answered_to_holders_alone() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (device, certificate) = enrolled(&instance, &server, "holder");
    let (_, other) = enrolled(&instance, &server, "other");
    let reply = server.send(&device, &query(&server, &device, "21", &other.serial)).unwrap();
    assert_eq!(reply.certificate().unwrap(), &other);
    let reply = server.send(&device, &query(&server, &device, "22", &certificate.serial)).unwrap();
    let Outcome::Success(list) = &reply.outcome else { panic!("{reply:?}") };
    assert!(list.certificates.is_empty(), "a CRL travels alone");
    let served = get(&server, Request::get("/crl/issuing.crl")).body;
    assert_eq!(list.crls, [served]);

    // Whatever a stranger asks for gets the answer of a serial number that does not exist.
    let nothing = query(&server, &device, "21", &der::int(4711));
    let uniform = refused(&server, &device, &nothing, BAD_CERT_ID);
    let stranger = Device::new("holder").unwrap();
    for (kind, serial) in [("21", &other.serial), ("21", &der::int(4711)), ("22", &other.serial)] {
        let draft = query(&server, &stranger, kind, serial);
        assert_eq!(refused(&server, &stranger, &draft, BAD_CERT_ID), uniform);
    }
    // One who names another CA, and one whose certificate was revoked.
    let elsewhere =
        server.draft(&device, "22", der::seq(&[&other.subject, &other.serial])).unwrap();
    assert_eq!(refused(&server, &device, &elsewhere, BAD_CERT_ID), uniform);
    let hex = serial(&certificate);
    instance.ask(&["cert", "revoke", &hex, "--reason", "superseded", "--yes"]).unwrap();
    let draft = query(&server, &device, "21", &other.serial);
    assert_eq!(refused(&server, &device, &draft, BAD_CERT_ID), uniform);
}

#[test]
fn row_100_queries_are_off_by_default() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, certificate) = enrolled(&instance, &server, "curious");
    for kind in ["21", "22"] {
        let draft = query(&server, &device, kind, &certificate.serial);
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains("not offered"), "{text}");
    }
}

#[test]
fn row_100_certificates_say_where_the_list_and_the_ca_are_fetched() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let urls = "[profile.device]\ncrl_urls = [\"http://pki.example/crl/issuing.crl\"]\n\
                aia_urls = [\"http://pki.example/ca/issuing.cer\"]";
    instance.configure(|text| text.replace("[profile.device]", urls)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "points");
    let certificate = granted(&instance, &server, &device, &draft);
    let x509 = openssl::x509::X509::from_der(&certificate.der).unwrap();
    let text = String::from_utf8(x509.to_text().unwrap()).unwrap();
    for url in [
        "URI:http://pki.example/crl/issuing.crl",
        "CA Issuers - URI:http://pki.example/ca/issuing.cer",
    ] {
        assert!(text.contains(url), "{url} in:\n{text}");
    }
}

#[test]
fn a_hold_is_released() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (_, certificate) = enrolled(&instance, &server, "held");
    let hex = serial(&certificate);
    let change = |reason: &str| {
        instance.ask(&["cert", "revoke", &hex, "--reason", reason, "--yes"]).unwrap()
    };
    assert!(change("certificateHold").contains("state: on hold"));
    let list = instance.ask(&["crl", "show", "--pem"]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), list).unwrap();
    let text =
        run(Command::new("openssl").args(["crl", "-noout", "-text", "-in"]).arg(file.path()));
    assert!(text.to_lowercase().contains(&hex) && text.contains("Certificate Hold"), "{text}");
    assert!(change("removeFromCRL").contains("state: valid"));
}
