//! Rows and quirks that need an instance of their own or a client that is odd in more than one way:
//! the shape of replies (2, 11, 73 to 83), what never authenticates (12, 57, 66, 68, 72), the endpoint's
//! switches (16, 25, 40), names (41, 57, 92).

use std::time::{Duration, Instant};

use softhsm_test::client::message::attribute;
use softhsm_test::client::reply::Outcome;
use softhsm_test::client::{
    Cipher, Csr, Delivery, Device, Digest, Draft, Edit, Envelope, Parts, Server, Text, certs_only,
    der, keys,
};
use softhsm_test::instance::{Instance, Options};

use crate::common::{
    BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, good, granted, ledger, refused, serial, shared,
    with_csr,
};

/// A started instance whose endpoint has `settings` too.
fn with(settings: &str) -> (Instance, Server) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let endpoint = format!("[endpoint.device]\n{settings}");
    instance.configure(|text| text.replace("[endpoint.device]", &endpoint)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    (instance, server)
}

fn renewal(server: &Server, old: &Device, csr: &Csr) -> (Device, Draft) {
    let new = Device::with_key(keys::rsa().unwrap(), "new").unwrap();
    let csr = csr.build(&new.key).unwrap();
    let draft = server.draft(old, "17", csr).unwrap();
    (new, draft)
}

#[test]
fn row_002_011_073_077_to_080_083_replies_as_a_strict_client_wants_them() {
    let instance = shared();
    let server = instance.server().unwrap();
    // `Server::send` checks every rule of these rows and fails on the first that is broken.
    let (device, draft) = good(&instance, &server, "strict");
    let reply = server.send(&device, &draft).unwrap();
    let Outcome::Success(success) = &reply.outcome else { panic!("{reply:?}") };
    assert_eq!(success.certificates.len(), 1);
    assert!(server.authorities.contains(&reply.signer) && !reply.signer.is_ca(), "row 83, 104");
    let (device, draft) = with_csr(&server, "strict", Csr::new("strict").challenge("wrong"));
    let reply = server.send(&device, &draft).unwrap();
    let (fail_info, text) = reply.failure().unwrap();
    assert!(fail_info == BAD_REQUEST && text.is_some_and(|t| t.contains("challenge")), "{text:?}");
    // The checks themselves notice: a reply to another request breaks rows 73 and 74.
    let (other, another) = good(&instance, &server, "strict");
    let sent = another.build(&other).unwrap();
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    let wrong = draft.build(&device).unwrap();
    assert!(server.read(&answer, &wrong, &other).is_err());
}

#[test]
fn row_012_057_quirk_50_plain_http_works_and_replaces_no_challenge() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = with_csr(&server, "open", Csr::new("open"));
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("challenge"), "{text}");
    // A certificate that the device made itself proves nothing, whatever message it signs.
    let csr = Csr::new("open").build(&device.key).unwrap();
    let draft = server.draft(&device, "17", csr).unwrap();
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("not issued here"), "{text}");
}

#[test]
fn row_024_the_floor_does_not_depend_on_what_a_client_read() {
    let instance = shared();
    let server = instance.server().unwrap();
    assert!(!server.capabilities.iter().any(|c| c == "DES3" || c == "SHA-1"));
    let (device, mut draft) = good(&instance, &server, "downgraded");
    draft.envelope.as_mut().unwrap().cipher = Cipher::DesEde3;
    let text = refused(&server, &device, &draft, BAD_ALG).unwrap();
    assert!(text.contains("triple DES") || text.contains("DES"), "{text}");
    let (device, mut draft) = good(&instance, &server, "downgraded");
    draft.message.digest = Digest::Sha1;
    assert!(refused(&server, &device, &draft, BAD_ALG).unwrap().contains("SHA-1"));
}

#[test]
fn row_025_027_quirk_16_what_get_ca_cert_holds_is_the_endpoints_choice() {
    let (instance, server) = with("ca_cert_response = [\"issuing\"]");
    let answer = server.ask("GetCACert", None).unwrap();
    assert_eq!(answer.header("content-type"), Some("application/x-x509-ca-cert"));
    let issuing = Parts::from_der(&answer.body).unwrap();
    assert!(issuing.is_ca());
    drop(instance);
    let (_instance, server) = with("ca_cert_response = [\"ra-decryption\", \"issuing\"]");
    let answer = server.ask("GetCACert", None).unwrap();
    let (certificates, _) = certs_only(&answer.body).unwrap();
    assert!(certificates.len() == 2 && !certificates[0].is_ca() && certificates[1].is_ca());
}

#[test]
fn quirk_40_the_chain_in_a_success_is_the_endpoints_choice() {
    for (choice, count) in [("none", 1), ("chain", 2), ("fullchain", 3)] {
        let (instance, server) = with(&format!("certrep_chain = \"{choice}\""));
        let (device, draft) = good(&instance, &server, "chained");
        let reply = server.send(&device, &draft).unwrap();
        let Outcome::Success(success) = &reply.outcome else { panic!("{reply:?}") };
        assert_eq!(success.certificates.len(), count, "{choice}");
        assert_eq!(success.certificates[0].spki, device.key.public_key_to_der().unwrap());
    }
}

#[test]
fn row_042_envelopes_of_another_content_type_and_contents_of_another_message() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "inner");
    draft.envelope.as_mut().unwrap().content_type = "1.2.840.113549.1.7.2";
    assert_eq!(server.send(&device, &draft).unwrap().failure().unwrap().0, BAD_REQUEST);
    let (device, mut draft) = good(&instance, &server, "inner");
    let issuer = &server.issuing().unwrap().subject;
    draft.plaintext = softhsm_test::client::message::issuer_and_subject(issuer, issuer);
    assert_eq!(refused(&server, &device, &draft, BAD_REQUEST), None, "I7: no text");
}

#[test]
fn row_052_a_wrong_signing_time_is_not_looked_at() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "late");
    let time = der::tlv(der::tag::UTC_TIME, b"700101000000Z");
    draft.message.edits.push(Edit::Add(attribute::SIGNING_TIME, vec![time]));
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_053_t62_what_is_out_of_bounds_is_refused_before_any_key_is_used() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let operations = || -> u64 {
        let status = instance.ask(&["status", "--json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["tokens"][0]["operations"].as_u64().unwrap()
    };
    let (device, draft) = good(&instance, &server, "bounds");
    let stranger = Device::new("stranger").unwrap().certificate;
    let mut crowded = draft.clone();
    crowded.message.certificates = vec![stranger.der.clone(); 40];
    crowded.message.certificates.push(device.certificate.der.clone());
    let mut verbose = draft.clone();
    for n in 0..100 {
        let kind: &'static str = Box::leak(format!("1.3.6.1.4.1.99999.{n}").into_boxed_str());
        verbose.message.edits.push(Edit::Add(kind, vec![der::null()]));
    }
    let mut popular = draft.clone();
    let more = Envelope::to(&stranger).recipients;
    for _ in 0..40 {
        popular.envelope.as_mut().unwrap().recipients.extend(more.clone());
    }
    let mut long = draft.clone();
    long.plaintext = vec![0x30; 70_000];
    for (what, draft) in [
        ("certificates", crowded),
        ("attributes", verbose),
        ("recipients", popular),
        ("bytes", long),
    ] {
        let before = operations();
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        let taken = operations() - before;
        // A signed refusal costs the RA's signature and nothing else.
        let allowed = u64::from(answer.status == 200);
        assert!(taken <= allowed, "{what}: {taken} operations for HTTP {}", answer.status);
        if answer.status == 200 {
            let reply = server.read(&answer, &sent, &device).unwrap();
            reply.failure().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_066_a_certificate_of_another_ca_renews_nothing() {
    let here = shared();
    let server = here.server().unwrap();
    let own = Options { own_keys: true, ..Options::default() };
    let mut elsewhere = Instance::create(&own).unwrap();
    elsewhere.start().unwrap();
    let other = elsewhere.server().unwrap();
    let (device, draft) = good(&elsewhere, &other, "foreign");
    let certificate = granted(&elsewhere, &other, &device, &draft);
    let device = Device::issued(device.key, certificate);
    let (_, draft) = renewal(&server, &device, &Csr::new("foreign"));
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("not issued here"), "{text}");
}

#[test]
fn row_068_possession_is_proven_at_a_renewal_too() {
    let (instance, server) = with("renewal = { window = \"3650d\" }");
    let (device, draft) = good(&instance, &server, "renewing");
    let certificate = granted(&instance, &server, &device, &draft);
    let device = Device::issued(device.key, certificate);
    let stolen = Csr { bad_signature: true, ..Csr::new("renewing") };
    let (_, draft) = renewal(&server, &device, &stolen);
    assert_eq!(refused(&server, &device, &draft, BAD_REQUEST), None, "I7: no text");
    let (_, draft) = renewal(&server, &device, &Csr::new("renewing"));
    granted_renewal(&server, &device, &draft);
}

fn granted_renewal(server: &Server, old: &Device, draft: &Draft) -> Parts {
    server.send(old, draft).unwrap().certificate().unwrap().clone()
}

#[test]
fn row_072_a_bad_signature_probes_no_certificates_state() {
    let (instance, server) = with("renewal = { window = \"3650d\" }");
    let (device, draft) = good(&instance, &server, "probed");
    let certificate = granted(&instance, &server, &device, &draft);
    let number = serial(&certificate);
    let mut seen = Vec::new();
    let probe = |device: &Device| {
        let (_, mut draft) = renewal(&server, device, &Csr::new("probed"));
        draft.message.bad_signature = true;
        let reply = server.send(device, &draft).unwrap();
        let (fail_info, text) = reply.failure().unwrap();
        (fail_info, text.map(str::to_owned))
    };
    let held = Device::issued(device.key, certificate);
    seen.push(probe(&held));
    instance.ask(&["cert", "revoke", &number, "--reason", "superseded", "--yes"]).unwrap();
    seen.push(probe(&held));
    seen.push(probe(&Device::new("nobody").unwrap()));
    assert!(seen.iter().all(|s| *s == seen[0]) && seen[0].0 == BAD_MESSAGE_CHECK, "{seen:?}");
}

#[test]
fn row_092_a_subject_that_has_a_certificate_is_refused_where_the_endpoint_says_so() {
    let (instance, server) = with("duplicate_subject = \"refuse\"");
    let (device, draft) = good(&instance, &server, "sole");
    let first = granted(&instance, &server, &device, &draft);
    let (second, again) = good(&instance, &server, "sole");
    let text = refused(&server, &second, &again, BAD_REQUEST).unwrap();
    assert!(text.contains("in force"), "{text}");
    // A lost reply is none: the same transaction gets the same certificate.
    assert_eq!(granted(&instance, &server, &device, &draft), first);
    let number = serial(&first);
    instance.ask(&["cert", "revoke", &number, "--reason", "superseded", "--yes"]).unwrap();
    granted(&instance, &server, &second, &again);
}

#[test]
fn row_092_a_new_certificate_supersedes_the_old_ones_where_the_endpoint_says_so() {
    let (instance, server) = with("duplicate_subject = \"supersede\"");
    let certificates: Vec<Parts> = std::thread::scope(|scope| {
        let (instance, server) = (&instance, &server);
        let all = (0..4).map(|_| {
            scope.spawn(move || {
                let (device, draft) = good(instance, server, "sole");
                granted(instance, server, &device, &draft)
            })
        });
        let all: Vec<_> = all.collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let state = |c: &Parts| {
        let shown = instance.ask(&["cert", "show", &serial(c), "--json"]).unwrap();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["state"].as_str().unwrap().to_owned()
    };
    let states: Vec<String> = certificates.iter().map(state).collect();
    assert_eq!(states.iter().filter(|s| *s == "valid").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|s| *s == "revoked").count(), 3, "{states:?}");
    let (device, draft) = good(&instance, &server, "another");
    granted(&instance, &server, &device, &draft);
    let entries = ledger(&instance);
    assert_eq!(entries.iter().filter(|e| e.event == "revocation").count(), 3);
}

#[test]
fn row_096_quirk_58_the_same_key_enrols_again_after_the_quiet_time() {
    let (instance, server) = with("retry_window = \"6s\"");
    let (device, draft) = good(&instance, &server, "again");
    let first = granted(&instance, &server, &device, &draft);
    let csr = Csr::new("again").challenge(&instance.challenge).dns_names(&["again.example"]);
    let csr = csr.build(&device.key).unwrap();
    let mut another = server.draft(&device, "19", csr).unwrap();
    another.message.transaction_id = draft.message.transaction_id;
    // Before the quiet time is over it looks like a retry that asks for something else.
    refused(&server, &device, &another, BAD_REQUEST);
    let began = Instant::now();
    let second = loop {
        let reply = server.send(&device, &another).unwrap();
        match reply.certificate() {
            Ok(certificate) => break certificate.clone(),
            Err(e) => assert!(began.elapsed() < Duration::from_secs(20), "{e}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_ne!(serial(&first), serial(&second));
}

#[test]
fn quirk_31_certificates_begin_before_now_for_slow_clocks() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "slow clock");
    let certificate = granted(&instance, &server, &device, &draft);
    let x509 = openssl::x509::X509::from_der(&certificate.der).unwrap();
    let now = openssl::asn1::Asn1Time::days_from_now(0).unwrap();
    let before = x509.not_before().diff(&now).unwrap();
    let seconds = i64::from(before.days) * 86_400 + i64::from(before.secs);
    assert!((3_500..3_900).contains(&seconds), "backdated by {seconds} s where 1 h is configured");
}

#[test]
fn quirk_41_unstructured_names_and_serial_numbers_of_network_gear() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let line = "subject = { required = [\"CN\"] }";
    instance
        .configure(|text| {
            assert!(text.contains(line), "{text}");
            let allowed = "\"CN\", \"serialNumber\", \"unstructuredName\", \"unstructuredAddress\"";
            text.replace(line, &format!("subject = {{ allowed = [{allowed}] }}"))
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let ia5 = |oid: &str, text: &str| {
        der::set_of(vec![der::seq(&[&der::oid(oid), &der::tlv(der::tag::IA5, text.as_bytes())])])
    };
    let printable = |oid: &str, text: &str| {
        let value = der::tlv(der::tag::PRINTABLE, text.as_bytes());
        der::set_of(vec![der::seq(&[&der::oid(oid), &value])])
    };
    let subject = der::tlv(
        der::tag::SEQUENCE,
        &[
            printable("2.5.4.5", "FTX1234A0BC"),
            ia5("1.2.840.113549.1.9.2", "router.example"),
            printable("1.2.840.113549.1.9.8", "192.0.2.1"),
        ]
        .concat(),
    );
    let csr = Csr::with_subject(subject.clone()).challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "cisco", csr);
    assert_eq!(granted(&instance, &server, &device, &draft).subject, subject);
}

#[test]
fn quirk_56_a_request_signed_with_the_old_key_that_brings_the_challenge_too() {
    let (instance, server) = with("renewal = { window = \"3650d\" }");
    let (device, draft) = good(&instance, &server, "nanny");
    let certificate = granted(&instance, &server, &device, &draft);
    let old = Device::issued(device.key, certificate);
    for challenge in [Some(instance.challenge.as_str()), None] {
        let new = Device::with_key(keys::rsa().unwrap(), "new").unwrap();
        let csr = challenge.map_or_else(|| Csr::new("nanny"), |c| Csr::new("nanny").challenge(c));
        let mut draft = server.draft(&old, "19", csr.build(&new.key).unwrap()).unwrap();
        draft.message.transaction_id = Text::printable(&new.transaction_id());
        let renewed = granted_renewal(&server, &old, &draft);
        assert_eq!(renewed.spki, new.key.public_key_to_der().unwrap());
    }
}

#[test]
fn quirk_57_an_empty_subject_with_alternative_names() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let line = "subject = { required = [\"CN\"] }";
    instance.configure(|text| text.replace(line, "subject = { allow_empty = true }")).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let nameless = || Csr::with_subject(der::name(&[])).challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "nameless", nameless().dns_names(&["only.example"]));
    let certificate = granted(&instance, &server, &device, &draft);
    assert_eq!(certificate.subject, der::name(&[]));
    let san = certificate.extensions.iter().find(|(id, ..)| *id == [0x55, 0x1d, 0x11]).unwrap();
    assert!(san.1, "RFC 5280 section 4.2.1.6: critical where the subject is empty");
    let (device, draft) = with_csr(&server, "nobody", nameless());
    refused(&server, &device, &draft, BAD_REQUEST);
}

#[test]
fn quirk_22_a_transaction_tells_its_story() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "traced");
    let number = serial(&granted(&instance, &server, &device, &draft));
    instance.ask(&["cert", "revoke", &number, "--reason", "superseded", "--yes"]).unwrap();
    let told = instance.ask(&["trace", &device.transaction_id()]).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let [reserved, signed, revoked] = lines.as_slice() else { panic!("{told}") };
    assert!(reserved.contains("accepted at device by challenge") && reserved.contains(&number));
    assert!(signed.contains("signed, recorded") && revoked.contains("superseded"), "{told}");
    assert!(reserved.contains("device key") && reserved.contains("127.0.0.1"), "{told}");
    let nothing = instance.command(&["trace", "nobody"]).unwrap();
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(
        nothing.status.code() == Some(1) && said.contains("CHANCERY_TRANSACTION=nobody"),
        "{said}"
    );
    // The log of a refusal says what to change on the device.
    let (refused_device, draft) = with_csr(&server, "traced", Csr::new("traced").challenge("no"));
    refused(&server, &refused_device, &draft, BAD_REQUEST);
    let logs = instance.logs();
    let id = refused_device.transaction_id();
    let line = logs.lines().find(|l| l.contains(&id) && l.contains("signer:")).expect("a line");
    assert!(line.contains("challenge password"), "{line}");
}

#[test]
fn row_035_quirk_62_a_missing_nonce_is_forgiven_where_the_endpoint_says_so() {
    for (settings, expected) in [("", false), ("require_sender_nonce = false", true)] {
        let (instance, server) = with(settings);
        let (device, mut draft) = good(&instance, &server, "nonceless");
        draft.message.edits.push(Edit::Remove(attribute::SENDER_NONCE));
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        let issued = ledger(&instance).iter().filter(|e| e.event == "certificate").count();
        assert_eq!(issued, usize::from(expected), "{settings}: HTTP {}", answer.status);
        assert!(answer.status < 500, "HTTP {}", answer.status);
    }
}
