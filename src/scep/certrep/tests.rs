use super::super::testing::{NONCE, csr, envelope, request, request_around};
use super::super::{Legacy, Limits, SignedRequest};
use super::*;
use crate::cms::testing::{Counting, Identity, device, ec_device, openssl_in, ra};
use crate::cms::{Cipher, KeyTransport, SignedData, read};
use const_oid::ObjectIdentifier;

const POLICY: AlgorithmPolicy = AlgorithmPolicy {
    legacy: Legacy { des3: false, sha1: false, des_and_md5: false },
    ec_key_agreement: false,
};

fn context_of(message: &crate::cms::testing::Message) -> ReplyContext {
    let request = SignedRequest::parse(&message.build(), &Limits::default()).unwrap();
    request.reply_context().clone()
}

fn context() -> ReplyContext {
    context_of(&request(device()))
}

fn signed_by(unsigned: &UnsignedCertRep, signer: &Identity) -> Vec<u8> {
    let algorithm = unsigned.signature_algorithm(signer.kind());
    unsigned.assemble(&signer.sign(algorithm, unsigned.to_be_signed()), &signer.certificate)
}

/// What a client sees: the message verified, and its attributes by name.
struct Seen {
    signed: SignedData,
}

impl Seen {
    fn new(message: &[u8]) -> Self {
        let signed = SignedData::from_ber(message, &crate::cms::Limits::default()).unwrap();
        let certificate = signed.signer_certificate().unwrap();
        let content = signed.content().unwrap_or_default();
        let info = signed.signer().unwrap();
        info.verify(signed.content_type(), content, certificate.public_key()).unwrap();
        Self { signed }
    }

    fn attribute(&self, oid: ObjectIdentifier) -> Option<Vec<u8>> {
        let value = self.signed.signer().unwrap().attribute(oid, "attribute").unwrap();
        value.map(<[u8]>::to_vec)
    }

    fn text(&self, oid: ObjectIdentifier) -> String {
        let der = self.attribute(oid).unwrap();
        let element = read(&der, "text").unwrap().expect(tag::PRINTABLE_STRING, "text").unwrap();
        String::from_utf8(element.content.to_vec()).unwrap()
    }
}

#[test]
fn row_073_to_row_076_the_attributes() {
    let random = Counting::new();
    let reply = CertRep::pending(&context(), &POLICY, &random).unwrap();
    assert_eq!(reply.status(), PkiStatus::Pending);
    let seen = Seen::new(&signed_by(&reply, ra()));
    assert_eq!(seen.text(TRANSACTION_ID), "TcdzCaaepcsM2gXCBqEypYdE4FI=");
    assert_eq!(seen.text(MESSAGE_TYPE), "3");
    assert_eq!(seen.text(PKI_STATUS), "3");
    let octets = |bytes: &[u8]| tlv(tag::OCTET_STRING, &[bytes]);
    assert_eq!(seen.attribute(RECIPIENT_NONCE), Some(octets(&NONCE)));
    let nonce = seen.attribute(SENDER_NONCE).unwrap();
    assert!(nonce.len() == 18 && nonce != octets(&NONCE), "16 bytes of our own");
    let again = CertRep::pending(&context(), &POLICY, &random).unwrap();
    assert_ne!(Seen::new(&signed_by(&again, ra())).attribute(SENDER_NONCE), Some(nonce));
    // The string type and the length of a nonce come back as they were.
    for (string_type, nonce) in
        [(tag::UTF8_STRING, 8), (tag::OCTET_STRING, 64), (tag::IA5_STRING, 1)]
    {
        let id = tlv(string_type, &["Gerät".as_bytes()]);
        let nonce = octets(&vec![3; nonce]);
        let message = request(device()).with(|m| {
            m.attributes[1] = Attribute::new(TRANSACTION_ID, id.clone());
            m.attributes[2] = Attribute::new(SENDER_NONCE, nonce.clone());
        });
        let reply = CertRep::pending(&context_of(&message), &POLICY, &random).unwrap();
        let seen = Seen::new(&signed_by(&reply, ra()));
        assert_eq!(seen.attribute(TRANSACTION_ID), Some(id));
        assert_eq!(seen.attribute(RECIPIENT_NONCE), Some(nonce));
    }
}

#[test]
fn row_077_to_row_079_failures_carry_no_envelope() {
    let all = [
        (FailInfo::BadAlg, "0"),
        (FailInfo::BadMessageCheck, "1"),
        (FailInfo::BadRequest, "2"),
        (FailInfo::BadTime, "3"),
        (FailInfo::BadCertId, "4"),
    ];
    for (fail_info, number) in all {
        let text = Some("the challenge password is wrong: ä");
        let reply =
            CertRep::failure(&context(), fail_info, text, &POLICY, &Counting::new()).unwrap();
        assert_eq!(reply.status(), PkiStatus::Failure);
        let seen = Seen::new(&signed_by(&reply, ra()));
        assert_eq!((seen.text(PKI_STATUS).as_str(), seen.text(FAIL_INFO).as_str()), ("2", number));
        let text = tlv(tag::UTF8_STRING, &["the challenge password is wrong: ä".as_bytes()]);
        assert_eq!(seen.attribute(FAIL_INFO_TEXT), Some(text));
        assert!(seen.signed.content().is_none());
    }
    let pending = CertRep::pending(&context(), &POLICY, &Counting::new()).unwrap();
    let message = signed_by(&pending, ra());
    let seen = Seen::new(&message);
    assert!(seen.signed.content().is_none() && seen.attribute(FAIL_INFO).is_none());
    // encapContentInfo is nothing but the type.
    assert!(hex::encode(&message).contains("300b06092a864886f70d010701a082"));
}

#[test]
fn row_045_failures_of_the_envelope_are_alike() {
    // Whatever the transaction, same shape in, same length out.
    let random = Counting::new();
    let lengths: std::collections::BTreeSet<usize> = (0..20)
        .map(|_| {
            let reply = CertRep::failure(&context(), FailInfo::BadRequest, None, &POLICY, &random);
            let message = signed_by(&reply.unwrap(), ra());
            assert!(Seen::new(&message).attribute(FAIL_INFO_TEXT).is_none());
            message.len()
        })
        .collect();
    assert_eq!(lengths.len(), 1);
}

#[test]
fn row_080_to_row_083_openssl_opens_a_success() {
    let dir = tempfile::tempdir().unwrap();
    for (identity, name) in [(ra(), "ra"), (device(), "device")] {
        identity.write(dir.path(), name);
    }
    let issued = [&ec_device().certificate, &ra().certificate];
    let random = Counting::new();
    let oaep = [Digest::Sha1, Digest::Sha256].map(KeyTransport::RsaOaep);
    for transport in oaep.into_iter().chain([KeyTransport::RsaPkcs1v15]) {
        for cipher in [Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc] {
            let request = request_around(device(), envelope(&csr(device()), cipher, transport));
            let reply =
                CertRep::success(&context_of(&request), &issued, None, &POLICY, &random).unwrap();
            let message = signed_by(&reply, ra());
            let seen = Seen::new(&message);
            assert_eq!(seen.text(PKI_STATUS), "0");
            assert_eq!(seen.signed.certificates(), [ra().certificate.der()], "row 83");
            let envelope = seen.signed.content().unwrap();
            let envelope =
                crate::cms::EnvelopedData::from_ber(envelope, &crate::cms::Limits::default())
                    .unwrap();
            let [crate::cms::Recipient::KeyTransport(recipient)] = envelope.recipients() else {
                panic!("t21: one recipient")
            };
            assert!(recipient.identifier().matches(&device().certificate));
            assert_eq!(recipient.transport().unwrap(), transport);
            assert!(
                matches!(envelope.cipher(), crate::cms::ContentCipher::Known(c, _) if *c == cipher)
            );

            std::fs::write(dir.path().join("reply"), &message).unwrap();
            openssl_in(
                dir.path(),
                "cms -verify -binary -inform DER -in reply -CAfile ra.pem -purpose any -out envelope",
            );
            openssl_in(
                dir.path(),
                "cms -decrypt -binary -inform DER -in envelope -recip device.pem -inkey device.key -out bag",
            );
            let bag = std::fs::read(dir.path().join("bag")).unwrap();
            let bag = SignedData::from_ber(&bag, &crate::cms::Limits::default()).unwrap();
            assert_eq!(bag.certificates(), issued.map(Certificate::der), "the issued one first");
            assert!(bag.content().is_none());
            // Row 82, Q9: the plain algorithm of the key.
            let info = openssl_in(dir.path(), "cms -cmsout -print -noout -inform DER -in reply");
            let info = String::from_utf8(info).unwrap();
            let signature = info.split("signatureAlgorithm:").last().unwrap();
            assert!(signature.trim_start().starts_with("algorithm: rsaEncryption"), "{signature}");
        }
    }
}

#[test]
fn row_099_a_crl_travels_alone() {
    let crl = tlv(tag::SEQUENCE, &[&[tag::INTEGER, 1, 1]]);
    let reply = CertRep::crl(&context(), &crl, &POLICY, &Counting::new()).unwrap();
    assert_eq!(reply.status(), PkiStatus::Success);
    assert!(Seen::new(&signed_by(&reply, ra())).signed.content().is_some());
}

#[test]
fn an_ec_key_signs_replies() {
    let reply = CertRep::pending(&context(), &POLICY, &Counting::new()).unwrap();
    Seen::new(&signed_by(&reply, ec_device()));
}

#[test]
fn success_needs_a_verified_rsa_requester() {
    let issued = [&ra().certificate];
    let ec = context_of(&request(ec_device()));
    let error = CertRep::success(&ec, &issued, None, &POLICY, &Counting::new()).unwrap_err();
    assert!(matches!(error, CertRepError::RequesterKey(KeyKind::P256)));
    let stranger = request(device()).with(|m| m.signer.key = ra().key.clone());
    let refused = SignedRequest::parse(&stranger.build(), &Limits::default()).unwrap_err();
    let early = *refused.reply.unwrap();
    let error = CertRep::success(&early, &issued, None, &POLICY, &Counting::new()).unwrap_err();
    assert!(matches!(error, CertRepError::NoRequester));
    let text = Some(refused.text.as_str());
    let failure =
        CertRep::failure(&early, refused.fail_info, text, &POLICY, &Counting::new()).unwrap();
    assert_eq!(Seen::new(&signed_by(&failure, ra())).text(FAIL_INFO), "1");
}

#[test]
fn quirk_62_no_nonce_no_echo() {
    let lenient = Limits { sender_nonce_required: false, ..Limits::default() };
    let message = request(device()).with(|m| m.attributes.truncate(2));
    let request = SignedRequest::parse(&message.build(), &lenient).unwrap();
    let reply = CertRep::pending(request.reply_context(), &POLICY, &Counting::new()).unwrap();
    assert!(Seen::new(&signed_by(&reply, ra())).attribute(RECIPIENT_NONCE).is_none());
}

#[test]
fn t13_algorithms_are_mirrored_within_the_policy() {
    let all = [false, true];
    let base = context();
    for (des3, sha1) in all.into_iter().flat_map(|a| all.map(|b| (a, b))) {
        for des_and_md5 in all {
            let legacy = Legacy { des3, sha1, des_and_md5 };
            let policy = AlgorithmPolicy { legacy, ..POLICY };
            for (asked, expected) in [
                (Some(Cipher::DesCbc), if des3 { Cipher::DesEde3Cbc } else { Cipher::Aes128Cbc }),
                (
                    Some(Cipher::DesEde3Cbc),
                    if des3 { Cipher::DesEde3Cbc } else { Cipher::Aes128Cbc },
                ),
                (Some(Cipher::Aes128Cbc), Cipher::Aes128Cbc),
                (Some(Cipher::Aes192Cbc), Cipher::Aes192Cbc),
                (Some(Cipher::Aes256Cbc), Cipher::Aes256Cbc),
                (None, Cipher::Aes128Cbc),
            ] {
                let context = ReplyContext { cipher: asked, ..base.clone() };
                assert_eq!(policy.reply(&context).cipher, expected);
            }
            for (asked, expected) in [
                (Some(Digest::Md5), if sha1 { Digest::Sha1 } else { Digest::Sha256 }),
                (Some(Digest::Sha1), if sha1 { Digest::Sha1 } else { Digest::Sha256 }),
                (Some(Digest::Sha256), Digest::Sha256),
                (Some(Digest::Sha384), Digest::Sha384),
                (Some(Digest::Sha512), Digest::Sha512),
                (None, Digest::Sha256),
            ] {
                let context = ReplyContext { digest: asked, ..base.clone() };
                assert_eq!(policy.reply(&context).digest, expected);
                let reply = CertRep::pending(&context, &policy, &Counting::new()).unwrap();
                assert_eq!(reply.digest(), expected);
                Seen::new(&signed_by(&reply, ra()));
            }
        }
    }
}

#[test]
fn a_failing_generator_fails_the_reply() {
    struct Broken;
    impl Random for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError("no entropy".into()))
        }
    }
    assert!(CertRep::pending(&context(), &POLICY, &Broken).is_err());
    assert!(CertRep::success(&context(), &[&ra().certificate], None, &POLICY, &Broken).is_err());
}
