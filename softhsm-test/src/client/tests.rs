//! The client against the `openssl` command line, and the strict reader against spoilt replies.

use std::path::Path;
use std::process::Command;

use super::envelope::ID_DATA;
use super::message::attribute;
use super::reply::Expected;
use super::*;

const NONCE: [u8; 16] = [9; 16];

fn device(index: usize, shape: &SelfSigned) -> Device {
    Device::shaped(keys::pooled(2048, index).unwrap(), shape).unwrap()
}

fn openssl(folder: &Path, arguments: &str) -> std::process::Output {
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(folder);
    command.output().expect("the openssl command")
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = openssl::base64::encode_block(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Verifies and opens `draft` with `openssl cms` and returns whether the plaintext came out.
fn openssl_reads(draft: &Draft, device: &Device, server: &Device) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("message.der", &draft.build(device).unwrap().body);
    put("server.pem", pem("CERTIFICATE", &server.certificate.der).as_bytes());
    put("server.key", &server.key.private_key_to_pem_pkcs8().unwrap());
    let verified = openssl(
        folder.path(),
        "cms -verify -noverify -inform DER -in message.der -out inner.der -binary",
    );
    let opened = openssl(
        folder.path(),
        "cms -decrypt -inform DER -in inner.der -recip server.pem -inkey server.key -out plain \
         -binary -provider default -provider legacy",
    );
    let text = |o: &std::process::Output| String::from_utf8_lossy(&o.stderr).into_owned();
    let plain = std::fs::read(folder.path().join("plain")).unwrap_or_default();
    let good = verified.status.success() && opened.status.success() && plain == draft.plaintext;
    if !good {
        eprintln!("verify: {}\ndecrypt: {}", text(&verified), text(&opened));
    }
    good
}

fn draft(server: &Device) -> Draft {
    Draft {
        plaintext: b"a PKCS#10 would be here".repeat(99),
        envelope: Some(Envelope::to(&server.certificate)),
        message: Message::new("19", "0123abcd", &NONCE, Vec::new()),
    }
}

#[test]
fn openssl_reads_every_algorithm() {
    let (client, server) = (device(0, &SelfSigned::default()), device(1, &SelfSigned::default()));
    let base = draft(&server);
    for cipher in [Cipher::Des, Cipher::DesEde3, Cipher::Aes128, Cipher::Aes192, Cipher::Aes256] {
        for transport in
            [Transport::Pkcs1, Transport::Oaep(Digest::Sha1), Transport::Oaep(Digest::Sha256)]
        {
            let mut draft = base.clone();
            let envelope = draft.envelope.as_mut().unwrap();
            (envelope.cipher, envelope.transport) = (cipher, transport);
            assert!(openssl_reads(&draft, &client, &server), "{cipher:?} {transport:?}");
        }
    }
    for digest in [Digest::Md5, Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        let mut draft = base.clone();
        draft.message.digest = digest;
        assert!(openssl_reads(&draft, &client, &server), "{digest:?}");
    }
}

#[test]
fn openssl_reads_every_lawful_oddity() {
    let server = device(1, &SelfSigned::default());
    let shapes = [
        SelfSigned::default(),
        SelfSigned::windows(),
        SelfSigned::sscep(),
        SelfSigned::certmonger(),
    ];
    for shape in shapes {
        let client = device(0, &shape);
        let mut draft = draft(&server);
        assert!(openssl_reads(&draft, &client, &server), "{shape:?}");
        let envelope = draft.envelope.as_mut().unwrap();
        envelope.ber = true;
        draft.message.ber = true;
        assert!(openssl_reads(&draft, &client, &server), "BER, {shape:?}");
        draft.envelope.as_mut().unwrap().recipients[0].identifier = Identifier::KeyIdentifier;
        if shape.key_identifier {
            draft.message.signer = Identifier::KeyIdentifier;
        }
        assert!(openssl_reads(&draft, &client, &server), "key identifiers, {shape:?}");
    }
    let client = device(0, &SelfSigned::default());
    let other = device(2, &SelfSigned { serial: vec![2], ..SelfSigned::default() });
    let mut odd = draft(&server);
    let stranger = Envelope::to(&other.certificate).recipients.remove(0);
    odd.envelope.as_mut().unwrap().recipients.insert(0, stranger);
    odd.message.signature_with_digest = true;
    odd.message.unsorted = true;
    odd.message.signed_as_sent = true; // OpenSSL verifies over the received order alone
    let protection = message::algorithm_protection(Digest::Sha256);
    odd.message.edits.push(Edit::Add(attribute::ALGORITHM_PROTECTION, vec![protection]));
    assert!(openssl_reads(&odd, &client, &server));
}

#[test]
fn openssl_refuses_what_is_spoilt() {
    let (client, server) = (device(0, &SelfSigned::default()), device(1, &SelfSigned::default()));
    let base = draft(&server);
    let mut spoilt = base.clone();
    spoilt.message.bad_signature = true;
    assert!(!openssl_reads(&spoilt, &client, &server));
    let mut spoilt = base.clone();
    spoilt.message.edits =
        vec![Edit::Values(attribute::MESSAGE_DIGEST, vec![der::octets(&[0; 32])])];
    assert!(!openssl_reads(&spoilt, &client, &server));
    let mut spoilt = base;
    spoilt.envelope.as_mut().unwrap().padding = Some(vec![0x41; 11]);
    assert!(!openssl_reads(&spoilt, &client, &server));
}

/// A CertRep as a good server makes it, out of this client's own writer.
fn reply(client: &Device, authority: &Device, status: &'static str) -> Message {
    let mut reply = Message::new("3", "0123abcd", &[7; 16], Vec::new());
    let issued = device(2, &SelfSigned::default()).certificate;
    let degenerate = der::seq(&[
        &der::int(1),
        &der::tlv(der::tag::SET, &[]),
        &der::seq(&[&der::oid(ID_DATA)]),
        &der::ctx(0, &issued.der),
        &der::tlv(der::tag::SET, &[]),
    ]);
    let inner = der::seq(&[&der::oid(message::ID_SIGNED_DATA), &der::ctx(0, &degenerate)]);
    let sealed = Envelope::to(&client.certificate).seal(&inner).unwrap();
    reply.content = (status == "0").then_some(sealed);
    reply.edits = vec![
        Edit::Add(attribute::PKI_STATUS, vec![der::printable(status)]),
        Edit::Add(attribute::RECIPIENT_NONCE, vec![der::octets(&NONCE)]),
    ];
    if status == "2" {
        reply.edits.push(Edit::Add(attribute::FAIL_INFO, vec![der::printable("2")]));
        let text = der::tlv(der::tag::UTF8, b"no");
        reply.edits.push(Edit::Add(attribute::FAIL_INFO_TEXT, vec![text]));
    }
    reply.certificates = vec![authority.certificate.der.clone()];
    reply
}

fn parse(reply: &Message, client: &Device, authority: &Device) -> crate::Result<CertRep> {
    let body = reply.sign(&authority.key, &authority.certificate)?;
    CertRep::parse(
        &body,
        &Expected {
            transaction_id: &Text::printable("0123abcd"),
            sender_nonce: &NONCE,
            authorities: std::slice::from_ref(&authority.certificate),
            key: &client.key,
            signer: &client.certificate,
            password: None,
        },
    )
}

fn authority() -> Device {
    let usage = certificate::extension("2.5.29.15", true, &[3, 2, 5, 0xa0]);
    device(3, &SelfSigned { extensions: vec![usage], ..SelfSigned::default() })
}

#[test]
fn good_replies_are_read() {
    let (client, authority) = (device(0, &SelfSigned::default()), authority());
    let read = |status| parse(&reply(&client, &authority, status), &client, &authority).unwrap();
    assert!(read("0").certificate().is_ok());
    assert_eq!(read("2").failure().unwrap(), (2, Some("no")));
    assert_eq!(read("3").outcome, Outcome::Pending);
}

type Spoiler = (&'static str, Box<dyn Fn(&mut Message)>);

#[test]
fn each_broken_rule_is_seen() {
    let (client, authority) = (device(0, &SelfSigned::default()), authority());
    let good = reply(&client, &authority, "2");
    let broken: Vec<Spoiler> = vec![
        ("bad signature", Box::new(|m| m.bad_signature = true)),
        ("message type", Box::new(|m| m.message_type = Text::printable("19"))),
        ("transaction", Box::new(|m| m.transaction_id = Text::printable("0123abce"))),
        ("transaction's type", Box::new(|m| m.transaction_id.tag = der::tag::UTF8)),
        ("echoed nonce", Box::new(|m| m.sender_nonce = NONCE.to_vec())),
        ("short nonce", Box::new(|m| m.sender_nonce.truncate(8))),
        ("eContent", Box::new(|m| m.content = Some(Vec::new()))),
        ("signature OID", Box::new(|m| m.signature_with_digest = true)),
        ("parameters", Box::new(|m| m.bare_algorithms = true)),
        ("BER", Box::new(|m| m.ber = true)),
        ("order", Box::new(|m| m.unsorted = true)),
        ("two signers", Box::new(|m| m.signer_infos = 2)),
        ("no failInfo", Box::new(|m| m.edits.push(Edit::Remove(attribute::FAIL_INFO)))),
        ("no nonce", Box::new(|m| m.edits.push(Edit::Remove(attribute::RECIPIENT_NONCE)))),
        (
            "other nonce",
            Box::new(|m| {
                let value = vec![der::octets(&[1; 16])];
                m.edits.push(Edit::Values(attribute::RECIPIENT_NONCE, value));
            }),
        ),
        ("no certificate", Box::new(|m| m.certificates = vec![Vec::new()])),
    ];
    for (what, spoil) in broken {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert!(parse(&spoilt, &client, &authority).is_err(), "{what} went through");
    }
    let stranger = device(2, &SelfSigned::default());
    assert!(parse(&good, &client, &stranger).is_err(), "a stranger's signature went through");
    let success = reply(&client, &authority, "0");
    assert!(parse(&success, &stranger, &authority).is_err(), "another's envelope went through");
}
