//! Messages that are more or other than they seem (docs/threats.md section 3a): signatures taken for
//! another purpose, more receivers than the requester, and who asks for what is not theirs.

use std::process::Command;

use openssl::bn::BigNum;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use softhsm_test::client::message::{issuer_and_serial, issuer_and_subject};
use softhsm_test::client::{Csr, Delivery, Device, Draft, Envelope, Padding, Server, Text, der};
use softhsm_test::instance::{Instance, Options};

use crate::common::{
    BAD_ALG, BAD_MESSAGE_CHECK, good, granted, no_certificate_for, refused, shared, with_csr,
};

/// failInfo badCertId.
const BAD_CERT_ID: u8 = 4;

/// The DER SET OF the signed attributes in a SignedData of ours, as it was signed.
fn attributes_of(message: &[u8]) -> Vec<u8> {
    let inside = |der: &[u8], tag: u8| {
        let mut reader = der::Reader(der);
        loop {
            let value = reader.any().unwrap();
            if value.tag == tag {
                return value.content.to_vec();
            }
        }
    };
    let info = inside(message, der::tag::SEQUENCE);
    let wrapped = inside(&info, 0xa0);
    let signed_data = inside(&wrapped, der::tag::SEQUENCE);
    // The last SET is that of the SignerInfos.
    let infos = der::Reader(&signed_data).rest().unwrap();
    let signer_info = inside(infos.last().unwrap().content, der::tag::SEQUENCE);
    der::tlv(der::tag::SET, &inside(&signer_info, 0xa0))
}

/// What a lax verifier of PKCS#1 v1.5 takes for a signature, with the control that the same code makes a right
/// one; and the one that takes no private key at all where the exponent is 3.
#[test]
fn t11_a_signature_is_read_to_its_last_octet() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "padded");
    for padding in [
        Padding::FilledBehind,
        Padding::Filling,
        Padding::Encryption,
        Padding::Parameters,
        Padding::DigestInfo,
    ] {
        draft.message.padding = Some(padding);
        refused(&server, &device, &draft, BAD_MESSAGE_CHECK);
    }
    let three = Rsa::generate_with_e(2048, &BigNum::from_u32(3).unwrap()).unwrap();
    let cubic = Device::with_key(PKey::from_rsa(three).unwrap(), "cubic").unwrap();
    let csr = Csr::new("cubic").challenge(&instance.challenge).build(&cubic.key).unwrap();
    let mut cubic_draft = server.draft(&cubic, "19", csr).unwrap();
    cubic_draft.message.padding = Some(Padding::CubeRoot);
    refused(&server, &cubic, &cubic_draft, BAD_MESSAGE_CHECK);
    no_certificate_for(&instance, &server, "padded");
    no_certificate_for(&instance, &server, "cubic");

    draft.message.padding = Some(Padding::Right);
    granted(&instance, &server, &device, &draft);
    // The key itself is refused, and for another reason than a signature.
    cubic_draft.message.padding = Some(Padding::Right);
    let text = refused(&server, &cubic, &cubic_draft, BAD_ALG).unwrap();
    assert!(text.contains("exponent"), "{text}");
}

#[test]
fn t10_a_signature_over_attributes_is_none_over_a_content() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "taken");
    let sent = draft.build(&device).unwrap();
    // The signature of a real request, presented as one without attributes over their DER: RSA with
    // PKCS#1 v1.5 is deterministic, so signing that content gives the same octets.
    let attributes = attributes_of(&sent.body);
    let mut turned = draft.message.clone();
    (turned.content, turned.no_attributes) = (Some(attributes), true);
    let turned = turned.sign(&device.key, &device.certificate).unwrap();
    let tail = |body: &[u8]| body[body.len() - 256..].to_vec();
    assert_eq!(tail(&turned), tail(&sent.body), "the signature is the same one");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("turned");
    std::fs::write(&file, &turned).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-out", "/dev/null"]);
    let verified = openssl.arg("-in").arg(&file).output().unwrap();
    assert!(verified.status.success(), "the control: it holds for a verifier that takes both");
    let answer = server.deliver(&turned, &Delivery::Post(None)).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("attributes"), "{}", answer.text());
    no_certificate_for(&instance, &server, "taken");
    // And the other way: a content that was signed by itself is no set of attributes that are missing.
    let mut bare = draft.message.clone();
    bare.no_attributes = true;
    let bare = bare.sign(&device.key, &device.certificate).unwrap();
    assert_eq!(server.deliver(&bare, &Delivery::Post(None)).unwrap().status, 400);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn t16_whoever_else_is_a_recipient_the_refusal_is_one() {
    let instance = shared();
    let server = instance.server().unwrap();
    let stranger = Device::new("stranger").unwrap().certificate;
    let signing = server.authorities.iter().find(|c| !c.is_ca() && c.key_usage(0)).unwrap();
    let mut answers = Vec::new();
    for wrong in [vec![&stranger], vec![signing], vec![&stranger, signing], vec![&stranger; 3]] {
        let (device, mut draft) = good(&instance, &server, "astray");
        let recipients = wrong.iter().flat_map(|c| Envelope::to(c).recipients);
        draft.envelope.as_mut().unwrap().recipients = recipients.collect();
        answers.push(refused(&server, &device, &draft, BAD_MESSAGE_CHECK));
    }
    assert!(answers.iter().all(|text| text == &answers[0]), "{answers:?}");
    // The RA beside others is addressed; the RA twice is one too many.
    let (device, mut draft) = good(&instance, &server, "beside");
    let more = Envelope::to(&stranger).recipients;
    draft.envelope.as_mut().unwrap().recipients.extend(more);
    granted(&instance, &server, &device, &draft);
    let (device, mut draft) = good(&instance, &server, "twice");
    let again = draft.envelope.as_ref().unwrap().recipients.clone();
    draft.envelope.as_mut().unwrap().recipients.extend(again);
    server.send(&device, &draft).unwrap().failure().unwrap();
}

#[test]
fn t21_the_reply_is_for_the_requester_alone() {
    let instance = shared();
    let server = instance.server().unwrap();
    let listener = Device::new("listener").unwrap().certificate;
    for listeners_first in [true, false] {
        let (device, mut draft) = good(&instance, &server, "overheard");
        let own = device.certificate.der.clone();
        draft.message.certificates = match listeners_first {
            true => vec![listener.der.clone(), own],
            false => vec![own, listener.der.clone()],
        };
        // A reply that has another recipient, or one more, does not open: `granted` reads it strictly.
        granted(&instance, &server, &device, &draft);
    }
}

fn limited(settings: &str) -> (Instance, Server) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits = format!("[signer]\nunknown_queries = {{ {settings} }}");
    instance
        .configure(|text| {
            text.replace("[signer]", &limits)
                .replace("[endpoint.device]", "[endpoint.device]\nget_cert = true\nget_crl = true")
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    (instance, server)
}

fn query(server: &Server, device: &Device, kind: &str, serial: u64) -> Draft {
    let issuer = &server.issuing().unwrap().subject;
    let content = match kind {
        "20" => issuer_and_subject(issuer, &device.certificate.subject),
        _ => issuer_and_serial(issuer, &der::int(serial)),
    };
    let mut draft = server.draft(device, kind, content).unwrap();
    draft.message.transaction_id = Text::printable(&format!("{kind}-{serial}"));
    draft
}

#[test]
fn t19_who_asks_for_too_much_that_is_not_there_is_not_looked_at_any_more() {
    let (instance, server) = limited("per_source = 6");
    let (device, draft) = good(&instance, &server, "holder");
    let holder = Device::issued(device.key.clone(), granted(&instance, &server, &device, &draft));
    let stranger = Device::new("stranger").unwrap();
    let status = |device: &Device, draft: &Draft| {
        let sent = draft.build(device).unwrap();
        server.deliver(&sent.body, &Delivery::Post(None)).unwrap()
    };
    // The control: who may ask is answered.
    let issuer = &server.issuing().unwrap().subject;
    let own = issuer_and_serial(issuer, &holder.certificate.serial);
    let reply = server.send(&holder, &server.draft(&holder, "21", own).unwrap()).unwrap();
    assert_eq!(reply.certificate().unwrap(), &holder.certificate);
    // Six queries of every kind: one and the same answer to each kind.
    for kind in ["20", "21", "22"] {
        let texts: Vec<_> = (0..2)
            .map(|n| refused(&server, &stranger, &query(&server, &stranger, kind, n), BAD_CERT_ID))
            .collect();
        assert_eq!(texts[0], texts[1], "{kind}");
    }
    for kind in ["20", "21", "22"] {
        let answer = status(&stranger, &query(&server, &stranger, kind, 7));
        assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
        let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(wait >= 1, "{wait}");
    }
    assert!(instance.logs().contains("event=queries-tried"), "{}", instance.logs());
    // Devices enrol meanwhile, from the same address.
    let (device, draft) = good(&instance, &server, "meanwhile");
    granted(&instance, &server, &device, &draft);
}

#[test]
fn t18_anothers_transaction_is_neither_taken_nor_told_of() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (victim, draft) = good(&instance, &server, "victim");
    let certificate = granted(&instance, &server, &victim, &draft);
    for csr in ["victim", "thief"] {
        let csr = Csr::new(csr).challenge(&instance.challenge);
        let (thief, mut theirs) = with_csr(&server, "thief", csr);
        theirs.message.transaction_id = Text::printable(&victim.transaction_id());
        let reply = server.send(&thief, &theirs).unwrap();
        assert!(reply.failure().is_ok(), "{reply:?}");
        let mut poll = query(&server, &thief, "20", 0);
        poll.message.transaction_id = Text::printable(&victim.transaction_id());
        refused(&server, &thief, &poll, BAD_CERT_ID);
    }
    assert_eq!(granted(&instance, &server, &victim, &draft), certificate, "it stays as it was");
}
