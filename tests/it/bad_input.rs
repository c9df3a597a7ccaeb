//! Bad input of every kind: the answer that the protocol names, never a 500, never a panic, and the
//! service goes on (rows 10, 13, 32 to 53, threats T01, T02, T10, T11, T20).

use softhsm_test::client::http::{self, Connection, Request};
use softhsm_test::client::message::attribute;
use softhsm_test::client::{
    Cipher, Csr, Delivery, Device, Digest, Draft, Edit, Envelope, Escaping, Server, Text, der, keys,
};
use std::time::Duration;

use crate::common::{
    BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, good, granted, no_certificate_for, refused, shared,
    with_csr,
};

type Spoiler = (&'static str, fn(&mut Draft));

/// Posts bytes that no reply can be built for.
#[track_caller]
fn rubbish(server: &Server, body: &[u8], status: u16) {
    let answer = server.deliver(body, &Delivery::Post(None)).expect("an answer");
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/plain"));
}

#[test]
fn t20_bodies_that_are_no_message() {
    let instance = shared();
    let server = instance.server().unwrap();
    for body in [&[][..], &[0x30], &[0], b"MII", b"hello world", &[0x30, 0x80], &[0xff; 4096]] {
        rubbish(&server, body, 400);
    }
    rubbish(&server, &[0x30; 60_000], 400);
    let get = |message: &str| {
        let target = format!("{}?operation=PKIOperation&message={message}", server.url.path);
        http::send(&server.url, &Request::get(&target)).unwrap().status
    };
    for message in ["A", "!!!!", "%", "%zz", "MIIB", "%00%00", "AAAA%3D%3D%3D%3D"] {
        assert_eq!(get(message), 400, "{message}");
    }
    let (device, draft) = good(&instance, &server, "after rubbish");
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_010_sizes_over_the_limits() {
    let instance = shared();
    let server = instance.server().unwrap();
    rubbish(&server, &vec![0x30; 1 << 20], 413);
    let long =
        format!("{}?operation=PKIOperation&message={}", server.url.path, "A".repeat(200_000));
    let answer = http::send(&server.url, &Request::get(&long)).unwrap();
    assert_eq!(answer.status, 414, "{}", answer.text());
    // Long, but lawful: a request line of more than 16 KiB.
    let (device, mut draft) = good(&instance, &server, "long");
    let padding = vec![der::octets(&[7; 11_000])];
    draft.message.edits.push(Edit::Add("1.3.6.1.4.1.99999.1", padding));
    let sent = draft.build(&device).unwrap();
    let get = server.operation(&sent.body, &Delivery::Get(Escaping::Full));
    assert!(get.target.len() > 16 << 10);
    let answer = http::send(&server.url, &get).unwrap();
    server.read(&answer, &sent, &device).unwrap().certificate().unwrap();
}

#[test]
fn half_requests_end_without_an_answer_of_500() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "half");
    let body = draft.build(&device).unwrap().body;
    let whole = server.operation(&body, &Delivery::Post(None)).bytes("x");
    for length in [1, 10, 60, whole.len() - 1] {
        let mut connection = Connection::open(&server.url, Duration::from_secs(40)).unwrap();
        connection.send_half(&whole[..length]).unwrap();
        if let Ok(answer) = connection.finish() {
            assert!((400..500).contains(&answer.status), "{length}: {}", answer.status);
        }
    }
    granted(&instance, &server, &device, &draft);
}

#[test]
fn truncation_at_every_length_never_succeeds() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "truncated");
    let body = draft.build(&device).unwrap().body;
    for length in (0..body.len()).step_by(61) {
        rubbish(&server, &body[..length], 400);
    }
    rubbish(&server, &[&body[..], &[0]].concat(), 400);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn a_flipped_bit_never_succeeds() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "flipped");
    let sent = draft.build(&device).unwrap();
    let unsigned = unsigned(&sent.body, &device);
    let mut signed = 0;
    for at in (0..sent.body.len()).step_by(43) {
        let mut body = sent.body.clone();
        body[at] ^= 1 << (at % 8);
        let answer = server.deliver(&body, &Delivery::Post(None)).unwrap();
        match answer.status {
            400 => {}
            200 => {
                signed += 1;
                // A flip in the transaction ID or the nonce makes the reply another's: that is an
                // error of the strict reader here, and no success.
                let reply = server.read(&answer, &sent, &device);
                let granted = reply.is_ok_and(|r| r.certificate().is_ok());
                assert!(!granted || unsigned.iter().any(|r| r.contains(&at)), "byte {at}");
            }
            other => panic!("byte {at}: HTTP {other}: {}", answer.text()),
        }
    }
    assert!(signed > 0, "no flip got a signed answer, so none was understood far enough");
    granted(&instance, &server, &device, &draft);
}

/// What no signature covers and nothing depends on: the outer digestAlgorithms, and of the signer's
/// self-signed certificate all but its names and key (rows 56 and 57).
fn unsigned(body: &[u8], device: &Device) -> [std::ops::Range<usize>; 2] {
    let certificate = &device.certificate.der;
    let start = body.windows(certificate.len()).position(|w| w == certificate).unwrap();
    let content = der::oid("1.2.840.113549.1.7.1");
    let first = body.windows(content.len()).position(|w| w == content).unwrap();
    [0..first, start..start + certificate.len()]
}

#[test]
fn row_034_bad_signatures_and_digests() {
    let instance = shared();
    let server = instance.server().unwrap();
    let spoil: [fn(&mut Draft); 3] = [
        |d| d.message.bad_signature = true,
        |d| {
            let wrong = vec![der::octets(&[0; 32])];
            d.message.edits.push(Edit::Values(attribute::MESSAGE_DIGEST, wrong));
        },
        |d| {
            let wrong = vec![der::oid("1.2.840.113549.1.7.3")];
            d.message.edits.push(Edit::Values(attribute::CONTENT_TYPE, wrong));
        },
    ];
    for spoil in spoil {
        let (device, mut draft) = good(&instance, &server, "spoilt");
        spoil(&mut draft);
        refused(&server, &device, &draft, BAD_MESSAGE_CHECK);
    }
}

#[test]
fn row_037_t01_message_types_that_are_not_served() {
    let instance = shared();
    let server = instance.server().unwrap();
    for kind in ["0", "1", "3", "18", "99", "019", "19 ", " 19", "+19", "2147483648", "", "PKCSReq"]
    {
        let (device, mut draft) = good(&instance, &server, "type");
        draft.message.message_type = Text::printable(kind);
        refused(&server, &device, &draft, BAD_REQUEST);
    }
    // The control: the type that is served.
    let (device, mut draft) = good(&instance, &server, "type");
    draft.message.message_type = Text::printable("19");
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_035_t02_attributes_missing_twice_or_contradictory() {
    let instance = shared();
    let server = instance.server().unwrap();
    let nonce = || vec![der::octets(&[3; 16])];
    let edits = [
        Edit::Remove(attribute::MESSAGE_TYPE),
        Edit::Remove(attribute::TRANSACTION_ID),
        Edit::Remove(attribute::SENDER_NONCE),
        Edit::Remove(attribute::CONTENT_TYPE),
        Edit::Remove(attribute::MESSAGE_DIGEST),
        Edit::Add(attribute::MESSAGE_TYPE, vec![der::printable("17")]),
        Edit::Add(attribute::MESSAGE_TYPE, vec![der::printable("19")]),
        Edit::Add(attribute::TRANSACTION_ID, vec![der::printable("other")]),
        Edit::Add(attribute::SENDER_NONCE, nonce()),
        Edit::Values(attribute::MESSAGE_TYPE, vec![der::printable("19"), der::printable("17")]),
        Edit::Values(attribute::MESSAGE_TYPE, Vec::new()),
        Edit::Values(attribute::TRANSACTION_ID, vec![der::printable(&"x".repeat(300))]),
        Edit::Values(attribute::SENDER_NONCE, vec![der::octets(&[])]),
        Edit::Values(attribute::SENDER_NONCE, vec![der::octets(&[7; 65])]),
        Edit::Values(attribute::SENDER_NONCE, vec![der::printable("not octets")]),
    ];
    for edit in edits {
        let shown = format!("{edit:?}");
        let (device, mut draft) = good(&instance, &server, "attributes");
        draft.message.edits.push(edit);
        not_granted(&server, &device, &draft, &shown);
    }
    no_certificate_for(&instance, &server, "attributes");
}

/// A signed FAILURE, or a plain 400 where too little was readable.
#[track_caller]
fn not_granted(server: &Server, device: &Device, draft: &Draft, what: &str) {
    let sent = draft.build(device).expect("a message");
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).expect("an answer");
    match answer.status {
        400 => assert_eq!(answer.header("content-type"), Some("text/plain"), "{what}"),
        200 => match server.read(&answer, &sent, device) {
            Ok(reply) => assert!(reply.failure().is_ok(), "{what}: {reply:?}"),
            // The echo of an attribute that was changed or left out cannot be what this reader wants.
            Err(e) => {
                let why = e.to_string();
                assert!(why.contains("request's") || why.contains("missing"), "{what}: {why}");
            }
        },
        other => panic!("{what}: HTTP {other}: {}", answer.text()),
    }
}

#[test]
fn row_032_033_047_t10_t11_structures_that_are_not_a_request() {
    let instance = shared();
    let server = instance.server().unwrap();
    let spoil: [Spoiler; 9] = [
        ("no envelope", |d| d.envelope = None),
        ("no content", |d| d.message.content = None),
        ("outer content type", |d| d.message.content_type = "1.2.840.113549.1.7.3"),
        ("eContentType", |d| d.message.inner_content_type = "1.2.840.113549.1.7.3"),
        ("enveloped type", |d| {
            d.envelope.as_mut().unwrap().content_type = "1.2.840.113549.1.7.2";
        }),
        ("no attributes", |d| d.message.no_attributes = true),
        ("two SignerInfos", |d| d.message.signer_infos = 2),
        ("no SignerInfo", |d| d.message.signer_infos = 0),
        ("no certificate", |d| d.message.certificates = vec![Vec::new()]),
    ];
    for (what, spoil) in spoil {
        let (device, mut draft) = good(&instance, &server, "structure");
        spoil(&mut draft);
        not_granted(&server, &device, &draft, what);
    }
    no_certificate_for(&instance, &server, "structure");
}

#[test]
fn row_044_the_wrong_recipient() {
    let instance = shared();
    let server = instance.server().unwrap();
    let wrong = [
        Device::new("stranger").unwrap().certificate,
        server.issuing().unwrap().clone(),
        server.authorities[1].clone(),
    ];
    for certificate in wrong {
        let (device, mut draft) = good(&instance, &server, "recipient");
        draft.envelope = Some(Envelope::to(&certificate));
        refused(&server, &device, &draft, BAD_MESSAGE_CHECK);
    }
}

#[test]
fn row_050_051_t12_algorithms_below_the_floor() {
    let instance = shared();
    let server = instance.server().unwrap();
    for (cipher, name) in [(Cipher::Des, "DES-CBC"), (Cipher::DesEde3, "DES-EDE3-CBC")] {
        let (device, mut draft) = good(&instance, &server, "cipher");
        draft.envelope.as_mut().unwrap().cipher = cipher;
        let text = refused(&server, &device, &draft, BAD_ALG).expect("a text");
        assert!(text.contains(name) && text.contains("AES"), "{text}");
    }
    for (digest, name) in [(Digest::Md5, "MD5"), (Digest::Sha1, "SHA-1")] {
        let (device, mut draft) = good(&instance, &server, "digest");
        draft.message.digest = digest;
        // The reply is signed with a digest of the endpoint's own.
        let reply = server.send(&device, &draft).unwrap();
        let (info, text) = reply.failure().unwrap();
        let text = text.expect("a text");
        assert_eq!(info, BAD_ALG);
        assert!(text.contains(name) && text.contains("SHA-256"), "{text}");
        assert_eq!(reply.digest, Digest::Sha256);
    }
    // The control: the same with what the endpoint takes.
    let (device, mut draft) = good(&instance, &server, "above the floor");
    draft.envelope.as_mut().unwrap().cipher = Cipher::Aes128;
    draft.message.digest = Digest::Sha256;
    granted(&instance, &server, &device, &draft);
}

#[test]
fn quirk_18_weak_keys_and_requests() {
    let instance = shared();
    let server = instance.server().unwrap();
    let challenge = &instance.challenge;
    let csr = Csr::new("weak").challenge(challenge);
    let weak = Device::with_key(keys::pooled(1024, 0).unwrap(), "weak").unwrap();
    let request = csr.build(&weak.key).unwrap();
    let draft = server.draft(&weak, "19", request).unwrap();
    refused(&server, &weak, &draft, BAD_ALG);

    let cases = [
        Csr { digest: Digest::Md5, ..csr.clone() },
        Csr { version: 1, ..csr.clone() },
        Csr { trailing: vec![0], ..csr.clone() },
        Csr::with_subject(der::name(&[])).challenge(challenge),
        Csr::new(&"x".repeat(20_000)).challenge(challenge),
        (0..20).fold(csr, |c, n| c.attribute(&format!("1.3.6.1.4.1.99999.{n}"), &[der::null()])),
    ];
    for csr in cases {
        let (device, draft) = with_csr(&server, "weak", csr);
        refused(&server, &device, &draft, BAD_REQUEST);
    }
    for plaintext in [&b""[..], b"not a PKCS#10", &[0x30, 0x80, 0, 0]] {
        let (device, mut draft) = good(&instance, &server, "weak");
        draft.plaintext = plaintext.to_vec();
        refused(&server, &device, &draft, BAD_REQUEST);
    }
}
