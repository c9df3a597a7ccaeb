//! How a message may come: every way of delivery, every lawful shape of CMS (rows 1 to 6, 32 to
//! 49, 73 to 83, and the quirks of real clients).

use softhsm_test::client::message::{algorithm_protection, attribute};
use softhsm_test::client::{
    Cipher, Delivery, Device, Digest, Edit, Envelope, Escaping, Identifier, Outcome, SelfSigned,
    Text, Transport, der, get, keys,
};

use crate::common::{good, granted, granted_by, shared};

#[test]
fn row_001_003_004_quirk_60_post_in_every_form() {
    let instance = shared();
    let server = instance.server().unwrap();
    let deliveries = [
        Delivery::Post(None),
        Delivery::Post(Some("application/x-pki-message")),
        Delivery::Post(Some("application/octet-stream")),
        Delivery::Post(Some("text/plain; charset=utf-8")),
        Delivery::PostBare,
        Delivery::PostBase64,
    ];
    for delivery in deliveries {
        let (device, draft) = good(&instance, &server, "post");
        granted_by(&instance, &server, (&device, &draft), &delivery);
    }
}

#[test]
fn row_005_006_quirk_10_to_12_45_get_in_every_escaping() {
    let instance = shared();
    let server = instance.server().unwrap();
    for escaping in get::ALL {
        let (device, draft) = good(&instance, &server, "get");
        granted_by(&instance, &server, (&device, &draft), &Delivery::Get(escaping));
    }
}

#[test]
fn quirk_36_old_cisco_by_http_1_0() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "cisco");
    granted_by(&instance, &server, (&device, &draft), &Delivery::Http10(Escaping::Lines));
}

#[test]
fn row_043_048_081_082_quirk_09_25_38_t13_every_algorithm_is_mirrored() {
    let instance = shared();
    let server = instance.server().unwrap();
    let sha1 = Transport::Oaep(Digest::Sha1);
    let sha256 = Transport::Oaep(Digest::Sha256);
    let cases = [
        (Cipher::Aes128, Transport::Pkcs1, Digest::Sha256),
        (Cipher::Aes192, Transport::Pkcs1, Digest::Sha384),
        (Cipher::Aes256, Transport::Pkcs1, Digest::Sha512),
        (Cipher::Aes128, sha1, Digest::Sha256),
        (Cipher::Aes256, sha256, Digest::Sha256),
    ];
    for (cipher, transport, digest) in cases {
        let (device, mut draft) = good(&instance, &server, "algorithms");
        let envelope = draft.envelope.as_mut().unwrap();
        (envelope.cipher, envelope.transport) = (cipher, transport);
        draft.message.digest = digest;
        let reply = server.send(&device, &draft).unwrap();
        assert_eq!(reply.digest, digest);
        let Outcome::Success(granted) = &reply.outcome else { panic!("{reply:?}") };
        assert_eq!((granted.cipher, granted.transport), (cipher, Some(transport)));
        assert_eq!(granted.certificates.len(), 1, "certrep_chain is none by default");
    }
}

#[test]
fn row_039_056_quirk_03_24_every_shape_of_signer_certificate() {
    let instance = shared();
    let server = instance.server().unwrap();
    for shape in [SelfSigned::windows(), SelfSigned::sscep(), SelfSigned::certmonger()] {
        let (_, mut draft) = good(&instance, &server, "signer");
        let device = Device::shaped(keys::rsa().unwrap(), &shape).unwrap();
        let csr = softhsm_test::client::Csr::new("signer").challenge(&instance.challenge);
        draft.plaintext = csr.build(&device.key).unwrap();
        draft.message.transaction_id = Text::printable(&device.transaction_id());
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_039_the_signer_is_found_by_its_identifier_not_by_its_place() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "chain");
    let other = Device::new("other").unwrap();
    draft.message.certificates = vec![
        server.issuing().unwrap().der.clone(),
        other.certificate.der,
        device.certificate.der.clone(),
    ];
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_040_044_quirk_53_key_identifiers_and_several_recipients() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "ski");
    draft.message.signer = Identifier::KeyIdentifier;
    let envelope = draft.envelope.as_mut().unwrap();
    envelope.recipients[0].identifier = Identifier::KeyIdentifier;
    granted(&instance, &server, &device, &draft);

    let (device, mut draft) = good(&instance, &server, "several");
    let stranger = Device::new("stranger").unwrap().certificate;
    let recipients = &mut draft.envelope.as_mut().unwrap().recipients;
    recipients.insert(0, Envelope::to(&stranger).recipients.remove(0));
    recipients.push(Envelope::to(server.issuing().unwrap()).recipients.remove(0));
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_041_quirk_20_52_ber_from_java() {
    let instance = shared();
    let server = instance.server().unwrap();
    for (outer, inner) in [(true, true), (true, false), (false, true)] {
        let (device, mut draft) = good(&instance, &server, "ber");
        draft.message.ber = outer;
        draft.envelope.as_mut().unwrap().ber = inner;
        draft.message.signature_with_digest = true;
        let protection = algorithm_protection(Digest::Sha256);
        draft.message.edits.push(Edit::Add(attribute::ALGORITHM_PROTECTION, vec![protection]));
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_034_attributes_out_of_order_signed_either_way() {
    let instance = shared();
    let server = instance.server().unwrap();
    for as_sent in [false, true] {
        let (device, mut draft) = good(&instance, &server, "unsorted");
        draft.message.unsorted = true;
        draft.message.signed_as_sent = as_sent;
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn quirk_26_missing_parameters_in_algorithm_identifiers() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, mut draft) = good(&instance, &server, "bare");
    draft.message.bare_algorithms = true;
    draft.envelope.as_mut().unwrap().bare_algorithms = true;
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_036_074_076_transaction_ids_come_back_as_they_went() {
    let instance = shared();
    let server = instance.server().unwrap();
    for tag in [der::tag::PRINTABLE, der::tag::UTF8, der::tag::IA5, der::tag::OCTET_STRING] {
        for bytes in [&b"TcdzCaaepcsM2gXCBqEypYdE4FI="[..], b"7", &[b'x'; 256]] {
            let (device, mut draft) = good(&instance, &server, "transaction");
            let mut bytes = bytes.to_vec();
            // The shared instance remembers transactions; the tag keeps them apart.
            bytes[0] = b'A' + (tag & 0x0f);
            draft.message.transaction_id = Text { tag, bytes };
            granted(&instance, &server, &device, &draft);
        }
    }
}

#[test]
fn row_038_074_quirk_19_nonces_of_any_lawful_length_come_back() {
    let instance = shared();
    let server = instance.server().unwrap();
    for length in [1, 8, 16, 64] {
        let (device, mut draft) = good(&instance, &server, "nonce");
        draft.message.sender_nonce = vec![0xa5; length];
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_075_quirk_51_the_servers_nonce_is_fresh_each_time() {
    let instance = shared();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "fresh");
    let first = server.send(&device, &draft).unwrap();
    let second = server.send(&device, &draft).unwrap();
    assert_ne!(first.sender_nonce, second.sender_nonce);
}
