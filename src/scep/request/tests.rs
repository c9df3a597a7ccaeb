use super::super::Legacy;
use super::super::testing::{
    NONCE, attributes, csr, envelope, read_csr, request, request_around, text_attribute,
};
use super::*;
use crate::cms::testing::{
    Identity, Message, Shape, ber_of, by_key_identifier, device, ec_device, openssl_in, ra, rsa,
};
use crate::cms::{Attribute, Cipher, tlv, unpad};

fn parse(message: &Message) -> Result<SignedRequest, RequestError> {
    SignedRequest::parse(&message.build(), &Limits::default())
}

/// What the answer to a refused request says, or HTTP 400.
fn refused(message: &Message) -> String {
    let e = parse(message).expect_err("refused");
    let reply = e.reply.as_ref().map_or("400", |_| e.fail_info.name());
    format!("{reply}: {}", e.text)
}

/// The content of a request, by the key of `ra`.
pub(super) fn content(request: &SignedRequest, ra: &Identity) -> Result<Vec<u8>, String> {
    let recipient = request
        .recipient(&[&ra.certificate], &AlgorithmPolicy::default())
        .map_err(|e| e.to_string())?;
    let em = ra.raw_rsa(recipient.encrypted_key);
    let substitute = Secret::new(vec![0x77; recipient.key_len]);
    let key = match recipient.transport {
        KeyTransport::RsaPkcs1v15 => unpad::pkcs1_v15(&em, recipient.key_len, &substitute),
        KeyTransport::RsaOaep(d) => unpad::oaep(&em, d, recipient.key_len, &substitute).unwrap(),
    };
    request.open(&key).read(read_csr).map_err(|e| e.to_string())
}

/// Attributes with one replaced, or left out.
fn replaced(oid: const_oid::ObjectIdentifier, by: Option<Vec<u8>>) -> Vec<Attribute> {
    let of = |o, s: &str| text_attribute(o, tag::PRINTABLE_STRING, s);
    let all = [
        (MESSAGE_TYPE, of(MESSAGE_TYPE, "19")),
        (TRANSACTION_ID, of(TRANSACTION_ID, "id")),
        (SENDER_NONCE, Attribute::new(SENDER_NONCE, tlv(tag::OCTET_STRING, &[&NONCE]))),
    ];
    let kept = all.into_iter().filter(|(o, _)| *o != oid).map(|(_, a)| a);
    kept.chain(by.map(|value| Attribute::new(oid, value))).collect()
}

fn with_attribute(oid: const_oid::ObjectIdentifier, value: Option<Vec<u8>>) -> Message {
    request(device()).with(|m| m.attributes = replaced(oid, value))
}

#[test]
fn reads_a_request() {
    let message = request(device());
    let request = parse(&message).unwrap();
    assert_eq!(request.message_type(), MessageType::PkcsReq);
    assert_eq!(request.transaction_id().as_bytes(), b"TcdzCaaepcsM2gXCBqEypYdE4FI=");
    assert_eq!(request.sender_nonce().unwrap().as_bytes(), NONCE);
    assert_eq!(request.signer(), &device().certificate);
    assert_eq!(request.digest(), Digest::Sha256);
    assert_eq!(content(&request, ra()), Ok(csr(device())));
    let reply = request.reply_context();
    assert_eq!(reply.requester(), Some(&device().certificate));
    assert_eq!((reply.digest(), reply.cipher()), (Some(Digest::Sha256), Some(Cipher::Aes128Cbc)));
    assert_eq!(reply.transport(), Some(KeyTransport::RsaPkcs1v15));
}

#[test]
fn row_041_any_ber_of_a_request_reads_alike() {
    // Java's encoder streams inside as well as outside.
    for seed in 0..40u8 {
        let mut state = seed;
        let mut choose = || {
            state = state.wrapping_mul(73).wrapping_add(41);
            state >> 3
        };
        let inside = envelope(&csr(device()), Cipher::Aes128Cbc, KeyTransport::RsaPkcs1v15);
        let message = request_around(device(), ber_of(&inside, &mut choose)).build();
        let ber = ber_of(&message, &mut choose);
        let request = SignedRequest::parse(&ber, &Limits::default()).unwrap();
        assert_eq!(content(&request, ra()), Ok(csr(device())));
    }
}

#[test]
fn reads_envelopes_of_the_openssl_command() {
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    std::fs::write(dir.path().join("csr"), csr(device())).unwrap();
    for options in [
        "-aes128 -recip ra.pem",
        "-aes256 -stream -keyid -recip ra.pem",
        "-aes192 -recip ra.pem -keyopt rsa_padding_mode:oaep",
        "-aes128 -stream -recip ra.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
    ] {
        let command = format!("cms -encrypt -binary -in csr -outform DER {options}");
        let envelope = openssl_in(dir.path(), &command);
        let request = parse(&request_around(device(), envelope)).unwrap();
        AlgorithmPolicy::default().check(&request).unwrap();
        assert_eq!(content(&request, ra()), Ok(csr(device())), "{options}");
    }
}

#[test]
fn row_037_t01_only_the_request_types() {
    let of = |string_type: u8, text: &str| {
        with_attribute(MESSAGE_TYPE, Some(tlv(string_type, &[text.as_bytes()])))
    };
    for known in ["17", "19", "20", "21", "22"] {
        let request = parse(&of(tag::PRINTABLE_STRING, known)).unwrap();
        assert_eq!(request.message_type().as_str(), known);
        assert!(parse(&of(tag::UTF8_STRING, known)).is_ok());
    }
    assert_eq!(refused(&of(tag::PRINTABLE_STRING, "3")), "badRequest: a CertRep is not a request");
    let none = "badRequest: the messageType is none of 17, 19, 20, 21 and 22";
    for other in ["0", "1", "18", "99", "017", "19 ", "", "2147483648", "١٩"] {
        assert_eq!(refused(&of(tag::PRINTABLE_STRING, other)), none, "{other:?}");
    }
    for string_type in [tag::OCTET_STRING, tag::INTEGER, 0x1e] {
        assert_eq!(refused(&of(string_type, "19")), none);
    }
}

#[test]
fn row_035_t02_attributes_missing_or_twice() {
    let missing = |oid| refused(&with_attribute(oid, None));
    assert_eq!(missing(MESSAGE_TYPE), "badRequest: the attribute messageType is missing");
    assert!(missing(SENDER_NONCE).starts_with("badRequest: the attribute senderNonce is missing"));
    assert!(missing(TRANSACTION_ID).starts_with("400: the attribute transactionID is missing"));
    for oid in [MESSAGE_TYPE, SENDER_NONCE, TRANSACTION_ID] {
        let twice = request(device()).with(|m| {
            let extra = replaced(oid, Some(tlv(tag::PRINTABLE_STRING, &[b"17"])));
            m.attributes.push(extra.last().unwrap().clone());
        });
        let expected = if oid == TRANSACTION_ID { "400" } else { "badMessageCheck" };
        assert!(refused(&twice).starts_with(expected), "{}", refused(&twice));
        let two_values = tlv(tag::PRINTABLE_STRING, &[b"19"]).repeat(2);
        let text = refused(&with_attribute(oid, Some(two_values)));
        let expected = if oid == TRANSACTION_ID { "400" } else { "badRequest" };
        assert!(text.starts_with(expected), "{text}");
    }
    let bare = request(device()).with(|m| m.attributes = vec![]);
    assert!(refused(&bare).starts_with("400"));
}

#[test]
fn row_036_row_038_quirk_19_identifiers_and_nonces_as_they_come() {
    for string_type in [tag::PRINTABLE_STRING, tag::UTF8_STRING, tag::IA5_STRING, tag::OCTET_STRING]
    {
        let value = tlv(string_type, &["Gerät+/=".as_bytes()]);
        let request = parse(&with_attribute(TRANSACTION_ID, Some(value))).unwrap();
        assert_eq!(request.transaction_id().string_type(), string_type);
        assert_eq!(request.transaction_id().as_bytes(), "Gerät+/=".as_bytes());
    }
    for (len, ok) in [(0, false), (1, true), (256, true), (257, false)] {
        let value = tlv(tag::PRINTABLE_STRING, &[&vec![b'a'; len]]);
        assert_eq!(parse(&with_attribute(TRANSACTION_ID, Some(value))).is_ok(), ok, "{len}");
    }
    for (len, ok) in [(0, false), (1, true), (8, true), (16, true), (64, true), (65, false)] {
        let value = tlv(tag::OCTET_STRING, &[&vec![7; len]]);
        assert_eq!(parse(&with_attribute(SENDER_NONCE, Some(value))).is_ok(), ok, "{len}");
    }
}

#[test]
fn quirk_62_a_missing_nonce_can_be_forgiven() {
    let lenient = Limits { sender_nonce_required: false, ..Limits::default() };
    let parse = |m: Message| SignedRequest::parse(&m.build(), &lenient);
    let request = parse(with_attribute(SENDER_NONCE, None)).unwrap();
    assert!(request.sender_nonce().is_none());
    // One that is there has to be right all the same.
    assert!(parse(with_attribute(SENDER_NONCE, Some(vec![tag::OCTET_STRING, 0]))).is_err());
    assert!(parse(with_attribute(SENDER_NONCE, Some(vec![tag::INTEGER, 1, 1]))).is_err());
}

#[test]
fn row_032_row_042_row_047_contents_of_the_wrong_kind() {
    let around = |content: Vec<u8>| refused(&request_around(device(), content));
    assert!(around(csr(device())).starts_with("badRequest"), "a PKCS#10 without an envelope");
    assert!(around(vec![]).starts_with("badRequest: the message has no content"));
    assert!(around(b"hello".to_vec()).starts_with("badRequest"));
    let nested = request(device()).build();
    assert!(around(nested).contains("not EnvelopedData but 1.2.840.113549.1.7.2"));
    let signed_data = const_oid::ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    let other = request(device()).with(|m| m.content_type = signed_data);
    assert_eq!(refused(&other), "badRequest: the signed content is not of type data");
    let none = request(device()).with(|m| m.content = None);
    assert!(refused(&none).starts_with("badRequest"));
    for junk in [&b""[..], b"x", &[0x30], &[0x30, 0x80], &[0; 1000], b"GET / HTTP/1.0"] {
        let e = SignedRequest::parse(junk, &Limits::default()).unwrap_err();
        assert!(e.reply.is_none());
    }
}

#[test]
fn row_034_a_wrong_signature_is_bad_message_check() {
    let stranger = request(device()).with(|m| m.signer.key = ra().key.clone());
    assert!(refused(&stranger).starts_with("badMessageCheck: the signature does not verify"));
    let e = parse(&stranger).unwrap_err();
    assert!(e.reply.unwrap().requester().is_none(), "nobody is known to have signed it");
    let missing = request(device()).with(|m| m.certificates = vec![]);
    assert!(refused(&missing).starts_with("badMessageCheck: the signer's certificate"));
}

#[test]
fn row_044_t16_the_one_recipient_that_is_ours() {
    let policy = AlgorithmPolicy::default();
    let theirs = parse(&request(device())).unwrap();
    let refused = |request: &SignedRequest, ours: &[&Certificate]| {
        let e = request.recipient(ours, &policy).unwrap_err();
        assert!(e.reply.is_some());
        format!("{}: {}", e.fail_info, e.text)
    };
    let ours = &ra().certificate;
    assert!(refused(&theirs, &[]).starts_with("badMessageCheck: the envelope is not addressed"));
    assert!(refused(&theirs, &[&device().certificate]).starts_with("badMessageCheck"));
    assert_eq!(theirs.recipient(&[&device().certificate, ours], &policy).unwrap().index, 1);

    let dir = tempfile::tempdir().unwrap();
    for (identity, name) in [(ra(), "ra"), (device(), "device"), (ec_device(), "ec")] {
        identity.write(dir.path(), name);
    }
    std::fs::write(dir.path().join("csr"), csr(device())).unwrap();
    let command = "cms -encrypt -binary -in csr -outform DER -aes128";
    let of = |recipients: &str| {
        let envelope = openssl_in(dir.path(), &format!("{command} {recipients}"));
        parse(&request_around(device(), envelope)).unwrap()
    };
    assert_eq!(content(&of("ec.pem device.pem ra.pem"), ra()), Ok(csr(device())));
    assert!(refused(&of("ra.pem ra.pem"), &[ours]).contains("addressed to this RA twice"));
    // Two of ours are one too many, too.
    let both = [ours, &device().certificate];
    assert!(refused(&of("ra.pem device.pem"), &both).contains("addressed to this RA twice"));
    assert!(refused(&of("ec.pem"), &[ours]).contains("not addressed"));
    assert!(refused(&of("ec.pem"), &[&ec_device().certificate]).contains("not addressed"));
}

#[test]
fn row_049_row_050_row_051_algorithms_by_policy() {
    let strict = AlgorithmPolicy::default();
    let with = |legacy| AlgorithmPolicy { legacy, ..AlgorithmPolicy::default() };
    let off = Legacy::default();
    let verdict = |policy: AlgorithmPolicy, request: &SignedRequest| match policy.check(request) {
        Ok(()) => "accepted".into(),
        Err(e) => format!("{}: {}", e.fail_info, e.text),
    };
    let encrypted = |cipher| {
        let envelope = envelope(&csr(device()), cipher, KeyTransport::RsaPkcs1v15);
        parse(&request_around(device(), envelope)).unwrap()
    };
    for cipher in [Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc] {
        assert_eq!(verdict(strict, &encrypted(cipher)), "accepted");
    }
    let des3 = encrypted(Cipher::DesEde3Cbc);
    assert!(verdict(strict, &des3).starts_with("badAlg: encryption with DES-EDE3-CBC"));
    assert_eq!(verdict(with(Legacy { des3: true, ..off }), &des3), "accepted");
    let des = encrypted(Cipher::DesCbc);
    assert!(verdict(with(Legacy { des3: true, sha1: true, ..off }), &des).contains("AES"));
    assert_eq!(verdict(with(Legacy { des_and_md5: true, ..off }), &des), "accepted");
    assert_eq!(content(&des, ra()), Ok(csr(device())));

    let signed = |digest| parse(&request(device()).with_digest(digest)).unwrap();
    for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        assert_eq!(verdict(strict, &signed(digest)), "accepted");
    }
    assert!(verdict(strict, &signed(Digest::Sha1)).starts_with("badAlg: signatures with SHA-1"));
    assert_eq!(verdict(with(Legacy { sha1: true, ..off }), &signed(Digest::Sha1)), "accepted");
    assert!(verdict(with(Legacy { sha1: true, ..off }), &signed(Digest::Md5)).contains("MD5"));
    assert_eq!(
        verdict(with(Legacy { des_and_md5: true, ..off }), &signed(Digest::Md5)),
        "accepted"
    );
    // A renewal rests on the signature alone.
    let all = Legacy { des3: true, sha1: true, des_and_md5: true };
    for digest in [Digest::Sha1, Digest::Md5] {
        let renewal =
            request(device()).with_digest(digest).with(|m| m.attributes = attributes("17"));
        let text = verdict(with(all), &parse(&renewal).unwrap());
        assert!(text.starts_with("badAlg: a renewal cannot be signed"), "{text}");
    }
    // Unknown ones: RC2 content, SHA-224.
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    std::fs::write(dir.path().join("csr"), csr(device())).unwrap();
    let rc2 =
        "cms -encrypt -binary -in csr -outform DER -rc2 -provider legacy -provider default ra.pem";
    let rc2 = parse(&request_around(device(), openssl_in(dir.path(), rc2))).unwrap();
    assert!(verdict(with(all), &rc2).starts_with("badAlg: encryption with 1.2.840.113549.3.2"));
    let sha224 = tlv(tag::OID, &[&hex::decode("608648016503040204").unwrap()]);
    let sha224 = request(device()).with(|m| m.digest = tlv(tag::SEQUENCE, &[&sha224]));
    assert!(refused(&sha224).starts_with("badAlg: digest algorithm 2.16.840.1.101.3.4.2.4"));
}

#[test]
fn t21_a_short_rsa_key_gets_no_envelope() {
    let shape = Shape { name: "short", serial: vec![5], v1: false, ski: false };
    let short = Identity::new(rsa(1024), &shape);
    let request = parse(&request(&short)).unwrap();
    let refusal = AlgorithmPolicy::default().check(&request).unwrap_err();
    assert_eq!(refusal.fail_info, FailInfo::BadAlg);
    assert!(refusal.text.contains("1024 bits"), "{}", refusal.text);
}

#[test]
fn row_040_quirk_53_identifiers_by_key() {
    let message = request(device()).with(|m| m.sid = by_key_identifier(&device().certificate));
    assert_eq!(parse(&message).unwrap().signer(), &device().certificate);
}

#[test]
fn t20_truncated_requests_are_refused() {
    let message = request(device()).build();
    for cut in 0..message.len() {
        assert!(SignedRequest::parse(&message[..cut], &Limits::default()).is_err(), "{cut}");
    }
    for more in [&[0][..], b"\n", &message] {
        assert!(SignedRequest::parse(&[&message, more].concat(), &Limits::default()).is_err());
    }
}

#[test]
fn t20_a_flipped_bit_never_changes_what_is_read() {
    let message = request(device()).build();
    let original = SignedRequest::parse(&message, &Limits::default()).unwrap();
    let own = csr(device());
    let mut accepted = Vec::new();
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(request) = SignedRequest::parse(&changed, &Limits::default()) else { continue };
        // Not signed over are versions, the outer list of digests, and the certificate around its
        // key. None of that may change what is asked for or whose key asks.
        assert_eq!(request.message_type(), original.message_type());
        assert_eq!(request.transaction_id(), original.transaction_id());
        assert_eq!(request.sender_nonce(), original.sender_nonce());
        let keys = [&request, &original].map(|r| r.signer().public_key().openssl().unwrap());
        assert!(keys[0].public_eq(keys[1]), "byte {at}: another key");
        assert_eq!(content(&request, ra()), Ok(own.clone()));
        accepted.push(at);
    }
    let place = |needle: &[u8]| message.windows(needle.len()).position(|w| w == needle).unwrap();
    let certificate = place(device().certificate.der());
    let certificate = certificate..certificate + device().certificate.der().len();
    let outside: Vec<usize> =
        accepted.iter().copied().filter(|at| !certificate.contains(at)).collect();
    assert!(outside.len() < 24, "{outside:?}");
}
